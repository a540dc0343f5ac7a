//! Selects the submissions of a window that all nodes apply: a pure function of the finalized
//! chain.
//!
//! There is no leader. Miners claim and validators vote. All nodes that read the same blocks
//! compute the same set: [`candidates`] from the state at `D_w`, and [`decide`] from the state at
//! `M_w`. [`Evidence`] holds the input of a node. If a part of it is missing, the node gets
//! [`CannotDecide`], which names the part. It must not guess.
//!
//! The rules, with "stake" for the `StakeWeight` of hotkeys with a permit at `M_w`:
//! 1. A *candidate* is a neuron whose claim for this run and window stands at `D_w`. Candidates are
//!    ordered by their incentive at `D_w - 10`. A hash of the hotkey with the hash of block `D_w`
//!    orders equals. The first 2 x `gather_peers` stay.
//! 2. A *vote* stands if it is for this run and window, was set after `D_w` and stands at `M_w`. It
//!    does not count if it names candidates that do not exist, or another state than the one that
//!    more than half of the stake names.
//! 3. The window has a *quorum* if the counted stake is more than half of the expected stake, at
//!    least the run's floor, and of at least two hotkeys where two have stake and permit. The
//!    expected stake is the present stake of the hotkeys that voted in at least 4 of the last 8
//!    windows; in the first 8 windows, of all hotkeys with a permit. Without a quorum the window is
//!    null.
//! 4. A candidate is *accepted* if more than half of the counted stake has its bit, in order, up to
//!    `gather_peers`. At most `newcomer_share` of the accepted have no incentive yet, unless no
//!    candidate has any.

mod candidates;
mod decision;
mod screen;
mod snapshot;
mod spec;
#[cfg(test)]
mod tests;
mod votes;

pub use candidates::{Candidate, candidates};
pub use decision::{Accepted, Agreement, CannotDecide, Decision, Evidence, NullWindow, Part, decide};
pub use screen::{LEAST_SHARE, LossDrop, TooWeak, screen};
pub use snapshot::{NeuronState, Participant, Snapshot, SnapshotError};
pub use spec::{AcceptanceError, AcceptanceSpec, Screen};
pub use votes::turnout;

/// The number of past windows that decide which hotkeys vote regularly.
pub const MEMORY: u64 = 8;
/// The number of these windows in which a hotkey must have voted for its stake to be expected.
pub const REGULAR: usize = 4;
