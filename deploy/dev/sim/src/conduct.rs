//! The invariants of single nodes: patience, blame and keys.

use crate::{
    faults::Kind,
    links::Direction,
    node::Role,
    profile::Profile,
    setup::place,
    store::{DecisionId, ObjectId},
    transfers::Part,
    world::World,
};
use base::{NeuronId, Window};
use protocol::acceptance::Candidate;
use scoring::gauntlet::Fault;
use std::collections::BTreeMap;

/// The windows that a node may be behind without a trouble of its own.
const PATIENCE: u64 = 8;

impl World {
    /// Checks that no honest node stays behind without a trouble of its own.
    pub(crate) fn check_stuck(&mut self, window: u64) {
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            let is_free =
                node.is_honest && node.is_up && !node.is_cut(self.now) && self.now >= node.clock_until;
            let has_program = !matches!(node.role, Role::Script);
            let behind = window.saturating_sub(self.states.get(node.state).window.0);
            let has_time = self.now >= node.unwell_until || node.unwell_until > u64::MAX / 2;
            if is_free
                && has_program
                && has_time
                && behind == PATIENCE
                && self.was_well(window.wrapping_sub(1))
                && self.can_follow(n)
            {
                self.violate("stuck", format!("node {n} is {PATIENCE} windows behind in window {window}"));
            }
        }
    }

    /// Checks whether a node's line carries the accepted objects of each window in the time of a window.
    fn can_follow(&self, n: usize) -> bool {
        let Profile { acceptance, object_bytes, .. } = &*self.setup.profile;
        let objects = u64::from(acceptance.gather_peers).min(u64::from(self.setup.scenario.miners));
        let carried = self.links.rate(n, Direction::Down) * self.setup.profile.window_time() / 1000;
        objects * object_bytes <= carried
    }

    /// Checks that a node gives no accepted object up before the next window's claims are closed.
    pub(crate) fn check_given_up(&mut self, n: usize, decision: DecisionId) {
        let window = self.decisions[decision as usize].decision.window;
        let closes = self.setup.heights(window).map_or(0, |heights| heights.claims_close.0)
            + u64::from(self.setup.profile.window.blocks);
        if self.view(n).0 < closes {
            let what =
                format!("node {n} gives up an accepted object of window {window} before block {closes}");
            self.violate("given up", what);
        }
    }

    /// Checks that a validator blames a miner for a fault of the miner's own.
    pub(crate) fn check_blame(&mut self, n: usize, miner: usize, window: Window, why: Fault) {
        let since = self.since(window.0);
        if self.is_well(miner, since) && self.chain_was_well(since) && self.had_time(window.0, since) {
            self.violate(
                "blame",
                format!("validator {n} blames miner {miner}, which is well, in window {window}: {why}"),
            );
        }
    }

    /// Checks that a validator finds the fault of each candidate whose bucket serves no node, unless most
    /// candidates have a trouble.
    pub(crate) fn check_excused(
        &mut self,
        n: usize,
        window: Window,
        candidates: &[Candidate],
        faults: &BTreeMap<NeuronId, Fault>,
    ) {
        let since = self.since(window.0);
        let miner = |candidate: &Candidate| place(&candidate.id) as usize;
        let is_well = |candidate: &&Candidate| self.is_well(miner(candidate), since);
        let is_judge = self.is_well(n, since) && self.chain_was_well(since) && self.had_time(window.0, since);
        if !is_judge || 2 * candidates.iter().filter(is_well).count() < candidates.len() {
            return;
        }
        let serves_none = |candidate: &&Candidate| {
            let node = &self.nodes[miner(candidate)];
            node.has(Kind::Skewed) || node.has(Kind::Missing)
        };
        let mut guilty = candidates.iter().filter(serves_none);
        if let Some(excused) = guilty.find(|candidate| !faults.contains_key(&candidate.id)) {
            let miner = miner(excused);
            let what = format!(
                "validator {n} excuses miner {miner}, whose bucket serves no node, in window {window}"
            );
            self.violate("excuse", what);
        }
    }

    /// Checks that no key of an honest miner can be read before its window's claims are closed for good.
    pub(crate) fn check_stored(&mut self, n: usize, object: ObjectId, part: Part) {
        let (owner, window) = (self.objects.get(object).owner, self.objects.get(object).window);
        let closes = self.setup.heights(Window(window)).map(|heights| heights.claims_close.0);
        let is_early = closes.is_some_and(|closes| self.chain.finalized() < closes);
        if part == Part::Key && owner as usize == n && self.nodes[n].is_honest && is_early {
            self.violate(
                "early key",
                format!("miner {n} publishes its key of window {window} before its claims are closed"),
            );
        }
    }
}
