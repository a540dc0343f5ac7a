//! The rules of acceptance once more, as the design words them, over the whole log of the subnet.
//!
//! This version is slow, and written apart from the code under test.

use crate::world::{World, Written, hash};
use base::{
    Hotkey, NeuronId, Window,
    digest::{RunId, State},
};
use protocol::{
    acceptance::{AcceptanceSpec, Accepted, NeuronState},
    announcement::{Claim, Record, Vote},
    clock::{Clock, Heights},
};

/// The result of the rules for a window.
#[derive(Debug, PartialEq)]
pub(crate) struct Ruling {
    pub(crate) candidates: Vec<NeuronId>,
    /// Empty in a null window.
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) state: Option<State>,
    /// The weight of each member, in stake times blocks.
    pub(crate) electorate: Vec<(NeuronId, u128)>,
}

pub(crate) struct Oracle<'a> {
    pub(crate) world: &'a World,
    pub(crate) run: RunId,
    pub(crate) spec: &'a AcceptanceSpec,
    pub(crate) clock: &'a Clock,
}

struct Counted {
    stake: f64,
    vote: Vote,
}

impl Oracle<'_> {
    pub(crate) fn rule(&self, window: Window) -> Ruling {
        let heights = self.clock.heights(window).unwrap();
        let candidates = self.candidates(&heights);
        let ids: Vec<_> = candidates.iter().map(|(id, ..)| *id).collect();
        let electorate = self.electorate(&heights);
        let electorate: Vec<_> = electorate.into_iter().map(|(id, weight, _)| (id, weight)).collect();
        let Some(counted) = self.quorum(&heights, ids.len()) else {
            return Ruling { candidates: ids, accepted: vec![], state: None, electorate };
        };
        let weight: u128 = electorate.iter().map(|(_, weight)| weight).sum();
        let period = f64::from(self.spec.electorate_blocks);
        let mut chosen: Vec<(NeuronId, Claim, u16)> = vec![];
        for (bit, candidate) in candidates.iter().enumerate() {
            let good: f64 = counted.iter().filter(|v| v.vote.good.0 >> bit & 1 == 1).map(|v| v.stake).sum();
            // Both products are whole numbers below 2^53.
            if good * period > weight as f64 / 2.0 {
                chosen.push(*candidate);
            }
        }
        let some_earn = candidates.iter().any(|(_, _, incentive)| *incentive > 0);
        self.limit(&mut chosen, some_earn);
        let mut accepted: Vec<_> =
            chosen.iter().map(|(id, claim, _)| Accepted { id: *id, object: claim.object }).collect();
        accepted.sort_by_key(|accepted| accepted.id.hotkey.0);
        Ruling { candidates: ids, accepted, state: Some(counted[0].vote.state), electorate }
    }

    /// Removes the last newcomer until both limits hold.
    fn limit(&self, chosen: &mut Vec<(NeuronId, Claim, u16)>, some_earn: bool) {
        chosen.truncate(usize::from(self.spec.gather_peers));
        loop {
            let newcomers = chosen.iter().filter(|(_, _, incentive)| *incentive == 0).count() as i64;
            let most = self.spec.newcomer_share.0 * i64::from(self.spec.gather_peers);
            if !some_earn || newcomers * 1_000_000 <= most {
                return;
            }
            let last = chosen.iter().rposition(|(_, _, incentive)| *incentive == 0).unwrap();
            chosen.remove(last);
        }
    }

    /// Returns the last record that a hotkey wrote, up to a block.
    fn last_written(&self, hotkey: Hotkey, block: u64) -> Option<&Written> {
        self.world.log.iter().rfind(|written| written.hotkey == hotkey && written.block <= block)
    }

    fn candidates(&self, heights: &Heights) -> Vec<(NeuronId, Claim, u16)> {
        let deadline = heights.claims_close.0;
        let before = &self.world.metagraphs[&heights.incentives.0];
        let mut claimed = vec![];
        for neuron in &self.world.metagraphs[&deadline] {
            let Some(written) = self.last_written(neuron.id.hotkey, deadline) else { continue };
            let Some(Record::Claim(claim)) = written.record else { continue };
            let ours = claim.run == self.run && claim.window == heights.window;
            if ours && written.block >= neuron.id.registered.0 {
                let incentive = before.iter().find(|n| n.id == neuron.id).map_or(0, |n| n.incentive);
                claimed.push((neuron.id, claim, incentive));
            }
        }
        // The best paid come first, then by hash. This is an insertion sort, so that it repeats no
        // sort key of the code under test.
        let mut sorted: Vec<(NeuronId, Claim, u16)> = vec![];
        for candidate in claimed {
            let tie = |id: NeuronId| {
                let mut hasher = blake3::Hasher::new_derive_key("muster v2 candidate order");
                hasher.update(&hash(heights.incentives.0).0).update(&id.hotkey.0);
                *hasher.finalize().as_bytes()
            };
            let is_behind = |other: &(NeuronId, Claim, u16)| {
                other.2 < candidate.2 || (other.2 == candidate.2 && tie(other.0) > tie(candidate.0))
            };
            let place = sorted.iter().position(is_behind).unwrap_or(sorted.len());
            sorted.insert(place, candidate);
        }
        sorted.truncate(2 * usize::from(self.spec.gather_peers));
        sorted
    }

    /// Returns the vote of a neuron on a window, if it stands.
    fn vote(&self, neuron: &NeuronState, heights: &Heights) -> Option<Vote> {
        let written = self.last_written(neuron.id.hotkey, heights.votes_close.0)?;
        let Some(Record::Vote(vote)) = written.record else { return None };
        let in_time = written.block > heights.claims_close.0 && written.block >= neuron.id.registered.0;
        let ours = vote.run == self.run && vote.window == heights.window;
        (in_time && ours && neuron.permit && neuron.stake > 0).then_some(vote)
    }

    /// Returns the members of the electorate in the order of hotkeys: name, weight, age.
    fn electorate(&self, heights: &Heights) -> Vec<(NeuronId, u128, u64)> {
        let closes = heights.votes_close.0;
        let period = u64::from(self.spec.electorate_blocks);
        let first = self.clock.heights(Window(0)).unwrap();
        let mut members = vec![];
        for neuron in &self.world.metagraphs[&closes] {
            let written = self.last_written(neuron.id.hotkey, closes);
            let written = written.filter(|written| written.block >= neuron.id.registered.0);
            let vote = written.and_then(|written| match written.record {
                Some(Record::Vote(vote)) if vote.run == self.run => Some((written.block, vote.window)),
                _ => None,
            });
            let voted = vote.filter(|(_, window)| *window <= heights.window);
            let voted = voted.map(|(block, window)| (block, self.clock.heights(window).unwrap()));
            let mut since = voted
                .filter(|(block, voted)| *block > voted.claims_close.0)
                .map(|(_, voted)| voted.votes_close.0);
            if since.is_none() && self.spec.founders.contains(&neuron.id.hotkey) {
                since = Some(first.votes_close.0 - u64::from(self.clock.spec().blocks));
            }
            let Some(age) = since.map(|since| closes - since) else { continue };
            if neuron.permit && neuron.stake > 0 && age < period {
                members.push((neuron.id, u128::from(neuron.stake) * u128::from(period - age), age));
            }
        }
        members.sort_by_key(|(id, ..)| id.hotkey.0);
        members
    }

    /// Returns the votes that count, if they are a quorum.
    fn quorum(&self, heights: &Heights, candidates: usize) -> Option<Vec<Counted>> {
        let metagraph = &self.world.metagraphs[&heights.votes_close.0];
        let mut votes = vec![];
        for neuron in metagraph {
            let Some(vote) = self.vote(neuron, heights) else { continue };
            if (candidates..64).all(|bit| vote.good.0 >> bit & 1 == 0) {
                votes.push(Counted { stake: f64::from(neuron.stake), vote });
            }
        }
        let voters = metagraph.iter().filter(|neuron| self.vote(neuron, heights).is_some()).count();
        let sum = |votes: &[Counted]| votes.iter().map(|v| v.stake).sum::<f64>();
        let voting = sum(&votes);
        let behind =
            |state: State| votes.iter().filter(|v| v.vote.state == state).map(|v| v.stake).sum::<f64>();
        let majority = votes.iter().map(|v| v.vote.state).find(|&state| behind(state) > voting / 2.0)?;
        votes.retain(|v| v.vote.state == majority);
        let electorate = self.electorate(heights);
        let weight: u128 = electorate.iter().map(|(_, weight, _)| weight).sum();
        let period = f64::from(self.spec.electorate_blocks);
        // Both products are whole numbers below 2^53.
        let enough = sum(&votes) * period > weight as f64 / 2.0;
        let day = u64::from(self.spec.electorate_blocks / 7);
        let mut lately: Vec<u128> =
            electorate.iter().filter(|(.., age)| *age <= day).map(|(_, weight, _)| *weight).collect();
        lately.sort_unstable();
        lately.pop();
        let are_few = lately.iter().sum::<u128>() * 10 < weight;
        let not_alone = voters >= 2 || are_few;
        (enough && not_alone).then_some(votes)
    }
}
