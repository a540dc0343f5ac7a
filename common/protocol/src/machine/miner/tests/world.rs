//! A miner in a small world: a chain without faults, a bucket, a journal, and a model that knows from which
//! parameters it was trained.

use super::{Action, Event, Machine, Rules};
use crate::{clock::Clock, machine::miner::ClaimTime};
use base::{Height, Window, digest::ObjectHash};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the hash of a submission: the `number`th one of a window.
pub(super) fn object(window: Window, number: u8) -> ObjectHash {
    let mut hash = [number; 32];
    hash[0] = u8::try_from(window.0).unwrap();
    ObjectHash(hash)
}

/// A miner and what is around it.
#[derive(Clone, Debug)]
pub(super) struct World {
    height: u64,
    /// The journal: the submission of each window.
    journal: BTreeMap<u64, [u8; 32]>,
    bucket: BTreeSet<[u8; 32]>,
    /// Claims on the chain, with the block in which they are.
    claims: BTreeMap<u64, ([u8; 32], u64)>,
    /// Submissions whose keys are in the bucket.
    keys: BTreeSet<[u8; 32]>,
    /// The windows in which no upload could be made.
    gave_up: BTreeSet<u64>,
    /// The number of windows that the shared state has applied.
    applied: u64,
    training: Option<Training>,
    /// The window whose accepted objects are there.
    decided: Option<u64>,
    /// The number of times that the miner lost the state or was restarted.
    pub(super) troubles: u8,
    lost: bool,
    rules: Rules,
}

/// A training in the background.
#[derive(Clone, Copy, Debug)]
struct Training {
    window: u64,
    /// The number of windows that the parameters had applied at its beginning.
    base: u64,
    /// The block with which the training may begin.
    from: u64,
    runs: bool,
}

/// A possible outcome of an action.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// Blocks that pass meanwhile.
    pub(super) blocks: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    Bad,
    /// The process is killed before it, and started again.
    Killed,
    /// The process is killed after it, before it is noted.
    KilledAfter,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Good, Kind::Bad, Kind::Killed, Kind::KilledAfter];

impl World {
    pub(super) fn new(height: u64, rules: Rules) -> Self {
        let journal = BTreeMap::new();
        let claims = BTreeMap::new();
        let none = BTreeSet::new();
        Self {
            height,
            journal,
            bucket: none.clone(),
            claims,
            keys: none,
            gave_up: BTreeSet::new(),
            applied: 0,
            training: None,
            decided: None,
            troubles: 0,
            lost: false,
            rules,
        }
    }

    /// Gets the shared state of the first undecided window, and returns the event. A training is lost.
    fn join(&mut self, clock: &Clock) -> Event {
        let next = clock.last_decided(Height(self.height)).map_or(0, |window| window.0 + 1);
        (self.applied, self.training, self.decided) = (next, None, None);
        (self.lost, self.gave_up) = (false, BTreeSet::new());
        self.state()
    }

    fn state(&self) -> Event {
        let window = Window(self.applied);
        Event::State { window, kept: self.journal.get(&window.0).map(|&hash| ObjectHash(hash)) }
    }

    /// Starts a miner, as the driver does.
    pub(super) fn start(mut self, clock: Clock) -> (Machine, Action, Self) {
        let mut machine = Machine::new(clock, self.rules);
        let event = self.join(&clock);
        let action = machine.step(event, Height(self.height));
        (machine, action, self)
    }

    /// Returns the number of windows that the parameters must have applied from which a window is trained.
    fn base(&self, window: Window) -> u64 {
        if self.rules.overlaps { window.0.saturating_sub(1) } else { window.0 }
    }

    /// Carries an action out as the driver would. Checks that it is allowed, and returns the event.
    fn carry_out(&mut self, clock: &Clock, action: Action, outcome: Outcome) -> Option<Event> {
        let last = clock.start().0 + 8 * (u64::from(clock.spec().count) + 1);
        let pass = |world: &mut Self| world.height = (world.height + outcome.blocks).min(last);
        let good = matches!(outcome.kind, Kind::Good | Kind::KilledAfter);
        let late = self.rules.claim_time == ClaimTime::Late;
        match action {
            Action::Wait(until) => {
                assert!(until.0 > self.height, "waits for what has passed");
                self.height = until.0;
                pass(self);
                Some(Event::Height)
            }
            Action::Prefetch { window, until } => {
                assert_eq!(until, clock.heights(window).unwrap().keys_close);
                assert!(self.height < until.0 && !self.lost);
                pass(self);
                Some(Event::Prefetching)
            }
            Action::Train { window, from } => {
                assert!(!self.lost, "trains from a state that is not the others'");
                assert!(self.training.is_none_or(|training| !training.runs), "two trainings at once");
                assert_eq!(self.applied, self.base(window), "window {window} is trained from another state");
                assert!(!self.gave_up.contains(&window.0), "what was given up is begun again");
                assert!(!self.journal.contains_key(&window.0), "what is in the journal is trained again");
                let heights = clock.heights(window).unwrap();
                assert_eq!(self.rules.overlaps, from != heights.first, "training begins at another block");
                pass(self);
                let (window, base, from) = (window.0, self.applied, from.0);
                self.training = Some(Training { window, base, from, runs: true });
                Some(Event::Training(Window(window)))
            }
            Action::Await { window, before } => {
                let training = self.training.filter(|training| training.runs && training.window == window.0);
                let training = training.expect("waits for a training that does not run");
                self.height = self.height.max(training.from);
                pass(self);
                if !good || self.height >= before.0 && outcome.blocks > 1 {
                    self.training = None;
                    self.gave_up.insert(window.0);
                    return Some(Event::GaveUp);
                }
                self.training = Some(Training { runs: false, ..training });
                Some(Event::Trained)
            }
            Action::Compress { window, before } => {
                self.check_open(clock, window, before);
                let training = self.training.take().expect("compresses nothing");
                assert_eq!((training.window, training.runs), (window.0, false), "compresses something else");
                assert_eq!(training.base, self.base(window), "an update of another base");
                pass(self);
                if !good || self.height >= before.0 && outcome.blocks > 1 {
                    self.gave_up.insert(window.0);
                    return Some(Event::GaveUp);
                }
                let made = object(window, self.troubles);
                assert_eq!(self.journal.insert(window.0, made.0), None, "two updates of a window");
                Some(Event::Prepared(made))
            }
            Action::Upload { window, upload, before } => {
                self.check_open(clock, window, before);
                assert_eq!(
                    self.journal.get(&window.0),
                    Some(&upload.0),
                    "what is uploaded is in the journal"
                );
                pass(self);
                good.then(|| self.bucket.insert(upload.0));
                Some(if good { Event::Uploaded } else { Event::Failed })
            }
            Action::Claim { window, upload, before } => {
                self.check_open(clock, window, before);
                let heights = clock.heights(window).unwrap();
                let close = heights.claims_close.0;
                assert!(self.height >= heights.first.0, "claims before window {window} begins");
                assert_eq!(self.height >= close, late, "claims at block {}, D_w is {close}", self.height);
                assert!(self.bucket.contains(&upload.0), "what is claimed can be fetched");
                pass(self);
                if good {
                    let earlier = self.claims.insert(window.0, (upload.0, self.height));
                    assert!(earlier.is_none_or(|(earlier, _)| earlier == upload.0), "two claims of a window");
                }
                Some(if good { Event::Claimed } else { Event::Failed })
            }
            Action::Reveal { window, upload, before } => {
                self.check_open(clock, window, before);
                let close = clock.heights(window).unwrap().claims_close.0;
                assert!(self.height >= close, "a key at block {}, D_w is {close}", self.height);
                assert_eq!(self.journal.get(&window.0), Some(&upload.0), "the key of something else");
                pass(self);
                good.then(|| self.keys.insert(upload.0));
                Some(if good { Event::Revealed } else { Event::Failed })
            }
            Action::Decide { window, upload, until } => {
                let heights = clock.heights(window).unwrap();
                assert!(until > heights.votes_close, "no time to get the accepted objects");
                self.check_revealed(clock, window);
                let made = self.journal.get(&window.0).copied();
                assert!(
                    upload.is_none_or(|upload| made == Some(upload.0)),
                    "another upload than the journal's"
                );
                self.height = self.height.max(heights.votes_close.0);
                pass(self);
                self.decided = good.then_some(window.0);
                Some(if good { Event::Decided } else { self.lose() })
            }
            Action::Apply { window } => {
                assert_eq!(self.decided.take(), Some(window.0), "applies what is not decided");
                assert_eq!(self.applied, window.0, "applies a window twice");
                assert!(self.training.is_none_or(|training| !training.runs), "a training uses the model");
                pass(self);
                if !good {
                    return Some(self.lose());
                }
                self.applied += 1;
                Some(self.state())
            }
            Action::Resync => {
                assert!(self.lost, "a resync without need");
                pass(self);
                Some(self.join(clock))
            }
            Action::Finish => None,
        }
    }

    fn lose(&mut self) -> Event {
        (self.lost, self.troubles) = (true, self.troubles + 1);
        Event::Lost
    }

    /// Checks that a miner reveals a claimed submission before it waits for the decision, if there is time.
    fn check_revealed(&self, clock: &Clock, window: Window) {
        let is_open = self.height < clock.heights(window).unwrap().votes_close.0;
        let claimed = self.claims.get(&window.0).filter(|_| self.rules.reveals && is_open && !self.lost);
        assert!(
            claimed.is_none_or(|(claimed, _)| self.keys.contains(claimed)),
            "the key of {window} is kept back"
        );
    }

    /// Checks that a miner works only on the shared state, and in time.
    fn check_open(&self, clock: &Clock, window: Window, before: Height) {
        let heights = clock.heights(window).unwrap();
        assert!(!self.lost, "works on a state that is not the others'");
        // With staleness 1 the first window is trained as soon as its data is known.
        let begins = if self.rules.overlaps { heights.assignment_seed } else { heights.first };
        assert!(self.height >= begins.0, "window {window} has not begun");
        assert!(self.height < before.0, "window {window} is over at block {}", self.height);
    }
}

/// Makes one step of miner and world. Returns `None` at the end of the run.
pub(super) fn step(
    (mut machine, action, mut world): (Machine, Action, World),
    outcome: Outcome,
) -> Option<(Machine, Action, World)> {
    let clock = machine.clock;
    let restart = |world: World| {
        // A restart finds its way by itself: it starts with a state that votes name.
        Some(World { troubles: world.troubles + 1, ..world }.start(clock))
    };
    if outcome.kind == Kind::Killed {
        return restart(world);
    }
    let event = world.carry_out(&clock, action, outcome)?;
    if outcome.kind == Kind::KilledAfter {
        return restart(world);
    }
    let action = machine.step(event, Height(world.height));
    Some((machine, action, world))
}
