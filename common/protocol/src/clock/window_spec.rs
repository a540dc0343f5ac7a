//! The lengths of a run, and the rules that leave time for finality and for the work.

use super::ClockError;
use base::wire::{Reader, WireError, Writer};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The lengths of a run, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Blocks of a window: the time for [`inner_steps`](crate::train::TrainSpec::inner_steps) and
    /// for the exchange.
    pub blocks: u32,
    /// Windows of the run. The run ends after them.
    pub count: u32,
    /// The finality lag that the run is made for: a block is final when the best block is at most
    /// this many blocks above it.
    pub finality_lag: u32,
    /// Blocks from the moment when `D_w` is final until the keys are in the buckets. At least 1. The
    /// candidates' objects are downloaded in this time as well, and in the blocks until `K_w` is
    /// final: what is incomplete then is late.
    pub publishing: u32,
    /// Blocks from the moment when `S_w` is final until a validator has opened and screened all
    /// candidates and submits its vote. At least 1.
    pub screening: u32,
    /// Offset of `D_w`, in blocks from the first block of `w + 1`. It is the last block in which a
    /// claim of `w` counts.
    pub claims_close: u32,
    /// Offset of `K_w`, before which the keys of sealed submissions must be in the buckets.
    pub keys_close: u32,
    /// Offset of `S_w`, the block whose hash seeds the evaluation of `w`. It comes after `K_w` is
    /// final, so that no miner knew it.
    pub seed: u32,
    /// Offset of `M_w`, the last block in which a vote on `w` counts. The accepted set is read there.
    pub votes_close: u32,
}

/// A rule about the deadlines of a window. Each one gives the smallest value of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineRule {
    /// Miners publish their keys only once `D_w` is final. If they did it earlier and `D_w` were
    /// dropped, others could copy their submissions and claim them. The last claims are known then, too:
    /// their objects are downloaded from then on until `K_w` is final.
    Keys,
    /// Validators ask for keys for the last time when `K_w` is final. If the seed were known by
    /// then, a miner could withhold its key because of it.
    Seed,
    /// A vote needs the final seed, the time for opening and screening, and a block.
    Votes,
    /// The accepted set of `w` is known when `M_w` is final, before window `w + 1` ends. With staleness 0 the
    /// training of `w + 1` begins then. With staleness 1 the set is applied when that training ends.
    Training,
}

impl DeadlineRule {
    /// All rules, in the order of the deadlines.
    const ALL: [Self; 4] = [Self::Keys, Self::Seed, Self::Votes, Self::Training];

    /// Returns the name of the length that the rule limits.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Keys => "keys_close",
            Self::Seed => "seed",
            Self::Votes => "votes_close",
            Self::Training => "blocks",
        }
    }

    /// Returns the value of the length that the rule limits.
    #[must_use]
    pub fn found(self, spec: &WindowSpec) -> u32 {
        match self {
            Self::Keys => spec.keys_close,
            Self::Seed => spec.seed,
            Self::Votes => spec.votes_close,
            Self::Training => spec.blocks,
        }
    }

    /// Returns the smallest value that obeys the rule, given the other lengths.
    #[must_use]
    pub fn least(self, spec: &WindowSpec) -> u64 {
        let (earlier, work) = match self {
            Self::Keys => (spec.claims_close, spec.publishing),
            Self::Seed => (spec.keys_close, 0),
            Self::Votes => (spec.seed, spec.screening),
            Self::Training => (spec.votes_close, 1),
        };
        u64::from(earlier) + u64::from(spec.finality_lag) + 1 + u64::from(work)
    }

    /// Raises the length that the rule limits to a value that obeys the rule. Returns `None` if no
    /// `u32` does.
    fn repair(self, spec: &mut WindowSpec) -> Option<()> {
        let least = u32::try_from(self.least(spec)).ok()?;
        let field = match self {
            Self::Keys => &mut spec.keys_close,
            Self::Seed => &mut spec.seed,
            Self::Votes => &mut spec.votes_close,
            Self::Training => &mut spec.blocks,
        };
        *field = least.max(*field);
        Some(())
    }
}

impl fmt::Display for DeadlineRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "keys_close >= claims_close + finality_lag + 1 + publishing",
            Self::Seed => "seed >= keys_close + finality_lag + 1",
            Self::Votes => "votes_close >= seed + finality_lag + 1 + screening",
            Self::Training => "blocks > votes_close + finality_lag + 1",
        })
    }
}

impl WindowSpec {
    /// Checks the lengths against each [`DeadlineRule`].
    ///
    /// # Errors
    /// A length is 0, or a deadline comes too soon after the one before it. The error names the
    /// first such length, the rule and the smallest value that obeys it.
    pub fn check(&self) -> Result<(), ClockError> {
        let lengths = [
            ("blocks", self.blocks),
            ("count", self.count),
            ("publishing", self.publishing),
            ("screening", self.screening),
        ];
        if let Some((name, _)) = lengths.into_iter().find(|&(_, blocks)| blocks == 0) {
            return Err(ClockError::Zero(name));
        }
        let is_broken = |rule: &DeadlineRule| u64::from(rule.found(self)) < rule.least(self);
        match DeadlineRule::ALL.into_iter().find(is_broken) {
            Some(rule) => Err(ClockError::Deadline { rule, spec: *self }),
            None => Ok(()),
        }
    }

    /// Returns these lengths with deadlines that obey the rules. `claims_close` and all deadlines
    /// that obey the rules stay. The others move to the first block that does. A window that is too
    /// short becomes just long enough. Returns `None` if lengths are 0 or too large for this.
    #[must_use]
    pub fn proposed(&self) -> Option<Self> {
        let mut spec = *self;
        for rule in DeadlineRule::ALL {
            rule.repair(&mut spec)?;
        }
        spec.check().ok().map(|()| spec)
    }

    /// Returns the window's length and the offsets as lines of a run file.
    #[must_use]
    pub fn toml_lines(&self) -> String {
        let Self { blocks, claims_close, keys_close, seed, votes_close, .. } = self;
        format!(
            "blocks = {blocks}\nclaims_close = {claims_close}\nkeys_close = {keys_close}\nseed = {seed}\n\
             votes_close = {votes_close}"
        )
    }

    /// Appends the nine lengths.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.blocks).u32(self.count);
        to.u32(self.finality_lag).u32(self.publishing).u32(self.screening);
        to.u32(self.claims_close).u32(self.keys_close).u32(self.seed).u32(self.votes_close);
    }

    /// Reads the nine lengths, unchecked.
    ///
    /// # Errors
    /// The input ends too early.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            blocks: from.u32("window.blocks")?,
            count: from.u32("window.count")?,
            finality_lag: from.u32("window.finality_lag")?,
            publishing: from.u32("window.publishing")?,
            screening: from.u32("window.screening")?,
            claims_close: from.u32("window.claims_close")?,
            keys_close: from.u32("window.keys_close")?,
            seed: from.u32("window.seed")?,
            votes_close: from.u32("window.votes_close")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::TINY, *};
    use proptest::prelude::*;

    /// Returns the error for tiny's lengths after a change.
    fn refuse(change: fn(&mut WindowSpec)) -> String {
        let mut spec = TINY;
        change(&mut spec);
        spec.check().unwrap_err().to_string()
    }

    #[test]
    fn lengths_that_are_zero() {
        assert_eq!(refuse(|spec| spec.blocks = 0), "window.blocks is 0: it must be at least 1");
        assert_eq!(refuse(|spec| spec.count = 0), "window.count is 0: it must be at least 1");
        assert_eq!(refuse(|spec| spec.publishing = 0), "window.publishing is 0: it must be at least 1");
        assert_eq!(refuse(|spec| spec.screening = 0), "window.screening is 0: it must be at least 1");
    }

    #[test]
    fn deadlines_that_come_too_soon() {
        assert_eq!(
            refuse(|spec| spec.keys_close = 7),
            "window.keys_close is 7: it must be at least 8 (keys_close >= claims_close + finality_lag + 1 + \
             publishing)"
        );
        assert_eq!(
            refuse(|spec| spec.seed = 11),
            "window.seed is 11: it must be at least 12 (seed >= keys_close + finality_lag + 1)"
        );
        assert_eq!(
            refuse(|spec| spec.votes_close = 18),
            "window.votes_close is 18: it must be at least 19 (votes_close >= seed + finality_lag + 1 + screening)"
        );
        assert_eq!(
            refuse(|spec| spec.blocks = 23),
            "window.blocks is 23: it must be at least 24 (blocks > votes_close + finality_lag + 1)"
        );
        assert_eq!(WindowSpec { blocks: 24, ..TINY }.check(), Ok(()));
        let rule = DeadlineRule::Keys;
        let spec = WindowSpec { claims_close: u32::MAX, ..TINY };
        assert_eq!(spec.check(), Err(ClockError::Deadline { rule, spec }));
        assert_eq!(rule.least(&spec), u64::from(u32::MAX) + 5);
    }

    /// Checks offsets for instant finality: no vote counts with them where finality lags by 3 blocks.
    #[test]
    fn offsets_without_finality_are_refused_and_repaired() {
        let old = WindowSpec { claims_close: 3, keys_close: 4, seed: 5, votes_close: 8, ..TINY };
        assert_eq!(old.check(), Err(ClockError::Deadline { rule: DeadlineRule::Keys, spec: old }));
        assert_eq!(old.proposed(), Some(TINY));
        let lines = "blocks = 30\nclaims_close = 3\nkeys_close = 8\nseed = 12\nvotes_close = 19";
        assert_eq!(TINY.toml_lines(), lines);
    }

    #[test]
    fn a_proposal_keeps_lengths_that_are_long_enough() {
        assert_eq!(TINY.proposed(), Some(TINY));
        let roomy = WindowSpec { keys_close: 9, seed: 14, ..TINY };
        assert_eq!(roomy.proposed(), Some(WindowSpec { votes_close: 21, ..roomy }));
        let short = WindowSpec { blocks: 9, ..TINY };
        assert_eq!(short.proposed(), Some(WindowSpec { blocks: 24, ..TINY }));
        assert_eq!(WindowSpec { count: 0, ..TINY }.proposed(), None);
        assert_eq!(WindowSpec { claims_close: u32::MAX - 7, ..TINY }.proposed(), None);
    }

    proptest! {
        #[test]
        fn a_proposal_obeys_all_rules_and_no_smaller_one_does(
            finality_lag in 0u32..100, publishing in 1u32..50, screening in 1u32..200, claims_close in 0u32..50,
        ) {
            let offsets = WindowSpec { claims_close, keys_close: 0, seed: 0, votes_close: 0, ..TINY };
            let empty = WindowSpec { blocks: 1, finality_lag, publishing, screening, ..offsets };
            let proposed = empty.proposed().unwrap();
            prop_assert_eq!(proposed.check(), Ok(()));
            for (rule, shorter) in [
                (DeadlineRule::Keys, WindowSpec { keys_close: proposed.keys_close - 1, ..proposed }),
                (DeadlineRule::Seed, WindowSpec { seed: proposed.seed - 1, ..proposed }),
                (DeadlineRule::Votes, WindowSpec { votes_close: proposed.votes_close - 1, ..proposed }),
                (DeadlineRule::Training, WindowSpec { blocks: proposed.blocks - 1, ..proposed }),
            ] {
                prop_assert_eq!(shorter.check(), Err(ClockError::Deadline { rule, spec: shorter }));
                prop_assert_eq!(shorter.proposed(), Some(proposed));
            }
        }
    }
}
