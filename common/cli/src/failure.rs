//! [`Failure`]: an error that ends a program, with its exit code.

use base::{ErrorChain, Exit};
use std::{error::Error, fmt};

/// An error that ends a program, and the program's exit code.
///
/// It prints as the error and its causes.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Creates a failure with this exit code. The error is an error type, an `anyhow::Error` or a text.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into() }
    }

    /// Creates the failure of a wrong command line or configuration.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// Creates the failure of a program that tried and failed.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Failed, error)
    }

    /// Returns the exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ErrorChain(&*self.error).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_prints_its_causes() {
        let io = std::io::Error::other("disk is full");
        let error = crate::ReferenceError::File { page: "REFERENCE.md".into(), source: io };
        let failure = Failure::failed(error);
        assert_eq!(failure.to_string(), "cannot read or write REFERENCE.md: disk is full");
        assert_eq!((failure.exit(), Failure::usage("no").exit()), (Exit::Failed, Exit::Usage));
    }
}
