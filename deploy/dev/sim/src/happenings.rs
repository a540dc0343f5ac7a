//! The faults that happen to nodes, and the nodes that run no program.

use crate::{
    faults::Kind,
    node::Role,
    shared::Shared,
    store::ObjectId,
    transfers::Part,
    world::{Event, World},
};
use base::{
    Window,
    digest::{ScoreLogHead, State},
};
use protocol::{
    announcement::{Bits, Claim, Possession, Record, Vote},
    clock::Heights,
};

/// The longest trouble after the end of its cause, in windows: the node is well again when it has caught up.
const RECOVERY: u64 = 1_000_000;

impl World {
    /// Kills a process.
    pub(crate) fn kill(&mut self, n: usize, away: Option<u64>) {
        if !self.nodes[n].is_up {
            return;
        }
        self.story.tell(self.now, || format!("node {n} is killed"));
        self.cancel_all(n);
        self.nodes[n].prefetch = None;
        let node = &mut self.nodes[n];
        (node.is_up, node.has_left) = (false, away.is_none());
        node.generation += 1;
        node.shared = Shared::default();
        node.trouble(u64::MAX - RECOVERY);
        if let Some(away) = away {
            self.queue.push(self.now + away, Event::Start { node: n as u32 });
        }
    }

    /// Starts a process. It resumes from its journal.
    pub(crate) fn start(&mut self, n: usize) {
        if self.nodes[n].is_up || self.nodes[n].has_left {
            return;
        }
        self.nodes[n].is_up = true;
        match self.nodes[n].role {
            Role::Miner(_) => self.start_miner(n),
            Role::Validator(_) => self.start_validator(n),
            Role::Script => {}
        }
    }

    /// Notes that a node has applied all decided windows after a start or a resync.
    pub(crate) fn caught_up(&mut self, n: usize) {
        let (now, node) = (self.now, &mut self.nodes[n]);
        if node.unwell_until == u64::MAX - RECOVERY {
            node.unwell_until = now.max(node.cut_until).max(node.clock_until);
        }
        self.story.tell(now, || format!("node {n} has caught up"));
    }

    /// Cuts a node off.
    pub(crate) fn cut(&mut self, n: usize, until: u64) {
        self.story.tell(self.now, || format!("node {n} is cut off until {} s", until / 1000));
        self.view(n);
        let node = &mut self.nodes[n];
        node.cut_until = node.cut_until.max(until);
        // It takes part again when it has caught up, at the latest a window later.
        node.trouble(until + self.setup.profile.window_time());
        for id in self.nodes[n].transfers.clone() {
            if self.nodes[n].transfers.contains(&id) {
                self.finish(id, crate::transfers::End::Broken);
            }
        }
    }

    /// Sets the clock of a node wrong.
    pub(crate) fn shift_clock(&mut self, n: usize, until: u64) {
        self.story.tell(self.now, || format!("the clock of node {n} is wrong until {} s", until / 1000));
        let window = self.setup.profile.window_time();
        let node = &mut self.nodes[n];
        node.clock_until = until;
        node.trouble(until + window);
    }

    /// Lets nodes without a program act, and hostile miners beside theirs. They see the best chain.
    pub(crate) fn hostile_block(&mut self) {
        let best = self.chain.best();
        self.note_block(best);
        let since = best.saturating_sub(self.setup.clock.start().0);
        let window = since / u64::from(self.setup.profile.window.blocks);
        for window in [window.saturating_sub(1), window] {
            let Some(heights) = self.setup.heights(Window(window)) else { continue };
            for n in 0..self.nodes.len() {
                if self.nodes[n].tricks != 0 && self.nodes[n].is_up {
                    self.hostile(n, &heights, best);
                }
            }
        }
    }

    fn hostile(&mut self, n: usize, heights: &Heights, best: u64) {
        let votes = heights.seed.0 + 2;
        if self.nodes[n].has(Kind::FalseVote) && best == votes {
            let state = State(crate::random::bytes(11, [self.setup.scenario.seed, heights.window.0, 0]));
            self.vote_for_hostile(n, heights, state);
        }
        if self.nodes[n].has(Kind::Stranger) && best == votes {
            let state = self.true_state(heights.window);
            self.vote_for_hostile(n, heights, state.unwrap_or_default());
        }
        if self.nodes[n].has(Kind::EarlyVote) && best + 3 == heights.claims_close.0 {
            let state = self.true_state(heights.window);
            self.script_vote(n, heights.window, Bits::default(), state.unwrap_or_default());
        }
        if self.nodes[n].has(Kind::CopiedVote) && best + 1 == heights.votes_close.0 {
            self.copy_vote(n, heights);
        }
        if self.nodes[n].has(Kind::LateVote) && best == heights.votes_close.0 {
            self.copy_vote(n, heights);
        }
        if self.nodes[n].has(Kind::Copying) && (heights.first.0..=heights.claims_close.0).contains(&best) {
            self.copy_claim(n, heights.window);
        }
        if self.nodes[n].has(Kind::Choosing) && best == heights.seed.0 {
            self.choose(n, heights);
        }
        let rewrites = self.nodes[n].has(Kind::Rewriting) && (best + n as u64).is_multiple_of(3);
        if rewrites && (heights.first.0..=heights.claims_close.0).contains(&best) {
            let object = self.objects.add(n, heights.window, None, None);
            self.claim_object(n, heights.window, object);
        }
    }

    fn claim_object(&mut self, n: usize, window: Window, object: ObjectId) {
        let object = self.objects.get(object).hash;
        self.submit(n, Record::Claim(Claim { run: self.setup.run, window, object }));
    }

    /// Sends a vote for hostile miners only.
    fn vote_for_hostile(&mut self, n: usize, heights: &Heights, state: State) {
        if self.chain.finalized() < heights.claims_close.0 {
            return;
        }
        let candidates = self.candidates(heights);
        let hostile = candidates.iter().enumerate().filter(|(_, candidate)| {
            let miner = crate::setup::place(&candidate.id) as usize;
            !self.nodes[miner].is_honest
        });
        let good = Bits::of(hostile.map(|(place, _)| place));
        self.script_vote(n, heights.window, good, state);
    }

    fn script_vote(&mut self, n: usize, window: Window, good: Bits, state: State) {
        let (run, score_log, possession) = (self.setup.run, ScoreLogHead::default(), Possession::default());
        self.submit(n, Record::Vote(Vote { run, window, good, state, score_log, possession }));
    }

    /// Copies the vote with the most stake that is in a block.
    fn copy_vote(&mut self, n: usize, heights: &Heights) {
        let finals = self
            .chain
            .records
            .iter()
            .enumerate()
            .filter_map(|(node, record)| Some((node, record.as_ref()?.1)));
        let open = self.chain.unfinal().map(|tx| (tx.node as usize, tx.record));
        let votes = finals.chain(open).filter_map(|(node, record)| match record {
            Record::Vote(vote) if vote.window == heights.window && node != n => {
                Some((self.chain.neurons[node].stake, node, vote))
            }
            _ => None,
        });
        if let Some((.., vote)) = votes.max_by_key(|(stake, node, _)| (*stake, *node)) {
            self.script_vote(n, heights.window, vote.good, vote.state);
        }
    }

    /// Sends a claim for a copy of the first update of the window whose key is in its bucket.
    fn copy_claim(&mut self, n: usize, window: Window) {
        let own = matches!(self.chain.records[n], Some((_, Record::Claim(claim))) if claim.window == window
            && self.objects.find(&claim.object).is_some_and(|object| self.objects.get(object).copy_of.is_some()));
        let claims = self.chain.records.iter().filter_map(|record| match record {
            Some((_, Record::Claim(claim))) if claim.window == window => self.objects.find(&claim.object),
            _ => None,
        });
        let readable = claims.filter(|object| {
            let found = self.objects.get(*object);
            let copy = self.objects.copy(*object, found.owner as usize);
            self.nodes[found.owner as usize].is_honest && copy.is_some_and(|copy| copy.key.is_some())
        });
        let Some(object) = readable.min().filter(|_| !own) else { return };
        let copy = self.objects.add(n, window, None, Some(object));
        self.stored(n, copy, Part::Object);
        self.stored(n, copy, Part::Key);
        self.claim_object(n, window, copy);
    }

    /// Publishes its key if it likes the seed.
    fn choose(&mut self, n: usize, heights: &Heights) {
        let Some((_, Record::Claim(claim))) = self.chain.records[n] else { return };
        let likes = self.chain.hash(heights.seed.0).0[0].is_multiple_of(2);
        if let Some(object) =
            self.objects.find(&claim.object).filter(|_| claim.window == heights.window && likes)
        {
            self.stored(n, object, Part::Key);
        }
    }
}
