//! All that can happen to a miner in a short run, and random histories of longer ones.

use super::*;
use crate::clock::WindowSpec;
use base::digest::ObjectHash;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The machine carries the hash of an upload in place of the upload.
type Machine = MinerMachine<ObjectHash>;
type Event = MinerEvent<ObjectHash>;
type Rules = MinerRules;
type Action = MinerAction<ObjectHash>;

/// Returns a clock whose first window begins at block 10.
fn clock(count: u32) -> Clock {
    let spec = WindowSpec {
        blocks: 8,
        count,
        finality_lag: 0,
        publishing: 1,
        screening: 1,
        claims_close: 1,
        keys_close: 3,
        seed: 4,
        votes_close: 6,
    };
    Clock::new(Height(10), spec).unwrap()
}

/// Returns the hash of a submission: the `number`th one of a window.
fn object(window: Window, number: u8) -> ObjectHash {
    let mut hash = [number; 32];
    hash[0] = u8::try_from(window.0).unwrap();
    ObjectHash(hash)
}

/// A miner and what is around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct World {
    height: u64,
    /// The journal: the submission of each window.
    journal: BTreeMap<u64, [u8; 32]>,
    bucket: BTreeSet<[u8; 32]>,
    /// Claims on the chain, with the block in which they are.
    claims: BTreeMap<u64, ([u8; 32], u64)>,
    /// Submissions whose keys are in the bucket.
    keys: BTreeSet<[u8; 32]>,
    /// The window in which no upload could be made.
    gave_up: Option<u64>,
    /// The number of times that the miner lost the state or was restarted.
    troubles: u8,
    lost: bool,
    reveals: bool,
}

/// A possible outcome of an action.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// Blocks that pass meanwhile.
    blocks: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Bad,
    /// The process is killed before it, and started again.
    Killed,
    /// The process is killed after it, before it is noted.
    KilledAfter,
}

const KINDS: [Kind; 4] = [Kind::Good, Kind::Bad, Kind::Killed, Kind::KilledAfter];

impl World {
    fn new(height: u64) -> Self {
        let journal = BTreeMap::new();
        let claims = BTreeMap::new();
        let none = BTreeSet::new();
        Self {
            height,
            journal,
            bucket: none.clone(),
            claims,
            keys: none,
            gave_up: None,
            troubles: 0,
            lost: false,
            reveals: false,
        }
    }

    /// Returns the event for the state of the first undecided window.
    fn state(&self, clock: &Clock) -> Event {
        let next = clock.last_decided(Height(self.height)).map_or(Window(0), |window| Window(window.0 + 1));
        Event::State { window: next, kept: self.journal.get(&next.0).map(|&hash| ObjectHash(hash)) }
    }

    /// Starts a miner, as the driver does.
    fn start(&self, clock: Clock, rules: Rules) -> (Machine, Action) {
        let mut machine = Machine::new(clock, rules);
        let action = machine.step(self.state(&clock), Height(self.height));
        (machine, action)
    }

    /// Carries an action out as the driver would. Checks that it is allowed, and returns the event.
    fn carry_out(&mut self, clock: &Clock, late: bool, action: Action, outcome: Outcome) -> Option<Event> {
        let last = clock.start().0 + 8 * (u64::from(clock.spec().count) + 1);
        let pass = |world: &mut Self| world.height = (world.height + outcome.blocks).min(last);
        let good = matches!(outcome.kind, Kind::Good | Kind::KilledAfter);
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
            Action::Make { window, before } => {
                self.check_open(clock, window, before);
                assert!(!self.journal.contains_key(&window.0), "what is in the journal is trained again");
                assert_ne!(self.gave_up, Some(window.0), "what was given up is begun again");
                pass(self);
                if !good || self.height >= before.0 && outcome.blocks > 1 {
                    self.gave_up = Some(window.0);
                    return Some(Event::GaveUp);
                }
                let made = object(window, self.troubles);
                self.journal.insert(window.0, made.0);
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
                let close = clock.heights(window).unwrap().claims_close.0;
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
                if !good {
                    (self.lost, self.troubles) = (true, self.troubles + 1);
                    return Some(Event::Lost);
                }
                let window = Window(window.0 + 1);
                Some(Event::State { window, kept: self.journal.get(&window.0).map(|&hash| ObjectHash(hash)) })
            }
            Action::Resync => {
                assert!(self.lost, "a resync without need");
                pass(self);
                (self.lost, self.gave_up) = (false, None);
                Some(self.state(clock))
            }
            Action::Finish => None,
        }
    }

    /// Checks that a miner reveals a claimed submission before it waits for the decision, if there is time.
    fn check_revealed(&self, clock: &Clock, window: Window) {
        let is_open = self.height < clock.heights(window).unwrap().votes_close.0;
        let claimed = self.claims.get(&window.0).filter(|_| self.reveals && is_open && !self.lost);
        assert!(
            claimed.is_none_or(|(claimed, _)| self.keys.contains(claimed)),
            "the key of {window} is kept back"
        );
    }

    /// Checks that a miner works only on the shared state, and in time.
    fn check_open(&self, clock: &Clock, window: Window, before: Height) {
        let heights = clock.heights(window).unwrap();
        assert!(!self.lost, "works on a state that is not the others'");
        assert!(self.height >= heights.first.0, "window {window} has not begun");
        assert!(self.height < before.0, "window {window} is over at block {}", self.height);
    }
}

/// Makes one step of miner and world. Returns `None` at the end of the run.
fn step(
    (mut machine, action, mut world): (Machine, Action, World),
    rules: Rules,
    outcome: Outcome,
) -> Option<(Machine, Action, World)> {
    let clock = machine.clock;
    let restart = |world: World| {
        // A restart finds its way by itself: it starts with a state that votes name.
        let world = World { troubles: world.troubles + 1, lost: false, gave_up: None, ..world };
        let (machine, action) = world.start(clock, rules);
        Some((machine, action, world))
    };
    if outcome.kind == Kind::Killed {
        return restart(world);
    }
    let event = world.carry_out(&clock, rules.claim_time == ClaimTime::Late, action, outcome)?;
    if outcome.kind == Kind::KilledAfter {
        return restart(world);
    }
    let action = machine.step(event, Height(world.height));
    Some((machine, action, world))
}

/// Counts the steps to the end if nothing fails.
fn steps_to_the_end(mut now: (Machine, Action, World), rules: Rules) -> usize {
    for number in 0..100 {
        match step(now, rules, Outcome { blocks: 0, kind: Kind::Good }) {
            Some(next) => now = next,
            None => return number,
        }
    }
    panic!("the run does not end");
}

/// Follows all paths through a run of two windows, with at most two restarts or losses of the state.
fn explore(rules: Rules) -> usize {
    let clock = clock(2);
    let mut open: Vec<_> = [4, 10, 13, 18, 19, 22, 27, 32, 34]
        .map(|height| {
            let world = World { reveals: rules.reveals, ..World::new(height) };
            let (machine, action) = world.start(clock, rules);
            (machine, action, world)
        })
        .into();
    let mut seen = HashSet::new();
    while let Some(now) = open.pop() {
        if !seen.insert(format!("{now:?}")) {
            continue;
        }
        steps_to_the_end(now.clone(), rules);
        for (blocks, kind) in [0, 1, 2, 5].into_iter().flat_map(|blocks| KINDS.map(|kind| (blocks, kind))) {
            let troubled = now.2.troubles >= 2;
            let loses = kind == Kind::Bad && matches!(now.1, Action::Decide { .. });
            let kills = matches!(kind, Kind::Killed | Kind::KilledAfter);
            // A failure that takes no time would only bring us back here.
            if troubled && (loses || kills) {
                continue;
            }
            open.extend(step(now.clone(), rules, Outcome { blocks, kind }));
        }
    }
    seen.len()
}

#[test]
fn whatever_happens_in_two_windows_the_rules_hold_and_the_run_ends() {
    for reveals in [false, true] {
        let seen = explore(Rules { claim_time: ClaimTime::InTime, reveals });
        assert!(seen > 1000, "only {seen} situations were seen");
    }
}

#[test]
fn a_late_miner_claims_only_when_it_is_too_late() {
    let seen = explore(Rules { claim_time: ClaimTime::Late, reveals: true });
    assert!(seen > 1000, "only {seen} situations were seen");
}

/// Gives a machine the state of a window, and begins its downloads.
fn enter(machine: &mut Machine, window: Window, kept: Option<ObjectHash>, height: u64) -> Action {
    match machine.step(Event::State { window, kept }, Height(height)) {
        Action::Prefetch { window: found, until } => {
            assert_eq!((found, until), (window, machine.clock.heights(window).unwrap().keys_close));
            machine.step(Event::Prefetching, Height(height))
        }
        action => action,
    }
}

/// Returns the decision on window 0, whose objects are waited for until block 27.
fn decide(upload: Option<ObjectHash>) -> Action {
    Action::Decide { window: Window(0), upload, until: Height(27) }
}

#[test]
fn a_window_without_trouble() {
    let mut machine = Machine::new(clock(1), Rules::default());
    let window = Window(0);
    let made = object(Window(0), 0);
    let before = Height(19);
    assert_eq!(enter(&mut machine, window, None, 7), Action::Wait(Height(10)));
    assert_eq!(machine.step(Event::Height, Height(10)), Action::Make { window, before });
    let upload = Action::Upload { window, upload: made, before };
    assert_eq!(machine.step(Event::Prepared(made), Height(12)), upload);
    let claim = Action::Claim { window, upload: made, before: Height(24) };
    assert_eq!(machine.step(Event::Uploaded, Height(12)), claim);
    assert_eq!(machine.step(Event::Claimed, Height(13)), decide(Some(made)));
    assert_eq!(enter(&mut machine, Window(1), None, 24), Action::Finish);
}

#[test]
fn what_fails_is_tried_again_at_each_block_until_it_is_too_late() {
    let mut machine = Machine::new(clock(1), Rules::default());
    let window = Window(0);
    let made = object(Window(0), 0);
    let before = Height(19);
    let kept = Some(made);
    let upload = Action::Upload { window, upload: made, before };
    assert_eq!(enter(&mut machine, window, kept, 16), upload);
    assert_eq!(machine.step(Event::Failed, Height(16)), Action::Wait(Height(17)));
    assert_eq!(machine.step(Event::Height, Height(17)), upload);
    let claim = Action::Claim { window, upload: made, before: Height(24) };
    assert_eq!(machine.step(Event::Uploaded, Height(17)), claim);
    assert_eq!(machine.step(Event::Failed, Height(18)), Action::Wait(Height(19)));
    assert_eq!(machine.step(Event::Height, Height(19)), decide(kept));
}

#[test]
fn a_key_is_published_when_claims_are_closed_and_not_before() {
    let mut machine = Machine::new(clock(1), Rules { reveals: true, ..Rules::default() });
    let window = Window(0);
    let made = object(Window(0), 0);
    let _ = enter(&mut machine, window, None, 12);
    for event in [Event::Prepared(made), Event::Uploaded] {
        let _ = machine.step(event, Height(12));
    }
    assert_eq!(machine.step(Event::Claimed, Height(14)), Action::Wait(Height(19)));
    let reveal = Action::Reveal { window, upload: made, before: Height(24) };
    assert_eq!(machine.step(Event::Height, Height(19)), reveal);
    assert_eq!(machine.step(Event::Failed, Height(19)), Action::Wait(Height(20)));
    assert_eq!(machine.step(Event::Height, Height(20)), reveal);
    assert_eq!(machine.step(Event::Revealed, Height(20)), decide(Some(made)));

    // After a restart it is not known whether it was claimed: the key is published all the same.
    let mut machine = Machine::new(clock(1), Rules { reveals: true, ..Rules::default() });
    assert_eq!(enter(&mut machine, window, Some(made), 19), reveal);
    assert_eq!(machine.step(Event::Height, Height(24)), decide(Some(made)));
}

#[test]
fn who_joins_after_the_claims_closed_only_follows() {
    let mut machine = Machine::new(clock(2), Rules::default());
    let window = Window(0);
    assert_eq!(enter(&mut machine, window, None, 19), decide(None));
    let next = enter(&mut machine, Window(1), None, 24);
    assert_eq!(next, Action::Make { window: Window(1), before: Height(27) });
}

#[test]
fn a_state_that_differs_halts_everything_until_the_resync() {
    let mut machine = Machine::new(clock(2), Rules::default());
    assert_eq!(machine.step(Event::Height, Height(12)), Action::Resync, "nothing is known at first");
    let _ = enter(&mut machine, Window(0), None, 19);
    assert_eq!(machine.step(Event::Lost, Height(24)), Action::Resync);
    for event in [Event::Height, Event::Prepared(object(Window(0), 0)), Event::Uploaded, Event::Failed] {
        assert_eq!(machine.step(event, Height(24)), Action::Resync);
    }
    let make = Action::Make { window: Window(1), before: Height(27) };
    assert_eq!(enter(&mut machine, Window(1), None, 24), make);
}

#[test]
fn a_window_that_was_claimed_is_not_claimed_again_after_a_resync() {
    let mut machine = Machine::new(clock(2), Rules::default());
    let window = Window(0);
    let made = object(Window(0), 0);
    for event in [
        Event::State { window, kept: None },
        Event::Prefetching,
        Event::Prepared(made),
        Event::Uploaded,
        Event::Claimed,
        Event::Lost,
    ] {
        let _ = machine.step(event, Height(11));
    }
    assert_eq!(enter(&mut machine, window, None, 12), decide(None));
}

proptest! {
    #[test]
    fn long_runs_keep_the_rules(
        late in any::<bool>(),
        reveals in any::<bool>(),
        start in 0u64..40,
        outcomes in proptest::collection::vec((0u64..9, 0usize..12), 0..300),
    ) {
        let claim_time = if late { ClaimTime::Late } else { ClaimTime::InTime };
        let rules = Rules { claim_time, reveals };
        let world = World { reveals, ..World::new(start) };
        let (machine, action) = world.start(clock(12), rules);
        let mut now = (machine, action, world);
        for (blocks, kind) in outcomes {
            let kind = KINDS.get(kind).copied().unwrap_or(Kind::Good);
            match step(now.clone(), rules, Outcome { blocks, kind }) {
                Some(next) => now = next,
                None => break,
            }
        }
        steps_to_the_end(now, rules);
    }
}
