//! Shows the current step on the terminal.

use std::io::{self, IsTerminal as _, Write as _};

/// A progress line on standard error. It shows nothing if standard error is not a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    /// Creates the progress line of this process.
    pub(crate) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    /// Replaces the text of the line.
    pub(crate) fn say(&self, text: &str) {
        if self.terminal {
            // The audit goes on even if the terminal cannot be written.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.say("");
    }
}
