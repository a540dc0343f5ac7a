//! Seals blocks and follows them: what stands in the best block, and what the final blocks say.

use super::Live;
use crate::{
    faults::{Change, Seen},
    pace, payouts,
};
use base::{BlockHash, Height, Hotkey, Window};
use bucket_server::{Plan, Rule};
use devchain::{NodeStatus, ProxyFault};
use protocol::{
    announcement::{self, Claim, Record, Vote},
    clock::Heights,
};
use std::time::Instant;

/// The number of final blocks between two reads of weights and incentives.
const PAY_EVERY: u64 = 20;
/// The number of extrinsics in a block without transactions: the timestamp.
const INHERENTS: usize = 1;

impl Live {
    /// Seals a block, and makes the changes of the network that faults demand after it.
    pub(super) async fn seal(&mut self) -> anyhow::Result<()> {
        let chain = self.network.chain.handle();
        let mut sealed = Some(chain.new_block(1).await?);
        while let Some(status) = sealed.take() {
            let seen = self.follow(&status).await?;
            let changes: Vec<Change> =
                self.record.faults.iter_mut().flat_map(|fault| fault.after_block(&seen)).collect();
            for change in changes {
                self.screen.say(&line(&change, seen.head));
                match change {
                    Change::Lag(blocks) => {
                        chain.lag_finality(blocks).await?;
                    }
                    Change::Stall(blocks) => {
                        chain.stall_finality(blocks).await?;
                    }
                    Change::Drop(blocks) => sealed = Some(chain.drop_blocks(blocks).await?),
                    Change::Rules(rules) => self.add_rules(rules),
                    Change::End(name) => self.children.end(&name),
                    Change::Shift(bucket, seconds) => self.network.buckets.shift_clock_of(&bucket, seconds),
                    Change::Silence => self.silence(),
                }
            }
        }
        Ok(())
    }

    /// Adds rules to those that the bucket server follows.
    fn add_rules(&mut self, rules: Vec<Rule>) {
        self.note_struck_reads();
        self.plan.rules.extend(rules);
        self.network.buckets.inject(self.plan.clone());
    }

    /// Lets the endpoint that stands before the chain go silent.
    fn silence(&mut self) {
        if let Some(proxy) = &self.network.proxy {
            self.record.before_silence = proxy.seen().len();
            proxy.set(ProxyFault::Silent);
        }
    }

    /// Ends all rules of the bucket server. An auditor cannot judge a submission that is withheld.
    pub(in crate::up) fn end_rules(&mut self) {
        self.note_struck_reads();
        self.network.buckets.inject(Plan::default());
    }

    /// Records how many reads the rules of the bucket server have struck since they were last replaced.
    fn note_struck_reads(&mut self) {
        self.record.struck_reads += self.network.buckets.strikes().iter().sum::<u64>();
    }

    /// Follows the chain to a new best block. Returns what is to be seen there.
    async fn follow(&mut self, status: &NodeStatus) -> anyhow::Result<Seen> {
        let head = Height(status.height.into());
        let block = self.network.chain.handle().block(status.height).await?;
        if block.is_some_and(|block| block.body.len() > INHERENTS) {
            self.transacted = head;
        }
        self.note_closed(head)?;
        (self.head, self.sealed) = (head, Instant::now());
        let claims = self.read_standing(BlockHash(status.hash.0)).await?;
        self.follow_final(Height(status.finalized.into())).await?;
        Ok(Seen { head, finalized: self.finalized, claims })
    }

    /// Reads the claims and votes that stand in the best block. Returns the window of a claim that did
    /// not stand before, if there is one.
    async fn read_standing(&mut self, best: BlockHash) -> anyhow::Result<Option<Window>> {
        let reader = &self.network.chain_reader;
        let hotkeys: Vec<Hotkey> = self.record.participants.iter().map(|(_, hotkey)| *hotkey).collect();
        let commitments = reader.client().at(best).commitments_of(reader.netuid(), &hotkeys).await?;
        let read = |fields| announcement::read(fields).record().copied();
        let standing = commitments.valid.iter().filter_map(|(key, set)| Some((*key, read(&set.fields)?)));
        let before = std::mem::replace(&mut self.standing, standing.collect());
        let new: Vec<(Hotkey, Record)> = self
            .standing
            .iter()
            .filter(|(key, record)| before.get(*key) != Some(*record))
            .map(|(key, record)| (*key, *record))
            .collect();
        new.iter().for_each(|(key, record)| self.note_sent(key, record));
        let run = self.network.spec.id();
        Ok(new.iter().find_map(|(_, record)| match record {
            Record::Claim(claim) if claim.run == run => Some(claim.window),
            _ => None,
        }))
    }

    /// Reads all blocks that have become final.
    async fn follow_final(&mut self, finalized: Height) -> anyhow::Result<()> {
        while self.finalized < finalized {
            self.finalized = self.finalized.next();
            for window in self.record.run() {
                let heights = self.clock.heights(window)?;
                self.note_opened(&heights);
                if self.finalized == heights.claims_close {
                    self.claimed(&heights).await?;
                }
                if self.finalized == heights.votes_close {
                    self.decided(&heights).await?;
                }
            }
            if self.finalized.0.is_multiple_of(PAY_EVERY) {
                self.read_payouts().await?;
            }
        }
        Ok(())
    }

    /// Records the claims of a window when claims have closed.
    async fn claimed(&mut self, heights: &Heights) -> anyhow::Result<()> {
        let state = self.network.chain_reader.at(heights.claims_close).await?;
        let claims = state.claims(self.network.spec.id(), heights.window);
        let names = claims.keys().filter_map(|id| self.record.name_of(&id.hotkey)).map(Into::into).collect();
        self.record.window(heights.window).claimed = names;
        Ok(())
    }

    /// Records the votes, the accepted set and the state of a window when votes have closed.
    async fn decided(&mut self, heights: &Heights) -> anyhow::Result<()> {
        let window = heights.window;
        let state = self.network.chain_reader.at(heights.votes_close).await?;
        let votes = state.votes(self.network.spec.id(), heights);
        let decision = self.network.chain_reader.decide(&self.network.spec, window).await?;
        let name = |hotkey: &Hotkey| self.record.name_of(hotkey).map(String::from);
        let votes = votes.iter().filter_map(|(id, vote)| Some((name(&id.hotkey)?, vote.state))).collect();
        let accepted = decision
            .accepted
            .as_ref()
            .ok()
            .map(|accepted| accepted.iter().filter_map(|accepted| name(&accepted.id.hotkey)).collect());
        let outcome = self.record.window(window);
        (outcome.votes, outcome.accepted, outcome.state) = (votes, Some(accepted), decision.state);
        if let Err(null) = &decision.accepted {
            self.screen.say(&format!("window {window}: no submission is applied: {null}"));
        }
        Ok(())
    }

    /// Reads the final weights and incentives for the table.
    async fn read_payouts(&mut self) -> anyhow::Result<()> {
        let payouts = payouts::read(&self.network.chain_reader, &self.record, self.finalized).await?;
        self.status.incentives = payouts.incentives.into_iter().collect();
        self.status.weights = payouts.weights.into_iter().collect();
        Ok(())
    }

    /// Records the time at which a node's claim or vote was first seen, in the pool or in a block.
    pub(super) fn note_sent(&mut self, signer: &Hotkey, record: &Record) {
        let (run, now) = (self.network.spec.id(), self.started.elapsed().as_secs_f64());
        let Some(name) = self.record.name_of(signer).map(String::from) else { return };
        match record {
            Record::Claim(Claim { run: named, window, .. }) if *named == run => {
                self.record.window_of_run(*window, |outcome| outcome.claim_times.note_sent(name, now));
            }
            Record::Vote(Vote { run: named, window, .. }) if *named == run => {
                self.record.window_of_run(*window, |outcome| outcome.vote_times.note_sent(name, now));
            }
            _ => {}
        }
    }

    /// Records the time at which the nodes could begin with a claim or a vote, if it is now.
    fn note_opened(&mut self, heights: &Heights) {
        let now = self.started.elapsed().as_secs_f64();
        if self.finalized == pace::opens(&self.clock, heights) {
            self.record.window(heights.window).claim_times.opened = Some(now);
        }
        if self.finalized == heights.seed {
            self.record.window(heights.window).vote_times.opened = Some(now);
        }
    }

    /// Records the time at which the last block for claims or votes was sealed, if it is among the blocks
    /// after the best block so far, up to `head`.
    fn note_closed(&mut self, head: Height) -> anyhow::Result<()> {
        let now = self.started.elapsed().as_secs_f64();
        let sealed = self.head.next()..=head;
        for window in self.record.run() {
            let heights = self.clock.heights(window)?;
            if sealed.contains(&heights.claims_close) {
                self.record.window(window).claim_times.closed = Some(now);
            }
            if sealed.contains(&heights.votes_close) {
                self.record.window(window).vote_times.closed = Some(now);
            }
        }
        Ok(())
    }
}

/// Returns the line that tells the user of a change of the network.
fn line(change: &Change, head: Height) -> String {
    match change {
        Change::Lag(blocks) => format!("fault: after block {head} finality lags by {blocks} blocks"),
        Change::Stall(blocks) => {
            format!("fault: after block {head} finality stands still for {blocks} blocks")
        }
        Change::Drop(blocks) => format!("fault: {blocks} of the newest blocks up to {head} dropped"),
        Change::Rules(rules) => {
            let first = rules.first().map(|rule| format!(": {:?} for {}", rule.fault, rule.path));
            let (count, first) = (rules.len(), first.unwrap_or_default());
            format!("fault: after block {head} the bucket server follows {count} more rules, first{first}")
        }
        Change::Shift(bucket, seconds) => {
            format!("fault: after block {head} the clock of the bucket of {bucket} is {seconds} s ahead")
        }
        Change::Silence => format!("fault: after block {head} an endpoint of the chain goes silent"),
        Change::End(name) => format!("fault: after block {head} {name} ends for good"),
    }
}
