//! Builds the network of a scenario: neurons, stakes, lines, hostile nodes, and the times of its faults.

use crate::{
    chain::{Chain, FIRST},
    faults::{Group, Kind},
    links::Links,
    miner::Miner,
    node::{Node, Role},
    profile::Profile,
    random::{self, Random},
    scenario::{Scenario, VALIDATOR_LINE},
    shared::Shared,
    story::Story,
    validator::Validator,
    world::{Event, Setup, World},
};
use base::{Height, Hotkey, NeuronId, Window, digest::RunHash};
use protocol::{
    acceptance::NeuronState,
    clock::{Clock, ClockError},
    machine::miner::MinerRules,
};
use std::sync::Arc;

/// The first block of a run in the model.
const START: u64 = FIRST + 15;
/// The factor of the times of slow computations.
const SLOWNESS: u64 = 20;
/// The stake of all validators, before it is scaled to 65535 for the largest.
const STAKE: u64 = 1_000_000;

/// Returns the place of a neuron, which its hotkey holds.
pub(crate) fn place(id: &NeuronId) -> u32 {
    let [.., a, b, c, d] = id.hotkey.0;
    u32::from_le_bytes([a, b, c, d])
}

impl World {
    /// Builds the network of a scenario.
    ///
    /// # Errors
    /// The lengths of the windows form no clock.
    pub(crate) fn of(scenario: Scenario, profile: Arc<Profile>, story: Story) -> Result<Self, ClockError> {
        let clock = Clock::new(Height(START), profile.window)?;
        let run = RunHash(random::bytes(3, [scenario.seed, 0, 0])).id();
        let validators = scenario.validators as usize;
        let stakes = stakes(&scenario);
        let mut links = Links::default();
        let mut nodes = Vec::new();
        let mut neurons = Vec::new();
        let tricks = tricks(&scenario);
        for (place, tricks) in tricks.into_iter().enumerate() {
            let is_validator = place < validators;
            let mut random = Random::new(scenario.seed, 1000 + place as u64);
            let mut node = node(&scenario, place, tricks, &mut random, clock);
            let (up, down) = scenario.link.rates();
            let least = if is_validator { u64::from(VALIDATOR_LINE) * 125_000 } else { 0 };
            let divisor = if hits(&scenario, Kind::SlowLine, place) { 10 } else { 1 };
            if divisor > 1 {
                node.unwell_until = u64::MAX;
            }
            links.add(up.max(least) / divisor, down.max(least) / divisor);
            let stake = stakes.get(place).copied().unwrap_or(0);
            neurons.push(NeuronState { id: node.id, incentive: 0, stake, permit: is_validator });
            nodes.push(node);
        }
        let mut profile = Profile::clone(&profile);
        let founders = nodes.iter().filter(|node| node.is_founder());
        let mut founders: Vec<Hotkey> = founders.map(|node| node.id.hotkey).collect();
        founders.sort_unstable();
        profile.acceptance.founders = founders;
        let profile = Arc::new(profile);
        let chain = Chain::new(scenario.seed, neurons);
        let setup = Setup { scenario, profile, clock, run };
        Ok(Self::new(Arc::new(setup), nodes, links, chain, story))
    }

    /// Plans the faults that happen at times that are known from the beginning.
    pub(crate) fn plan_faults(&mut self) {
        let setup = Arc::clone(&self.setup);
        let (scenario, window) = (&setup.scenario, setup.profile.window_time());
        for place in 0..self.nodes.len() {
            let mut random = Random::new(scenario.seed, 5000 + place as u64);
            let node = place as u32;
            for number in 0..u64::from(scenario.windows) + 1 {
                let at = number * window + random.below(window);
                let away = random.within(setup.profile.block / 4, 3 * setup.profile.block);
                if random.per_mille(scenario.share(Kind::Kill)) {
                    self.queue.push(at, Event::Kill { node, away: Some(away) });
                }
                let until = at + random.within(window / 8, 2 * window);
                if random.per_mille(scenario.share(Kind::Partition) / 4) && self.nodes[place].is_honest {
                    self.queue.push(at, Event::Cut { node, until });
                }
            }
            if hits(scenario, Kind::Clock, place) && self.nodes[place].is_honest {
                let at = random.below(window * u64::from(scenario.windows));
                self.queue.push(at, Event::Clock { node, until: at + 3 * window });
            }
        }
        for (kind, away) in [(Kind::Leaving, None), (Kind::Away, Some(4 * window))] {
            for place in members(scenario, kind) {
                let at = window * u64::from(scenario.windows) / 3 + place as u64;
                self.queue.push(at, Event::Kill { node: place as u32, away });
            }
        }
    }
}

fn node(scenario: &Scenario, place: usize, tricks: u64, random: &mut Random, clock: Clock) -> Node {
    let mut hotkey = random::bytes(6, [scenario.seed, place as u64, 0]);
    hotkey[28..].copy_from_slice(&(place as u32).to_le_bytes());
    let is_validator = place < scenario.validators as usize;
    let role = match (is_validator, tricks != 0) {
        (true, true) => Role::Script,
        (true, false) => Role::Validator(Box::new(Validator::new())),
        (false, _) => Role::Miner(Box::new(Miner::new(clock, MinerRules::default()))),
    };
    let lags = hits(scenario, Kind::Lag, place);
    Node {
        id: NeuronId { hotkey: Hotkey(hotkey), registered: Height(1) },
        is_honest: tricks == 0,
        tricks,
        role,
        is_up: false,
        has_left: false,
        generation: 0,
        slowness: if hits(scenario, Kind::SlowWork, place) { SLOWNESS } else { 1 },
        delay: if lags { random.within(5_000, 40_000) } else { random.within(50, 400) },
        cut_until: 0,
        clock_until: 0,
        seen: FIRST,
        transfers: Vec::new(),
        state: 0,
        shared: Shared::default(),
        unwell_until: if lags { u64::MAX } else { 0 },
        checkpoint: None,
        prefetch: None,
        line: 0,
        token: 0,
    }
}

/// Checks whether a fault of a share of all nodes hits this one.
fn hits(scenario: &Scenario, kind: Kind, place: usize) -> bool {
    Random::new(scenario.seed, 7000 + 100_000 * (kind as u64) + place as u64).per_mille(scenario.share(kind))
}

/// Returns the validators that a fault of a share of the stake hits. Each such fault has its own.
fn members(scenario: &Scenario, kind: Kind) -> Vec<usize> {
    groups(scenario)
        .into_iter()
        .find(|(group, ..)| *group == kind)
        .map_or_else(Vec::new, |(.., members)| members)
}

/// Returns the faults of a share of the stake, each with its share and its validators. The first validator
/// has none.
fn groups(scenario: &Scenario) -> Vec<(Kind, u64, Vec<usize>)> {
    let count = scenario.validators as usize;
    let mut free: Vec<usize> = (1..count).collect();
    let mut random = Random::new(scenario.seed, 8);
    let mut groups = Vec::new();
    let faults = scenario.of_group(Group::HostileValidators).chain(scenario.of_group(Group::Validators));
    for fault in faults {
        let wanted = match fault.kind {
            Kind::Whale => 1,
            _ => (count as u64 * u64::from(fault.share) / 1000).max(1) as usize,
        };
        let members = (0..wanted).filter_map(|_| random.pick(free.len()).map(|place| free.remove(place)));
        groups.push((fault.kind, fault.share.into(), members.collect::<Vec<_>>()));
    }
    groups
}

/// Returns the stake of each validator: 65535 for the largest.
fn stakes(scenario: &Scenario) -> Vec<u16> {
    let count = scenario.validators as usize;
    let mut random = Random::new(scenario.seed, 9);
    let mut stakes: Vec<u64> = (0..count).map(|_| random.within(500, 1500)).collect();
    let groups = groups(scenario);
    let grouped: Vec<usize> = groups.iter().flat_map(|(.., members)| members.iter().copied()).collect();
    let taken: u64 =
        groups.iter().filter(|(.., members)| !members.is_empty()).map(|(_, share, _)| share).sum();
    let rest: Vec<usize> = (0..count).filter(|place| !grouped.contains(place)).collect();
    let rest = (1000_u64.saturating_sub(taken).max(20), rest);
    for (share, members) in groups.into_iter().map(|(_, share, members)| (share, members)).chain([rest]) {
        let sum: u64 = members.iter().map(|place| stakes[*place]).sum();
        members
            .iter()
            .for_each(|place| stakes[*place] = (stakes[*place] * share * STAKE / 1000 / sum.max(1)).max(1));
    }
    let largest = stakes.iter().copied().max().unwrap_or(1);
    stakes.iter().map(|stake| u16::try_from((stake * 65_535 / largest).max(1)).unwrap_or(u16::MAX)).collect()
}

/// Returns the attacks of each node. At least one miner is honest.
fn tricks(scenario: &Scenario) -> Vec<u64> {
    let (validators, miners) = (scenario.validators as usize, scenario.miners as usize);
    let mut tricks = vec![0_u64; validators + miners];
    for (kind, _, members) in groups(scenario) {
        if kind.group() == Group::HostileValidators {
            members.into_iter().for_each(|place| tricks[place] |= 1 << (kind as u64));
        }
    }
    for fault in scenario.of_group(Group::Miners) {
        let mut random = Random::new(scenario.seed, 10 + fault.kind as u64);
        let count = (miners as u64 * u64::from(fault.share)).div_ceil(1000) as usize;
        for _ in 0..count {
            let place = validators + random.pick(miners.saturating_sub(1)).unwrap_or(0) + 1;
            if place < tricks.len() {
                tricks[place] |= 1 << (fault.kind as u64);
            }
        }
    }
    tricks
}

impl World {
    /// Returns the window of a block of the best chain, if it is the first of one.
    pub(crate) fn begins(&self, height: u64) -> Option<Window> {
        let blocks = u64::from(self.setup.profile.window.blocks);
        let since = height.checked_sub(START)?;
        since.is_multiple_of(blocks).then_some(Window(since / blocks))
    }
}
