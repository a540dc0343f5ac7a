//! The clock of a run: the windows and deadlines as block heights.
//!
//! A window is [`WindowSpec::blocks`] blocks, counted from the run's start block. The submissions
//! of window `w` are exchanged in the first blocks of window `w + 1`, at heights that the run spec
//! gives as offsets. Nodes act on finalized heights only, so the offsets leave time for the finality
//! lag that the run spec names ([`DeadlineRule`]). Muster has no other clock.
//!
//! ```
//! use base::{Height, Window};
//! use protocol::clock::{Clock, WindowSpec};
//!
//! let spec = WindowSpec {
//!     blocks: 30,
//!     count: 8,
//!     finality_lag: 3,
//!     publishing: 1,
//!     screening: 3,
//!     claims_close: 3,
//!     keys_close: 8,
//!     seed: 12,
//!     votes_close: 19,
//! };
//! let clock = Clock::new(Height(100), spec)?;
//! let heights = clock.heights(Window(1))?;
//! assert_eq!((heights.first, heights.last), (Height(130), Height(159)));
//! assert_eq!((heights.claims_close, heights.votes_close), (Height(163), Height(179)));
//! # Ok::<(), protocol::clock::ClockError>(())
//! ```

mod window_spec;

pub use window_spec::{DeadlineRule, WindowSpec};

use base::{Height, Window};

/// The number of blocks by which a value is read before its use: incentives before `D_w`, the
/// assignment's seed before the window.
///
/// At 12 s a block this is two minutes. The value is final on every node before it is needed. It
/// becomes known only near the end of the previous window.
pub const LEAD: u64 = 10;

/// The reason why lengths do not form a clock, or a window is not in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// A length that is 0.
    #[error("window.{0} is 0: it must be at least 1")]
    Zero(&'static str),
    /// Deadlines that leave too little time for finality or for the work.
    #[error("window.{} is {}: it must be at least {} ({rule})", rule.field(), rule.found(spec), rule.least(spec))]
    Deadline {
        /// The broken rule.
        rule: DeadlineRule,
        /// The lengths that break it.
        spec: WindowSpec,
    },
    /// A run that begins before there are blocks to seed it.
    #[error(
        "the run starts at block {0}, but its seed is the hash {LEAD} blocks earlier: start at {LEAD} or later"
    )]
    TooEarly(Height),
    /// A run that ends beyond the largest height.
    #[error("the run from block {0} is too long: its last block exceeds the largest height")]
    TooLong(Height),
    /// A window that the run does not have.
    #[error("window {window} is not in this run, which has windows 0 to {last}")]
    NoSuchWindow {
        /// The window.
        window: Window,
        /// The last window of the run.
        last: Window,
    },
}

/// The heights of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    start: Height,
    spec: WindowSpec,
}

/// The heights of one window. All of them name blocks. "At" a block means: in the state after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heights {
    /// The window.
    pub window: Window,
    /// The block whose hash seeds the assignment of data in this window.
    pub assignment_seed: Height,
    /// The first block of the window.
    pub first: Height,
    /// The last block of the window.
    pub last: Height,
    /// The block whose incentives order the candidates (`D_w` - 10). Its hash breaks ties.
    pub incentives: Height,
    /// The last block in which a claim counts (`D_w`). Its hash draws the custodians.
    pub claims_close: Height,
    /// The block before which keys must be in the buckets (`K_w`).
    pub keys_close: Height,
    /// The block whose hash seeds the evaluation (`S_w`).
    pub seed: Height,
    /// The last block in which a vote counts (`M_w`).
    pub votes_close: Height,
}

/// The position of a height in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A block before the run's start block.
    Before {
        /// The number of blocks until the run starts.
        blocks: u64,
    },
    /// A block within a window.
    Within {
        /// The window.
        window: Window,
        /// The block's place in it, from 0.
        offset: u32,
    },
    /// A block after the last window, whose exchange may still be going on.
    After {
        /// The block's place after it, from 0.
        offset: u64,
    },
}

impl Heights {
    /// Returns the number of blocks of a window.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.last.0 + 1 - self.first.0
    }

    /// Returns the block whose hash draws the leaves for the possession in votes on this window: `M_w` of
    /// the window before, when the parameters at this window's start became known. For window 0 it is the
    /// block that seeds the assignment.
    #[must_use]
    pub fn possession_seed(&self) -> Height {
        match self.window {
            Window(0) => self.assignment_seed,
            _ => Height(self.votes_close.0 - self.blocks()),
        }
    }
}

impl Clock {
    /// Creates the clock of a run that starts at block `start`.
    ///
    /// # Errors
    /// The lengths do not fit together, or the run begins too early or never ends.
    pub fn new(start: Height, spec: WindowSpec) -> Result<Self, ClockError> {
        spec.check()?;
        if start.0 < LEAD {
            return Err(ClockError::TooEarly(start));
        }
        let blocks = u64::from(spec.blocks) * (u64::from(spec.count) + 1);
        start.0.checked_add(blocks).map(|_| Self { start, spec }).ok_or(ClockError::TooLong(start))
    }

    /// Returns the first block of the run.
    #[must_use]
    pub fn start(&self) -> Height {
        self.start
    }

    /// Returns the lengths.
    #[must_use]
    pub fn spec(&self) -> &WindowSpec {
        &self.spec
    }

    /// Returns the block from which on it is useless to wait for the accepted objects of a window: the next
    /// window's claims are closed. A later checkpoint is better then.
    #[must_use]
    pub fn objects_wait(&self, heights: &Heights) -> Height {
        Height(heights.claims_close.0 + u64::from(self.spec.blocks))
    }

    /// Returns the block before which no score log of a window is published: `M_(w+1)`, also after the last
    /// window. Each validator has named the head of its own log in a vote then.
    #[must_use]
    pub fn logs_open(&self, heights: &Heights) -> Height {
        Height(heights.votes_close.0.saturating_add(u64::from(self.spec.blocks)))
    }

    /// Returns the number of blocks after `M_w` in which a validator publishes its score log of a window, on
    /// a subnet with `tempo` blocks between two epochs that hides weights for `hidden` blocks (0 without
    /// commit-reveal).
    ///
    /// The log waits for the next votes and for weights. An epoch takes weights once, and the next one
    /// begins after `tempo + 1` blocks. A validator sets weights between `M_w` and the next `D_w`, so this
    /// may take a window more. A further window is for the upload.
    #[must_use]
    pub fn log_delay(&self, tempo: u16, hidden: u64) -> u64 {
        let blocks = u64::from(self.spec.blocks);
        blocks.max(u64::from(tempo) + 1).saturating_add(2 * blocks).saturating_add(hidden)
    }

    /// Returns the last window of the run.
    #[must_use]
    pub fn last_window(&self) -> Window {
        Window(u64::from(self.spec.count) - 1)
    }

    /// Returns the heights of a window.
    ///
    /// # Errors
    /// The run does not have this window.
    pub fn heights(&self, window: Window) -> Result<Heights, ClockError> {
        let last = self.last_window();
        if window > last {
            return Err(ClockError::NoSuchWindow { window, last });
        }
        let blocks = u64::from(self.spec.blocks);
        let first = self.start.0 + window.0 * blocks;
        let next = first + blocks;
        let after = |offset: u32| Height(next + u64::from(offset));
        Ok(Heights {
            window,
            assignment_seed: Height(first - LEAD),
            first: Height(first),
            last: Height(next - 1),
            incentives: Height(after(self.spec.claims_close).0 - LEAD),
            claims_close: after(self.spec.claims_close),
            keys_close: after(self.spec.keys_close),
            seed: after(self.spec.seed),
            votes_close: after(self.spec.votes_close),
        })
    }

    /// Returns the position of a height.
    #[must_use]
    pub fn position(&self, height: Height) -> Position {
        let Some(since) = height.0.checked_sub(self.start.0) else {
            return Position::Before { blocks: self.start.0 - height.0 };
        };
        let blocks = u64::from(self.spec.blocks);
        let window = since / blocks;
        let offset = since % blocks;
        if window >= u64::from(self.spec.count) {
            return Position::After { offset: since - blocks * u64::from(self.spec.count) };
        }
        let offset = u32::try_from(offset).expect("less than a window, which is a u32 of blocks");
        Position::Within { window: Window(window), offset }
    }

    /// Returns the last window whose accepted set is known at a height (`M_w` has come), if there is one.
    #[must_use]
    pub fn last_decided(&self, height: Height) -> Option<Window> {
        let blocks = u64::from(self.spec.blocks);
        let first_decision = self.start.0 + blocks + u64::from(self.spec.votes_close);
        let since = height.0.checked_sub(first_decision)?;
        Some(Window(since / blocks).min(self.last_window()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The windows of `deploy/runs/tiny.toml`.
    pub(crate) const TINY: WindowSpec = WindowSpec {
        blocks: 30,
        count: 8,
        finality_lag: 3,
        publishing: 1,
        screening: 3,
        claims_close: 3,
        keys_close: 8,
        seed: 12,
        votes_close: 19,
    };

    fn tiny() -> Clock {
        Clock::new(Height(100), TINY).unwrap()
    }

    #[test]
    fn the_first_and_last_block_of_each_window() {
        let clock = tiny();
        let within = |window, offset| Position::Within { window: Window(window), offset };
        for (height, position) in [
            (0, Position::Before { blocks: 100 }),
            (99, Position::Before { blocks: 1 }),
            (100, within(0, 0)),
            (129, within(0, 29)),
            (130, within(1, 0)),
            (339, within(7, 29)),
            (340, Position::After { offset: 0 }),
            (u64::MAX, Position::After { offset: u64::MAX - 340 }),
        ] {
            assert_eq!(clock.position(Height(height)), position, "{height}");
        }
    }

    #[test]
    fn the_heights_of_the_first_window() {
        assert_eq!(
            tiny().heights(Window(0)),
            Ok(Heights {
                window: Window(0),
                assignment_seed: Height(90),
                first: Height(100),
                last: Height(129),
                incentives: Height(123),
                claims_close: Height(133),
                keys_close: Height(138),
                seed: Height(142),
                votes_close: Height(149),
            })
        );
        let beyond = ClockError::NoSuchWindow { window: Window(8), last: Window(7) };
        assert_eq!(tiny().heights(Window(8)), Err(beyond));
        let seeds = [0, 1].map(|window| tiny().heights(Window(window)).unwrap().possession_seed());
        assert_eq!(seeds, [Height(90), Height(149)]);
        assert_eq!(beyond.to_string(), "window 8 is not in this run, which has windows 0 to 7");
        assert!(tiny().heights(Window(u64::MAX)).is_err());
    }

    #[test]
    fn a_window_is_decided_at_its_last_vote() {
        let clock = tiny();
        for (height, decided) in
            [(0, None), (148, None), (149, Some(0)), (178, Some(0)), (179, Some(1)), (u64::MAX, Some(7))]
        {
            assert_eq!(clock.last_decided(Height(height)), decided.map(Window), "{height}");
        }
    }

    #[test]
    fn logs_are_published_after_the_next_votes_and_weights() {
        let clock = tiny();
        let open = |window| clock.logs_open(&clock.heights(Window(window)).unwrap());
        assert_eq!((open(0), open(7)), (Height(179), Height(389)));
        // Epochs that are shorter than a window, and longer ones.
        assert_eq!((clock.log_delay(20, 0), clock.log_delay(60, 0), clock.log_delay(20, 24)), (90, 121, 114));
    }

    #[test]
    fn lengths_that_make_no_clock() {
        let short = WindowSpec { blocks: 19, ..TINY };
        assert_eq!(Clock::new(Height(100), short).err(), short.check().err());
        assert_eq!(Clock::new(Height(9), TINY), Err(ClockError::TooEarly(Height(9))));
        assert!(Clock::new(Height(10), TINY).is_ok());
        let endless = WindowSpec { blocks: u32::MAX, count: u32::MAX, ..TINY };
        assert!(Clock::new(Height(u64::MAX - 1), endless).is_err());
    }

    proptest! {
        #[test]
        fn heights_and_positions_agree(
            start in 10u64..1 << 40, blocks in 24u32..5000, count in 1u32..100_000, window: u64, offset: u32,
        ) {
            let clock = Clock::new(Height(start), WindowSpec { blocks, count, ..TINY }).unwrap();
            let window = Window(window % u64::from(count));
            let heights = clock.heights(window).unwrap();
            let offset = offset % blocks;
            let height = Height(heights.first.0 + u64::from(offset));
            prop_assert_eq!(clock.position(height), Position::Within { window, offset });
            prop_assert_eq!(heights.last.0 + 1 - heights.first.0, u64::from(blocks));
            prop_assert_eq!(clock.last_decided(heights.votes_close), Some(window));
            let before = Height(heights.votes_close.0 - 1);
            prop_assert_eq!(clock.last_decided(before), window.0.checked_sub(1).map(Window));
        }
    }
}
