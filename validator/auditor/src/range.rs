//! Which windows are meant.

use base::{Height, Window};
use protocol::clock::Clock;
use std::{ops::Range, str::FromStr};

/// Windows as they are written on the command line: `A..B` from A up to, but without, B, as in Rust; `A..=B` with B; one end
/// or both may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    first: Option<u64>,
    /// The first that is not meant any more.
    end: Option<u64>,
}

/// Why windows cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// It is written in another way.
    #[error("`{0}` names no windows: write A..B (without B), A..=B, A.., ..B or ..")]
    Form(String),
    /// It ends before it begins.
    #[error("windows {first}..{end} are none: the first must be below the end")]
    Empty {
        /// The first.
        first: u64,
        /// The end.
        end: u64,
    },
    /// The run is shorter.
    #[error("window {found} is none of this run, which has windows 0 to {last}")]
    Beyond {
        /// The window.
        found: u64,
        /// The last of the run.
        last: Window,
    },
    /// Nothing is over yet.
    #[error("no window from {first} on is over at block {height}: wait, or name the windows that you mean")]
    NotYet {
        /// The first.
        first: u64,
        /// The finalized block.
        height: Height,
    },
}

impl Windows {
    /// One window.
    #[must_use]
    pub fn one(window: Window) -> Self {
        Self { first: Some(window.0), end: Some(window.0.saturating_add(1)) }
    }

    /// The windows of a run that are meant, when this block is final. An end that is left out is that of the last window
    /// that is over, so that what validators owe on it is due.
    ///
    /// # Errors
    /// The run has no such windows, or none is over.
    pub fn of(&self, clock: &Clock, finalized: Height) -> Result<Range<u64>, WindowsError> {
        let last = clock.last_window();
        let first = self.first.unwrap_or(0);
        let end = match self.end {
            Some(end) => end,
            None => over(clock, finalized),
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

/// How many windows are over: what validators owe on a window is due when the next is decided, or would be.
fn over(clock: &Clock, finalized: Height) -> u64 {
    let before = finalized.0.checked_sub(u64::from(clock.spec().blocks)).map(Height);
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
    use protocol::clock::WindowSpec;

    fn clock() -> Clock {
        let spec =
            WindowSpec { blocks: 30, count: 8, claims_close: 3, keys_close: 4, seed: 5, votes_close: 8 };
        Clock::new(Height(100), spec).unwrap()
    }

    fn of(text: &str, finalized: u64) -> Result<Range<u64>, WindowsError> {
        text.parse::<Windows>()?.of(&clock(), Height(finalized))
    }

    #[test]
    fn ranges_are_those_of_rust() {
        assert_eq!(of("2..5", 0), Ok(2..5));
        assert_eq!(of("2..=5", 0), Ok(2..6));
        assert_eq!(of("..5", 0), Ok(0..5));
        assert_eq!(Windows::one(Window(7)).of(&clock(), Height(0)), Ok(7..8));
    }

    #[test]
    fn an_open_end_is_the_last_window_that_is_over() {
        // Window 0 is decided at 138, window 1 at 168, the last one at 348.
        assert_eq!(of("..", 167), Err(WindowsError::NotYet { first: 0, height: Height(167) }));
        assert_eq!(of("..", 168), Ok(0..1));
        assert_eq!(of("0..", 377), Ok(0..7));
        assert_eq!(of("3..", 378), Ok(3..8));
        assert_eq!(of("3..", 10_000), Ok(3..8));
    }

    #[test]
    fn what_is_no_range_is_told() {
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
