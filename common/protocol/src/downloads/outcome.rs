//! The result of a window's downloads for each miner, and the fault behind it.

use super::ClockReadings;
use base::NeuronId;
use scoring::gauntlet::Fault;
use std::{collections::BTreeMap, fmt};

/// The reason why one try of a download ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TryFailure {
    /// The bucket answers that the object does not exist (404), or that it is forbidden (403). S3 answers 403
    /// for an absent object if the reader may not list the bucket. Either may change until `K_w`.
    Absent,
    /// The bucket does not answer, or the connection broke off.
    Broken,
    /// The bucket answers in another way than a bucket with the object does.
    Refused,
    /// The rest of the object is larger than the rest of the peer's budget.
    Budget,
    /// The bucket answers that this node's clock is wrong. Only [`ClockReadings`] tell whether that is true.
    Clock,
    /// This node is the cause: its disk.
    Own,
}

/// The result of a window's downloads from one miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerOutcome {
    /// The object arrived, and its key if it is sealed.
    Arrived,
    /// The object was incomplete when block `K_w` was final.
    Late {
        /// Whether the miner is the cause: it exceeded its budget, or it was slower than the floor while
        /// the own line was not full.
        at_fault: bool,
    },
    /// The object arrived, but its key was absent when block `K_w` was final.
    MissingKey,
    /// The object arrived. This node saw block `K_w` too late to ask for the key: miners may know the seed.
    KeyNotAsked,
    /// No byte of the object arrived.
    Failed(TryFailure),
    /// The bytes that arrived are not the claimed submission.
    Invalid(Fault),
}

impl PeerOutcome {
    /// Returns the miner's fault, if this node is not cut off.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::Arrived
            | Self::Late { at_fault: false }
            | Self::KeyNotAsked
            | Self::Failed(TryFailure::Own) => None,
            Self::Late { at_fault: true } => Some(Fault::Slow),
            Self::MissingKey
            | Self::Failed(
                TryFailure::Absent | TryFailure::Broken | TryFailure::Refused | TryFailure::Clock,
            ) => Some(Fault::Missing),
            Self::Failed(TryFailure::Budget) => Some(Fault::Slow),
            Self::Invalid(fault) => Some(fault),
        }
    }

    /// Checks whether nothing useful came, for a reason that may be this node's own.
    fn has_failed(self) -> bool {
        !matches!(self, Self::Arrived | Self::Invalid(_))
    }
}

impl fmt::Display for PeerOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrived => "the submission has arrived",
            Self::Late { at_fault: true } => "the object was too slow, and incomplete when keys closed",
            Self::Late { at_fault: false } => "the object was incomplete when keys closed",
            Self::MissingKey => "the key was absent when keys closed",
            Self::KeyNotAsked => "this node saw too late that keys closed, and did not ask for the key",
            Self::Failed(TryFailure::Absent) => "the object is absent or may not be read",
            Self::Failed(TryFailure::Broken) => "the bucket does not answer",
            Self::Failed(TryFailure::Refused) => "the bucket refuses the download",
            Self::Failed(TryFailure::Clock) => "the bucket refuses the time of this node's clock",
            Self::Failed(TryFailure::Budget) => "the budget of this miner is spent",
            Self::Failed(TryFailure::Own) => "this node cannot download",
            Self::Invalid(fault) => return fault.fmt(f),
        })
    }
}

/// Checks whether this node was cut off in a window: more than half of its downloads failed, for any reason,
/// or buckets may have refused it for its own clock. Each reading of the clock was taken while the downloads
/// ran, or right after it.
///
/// Bytes that arrived and are invalid do not count as failed: this node could read them.
pub fn is_cut_off(
    outcomes: impl IntoIterator<Item = PeerOutcome>,
    clock: impl IntoIterator<Item = ClockReadings>,
) -> bool {
    if clock.into_iter().any(ClockReadings::may_be_refused) {
        return true;
    }
    let (mut all, mut failed) = (0usize, 0usize);
    for outcome in outcomes {
        all += 1;
        failed += usize::from(outcome.has_failed());
    }
    2 * failed > all
}

/// Returns the miners that are at fault in a window. If this node was cut off, only a miner whose bytes are
/// invalid is at fault.
///
/// Miners that fail together can excuse each other this way, if they are most of the claims. They gain
/// nothing: what did not arrive gets no vote and no score.
#[must_use]
pub fn faults(
    outcomes: &BTreeMap<NeuronId, PeerOutcome>,
    clock: impl IntoIterator<Item = ClockReadings>,
) -> BTreeMap<NeuronId, Fault> {
    let cut_off = is_cut_off(outcomes.values().copied(), clock);
    let faults = outcomes.iter().filter(|(_, outcome)| !(cut_off && outcome.has_failed()));
    faults.filter_map(|(miner, outcome)| Some((*miner, outcome.fault()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Height, Hotkey};

    const ABSENT: PeerOutcome = PeerOutcome::Failed(TryFailure::Absent);

    fn faults_of(outcomes: &[PeerOutcome]) -> Vec<Option<Fault>> {
        let id = |at: usize| NeuronId { hotkey: Hotkey([at as u8; 32]), registered: Height(1) };
        let outcomes = outcomes.iter().enumerate().map(|(at, outcome)| (id(at), *outcome)).collect();
        let faults = faults(&outcomes, [ClockReadings { bucket: Some(1), chain: None }]);
        (0..outcomes.len()).map(|at| faults.get(&id(at)).copied()).collect()
    }

    #[test]
    fn a10_where_most_downloads_fail_no_miner_is_at_fault() {
        let arrived = PeerOutcome::Arrived;
        assert_eq!(faults_of(&[ABSENT, ABSENT, ABSENT]), [None; 3], "a clock that is off: 403 everywhere");
        assert_eq!(faults_of(&[ABSENT, arrived, ABSENT]), [None; 3], "most");
        assert_eq!(faults_of(&[ABSENT, arrived, arrived]), [Some(Fault::Missing), None, None], "one");
        assert_eq!(faults_of(&[ABSENT, arrived]), [Some(Fault::Missing), None], "half is not most");
        let late = PeerOutcome::Late { at_fault: true };
        assert_eq!(faults_of(&[late, PeerOutcome::MissingKey, ABSENT, arrived]), [None; 4], "mixed reasons");
    }

    /// Checks a bucket that says that the validator's clock is wrong.
    #[test]
    fn a10_a_bucket_does_not_excuse_its_owner_with_the_validators_clock() {
        let (clock, arrived) = (PeerOutcome::Failed(TryFailure::Clock), PeerOutcome::Arrived);
        assert_eq!(faults_of(&[clock, arrived, arrived]), [Some(Fault::Missing), None, None]);
        let late = PeerOutcome::Late { at_fault: true };
        let outcomes = [(1, clock), (2, late), (3, arrived), (4, arrived), (5, arrived)];
        let id = |at| NeuronId { hotkey: Hotkey([at; 32]), registered: Height(1) };
        let outcomes = outcomes.map(|(at, outcome)| (id(at), outcome)).into();
        let right = ClockReadings { bucket: Some(0), chain: Some(0) };
        let wrong = ClockReadings { bucket: Some(7200), ..right };
        assert_eq!(faults(&outcomes, [right, right]).len(), 2);
        assert!(faults(&outcomes, [right, wrong]).is_empty(), "the clock was wrong at the end");
        assert!(faults(&outcomes, [wrong, right]).is_empty(), "it was wrong at first");
    }

    #[test]
    fn bytes_that_arrived_are_never_excused() {
        let invalid = PeerOutcome::Invalid(Fault::Mismatch);
        let faults = faults_of(&[ABSENT, ABSENT, invalid]);
        assert_eq!(faults, [None, None, Some(Fault::Mismatch)]);
        assert_eq!(faults_of(&[invalid, ABSENT]), [Some(Fault::Mismatch), Some(Fault::Missing)]);
    }

    #[test]
    fn a_window_without_claims_is_not_cut_off() {
        assert!(!is_cut_off([], []));
    }
}
