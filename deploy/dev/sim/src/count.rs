//! Counts the votes of a window again, from the records of the model alone.

use crate::{
    setup::place,
    store::ObjectId,
    world::{Decided, World},
};
use base::digest::State;
use protocol::{
    acceptance::{Candidate, Decision},
    announcement::{Record, Vote},
    clock::Heights,
};
use std::collections::BTreeMap;

/// The result of the independent count of a window's votes.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) has_quorum: bool,
    pub(crate) state: Option<State>,
    /// The miners whose objects more than half of the electorate's weight voted for.
    pub(crate) approved: BTreeMap<u32, ObjectId>,
    /// Whether chain and electorate were well, so that the window had to succeed.
    pub(crate) is_well: bool,
}

impl Verdict {
    /// Returns the least number of updates that a decision must accept: all approved ones for which there is
    /// room, where the share of newcomers is no limit.
    pub(crate) fn least_accepted(&self, world: &World, decided: &Decision) -> usize {
        let is_approved = |candidate: &&Candidate| self.approved.contains_key(&place(&candidate.id));
        let proven =
            decided.candidates.iter().filter(is_approved).filter(|candidate| candidate.incentive > 0).count();
        let is_limited = decided.candidates.iter().any(|candidate| candidate.incentive > 0);
        let least = if is_limited { proven } else { self.approved.len() };
        least.min(world.setup.profile.acceptance.gather_peers.into())
    }
}

/// The members of the electorate with their weights.
pub(crate) struct Members {
    pub(crate) total: u128,
    pub(crate) well: u128,
    pub(crate) hostile: u128,
    /// The number of hotkeys that must vote.
    pub(crate) needed: usize,
    pub(crate) well_count: usize,
}

impl World {
    /// Returns the electorate at this block, the latest final one.
    pub(crate) fn members(&self, heights: &Heights, since: u64) -> Members {
        let blocks = u64::from(self.setup.profile.window.blocks);
        let period = self.setup.electorate_blocks();
        let mut members = Members { total: 0, well: 0, hostile: 0, needed: 1, well_count: 0 };
        let mut recent = Vec::new();
        for n in 0..self.nodes.len() {
            let neuron = &self.chain.neurons[n];
            let age = match self.standing_vote(n, heights) {
                Some(voted) => (heights.window.0 - voted) * blocks,
                None if self.nodes[n].is_founder() => (heights.window.0 + 1) * blocks,
                None => continue,
            };
            if !neuron.permit || neuron.stake == 0 || age >= period {
                continue;
            }
            let weight = u128::from(neuron.stake) * u128::from(period - age);
            members.total += weight;
            recent.extend((age <= period / 7).then_some(weight));
            // A slow validator votes in time, but not for all candidates.
            if self.is_well(n, since) && self.nodes[n].slowness == 1 {
                members.well += weight;
                members.well_count += 1;
            }
            if !self.nodes[n].is_honest {
                members.hostile += weight;
            }
        }
        recent.sort_unstable();
        recent.pop();
        members.needed += usize::from(10 * recent.iter().sum::<u128>() >= members.total);
        members
    }

    /// Returns the window of a node's standing vote, if it was set after the claims of that window closed.
    fn standing_vote(&self, n: usize, heights: &Heights) -> Option<u64> {
        let Some((set, Record::Vote(vote))) = &self.chain.records[n] else { return None };
        let closed = self.setup.heights(vote.window)?.claims_close;
        (vote.window <= heights.window && *set > closed).then_some(vote.window.0)
    }

    /// Returns all votes on a window: node, stake, vote.
    fn all_votes(&self, heights: &Heights) -> Vec<(usize, u128, Vote)> {
        let vote = |n: usize| match self.chain.records[n] {
            Some((set, Record::Vote(vote)))
                if vote.window == heights.window && set > heights.claims_close =>
            {
                Some(vote)
            }
            _ => None,
        };
        let votes = (0..self.nodes.len()).filter_map(|n| Some((n, vote(n)?)));
        let votes = votes.filter(|(n, _)| self.chain.neurons[*n].permit && self.chain.neurons[*n].stake > 0);
        votes.map(|(n, vote)| (n, u128::from(self.chain.neurons[n].stake), vote)).collect()
    }

    pub(crate) fn count(&self, heights: &Heights, members: &Members, candidates: &[u32]) -> Verdict {
        let mut votes = self.all_votes(heights);
        let voters = votes.len();
        votes.retain(|(.., vote)| candidates.len() >= 64 || vote.good.0 >> candidates.len() == 0);
        let voting: u128 = votes.iter().map(|(_, stake, _)| stake).sum();
        let mut verdict = Verdict::default();
        let mut states: Vec<State> = votes.iter().map(|(.., vote)| vote.state).collect();
        states.sort_unstable();
        states.dedup();
        for state in states {
            let counted: Vec<_> = votes.iter().filter(|(.., vote)| vote.state == state).collect();
            let stake: u128 = counted.iter().map(|(_, stake, _)| stake).sum();
            if 2 * stake <= voting {
                continue;
            }
            let period = u128::from(self.setup.electorate_blocks());
            if 2 * stake * period > members.total && voters >= members.needed {
                (verdict.has_quorum, verdict.state) = (true, Some(state));
                for (bit, miner) in candidates.iter().enumerate() {
                    let good: u128 = counted
                        .iter()
                        .filter(|(.., vote)| vote.good.has(bit))
                        .map(|(_, stake, _)| stake)
                        .sum();
                    let object =
                        self.checks.claims.get(&heights.window.0).and_then(|claims| claims.get(miner));
                    if let Some(object) = object.filter(|_| 2 * good * period > members.total) {
                        verdict.approved.insert(*miner, *object);
                    }
                }
            }
        }
        verdict
    }

    /// Checks that no honest vote is for an update whose key was published when the seed was known.
    ///
    /// A validator that always sees blocks late cannot tell that others know the seed: its votes are left
    /// out.
    pub(crate) fn check_keys(&mut self, heights: &Heights, candidates: &[u32]) {
        let window = heights.window.0;
        let (Some(seeded), Some(claims)) =
            (self.checks.seeded.get(&window).copied(), self.checks.claims.get(&window))
        else {
            return;
        };
        let votes = self.all_votes(heights).into_iter();
        let votes =
            votes.filter(|(n, ..)| self.nodes[*n].is_honest && self.nodes[*n].unwell_until < u64::MAX);
        let good = votes.fold(0, |good, (.., vote)| good | vote.good.0);
        let knew = |(bit, miner): (usize, &u32)| {
            let object = claims.get(miner).filter(|_| good >> bit & 1 == 1)?;
            let key = self.objects.copy(*object, *miner as usize)?.key?;
            (key >= seeded).then_some(*miner)
        };
        let knew: Vec<u32> = candidates.iter().enumerate().filter_map(knew).collect();
        for miner in knew {
            self.violate(
                "seed",
                format!(
                    "an honest vote is for an update of miner {miner}, who knew the seed of window {window}"
                ),
            );
        }
    }

    /// Notes accepted objects that no other node can get: the miner is hostile, and no honest keeper is up.
    /// The nodes that lack them wait for a checkpoint.
    pub(crate) fn note_unserved(&mut self, decided: &Decided) {
        for (accepted, keepers) in decided.decision.applied().iter().zip(&decided.keepers) {
            let is_up = |n: &u32| self.nodes[*n as usize].is_honest && self.nodes[*n as usize].is_up;
            let miner = place(&accepted.id);
            if !self.nodes[miner as usize].is_honest && !keepers.iter().any(is_up) {
                self.checks.unserved += 1;
                self.checks.unserved_in.insert(decided.decision.window.0);
                self.story.tell(self.now, || format!("no keeper has the object of miner {miner}"));
            }
        }
    }
}
