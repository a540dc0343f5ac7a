//! The miner's state machine: decides what a miner does next in the windows of a run.
//!
//! [`MinerMachine::step`] takes the last event and the latest finalized height, and returns the next
//! action. The machine reads no clock and does no I/O. The driver (`app.rs` of the crate
//! `miner`) carries out the action and reports the result as an event.
//!
//! ```text
//! State -> Prefetch -> Train -> Await -> Compress -> Upload -> Claim -> Wait -> Reveal -> Decide -> Apply
//!   ^                             |         |          |                 |        |         |        |
//!   |                             +---------+----------+-----------------+--------+ too late|        |
//!   |                                                                                       |        |
//!   +-- Resync <----------------------------------------------------------------------------+        |
//!   +----------------------------------- next window ------------------------------------------------+
//! ```
//!
//! The training runs in the background, so the machine orders it apart from the exchange:
//!
//! * With staleness 0 a window is trained from the state at its start, and exchanged after that.
//! * With staleness 1 ([`MinerRules::overlaps`]) the next window is trained from this state, as soon as this
//!   window's upload is in the journal or given up. Its training goes on while this window is exchanged.
//!   `Apply` comes when both have ended. The next window then begins with `Compress`. A miner that joins or
//!   restarts has no training for the window that it enters, so it gives that window up. Only the first
//!   window is trained from its own state, which no window comes before.
//! * A training, an upload or a claim that was too late makes the next training begin late. A miner without
//!   time to spare would be late in all windows from then on. So it does not begin the next training that is
//!   due, and begins the one after that in time. It has no time to spare if its last good training went on
//!   after the decision, or if it was late twice in a row.
//!
//! The key of a sealed submission is published when block `D_w` is final, never before: until then no other
//! miner can copy the submission and claim it. A claim may be sent at any time before.
//!
//! The candidates' submissions are downloaded in the background, from the order of `D_w - 10` on, while the
//! miner trains. So most accepted objects are there when the window is decided. The wait for the others has
//! a height, too: the block with which the next window's claims close.

mod messages;
#[cfg(test)]
mod tests;

pub use messages::{MinerAction, MinerEvent};

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
    /// The training that was begun last, until its window is over.
    training: Option<Training>,
    /// The last claimed window. The miner claims nothing else for it.
    claimed: Option<Window>,
    /// Whether the downloads of the window run, or have ended.
    prefetching: bool,
    lateness: Lateness,
}

/// The lateness of trainings that overlap with the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lateness {
    /// The height since which only the training is waited for.
    awaited: Option<Height>,
    /// Whether the last training that ended in time was waited for.
    is_full: bool,
    /// The last window whose training or upload was too late.
    late: Option<Window>,
    /// Whether the next window that is due is not trained, so that the one after it is in time.
    sits_out: bool,
}

impl Lateness {
    /// Notes that a training ended in time, at this height.
    fn in_time(&mut self, height: Height) {
        self.is_full = self.awaited.take().is_some_and(|since| height > since);
    }

    /// Notes that the update of a window was too late. `rests` says whether the next window is not trained
    /// already.
    fn too_late(&mut self, window: Window, rests: bool) {
        self.awaited = None;
        if self.late != Some(window) {
            let again = self.late.is_some_and(|late| late.0.checked_add(1) == Some(window.0));
            (self.late, self.sits_out) = (Some(window), !rests && (self.is_full || again));
        }
    }
}

/// The settings that do not change within a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinerRules {
    /// The time at which submissions are claimed.
    pub claim_time: ClaimTime,
    /// Whether submissions are sealed, and their keys published after the claims are closed.
    pub reveals: bool,
    /// Whether a window is trained while the one before it is exchanged: staleness 1.
    pub overlaps: bool,
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
    /// The decision is known, and its accepted objects are there. It is not applied yet.
    Decided,
    /// The shared state is lost. The miner makes nothing until it has the state again.
    Lost,
}

/// A training in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Training {
    window: Window,
    progress: TrainingProgress,
}

/// The progress of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrainingProgress {
    Runs,
    /// Its result waits to be compressed.
    Ended,
    /// It has no result: it failed, or it was too late.
    Failed,
}

impl<U: Clone> MinerMachine<U> {
    /// Creates a miner that has no shared state yet. Its first event is [`MinerEvent::State`].
    #[must_use]
    pub fn new(clock: Clock, rules: MinerRules) -> Self {
        Self {
            clock,
            rules,
            window: Window(0),
            stage: MinerStage::Lost,
            training: None,
            claimed: None,
            prefetching: false,
            lateness: Lateness::default(),
        }
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
            (_, MinerEvent::Lost) => (self.stage, self.training) = (MinerStage::Lost, None),
            (_, MinerEvent::Prefetching) => self.prefetching = true,
            (_, MinerEvent::Training(window)) if self.to_train() == Some(window) => {
                self.training = Some(Training { window, progress: TrainingProgress::Runs });
            }
            (_, MinerEvent::Trained) if self.trains() => {
                self.end_training(TrainingProgress::Ended);
                self.lateness.in_time(height);
            }
            (_, MinerEvent::GaveUp) if self.trains() => {
                self.end_training(TrainingProgress::Failed);
                self.training.iter().for_each(|training| self.lateness.too_late(training.window, false));
            }
            (MinerStage::Ready, MinerEvent::Prepared(upload)) => self.stage = MinerStage::Prepared(upload),
            (MinerStage::Ready, MinerEvent::GaveUp) => self.stage = MinerStage::Over(None),
            (MinerStage::Over(_), MinerEvent::Decided) => self.stage = MinerStage::Decided,
            (MinerStage::Prepared(upload), MinerEvent::Uploaded) => {
                self.stage = MinerStage::Uploaded(upload);
            }
            (MinerStage::Uploaded(upload), MinerEvent::Claimed) => {
                self.stage = self.claimed(upload);
                self.claimed = Some(self.window);
                // The claim may be in a block after `D_w`.
                if self.heights().is_ok_and(|heights| height > heights.claims_close) {
                    self.late();
                }
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
        self.training = self.training.filter(|training| training.window == window);
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

    /// Returns the window to train from the shared state, if that is due: this one, or the next one if its
    /// training overlaps with this one's exchange.
    fn to_train(&self) -> Option<Window> {
        let is_first = self.window == Window(0);
        match &self.stage {
            MinerStage::Ready if is_first || !self.rules.overlaps => Some(self.window),
            MinerStage::Ready | MinerStage::Decided | MinerStage::Lost => None,
            _ if self.rules.overlaps => self.window.0.checked_add(1).map(Window),
            _ => None,
        }
    }

    /// Checks whether a training runs.
    fn trains(&self) -> bool {
        self.training.is_some_and(|training| training.progress == TrainingProgress::Runs)
    }

    /// Returns the progress of the training of a window, if it was begun.
    fn training(&self, window: Window) -> Option<TrainingProgress> {
        self.training.filter(|training| training.window == window).map(|training| training.progress)
    }

    /// Notes the end of the training that runs.
    fn end_training(&mut self, progress: TrainingProgress) {
        self.training = self.training.map(|training| Training { progress, ..training });
    }

    /// Notes that the update of this window was too late.
    fn late(&mut self) {
        let next = self.window.0.checked_add(1).map(Window);
        let rests = next.is_some_and(|next| self.training(next) == Some(TrainingProgress::Failed));
        self.lateness.too_late(self.window, rests);
    }

    /// Begins a training that is due.
    fn train(&mut self, height: Height) -> Option<MinerAction<U>> {
        let window = self.to_train().filter(|window| self.training(*window).is_none())?;
        if self.rules.overlaps && std::mem::take(&mut self.lateness.sits_out) {
            self.training = Some(Training { window, progress: TrainingProgress::Failed });
            return None;
        }
        let heights = self.clock.heights(window).ok().filter(|heights| height < self.before(heights))?;
        let from = if self.rules.overlaps { heights.assignment_seed } else { heights.first };
        Some(MinerAction::Train { window, from })
    }

    /// Waits for the training without which this window does not go on.
    fn await_training(&mut self, height: Height) -> Option<MinerAction<U>> {
        let Training { window, progress } = self.training?;
        let heights = self.clock.heights(window).ok()?;
        let is_needed = matches!(self.stage, MinerStage::Ready | MinerStage::Decided);
        if !is_needed || progress != TrainingProgress::Runs {
            return None;
        }
        self.lateness.awaited.get_or_insert(height);
        Some(MinerAction::Await { window, before: self.before(&heights) })
    }

    /// Gives up what this height or a missing training makes impossible.
    fn give_up(&mut self, heights: &Heights, height: Height) {
        if matches!(self.stage, MinerStage::Decided | MinerStage::Lost) {
            return;
        }
        if height >= self.before(heights) {
            let is_open = !matches!(self.stage, MinerStage::Claimed(_) | MinerStage::Over(_));
            if is_open && self.training(self.window).is_some() {
                self.late();
            }
            self.stage = self.too_late();
        }
        if height >= heights.votes_close {
            self.stage = MinerStage::Over(self.upload());
        }
        let has_training = match self.training(self.window) {
            None => self.to_train().is_some(),
            Some(progress) => progress != TrainingProgress::Failed,
        };
        if matches!(self.stage, MinerStage::Ready) && !has_training {
            self.stage = MinerStage::Over(None);
        }
    }

    /// Returns the next action at this height.
    fn act(&mut self, height: Height) -> MinerAction<U> {
        let Ok(heights) = self.heights() else { return MinerAction::Finish };
        let window = self.window;
        if matches!(self.stage, MinerStage::Lost) {
            return MinerAction::Resync;
        }
        if !self.prefetching && height < heights.keys_close {
            return MinerAction::Prefetch { window, until: heights.keys_close };
        }
        if let Some(wait) = self.await_training(height) {
            return wait;
        }
        self.give_up(&heights, height);
        if let Some(train) = self.train(height) {
            return train;
        }
        self.exchange(&heights, height)
    }

    /// Returns the next action for the window's upload or its decision.
    fn exchange(&self, heights: &Heights, height: Height) -> MinerAction<U> {
        let (window, before) = (self.window, self.before(heights));
        let (opens, votes_close) = (self.opens(heights), heights.votes_close);
        match self.stage.clone() {
            MinerStage::Ready => MinerAction::Compress { window, before },
            MinerStage::Prepared(upload) => MinerAction::Upload { window, upload, before },
            MinerStage::Uploaded(_) if height < opens => MinerAction::Wait(opens),
            MinerStage::Uploaded(upload) => MinerAction::Claim { window, upload, before: votes_close },
            MinerStage::Claimed(_) if height < heights.claims_close => {
                MinerAction::Wait(heights.claims_close)
            }
            MinerStage::Claimed(upload) => MinerAction::Reveal { window, upload, before: votes_close },
            MinerStage::Over(upload) => {
                MinerAction::Decide { window, upload, until: self.clock.objects_wait(heights) }
            }
            MinerStage::Decided => MinerAction::Apply { window },
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
            MinerStage::Ready | MinerStage::Decided | MinerStage::Lost => None,
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
