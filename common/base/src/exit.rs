//! The exit codes of Muster's programs.

/// The text about exit codes in the help of every program.
pub const EXIT_CODES: &str = "Exit codes: 0 good, 1 failed, 2 usage or configuration, 3 unreachable, 4 not permitted, \
                              5 disagreement found.";

/// The exit codes of every program of Muster.
///
/// ```
/// assert_eq!(u8::from(base::Exit::Unreachable), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// The program did what was asked.
    Good = 0,
    /// The program failed.
    Failed = 1,
    /// The command line or the configuration is wrong. The program tried nothing.
    Usage = 2,
    /// The chain or a bucket cannot be reached. A later try may succeed.
    Unreachable = 3,
    /// The key may not do this: not registered, no permit, no money, no access.
    NotPermitted = 4,
    /// A check found a disagreement, for instance a log that does not replay.
    Disagreement = 5,
}

impl Exit {
    /// All exit codes, in order.
    pub const ALL: [Exit; 6] =
        [Self::Good, Self::Failed, Self::Usage, Self::Unreachable, Self::NotPermitted, Self::Disagreement];
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_a_promise_to_scripts() {
        assert_eq!(Exit::ALL.map(u8::from), [0, 1, 2, 3, 4, 5]);
        assert!(Exit::ALL.iter().all(|exit| EXIT_CODES.contains(&format!("{} ", u8::from(*exit)))));
    }
}
