//! Tests with real signals to a real process: this test program, started again as a child.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};
use telemetry::Shutdown;

/// The environment variable of the child's role: its behaviour at a request to end.
const ROLE: &str = "MUSTER_TEST_SIGNALS";

/// Runs a small program in the child. Does nothing in the parent.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(program(&role));
    std::process::exit(code);
}

async fn program(role: &str) -> i32 {
    let shutdown = Shutdown::default();
    shutdown.on_signals().unwrap();
    let guard = (role != "obedient").then(|| shutdown.guard("upload"));
    println!("\nup");
    shutdown.requested().await;
    println!("\nasked");
    let deadline = Duration::from_millis(if role == "overdue" { 1 } else { 600_000 });
    let ended = shutdown.finished(deadline).await;
    drop(guard);
    if ended.is_ok() { 0 } else { 1 }
}

fn start(role: &str) -> (Child, impl Iterator<Item = String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture"]).env(ROLE, role).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Starts the program, sends it a signal, waits until it has received it, then calls `more`.
fn ends(role: &str, more: impl FnOnce(&Child)) -> ExitStatus {
    let (mut child, mut lines) = start(role);
    assert!(lines.any(|line| line == "up"));
    signal(&child, "-TERM");
    assert!(lines.any(|line| line == "asked"));
    more(&child);
    child.wait().unwrap()
}

#[test]
fn one_signal_ends_in_order() {
    assert_eq!(ends("obedient", |_| {}).code(), Some(0));
}

#[test]
fn the_deadline_ends_what_hangs() {
    assert_eq!(ends("overdue", |_| {}).code(), Some(1));
}

#[test]
fn a_second_signal_ends_at_once() {
    assert_eq!(ends("stubborn", |child| signal(child, "-INT")).code(), Some(130));
}
