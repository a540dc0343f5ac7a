//! The validator's state machine: decides what a validator does next in the windows of a run.
//!
//! [`ValidatorMachine::step`] takes the last event and the latest finalized height, and returns the next
//! action. The machine reads no clock and does no I/O. The driver (`app.rs` of the crate
//! `validator`) carries out the action and reports the result as an event.
//!
//! The actions of a window: prefetch the candidates' submissions in the background, collect what has
//! arrived (at `K_w`), screen it (from `S_w` on), vote, publish the voted submissions of the own custody,
//! measure on the window's parameters, read the decision at `M_w`, close the score log, make the outer
//! step, publish the record, and set weights when the chain allows it. The score log is on the disk before
//! the outer step replaces the window's parameters, so a validator that is killed at any point resumes where
//! it was. It is published about a window later, when a copy of it has no use ([`release`]).
//!
//! Each action that depends on other nodes or takes long ends at a height, so no stranger holds a validator
//! up. The heights of a window, with the finality lag of the run spec:
//!
//! | action | ends when this block is final | reason |
//! |---|---|---|
//! | collect | `K_w` | what is incomplete then is late |
//! | screen | `M_w - lag - 2`, but not before `S_w + 1` | a vote takes a block or two |
//! | measure | `D_(w+1) - 10`, but not before `M_w` | the next window's prefetch begins |
//!
//! The measurements of the last window have no such end.
//!
//! A vote that is submitted when block `h` is final enters block `h + lag + 1` or the next one, since the
//! best block is `h + lag` then. With `h = M_w - lag - 2` these are `M_w - 1` and `M_w`. The run spec
//! demands `M_w >= S_w + lag + 1 + screening` with `screening >= 1`. For the smallest spec `h` would be
//! `S_w`, which leaves no time to screen. There the screen ends when `S_w + 1` is final, and one block is
//! left for the vote: `S_w + 1 + lag + 1 = M_w`.
//!
//! A validator that was started after `D_w` has not seen these heights pass. It downloads for as many
//! blocks as the others had from `D_w` to `K_w`, but for its vote at most until the last block that is
//! final before `S_w` can be made: `S_w - lag - 1`. A miner that knows the seed could publish its key for
//! such validators alone. What is collected later is measured, and there is no vote.
//!
//! The stages carry what the window has yielded so far ([`WindowValues`]), so each action comes with its
//! input.
//!
//! ```
//! use base::{Height, Window};
//! use protocol::clock::{Clock, WindowSpec};
//! use protocol::machine::validator::{
//!     Past, ValidatorAction, ValidatorEvent, ValidatorMachine, ValidatorRules, WindowValues,
//! };
//!
//! #[derive(Clone, Debug, PartialEq)]
//! struct Nothing;
//! impl WindowValues for Nothing {
//!     type Fetched = ();
//!     type Good = ();
//!     type Measured = ();
//!     type Decision = ();
//!     type Applied = ();
//! }
//! let spec = WindowSpec {
//!     blocks: 30,
//!     count: 8,
//!     finality_lag: 3,
//!     publishing: 1,
//!     screening: 3,
//!     claims_close: 3,
//!     keys_close: 8,
//!     seed: 12,
//!     votes_close: 19,
//! };
//! let rules = ValidatorRules { clock: Clock::new(Height(100), spec)?, checkpoint_every: 4 };
//! let mut machine = ValidatorMachine::<Nothing>::resume(rules, Window(0), Past::default());
//! let window = Window(0);
//! let until = Height(138); // K_0
//! let prefetch = ValidatorAction::Prefetch { window, until, last_keys: Some(until) };
//! assert_eq!(machine.step(ValidatorEvent::Height, Height(110)), prefetch);
//! let held_out = ValidatorAction::HeldOut { window };
//! assert_eq!(machine.step(ValidatorEvent::Prefetching { until }, Height(110)), held_out);
//! assert_eq!(machine.step(ValidatorEvent::HeldOut, Height(110)), ValidatorAction::Wait(Height(133))); // D_0
//! assert_eq!(machine.step(ValidatorEvent::Height, Height(133)), ValidatorAction::Collect { window, until });
//! # Ok::<(), protocol::clock::ClockError>(())
//! ```

mod idle;
mod messages;
mod release;

pub use messages::{ValidatorAction, ValidatorEvent, WindowValues};
pub use release::{SettledWeights, release};

use crate::clock::{Clock, Heights};
use base::{Height, Window};
use release::{Settled, Unpublished};
use std::collections::BTreeSet;

/// Blocks that are reserved for a vote: it enters the next block, or the one after it.
pub const VOTE_BLOCKS: u64 = 2;

/// The settings that do not change within a run.
#[derive(Clone, Copy, Debug)]
pub struct ValidatorRules {
    /// The heights of the run.
    pub clock: Clock,
    /// Windows between two checkpoints; 0 for none.
    pub checkpoint_every: u64,
}

/// The facts that outlast a restart: read from the node's journal, its bucket and the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The newest window with a vote of this validator on chain.
    pub voted: Option<Window>,
    /// The newest window with a closed score log.
    pub logged: Option<Window>,
    /// The windows whose score logs are closed and not known to be in the bucket.
    pub unpublished: BTreeSet<Window>,
    /// The newest weights that are settled, and earlier ones that are public before them.
    pub weighed: Vec<SettledWeights>,
    /// The block from which on weights may be set: the rate limit is over, and the epoch has none of this
    /// validator yet.
    pub opens: Height,
}

/// A validator's place in a run.
#[derive(Clone, Debug)]
pub struct ValidatorMachine<V: WindowValues> {
    rules: ValidatorRules,
    voted: Option<Window>,
    logged: Option<Window>,
    weighed: Settled,
    /// The block from which on weights may be set.
    opens: Height,
    unpublished: Unpublished,
    /// The next window to be decided.
    window: Window,
    /// Whether the window's downloads end too late for a vote: miners may know the seed.
    is_seed_known: bool,
    stage: ValidatorStage<V>,
}

/// The progress within the window.
#[derive(Clone, Debug)]
enum ValidatorStage<V: WindowValues> {
    /// The validator was started again. The last decided window may not be published yet.
    Resumed,
    /// The window's parameters are there, and nothing else.
    Begun,
    /// The downloads run in the background. The held-out loss is not measured yet.
    Prefetching(Prefetch),
    /// Waits for `D_w`.
    Claims(Prefetch),
    /// The submissions that have arrived are known. Waits for `S_w`.
    Collected(V::Fetched),
    /// The good submissions are known.
    Screened(V::Fetched, V::Good),
    /// The vote is submitted, or can never be. Its submissions are not published.
    Voted(V::Fetched, Option<V::Good>),
    /// The voted submissions are being published.
    Kept(V::Fetched),
    /// Nothing is left to do before the decision. Waits for `M_w`.
    Deciding(Known<V>),
    /// The decision is known, and names this validator's state.
    Decided(Known<V>, V::Decision),
    /// The shared state is lost.
    Lost,
    /// The next window's parameters are there. Nothing is published yet.
    Applied(V::Applied),
    /// Log and record are published. The checkpoint is not saved yet.
    Published,
}

/// The downloads of a window: the block with which they end, or `None` without downloads.
type Prefetch = Option<Height>;

/// The validator's own knowledge of a window, for the time after the decision.
#[derive(Clone, Debug)]
enum Known<V: WindowValues> {
    /// Nothing was collected.
    Nothing,
    /// The submissions. There is no score log to be made of them.
    Submissions(V::Fetched),
    /// The submissions and the losses: all that a score log needs.
    Losses(V::Fetched, V::Measured),
}

impl<V: WindowValues> Known<V> {
    fn fetched(self) -> Option<V::Fetched> {
        match self {
            Self::Nothing => None,
            Self::Submissions(fetched) | Self::Losses(fetched, _) => Some(fetched),
        }
    }
}

impl<V: WindowValues> ValidatorStage<V> {
    fn is_undecided(&self) -> bool {
        matches!(
            self,
            Self::Claims(_)
                | Self::Collected(_)
                | Self::Screened(..)
                | Self::Voted(..)
                | Self::Kept(_)
                | Self::Deciding(_)
        )
    }

    /// Returns the part of a stage that is of use after the decision.
    fn known(self) -> Known<V> {
        match self {
            Self::Collected(fetched)
            | Self::Screened(fetched, _)
            | Self::Voted(fetched, _)
            | Self::Kept(fetched) => Known::Submissions(fetched),
            Self::Deciding(known) => known,
            _ => Known::Nothing,
        }
    }
}

impl<V: WindowValues> ValidatorMachine<V> {
    /// Creates a validator that has the parameters at the start of `window`, at first or after a restart.
    /// It publishes the last decided window again, since that may not have been done.
    #[must_use]
    pub fn resume(rules: ValidatorRules, window: Window, past: Past) -> Self {
        let Past { voted, logged, unpublished, weighed, opens } = past;
        let (unpublished, weighed) = (Unpublished::new(unpublished), weighed.into_iter().collect());
        let stage = ValidatorStage::Resumed;
        Self { rules, voted, logged, weighed, opens, unpublished, window, is_seed_known: false, stage }
    }

    /// Returns the next window to be decided.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Returns the next action after `event`. Block `height` is the latest final one.
    ///
    /// An event that does not belong to the current stage changes nothing.
    #[must_use = "the driver must do it"]
    pub fn step(&mut self, event: ValidatorEvent<V>, height: Height) -> ValidatorAction<V> {
        match event {
            ValidatorEvent::Height => {}
            ValidatorEvent::State { window } => self.begin(window),
            ValidatorEvent::Lost => self.stage = ValidatorStage::Lost,
            ValidatorEvent::WeightsSettled { weights, opens } => {
                self.weighed.forget(height);
                self.weighed.add(weights);
                self.opens = opens;
            }
            ValidatorEvent::WeightsLater { opens } => self.opens = opens,
            ValidatorEvent::LogsPublished { attempted, uploaded } => {
                self.unpublished.settle(&attempted, &uploaded, height);
                self.weighed.forget(height);
            }
            event => self.advance(event),
        }
        self.act(height)
    }

    fn begin(&mut self, window: Window) {
        (self.window, self.is_seed_known, self.stage) = (window, false, ValidatorStage::Begun);
    }

    /// Goes from one stage to the next.
    fn advance(&mut self, event: ValidatorEvent<V>) {
        use ValidatorEvent as Event;
        use ValidatorStage as Stage;
        self.stage = match (self.stage.clone(), event) {
            (Stage::Resumed, Event::Published) => Stage::Begun,
            (Stage::Resumed | Stage::Begun, Event::Prefetching { until }) => {
                self.is_seed_known = self.heights().is_some_and(|heights| until > self.last_keys(&heights));
                Stage::Prefetching(Some(until))
            }
            (Stage::Resumed | Stage::Begun, Event::HeldOut) => Stage::Claims(None),
            (Stage::Prefetching(prefetch), Event::HeldOut) => Stage::Claims(prefetch),
            (Stage::Claims(_), Event::Collected(fetched)) => Stage::Collected(fetched),
            (Stage::Collected(fetched), Event::Screened(good)) => Stage::Screened(fetched, good),
            (Stage::Screened(fetched, good), Event::Voted) => {
                self.voted = Some(self.window);
                Stage::Voted(fetched, Some(good))
            }
            (stage @ (Stage::Collected(_) | Stage::Voted(..)), Event::Kept) => {
                match stage.known().fetched() {
                    Some(fetched) => Stage::Kept(fetched),
                    None => Stage::Deciding(Known::Nothing),
                }
            }
            (
                Stage::Collected(fetched) | Stage::Screened(fetched, _) | Stage::Kept(fetched),
                Event::Measured(measured),
            ) => Stage::Deciding(Known::Losses(fetched, measured)),
            (stage, Event::Missed) if stage.is_undecided() => Stage::Deciding(stage.known()),
            (stage, Event::Decided(decision)) if stage.is_undecided() => {
                Stage::Decided(stage.known(), decision)
            }
            (Stage::Decided(Known::Losses(fetched, _), decision), Event::Logged) => {
                self.logged = Some(self.window);
                self.unpublished.add(self.window);
                Stage::Decided(Known::Submissions(fetched), decision)
            }
            (Stage::Decided(Known::Losses(fetched, _), decision), Event::NotLogged) => {
                Stage::Decided(Known::Submissions(fetched), decision)
            }
            (Stage::Decided(..), Event::Applied(applied)) => Stage::Applied(applied),
            (Stage::Applied(_), Event::Published) if self.is_checkpoint_due() => Stage::Published,
            (Stage::Applied(_), Event::Published) | (Stage::Published, Event::Checkpointed) => {
                return self.begin(following(self.window));
            }
            (stage, _) => stage,
        };
    }

    /// Returns the next action at this height.
    fn act(&self, height: Height) -> ValidatorAction<V> {
        use ValidatorAction as Action;
        use ValidatorStage as Stage;
        let window = self.window;
        let logs = self.free_logs(height);
        match (&self.stage, self.heights()) {
            (Stage::Resumed | Stage::Applied(_), _) if !logs.is_empty() => {
                Action::PublishLogs { windows: logs }
            }
            (Stage::Resumed, _) if window.0 > 0 => {
                Action::Publish { window: Window(window.0 - 1), applied: None }
            }
            (Stage::Resumed | Stage::Begun, Some(heights)) if self.is_worth_collecting(&heights, height) => {
                let last_keys = self.last_keys(&heights);
                let last_keys = self.may_collect_for_vote(&heights, height).then_some(last_keys);
                Action::Prefetch { window, until: self.prefetch_ends(&heights, height), last_keys }
            }
            (Stage::Resumed | Stage::Begun | Stage::Prefetching(_), _) => Action::HeldOut { window },
            (Stage::Lost, _) => Action::Resync,
            (Stage::Applied(applied), _) => Action::Publish { window, applied: Some(applied.clone()) },
            (Stage::Published, _) => Action::Checkpoint { window: following(window) },
            (Stage::Decided(Known::Losses(fetched, measured), _), _) if self.may_log() => {
                Action::CloseLog { window, fetched: fetched.clone(), measured: measured.clone() }
            }
            (_, None) => self.end(height),
            (Stage::Decided(known, decision), Some(heights)) => Action::Apply {
                window,
                fetched: known.clone().fetched(),
                decision: decision.clone(),
                until: self.rules.clock.objects_wait(&heights),
            },
            (Stage::Claims(_), Some(heights)) if height < heights.claims_close => {
                self.weights_logs_or_wait(heights.claims_close, height)
            }
            (Stage::Claims(Some(until)), Some(_)) => Action::Collect { window, until: *until },
            (stage, Some(heights)) => self.judge(stage, &heights, height),
        }
    }

    /// Returns the next action between `K_w` and the decision.
    fn judge(&self, stage: &ValidatorStage<V>, heights: &Heights, height: Height) -> ValidatorAction<V> {
        use ValidatorAction as Action;
        use ValidatorStage as Stage;
        let window = self.window;
        match stage {
            Stage::Collected(_) if height < heights.seed => Action::Wait(heights.seed),
            Stage::Collected(fetched) if self.may_vote(heights, height) => {
                let until = self.screen_ends(heights).max(height.next());
                Action::Screen { window, fetched: fetched.clone(), until }
            }
            Stage::Screened(fetched, good) if self.may_vote(heights, height) => {
                Action::Vote { window, fetched: fetched.clone(), good: good.clone() }
            }
            // A vote that was sent before a restart: its submissions may not be published.
            Stage::Collected(fetched) if self.voted == Some(window) => {
                Action::Custody { window, fetched: fetched.clone(), good: None }
            }
            Stage::Voted(fetched, good) => {
                Action::Custody { window, fetched: fetched.clone(), good: good.clone() }
            }
            Stage::Collected(fetched) | Stage::Screened(fetched, _) | Stage::Kept(fetched)
                if self.may_log() =>
            {
                Action::Measure { window, fetched: fetched.clone(), until: self.measuring_ends(heights) }
            }
            // Nothing is left to do before the decision.
            _ => self.decision(heights, height),
        }
    }

    /// Checks whether the submissions of the window are of use for a vote or a score log.
    fn is_worth_collecting(&self, heights: &Heights, height: Height) -> bool {
        self.may_collect_for_vote(heights, height)
            || (self.may_log() && height < self.measuring_ends(heights))
    }

    /// Checks whether downloads that begin now can be of use for a vote.
    fn may_collect_for_vote(&self, heights: &Heights, height: Height) -> bool {
        self.may_vote(heights, height) && height <= self.last_keys(heights)
    }

    /// Returns the block with which the downloads end: `K_w`. A validator that starts after `D_w` gets as
    /// many blocks from then on, if its vote or else its measurements have this time.
    fn prefetch_ends(&self, heights: &Heights, height: Height) -> Height {
        let (opens, closes) = (heights.claims_close, heights.keys_close);
        let is_for_vote = self.may_collect_for_vote(heights, height);
        let latest = if is_for_vote { self.last_keys(heights) } else { self.measuring_ends(heights) };
        let late = height.0.saturating_sub(opens.0);
        Height(closes.0 + late).min(latest).max(closes)
    }

    /// Returns the last block that is final before `S_w` can be made. A key that is asked for then was
    /// published without knowledge of the seed. It is `K_w` or a later block.
    fn last_keys(&self, heights: &Heights) -> Height {
        let lag = u64::from(self.rules.clock.spec().finality_lag);
        Height(heights.seed.0.saturating_sub(lag + 1))
    }

    /// Returns the block with which the screen ends.
    fn screen_ends(&self, heights: &Heights) -> Height {
        let lag = u64::from(self.rules.clock.spec().finality_lag);
        let vote = Height(heights.votes_close.0.saturating_sub(lag + VOTE_BLOCKS));
        vote.max(heights.seed.next())
    }

    /// Returns the block with which the measurements end: the one from which on the order of the next
    /// window's candidates is known, or `M_w` if that is later. No window follows the last one.
    fn measuring_ends(&self, heights: &Heights) -> Height {
        let next = self.rules.clock.heights(following(heights.window));
        next.map_or(Height(u64::MAX), |next| next.incentives.max(heights.votes_close))
    }

    fn decision(&self, heights: &Heights, height: Height) -> ValidatorAction<V> {
        if height < heights.votes_close {
            ValidatorAction::Wait(heights.votes_close)
        } else {
            ValidatorAction::Decide { window: self.window }
        }
    }

    /// Checks whether a vote can still count: it must be in a block by `M_w`, be the window's first, and rest
    /// on submissions that were published without knowledge of the seed.
    fn may_vote(&self, heights: &Heights, height: Height) -> bool {
        self.voted < Some(self.window) && height < heights.votes_close && !self.is_seed_known
    }

    /// Checks whether the window has no log yet. There is never a second one.
    fn may_log(&self) -> bool {
        self.logged < Some(self.window)
    }

    fn is_checkpoint_due(&self) -> bool {
        let every = self.rules.checkpoint_every;
        let next = following(self.window);
        every > 0 && (next.0.is_multiple_of(every) || self.window == self.rules.clock.last_window())
    }

    /// Returns the heights of the window; none after the last.
    fn heights(&self) -> Option<Heights> {
        self.rules.clock.heights(self.window).ok()
    }
}

fn following(window: Window) -> Window {
    Window(window.0.saturating_add(1))
}

#[cfg(test)]
mod tests;
