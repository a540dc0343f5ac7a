//! All that can happen to a miner in a short run, and random histories of longer ones.

mod world;

use super::*;
use crate::clock::WindowSpec;
use base::digest::ObjectHash;
use proptest::prelude::*;
use std::collections::HashSet;
use world::{KINDS, Kind, Outcome, World, object, step};

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

/// Counts the steps to the end if nothing fails.
fn steps_to_the_end(mut now: (Machine, Action, World)) -> usize {
    for number in 0..200 {
        match step(now, Outcome { blocks: 0, kind: Kind::Good }) {
            Some(next) => now = next,
            None => return number,
        }
    }
    panic!("the run does not end");
}

/// Follows all paths through a run of two windows, with at most two restarts or losses of the state.
fn explore(rules: Rules) -> usize {
    let clock = clock(2);
    let mut open: Vec<_> =
        [4, 10, 13, 18, 19, 22, 27, 32, 34].map(|height| World::new(height, rules).start(clock)).into();
    let mut seen = HashSet::new();
    while let Some(now) = open.pop() {
        if !seen.insert(format!("{now:?}")) {
            continue;
        }
        steps_to_the_end(now.clone());
        for (blocks, kind) in [0, 1, 2, 5].into_iter().flat_map(|blocks| KINDS.map(|kind| (blocks, kind))) {
            let troubled = now.2.troubles >= 2;
            let loses = kind == Kind::Bad && matches!(now.1, Action::Decide { .. } | Action::Apply { .. });
            let kills = matches!(kind, Kind::Killed | Kind::KilledAfter);
            // A failure that takes no time would only bring us back here.
            if troubled && (loses || kills) {
                continue;
            }
            open.extend(step(now.clone(), Outcome { blocks, kind }));
        }
    }
    seen.len()
}

#[test]
fn whatever_happens_in_two_windows_the_rules_hold_and_the_run_ends() {
    for (reveals, overlaps) in [(false, false), (true, false), (false, true), (true, true)] {
        let seen = explore(Rules { claim_time: ClaimTime::InTime, reveals, overlaps });
        assert!(seen > 1000, "only {seen} situations were seen");
    }
}

#[test]
fn a_late_miner_claims_only_when_it_is_too_late() {
    for overlaps in [false, true] {
        let seen = explore(Rules { claim_time: ClaimTime::Late, reveals: true, overlaps });
        assert!(seen > 1000, "only {seen} situations were seen");
    }
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

/// Returns the action that begins the training of a window.
fn train(window: u64, from: u64) -> Action {
    Action::Train { window: Window(window), from: Height(from) }
}

/// Begins the training of a window that is due, and lets it end. Returns the action after it.
fn trained(machine: &mut Machine, window: Window, height: u64) -> Action {
    let before = machine.clock.heights(window).unwrap().claims_close;
    let wait = machine.step(Event::Training(window), Height(height));
    assert_eq!(wait, Action::Await { window, before });
    machine.step(Event::Trained, Height(height))
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
    assert_eq!(enter(&mut machine, window, None, 7), train(0, 10));
    assert_eq!(trained(&mut machine, window, 10), Action::Compress { window, before });
    let upload = Action::Upload { window, upload: made, before };
    assert_eq!(machine.step(Event::Prepared(made), Height(12)), upload);
    let claim = Action::Claim { window, upload: made, before: Height(24) };
    assert_eq!(machine.step(Event::Uploaded, Height(12)), claim);
    assert_eq!(machine.step(Event::Claimed, Height(13)), decide(Some(made)));
    assert_eq!(machine.step(Event::Decided, Height(24)), Action::Apply { window });
    assert_eq!(enter(&mut machine, Window(1), None, 24), Action::Finish);
}

#[test]
fn a_window_is_trained_while_the_one_before_it_is_exchanged() {
    let mut machine = Machine::new(clock(2), Rules { overlaps: true, ..Rules::default() });
    let (first, second) = (Window(0), Window(1));
    let (made, later) = (object(first, 0), object(second, 0));
    assert_eq!(enter(&mut machine, first, None, 7), train(0, 0));
    let compress = Action::Compress { window: first, before: Height(19) };
    assert_eq!(trained(&mut machine, first, 12), compress);
    assert_eq!(machine.step(Event::Prepared(made), Height(12)), train(1, 8), "before the upload");
    let upload = Action::Upload { window: first, upload: made, before: Height(19) };
    assert_eq!(machine.step(Event::Training(second), Height(12)), upload);
    let _ = machine.step(Event::Uploaded, Height(12));
    assert_eq!(machine.step(Event::Claimed, Height(13)), decide(Some(made)));
    let wait = Action::Await { window: second, before: Height(27) };
    assert_eq!(machine.step(Event::Decided, Height(24)), wait);
    assert_eq!(machine.step(Event::Trained, Height(25)), Action::Apply { window: first });
    let compress = Action::Compress { window: second, before: Height(27) };
    assert_eq!(enter(&mut machine, second, None, 25), compress);
    let upload = Action::Upload { window: second, upload: later, before: Height(27) };
    assert_eq!(machine.step(Event::Prepared(later), Height(26)), upload, "the run has no third window");
}

#[test]
fn an_overlapping_training_that_is_too_late_is_given_up_and_the_next_one_begins() {
    let mut machine = Machine::new(clock(3), Rules { overlaps: true, ..Rules::default() });
    let window = Window(1);
    assert_eq!(enter(&mut machine, Window(0), None, 19), train(1, 8), "window 0 is given up");
    assert_eq!(machine.step(Event::Training(window), Height(19)), decide(None));
    let wait = Action::Await { window, before: Height(27) };
    assert_eq!(machine.step(Event::Decided, Height(26)), wait);
    assert_eq!(machine.step(Event::GaveUp, Height(27)), Action::Apply { window: Window(0) });
    assert_eq!(enter(&mut machine, window, None, 27), train(2, 16));
}

/// Plays window `window` of a miner whose training of the next window was begun and ends at a height, or not
/// in time. Returns the first action of the next window.
fn next_window(machine: &mut Machine, window: u64, decided: u64, trained: Option<u64>) -> Action {
    let _ = machine.step(Event::Training(Window(window + 1)), Height(decided - 1));
    let _ = machine.step(Event::Decided, Height(decided));
    let before = machine.clock.heights(Window(window + 1)).unwrap().claims_close;
    let (event, height) = trained.map_or((Event::GaveUp, before), |height| (Event::Trained, Height(height)));
    let action = machine.step(event, height);
    assert_eq!(action, Action::Apply { window: Window(window) });
    enter(machine, Window(window + 1), None, height.0)
}

/// Returns a miner in window 1 whose update is made, and whose training of window 2 is due. One that is full
/// waited for its last training. Windows begin at 10, 18, 26, ...; claims of window w close at 19 + 8 w.
fn overlapping(full: bool) -> Machine {
    let mut machine = Machine::new(clock(6), Rules { overlaps: true, ..Rules::default() });
    assert_eq!(enter(&mut machine, Window(0), None, 19), train(1, 8));
    let trained = if full { 25 } else { 24 };
    let compress = next_window(&mut machine, 0, 24, Some(trained));
    assert!(matches!(compress, Action::Compress { .. }), "{compress:?}");
    let made = object(Window(1), 0);
    assert_eq!(machine.step(Event::Prepared(made), Height(26)), train(2, 16));
    machine
}

#[test]
fn a_miner_without_time_to_spare_sits_a_window_out_after_it_was_late() {
    // One that waited for its training gives up window 2, does not train 3, and trains 4 in time.
    let mut full = overlapping(true);
    let next = next_window(&mut full, 1, 32, None);
    assert!(matches!(next, Action::Decide { window: Window(2), upload: None, .. }), "{next:?}");
    assert_eq!(full.step(Event::Decided, Height(40)), Action::Apply { window: Window(2) });
    assert_eq!(enter(&mut full, Window(3), None, 40), train(4, 32));

    // One that has time to spare trains 3 at once. If that is late again, it sits 4 out.
    let mut spare = overlapping(false);
    assert_eq!(next_window(&mut spare, 1, 32, None), train(3, 24));
    let next = next_window(&mut spare, 2, 40, None);
    assert!(matches!(next, Action::Decide { window: Window(3), upload: None, .. }), "{next:?}");
    assert_eq!(spare.step(Event::Decided, Height(48)), Action::Apply { window: Window(3) });
    assert_eq!(enter(&mut spare, Window(4), None, 48), train(5, 40));
}

#[test]
fn a_claim_in_a_block_after_the_deadline_counts_as_late() {
    let after_claim_at = |height| {
        let mut machine = overlapping(true);
        let made = object(Window(1), 0);
        let upload = machine.step(Event::Training(Window(2)), Height(26));
        assert!(matches!(upload, Action::Upload { .. }), "{upload:?}");
        let claim = machine.step(Event::Uploaded, Height(26));
        assert!(matches!(claim, Action::Claim { .. }), "{claim:?}");
        let decide = Action::Decide { window: Window(1), upload: Some(made), until: Height(35) };
        assert_eq!(machine.step(Event::Claimed, Height(height)), decide);
        let wait = machine.step(Event::Decided, Height(33));
        assert!(matches!(wait, Action::Await { .. }), "{wait:?}");
        assert_eq!(machine.step(Event::Trained, Height(34)), Action::Apply { window: Window(1) });
        let compress = enter(&mut machine, Window(2), None, 34);
        assert!(matches!(compress, Action::Compress { .. }), "{compress:?}");
        machine.step(Event::Prepared(object(Window(2), 0)), Height(34))
    };
    assert_eq!(after_claim_at(27), train(3, 24), "the last block for claims");
    let next = after_claim_at(28);
    assert!(matches!(next, Action::Upload { window: Window(2), .. }), "window 3 is sat out: {next:?}");
}

#[test]
fn who_restarts_between_windows_gives_up_one_of_them() {
    let rules = Rules { overlaps: true, ..Rules::default() };
    let made = object(Window(1), 0);
    let mut machine = Machine::new(clock(3), rules);
    assert_eq!(enter(&mut machine, Window(1), None, 25), train(2, 16), "window 1 has no training");
    let mut machine = Machine::new(clock(3), rules);
    assert_eq!(enter(&mut machine, Window(1), Some(made), 25), train(2, 16));
    let upload = Action::Upload { window: Window(1), upload: made, before: Height(27) };
    assert_eq!(machine.step(Event::Training(Window(2)), Height(25)), upload, "the journal's is sent");
    assert_eq!(machine.step(Event::Lost, Height(32)), Action::Resync);
    let next = enter(&mut machine, Window(2), None, 33);
    assert!(matches!(next, Action::Decide { upload: None, .. }), "of a state that was lost: {next:?}");
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
    let _ = trained(&mut machine, window, 12);
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
    assert_eq!(enter(&mut machine, Window(1), None, 24), train(1, 18));
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
    assert_eq!(enter(&mut machine, Window(1), None, 24), train(1, 18));
}

#[test]
fn a_window_that_was_claimed_is_not_claimed_again_after_a_resync() {
    let mut machine = Machine::new(clock(2), Rules::default());
    let window = Window(0);
    let made = object(Window(0), 0);
    for event in [
        Event::State { window, kept: None },
        Event::Prefetching,
        Event::Training(window),
        Event::Trained,
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
        overlaps in any::<bool>(),
        start in 0u64..40,
        outcomes in proptest::collection::vec((0u64..9, 0usize..12), 0..300),
    ) {
        let claim_time = if late { ClaimTime::Late } else { ClaimTime::InTime };
        let rules = Rules { claim_time, reveals, overlaps };
        let mut now = World::new(start, rules).start(clock(12));
        for (blocks, kind) in outcomes {
            let kind = KINDS.get(kind).copied().unwrap_or(Kind::Good);
            match step(now.clone(), Outcome { blocks, kind }) {
                Some(next) => now = next,
                None => break,
            }
        }
        steps_to_the_end(now);
    }
}
