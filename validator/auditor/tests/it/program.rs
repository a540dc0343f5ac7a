//! Tests the errors and exit codes of the command line.

use std::process::{Command, Output};

fn auditor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_auditor")).args(arguments).env_clear().output().unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, text: &str) {
    let output = auditor(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(text), "no '{text}' in: {error}");
}

#[test]
fn nothing_is_audited_without_a_run() {
    refused(&["windows", "0..4", "--run", "no-such-file.toml"], 2, "--run: no-such-file.toml: ");
    refused(&["windows", "4", "--run", "x.toml"], 2, "is not a range of windows: write A..B");
    refused(&["windows", "4..2", "--run", "x.toml"], 2, "the range 4..2 is empty");
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/runs/tiny.toml");
    refused(&["window", "0", "--run", template], 2, "is not complete: fill in network.genesis");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    refused(&["window", "0", "--run", manifest], 2, "--run: ");
    refused(&["export", "--run", "x.toml", "--out", "scores.txt"], 2, "must end with .parquet or .csv");
}

#[test]
fn a_chain_that_does_not_answer_is_unreachable() {
    refused(&["scores", "--chain", "ws://127.0.0.1:1"], 3, "ws://127.0.0.1:1");
}

#[test]
fn a_node_that_says_nothing_is_given_up_after_the_time_allowed() {
    // The system accepts the connection, but the handshake gets no answer.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    refused(&["scores", "--chain", &url, "--timeout", "0.2"], 3, "no answer");
    refused(&["scores", "--chain", &url, "--timeout", "0"], 2, "--timeout is 0");
    refused(
        &["scores", "--chain", &url, "--archive", "http://x"],
        2,
        "--archive: an address begins with ws://",
    );
}

#[test]
fn no_colours_go_into_a_pipe() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditor"));
    command.args(["scores", "--chain", "ws://127.0.0.1:1"]).env_clear().env("RUST_LOG", "trace");
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("TRACE") || error.contains("DEBUG"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error}");
}

#[test]
fn the_reference_is_what_the_code_says() {
    use clap::CommandFactory as _;
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
    cli::check_reference(&auditor::Program::command(), &page).unwrap();
}
