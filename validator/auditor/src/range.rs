//! Ranges of windows on the command line.

use base::{Height, Window};
use protocol::clock::Clock;
use std::{ops::Range, str::FromStr};

/// A range of windows, as written on the command line. As in Rust, `A..B` excludes B and `A..=B` includes it.
/// One end or both may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    first: Option<u64>,
    /// The first window after the range.
    end: Option<u64>,
}

/// An invalid range of windows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// The text is not a range.
    #[error("`{0}` is not a range of windows: write A..B (without B), A..=B, A.., ..B or ..")]
    Form(String),
    /// The range is empty.
    #[error("the range {first}..{end} is empty: the first window must be below the end")]
    Empty {
        /// First window of the range.
        first: u64,
        /// The first window after the range.
        end: u64,
    },
    /// The range goes beyond the run.
    #[error("the run has no window {found}: its windows are 0 to {last}")]
    Beyond {
        /// The window.
        found: u64,
        /// The last window of the run.
        last: Window,
    },
    /// No window of the range is complete yet.
    #[error("no window from {first} on is complete at block {height}: wait, or give the range an end")]
    NotYet {
        /// First window of the range.
        first: u64,
        /// Height of the finalized block.
        height: Height,
    },
}

impl Windows {
    /// Returns the range of one window.
    #[must_use]
    pub fn one(window: Window) -> Self {
        Self { first: Some(window.0), end: Some(window.0.saturating_add(1)) }
    }

    /// Returns the numbers of the windows in this range when block `finalized` is final. An open range ends
    /// with the last complete window: everything that validators must publish about a complete window is due.
    /// `delay` is the number of blocks after which its score logs are due.
    ///
    /// # Errors
    /// The run has no such windows, or no window of an open range is complete.
    pub fn of(&self, clock: &Clock, delay: u64, finalized: Height) -> Result<Range<u64>, WindowsError> {
        let last = clock.last_window();
        let first = self.first.unwrap_or(0);
        let end = match self.end {
            Some(end) => end,
            None => complete(clock, delay, finalized),
        };
        if let Some(found) = [first, end.saturating_sub(1)].into_iter().find(|&window| window > last.0) {
            return Err(WindowsError::Beyond { found, last });
        }
        match (first < end, self.end) {
            (true, _) => Ok(first..end),
            (false, Some(_)) => Err(WindowsError::Empty { first, end }),
            (false, None) => Err(WindowsError::NotYet { first, height: finalized }),
        }
    }
}

/// Returns the number of complete windows. A window is complete when its score logs are due: then the next
/// window is decided too, if there is one.
fn complete(clock: &Clock, delay: u64, finalized: Height) -> u64 {
    let before = finalized.0.checked_sub(delay).map(Height);
    before.and_then(|height| clock.last_decided(height)).map_or(0, |window| window.0 + 1)
}

impl FromStr for Windows {
    type Err = WindowsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || WindowsError::Form(text.chars().take(40).collect());
        let number = |text: &str| match text {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| form()),
        };
        let (first, end) = text.split_once("..").ok_or_else(form)?;
        let end = match end.strip_prefix('=') {
            None => number(end)?,
            Some(last) => Some(number(last)?.and_then(|last: u64| last.checked_add(1)).ok_or_else(form)?),
        };
        let first = number(first)?;
        match (first, end) {
            (first, Some(end)) if first.unwrap_or(0) >= end => {
                Err(WindowsError::Empty { first: first.unwrap_or(0), end })
            }
            _ => Ok(Self { first, end }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::run_spec::RunFile;

    fn clock() -> Clock {
        let run = RunFile::parse(include_str!("../../../deploy/runs/tiny.toml")).unwrap();
        Clock::new(Height(100), run.window).unwrap()
    }

    /// Blocks between two epochs. Logs are due 60 + 1 + 2 x 30 blocks after the decision.
    const TEMPO: u16 = 60;

    fn of(text: &str, finalized: u64) -> Result<Range<u64>, WindowsError> {
        text.parse::<Windows>()?.of(&clock(), clock().log_delay(TEMPO, 0), Height(finalized))
    }

    #[test]
    fn ranges_are_those_of_rust() {
        assert_eq!(of("2..5", 0), Ok(2..5));
        assert_eq!(of("2..=5", 0), Ok(2..6));
        assert_eq!(of("..5", 0), Ok(0..5));
        assert_eq!(Windows::one(Window(7)).of(&clock(), clock().log_delay(TEMPO, 0), Height(0)), Ok(7..8));
    }

    #[test]
    fn an_open_range_ends_with_the_last_complete_window() {
        // Window 0 is decided at 149, window 1 at 179, the last one at 359.
        assert_eq!(of("..", 269), Err(WindowsError::NotYet { first: 0, height: Height(269) }));
        assert_eq!(of("..", 270), Ok(0..1));
        assert_eq!(of("0..", 479), Ok(0..7));
        assert_eq!(of("3..", 480), Ok(3..8));
        assert_eq!(of("3..", 10_000), Ok(3..8));
    }

    #[test]
    fn text_that_is_not_a_range_is_refused() {
        for text in ["", "3", "a..b", "1..=", "..=", "-1..3", "1...3", "1..2..3"] {
            assert!(matches!(of(text, 0), Err(WindowsError::Form(_))), "{text}");
        }
        for text in ["3..3", "5..2", "..0", "4..=2"] {
            assert!(matches!(of(text, 0), Err(WindowsError::Empty { .. })), "{text}");
        }
        assert_eq!(of("0..9", 0), Err(WindowsError::Beyond { found: 8, last: Window(7) }));
        assert_eq!(of("9..", 999), Err(WindowsError::Beyond { found: 9, last: Window(7) }));
    }
}
