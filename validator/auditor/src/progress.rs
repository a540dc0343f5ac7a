//! What is being done, for who waits at a terminal.

use std::io::{self, IsTerminal as _, Write as _};

/// One line that changes, on standard error; nothing where that is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    /// On this process's standard error.
    pub(crate) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    /// Shows what is being done now.
    pub(crate) fn say(&self, text: &str) {
        if self.terminal {
            // Who cannot be shown something does not wait for it.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.say("");
    }
}
