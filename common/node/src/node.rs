//! The node: its four parts, and the steps of a window that miners and validators have in common.

use crate::{
    Collected, Identity, Network, NodeError, NodeEvent, Observability, SharedState, own_clock::OwnClock,
    prefetch::Line, shared_state::Lost,
};
use base::{
    Height, Window,
    digest::{State, StateRoot},
};
use engine::Model;
use protocol::{
    acceptance::{Agreement, Decision, NamedState},
    announcement::Possession,
    history::HistoryError,
    progress::Progress,
};
use std::{sync::Arc, time::Instant};
use telemetry::target::WINDOW;

/// The common part of a miner and a validator.
///
/// The future of each method may be dropped at any time. The shared state then is the one before the call
/// or the one after it, see [`SharedState`]. All methods end by themselves when the node is being
/// [stopped](Network::shutdown).
#[derive(Debug)]
pub struct Node {
    /// The node's keys, neuron, bucket and commitment.
    pub identity: Identity,
    /// Read access to the chain and to the buckets of other nodes.
    pub network: Network,
    /// The parameters, the progress and the journal.
    pub shared: SharedState,
    /// Events, metrics and health.
    pub observability: Observability,
    /// The rate of the own line, as far as it is known.
    pub(crate) line: Line,
    /// The download speed below which a peer holds up others, in bytes per second.
    pub(crate) floor: u64,
    /// The comparison of this machine's clock with others.
    pub(crate) own_clock: Arc<OwnClock>,
}

/// A completed outer step.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The applied window.
    pub window: Window,
    /// The hash of the new parameters.
    pub root: StateRoot,
    /// The state that votes on the next window name.
    pub state: State,
    /// Whether a miner did not deliver its own accepted object, so that it came from custodians.
    pub needed_custodians: bool,
}

impl Node {
    /// Returns the decision on the next window, after block `M_w` is final. It is the same for all nodes.
    ///
    /// If the chain's nodes have forgotten the window, the decision comes from the validators' records.
    /// They are true if a later vote names the state that they lead to. [`Self::apply`] finds that out.
    ///
    /// # Errors
    /// The node is being stopped, or neither chain nor validators have the decision any more
    /// ([`NodeError::is_lost`]).
    pub async fn decide(&mut self, window: Window) -> Result<Decision, NodeError> {
        let started = Instant::now();
        let run = self.shared.run();
        let network = &self.network;
        network.wait_for(run.clock.heights(window)?.votes_close).await?;
        let decide = async || network.chain_reader.decide(&run.spec, window).await;
        let decision = match network.ask(decide).await {
            Err(error) if error.is_pruned() => self.recorded(window).await?,
            decision => decision?,
        };
        self.report_decision(&decision, started.elapsed().as_secs_f64());
        Ok(decision)
    }

    async fn recorded(&mut self, window: Window) -> Result<Decision, NodeError> {
        let recorded = self.shared.recorded(&self.network, window).await;
        if let Err(NodeError::Forgotten(_)) = &recorded {
            self.observability
                .state
                .not_ready("neither chain nor validators have the windows that this node missed");
            self.shared.doubts.lost = Some(Lost::Stuck);
        }
        recorded
    }

    fn report_decision(&self, decision: &Decision, seconds_wait: f64) {
        let accepted = decision.applied().len();
        let electorate = &decision.electorate;
        let (members, weight) = (electorate.members().len(), electorate.as_stake(electorate.weight()));
        let turnout = electorate.as_stake(decision.turnout_weight());
        let null = decision.accepted.as_ref().err().map(ToString::to_string);
        tracing::info!(target: WINDOW, window = %decision.window, candidates = decision.candidates.len(), accepted, members, weight, turnout, null, "decided");
        self.observability.events.emit(NodeEvent::Decided {
            window: decision.window,
            candidates: decision.candidates.iter().map(|candidate| candidate.id.hotkey).collect(),
            accepted: decision.applied().iter().map(|accepted| accepted.id.hotkey).collect(),
            null,
            state: decision.state,
            seconds_wait,
        });
    }

    /// Applies a decided window: [`Self::collect`], then [`Self::step`].
    ///
    /// # Errors
    /// The state is not the majority's, or an accepted object cannot be downloaded
    /// ([`NodeError::is_lost`]: nothing was changed); the disk is full; the node is being stopped.
    pub async fn apply(&mut self, decision: &Decision, until: Height) -> Result<Applied, NodeError> {
        let collected = self.collect(decision, until).await?;
        self.step(decision, collected).await
    }

    /// Compares the node's state with the majority's, and downloads the accepted objects of a window. Waits
    /// for an object until block `until` is final. The model may be in use meanwhile.
    ///
    /// # Errors
    /// The state is not the majority's, or an accepted object cannot be downloaded
    /// ([`NodeError::is_lost`]); the node is being stopped.
    pub async fn collect(&mut self, decision: &Decision, until: Height) -> Result<Collected, NodeError> {
        let started = Instant::now();
        let next = self.shared.window();
        let found = decision.window;
        if next != found {
            return Err(HistoryError { next, found }.into());
        }
        self.check_agreement(decision).await?;
        self.identity.refresh(&self.network).await?;
        let collected = self.download(decision, until).await?;
        let seconds = started.elapsed().as_secs_f64();
        self.observability.metrics.fetch_seconds.observe(seconds);
        Ok(Collected { seconds, ..collected })
    }

    /// Makes a window's outer step with its accepted objects, and writes the new state to the journal.
    ///
    /// # Errors
    /// The decision is not on the next window, the state is torn, the disk is full, or the node is being
    /// stopped.
    pub async fn step(&mut self, decision: &Decision, collected: Collected) -> Result<Applied, NodeError> {
        let started = Instant::now();
        let Collected { objects, needed_custodians, seconds } = collected;
        self.shared.apply(decision, Arc::new(objects)).await?;
        Ok(self.report_step(decision, needed_custodians, seconds + started.elapsed().as_secs_f64()))
    }

    fn report_step(&self, decision: &Decision, needed_custodians: bool, seconds: f64) -> Applied {
        let progress = self.shared.progress();
        let window = decision.window;
        let (root, state) = (progress.root, progress.state());
        self.observability.state.ready();
        match decision.accepted {
            Ok(_) => self.observability.metrics.applied.increment(),
            Err(_) => self.observability.metrics.null_windows.increment(),
        }
        tracing::info!(target: WINDOW, %window, %state, "applied");
        self.observability.events.emit(NodeEvent::Applied { window, root, state, seconds });
        Applied { window, root, state, needed_custodians }
    }

    /// Compares the node's state with the majority's.
    async fn check_agreement(&mut self, decision: &Decision) -> Result<(), NodeError> {
        let window = decision.window;
        let ours = self.shared.state();
        match decision.standing(ours) {
            Agreement::Agrees => {
                self.shared.doubts.agreed = Some(window);
                Ok(())
            }
            Agreement::Unjudged => self.report_contradiction(window, ours).await,
            Agreement::Diverged { majority } => {
                self.report_divergence(window, ours, majority).await?;
                self.shared.doubts.diverged(ours);
                Err(NodeError::Diverged { window, ours, majority })
            }
        }
    }

    async fn report_divergence(&self, window: Window, ours: State, majority: State) -> Result<(), NodeError> {
        let agreed = self.shared.doubts.agreed;
        let named = self.named_states(window).await?;
        tracing::error!(target: WINDOW, %window, %ours, %majority, ?agreed, ?named, "this node's state is not the stake majority's");
        self.observability.events.emit(NodeEvent::Diverged { window, ours, majority, agreed, named });
        self.observability.metrics.diverged.increment();
        self.observability.state.not_ready("the state is not the stake majority's");
        Ok(())
    }

    /// Reports a null window whose votes name another state. Too few voted to judge the node's state, so
    /// it stays: the last quorum counts.
    async fn report_contradiction(&self, window: Window, ours: State) -> Result<(), NodeError> {
        let named = self.named_states(window).await?;
        if named.first().is_some_and(|most| most.state != ours) {
            let agreed = self.shared.doubts.agreed;
            tracing::warn!(target: WINDOW, %window, %ours, ?agreed, ?named, "the votes of a null window name another state than this node's");
            self.observability.events.emit(NodeEvent::Contradicted { window, ours, agreed, named });
        }
        Ok(())
    }

    /// Returns the states that the votes on a window name, or none if the votes are forgotten.
    async fn named_states(&self, window: Window) -> Result<Vec<NamedState>, NodeError> {
        let run = self.shared.run();
        let heights = run.clock.heights(window)?;
        match self.network.at(heights.votes_close).await {
            Ok(votes) => Ok(votes.named_states(run.id, &heights)),
            Err(error) if error.is_pruned() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn download(&mut self, decision: &Decision, until: Height) -> Result<Collected, NodeError> {
        let collected = self.shared.collect(&self.network, decision, until).await;
        if let Err(NodeError::Unavailable { object, source, .. }) = &collected {
            tracing::error!(target: WINDOW, window = %decision.window, %object, error = %base::ErrorChain(&source), "the window cannot be applied");
            self.observability.state.not_ready("cannot download an accepted object");
            self.shared.doubts.lost = Some(Lost::Stuck);
        }
        collected
    }

    /// Computes the possession of the shared parameters, for this node's vote on the next window.
    ///
    /// # Errors
    /// The run has no such window, the state is torn, or the node is being stopped.
    pub async fn possession(&self) -> Result<Possession, NodeError> {
        let heights = self.shared.run().clock.heights(self.shared.window())?;
        let seed = self.network.hash(heights.possession_seed()).await?;
        let holder = self.identity.neuron.hotkey;
        let compute = move |model: &mut Model, _: &Progress| {
            Ok(Possession::of(holder, seed, model.layout(), |places| model.values(places))?)
        };
        self.network.unless_stopped(self.shared.read(compute)).await?
    }
}
