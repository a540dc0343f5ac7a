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
//!    ordered by their incentive at `D_w - 10`. A hash of the hotkey with the hash of that block
//!    orders equals. The first 2 x `gather_peers` stay. So the order of the claims that stand is known
//!    10 blocks before they are closed ([`standing_candidates`]).
//! 2. A *vote* stands if it is for this run and window, was set after `D_w` and stands at `M_w`. It
//!    does not count if it names candidates that do not exist, or another state than the one that
//!    more than half of the stake names.
//! 3. The *electorate* ([`Electorate`]) are the hotkeys with a permit whose commitment at `M_w` is a
//!    vote on this window or an earlier one. A member's weight is its stake. It falls linearly to 0
//!    over `electorate_blocks` with the age of the vote. The run's founders count as if they had voted
//!    on the window before the first one, until they vote. Other hotkeys with a permit do not count.
//! 4. The window has a *quorum* if the counted stake is more than half of the electorate's weight, and
//!    at least two hotkeys voted (for any state) where others than one have a part: the members that
//!    voted in the last seventh of `electorate_blocks`, without the largest of them, have at least a
//!    tenth of all weight. Without a quorum the window is null.
//! 5. A candidate is *accepted* if counted votes with its bit have more than half of the electorate's
//!    weight, in order, up to `gather_peers`. So an honest node holds it, if more than half is honest.
//!    At most `newcomer_share` of the places go to miners without incentive, unless no candidate has any.

mod candidates;
mod decision;
mod electorate;
mod screen;
mod snapshot;
mod spec;
#[cfg(test)]
mod tests;
mod votes;

pub use candidates::{Candidate, candidates, order_candidates, standing_candidates};
pub use decision::{Accepted, Agreement, CannotDecide, Decision, Evidence, NullWindow, Part, choose, decide};
pub use electorate::{Electorate, Member};
pub use screen::{LEAST_SHARE, LossDrop, TooWeak, screen};
pub use snapshot::{NeuronState, Participant, Snapshot, SnapshotError};
pub use spec::{AcceptanceError, AcceptanceSpec, MOST_FOUNDERS, Screen};
pub use votes::{NamedState, named_states, turnout};
