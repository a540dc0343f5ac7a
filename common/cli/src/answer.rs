//! [`Answer`]: the text that a program prints at its end, and its exit code.

use base::Exit;
use std::io::{self, Write as _};

/// The text that a program prints on standard output at its end, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: String,
    exit: Exit,
}

impl Answer {
    /// Creates an answer with a text. The text ends with one line break, whether it has one or not.
    #[must_use]
    pub fn new(text: impl Into<String>, exit: Exit) -> Self {
        Self { text: text.into(), exit }
    }

    /// Prints the text. Returns the exit code. A reader that closes the pipe early is no error.
    ///
    /// # Errors
    /// Standard output cannot be written. The error holds the answer.
    pub(crate) fn print(self) -> Result<Exit, AnswerError> {
        if self.text.is_empty() {
            return Ok(self.exit);
        }
        let mut to = io::stdout().lock();
        match writeln!(to, "{}", self.text.trim_end_matches('\n')).and_then(|()| to.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(AnswerError { text: self.text, source: error })
            }
            _ => Ok(self.exit),
        }
    }
}

/// The error of an answer that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the answer to the standard output")]
pub(crate) struct AnswerError {
    /// The answer.
    pub(crate) text: String,
    source: io::Error,
}

/// An answer without text.
impl From<Exit> for Answer {
    fn from(exit: Exit) -> Self {
        Self::new("", exit)
    }
}

/// The answer of a program that succeeded.
impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::new(text, Exit::Good)
    }
}
