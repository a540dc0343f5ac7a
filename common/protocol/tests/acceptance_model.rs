//! A model test of acceptance on random subnets that misbehave in every way that the design names.
//!
//! Several nodes each read the chain for themselves. In every window, each node that decides must
//! reach the decision of an independent version of the rules, in any order of reading and without
//! any history. Each node that lacks a part of the evidence must say so. Each node must learn whether
//! its history is the majority's.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

#[path = "acceptance_model/oracle.rs"]
mod oracle;
#[path = "acceptance_model/world.rs"]
mod world;

use base::{
    Height, Hotkey, Millionths, Window,
    digest::{ObjectHash, RunHash, RunId, ScoreLogHead, State, StateRoot},
};
use oracle::Oracle;
use protocol::{
    acceptance::{
        AcceptanceSpec, Agreement, Candidate, CannotDecide, Decision, Evidence, NullWindow, Part, Screen,
        Snapshot, candidates, decide,
    },
    announcement::{Bits, Claim, Possession, Record, Vote},
    clock::{Clock, Heights, WindowSpec},
    history::History,
};
use std::collections::{BTreeMap, BTreeSet};
use world::{Event, Random, World};

const WINDOWS: u32 = 26;
const SUBNETS: u64 = 400;
const RUN: RunHash = RunHash([7; 32]);

/// A node with a history, which has applied updates.
#[derive(Clone)]
struct Node {
    history: History,
    root: StateRoot,
}

impl Node {
    fn new() -> Self {
        Self { history: History::new(&RUN), root: StateRoot([1; 32]) }
    }

    fn state(&self) -> State {
        self.history.state(&self.root)
    }

    fn apply(&mut self, decision: &Decision) {
        let state = self.state();
        for accepted in decision.applied() {
            self.root = StateRoot::of(&[&self.root.0, &accepted.object.0]);
        }
        self.history.push(decision, state).unwrap();
    }
}

/// The behaviour of a validator, by uid.
#[derive(Clone, Copy)]
struct Validator {
    alive: bool,
    /// Whether it follows the second history.
    forked: bool,
}

/// The cases that occurred in all windows of all subnets. A test that never meets a case does not test it.
type Met = BTreeMap<&'static str, u32>;

struct Simulation {
    world: World,
    clock: Clock,
    spec: AcceptanceSpec,
    validators: Vec<Validator>,
    /// The window in which the second history begins.
    fork: Option<u64>,
    main: Node,
    second: Node,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let window = WindowSpec {
            blocks: 30,
            count: WINDOWS,
            finality_lag: 0,
            publishing: 1,
            screening: 1,
            claims_close: 3,
            keys_close: 5,
            seed: 6,
            votes_close: 8,
        };
        let founders = founders(&mut world);
        let random = &mut world.random;
        let spec = AcceptanceSpec {
            gather_peers: random.within(1, 6) as u16,
            newcomer_share: Millionths([0, 250_000, 500_000, 1_000_000][random.below(4) as usize]),
            screen: Screen::Structure,
            screen_errors: Millionths::ZERO,
            sealing: false,
            electorate_blocks: [210, 300, 619][random.below(3) as usize],
            staleness: 0,
            founders,
        };
        let fork = random.percent(50).then(|| random.below(u64::from(WINDOWS)));
        let validators = vec![Validator { alive: true, forked: false }; world.validators];
        let clock = Clock::new(Height(100), window).unwrap();
        Self { world, clock, spec, validators, fork, main: Node::new(), second: Node::new() }
    }

    fn random(&mut self) -> &mut Random {
        &mut self.world.random
    }

    /// Schedules registrations, swaps and epochs, at any block from the window's beginning to the last vote.
    fn churn(&mut self, heights: &Heights) {
        let (first, last) = (heights.first.0 + 9, heights.votes_close.0);
        let uids = self.world.neurons.len() as u64;
        for chance in [30, 10] {
            if self.random().percent(chance) {
                let uid = self.random().below(uids) as usize;
                let event = [Event::Replace(uid), Event::Return(uid), Event::Swap(uid)]
                    [self.random().below(3) as usize];
                let block = self.random().within(first, last);
                self.world.schedule(block, event);
            }
        }
        if self.random().percent(40) {
            let block = self.random().within(first, last);
            self.world.schedule(block, Event::Epoch);
        }
    }

    /// Schedules claims: in time, late, twice, for another window or run, overwritten, or none.
    fn claim(&mut self, heights: &Heights) {
        let (early, deadline) = (heights.last.0 - 2, heights.claims_close.0);
        for uid in self.world.validators..self.world.neurons.len() {
            let object = ObjectHash(*blake3::hash(&self.random().next().to_le_bytes()).as_bytes());
            let good = Claim { run: RUN.id(), window: heights.window, object };
            let kind = self.random().below(20);
            let mut write = |from, to, record| {
                let block = self.world.random.within(from, to);
                self.world.schedule(block, Event::Write(uid, record));
            };
            let claim = |claim| Some(Record::Claim(claim));
            match kind {
                0 => {}
                1 => write(deadline + 1, deadline + 3, claim(good)),
                2 => {
                    write(early, deadline - 1, claim(good));
                    write(early, deadline + 1, claim(Claim { object: ObjectHash([9; 32]), ..good }));
                }
                3 => write(early, deadline, claim(Claim { window: Window(heights.window.0 + 1), ..good })),
                4 => write(early, deadline, claim(Claim { run: RunId([3; 8]), ..good })),
                5 => {
                    write(early, deadline, claim(good));
                    write(deadline - 1, deadline + 2, None);
                }
                _ => write(early, deadline, claim(good)),
            }
        }
    }

    /// Schedules votes: on time, late, early, twice, on candidates that do not exist, of either
    /// history, or none.
    fn vote(&mut self, heights: &Heights, candidates: &[Candidate]) {
        let (opens, closes) = (heights.claims_close.0 + 1, heights.votes_close.0);
        // All validators notice a miner that withholds its object from all.
        let withheld: BTreeSet<usize> = (0..candidates.len()).filter(|_| self.random().percent(15)).collect();
        for uid in 0..self.validators.len() {
            let chance = if self.validators[uid].alive { 6 } else { 12 };
            let change = self.random().percent(chance);
            self.validators[uid].alive ^= change;
            if !self.validators[uid].alive {
                continue;
            }
            let seen =
                (0..candidates.len()).filter(|c| !withheld.contains(c) && self.world.random.percent(93));
            let mut good = Bits::of(seen.collect::<Vec<_>>());
            let node = if self.validators[uid].forked { &self.second } else { &self.main };
            let mut state = node.state();
            let random = &mut self.world.random;
            if random.percent(8) {
                state = State([random.below(3) as u8; 32]);
            }
            if random.percent(3) {
                good.0 |= 1 << 63;
            }
            let vote = |good| {
                let score_log = ScoreLogHead::default();
                let possession = Possession::default();
                let run = RUN.id();
                let window = heights.window;
                Event::Write(
                    uid,
                    Some(Record::Vote(Vote { run, window, good, state, score_log, possession })),
                )
            };
            let on_time = random.within(opens, closes);
            match random.below(20) {
                0 => self.world.schedule(closes + 1, vote(good)),
                1 => {
                    self.world.schedule(opens, vote(Bits(0)));
                    self.world.schedule(on_time, vote(good));
                }
                2 => self.world.schedule(on_time, Event::Write(uid, None)),
                _ => self.world.schedule(on_time, vote(good)),
            }
        }
    }

    /// Schedules votes before the claims are closed, on expected candidates. They do not count.
    fn vote_early(&mut self, heights: &Heights) {
        for uid in 0..self.validators.len() {
            if self.random().percent(5) {
                let block = self.random().within(heights.last.0, heights.claims_close.0);
                let vote = Vote {
                    run: RUN.id(),
                    window: heights.window,
                    good: Bits(1),
                    state: self.main.state(),
                    score_log: ScoreLogHead::default(),
                    possession: Possession::default(),
                };
                self.world.schedule(block, Event::Write(uid, Some(Record::Vote(vote))));
            }
        }
    }

    fn window(&mut self, window: Window, met: &mut Met) {
        let heights = self.clock.heights(window).unwrap();
        self.churn(&heights);
        self.claim(&heights);
        self.vote_early(&heights);
        let read = |world: &mut World, height: Height| {
            world.advance(height.0);
            [world.read(height.0), world.read(height.0)]
        };
        let [incentives, incentives_too] = read(&mut self.world, heights.incentives);
        let [claims, claims_too] = read(&mut self.world, heights.claims_close);
        let candidates = candidates(RUN.id(), &self.spec, &heights, &incentives, &claims).unwrap();
        self.vote(&heights, &candidates);
        let [votes, votes_too] = read(&mut self.world, heights.votes_close);

        let one = [&incentives, &claims, &votes];
        let other = [&incentives_too, &claims_too, &votes_too];
        let decision = self.check_decisions(&heights, one, other, met);
        self.check_who_cannot(&heights, one);
        self.go_on(&decision, met);
    }

    fn decide(&self, heights: &Heights, snapshots: [Option<&Snapshot>; 3]) -> Result<Decision, CannotDecide> {
        let [incentives, claims, votes] = snapshots;
        decide(RUN.id(), &self.spec, heights, &Evidence { incentives, claims, votes })
    }

    /// Checks that both nodes decide as the rules say, and learn their standing.
    fn check_decisions(
        &self,
        heights: &Heights,
        one: [&Snapshot; 3],
        other: [&Snapshot; 3],
        met: &mut Met,
    ) -> Decision {
        let decision = self.decide(heights, one.map(Some)).unwrap();
        assert_eq!(self.decide(heights, other.map(Some)), Ok(decision.clone()));
        let oracle = Oracle { world: &self.world, run: RUN.id(), spec: &self.spec, clock: &self.clock };
        let ruling = oracle.rule(heights.window);
        assert_eq!(decision.candidates.iter().map(|c| c.id).collect::<Vec<_>>(), ruling.candidates);
        assert_eq!(decision.applied(), ruling.accepted);
        assert_eq!(decision.state, ruling.state);
        let members = decision.electorate.members();
        let members: Vec<_> = members.map(|(id, member)| (*id, u128::from(member.weight))).collect();
        assert_eq!(members, ruling.electorate);
        for node in [&self.main, &self.second] {
            let expected = match decision.state {
                None => Agreement::Unjudged,
                Some(state) if state == node.state() => Agreement::Agrees,
                Some(majority) => Agreement::Diverged { majority },
            };
            assert_eq!(decision.standing(node.state()), expected);
        }
        *met.entry(outcome(&decision)).or_default() += 1;
        decision
    }

    /// Checks that a node without a part of the evidence says so, instead of deciding something else.
    fn check_who_cannot(&self, heights: &Heights, snapshots: [&Snapshot; 3]) {
        let window = heights.window;
        for (place, part) in [Part::Incentives, Part::Claims, Part::Votes].into_iter().enumerate() {
            let mut given = snapshots.map(Some);
            given[place] = None;
            let height = part.height(heights);
            let missing = CannotDecide::Missing { window, part, height };
            assert_eq!(self.decide(heights, given), Err(missing));
            let wrong = snapshots[(place + 1) % 3];
            given[place] = Some(wrong);
            let wrong = CannotDecide::WrongBlock { window, part, expected: height, found: wrong.height() };
            assert_eq!(self.decide(heights, given), Err(wrong));
        }
    }

    /// Applies the decision on all nodes.
    ///
    /// At the fork, one of them applies something else. A node that has diverged may resync.
    fn go_on(&mut self, decision: &Decision, met: &mut Met) {
        let before = (self.main.state(), self.second.state());
        self.main.apply(decision);
        let mut own = decision.clone();
        if self.fork == Some(decision.window.0) {
            own.accepted = Err(NullWindow::NothingAccepted);
            self.second.root = StateRoot([2; 32]);
            for validator in &mut self.validators {
                validator.forked = self.world.random.percent(50);
            }
        }
        self.second.apply(&own);
        let diverged = |state| matches!(decision.standing(state), Agreement::Diverged { .. });
        if decision.state == Some(before.0) && diverged(before.1) {
            *met.entry("the second history diverged").or_default() += 1;
            if self.random().percent(20) {
                self.second = self.main.clone();
                self.validators.iter_mut().for_each(|validator| validator.forked = false);
            }
        }
        if decision.state == Some(before.1) && diverged(before.0) {
            *met.entry("the first history diverged").or_default() += 1;
            if self.random().percent(20) {
                self.main = self.second.clone();
            }
        }
    }
}

/// Chooses some of the validators as founders.
fn founders(world: &mut World) -> Vec<Hotkey> {
    let validators = world.neurons[..world.validators].iter().map(|neuron| neuron.id.hotkey);
    let mut founders: Vec<_> = validators.collect();
    founders.retain(|_| world.random.percent(60));
    founders.sort_unstable();
    founders
}

/// Returns the name of a decision's case.
fn outcome(decision: &Decision) -> &'static str {
    match &decision.accepted {
        Ok(_) => "accepted",
        Err(NullWindow::NoVotes) => "no votes",
        Err(NullWindow::NoMajorityState { .. }) => "no majority state",
        Err(NullWindow::NoQuorum { .. }) => "no quorum",
        Err(NullWindow::OneVoter { .. }) => "one voter",
        Err(NullWindow::NothingAccepted) => "no candidate accepted",
    }
}

#[test]
fn every_node_decides_the_same_or_knows_that_it_cannot() {
    let mut met = Met::new();
    for seed in 0..SUBNETS {
        let result = std::panic::catch_unwind(|| {
            let mut met = Met::new();
            let mut simulation = Simulation::new(seed);
            (0..u64::from(WINDOWS)).for_each(|window| simulation.window(Window(window), &mut met));
            met
        });
        let here = result.unwrap_or_else(|_| panic!("subnet {seed}"));
        here.into_iter().for_each(|(case, times)| *met.entry(case).or_default() += times);
    }
    for case in [
        "accepted",
        "no votes",
        "no majority state",
        "no quorum",
        "one voter",
        "no candidate accepted",
        "the first history diverged",
        "the second history diverged",
    ] {
        assert!(met.get(case).is_some_and(|&times| times >= 20), "{case} hardly occurred: {met:?}");
    }
}
