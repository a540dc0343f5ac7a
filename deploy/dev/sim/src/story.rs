//! The events of a history in plain words, for the report of a violation.

use std::collections::VecDeque;

/// The number of lines that are kept.
const LINES: usize = 60;

/// The last events in plain words.
#[derive(Debug, Default)]
pub(crate) struct Story {
    is_on: bool,
    lines: VecDeque<String>,
}

impl Story {
    /// Creates a story that is told.
    pub(crate) fn on() -> Self {
        Self { is_on: true, ..Self::default() }
    }

    /// Adds an event, if the story is told.
    pub(crate) fn tell(&mut self, now: u64, event: impl FnOnce() -> String) {
        if self.is_on {
            if self.lines.len() == LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{:>6}.{:03} s  {}", now / 1000, now % 1000, event()));
        }
    }

    /// Returns the last lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
