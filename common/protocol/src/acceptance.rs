//! Which submissions of a window all nodes apply: a pure function of the finalized chain.
//!
//! Nobody decides this. Miners claim, validators vote, and whoever reads the same blocks computes the same set:
//! [`candidates`] from the state at `D_w`, [`decide`] from the state at `M_w`. What a node needs is in [`Evidence`];
//! a node that lacks a part of it is told which ([`CannotDecide`]) and must not guess.
//!
//! The rules, with "stake" for the `StakeWeight` of hotkeys with a permit at `M_w`:
//! 1. A *candidate* is a neuron whose claim for this run and window stands at `D_w`. Candidates are ordered by incentive
//!    at `D_w - 10`, ties by a hash of the hotkey with the hash of block `D_w`; the first 2 x `gather_peers` stay.
//! 2. A *vote* stands if it is for this run and window, was set after `D_w` and stands at `M_w`. It does not count if it
//!    names candidates that do not exist, or another state than the one that more than half of the stake names.
//! 3. The window has a *quorum* if the counted stake is more than half of the present stake of the hotkeys that voted in
//!    at least 4 of the last 8 windows (in the first 8 windows: of all hotkeys with a permit), at least the run's floor,
//!    and of at least two hotkeys where two have stake and permit. Without a quorum the window is null.
//! 4. A candidate is *accepted* if more than half of the counted stake has its bit, in order, up to `gather_peers`. At
//!    most `newcomer_share` of the accepted have no incentive yet, unless no candidate has any.

mod candidates;
mod decision;
mod screen;
mod snapshot;
mod spec;
#[cfg(test)]
mod tests;
mod votes;

pub use candidates::{Candidate, candidates};
pub use decision::{Accepted, CannotDecide, Decision, Evidence, NullWindow, Part, Standing, decide};
pub use screen::{Fall, LEAST_SHARE, Weak, screen};
pub use snapshot::{NeuronState, Participant, Snapshot, SnapshotError};
pub use spec::{AcceptanceError, AcceptanceSpec, Screen};
pub use votes::turnout;

/// How many past windows say who votes regularly.
pub const MEMORY: u64 = 8;
/// In how many of them a hotkey must have voted for its stake to be missed.
pub const REGULAR: usize = 4;
