//! Tests of whole runs, with failures of each kind at random times.

use super::*;
use crate::clock::{WindowSpec, tests::TINY};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

/// Each value of a window is the window itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OfWindow;

impl WindowValues for OfWindow {
    type Fetched = Window;
    type Good = Window;
    type Measured = Window;
    type Decision = Window;
    type Applied = Window;
}

type Machine = ValidatorMachine<OfWindow>;
type Action = ValidatorAction<OfWindow>;
type Event = ValidatorEvent<OfWindow>;

fn rules() -> ValidatorRules {
    rules_of(TINY)
}

fn rules_of(spec: WindowSpec) -> ValidatorRules {
    ValidatorRules { clock: Clock::new(Height(100), spec).unwrap(), checkpoint_every: 3 }
}

/// Blocks between two epochs of the chain of these tests.
const EPOCH: u64 = 50;

/// The circumstances of a step.
#[derive(Clone, Copy, Debug)]
struct Luck {
    /// Blocks that pass meanwhile.
    blocks: u64,
    /// Killed before the action ended; what it did stays done.
    killed: bool,
    /// The action goes wrong.
    fails: bool,
}

fn luck() -> impl Strategy<Value = Luck> {
    let blocks = prop_oneof![8 => 0u64..3, 2 => 0u64..40];
    (blocks, prop::bool::weighted(0.08), prop::bool::weighted(0.08))
        .prop_map(|(blocks, killed, fails)| Luck { blocks, killed, fails })
}

/// The world around a validator: what its actions leave there.
#[derive(Debug, Default)]
struct World {
    height: u64,
    /// Windows up to this one are in the journal's parameters.
    applied: u64,
    voted: Vec<(u64, u64)>,
    /// Windows whose downloads run, or have ended.
    prefetched: Option<(u64, Height)>,
    /// Windows whose voted submissions are published.
    kept: BTreeSet<u64>,
    measured: Vec<u64>,
    logs: Vec<u64>,
    /// Windows whose records are published.
    recorded: BTreeSet<u64>,
    /// The logs in the bucket, each with the height of its upload.
    published: BTreeMap<u64, u64>,
    weights: Vec<(u64, u64)>,
    given_up: Option<SettledWeights>,
    checkpoints: Vec<u64>,
    held_out: BTreeSet<u64>,
    resyncs: u64,
}

impl World {
    fn past(&self) -> Past {
        let last = |list: &Vec<u64>| list.last().copied().map(Window);
        let opens = self.weights.last().map_or(0, |&(_, height)| (height / EPOCH + 1) * EPOCH);
        Past {
            voted: self.voted.last().map(|&(window, _)| Window(window)),
            logged: last(&self.logs),
            unpublished: self.unpublished(),
            weighed: self.weighed().into_iter().collect(),
            opens: Height(opens),
        }
    }

    fn weighed(&self) -> Option<SettledWeights> {
        let set = self.weights.last().map(|&(window, height)| settled(window, height));
        set.into_iter().chain(self.given_up).max_by_key(|weights| weights.window)
    }

    fn unpublished(&self) -> BTreeSet<Window> {
        let logs = self.logs.iter().filter(|window| !self.published.contains_key(window));
        logs.copied().map(Window).collect()
    }

    fn resume(&self) -> Machine {
        Machine::resume(rules(), Window(self.applied), self.past())
    }

    /// Carries an action out and checks that it was right to.
    fn carry_out(&mut self, machine: &Machine, action: Action, luck: Luck) -> Event {
        let clock = rules().clock;
        let height = self.height;
        let at = |window: Window| clock.heights(window).unwrap();
        assert!(machine.window().0 <= self.applied, "nothing is ahead of the parameters");
        match action {
            Action::Wait(_) | Action::Finish => unreachable!("the test does these itself"),
            Action::HeldOut { window } => {
                assert_eq!(window.0, self.applied);
                self.held_out.insert(window.0);
                Event::HeldOut
            }
            Action::Prefetch { window, until, last_keys } => {
                assert_eq!(window.0, self.applied, "the base of the submissions is the journal's state");
                assert!(until >= at(window).keys_close, "a submission is late at K_w, not before");
                assert!(last_keys.is_none_or(|last| last >= until), "no ask is due when no key is taken");
                self.prefetched = Some((window.0, until));
                Event::Prefetching { until }
            }
            Action::Collect { window, until } => {
                assert_eq!(self.prefetched, Some((window.0, until)));
                assert!(height >= at(window).claims_close.0 && window.0 == self.applied);
                if luck.fails { Event::Missed } else { Event::Collected(window) }
            }
            Action::Screen { window, fetched, until } => {
                assert!(height >= at(window).seed.0 && height < at(window).votes_close.0);
                assert!(until.0 > height, "a screen without time");
                assert_eq!(fetched, window);
                Event::Screened(window)
            }
            Action::Vote { window, fetched, good } => {
                assert!(height >= at(window).seed.0 && height < at(window).votes_close.0);
                assert_eq!((fetched, good), (window, window));
                if luck.fails {
                    return Event::Voted;
                }
                assert!(self.voted.iter().all(|&(other, _)| other < window.0), "a second vote on {window}");
                self.voted.push((window.0, height));
                Event::Voted
            }
            Action::Custody { window, fetched, good } => {
                assert_eq!((fetched, good.unwrap_or(window)), (window, window));
                assert!(!self.measured.contains(&window.0) || good.is_none(), "published before it measures");
                self.kept.insert(window.0);
                Event::Kept
            }
            Action::Measure { window, fetched, until } => {
                assert_eq!(window.0, self.applied, "on the window's own parameters");
                assert!(height >= at(window).seed.0 && until >= at(window).votes_close);
                assert_eq!(fetched, window);
                self.measured.push(window.0);
                Event::Measured(window)
            }
            Action::Decide { window } => {
                assert!(height >= at(window).votes_close.0);
                if luck.fails { Event::Lost } else { Event::Decided(window) }
            }
            Action::CloseLog { window, fetched, measured } => {
                assert_eq!((window.0, self.measured.last()), (self.applied, Some(&window.0)));
                assert_eq!((fetched, measured), (window, window));
                assert!(self.logs.iter().all(|&other| other < window.0), "a second log of {window}");
                if luck.fails {
                    return Event::NotLogged;
                }
                self.logs.push(window.0);
                Event::Logged
            }
            Action::Apply { window, fetched, decision, until } => {
                assert!(until > at(window).votes_close, "no time to get the accepted objects");
                assert_eq!(window.0, self.applied);
                assert!(height >= at(window).votes_close.0);
                assert_eq!((fetched.unwrap_or(window), decision), (window, window));
                if luck.fails {
                    return Event::Lost;
                }
                self.applied += 1;
                Event::Applied(window)
            }
            Action::Publish { window, applied } => {
                assert_eq!(window.0 + 1, self.applied);
                assert!(applied.is_none_or(|applied| applied == window));
                self.recorded.insert(window.0);
                Event::Published
            }
            Action::PublishLogs { windows } => self.publish_logs(windows, luck),
            Action::Checkpoint { window } => {
                assert_eq!(window.0, self.applied);
                assert!(window.0.is_multiple_of(3) || window.0 == 8);
                self.checkpoints.push(window.0);
                Event::Checkpointed
            }
            Action::SetWeights { window } => self.set_weights(window, luck),
            Action::Resync => {
                self.resyncs += 1;
                // The others are at the window that is being trained.
                let decided = clock.last_decided(Height(height)).map_or(0, |window| window.0 + 1);
                self.applied = self.applied.max(decided);
                Event::State { window: Window(self.applied) }
            }
        }
    }

    fn set_weights(&mut self, window: Window, luck: Luck) -> Event {
        assert_eq!(self.logs.last(), Some(&window.0), "weights are those of the newest log");
        if let Some(&(before, height)) = self.weights.last() {
            assert!(before < window.0);
            assert!(height / EPOCH < self.height / EPOCH, "twice in one epoch");
        }
        if luck.fails && luck.blocks == 0 {
            let weights = settled(window.0, self.height);
            self.given_up = Some(weights);
            return Event::WeightsSettled { weights, opens: Height(self.height) };
        }
        if luck.fails {
            return Event::WeightsLater { opens: Height(self.height + 5) };
        }
        self.weights.push((window.0, self.height));
        let weights = settled(window.0, self.height);
        Event::WeightsSettled { weights, opens: Height((self.height / EPOCH + 1) * EPOCH) }
    }

    /// Uploads logs, and checks that no copier has a use for them.
    fn publish_logs(&mut self, windows: BTreeSet<Window>, luck: Luck) -> Event {
        let heights = |window: Window| rules().clock.heights(window).unwrap();
        for window in &windows {
            assert!(self.unpublished().contains(window), "there is such a log, and it is not published");
            assert!(self.height >= heights(*window).votes_close.0 + 30, "the next votes are in");
            assert!(self.weighed().unwrap().window >= *window, "weights rest on it");
        }
        let count = if luck.fails { windows.len() / 2 } else { windows.len() };
        let uploaded: BTreeSet<Window> = windows.iter().copied().take(count).collect();
        self.published.extend(uploaded.iter().map(|window| (window.0, self.height)));
        Event::LogsPublished { attempted: windows, uploaded }
    }
}

fn settled(window: u64, public: u64) -> SettledWeights {
    SettledWeights { window: Window(window), public: Height(public) }
}

/// Returns the block with which an action ends at the latest, if it has one.
fn until(action: &Action) -> Option<Height> {
    match action {
        Action::Collect { until, .. } | Action::Screen { until, .. } | Action::Measure { until, .. } => {
            Some(*until)
        }
        _ => None,
    }
}

/// Runs to the end; fate repeats, with good luck from then on.
fn run(start: u64, fate: &[Luck]) -> World {
    let mut world = World { height: start, ..World::default() };
    let mut machine = world.resume();
    let mut event = Event::Height;
    let fine = Luck { blocks: 0, killed: false, fails: false };
    for step in 0..2000 {
        let luck = fate.get(step).copied().unwrap_or(fine);
        match machine.step(event, Height(world.height)) {
            Action::Finish => return world,
            Action::Wait(until) => {
                assert!(until.0 > world.height && until.0 < u64::MAX, "{machine:?} at {}", world.height);
                world.height = if luck.killed { world.height + 1 } else { until.0 };
                event = Event::Height;
            }
            action => {
                let latest = until(&action).map_or(u64::MAX, |until| until.0.max(world.height));
                event = world.carry_out(&machine, action, luck);
                world.height = (world.height + luck.blocks).min(latest);
            }
        }
        if luck.killed {
            (machine, event) = (world.resume(), Event::Height);
        }
    }
    panic!("the run does not end: {machine:?}, {world:?}");
}

#[test]
fn a_run_without_trouble() {
    let world = run(90, &[]);
    let all: Vec<u64> = (0..8).collect();
    assert_eq!(world.voted, all.iter().map(|w| (*w, 100 + 30 * w + 42)).collect::<Vec<_>>());
    assert_eq!((&world.measured, &world.logs), (&all, &all));
    assert_eq!(world.kept, all.iter().copied().collect());
    assert_eq!(world.recorded, all.into_iter().collect());
    assert_eq!(world.held_out, (0..9).collect());
    assert_eq!(world.checkpoints, [3, 6, 8]);
    // The log of window w is closed in block 149 + 30 w; an epoch begins every 50 blocks.
    assert_eq!(world.weights, [(0, 149), (1, 179), (2, 209), (3, 250), (5, 300), (7, 359)]);
    // M_(w+1) is 179 + 30 w. The log of window 4 waits for the weights of window 5 in block 300, the log of
    // window 6 for those of window 7.
    let published: Vec<_> = world.published.into_iter().collect();
    assert_eq!(published, [(0, 179), (1, 209), (2, 239), (3, 269), (4, 300), (5, 329), (6, 359), (7, 389)]);
    assert_eq!(world.resyncs, 0);
}

#[test]
fn who_starts_late_catches_up_and_takes_part_from_then_on() {
    // Block 265 is within window 5; window 4 is decided in block 269.
    let world = run(265, &[]);
    assert_eq!(world.voted.first(), Some(&(5, 292)), "the seed of window 4 is known: it is measured only");
    assert_eq!(world.logs, [4, 5, 6, 7]);
    let world = run(258, &[]);
    assert_eq!(
        world.voted.first(),
        Some(&(4, 262)),
        "block 262 is its seed, and not made before 259 is final"
    );
    assert_eq!(world.logs, [4, 5, 6, 7]);
    let world = run(270, &[]);
    assert_eq!(world.voted.first(), Some(&(5, 292)));
    assert_eq!(world.logs, [4, 5, 6, 7], "the last window is measured even though its vote is over");
    let world = run(400, &[]);
    assert!(world.voted.is_empty());
    assert_eq!(world.logs, [7], "claims of the last window stay the newest");
}

/// Checks the downloads of a validator that is started at each block of a window. The last block that is
/// final before `S_w` is made is `K_w + 3`.
#[test]
fn no_vote_rests_on_keys_that_were_asked_for_when_the_seed_could_be_known() {
    let spec = WindowSpec { seed: 15, votes_close: 22, ..TINY };
    let heights = rules_of(spec).clock.heights(Window(0)).unwrap();
    let (closes, last) = (heights.keys_close, heights.seed.0 - u64::from(spec.finality_lag) - 1);
    assert_eq!(closes.0 + 3, last);
    for start in heights.first.0..heights.votes_close.0 {
        let mut machine = Machine::resume(rules_of(spec), Window(0), Past::default());
        let Action::Prefetch { until, last_keys, .. } = machine.step(Event::Height, Height(start)) else {
            panic!("nothing is downloaded from block {start} on")
        };
        let late = Height(closes.0 + start.saturating_sub(heights.claims_close.0));
        if start <= last {
            assert_eq!(until, late.min(Height(last)).max(closes), "from block {start} on");
            assert_eq!(last_keys, Some(Height(last)));
        } else {
            assert!(until.0 > last && last_keys.is_none(), "it is for measurements only");
        }
        let mut event = Event::Prefetching { until };
        let votes = loop {
            let height = heights.seed.max(Height(start)).max(until);
            event = match machine.step(event, height) {
                Action::HeldOut { .. } => Event::HeldOut,
                Action::Collect { window, .. } => Event::Collected(window),
                Action::Screen { .. } => break true,
                Action::Measure { .. } => break false,
                action => panic!("unexpected: {action:?} from block {start} on"),
            };
        };
        assert_eq!(votes, start <= last, "from block {start} on");
    }
}

#[test]
fn who_disagrees_makes_no_log_and_resyncs() {
    let fine = Luck { blocks: 0, killed: false, fails: false };
    // Prefetch, HeldOut, Wait, Collect, Wait, Screen, Vote, Custody, Measure, Wait, Decide.
    let mut fate = [fine; 11];
    fate[10].fails = true;
    let world = run(90, &fate);
    assert_eq!((world.resyncs, world.applied), (1, 8));
    assert_eq!(world.logs, [1, 2, 3, 4, 5, 6, 7]);
}

/// Checks a validator whose weights are all refused, for example since it has lost its permit.
#[test]
fn a8_without_weights_the_logs_come_one_window_later() {
    let mut world = World { height: 90, ..World::default() };
    let mut machine = world.resume();
    let mut event = Event::Height;
    let refused = Luck { blocks: 0, killed: false, fails: true };
    let fine = Luck { fails: false, ..refused };
    loop {
        event = match machine.step(event, Height(world.height)) {
            Action::Finish => break,
            Action::Wait(until) => {
                world.height = until.0;
                Event::Height
            }
            action @ Action::SetWeights { .. } => world.carry_out(&machine, action, refused),
            action => world.carry_out(&machine, action, fine),
        };
    }
    let published: Vec<_> = world.published.into_iter().collect();
    assert_eq!(published, (0..8).map(|window| (window, 179 + 30 * window)).collect::<Vec<_>>());
}

#[test]
fn a_restart_between_vote_and_custody_publishes_what_the_vote_names() {
    let fine = Luck { blocks: 0, killed: false, fails: false };
    // Prefetch, HeldOut, Wait, Collect, Wait, Screen, Vote.
    let mut fate = [fine; 7];
    fate[6].killed = true;
    let world = run(90, &fate);
    assert_eq!(world.voted.iter().filter(|&&(window, _)| window == 0).count(), 1);
    assert!(world.kept.contains(&0));
    assert_eq!(world.logs, (0..8).collect::<Vec<_>>());
}

/// Runs a machine through a run of a spec, in which each action with a last block takes until that block.
/// Returns the final heights at which it voted on each window and made its outer step.
fn at_its_slowest(spec: WindowSpec) -> (Vec<(u64, u64)>, Vec<u64>) {
    let rules = rules_of(spec);
    let mut machine = Machine::resume(rules, Window(0), Past::default());
    let (mut height, mut event) = (Height(100), Event::Height);
    let (mut voted, mut applied) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let action = machine.step(event, height);
        height = until(&action).map_or(height, |until| until.max(height));
        event = match action {
            Action::Wait(until) => {
                height = until;
                Event::Height
            }
            Action::Prefetch { until, .. } => Event::Prefetching { until },
            Action::HeldOut { .. } => Event::HeldOut,
            Action::Collect { window, .. } => Event::Collected(window),
            Action::Screen { window, .. } => Event::Screened(window),
            Action::Vote { window, .. } => {
                voted.push((window.0, height.0));
                Event::Voted
            }
            Action::Custody { .. } => Event::Kept,
            Action::Measure { window, .. } => Event::Measured(window),
            Action::Decide { window } => Event::Decided(window),
            Action::CloseLog { .. } => Event::Logged,
            Action::Apply { window, .. } => {
                applied.push(height.0);
                Event::Applied(window)
            }
            Action::Publish { .. } => Event::Published,
            Action::Checkpoint { .. } => Event::Checkpointed,
            Action::PublishLogs { windows } => {
                Event::LogsPublished { attempted: windows.clone(), uploaded: windows }
            }
            Action::SetWeights { window } => {
                Event::WeightsSettled { weights: settled(window.0, height.0), opens: height }
            }
            Action::Resync => unreachable!("the state is never lost"),
            Action::Finish => return (voted, applied),
        };
    }
    panic!("the run does not end: {machine:?}");
}

#[test]
fn a1_a_vote_of_the_smallest_spec_lands_at_lag_3() {
    let spec = WindowSpec { screening: 1, claims_close: 0, keys_close: 0, seed: 0, votes_close: 0, ..TINY };
    let spec = WindowSpec { blocks: 1, ..spec }.proposed().unwrap();
    assert_eq!((spec.seed, spec.votes_close), (9, 14));
    let (voted, _) = at_its_slowest(spec);
    // The screen of window 0 ends when S_0 + 1 is final. The vote is then in the last block that counts.
    let first = 100 + u64::from(spec.blocks);
    assert_eq!(voted[0], (0, first + 10));
    assert_eq!(voted[0].1 + 3 + 1, first + 14);
    assert_eq!(voted.len(), 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_trouble_breaks_a_rule_and_every_run_ends(start in 90u64..400, fate in vec(luck(), 0..150)) {
        let world = run(start, &fate);
        prop_assert_eq!(world.applied, 8);
        prop_assert!(world.logs.is_sorted_by(|a, b| a < b));
        prop_assert!(world.weights.is_sorted_by(|a, b| a.0 < b.0));
        for window in &world.logs {
            prop_assert!(world.measured.contains(window));
        }
        prop_assert!(world.held_out.contains(&8));
        let published: Vec<u64> = world.published.into_keys().collect();
        prop_assert_eq!(published, world.logs, "the run ends when all logs are published");
    }

    #[test]
    fn a1_however_long_others_take_each_vote_is_in_time_and_each_step_before_the_next_claims_close(
        lag in 0u32..70, publishing in 1u32..20, screening in 1u32..20, claims_close in 0u32..20,
        more in 0u32..50,
    ) {
        let empty = WindowSpec { keys_close: 0, seed: 0, votes_close: 0, claims_close, ..TINY };
        let spec = WindowSpec { blocks: 1, finality_lag: lag, publishing, screening, ..empty };
        let mut spec = spec.proposed().unwrap();
        spec.blocks += more;
        let clock = rules_of(spec).clock;
        let (voted, applied) = at_its_slowest(spec);
        prop_assert_eq!((voted.len(), applied.len()), (8, 8));
        for (window, height) in voted {
            let heights = clock.heights(Window(window)).unwrap();
            prop_assert!(height > heights.seed.0, "there is time to screen");
            // The best block is `lag` above the final one. The vote enters one of the next two blocks,
            // or just the next one where the spec leaves no more.
            let blocks = if screening > 1 { 2 } else { 1 };
            prop_assert!(height + u64::from(lag) + blocks <= heights.votes_close.0);
        }
        for (window, height) in applied.into_iter().enumerate().take(7) {
            let next = clock.heights(Window(window as u64 + 1)).unwrap();
            prop_assert!(height < next.claims_close.0);
        }
    }

    #[test]
    fn who_is_only_killed_logs_every_window_and_publishes_it(fate in vec(any::<bool>(), 0..150)) {
        let fate: Vec<_> =
            fate.into_iter().map(|killed| Luck { blocks: 0, killed, fails: false }).collect();
        let world = run(90, &fate);
        prop_assert_eq!(world.logs, (0..8).collect::<Vec<_>>());
        prop_assert_eq!(world.recorded, (0..8).collect::<BTreeSet<_>>());
        prop_assert_eq!(world.published.len(), 8);
        prop_assert!(world.weights.iter().any(|&(window, _)| window == 7), "the last log is paid by");
    }
}
