//! What a validator does when: a pure state machine. The driver carries out one [`Action`] after the other and says how
//! each ended ([`Done`]); the chain's finalized height is the only clock.
//!
//! In a window: fetch what was claimed (from `D_w` on), screen it (from `S_w` on), vote (before `M_w`), measure all of
//! it on the parameters of the window, read the decision at `M_w`, close the score log, make the outer step, publish,
//! and set weights when the chain allows. What was closed is on the disk before the outer step takes the window's
//! parameters away, so a validator that is killed anywhere resumes where it was.
//!
//! ```
//! use base::{Height, Window};
//! use protocol::clock::{Clock, WindowSpec};
//! use validator::round::{Action, Done, Past, Round, Rules};
//!
//! let spec = WindowSpec { blocks: 30, count: 8, claims_close: 3, keys_close: 4, seed: 5, votes_close: 8 };
//! let rules = Rules { clock: Clock::new(Height(100), spec)?, checkpoint_every: 4 };
//! let round = Round::resume(rules, Window(0), Past::default());
//! assert_eq!(round.act(Height(110)), Action::HeldOut(Window(0)));
//! let round = round.after(Done::HeldOut);
//! assert_eq!(round.act(Height(110)), Action::Wait(Height(133))); // D_0
//! assert_eq!(round.act(Height(133)), Action::Gather(Window(0)));
//! # Ok::<(), protocol::clock::ClockError>(())
//! ```

use base::{Height, Window};
use protocol::clock::{Clock, Heights};

/// What does not change within a run.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The heights of the run.
    pub clock: Clock,
    /// Windows between two checkpoints; 0 for none.
    pub checkpoint_every: u64,
}

/// What outlasts a restart: read from the node's journal, its bucket and the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The newest window that a vote of ours on chain is about.
    pub voted: Option<Window>,
    /// The newest window whose score log is closed.
    pub logged: Option<Window>,
    /// The newest window whose weights are on chain, or that gave none.
    pub weighed: Option<Window>,
    /// From this block on weights may be set: the rate limit is over, and the epoch has none of ours yet.
    pub opens: Height,
}

/// Where a validator is in a run.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    rules: Rules,
    past: Past,
    /// The next window to be decided.
    window: Window,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Started again: what was decided last may not be published yet.
    Resumed,
    /// The parameters of the window are there, nothing else.
    Begun,
    /// Waits for `D_w`.
    Claims,
    /// All that was claimed is there; waits for `S_w`.
    Seed,
    /// What is good is known.
    Screened,
    /// Nothing more can be done before the evaluation.
    Voted,
    /// Waits for `M_w`; says whether there is something to write a log from.
    Deciding { measured: bool },
    /// The decision is known, and our state is the majority's.
    Decided { measured: bool },
    /// The score log is closed, or there is none.
    Closed,
    /// Our state is not the majority's, or what was accepted is not to be had.
    Lost,
    /// The next window's parameters are there, nothing is published yet.
    Applied,
    /// Log, record and objects are published, the checkpoint is not.
    Published,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing before this block is final.
    Wait(Height),
    /// Measure the loss on held-out data with the parameters at the window's start.
    HeldOut(Window),
    /// Fetch and check all that was claimed for the window.
    Gather(Window),
    /// Try the candidates on a small batch of data that was assigned to nobody.
    Screen(Window),
    /// Vote for what is good.
    Vote(Window),
    /// Run the Gauntlet, on the window's own parameters.
    Measure(Window),
    /// Read the decision on the window.
    Decide(Window),
    /// Close the window's score log and put it into the journal.
    CloseLog(Window),
    /// Make the window's outer step.
    Apply(Window),
    /// Publish the score log, the window's record, and the objects that are ours to keep.
    Publish(Window),
    /// Publish a checkpoint of the parameters at the window's start.
    Checkpoint(Window),
    /// Set the weights of this window's score log.
    SetWeights(Window),
    /// Get the majority's state from elsewhere.
    Resync,
    /// The run is over and nothing is left to do.
    Finish,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The loss was measured.
    HeldOut,
    /// What was claimed is fetched and checked.
    Fetched,
    /// The window cannot be evaluated any more: the chain has forgotten what it takes.
    Missed,
    /// The candidates were tried.
    Screened,
    /// The vote is on chain, or can never be.
    Voted,
    /// The Gauntlet is over.
    Measured,
    /// The decision is known.
    Decided {
        /// Is our state another than the majority's?
        diverged: bool,
    },
    /// The score log is in the journal.
    Logged,
    /// No score log can be made of this window.
    NotLogged,
    /// The outer step is made.
    Applied,
    /// It cannot be made: state or objects are missing.
    Lost,
    /// All is published.
    Published,
    /// The checkpoint is published.
    Checkpointed,
    /// The majority's state is there.
    Resynced {
        /// The next window to be decided.
        window: Window,
    },
    /// The window's weights are on chain, or never will be.
    Weighed {
        /// The window.
        window: Window,
        /// From this block on weights may be set again.
        opens: Height,
    },
    /// Weights cannot be set yet.
    NotYet {
        /// From this block on.
        opens: Height,
    },
}

impl Round {
    /// Begins, or goes on after a restart, with the parameters at the start of `window`. What was decided last is published
    /// again, since nobody knows whether it was.
    #[must_use]
    pub fn resume(rules: Rules, window: Window, past: Past) -> Self {
        Self { rules, past, window, stage: Stage::Resumed }
    }

    /// The next window to be decided.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// What outlasts a restart.
    #[must_use]
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// What to do at this finalized height.
    #[must_use]
    pub fn act(&self, height: Height) -> Action {
        let window = self.window;
        match (self.heights(), self.stage) {
            (_, Stage::Resumed) if window.0 > 0 => Action::Publish(Window(window.0 - 1)),
            (_, Stage::Resumed | Stage::Begun) => Action::HeldOut(window),
            (_, Stage::Lost) => Action::Resync,
            (_, Stage::Applied) => Action::Publish(window),
            (_, Stage::Published) => Action::Checkpoint(following(window)),
            (None, _) => self.end(height),
            (Some(heights), Stage::Claims) => self.claims(&heights, height),
            (Some(heights), Stage::Seed) if height < heights.seed => Action::Wait(heights.seed),
            (Some(heights), Stage::Seed) if self.may_vote(&heights, height) => Action::Screen(window),
            (Some(heights), Stage::Screened) if self.may_vote(&heights, height) => Action::Vote(window),
            (Some(_), Stage::Seed | Stage::Screened | Stage::Voted) if self.may_log() => {
                Action::Measure(window)
            }
            (Some(heights), Stage::Seed | Stage::Screened | Stage::Voted | Stage::Deciding { .. }) => {
                self.decision(&heights, height)
            }
            (Some(_), Stage::Decided { measured: true }) if self.may_log() => Action::CloseLog(window),
            (Some(_), Stage::Decided { .. } | Stage::Closed) => Action::Apply(window),
        }
    }

    /// The state after an action.
    #[must_use]
    pub fn after(mut self, done: Done) -> Self {
        self.stage = match done {
            Done::HeldOut => Stage::Claims,
            Done::Fetched => Stage::Seed,
            Done::Missed => Stage::Deciding { measured: false },
            Done::Screened => Stage::Screened,
            Done::Voted => {
                self.past.voted = Some(self.window);
                Stage::Voted
            }
            Done::Measured => Stage::Deciding { measured: true },
            Done::Decided { diverged: true } | Done::Lost => Stage::Lost,
            Done::Decided { diverged: false } => {
                Stage::Decided { measured: self.stage == Stage::Deciding { measured: true } }
            }
            Done::Logged => {
                self.past.logged = Some(self.window);
                Stage::Closed
            }
            Done::NotLogged => Stage::Closed,
            Done::Applied => Stage::Applied,
            Done::Published if self.stage == Stage::Resumed => Stage::Begun,
            Done::Published if self.is_checkpoint_due() => Stage::Published,
            Done::Published | Done::Checkpointed => {
                self.window = following(self.window);
                Stage::Begun
            }
            Done::Resynced { window } => {
                self.window = window;
                Stage::Begun
            }
            Done::Weighed { window, opens } => {
                (self.past.weighed, self.past.opens) = (Some(window), opens);
                self.stage
            }
            Done::NotYet { opens } => {
                self.past.opens = opens;
                self.stage
            }
        };
        self
    }

    /// Waits for the claims; weights are set meanwhile.
    fn claims(&self, heights: &Heights, height: Height) -> Action {
        if height < heights.claims_close {
            return self.weights_or_wait(heights.claims_close, height);
        }
        let useful = self.may_vote(heights, height) || (self.may_log() && !self.is_past(heights, height));
        if useful { Action::Gather(self.window) } else { self.decision(heights, height) }
    }

    fn decision(&self, heights: &Heights, height: Height) -> Action {
        match height < heights.votes_close {
            true => Action::Wait(heights.votes_close),
            false => Action::Decide(self.window),
        }
    }

    /// After the last window: the weights of its log, then nothing.
    fn end(&self, height: Height) -> Action {
        match self.weights_due() {
            None => Action::Finish,
            Some(_) => self.weights_or_wait(Height(u64::MAX), height),
        }
    }

    /// Sets weights if they are due and the chain allows it; else waits, at most until `until`.
    fn weights_or_wait(&self, until: Height, height: Height) -> Action {
        match self.weights_due() {
            Some(window) if height >= self.past.opens => Action::SetWeights(window),
            Some(_) => Action::Wait(until.min(self.past.opens)),
            None => Action::Wait(until),
        }
    }

    /// The window whose weights should be on chain and are not.
    fn weights_due(&self) -> Option<Window> {
        self.past.logged.filter(|_| self.past.logged > self.past.weighed)
    }

    /// Whether a vote can still count: it must be in a block by `M_w`, and be the window's first.
    fn may_vote(&self, heights: &Heights, height: Height) -> bool {
        self.past.voted < Some(self.window) && height < heights.votes_close
    }

    /// Whether the window has no log yet. There is never a second one.
    fn may_log(&self) -> bool {
        self.past.logged < Some(self.window)
    }

    /// Whether the next window's claims are closed: who is that late catches up first.
    fn is_past(&self, heights: &Heights, height: Height) -> bool {
        let next = self.rules.clock.heights(following(heights.window));
        next.is_ok_and(|next| height >= next.claims_close)
    }

    fn is_checkpoint_due(&self) -> bool {
        let (every, next) = (self.rules.checkpoint_every, following(self.window));
        every > 0 && (next.0.is_multiple_of(every) || self.window == self.rules.clock.last_window())
    }

    /// The heights of the window; none after the last.
    fn heights(&self) -> Option<Heights> {
        self.rules.clock.heights(self.window).ok()
    }
}

fn following(window: Window) -> Window {
    Window(window.0.saturating_add(1))
}

#[cfg(test)]
mod tests;
