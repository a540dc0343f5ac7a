//! Tests of the program `bucket-server`: files, flags, signals, exit codes.
#![allow(clippy::unwrap_used)] // A failed step must stop the test.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const BUCKETS: &str = r#"
[[bucket]]
name = "alice"
read = { id = "alice-reads", secret = "alice-reads-secret" }
write = { id = "alice-writes", secret = "alice-writes-secret" }
"#;

fn command(folder: &Path, buckets: &str) -> Command {
    let file = folder.join("buckets.toml");
    fs::write(&file, buckets).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bucket-server"));
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.join("data")).arg("--buckets").arg(file);
    command
}

fn refused(buckets: &str, more: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let Output { status, stderr, .. } = command(folder.path(), buckets).args(more).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

/// Starts the program. Returns its address once it serves.
fn start(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().trim_start_matches("http://").to_owned())
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_serves_refuses_the_unsigned_and_ends_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let (child, address) = start(command(folder.path(), BUCKETS).args(["--log", "debug"]));
    let answer = ask(&address, "GET /alice/key");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0));
    let log = String::from_utf8(stderr).unwrap();
    assert!(log.contains("SIGTERM") && !log.contains("-secret"), "{log}");
    assert!(folder.path().join("data/alice/objects").is_dir());
}

#[test]
fn what_is_wrong_is_said_with_its_exit_code() {
    let (code, message) = refused(&BUCKETS.replace("\"alice\"", "\"Alice!\""), &[]);
    assert_eq!(code, 2);
    assert!(
        message.starts_with("bucket-server: 'Alice!' is not a valid bucket name: use 3 to 63"),
        "{message}"
    );

    let (code, message) = refused(&BUCKETS.replace("secret = \"alice-reads-secret\"", "secret = 7"), &[]);
    assert_eq!(code, 2);
    assert!(message.contains("buckets.toml: ") && !message.contains("alice-writes-secret"), "{message}");

    let (code, message) = refused(BUCKETS, &["--faults", "/nonexistent/faults.toml"]);
    assert_eq!(code, 2);
    assert!(message.contains("cannot read /nonexistent/faults.toml"), "{message}");

    let (code, message) = refused(BUCKETS, &["--log", "storage=loud"]);
    assert_eq!(code, 2);
    assert!(message.contains("the log filter 'storage=loud' is wrong"), "{message}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let holder = std::net::TcpListener::bind(&taken).unwrap();
    let (code, message) = refused(BUCKETS, &["--metrics", &taken]);
    assert_eq!(code, 1);
    assert!(message.contains(&format!("cannot serve metrics on {taken}")), "{message}");
    drop(holder);
}

#[test]
fn metrics_count_answers_by_status() {
    let folder = tempfile::tempdir().unwrap();
    // A free port. The system does not assign it to another program at once.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (mut child, address) =
        start(command(folder.path(), BUCKETS).args(["--metrics", &free, "--log", "error"]));
    ask(&address, "GET /alice/key");
    let metrics = ask(&free, "GET /metrics");
    assert!(metrics.contains("muster_bucket_server_requests_total{status=\"403\"} 1\n"), "{metrics}");
    assert!(ask(&free, "GET /health/ready").starts_with("HTTP/1.1 200 "));
    child.kill().unwrap();
    child.wait().unwrap();
}
