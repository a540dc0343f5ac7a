//! Faults on demand: what somebody dishonest could do, done from outside. Each must turn the run red and name the culprit.

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Fault {
    /// A bit of an accepted submission is flipped in every bucket that stores it.
    FlipBit,
    /// A validator sets other weights than its score log states.
    WrongWeights,
    /// A byte of a published score log is changed.
    EditLog,
    /// A validator withdraws its vote before it counts.
    SkipVote,
    /// A validator votes for another state than it has.
    WrongState,
}

impl Fault {
    /// It replaces a vote while the run goes on; the others come after it.
    pub(crate) fn is_of_votes(self) -> bool {
        matches!(self, Self::SkipVote | Self::WrongState)
    }
}
