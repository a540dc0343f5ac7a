//! The miner's state machine: decides what a miner does next in the windows of a run.
//!
//! [`MinerMachine::step`] takes the last event and the latest finalized height, and returns the next
//! action. The machine reads no clock and does no I/O. The driver (`app.rs` of the crate
//! `miner`) carries out the action and reports the result as an event.
//!
//! ```text
//! State -> Prefetch -> Wait* -> Make -> Upload -> Claim -> Wait -> Reveal -> Decide -> State (next window)
//!                                 |        |        |                 |        |        ... -> Finish
//!                                 +--------+--------+-----------------+--------+    too late
//!                                                                              |
//!                                                          the state is lost   +--> Resync -> State
//! ```
//!
//! The key of a sealed submission is published when block `D_w` is final, never before: until then no other
//! miner can copy the submission and claim it. A claim may be sent at any time before.
//!
//! The candidates' submissions are downloaded in the background, from the order of `D_w - 10` on, while the
//! miner trains. So most accepted objects are there when the window is decided. The wait for the others has
//! a height, too: the block with which the next window's claims close.

#[cfg(test)]
mod tests;

use crate::clock::{Clock, ClockError, Heights};
use base::{Height, Window};

/// A miner's place in a run. `U` is an upload; the machine carries it from stage to stage and does not
/// look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinerMachine<U> {
    clock: Clock,
    rules: MinerRules,
    window: Window,
    stage: MinerStage<U>,
    /// The last claimed window. The miner claims nothing else for it.
    claimed: Option<Window>,
    /// Whether the downloads of the window run, or have ended.
    prefetching: bool,
}

/// The settings that do not change within a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinerRules {
    /// The time at which submissions are claimed.
    pub claim_time: ClaimTime,
    /// Whether submissions are sealed, and their keys published after the claims are closed.
    pub reveals: bool,
}

/// The time at which a submission is claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimTime {
    /// Right after the upload, and not after `D_w`.
    #[default]
    InTime,
    /// After `D_w`, when the claim no longer counts. A late miner behaves this way; used in experiments.
    Late,
}

/// The progress within the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MinerStage<U> {
    /// The shared state at the window's start is known. No update is made yet.
    Ready,
    /// The upload is in the journal.
    Prepared(U),
    /// The upload is in the bucket.
    Uploaded(U),
    /// The upload is claimed, or may have been before a restart. Its key is not published.
    Claimed(U),
    /// The upload is done or given up. Only the decision is left.
    Over(Option<U>),
    /// The shared state is lost. The miner makes nothing until it has the state again.
    Lost,
}

/// The result of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinerEvent<U> {
    /// Time has passed.
    Height,
    /// The shared state at the start of a window is known: after the start, a decision or a resync.
    State {
        /// The window.
        window: Window,
        /// The upload for this window in the journal, made before a restart.
        kept: Option<U>,
    },
    /// The upload is made, and is in the journal.
    Prepared(U),
    /// The downloads of the window run in the background.
    Prefetching,
    /// No upload was made: it was too late, or this miner has no data in the window.
    GaveUp,
    /// The upload is in the bucket.
    Uploaded,
    /// The claim is in a block.
    Claimed,
    /// The key is in the bucket.
    Revealed,
    /// The upload, the claim or the publication of the key failed. A later attempt may succeed.
    Failed,
    /// The shared state is lost: the stake majority names another one, or the next one cannot be made.
    Lost,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinerAction<U> {
    /// Wait until this block is final, then report [`MinerEvent::Height`].
    Wait(Height),
    /// Begin to download the candidates' submissions in the background, as claims stand, until block `until`
    /// is final. Training has priority.
    Prefetch {
        /// The window.
        window: Window,
        /// The block with which the download ends.
        until: Height,
    },
    /// Train, compress, and write the upload to the journal. Give up when block `before` is final.
    Make {
        /// The window.
        window: Window,
        /// The block from which on it is too late.
        before: Height,
    },
    /// Put the submission into the bucket. Give up when block `before` is final.
    Upload {
        /// The window.
        window: Window,
        /// The upload.
        upload: U,
        /// The block from which on it is too late.
        before: Height,
    },
    /// Claim the submission. The result is known when the claim's block is final, some blocks later. The
    /// miner has nothing else to do until block `before` is final.
    Claim {
        /// The window.
        window: Window,
        /// The upload.
        upload: U,
        /// The block with which the window is decided.
        before: Height,
    },
    /// Publish the key of the submission. Give up when block `before` is final.
    Reveal {
        /// The window.
        window: Window,
        /// The upload.
        upload: U,
        /// The block with which the window is decided.
        before: Height,
    },
    /// Wait for the decision on the window and apply it. Give up on an accepted object that cannot be
    /// downloaded when block `until` is final: then a later checkpoint is better.
    Decide {
        /// The window.
        window: Window,
        /// This miner's upload for the window, if it made one.
        upload: Option<U>,
        /// The block from which on it is useless to wait for an object.
        until: Height,
    },
    /// Get the shared state from other nodes.
    Resync,
    /// The run has ended.
    Finish,
}

impl<U: Clone> MinerMachine<U> {
    /// Creates a miner that has no shared state yet. Its first event is [`MinerEvent::State`].
    #[must_use]
    pub fn new(clock: Clock, rules: MinerRules) -> Self {
        Self { clock, rules, window: Window(0), stage: MinerStage::Lost, claimed: None, prefetching: false }
    }

    /// Returns the current window.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Returns the next action after `event`. Block `height` is the latest final one.
    ///
    /// An event that does not belong to the current stage changes nothing.
    #[must_use = "the driver must do it"]
    pub fn step(&mut self, event: MinerEvent<U>, height: Height) -> MinerAction<U> {
        match (self.stage.clone(), event) {
            (_, MinerEvent::State { window, kept }) => self.enter(window, kept),
            (_, MinerEvent::Lost) => self.stage = MinerStage::Lost,
            (_, MinerEvent::Prefetching) => self.prefetching = true,
            (MinerStage::Ready, MinerEvent::Prepared(upload)) => self.stage = MinerStage::Prepared(upload),
            (MinerStage::Ready, MinerEvent::GaveUp) => self.stage = MinerStage::Over(None),
            (MinerStage::Prepared(upload), MinerEvent::Uploaded) => {
                self.stage = MinerStage::Uploaded(upload);
            }
            (MinerStage::Uploaded(upload), MinerEvent::Claimed) => {
                self.stage = self.claimed(upload);
                self.claimed = Some(self.window);
            }
            (MinerStage::Claimed(upload), MinerEvent::Revealed) => {
                self.stage = MinerStage::Over(Some(upload));
            }
            (
                MinerStage::Prepared(_) | MinerStage::Uploaded(_) | MinerStage::Claimed(_),
                MinerEvent::Failed,
            ) => {
                return self.retry(height);
            }
            _ => {}
        }
        self.act(height)
    }

    fn enter(&mut self, window: Window, kept: Option<U>) {
        (self.window, self.prefetching) = (window, false);
        let is_claimed = self.claimed.is_some_and(|claimed| claimed >= window);
        self.stage = match kept {
            Some(upload) if is_claimed => self.claimed(upload),
            None if is_claimed => MinerStage::Over(None),
            Some(upload) => MinerStage::Prepared(upload),
            None => MinerStage::Ready,
        };
    }

    /// Returns the stage of an upload that was claimed, as far as is known.
    fn claimed(&self, upload: U) -> MinerStage<U> {
        if self.rules.reveals { MinerStage::Claimed(upload) } else { MinerStage::Over(Some(upload)) }
    }

    /// Returns the next action at this height.
    fn act(&mut self, height: Height) -> MinerAction<U> {
        let Ok(heights) = self.heights() else { return MinerAction::Finish };
        let window = self.window;
        let before = self.before(&heights);
        if matches!(self.stage, MinerStage::Lost) {
            return MinerAction::Resync;
        }
        if !self.prefetching && height < heights.keys_close {
            return MinerAction::Prefetch { window, until: heights.keys_close };
        }
        if height >= before {
            self.stage = self.too_late();
        }
        if height >= heights.votes_close {
            self.stage = MinerStage::Over(self.upload());
        }
        match self.stage.clone() {
            MinerStage::Ready if height < heights.first => MinerAction::Wait(heights.first),
            MinerStage::Ready => MinerAction::Make { window, before },
            MinerStage::Prepared(upload) => MinerAction::Upload { window, upload, before },
            MinerStage::Uploaded(_) if height < self.opens(&heights) => {
                MinerAction::Wait(self.opens(&heights))
            }
            MinerStage::Uploaded(upload) => {
                MinerAction::Claim { window, upload, before: heights.votes_close }
            }
            MinerStage::Claimed(_) if height < heights.claims_close => {
                MinerAction::Wait(heights.claims_close)
            }
            MinerStage::Claimed(upload) => {
                MinerAction::Reveal { window, upload, before: heights.votes_close }
            }
            MinerStage::Over(upload) => {
                MinerAction::Decide { window, upload, until: self.clock.objects_wait(&heights) }
            }
            MinerStage::Lost => MinerAction::Resync,
        }
    }

    /// Tries again at the next block, or gives up if that is too late.
    fn retry(&mut self, height: Height) -> MinerAction<U> {
        match self.act(height) {
            MinerAction::Upload { .. } | MinerAction::Claim { .. } | MinerAction::Reveal { .. } => {
                MinerAction::Wait(height.next())
            }
            other => other,
        }
    }

    /// Returns the stage after the time for claims. An upload that was made before a restart may have
    /// been claimed before it.
    fn too_late(&self) -> MinerStage<U> {
        match &self.stage {
            MinerStage::Prepared(upload) | MinerStage::Uploaded(upload) | MinerStage::Claimed(upload) => {
                self.claimed(upload.clone())
            }
            _ => MinerStage::Over(self.upload()),
        }
    }

    /// Returns the upload of the window, if there is one.
    fn upload(&self) -> Option<U> {
        match &self.stage {
            MinerStage::Prepared(upload) | MinerStage::Uploaded(upload) | MinerStage::Claimed(upload) => {
                Some(upload.clone())
            }
            MinerStage::Over(upload) => upload.clone(),
            MinerStage::Ready | MinerStage::Lost => None,
        }
    }

    fn heights(&self) -> Result<Heights, ClockError> {
        self.clock.heights(self.window)
    }

    /// Returns the block from which on it is too late: a claim would be in a block after it.
    fn before(&self, heights: &Heights) -> Height {
        match self.rules.claim_time {
            ClaimTime::InTime => heights.claims_close,
            ClaimTime::Late => heights.votes_close,
        }
    }

    /// Returns the block after which the miner may claim.
    fn opens(&self, heights: &Heights) -> Height {
        match self.rules.claim_time {
            ClaimTime::InTime => heights.first,
            ClaimTime::Late => heights.claims_close,
        }
    }
}
