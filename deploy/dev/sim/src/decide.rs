//! Decisions and candidates, computed by the shipped rules, once for all nodes that reach the same ones.

use crate::{
    setup::place,
    store::{DecisionId, StateId},
    world::{Decided, World},
};
use base::{BlockHash, Height, NeuronId, digest::ObjectHash};
use protocol::{
    acceptance::{
        Accepted, Candidate, Decision, Electorate, Evidence, candidates, decide, standing_candidates,
    },
    announcement::Vote,
    clock::Heights,
    replicas::{custodians, keepers},
};
use std::{collections::BTreeSet, sync::Arc};

impl World {
    /// Returns the decision of a node with this state on its next window.
    pub(crate) fn decision(&mut self, state: StateId, heights: &Heights) -> DecisionId {
        let known = self.decided.get(&heights.window.0).map_or(&[][..], Vec::as_slice);
        if let Some((_, decision)) = known.iter().find(|(other, _)| *other == state) {
            return *decision;
        }
        let evidence = Evidence {
            incentives: self.chain.at(heights.incentives).map(AsRef::as_ref),
            claims: self.chain.at(heights.claims_close).map(AsRef::as_ref),
            votes: self.chain.at(heights.votes_close).map(AsRef::as_ref),
        };
        let decision = decide(self.setup.run, &self.setup.profile.acceptance, heights, &evidence);
        let decision = Arc::new(decision.expect("the model keeps the states that a decision needs"));
        let (mut keepers, mut sources) = (Vec::new(), Vec::new());
        for accepted in decision.applied() {
            let voters = self.voters_for(heights, &decision, accepted);
            let kept = self.keepers(heights, &accepted.object, &voters);
            sources.push(self::sources(accepted, &kept, &voters));
            keepers.push(kept);
        }
        self.check_decision(&decision);
        let number = self.decisions.len() as DecisionId;
        let decided = Decided { decision, keepers, sources };
        self.note_unserved(&decided);
        self.decisions.push(decided);
        self.decided.entry(heights.window.0).or_default().push((state, number));
        number
    }

    /// Returns the voters for an accepted object whose votes name the quorum's state.
    fn voters_for(&self, heights: &Heights, decision: &Decision, accepted: &Accepted) -> BTreeSet<NeuronId> {
        let place = decision.candidates.iter().position(|candidate| candidate.id == accepted.id);
        let had = |vote: &Vote| {
            Some(vote.state) == decision.state && place.is_some_and(|place| vote.good.has(place))
        };
        let Some(votes) = self.chain.at(heights.votes_close) else { return BTreeSet::new() };
        votes.votes(self.setup.run, heights).filter(|(.., vote)| had(vote)).map(|(id, ..)| id).collect()
    }

    /// Returns the custodians of an object, drawn from the electorate at `D_w`.
    pub(crate) fn custodians(&mut self, heights: &Heights, object: &ObjectHash) -> Vec<u32> {
        let window = heights.window.0;
        if let Some(drawn) = self.drawn.get(&(window, *object)) {
            return drawn.clone();
        }
        let drawn = self.drawn_by(heights, |seed, electorate| custodians(seed, object, electorate));
        self.drawn.insert((window, *object), drawn.clone());
        drawn
    }

    /// Returns the keepers of an accepted object with these voters.
    fn keepers(&mut self, heights: &Heights, object: &ObjectHash, voters: &BTreeSet<NeuronId>) -> Vec<u32> {
        self.drawn_by(heights, |seed, electorate| keepers(seed, object, electorate, voters))
    }

    /// Draws nodes from the electorate at `D_w`.
    fn drawn_by(
        &mut self,
        heights: &Heights,
        draw: impl FnOnce(BlockHash, &Electorate) -> Vec<NeuronId>,
    ) -> Vec<u32> {
        let Some(claims) = self.chain.at(heights.claims_close) else { return Vec::new() };
        let (run, spec) = (self.setup.run, &self.setup.profile.acceptance);
        let electorate = self
            .electorates
            .entry(heights.window.0)
            .or_insert_with(|| Electorate::new(run, spec, heights, claims));
        draw(claims.hash(), electorate).iter().map(place).collect()
    }

    /// Returns the candidates and their objects as claims stood after a block.
    pub(crate) fn standing(&mut self, heights: &Heights, at: Height) -> Vec<(NeuronId, ObjectHash)> {
        if let Some(known) = self.standing.get(&(heights.window.0, at.0)) {
            return known.clone();
        }
        let get =
            |height: Height| self.chain.at(height).expect("the model keeps the states that a window needs");
        let (run, spec) = (self.setup.run, &self.setup.profile.acceptance);
        let found = standing_candidates(run, spec, heights, get(heights.incentives), get(at));
        let found = found.expect("the state is that of the window");
        let order: Vec<_> = found.iter().map(|candidate| (candidate.id, candidate.object)).collect();
        self.standing.insert((heights.window.0, at.0), order.clone());
        order
    }

    /// Returns the candidates of a window whose claims are closed.
    pub(crate) fn candidates(&mut self, heights: &Heights) -> Arc<Vec<Candidate>> {
        if let Some(known) = self.candidates.get(&heights.window.0) {
            return Arc::clone(known);
        }
        let at =
            |height: Height| self.chain.at(height).expect("the model keeps the states that a window needs");
        let (incentives, claims) = (at(heights.incentives), at(heights.claims_close));
        let found = candidates(self.setup.run, &self.setup.profile.acceptance, heights, incentives, claims);
        let found = Arc::new(found.expect("the states are those of the window"));
        self.candidates.insert(heights.window.0, Arc::clone(&found));
        found
    }
}

/// Returns the nodes to ask for an accepted object: its miner, its keepers, other voters.
fn sources(accepted: &Accepted, keepers: &[u32], voters: &BTreeSet<NeuronId>) -> Vec<u32> {
    let mut sources = vec![place(&accepted.id)];
    for other in keepers.iter().copied().chain(voters.iter().map(place)) {
        if !sources.contains(&other) {
            sources.push(other);
        }
    }
    sources
}
