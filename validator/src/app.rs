//! The driver: carries out what the [`Round`] says, with the node's parts.

use crate::{
    ValidatorError,
    desk::{published_logs, standing_vote},
    gauntlet::{Gauntlet, SCREENED_SEQUENCES, Step},
    logs::{Closed, KEPT, Logs},
    metrics::ValidatorMetrics,
    report,
    round::{Action, Done, Past, Round, Rules},
    weights::{self, OnChain},
    window::{Gathered, Measured, gather},
};
use bytes::Bytes;
use common::{
    BlockHash, Exit, NeuronId, Window,
    acceptance::{Decision, Screen, Standing},
    announcement::{Record, Vote},
    assignment::Assignments,
    custody::custodians,
    gauntlet::{Draw, Evaluation},
    history::WindowRecord,
    score_log::{Header, ScoreLog},
    submission::Submission,
};
use engine::Batch;
use exchange::{BlockState, OutboxError};
use node::{Config, Event, Node, NodeError};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use telemetry::{
    Shutdown,
    target::{SCORE, WINDOW},
};

/// Time for publishing what belongs to a window. What is not out by then is tried again with the next window.
const PUBLISHING: Duration = Duration::from_secs(120);
/// Between two attempts to vote.
const VOTE_PAUSE: Duration = Duration::from_millis(500);
/// Windows that submissions are kept for where no checkpoints are made.
const KEEP_WINDOWS: u64 = 20;

/// Runs a validator until its run is over or it is asked to end; how the program ends. Why it failed is on standard error.
pub async fn run(config: Config, shutdown: Shutdown) -> Exit {
    // In boxes, since the futures of requests are nested deeply.
    let node = match Box::pin(Node::open(config, shutdown)).await {
        Ok(node) => node,
        Err(NodeError::Shutdown) => return Exit::Good,
        Err(error) => {
            eprintln!("validator: {error}");
            return error.exit();
        }
    };
    let events = node.events.clone();
    let exit = match Box::pin(drive(node)).await {
        Ok(()) => Exit::Good,
        Err(error) => {
            let exit = error.exit();
            if exit != Exit::Good {
                eprintln!("validator: {error}");
            }
            exit
        }
    };
    events.emit(Event::Stopped { exit: exit.into() });
    exit
}

async fn drive(mut node: Node) -> Result<(), ValidatorError> {
    node.start().await?;
    let mut validator = Validator::new(node).await?;
    let mut round = validator.resume().await?;
    loop {
        match round.act(validator.node.height()) {
            Action::Finish => return Ok(()),
            Action::Wait(height) => drop(validator.node.wait_for(height).await?),
            action => {
                let done = validator.carry_out(action).await?;
                tracing::debug!(target: WINDOW, ?action, ?done, "done");
                round = round.after(done);
            }
        }
    }
}

/// A validator: the node, its own logs, and what it knows of the window that is next.
#[derive(Debug)]
struct Validator {
    node: Node,
    gauntlet: Gauntlet,
    metrics: Arc<ValidatorMetrics>,
    logs: Logs,
    /// Windows whose logs are in the journal and perhaps not in the bucket.
    unpublished: BTreeSet<Window>,
    gathered: Option<Gathered>,
    good: BTreeSet<NeuronId>,
    measured: Option<Measured>,
    decision: Option<Decision>,
    applied: Arc<Vec<Submission<Bytes>>>,
}

impl Validator {
    async fn new(node: Node) -> Result<Self, ValidatorError> {
        let spec = &node.run.spec;
        let gauntlet = Gauntlet::new(node.model.clone(), Step::new(&spec.sparse, &spec.scoring));
        let metrics = Arc::new(ValidatorMetrics::default());
        node.registry.add(metrics.clone());
        let logs = Logs::open(node.folder(), node.run.hash, node.id)?;
        let unpublished = logs.iter().map(|closed| closed.log.header.window).collect();
        Ok(Self {
            node,
            gauntlet,
            metrics,
            logs,
            unpublished,
            gathered: None,
            good: BTreeSet::new(),
            measured: None,
            decision: None,
            applied: Arc::default(),
        })
    }

    /// Where to go on: what the journal, the chain and, if the journal is gone, the bucket say.
    async fn resume(&mut self) -> Result<Round, ValidatorError> {
        let node = &self.node;
        let newest = node.height();
        let state = node.ask(async || node.ledger.at(newest).await).await?;
        let voted = standing_vote(&state, &node.id.hotkey, &node.run.spec);
        if let (None, Some(vote)) = (self.logs.newest(), voted) {
            self.recover(&state, &vote).await?;
        }
        let node = &self.node;
        let logged = self.logs.newest().map(|closed| closed.log.header.window);
        let (client, netuid) = (node.ledger.client(), node.ledger.netuid());
        let on_chain = async || Ok(OnChain::read(client, netuid, &node.hotkey).await?);
        let on_chain = node.ask(on_chain).await?;
        let weighed = self.logs.newest().zip(on_chain.as_ref());
        let weighed = weighed.filter(|(closed, on_chain)| on_chain.has(&closed.log.stated.weights));
        let past = Past {
            voted: voted.map(|vote| vote.window),
            logged,
            weighed: weighed.and(logged),
            opens: on_chain.map_or(newest, |on_chain| on_chain.opens()),
        };
        let rules = Rules { clock: node.run.clock, checkpoint_every: node.config.validator.checkpoint_every };
        tracing::info!(target: WINDOW, window = %node.window(), ?past, "going on");
        Ok(Round::resume(rules, node.window(), past))
    }

    /// Takes the newest logs from the own bucket: the journal has none, but the chain shows a vote.
    async fn recover(&mut self, state: &BlockState, vote: &Vote) -> Result<(), ValidatorError> {
        let node = &self.node;
        let at = (vote, node.window());
        let logs = published_logs((&node.fetcher, state), &node.id, &node.run.spec, at, KEPT);
        for log in node.unless_stopped(logs).await? {
            let bytes = log.sign(&self.node.key)?.into();
            self.logs.keep(Closed { log, bytes })?;
        }
        if let Some(closed) = self.logs.newest() {
            let window = closed.log.header.window;
            tracing::info!(target: SCORE, %window, "standings are those of the log in the own bucket");
        }
        Ok(())
    }

    async fn carry_out(&mut self, action: Action) -> Result<Done, ValidatorError> {
        match action {
            Action::HeldOut(window) => self.held_out(window).await,
            Action::Gather(window) => self.gather(window).await,
            Action::Screen(window) => self.screen(window).await,
            Action::Vote(window) => self.vote(window).await,
            Action::Measure(window) => self.measure(window).await,
            Action::Decide(window) => self.decide(window).await,
            Action::CloseLog(window) => self.close_log(window),
            Action::Apply(window) => self.apply(window).await,
            Action::Publish(window) => self.publish(window).await,
            Action::Checkpoint(window) => self.checkpoint(window).await,
            Action::SetWeights(window) => self.set_weights(window).await,
            Action::Resync => self.resync().await,
            Action::Wait(_) | Action::Finish => Err(ValidatorError::NoWindow),
        }
    }

    /// The loss on held-out data, for people.
    async fn held_out(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let started = Instant::now();
        let (data, asked) = (&self.node.run.held_out, self.node.config.validator.held_out_sequences);
        let sequences: Vec<u64> = (0..asked.min(data.sequences())).collect();
        if sequences.is_empty() {
            return Ok(Done::HeldOut);
        }
        let loss = self.gauntlet.loss(data.batch(&sequences)?).await?;
        self.metrics.held_out_loss.set(loss);
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(target: WINDOW, %window, loss, "held-out data");
        self.node.events.emit(Event::HeldOut { window, loss, seconds });
        Ok(Done::HeldOut)
    }

    async fn gather(&mut self, window: Window) -> Result<Done, ValidatorError> {
        self.forget();
        let gathered = match gather(&self.node, window).await {
            Err(error) if error.is_pruned() => {
                tracing::warn!(target: WINDOW, %window, %error, "the window cannot be evaluated any more");
                return Ok(Done::Missed);
            }
            gathered => gathered?,
        };
        for (miner, trouble) in &gathered.troubles {
            tracing::info!(target: WINDOW, %window, miner = %miner.hotkey, why = trouble.why, "no valid submission");
        }
        self.metrics.claims.add(gathered.claims.len() as u64);
        self.metrics.fetch_seconds.observe(gathered.seconds);
        let (claims, valid) = (gathered.claims.len(), gathered.field.miners().count());
        tracing::info!(target: WINDOW, %window, claims, valid, seconds = gathered.seconds, "submissions are fetched");
        self.gathered = Some(gathered);
        Ok(Done::Gathered)
    }

    /// Says which candidates are good: valid, and of help on the first of the unassigned sequences.
    async fn screen(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let gathered = self.gathered.as_ref().ok_or(ValidatorError::NoWindow)?;
        let is_loss = self.node.run.spec.acceptance.screen == Screen::Loss;
        let batch = self.unassigned(gathered, Some(SCREENED_SEQUENCES)).await?;
        let before = if is_loss { self.gauntlet.losses(batch.clone()).await? } else { Vec::new() };
        let mut good = BTreeSet::new();
        for candidate in &gathered.candidates {
            let miner = candidate.id;
            let why = match gathered.troubles.get(&miner) {
                Some(trouble) => Some(trouble.why.clone()),
                None if is_loss => self.try_out(gathered, miner, &batch, &before).await?,
                None => None,
            };
            let (hotkey, is_good) = (miner.hotkey, why.is_none());
            tracing::debug!(target: WINDOW, %window, miner = %hotkey, good = is_good, why, "screened");
            self.node.events.emit(Event::Screened { window, miner: hotkey, good: is_good, why });
            if is_good {
                good.insert(miner);
            }
        }
        self.good = good;
        Ok(Done::Screened)
    }

    /// Why an update is not good enough to vote for, if it is not.
    async fn try_out(
        &self,
        gathered: &Gathered,
        miner: NeuronId,
        batch: &Batch,
        before: &[f64],
    ) -> Result<Option<String>, ValidatorError> {
        let tried = self.gauntlet.lowers(
            &gathered.field,
            miner,
            batch.clone(),
            before,
            self.node.run.spec.acceptance.screen_errors.get(),
        );
        Ok(match self.node.unless_stopped(tried).await? {
            Ok(screened) => screened.err().map(|why| why.to_string()),
            Err(error) => Some(error.to_string()),
        })
    }

    async fn vote(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let gathered = self.gathered.as_ref().ok_or(ValidatorError::NoWindow)?;
        let node = &self.node;
        let vote = Vote {
            run: node.run.id,
            window,
            good: gathered.bits(&self.good),
            state: node.state(),
            score_log: self.logs.head(),
            possession: gathered.possession(node.id.hotkey, &self.good),
        };
        let closes = gathered.heights.votes_close;
        let block = loop {
            match node.unless_stopped(node.announcer.record(Record::Vote(vote))).await? {
                Ok(block) => break block,
                Err(error) if error.is_retryable() && node.height() < closes => {
                    tracing::warn!(target: WINDOW, %window, %error, "the vote is not on chain yet");
                    node.unless_stopped(tokio::time::sleep(VOTE_PAUSE)).await?;
                }
                Err(error) => {
                    tracing::error!(target: WINDOW, %window, %error, "no vote in this window");
                    return Ok(Done::Voted);
                }
            }
        };
        if block > closes {
            tracing::warn!(target: WINDOW, %window, %block, %closes, "the vote came too late");
        }
        self.metrics.votes.increment();
        let good: Vec<_> = self.good.iter().map(|miner| miner.hotkey).collect();
        tracing::info!(target: WINDOW, %window, good = good.len(), %block, "voted");
        node.events.emit(Event::Voted { window, good, block, seconds_fetch: gathered.seconds });
        Ok(Done::Voted)
    }

    /// Runs the Gauntlet, as far as the time goes.
    async fn measure(&mut self, window: Window) -> Result<Done, ValidatorError> {
        match self.try_to_measure().await {
            Ok(measured) => {
                tracing::info!(target: SCORE, %window, evaluated = measured.evaluations.len(), seconds = measured.seconds, "the Gauntlet is over");
                self.metrics.evaluate_seconds.observe(measured.seconds);
                self.metrics.evaluations.add(measured.evaluations.len() as u64);
                self.measured = Some(measured);
                Ok(Done::Measured)
            }
            Err(error) if error.is_pruned() => {
                tracing::warn!(target: SCORE, %window, %error, "the window cannot be evaluated any more");
                Ok(Done::Missed)
            }
            Err(error) => Err(error),
        }
    }

    async fn try_to_measure(&self) -> Result<Measured, ValidatorError> {
        let started = Instant::now();
        let gathered = self.gathered.as_ref().ok_or(ValidatorError::NoWindow)?;
        let node = &self.node;
        let seeded = node.ask(async || node.ledger.at(gathered.heights.seed).await).await?;
        let (client, netuid) = (node.ledger.client(), node.ledger.netuid());
        let rules = node.ask(async || Ok(client.at(seeded.hash).hyperparameters(netuid).await?)).await?;
        let draw =
            Draw { seed: seeded.hash, height: seeded.height, immunity_period: rules.immunity_period.into() };
        let owed = gathered.field.miners().copied().chain(gathered.cut_off()).collect();
        let mut turns = self.logs.turns().begin(&draw, &owed, node.config.validator.time_budget);

        let unassigned = self.unassigned(gathered, None).await?;
        let unassigned_before = self.gauntlet.loss(unassigned.clone()).await?;
        let mut evaluations = BTreeMap::new();
        while let Some(miner) = turns.next(started.elapsed()) {
            match self.evaluate(gathered, miner, draw.seed, &unassigned).await? {
                Ok(evaluation) => drop(evaluations.insert(miner, evaluation)),
                Err(why) => {
                    tracing::warn!(target: SCORE, miner = %miner.hotkey, why, "not evaluated");
                    turns.put_off(miner);
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Measured { seeded, rules, unassigned_before, evaluations, seconds })
    }

    /// What a miner's update does, or why this validator cannot say.
    async fn evaluate(
        &self,
        gathered: &Gathered,
        miner: NeuronId,
        seed: BlockHash,
        unassigned: &Batch,
    ) -> Result<Result<Evaluation, String>, ValidatorError> {
        let node = &self.node;
        let Some(submission) = gathered.field.get(&miner) else {
            return Ok(Err("its submission could not be had".to_owned()));
        };
        let (trained, count) =
            (submission.header().samples, u64::from(node.run.spec.scoring.assigned_sequences));
        let assignments = self.assignments(gathered.heights.window).await?;
        let sequences = match assignments.of(&miner).and_then(|own| own.samples(seed, trained, count)) {
            Ok(sequences) => sequences,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let assigned = node.run.training.batch(&sequences)?;
        let evaluated = self.gauntlet.evaluate(&gathered.field, miner, assigned, unassigned.clone());
        Ok(node.unless_stopped(evaluated).await?.map_err(|error| error.to_string()))
    }

    /// Who trains on what. The chain's states that it follows from are remembered by the ledger.
    async fn assignments(&self, window: Window) -> Result<Assignments, ValidatorError> {
        let (node, blocks) = (&self.node, self.node.run.manifest.training_blocks());
        Ok(node.ask(async || node.ledger.assignments(&node.run.spec, window, blocks).await).await?)
    }

    /// The sequences that are assigned to nobody, or the first of them.
    async fn unassigned(&self, gathered: &Gathered, first: Option<usize>) -> Result<Batch, ValidatorError> {
        let node = &self.node;
        let seed = node.ask(async || node.ledger.hash(gathered.heights.seed).await).await?;
        let count = u64::from(node.run.spec.scoring.unassigned_sequences);
        let mut sequences = self.assignments(gathered.heights.window).await?.unassigned(seed, count)?;
        sequences.truncate(first.unwrap_or(usize::MAX));
        Ok(node.run.training.batch(&sequences)?)
    }

    async fn decide(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let decision = match self.node.decide(window).await {
            Err(error) if error.is_lost() => return Ok(Done::Lost),
            decision => decision?,
        };
        let diverged = matches!(decision.standing(self.node.state()), Standing::Diverged { .. });
        if diverged {
            // Says so, and changes nothing.
            match self.node.apply(&decision).await {
                Err(error) if error.is_lost() => {}
                result => drop(result?),
            }
        }
        self.decision = Some(decision);
        Ok(Done::Decided { diverged })
    }

    /// Closes the window's log: it is in the journal when this returns.
    fn close_log(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let (Some(gathered), Some(measured)) = (&self.gathered, &self.measured) else {
            return Err(ValidatorError::NoWindow);
        };
        let (node, last) = (&self.node, self.logs.newest().map(|closed| &closed.log));
        let standings = self.logs.standings();
        let lines = gathered.lines(measured, last);
        let header = Header {
            run: node.run.hash,
            validator: node.id,
            window,
            state: node.state(),
            seed: measured.seeded.hash,
            previous: self.logs.head(),
            standings: standings.hash(),
            unassigned_before: measured.unassigned_before,
            subnet: weights::subnet(&measured.seeded.metagraph, &measured.rules),
        };
        let (log, results) = match ScoreLog::close(&node.run.spec.scoring, &standings, header, lines) {
            Ok(closed) => closed,
            Err(error) => {
                tracing::error!(target: SCORE, %window, %error, "no score log of this window");
                return Ok(Done::NotLogged);
            }
        };
        if let Err(error) = &results.weights {
            tracing::warn!(target: SCORE, %window, %error, "no weights can be set by this window");
        }
        let bytes = log.sign(&node.key)?.into();
        let (head, miners) = (log.head(), report::miners(&log, &node.run.spec.scoring));
        report::count(&self.metrics, &log);
        self.logs.keep(Closed { log, bytes })?;
        self.unpublished.insert(window);
        tracing::info!(target: SCORE, %window, %head, miners = miners.len(), "the score log is closed");
        node.events.emit(Event::Evaluated { window, seconds: measured.seconds, miners });
        node.events.emit(Event::Logged { window, head });
        Ok(Done::Logged)
    }

    async fn apply(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let decision = self.decision.take().filter(|decision| decision.window == window);
        let decision = decision.ok_or(ValidatorError::NoWindow)?;
        let held = decision.applied().iter().filter_map(|accepted| {
            let submission = self.gathered.as_ref()?.field.get(&accepted.id)?;
            (submission.hash() == accepted.object).then(|| submission.clone())
        });
        for submission in held.collect::<Vec<_>>() {
            self.node.hold(submission);
        }
        let applied = self.node.apply(&decision).await;
        self.decision = Some(decision);
        match applied {
            Ok(applied) => {
                self.applied = applied.objects;
                Ok(Done::Applied)
            }
            Err(error) if error.is_lost() => Ok(Done::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// Publishes what is not published yet. What fails is tried again with the next window.
    async fn publish(&mut self, window: Window) -> Result<Done, ValidatorError> {
        for of in self.unpublished.clone() {
            let Some(closed) = self.logs.iter().find(|closed| closed.log.header.window == of) else {
                self.unpublished.remove(&of);
                continue;
            };
            if self.put("score log", self.node.outbox.put_score_log(of, closed.bytes.clone())).await? {
                self.unpublished.remove(&of);
            }
        }
        let record = self.record(window);
        if let Some(record) = &record {
            self.put("record", self.node.outbox.put_record(record)).await?;
        }
        self.keep_for_others(window).await?;
        let every = self.node.config.validator.checkpoint_every;
        let keep = if every == 0 { KEEP_WINDOWS } else { every.saturating_mul(2) };
        let oldest = Window(self.node.window().0.saturating_sub(keep));
        if oldest.0 > 0 {
            self.put("deletion of old objects", self.node.outbox.delete_before(oldest)).await?;
        }
        self.forget();
        Ok(Done::Published)
    }

    /// What was decided on a window.
    fn record(&self, window: Window) -> Option<WindowRecord> {
        let decision = self.decision.as_ref().filter(|decision| decision.window == window);
        let records = || self.node.progress.history.records().find(|record| record.window == window).cloned();
        decision.map(WindowRecord::of).or_else(records)
    }

    /// Puts the accepted objects of which this validator is a custodian into its bucket.
    async fn keep_for_others(&self, window: Window) -> Result<(), ValidatorError> {
        let node = &self.node;
        let (Some(decision), Ok(heights)) = (&self.decision, node.run.clock.heights(window)) else {
            return Ok(());
        };
        if decision.applied().is_empty() || decision.candidates.is_empty() {
            return Ok(());
        }
        let read = async || {
            let votes = node.ledger.at(heights.votes_close).await?;
            Ok((votes, node.ledger.hash(heights.claims_close).await?))
        };
        let (votes, seed) = match node.ask(read).await {
            Err(NodeError::Chain(error)) if error.is_pruned() => return Ok(()),
            read => read?,
        };
        for accepted in decision.applied() {
            let voters = votes.voters_for(node.run.id, &heights, decision, accepted);
            let object = self.applied.iter().find(|object| object.hash() == accepted.object);
            let Some(object) =
                object.filter(|_| custodians(seed, &accepted.object, &voters).contains(&node.id))
            else {
                continue;
            };
            let (bytes, key) = object.stored();
            if let Some(key) = key {
                self.put("key in custody", node.outbox.put_key(window, &accepted.object, key)).await?;
            }
            let put = node.outbox.put_submission(window, &accepted.object, bytes.into());
            self.put("object in custody", put).await?;
        }
        Ok(())
    }

    /// Whether something was published; that it was not is no reason to stop.
    async fn put<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, OutboxError>>,
    ) -> Result<bool, ValidatorError> {
        match self.node.unless_stopped(tokio::time::timeout(PUBLISHING, work)).await? {
            Ok(Ok(_)) => return Ok(true),
            Ok(Err(error)) => tracing::error!(target: SCORE, what, %error, "not published"),
            Err(_) => {
                tracing::error!(target: SCORE, what, seconds = PUBLISHING.as_secs(), "not published in time")
            }
        }
        Ok(false)
    }

    async fn checkpoint(&mut self, window: Window) -> Result<Done, ValidatorError> {
        match self.node.save_checkpoint().await {
            Err(NodeError::Shutdown) => return Err(NodeError::Shutdown.into()),
            Err(error) => tracing::error!(target: WINDOW, %window, %error, "no checkpoint of this window"),
            Ok(()) => tracing::info!(target: WINDOW, %window, "the checkpoint is published"),
        }
        Ok(Done::Checkpointed)
    }

    async fn set_weights(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let node = &self.node;
        let given_up = Done::Weighed { window, opens: node.height() };
        let closed = self.logs.newest().filter(|closed| closed.log.header.window == window);
        let Some(stated) = closed.map(|closed| &closed.log.stated.weights).filter(|row| !row.is_empty())
        else {
            return Ok(given_up); // Why there are none was said when the log was closed.
        };
        let (client, netuid) = (node.ledger.client(), node.ledger.netuid());
        let setting = weights::set(client, netuid, &node.hotkey, stated);
        Ok(match node.unless_stopped(setting).await? {
            weights::Outcome::Set { block, opens } => {
                tracing::info!(target: SCORE, %window, %block, "weights are set, and on chain as they were sent");
                self.metrics.weights.increment();
                let row = stated.iter().map(|(&uid, &weight)| (uid, weight)).collect();
                node.events.emit(Event::Weights { window, block, weights: row });
                Done::Weighed { window, opens }
            }
            weights::Outcome::NotYet { opens, reason } => {
                tracing::info!(target: SCORE, %window, %opens, reason, "weights are not set yet");
                Done::NotYet { opens: opens.max(node.height().next()) }
            }
            weights::Outcome::Refused(reason) => {
                tracing::error!(target: SCORE, %window, reason, "the weights of this window cannot be set");
                given_up
            }
        })
    }

    async fn resync(&mut self) -> Result<Done, ValidatorError> {
        self.forget();
        self.node.resync().await?;
        Ok(Done::Resynced { window: self.node.window() })
    }

    /// Forgets what belongs to a window.
    fn forget(&mut self) {
        (self.gathered, self.measured, self.decision) = (None, None, None);
        self.good.clear();
        self.applied = Arc::default();
    }
}
