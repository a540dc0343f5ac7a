//! Faults on demand: acts of a dishonest owner, injected from outside the nodes. Each fault must make an
//! assertion fail, and the assertion must name the culprit.

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Fault {
    /// Flip a bit of an accepted submission in its miner's bucket.
    FlipBit,
    /// Set other weights than the validator's score log states.
    WrongWeights,
    /// Change a byte of a published score log.
    EditLog,
    /// Withdraw a validator's vote before it counts.
    SkipVote,
    /// Vote for a state that the validator does not have.
    WrongState,
}

impl Fault {
    /// Returns whether the fault replaces a vote during the run. The other faults are injected after
    /// the run.
    pub(crate) fn is_of_votes(self) -> bool {
        matches!(self, Self::SkipVote | Self::WrongState)
    }
}
