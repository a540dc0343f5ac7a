//! The invariants of a history. They are recomputed from the facts of the model, with no code of the rules
//! that are tested.

use crate::{
    count::Verdict,
    node::Role,
    setup::place,
    store::{DecisionId, ObjectId, StateId},
    world::World,
};
use base::{
    Height, Window,
    digest::{ObjectHash, State},
};
use protocol::{
    acceptance::{Accepted, Decision},
    announcement::Record,
    clock::Heights,
};
use std::collections::{BTreeMap, BTreeSet};

/// The windows in which a miner whose training overlaps with the exchange may be late after a trouble.
/// Training takes whole windows in the model, so a miner is late twice at most, and sits one window out.
const RECOVERY: u64 = 4;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The time in milliseconds.
    pub at: u64,
    /// The invariant.
    pub rule: &'static str,
    /// The facts.
    pub what: String,
}

/// The facts about the windows, and the violations found.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) violations: Vec<Violation>,
    /// The state of the first honest node after each window.
    after: BTreeMap<u64, StateId>,
    /// The time at which each window began.
    began: BTreeMap<u64, u64>,
    /// The time at which the seed of each window was in a block.
    pub(crate) seeded: BTreeMap<u64, u64>,
    /// The claims of each window at `D_w`: object, by miner.
    pub(crate) claims: BTreeMap<u64, BTreeMap<u32, ObjectId>>,
    verdicts: BTreeMap<u64, Verdict>,
    /// The end of the last trouble of the chain.
    chain_unwell_until: u64,
    /// The number of decided windows, and of those that took every honest miner in time.
    pub(crate) windows: u64,
    pub(crate) good_windows: u64,
    /// The number of times that a node lost the shared state.
    pub(crate) lost: u64,
    /// The number of accepted objects without an honest keeper that runs, and whose miner is hostile.
    pub(crate) unserved: u64,
    /// The windows of these objects.
    pub(crate) unserved_in: BTreeSet<u64>,
}

impl Checks {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn violate(&mut self, at: u64, rule: &'static str, what: String) {
        self.violations.push(Violation { at, rule, what });
    }

    /// Notes that a node lost the shared state.
    pub(crate) fn lost(&mut self) {
        self.lost += 1;
    }

    /// Notes a trouble of the chain until a time.
    pub(crate) fn chain_trouble(&mut self, until: u64) {
        self.chain_unwell_until = self.chain_unwell_until.max(until);
    }
}

impl World {
    pub(crate) fn violate(&mut self, rule: &'static str, what: String) {
        self.story.tell(self.now, || format!("VIOLATION of {rule}: {what}"));
        self.checks.violate(self.now, rule, what);
    }

    /// Notes a new block of the best chain.
    pub(crate) fn note_block(&mut self, best: u64) {
        if let Some(window) = self.begins(best) {
            self.checks.began.entry(window.0).or_insert(self.now);
        }
        let blocks = u64::from(self.setup.profile.window.blocks);
        let since = best.saturating_sub(self.setup.clock.start().0) / blocks;
        for window in [since.saturating_sub(1), since] {
            if self.setup.heights(Window(window)).is_some_and(|heights| heights.seed.0 == best) {
                self.checks.seeded.entry(window).or_insert(self.now);
            }
        }
    }

    /// Checks what a final block decides, and pays the miners.
    pub(crate) fn after_final(&mut self, height: Height) {
        let blocks = u64::from(self.setup.profile.window.blocks);
        let since = height.0.saturating_sub(self.setup.clock.start().0) / blocks;
        let Some(window) = since.checked_sub(1) else { return };
        let Some(heights) = self.setup.heights(Window(window)) else { return };
        if height == heights.claims_close {
            self.claims_closed(&heights);
        } else if height == heights.votes_close {
            self.votes_closed(&heights);
            self.forget(window);
        }
    }

    fn forget(&mut self, window: u64) {
        let Some(old) = window.checked_sub(16) else { return };
        self.checks.claims = self.checks.claims.split_off(&old);
        self.checks.verdicts = self.checks.verdicts.split_off(&old);
        self.checks.began = self.checks.began.split_off(&old);
        self.candidates = self.candidates.split_off(&old);
        self.electorates = self.electorates.split_off(&old);
        self.drawn = self.drawn.split_off(&(old, ObjectHash::default()));
        self.standing = self.standing.split_off(&(old, 0));
        if let Some(heights) = self.setup.heights(Window(old)) {
            self.chain.prune(heights.first);
        }
    }

    /// Returns the time since which a window was trained, and the one before it.
    pub(crate) fn since(&self, window: u64) -> u64 {
        self.checks.began.get(&window.saturating_sub(1)).copied().unwrap_or(0)
    }

    /// Checks whether a node had no trouble of its own since a time.
    pub(crate) fn is_well(&self, n: usize, since: u64) -> bool {
        let node = &self.nodes[n];
        node.is_honest && node.is_up && node.unwell_until <= since
    }

    pub(crate) fn chain_was_well(&self, since: u64) -> bool {
        self.checks.chain_unwell_until <= since
    }

    pub(crate) fn was_well(&self, window: u64) -> bool {
        self.checks.verdicts.get(&window).is_some_and(|verdict| verdict.is_well)
    }

    /// Checks the claims: each honest miner has one, and no copy is among them.
    fn claims_closed(&mut self, heights: &Heights) {
        let window = heights.window.0;
        let since = self.since(window);
        let overlaps = self.setup.profile.acceptance.overlaps();
        let trained_since = if overlaps { self.since(window.saturating_sub(RECOVERY)) } else { since };
        // A miner without time to spare is late when it waits for the objects of others that were killed.
        let others_are_well = !overlaps || self.nodes.iter().all(|node| node.unwell_until <= trained_since);
        let mut claims = BTreeMap::new();
        for n in 0..self.nodes.len() {
            let claim = match self.chain.records[n] {
                Some((_, Record::Claim(claim))) if claim.window.0 == window => {
                    self.objects.find(&claim.object)
                }
                _ => None,
            };
            if let Some(object) = claim {
                claims.insert(n as u32, object);
                let copied = self.objects.get(object).copy_of;
                if let Some(of) = copied
                    .map(|of| self.objects.get(of).owner)
                    .filter(|of| self.nodes[*of as usize].is_honest)
                {
                    self.violate(
                        "copy",
                        format!("node {n} claims a copy of an update of miner {of} in window {window}"),
                    );
                }
            } else if matches!(self.nodes[n].role, Role::Miner(_))
                && others_are_well
                && self.is_well(n, trained_since)
                && self.chain_was_well(trained_since)
                && self.had_time(window, since)
                && !self.is_unserved(n)
            {
                self.violate("claim", format!("miner {n} is well and has no claim in window {window}"));
            }
        }
        self.checks.claims.insert(window, claims);
    }

    /// Checks whether a node waits for an accepted object that no honest keeper has: it needs a checkpoint.
    fn is_unserved(&self, n: usize) -> bool {
        let next = self.states.get(self.nodes[n].state).window;
        self.checks.unserved_in.contains(&next.0)
    }

    /// Checks whether a well miner had the time to train: the window before was decided in time.
    pub(crate) fn had_time(&self, window: u64, since: u64) -> bool {
        let before = window.checked_sub(1).is_none_or(|before| self.was_well(before));
        before
            && window.checked_sub(2).is_none_or(|before| self.was_well(before))
            && self.chain_was_well(since)
    }

    /// Counts the votes of a window again, and checks that it succeeded if it had to.
    fn votes_closed(&mut self, heights: &Heights) {
        let window = heights.window.0;
        let since = self.checks.began.get(&(window + 1)).copied().unwrap_or(0);
        let members = self.members(heights, since);
        let candidates = self.candidates(heights);
        let candidates: Vec<u32> = candidates.iter().map(|candidate| place(&candidate.id)).collect();
        let mut verdict = self.count(heights, &members, &candidates);
        let truth = self.true_state(heights.window);
        let is_enough = 2 * members.well > members.total && members.well_count >= members.needed;
        verdict.is_well = is_enough && self.chain_was_well(since);
        let is_false = verdict.has_quorum && truth.is_some() && verdict.state != truth;
        if is_false && 2 * members.hostile <= members.total {
            self.violate("state", format!("a false state has the quorum of window {window}"));
        }
        if verdict.is_well {
            self.check_progress(heights, since, &verdict, truth, &candidates);
        }
        if self.chain_was_well(since) {
            self.check_keys(heights, &candidates);
        }
        self.count_goodput(window, &verdict, &candidates);
        self.pay(&verdict);
        self.check_stuck(window);
        self.checks.verdicts.insert(window, verdict);
    }

    /// Returns the state of the honest nodes at the start of a window, if one of them has reached it.
    pub(crate) fn true_state(&self, window: Window) -> Option<State> {
        let after = window.0.checked_sub(1).map_or(Some(0), |before| self.checks.after.get(&before).copied());
        Some(self.states.get(after?).state)
    }

    /// Checks a window in which chain and electorate were well: the votes of well validators are there, and
    /// each claim of a well miner is approved.
    fn check_progress(
        &mut self,
        heights: &Heights,
        since: u64,
        verdict: &Verdict,
        truth: Option<State>,
        candidates: &[u32],
    ) {
        let window = heights.window.0;
        for n in 0..self.nodes.len() {
            if !matches!(self.nodes[n].role, Role::Validator(_)) || !self.is_well(n, self.since(window + 1)) {
                continue;
            }
            let has_voted = match self.chain.records[n] {
                Some((_, Record::Vote(vote))) => {
                    vote.window.0 == window && truth.is_none_or(|truth| vote.state == truth)
                }
                _ => false,
            };
            let has_state = self.states.get(self.nodes[n].state).window.0 == window;
            let is_due = has_state || (self.had_time(window, since) && !self.is_unserved(n));
            if !has_voted && is_due {
                self.violate("vote", format!("validator {n} is well and has no vote on window {window}"));
            }
        }
        let Some(claims) = self.checks.claims.get(&window).cloned() else { return };
        let due: Vec<u32> = candidates
            .iter()
            .copied()
            .filter(|miner| {
                let object = claims.get(miner).map(|object| self.objects.get(*object));
                let is_current = object.is_some_and(|object| {
                    let before = self.checks.after.get(&window.wrapping_sub(1)).copied().unwrap_or(0);
                    object.base == Some(self.base(before))
                });
                is_current && self.is_well(*miner as usize, since)
            })
            .collect();
        if !due.is_empty() && !verdict.has_quorum {
            self.violate(
                "progress",
                format!("window {window} has no quorum, with more than half of the electorate well"),
            );
            return;
        }
        for miner in due {
            if !verdict.approved.contains_key(&miner) {
                self.violate(
                    "progress",
                    format!("the claim of miner {miner} in window {window} is in time and not approved"),
                );
            }
        }
    }

    fn count_goodput(&mut self, window: u64, verdict: &Verdict, candidates: &[u32]) {
        let claims = self.checks.claims.get(&window);
        let honest = candidates.iter().filter(|miner| self.nodes[**miner as usize].is_honest);
        let is_good =
            !verdict.approved.is_empty() && honest.clone().all(|miner| verdict.approved.contains_key(miner));
        self.checks.windows += 1;
        self.checks.good_windows += u64::from(is_good && claims.is_some_and(|claims| !claims.is_empty()));
    }

    /// Pays the miners whose objects are approved, for the order of candidates.
    fn pay(&mut self, verdict: &Verdict) {
        for miner in verdict.approved.keys() {
            let neuron = &mut self.chain.neurons[*miner as usize];
            neuron.incentive = (neuron.incentive + 16).clamp(1000, 1160);
        }
    }

    /// Checks a decision by the rules against the independent count.
    pub(crate) fn check_decision(&mut self, decided: &Decision) {
        let window = decided.window.0;
        let Some(verdict) = self.checks.verdicts.get(&window) else { return };
        let object = |accepted: &Accepted| self.objects.find(&accepted.object);
        let is_approved =
            |accepted: &Accepted| verdict.approved.get(&place(&accepted.id)).copied() == object(accepted);
        let wrong = if decided.state.is_some() && (!verdict.has_quorum || decided.state != verdict.state) {
            Some("names a state that no quorum named")
        } else if !decided.applied().iter().all(is_approved) {
            Some("accepts an update that no quorum approved")
        } else if decided.state.is_none() && verdict.has_quorum {
            Some("finds no quorum, and there is one")
        } else if decided.applied().len() < verdict.least_accepted(self, decided) {
            Some("accepts too few of the approved updates")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.violate("quorum", format!("the decision on window {window} {wrong}"));
        }
    }

    /// Checks that all honest nodes have the same state after a window.
    pub(crate) fn check_applied(&mut self, n: usize, decision: DecisionId) {
        let decided = std::sync::Arc::clone(&self.decisions[decision as usize].decision);
        let window = decided.window.0;
        self.story.tell(self.now, || {
            format!("node {n} applies window {window}: {} updates", decided.applied().len())
        });
        let state = self.nodes[n].state;
        let first = *self.checks.after.entry(window).or_insert(state);
        if first != state {
            self.violate("fork", format!("node {n} has another state than others after window {window}"));
        }
    }
}
