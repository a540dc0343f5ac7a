//! The driver: carries out the actions of [`ValidatorMachine`], with a node.

mod background;
mod carried;
mod checkpoints;
mod committed;
mod judging;
mod measuring;
mod others;
mod publishing;

use crate::{
    ValidatorError,
    commits::{Commits, Committed},
    fetched_window::FetchedWindow,
    gauntlet::Gauntlet,
    joining::Joining,
    logs::{Closed, KEPT, Logs},
    metrics::ValidatorMetrics,
    overlaps::PastUpdates,
    published::{published_logs, standing_vote},
    weights::{OnChain, Weigher},
};
use background::Tasks;
use base::{Exit, Height, Window};
use carried::{Action, Carried, Event, Values};
use checkpoints::Checkpoints;
use committed::Hidden;
use exchange::BlockState;
use node::{Background, Config, Node, NodeError, NodeEvent, Prefetching, Run, ValidatorConfig};
use protocol::{
    acceptance::{Agreement, Decision},
    announcement::Vote,
    machine::validator::{Past, SettledWeights, ValidatorMachine, ValidatorRules},
};
use scoring::score_log::Adopted;
use std::sync::Arc;
use telemetry::{
    Shutdown,
    target::{SCORE, WINDOW},
};

/// Runs a validator until its run is over or a shutdown is requested.
///
/// # Errors
/// An error that only the operator can mend. The request to end is not one.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), ValidatorError> {
    let settings = config.validator;
    // In boxes, since the futures of requests are nested deeply.
    let node = match Box::pin(Node::open(config, shutdown)).await {
        Ok(node) => node,
        Err(NodeError::Shutdown) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let events = node.observability.events.clone();
    let result = Box::pin(drive(node, settings)).await;
    let exit = result.as_ref().map_or_else(ValidatorError::exit, |()| Exit::Good);
    events.emit(NodeEvent::Stopped { exit: exit.into() });
    if exit == Exit::Good { Ok(()) } else { result }
}

async fn drive(mut node: Node, settings: ValidatorConfig) -> Result<(), ValidatorError> {
    node.start().await?;
    let mut validator = Validator::new(node, settings)?;
    let machine = validator.resume().await?;
    validator.follow(machine).await
}

/// A validator: the node and its own logs. The values of a window are in the state machine.
#[derive(Debug)]
struct Validator {
    node: Node,
    run: Arc<Run>,
    settings: ValidatorConfig,
    gauntlet: Gauntlet,
    metrics: Arc<ValidatorMetrics>,
    logs: Logs,
    weigher: Weigher,
    /// The submissions of the last windows, with which updates are compared.
    past: PastUpdates,
    /// The downloads of the window's candidates, until they are collected.
    prefetch: Option<Prefetching>,
    /// The vote and the uploads that are on their way.
    tasks: Tasks,
    /// The checkpoints that are on their way.
    checkpoints: Checkpoints,
}

impl Validator {
    fn new(node: Node, settings: ValidatorConfig) -> Result<Self, ValidatorError> {
        let run = Arc::clone(node.shared.run());
        let gauntlet = Gauntlet::new(node.shared.model().clone());
        let metrics = Arc::new(ValidatorMetrics::default());
        node.observability.registry.add(metrics.clone());
        let logs = Logs::open(node.shared.folder(), run.hash, node.identity.neuron)?;
        let commits = Commits::open(node.shared.folder(), run.hash, node.identity.neuron)?;
        let reader = &node.network.chain_reader;
        let hotkey = node.identity.hotkey.clone();
        let version_key = run.spec.network.version_key;
        let weigher = Weigher::new(reader.clone(), version_key, hotkey, commits);
        Ok(Self {
            node,
            run,
            settings,
            gauntlet,
            metrics,
            logs,
            weigher,
            past: PastUpdates::default(),
            prefetch: None,
            tasks: Tasks::default(),
            checkpoints: Checkpoints::default(),
        })
    }

    /// Resumes from the journal, the chain and, if the journal is gone, the bucket.
    async fn resume(&mut self) -> Result<ValidatorMachine<Values>, ValidatorError> {
        let state = self.node.network.newest().await?;
        let voted = standing_vote(&state, &self.node.identity.neuron.hotkey, self.run.id);
        if let (None, Some(vote)) = (self.logs.newest(), voted) {
            self.recover(&state, &vote).await?;
        }
        if self.logs.newest().is_none() {
            self.join(&state).await?;
        }
        let on_chain = self.weights_on_chain().await?;
        if let Some(on_chain) = &on_chain {
            self.foresee_weights(on_chain)?;
        }
        let past = Past {
            voted: voted.map(|vote| vote.window),
            logged: self.logs.newest().map(|closed| closed.log.header.window),
            // The machine has those published again that are in the bucket.
            unpublished: self.logs.iter().map(|closed| closed.log.header.window).collect(),
            weighed: self.weighed(on_chain.as_ref()),
            opens: on_chain.map_or(state.height, |on_chain| on_chain.opens()),
        };
        let rules =
            ValidatorRules { clock: self.run.clock, checkpoint_every: self.settings.checkpoint_every };
        let window = self.node.shared.window();
        tracing::info!(target: WINDOW, %window, ?past, "resuming");
        Ok(ValidatorMachine::resume(rules, window, past))
    }

    async fn weights_on_chain(&self) -> Result<Option<OnChain>, ValidatorError> {
        Ok(self.node.network.ask(async || Ok(self.weigher.on_chain().await?)).await?)
    }

    /// Returns the settled weights: committed ones, and those that are on chain openly.
    fn weighed(&self, on_chain: Option<&OnChain>) -> Vec<SettledWeights> {
        let open = on_chain.and_then(|on_chain| self.logs.weighed(on_chain));
        self.weigher.settled().into_iter().chain(open).collect()
    }

    /// Logs in which form and when weights will reach the chain, and what stands in their way. Goes on with
    /// the commits that wait for their reveal.
    fn foresee_weights(&mut self, on_chain: &OnChain) -> Result<(), ValidatorError> {
        tracing::info!(target: SCORE, "{}", on_chain.standing);
        for obstacle in on_chain.standing.obstacles() {
            tracing::warn!(target: SCORE, "weights may not count: {obstacle}");
        }
        for committed in self.weigher.settle(on_chain)? {
            let (window, reveal) = (committed.window, committed.commit.reveal);
            tracing::info!(target: SCORE, %window, block = ?committed.block, %reveal, "committed weights wait for their reveal");
            self.follow_commit(committed);
        }
        Ok(())
    }

    /// Follows a commit to its reveal, in the background.
    fn follow_commit(&mut self, committed: Committed) {
        let (network, weigher) = (self.node.network.clone(), self.weigher.clone());
        let hidden = Hidden { network, weigher, committed };
        self.tasks.add(Background::start(move || hidden.run()));
    }

    /// Downloads the newest logs from the node's own bucket: the journal has none, but the chain shows a
    /// vote.
    async fn recover(&mut self, state: &BlockState, vote: &Vote) -> Result<(), ValidatorError> {
        let Node { identity, network, shared, .. } = &self.node;
        let at = (vote, shared.window());
        let logs = published_logs((&network.fetcher, state), &identity.neuron, &self.run.hash, at, KEPT);
        for log in network.unless_stopped(logs).await? {
            let bytes = log.sign(&identity.key)?.into();
            self.logs.keep(Closed { log, bytes })?;
        }
        if let Some(closed) = self.logs.newest() {
            let window = closed.log.header.window;
            tracing::info!(target: SCORE, %window, "standings taken from the newest log in the own bucket");
        }
        Ok(())
    }

    /// Takes the standings of another validator, since this one has no log of its own.
    async fn join(&mut self, state: &Arc<BlockState>) -> Result<(), ValidatorError> {
        let Node { identity, network, shared, observability, .. } = &self.node;
        let next = shared.window();
        if next == Window(0) {
            return Ok(()); // At the beginning of a run no validator has standings.
        }
        let joining = Joining { network, run: &self.run, own: identity.neuron, next };
        let Some(log) = joining.find(state).await? else {
            tracing::warn!(target: SCORE, window = %next, "no other validator has score logs that replay: this one begins without standings");
            return Ok(());
        };
        let Adopted { validator, window, head } = log.name();
        tracing::info!(target: SCORE, %validator, %window, %head, "standings taken from the score log of another validator");
        observability.events.emit(NodeEvent::Adopted { validator, window, head });
        self.logs.adopt(log);
        Ok(())
    }

    /// Carries out the machine's actions until the run has ended.
    async fn follow(&mut self, mut machine: ValidatorMachine<Values>) -> Result<(), ValidatorError> {
        let mut event = Event::Height;
        loop {
            tracing::debug!(target: WINDOW, ?event, "next");
            self.checkpoints.proceed();
            let action = machine.step(event, self.node.network.height());
            tracing::debug!(target: WINDOW, ?action, "begins");
            event = match action {
                Action::Wait(height) => self.wait(height).await?,
                Action::HeldOut { window } => self.held_out(window).await?,
                Action::Prefetch { window, until, last_keys } => self.prefetch(window, until, last_keys)?,
                Action::Collect { window, .. } => self.collect(window).await?,
                Action::Screen { window, fetched, until } => self.screen(window, &fetched, until).await?,
                Action::Vote { window, fetched, good } => self.vote(window, &fetched, &good).await?,
                Action::Custody { window, fetched, good } => {
                    self.keep_for_others(window, &fetched, good.as_deref()).await?
                }
                Action::Measure { window, fetched, until } => self.measure(window, &fetched, until).await?,
                Action::Decide { window } => self.decide(window).await?,
                Action::CloseLog { window, fetched, measured } => {
                    self.close_log(window, &fetched, &measured)?
                }
                Action::Apply { fetched, decision, until, .. } => {
                    self.apply(fetched.as_deref(), decision, until).await?
                }
                Action::Publish { window, .. } => self.publish(window).await?,
                Action::PublishLogs { windows } => self.publish_logs(windows).await?,
                Action::Checkpoint { window } => self.checkpoint(window).await?,
                Action::SetWeights { window } => self.set_weights(window).await?,
                Action::Resync => self.resync().await?,
                Action::Finish => return self.finish().await,
            };
        }
    }

    /// Waits for the work in the background.
    async fn finish(&mut self) -> Result<(), ValidatorError> {
        let Self { node, tasks, checkpoints, .. } = self;
        node.network.unless_stopped(tasks.finish()).await?;
        Ok(node.network.unless_stopped(checkpoints.finish()).await?)
    }

    async fn wait(&self, height: Height) -> Result<Event, ValidatorError> {
        self.node.network.wait_for(height).await?;
        Ok(Event::Height)
    }

    async fn decide(&mut self, window: Window) -> Result<Event, ValidatorError> {
        let decision = match self.node.decide(window).await {
            Err(error) if error.is_lost() => return Ok(Event::Lost),
            decision => decision?,
        };
        let is_diverged = matches!(decision.standing(self.node.shared.state()), Agreement::Diverged { .. });
        let decision = Carried::from(decision);
        if is_diverged {
            // The node reports it, and changes nothing.
            let until = self.run.clock.objects_wait(&self.run.clock.heights(window)?);
            return self.apply(None, decision, until).await;
        }
        Ok(Event::Decided(decision))
    }

    /// Makes the outer step. Objects of the decision that this validator has are not downloaded again. If its
    /// own downloads failed it, it excuses all miners in the next window.
    async fn apply(
        &mut self,
        fetched: Option<&FetchedWindow>,
        decision: Carried<Decision>,
        until: Height,
    ) -> Result<Event, ValidatorError> {
        let window = decision.window;
        if let Some(fetched) = fetched {
            self.keep_accepted(fetched, &decision).await?;
            self.node.shared.hold_accepted(&decision, &fetched.submissions);
            let applied = decision.applied().iter().map(|accepted| accepted.id).collect();
            self.past.add(window, fetched.submissions.clone(), applied);
        }
        match self.node.apply(&decision, until).await {
            Ok(applied) if applied.needed_custodians => {
                tracing::warn!(target: WINDOW, %window, "an accepted object came from other validators: all miners are excused in the next window");
                self.logs.excuse(Window(window.0.saturating_add(1)))?;
                Ok(Event::Applied(decision))
            }
            Ok(_) => Ok(Event::Applied(decision)),
            Err(error) if error.is_lost() => Ok(Event::Lost),
            Err(error) => Err(error.into()),
        }
    }

    async fn resync(&mut self) -> Result<Event, ValidatorError> {
        self.node.resync().await?;
        Ok(Event::State { window: self.node.shared.window() })
    }
}
