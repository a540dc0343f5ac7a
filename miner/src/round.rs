//! What a miner does when: a pure state machine over the windows of a run.
//!
//! It is told what has happened and the latest finalized height, and answers with the one thing to do next. It reads no
//! clock and does no I/O; the driver (`app.rs`) carries out what it says and tells it how that went.
//!
//! ```text
//! State -> Wait* -> Make -> Upload -> Claim -> Wait -> Reveal -> Decide -> State of the next window -> ... -> Finish
//!                     |        |        |                 |        |
//!                     +--------+--------+-----------------+--------+    too late: decide without it
//!                                                                  +--> Resync -> State    the others have another state
//! ```
//!
//! The key of a sealed submission is published once claims are closed, and never before: until then nobody can copy it.

#[cfg(test)]
mod tests;

use base::{Height, Window, digest::ObjectHash};
use protocol::clock::{Clock, ClockError, Heights};

/// A miner's place in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    clock: Clock,
    rules: Rules,
    window: Window,
    stage: Stage,
    /// The last window that was claimed: nothing else is claimed for it.
    claimed: Option<Window>,
}

/// What does not change within a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// When submissions are claimed.
    pub claim_time: ClaimTime,
    /// Whether they are sealed, and their keys published when claims are closed.
    pub reveals: bool,
}

/// When a submission is claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimTime {
    /// As soon as it is uploaded, and not after `D_w`.
    #[default]
    InTime,
    /// After `D_w`, when the claim counts no more: how a late miner behaves, for experiments.
    Late,
}

/// What has been reached within the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The shared state at the window's start is known; nothing is made of it yet.
    Ready,
    /// A submission is in the journal.
    Prepared(ObjectHash),
    /// The submission is in the bucket.
    Uploaded(ObjectHash),
    /// The submission is claimed, or may have been before a restart; its key is not published.
    Claimed(ObjectHash),
    /// Done, or given up: what is left is the decision.
    Over,
    /// The shared state is not that of the others: nothing is made until it is.
    Lost,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Height,
    /// The shared state at the start of a window is known: after the start, a decision or a resync.
    State {
        /// The window.
        window: Window,
        /// A submission for it that is in the journal: it was made before a restart.
        kept: Option<ObjectHash>,
    },
    /// The submission is made and in the journal.
    Prepared(ObjectHash),
    /// Nothing was made: the height was reached, or this miner has no data in the window.
    GaveUp,
    /// The submission is in the bucket.
    Uploaded,
    /// The claim is in a block.
    Claimed,
    /// The key is in the bucket.
    Revealed,
    /// The upload, the claim or the publishing of the key did not succeed, and may later.
    Failed,
    /// The stake majority names another state than ours.
    Diverged,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait until this block is final, then tell of it ([`Event::Height`]).
    Wait(Height),
    /// Train, compress, and write the submission to the journal; give up when block `before` is final.
    Make {
        /// The window.
        window: Window,
        /// The block with which it is too late.
        before: Height,
    },
    /// Upload the submission; give up when block `before` is final.
    Upload {
        /// The window.
        window: Window,
        /// The submission.
        object: ObjectHash,
        /// The block with which it is too late.
        before: Height,
    },
    /// Claim the submission. How that went is heard when its block is final, some blocks later: there is nothing else to
    /// do until block `before` is final.
    Claim {
        /// The window.
        window: Window,
        /// The submission.
        object: ObjectHash,
        /// The block with which the window is decided.
        before: Height,
    },
    /// Publish the key of the submission; give up when block `before` is final.
    Reveal {
        /// The window.
        window: Window,
        /// The submission.
        object: ObjectHash,
        /// The block with which the window is decided.
        before: Height,
    },
    /// Wait for the decision on the window and apply it.
    Decide {
        /// The window.
        window: Window,
    },
    /// Get the shared state from elsewhere.
    Resync,
    /// The run has ended.
    Finish,
}

impl Round {
    /// A miner that knows no state yet: it begins with [`Event::State`].
    #[must_use]
    pub fn new(clock: Clock, rules: Rules) -> Self {
        Self { clock, rules, window: Window(0), stage: Stage::Lost, claimed: None }
    }

    /// The window that it is at.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// What to do next, after `event`, when block `height` is the latest final one.
    ///
    /// An event that answers no action of before changes nothing.
    #[must_use = "the driver must do it"]
    pub fn step(&mut self, event: Event, height: Height) -> Action {
        match (self.stage, event) {
            (_, Event::State { window, kept }) => self.enter(window, kept),
            (_, Event::Diverged) => self.stage = Stage::Lost,
            (Stage::Ready, Event::Prepared(object)) => self.stage = Stage::Prepared(object),
            (Stage::Ready, Event::GaveUp) => self.stage = Stage::Over,
            (Stage::Prepared(object), Event::Uploaded) => self.stage = Stage::Uploaded(object),
            (Stage::Uploaded(object), Event::Claimed) => {
                self.stage = self.claimed(object);
                self.claimed = Some(self.window);
            }
            (Stage::Claimed(_), Event::Revealed) => self.stage = Stage::Over,
            (Stage::Prepared(_) | Stage::Uploaded(_) | Stage::Claimed(_), Event::Failed) => {
                return self.retry(height);
            }
            _ => {}
        }
        self.act(height)
    }

    fn enter(&mut self, window: Window, kept: Option<ObjectHash>) {
        self.window = window;
        let is_claimed = self.claimed.is_some_and(|claimed| claimed >= window);
        self.stage = match kept {
            Some(object) if is_claimed => self.claimed(object),
            None if is_claimed => Stage::Over,
            Some(object) => Stage::Prepared(object),
            None => Stage::Ready,
        };
    }

    /// What is left to do for a submission that was claimed, as far as is known.
    fn claimed(&self, object: ObjectHash) -> Stage {
        if self.rules.reveals { Stage::Claimed(object) } else { Stage::Over }
    }

    /// The next thing to do.
    fn act(&mut self, height: Height) -> Action {
        let Ok(heights) = self.heights() else { return Action::Finish };
        let (window, before) = (self.window, self.before(&heights));
        if self.stage == Stage::Lost {
            return Action::Resync;
        }
        if height >= before {
            self.stage = self.too_late();
        }
        if height >= heights.votes_close {
            self.stage = Stage::Over;
        }
        match self.stage {
            Stage::Ready if height < heights.first => Action::Wait(heights.first),
            Stage::Ready => Action::Make { window, before },
            Stage::Prepared(object) => Action::Upload { window, object, before },
            Stage::Uploaded(_) if height < self.opens(&heights) => Action::Wait(self.opens(&heights)),
            Stage::Uploaded(object) => Action::Claim { window, object, before: heights.votes_close },
            Stage::Claimed(_) if height < heights.claims_close => Action::Wait(heights.claims_close),
            Stage::Claimed(object) => Action::Reveal { window, object, before: heights.votes_close },
            Stage::Over | Stage::Lost => Action::Decide { window },
        }
    }

    /// Tries again at the next block, or gives up when that is too late.
    fn retry(&mut self, height: Height) -> Action {
        match self.act(height) {
            Action::Upload { .. } | Action::Claim { .. } | Action::Reveal { .. } => {
                Action::Wait(height.next())
            }
            other => other,
        }
    }

    /// Where it is once no claim can be made any more. What was made before a restart may have been claimed before it.
    fn too_late(&self) -> Stage {
        match self.stage {
            Stage::Prepared(object) | Stage::Uploaded(object) | Stage::Claimed(object) => {
                self.claimed(object)
            }
            _ => Stage::Over,
        }
    }

    fn heights(&self) -> Result<Heights, ClockError> {
        self.clock.heights(self.window)
    }

    /// The block with which it is too late: a claim would be in one after it.
    fn before(&self, heights: &Heights) -> Height {
        match self.rules.claim_time {
            ClaimTime::InTime => heights.claims_close,
            ClaimTime::Late => heights.votes_close,
        }
    }

    /// The block after which a claim may be made.
    fn opens(&self, heights: &Heights) -> Height {
        match self.rules.claim_time {
            ClaimTime::InTime => heights.first,
            ClaimTime::Late => heights.claims_close,
        }
    }
}
