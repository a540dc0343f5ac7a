//! The real binary, as README.md shows it to a newcomer.

use devchain::{Config, Devchain};
use std::process::Command;

/// Returns the command line of README.md that begins with these words, with its lines joined.
fn line_of_readme(beginning: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let readme = readme.replace("\\\n", " ");
    let line = readme.lines().find(|line| line.starts_with(beginning)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_status_that_readme_shows_is_that_of_a_validator() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let chain = Devchain::start(Config { listen, ..Config::default() }).await.unwrap();
    let url = chain.url();
    let words = line_of_readme("validator status --chain ws://").split_off(1);
    let words = words.into_iter().map(move |word| if word.starts_with("ws://") { url.clone() } else { word });
    let mut command = Command::new(env!("CARGO_BIN_EXE_validator"));
    command.args(words).env_clear();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (answer, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    for row in [
        "uid               1 of 4",
        "validator permit  yes",
        "last weights      never",
        "next epoch        block 20",
    ] {
        assert!(answer.contains(row), "no '{row}' in: {answer}");
    }
    chain.shutdown().await;
}

#[test]
fn no_validator_is_named_without_a_hotkey() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_validator"));
    let output = command.args(["status", "--chain", "ws://127.0.0.1:1"]).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.starts_with("validator: no hotkey is named: give --hotkey NAME"), "{error}");
}
