//! The driver: carries out what the [`Round`] says, with the node's parts.

mod measuring;
mod publishing;

use crate::{
    ValidatorError,
    desk::{published_logs, standing_vote},
    fetched_window::{FetchedWindow, Measured, fetch_window},
    gauntlet::{Gauntlet, SCREENED_SEQUENCES},
    logs::{Closed, KEPT, Logs},
    metrics::ValidatorMetrics,
    report,
    round::{Action, Done, Past, Round, Rules},
    weights::{self, OnChain},
};
use base::{Exit, NeuronId, Window};
use bytes::Bytes;
use codec::submission::Submission;
use exchange::BlockState;
use node::{Config, Node, NodeError, NodeEvent};
use protocol::{
    acceptance::{Agreement, Decision, Screen, screen},
    announcement::{Record, Vote},
};
use scoring::score_log::{Header, ScoreLog};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use telemetry::{
    Shutdown,
    target::{SCORE, WINDOW},
};

/// Between two attempts to vote.
const VOTE_PAUSE: Duration = Duration::from_millis(500);

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
    events.emit(NodeEvent::Stopped { exit: exit.into() });
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
    fetched: Option<FetchedWindow>,
    good: BTreeSet<NeuronId>,
    measured: Option<Measured>,
    decision: Option<Decision>,
    applied: Arc<Vec<Submission<Bytes>>>,
}

impl Validator {
    async fn new(node: Node) -> Result<Self, ValidatorError> {
        let gauntlet = Gauntlet::new(node.model.clone());
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
            fetched: None,
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
        let state = node.ask(async || node.chain_reader.at(newest).await).await?;
        let voted = standing_vote(&state, &node.id.hotkey, &node.run.spec);
        if let (None, Some(vote)) = (self.logs.newest(), voted) {
            self.recover(&state, &vote).await?;
        }
        let node = &self.node;
        let logged = self.logs.newest().map(|closed| closed.log.header.window);
        let (client, netuid) = (node.chain_reader.client(), node.chain_reader.netuid());
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
            Action::Gather(window) => self.fetch_window(window).await,
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

    async fn fetch_window(&mut self, window: Window) -> Result<Done, ValidatorError> {
        self.forget();
        let fetched = match fetch_window(&self.node, window).await {
            Err(error) if error.is_pruned() => {
                tracing::warn!(target: WINDOW, %window, %error, "the window cannot be evaluated any more");
                return Ok(Done::Missed);
            }
            fetched => fetched?,
        };
        for (miner, failure) in &fetched.failures {
            tracing::info!(target: WINDOW, %window, miner = %miner.hotkey, why = failure.why, "no valid submission");
        }
        self.metrics.claims.add(fetched.claims.len() as u64);
        self.metrics.fetch_seconds.observe(fetched.seconds);
        let (claims, valid) = (fetched.claims.len(), fetched.candidate_set.miners().count());
        tracing::info!(target: WINDOW, %window, claims, valid, seconds = fetched.seconds, "submissions are fetched");
        self.fetched = Some(fetched);
        Ok(Done::Fetched)
    }

    /// Says which candidates are good: valid, and of help on the first of the unassigned sequences.
    async fn screen(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let fetched = self.fetched.as_ref().ok_or(ValidatorError::NoWindow)?;
        let mut why: BTreeMap<NeuronId, String> =
            fetched.failures.iter().map(|(miner, failure)| (*miner, failure.why.clone())).collect();
        if self.node.run.spec.acceptance.screen == Screen::Loss {
            why.extend(self.weak(fetched).await?);
        }
        let mut good = BTreeSet::new();
        for miner in fetched.candidates.iter().map(|candidate| candidate.id) {
            let (hotkey, why) = (miner.hotkey, why.remove(&miner));
            tracing::debug!(target: WINDOW, %window, miner = %hotkey, good = why.is_none(), why, "screened");
            if why.is_none() {
                good.insert(miner);
            }
            self.node.events.emit(NodeEvent::Screened { window, miner: hotkey, good: why.is_none(), why });
        }
        self.good = good;
        Ok(Done::Screened)
    }

    /// Valid candidates that do not help enough, with the reason.
    async fn weak(&self, fetched: &FetchedWindow) -> Result<Vec<(NeuronId, String)>, ValidatorError> {
        let batch = self.unassigned(fetched, Some(SCREENED_SEQUENCES)).await?;
        let before = self.gauntlet.losses(batch.clone()).await?;
        let (mut loss_drops, mut weak) = (BTreeMap::new(), Vec::new());
        for miner in fetched.candidates.iter().map(|candidate| candidate.id) {
            if fetched.failures.contains_key(&miner) {
                continue;
            }
            let loss_drop = self.gauntlet.loss_drop(&fetched.candidate_set, miner, batch.clone(), &before);
            match self.node.unless_stopped(loss_drop).await? {
                Ok(loss_drop) => drop(loss_drops.insert(miner, loss_drop)),
                Err(error) => weak.push((miner, error.to_string())),
            }
        }
        let screened = screen(&loss_drops, self.node.run.spec.acceptance.screen_errors);
        weak.extend(
            screened.into_iter().filter_map(|(miner, is_good)| Some((miner, is_good.err()?.to_string()))),
        );
        Ok(weak)
    }

    async fn vote(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let fetched = self.fetched.as_ref().ok_or(ValidatorError::NoWindow)?;
        let node = &self.node;
        let vote = Vote {
            run: node.run.id,
            window,
            good: fetched.bits(&self.good),
            state: node.state(),
            score_log: self.logs.head(),
            possession: fetched.possession(node.id.hotkey, &self.good),
        };
        let closes = fetched.heights.votes_close;
        let block = loop {
            match node.unless_stopped(node.commitment_writer.record(Record::Vote(vote))).await? {
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
        node.events.emit(NodeEvent::Voted { window, good, block, seconds_fetch: fetched.seconds });
        Ok(Done::Voted)
    }

    async fn decide(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let decision = match self.node.decide(window).await {
            Err(error) if error.is_lost() => return Ok(Done::Lost),
            decision => decision?,
        };
        let diverged = matches!(decision.standing(self.node.state()), Agreement::Diverged { .. });
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
        let (Some(fetched), Some(measured)) = (&self.fetched, &self.measured) else {
            return Err(ValidatorError::NoWindow);
        };
        let (node, last) = (&self.node, self.logs.newest().map(|closed| &closed.log));
        let standings = self.logs.standings();
        let lines = fetched.lines(measured, last);
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
        node.events.emit(NodeEvent::Evaluated { window, seconds: measured.seconds, miners });
        node.events.emit(NodeEvent::Logged { window, head });
        Ok(Done::Logged)
    }

    async fn apply(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let decision = self.decision.take().filter(|decision| decision.window == window);
        let decision = decision.ok_or(ValidatorError::NoWindow)?;
        let held = decision.applied().iter().filter_map(|accepted| {
            let submission = self.fetched.as_ref()?.candidate_set.get(&accepted.id)?;
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

    async fn resync(&mut self) -> Result<Done, ValidatorError> {
        self.forget();
        self.node.resync().await?;
        Ok(Done::Resynced { window: self.node.window() })
    }

    /// Forgets what belongs to a window.
    fn forget(&mut self) {
        (self.fetched, self.measured, self.decision) = (None, None, None);
        self.good.clear();
        self.applied = Arc::default();
    }
}
