//! The judgement of a window's submissions: fetch, screen, vote, and the score log.

use super::{Validator, carried::Event};
use crate::{
    ValidatorError,
    fetched_window::{FetchedWindow, Measured, fetch_window},
    gauntlet::SCREENED_SEQUENCES,
    logs::Closed,
    report, weights,
};
use base::{Height, NeuronId, Window};
use node::{Node, NodeEvent};
use protocol::{
    acceptance::{Screen, screen},
    announcement::{Record, Vote},
};
use scoring::score_log::{Header, ScoreLog};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use telemetry::target::{SCORE, WINDOW};

/// The pause between two attempts to vote.
const VOTE_PAUSE: Duration = Duration::from_millis(500);

impl Validator {
    /// Fetches and checks all claimed submissions.
    pub(super) async fn fetch(&self, window: Window) -> Result<Event, ValidatorError> {
        let fetched = match fetch_window(&self.node, window).await {
            Err(error) if error.is_pruned() => {
                tracing::warn!(target: WINDOW, %window, error = %base::ErrorChain(&error), "the window can no longer be evaluated");
                return Ok(Event::Missed);
            }
            fetched => fetched?,
        };
        for (miner, failure) in &fetched.failures {
            tracing::info!(target: WINDOW, %window, miner = %miner.hotkey, why = %base::ErrorChain(&failure.error), "no valid submission");
        }
        self.metrics.claims.add(fetched.claims.len() as u64);
        self.metrics.fetch_seconds.observe(fetched.seconds);
        let (claims, valid) = (fetched.claims.len(), fetched.candidate_set.miners().count());
        tracing::info!(target: WINDOW, %window, claims, valid, seconds = fetched.seconds, "submissions fetched");
        Ok(Event::Fetched(fetched.into()))
    }

    /// Selects the good candidates: valid, and useful on the first of the unassigned sequences.
    pub(super) async fn screen(
        &self,
        window: Window,
        fetched: &FetchedWindow,
    ) -> Result<Event, ValidatorError> {
        let mut why: BTreeMap<NeuronId, String> = fetched
            .failures
            .iter()
            .map(|(miner, failure)| (*miner, base::ErrorChain(&failure.error).to_string()))
            .collect();
        if self.run.spec.acceptance.screen == Screen::Loss {
            why.extend(self.weak(fetched).await?);
        }
        let mut good = BTreeSet::new();
        for miner in fetched.candidates.iter().map(|candidate| candidate.id) {
            let hotkey = miner.hotkey;
            let why = why.remove(&miner);
            tracing::debug!(target: WINDOW, %window, miner = %hotkey, good = why.is_none(), why, "screened");
            if why.is_none() {
                good.insert(miner);
            }
            let event = NodeEvent::Screened { window, miner: hotkey, good: why.is_none(), why };
            self.node.observability.events.emit(event);
        }
        Ok(Event::Screened(good.into()))
    }

    /// Returns the valid candidates that do not help enough, with the reason.
    async fn weak(&self, fetched: &FetchedWindow) -> Result<Vec<(NeuronId, String)>, ValidatorError> {
        let batch = self.unassigned(fetched, Some(SCREENED_SEQUENCES)).await?;
        let before = self.gauntlet.losses(batch.clone()).await?;
        let mut loss_drops = BTreeMap::new();
        let mut weak = Vec::new();
        for miner in fetched.candidates.iter().map(|candidate| candidate.id) {
            if fetched.failures.contains_key(&miner) {
                continue;
            }
            let loss_drop = self.gauntlet.loss_drop(&fetched.candidate_set, miner, batch.clone(), &before);
            match self.node.network.unless_stopped(loss_drop).await? {
                Ok(loss_drop) => drop(loss_drops.insert(miner, loss_drop)),
                Err(error) => weak.push((miner, base::ErrorChain(&error).to_string())),
            }
        }
        let screened = screen(&loss_drops, self.run.spec.acceptance.screen_errors);
        weak.extend(
            screened.into_iter().filter_map(|(miner, is_good)| Some((miner, is_good.err()?.to_string()))),
        );
        Ok(weak)
    }

    /// Sends a vote for the good candidates.
    pub(super) async fn vote(
        &self,
        window: Window,
        fetched: &FetchedWindow,
        good: &BTreeSet<NeuronId>,
    ) -> Result<Event, ValidatorError> {
        let Node { identity, shared, observability, .. } = &self.node;
        let vote = Vote {
            run: self.run.id,
            window,
            good: fetched.bits(good),
            state: shared.state(),
            score_log: self.logs.head(),
            possession: fetched.possession(identity.neuron.hotkey, good),
        };
        let closes = fetched.heights.votes_close;
        let Some(block) = self.commit(vote, closes).await? else { return Ok(Event::Voted) };
        if block > closes {
            tracing::warn!(target: WINDOW, %window, %block, %closes, "the vote came too late");
        }
        self.metrics.votes.increment();
        let good: Vec<_> = good.iter().map(|miner| miner.hotkey).collect();
        tracing::info!(target: WINDOW, %window, good = good.len(), %block, "voted");
        observability.events.emit(NodeEvent::Voted { window, good, block, seconds_fetch: fetched.seconds });
        Ok(Event::Voted)
    }

    /// Writes a vote to the chain and returns its block. Returns `None` if it failed and another attempt
    /// is of no use.
    async fn commit(&self, vote: Vote, closes: Height) -> Result<Option<Height>, ValidatorError> {
        let window = vote.window;
        let network = &self.node.network;
        let writer = &self.node.identity.commitment_writer;
        loop {
            match network.unless_stopped(writer.record(Record::Vote(vote))).await? {
                Ok(block) => return Ok(Some(block)),
                Err(error) if error.is_retryable() && network.height() < closes => {
                    tracing::warn!(target: WINDOW, %window, error = %base::ErrorChain(&error), "the vote is not on chain yet");
                    network.unless_stopped(tokio::time::sleep(VOTE_PAUSE)).await?;
                }
                Err(error) => {
                    tracing::error!(target: WINDOW, %window, error = %base::ErrorChain(&error), "no vote in this window");
                    return Ok(None);
                }
            }
        }
    }

    /// Closes the window's log and writes it to the journal.
    pub(super) fn close_log(
        &mut self,
        window: Window,
        fetched: &FetchedWindow,
        measured: &Measured,
    ) -> Result<Event, ValidatorError> {
        let spec = &self.run.spec.scoring;
        let last = self.logs.newest().map(|closed| &closed.log);
        let standings = self.logs.standings();
        let lines = fetched.lines(measured, last);
        let header = Header {
            run: self.run.hash,
            validator: self.node.identity.neuron,
            window,
            state: self.node.shared.state(),
            seed: measured.seeded.hash,
            previous: self.logs.head(),
            standings: standings.hash(),
            unassigned_before: measured.unassigned_before,
            subnet: weights::subnet(&measured.seeded.metagraph, &measured.rules),
        };
        let (log, results) = match ScoreLog::close(spec, &standings, header, lines) {
            Ok(closed) => closed,
            Err(error) => {
                tracing::error!(target: SCORE, %window, error = %base::ErrorChain(&error), "no score log of this window");
                return Ok(Event::NotLogged);
            }
        };
        if let Err(error) = &results.weights {
            tracing::warn!(target: SCORE, %window, error = %base::ErrorChain(&error), "this window gives no weights");
        }
        self.keep_log(log, measured.seconds)?;
        Ok(Event::Logged)
    }

    fn keep_log(&mut self, log: ScoreLog, seconds: f64) -> Result<(), ValidatorError> {
        let bytes = log.sign(&self.node.identity.key)?.into();
        let (window, head) = (log.header.window, log.head());
        let miners = report::miners(&log, &self.run.spec.scoring);
        report::count(&self.metrics, &log);
        self.logs.keep(Closed { log, bytes })?;
        self.unpublished.insert(window);
        tracing::info!(target: SCORE, %window, %head, miners = miners.len(), "score log closed");
        let events = &self.node.observability.events;
        events.emit(NodeEvent::Evaluated { window, seconds, miners });
        events.emit(NodeEvent::Logged { window, head });
        Ok(())
    }
}
