//! The states and checkpoints that a node no longer trusts.

use base::{Window, digest::State};
use protocol::checkpoint::Pointer;
use std::collections::BTreeSet;

/// The reason to get the shared state from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The state is not the majority's.
    Diverged,
    /// The state is right, but the next one cannot be made: an object or a record is not available.
    Stuck,
}

/// The node's doubts about states and checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// States that were offered and are not the majority's.
    pub(crate) rejected: BTreeSet<State>,
    /// BLAKE3 of the manifest of the checkpoint that the state began with, if it did.
    pub(crate) taken: Option<[u8; 32]>,
    /// Checkpoints that led to another state than the majority's: a state does not vouch for the last
    /// norms.
    pub(crate) distrusted: BTreeSet<[u8; 32]>,
    /// The reason to get the state from elsewhere, if there is one.
    pub(crate) lost: Option<Lost>,
    /// The last window in which a quorum named the node's state.
    pub(crate) agreed: Option<Window>,
}

impl Doubts {
    /// Notes that the node's state is not the majority's.
    pub(crate) fn diverged(&mut self, ours: State) {
        self.rejected.insert(ours);
        self.distrusted.extend(self.taken.take());
        self.lost = Some(Lost::Diverged);
    }

    /// Checks whether a checkpoint may be taken.
    pub(crate) fn trusts(&self, pointer: &Pointer) -> bool {
        !self.rejected.contains(&pointer.state) && !self.distrusted.contains(&pointer.manifest)
    }
}
