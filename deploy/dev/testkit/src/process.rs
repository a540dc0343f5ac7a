//! Programs as children: without the environment of the test, killed when they are dropped.

use crate::{HANGS, LOOK, READ_SECRET, WRITE_SECRET, wallet};
use base::Exit;
use std::process::{Child, Command, Output, Stdio};
use tokio::time::{sleep, timeout};

/// A program at work; killed when it is dropped.
pub struct Running(pub(crate) Child);

impl Running {
    /// As a power cut would.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As a person would.
    pub fn ask_to_end(&self) {
        let status = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// How it ends.
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
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

/// Nothing of our environment, and libtorch as in all tests: it shares its cores.
pub fn quiet(command: &mut Command) {
    command.env_clear().env("OMP_NUM_THREADS", "1").env("OMP_WAIT_POLICY", "PASSIVE").stdin(Stdio::null());
}

/// Runs a command until it ends by itself.
pub async fn end(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    timeout(HANGS, output).await.expect("the program does not end").unwrap()
}

/// It ended so, said this, and no secret.
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

/// A file's text with another value in some place, which must be there.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}
