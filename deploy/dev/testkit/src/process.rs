//! Child processes with a cleared environment. They are killed when they are dropped.

use crate::{HANGS, LOOK, READ_SECRET, WRITE_SECRET, wallet};
use base::Exit;
use std::process::{Child, Command, Output, Stdio};
use tokio::time::{sleep, timeout};

/// A running program. It is killed when it is dropped.
pub struct Running(pub(crate) Child);

impl Running {
    /// Kills the program with SIGKILL, like a power cut.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Sends SIGTERM, like an operator.
    pub fn ask_to_end(&self) {
        let status = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the program. Returns its exit code.
    pub async fn ended(mut self) -> Option<i32> {
        let wait = async {
            loop {
                match self.0.try_wait().unwrap() {
                    Some(status) => return status.code(),
                    None => sleep(LOOK).await,
                }
            }
        };
        timeout(HANGS, wait).await.expect("the program does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // Fails if the program has ended.
        let _ = self.0.wait();
    }
}

/// Clears the environment of a command, and limits OpenMP to one thread, since tests share the cores.
pub fn quiet(command: &mut Command) {
    command.env_clear().env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "PASSIVE").stdin(Stdio::null());
}

/// Runs a command until it ends by itself.
pub async fn end(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    timeout(HANGS, output).await.expect("the program does not end").unwrap()
}

/// Checks the exit code, that the output contains `message`, and that it contains no secret.
#[track_caller]
pub fn assert_ends(output: &Output, exit: Exit, message: &str) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(i32::from(u8::from(exit))), "{out}{error}");
    let said = if exit == Exit::Good { &out } else { &error };
    assert!(said.contains(message), "expected '{message}' in: {said}");
    assert_hides_secrets(&format!("{out}{error}"));
}

#[track_caller]
pub(crate) fn assert_hides_secrets(text: &str) {
    for secret in [READ_SECRET, WRITE_SECRET, wallet::HOTKEY.trim_start_matches("0x")] {
        assert!(!text.contains(secret), "a secret is shown");
    }
}

/// Replaces `from` by `to` in a text. Fails if the text does not contain `from`.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}
