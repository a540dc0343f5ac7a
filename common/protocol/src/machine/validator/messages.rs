//! The input and the output of the state machine: events and actions, with the values that they carry.

use super::SettledWeights;
use base::{Height, Window};
use std::{collections::BTreeSet, fmt::Debug};

/// The types of the values that a window yields. The machine carries them from stage to stage and does
/// not look at them. Clones should be cheap.
pub trait WindowValues: Clone + Debug {
    /// The candidates' submissions that have arrived.
    type Fetched: Clone + Debug;
    /// The miners with good submissions.
    type Good: Clone + Debug;
    /// The losses.
    type Measured: Clone + Debug;
    /// The decision.
    type Decision: Clone + Debug;
    /// The result of the outer step, with the decision.
    type Applied: Clone + Debug;
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidatorAction<V: WindowValues> {
    /// Wait until this block is final, then report [`ValidatorEvent::Height`].
    Wait(Height),
    /// Measure the loss on held-out data with the parameters at the window's start.
    HeldOut {
        /// The window.
        window: Window,
    },
    /// Begin to download the candidates' submissions in the background, as claims stand.
    Prefetch {
        /// The window.
        window: Window,
        /// The block with which the download ends. Submissions that are incomplete when it is final are
        /// late, and keys that are absent then are missing.
        until: Height,
        /// The last block with which keys may be taken, if the downloads serve a vote.
        last_keys: Option<Height>,
    },
    /// Take the submissions that have arrived: when all downloads have ended, at the latest when block
    /// `until` is final. A submission that has not arrived holds up nothing.
    Collect {
        /// The window.
        window: Window,
        /// The block with which the download ends.
        until: Height,
    },
    /// Try the candidates on a small batch of unassigned data, in their order. A candidate that is not
    /// tried when block `until` is final gets no bit.
    Screen {
        /// The window.
        window: Window,
        /// The submissions.
        fetched: V::Fetched,
        /// The block with which the screen ends.
        until: Height,
    },
    /// Submit a vote for the good submissions. Do not wait until it is in a block.
    Vote {
        /// The window.
        window: Window,
        /// The submissions.
        fetched: V::Fetched,
        /// The miners to vote for.
        good: V::Good,
    },
    /// Begin to publish the voted submissions of which this validator is a custodian, in the background.
    Custody {
        /// The window.
        window: Window,
        /// The submissions.
        fetched: V::Fetched,
        /// The miners that the vote names. `None` if the vote was sent before a restart.
        good: Option<V::Good>,
    },
    /// Run the Gauntlet, on the window's own parameters. End it when block `until` is final: the outer step
    /// must be made in time for the next window.
    Measure {
        /// The window.
        window: Window,
        /// The submissions.
        fetched: V::Fetched,
        /// The block with which it ends.
        until: Height,
    },
    /// Read the decision on the window.
    Decide {
        /// The window.
        window: Window,
    },
    /// Close the window's score log and put it into the journal.
    CloseLog {
        /// The window.
        window: Window,
        /// The submissions.
        fetched: V::Fetched,
        /// Their losses.
        measured: V::Measured,
    },
    /// Make the window's outer step. Give up on an accepted object that cannot be downloaded when block
    /// `until` is final: then a later checkpoint is better.
    Apply {
        /// The window.
        window: Window,
        /// The submissions, if this validator fetched them.
        fetched: Option<V::Fetched>,
        /// The decision.
        decision: V::Decision,
        /// The block from which on it is useless to wait for an object.
        until: Height,
    },
    /// Publish the window's record.
    Publish {
        /// The window.
        window: Window,
        /// The result of the outer step. `None` after a restart.
        applied: Option<V::Applied>,
    },
    /// Upload the score logs of these windows: copies of them have no use any more.
    PublishLogs {
        /// The windows.
        windows: BTreeSet<Window>,
    },
    /// Save the parameters at the window's start, and begin to publish them as a checkpoint. A large one
    /// takes longer than a window.
    Checkpoint {
        /// The window.
        window: Window,
    },
    /// Set the weights of this window's score log.
    SetWeights {
        /// The window.
        window: Window,
    },
    /// Get the shared state from other nodes.
    Resync,
    /// The run has ended, and nothing is left to do.
    Finish,
}

/// The result of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidatorEvent<V: WindowValues> {
    /// Time has passed.
    Height,
    /// The shared state at the start of a window is known again, after a resync.
    State {
        /// The window.
        window: Window,
    },
    /// The held-out loss was measured.
    HeldOut,
    /// The download in the background has begun.
    Prefetching {
        /// The block with which it ends, as the action said.
        until: Height,
    },
    /// The submissions that have arrived are checked.
    Collected(V::Fetched),
    /// The window can no longer be evaluated: the chain's nodes have forgotten a state that this needs.
    Missed,
    /// The candidates were tried.
    Screened(V::Good),
    /// The vote is submitted, or can never be.
    Voted,
    /// The publication of the voted submissions has begun.
    Kept,
    /// The Gauntlet has run.
    Measured(V::Measured),
    /// The decision is known, and names this validator's state.
    Decided(V::Decision),
    /// The score log is in the journal.
    Logged,
    /// No score log can be made of this window.
    NotLogged,
    /// The outer step is made.
    Applied(V::Applied),
    /// The shared state is lost: the stake majority names another one, or the next one cannot be made.
    Lost,
    /// The record is published.
    Published,
    /// The upload of score logs has ended.
    LogsPublished {
        /// The windows, as the action said.
        attempted: BTreeSet<Window>,
        /// Those whose logs are in the bucket, or do not exist. The others are tried again later.
        uploaded: BTreeSet<Window>,
    },
    /// The checkpoint is saved. Its publication goes on.
    Checkpointed,
    /// The window's weights are on chain, or can never be set.
    WeightsSettled {
        /// The weights.
        weights: SettledWeights,
        /// The block from which on weights may be set again.
        opens: Height,
    },
    /// Weights cannot be set yet.
    WeightsLater {
        /// The block from which on they can.
        opens: Height,
    },
}
