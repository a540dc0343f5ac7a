//! The judgement of a window's submissions: collect, screen, vote, custody, and the score log.

use super::{
    Validator,
    background::{Keeping, Sending},
    carried::Event,
};
use crate::{
    ValidatorError,
    fetched_window::{FetchedWindow, Measured, RegisteredAt},
    gauntlet::{SCREENED_SEQUENCES, TrialStep, TrialSteps},
    logs::Closed,
    published::standing_vote,
    report, weights,
};
use base::{Height, NeuronId, Window};
use node::{Arrivals, Background, Node, NodeEvent};
use protocol::{
    acceptance::{Accepted, Candidate, Decision, LossDrop, Screen, screen},
    announcement::Vote,
    replicas::{custodians, keepers},
};
use scoring::score_log::{Header, ScoreLog};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use telemetry::target::{SCORE, WINDOW};

/// The candidates that the screen has tried.
#[derive(Debug, Default)]
struct Tried {
    /// The drops of the losses.
    loss_drops: BTreeMap<NeuronId, LossDrop>,
    /// The candidates that could not be tried, with the reason.
    failed: BTreeMap<NeuronId, String>,
}

impl Validator {
    /// Begins to download the candidates' submissions in the background.
    pub(super) fn prefetch(
        &mut self,
        window: Window,
        until: Height,
        last_keys: Option<Height>,
    ) -> Result<Event, ValidatorError> {
        self.prefetch = Some(self.node.prefetch(window, until, last_keys)?);
        Ok(Event::Prefetching { until })
    }

    /// Takes the submissions that have arrived.
    pub(super) async fn collect(&mut self, window: Window) -> Result<Event, ValidatorError> {
        let Some(prefetch) = self.prefetch.take() else { return Ok(Event::Missed) };
        let collected = match prefetch.collect(&self.node.network).await {
            Err(error) if error.is_pruned() => {
                tracing::warn!(target: WINDOW, %window, error = %base::ErrorChain(&error), "the window can no longer be evaluated");
                return Ok(Event::Missed);
            }
            collected => collected?,
        };
        let fetched = self.fetched(window, collected)?;
        for (miner, why) in fetched.failures() {
            tracing::info!(target: WINDOW, %window, miner = %miner.hotkey, why, "no valid submission");
        }
        self.metrics.claims.add(fetched.claims.len() as u64);
        self.metrics.fetch_seconds.observe(fetched.seconds);
        let (claims, candidates) = (fetched.claims.len(), fetched.candidates.len());
        let (valid, seconds) = (fetched.submissions.len(), fetched.seconds);
        tracing::info!(target: WINDOW, %window, claims, candidates, valid, seconds, "submissions collected");
        self.node.observability.events.emit(NodeEvent::Collected { window, valid });
        Ok(Event::Collected(fetched.into()))
    }

    fn fetched(&self, window: Window, collected: Arrivals) -> Result<FetchedWindow, ValidatorError> {
        let Arrivals { closed, candidates, submissions, outcomes, errors, clock, seconds } = collected;
        let settings = TrialStep::new(&self.run.spec.sparse, &self.run.spec.scoring);
        let norms = self.node.shared.progress().norms.clone();
        let full = self.run.spec.train.full_work(window);
        let steps = Arc::new(TrialSteps::new(settings, norms, full, self.run.flat.clone()));
        let claims = closed.claims(self.run.id, window);
        let heights = self.run.clock.heights(window)?;
        Ok(FetchedWindow {
            heights,
            closed,
            candidates,
            claims,
            submissions,
            outcomes,
            errors,
            clock,
            steps,
            seconds,
        })
    }

    /// Selects the good candidates: valid, and useful on the first of the unassigned sequences. Those that
    /// are not tried when block `until` is final are not selected.
    pub(super) async fn screen(
        &self,
        window: Window,
        fetched: &FetchedWindow,
        until: Height,
    ) -> Result<Event, ValidatorError> {
        let mut why: BTreeMap<NeuronId, String> = fetched.failures().collect();
        if self.run.spec.acceptance.screen == Screen::Loss {
            why.extend(self.weak(fetched, until).await?);
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

    /// Returns the valid candidates that do not help enough or were not tried, with the reason.
    async fn weak(
        &self,
        fetched: &FetchedWindow,
        until: Height,
    ) -> Result<Vec<(NeuronId, String)>, ValidatorError> {
        let mut tried = Tried::default();
        tokio::select! {
            biased;
            all = self.try_candidates(fetched, &mut tried) => all?,
            passed = self.node.network.wait_for(until) => {
                passed?;
                let (window, left) = (fetched.heights.window, fetched.submissions.len() - tried.len());
                tracing::warn!(target: WINDOW, %window, left, "no time to screen the last candidates");
            }
        }
        let untried = fetched.submissions.keys().filter(|miner| !tried.has(miner));
        let untried =
            untried.map(|miner| (*miner, "not screened before the deadline of the vote".to_owned()));
        let untried: Vec<_> = untried.collect();
        let screened = screen(&tried.loss_drops, self.run.spec.acceptance.screen_errors);
        let weak = screened.into_iter().filter_map(|(miner, good)| Some((miner, good.err()?.to_string())));
        Ok(weak.chain(tried.failed).chain(untried).collect())
    }

    /// Tries the candidates in their order. The future may be dropped at any time.
    async fn try_candidates(&self, fetched: &FetchedWindow, tried: &mut Tried) -> Result<(), ValidatorError> {
        let batch = self.unassigned(fetched, Some(SCREENED_SEQUENCES)).await?;
        let before = self.gauntlet.losses(batch.clone()).await?;
        for miner in fetched.candidates.iter().map(|candidate| candidate.id) {
            let Some(submission) = fetched.submissions.get(&miner) else { continue };
            let loss_drop = self.gauntlet.loss_drop(&fetched.steps, submission, batch.clone(), &before);
            match self.node.network.unless_stopped(loss_drop).await? {
                Ok(loss_drop) => drop(tried.loss_drops.insert(miner, loss_drop)),
                Err(error) => drop(tried.failed.insert(miner, base::ErrorChain(&error).to_string())),
            }
        }
        Ok(())
    }

    /// Sends a vote for the good candidates, in the background.
    pub(super) async fn vote(
        &mut self,
        window: Window,
        fetched: &FetchedWindow,
        good: &BTreeSet<NeuronId>,
    ) -> Result<Event, ValidatorError> {
        let Node { identity, network, shared, observability, .. } = &self.node;
        let vote = Vote {
            run: self.run.id,
            window,
            good: fetched.bits(good),
            state: shared.state(),
            score_log: self.logs.head(),
            possession: self.node.possession().await?,
        };
        let sending = Sending {
            network: network.clone(),
            writer: identity.commitment_writer.clone(),
            events: observability.events.clone(),
            metrics: Arc::clone(&self.metrics),
            vote,
            good: good.clone(),
            closes: fetched.heights.votes_close,
            seconds_fetch: fetched.seconds,
        };
        self.tasks.add(Background::start(move || sending.run()));
        Ok(Event::Voted)
    }

    /// Begins to publish the voted submissions of which this validator is a custodian. Without `good`, the
    /// vote on chain says which.
    pub(super) async fn keep_for_others(
        &mut self,
        window: Window,
        fetched: &FetchedWindow,
        good: Option<&BTreeSet<NeuronId>>,
    ) -> Result<Event, ValidatorError> {
        let good = match good {
            Some(good) => good.clone(),
            None => self.voted(window, fetched).await?,
        };
        let ours = self.node.identity.neuron;
        let closed = &fetched.closed;
        let electorate = closed.electorate(self.run.id, &self.run.spec.acceptance, &fetched.heights);
        let is_ours = |candidate: &&Candidate| {
            good.contains(&candidate.id)
                && custodians(closed.hash, &candidate.object, &electorate).contains(&ours)
        };
        let share = fetched.candidates.iter().filter(is_ours);
        self.keep(fetched, share.map(|candidate| &candidate.id));
        Ok(Event::Kept)
    }

    /// Begins to publish the accepted submissions that this validator keeps although it is no custodian of
    /// them: too few of their custodians voted for them.
    pub(super) async fn keep_accepted(
        &mut self,
        fetched: &FetchedWindow,
        decision: &Decision,
    ) -> Result<(), ValidatorError> {
        let heights = &fetched.heights;
        let votes = match self.node.network.at(heights.votes_close).await {
            Err(error) if error.is_pruned() => return Ok(()), // No other node waits for these objects.
            votes => votes?,
        };
        let (run, closed) = (self.run.id, &fetched.closed);
        let ours = self.node.identity.neuron;
        let electorate = closed.electorate(run, &self.run.spec.acceptance, heights);
        let is_ours = |accepted: &&Accepted| {
            let object = &accepted.object;
            let voters = votes.voters_for(run, heights, decision, accepted);
            keepers(closed.hash, object, &electorate, &voters).contains(&ours)
                && !custodians(closed.hash, object, &electorate).contains(&ours)
        };
        let share: Vec<_> = decision.applied().iter().filter(is_ours).map(|accepted| accepted.id).collect();
        if !share.is_empty() {
            self.keep(fetched, &share);
        }
        Ok(())
    }

    /// Begins to publish the submissions of these miners.
    fn keep<'a>(&mut self, fetched: &FetchedWindow, miners: impl IntoIterator<Item = &'a NeuronId>) {
        let window = fetched.heights.window;
        let submissions: Vec<_> =
            miners.into_iter().filter_map(|miner| fetched.submissions.get(miner).cloned()).collect();
        tracing::info!(target: WINDOW, %window, objects = submissions.len(), "publishing the own custody");
        let keeping = Keeping {
            network: self.node.network.clone(),
            own_bucket: self.node.identity.own_bucket.clone(),
            window,
            submissions,
            until: self.run.clock.objects_wait(&fetched.heights),
        };
        self.tasks.add(Background::start(move || keeping.run()));
    }

    /// Returns the miners that this validator's vote on chain is for.
    async fn voted(
        &self,
        window: Window,
        fetched: &FetchedWindow,
    ) -> Result<BTreeSet<NeuronId>, ValidatorError> {
        let state = self.node.network.newest().await?;
        let vote = standing_vote(&state, &self.node.identity.neuron.hotkey, self.run.id);
        let vote = vote.filter(|vote| vote.window == window);
        Ok(vote.map(|vote| fetched.voted(&vote)).unwrap_or_default())
    }

    /// Closes the window's log and writes it to the journal.
    pub(super) fn close_log(
        &mut self,
        window: Window,
        fetched: &FetchedWindow,
        measured: &Measured,
    ) -> Result<Event, ValidatorError> {
        let spec = &self.run.spec.scoring;
        let last = self.logs.last();
        let standings = self.logs.standings();
        let findings = fetched.findings(measured, self.logs.availability(window));
        let registered = RegisteredAt { closed: &fetched.closed, seeded: &measured.seeded };
        let lines = findings.lines(&standings, last, &registered);
        let header = Header {
            run: self.run.hash,
            validator: self.node.identity.neuron,
            window,
            state: self.node.shared.state(),
            seed: measured.seeded.hash,
            previous: self.logs.head(),
            standings: standings.hash(),
            adopted: self.logs.adopted(),
            unassigned_before: measured.unassigned_before,
            baselines: measured.baselines,
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
        tracing::info!(target: SCORE, %window, %head, miners = miners.len(), "score log closed");
        let events = &self.node.observability.events;
        events.emit(NodeEvent::Evaluated { window, seconds, miners });
        events.emit(NodeEvent::Logged { window, head });
        Ok(())
    }
}

impl Tried {
    fn has(&self, miner: &NeuronId) -> bool {
        self.loss_drops.contains_key(miner) || self.failed.contains_key(miner)
    }

    fn len(&self) -> usize {
        self.loss_drops.len() + self.failed.len()
    }
}
