//! A window's decision, and its outer step: all of it, or nothing.

use crate::{
    Node, NodeError, NodeEvent,
    node::{Lost, Pause},
};
use base::{
    Height, NeuronId, Window,
    digest::{State, StateRoot},
};
use bytes::Bytes;
use codec::submission::Submission;
use exchange::{BlockState, FetchError};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use protocol::{
    acceptance::{Accepted, Agreement, Decision, NullWindow},
    clock::Heights,
    history::{HistoryError, WindowRecord},
    progress::Progress,
};
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use telemetry::target::WINDOW;

/// Objects that are fetched at once.
const AT_ONCE: usize = 4;
/// How often an object is asked for at least, however late it is.
const LEAST_ATTEMPTS: u32 = 3;

/// An outer step that was made.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The window that was applied.
    pub window: Window,
    /// The hash of the parameters now.
    pub root: StateRoot,
    /// What votes on the next window name.
    pub state: State,
    /// What was applied, in the order of hotkeys; nothing in a null window.
    pub objects: Arc<Vec<Submission<Bytes>>>,
}

impl Node {
    /// What is applied of a window, once block `M_w` is final: the same for all nodes. The window is the next one.
    ///
    /// Where the chain's nodes have forgotten it, the validators' records are taken; they are true if a later vote names
    /// the state that they lead to, which [`Self::apply`] finds out.
    ///
    /// # Errors
    /// The node is being stopped, or nobody knows any more ([`NodeError::is_lost`]).
    pub async fn decide(&mut self, window: Window) -> Result<Decision, NodeError> {
        let started = Instant::now();
        let heights = self.run.clock.heights(window)?;
        self.wait_for(heights.votes_close).await?;
        let decide = async || self.chain_reader.decide(&self.run.spec, &self.progress.history, window).await;
        let decision = match self.ask(decide).await {
            Err(NodeError::Chain(error)) if error.is_pruned() => self.recorded(window).await?,
            decision => decision?,
        };
        self.tell(&decision, started.elapsed().as_secs_f64());
        Ok(decision)
    }

    fn tell(&self, decision: &Decision, seconds_wait: f64) {
        let accepted = decision.applied().len();
        tracing::info!(target: WINDOW, window = %decision.window, candidates = decision.candidates.len(), accepted, "decided");
        self.events.emit(NodeEvent::Decided {
            window: decision.window,
            candidates: decision.candidates.iter().map(|candidate| candidate.id.hotkey).collect(),
            accepted: decision.applied().iter().map(|accepted| accepted.id.hotkey).collect(),
            null: decision.accepted.as_ref().err().map(ToString::to_string),
            state: decision.state,
            seconds_wait,
        });
    }

    /// Makes a window's outer step and writes the new state to the journal.
    ///
    /// # Errors
    /// The state is not the majority's, or an accepted object is not to be had ([`NodeError::is_lost`]: nothing was
    /// changed); the disk is full; the node is being stopped.
    pub async fn apply(&mut self, decision: &Decision) -> Result<Applied, NodeError> {
        let started = Instant::now();
        let (next, found) = (self.window(), decision.window);
        if next != found {
            return Err(HistoryError { next, found }.into());
        }
        self.check_standing(decision)?;
        let heights = self.run.clock.heights(decision.window)?;
        self.refresh().await?;
        let objects = Arc::new(self.collect(decision, &heights).await?);
        self.metrics.fetch_seconds.observe(started.elapsed().as_secs_f64());
        let progress = self.step(decision, Arc::clone(&objects)).await?;
        self.keep(progress).await?;
        self.held.retain(|_, object| object.header().window > decision.window);
        self.count(decision);
        let applied =
            Applied { window: decision.window, root: self.progress.root, state: self.state(), objects };
        tracing::info!(target: WINDOW, window = %applied.window, state = %applied.state, "applied");
        let (window, root, state) = (applied.window, applied.root, applied.state);
        self.events.emit(NodeEvent::Applied {
            window,
            root,
            state,
            seconds: started.elapsed().as_secs_f64(),
        });
        Ok(applied)
    }

    fn count(&self, decision: &Decision) {
        match decision.accepted {
            Ok(_) => self.metrics.applied.increment(),
            Err(_) => self.metrics.null_windows.increment(),
        }
    }

    /// Compares the node's state with the majority's.
    fn check_standing(&mut self, decision: &Decision) -> Result<(), NodeError> {
        let Agreement::Diverged { majority } = decision.standing(self.state()) else { return Ok(()) };
        let (window, ours) = (decision.window, self.state());
        tracing::error!(target: WINDOW, %window, %ours, %majority, "this node's state is not the stake majority's");
        self.events.emit(NodeEvent::Diverged { window, ours, majority });
        self.metrics.diverged.increment();
        self.component.not_ready("the state is not the stake majority's");
        self.rejected.insert(ours);
        self.distrusted.extend(self.taken.take());
        self.lost = Some(Lost::Diverged);
        Err(NodeError::Diverged { window, ours, majority })
    }

    /// All that is applied, from where it is.
    async fn collect(
        &mut self,
        decision: &Decision,
        heights: &Heights,
    ) -> Result<Vec<Submission<Bytes>>, NodeError> {
        let collected: Result<Vec<_>, NodeError> = stream::iter(decision.applied())
            .map(|accepted| self.object(decision, accepted, heights))
            .buffered(AT_ONCE)
            .try_collect()
            .await;
        if let Err(NodeError::Unavailable { object, source, .. }) = &collected {
            tracing::error!(target: WINDOW, window = %decision.window, %object, error = %source, "the window cannot be applied");
            self.component.not_ready("an accepted object is not to be had");
            self.lost = Some(Lost::Stuck);
        }
        collected
    }

    /// One accepted object, asked for until the next window's claims are closed.
    async fn object(
        &self,
        decision: &Decision,
        accepted: &Accepted,
        heights: &Heights,
    ) -> Result<Submission<Bytes>, NodeError> {
        if let Some(held) = self.held.get(&accepted.object) {
            return Ok(held.clone());
        }
        let window = decision.window;
        let (mut attempts, mut pause) = (0, Pause::default());
        loop {
            let error = match self.attempt(decision, accepted, heights, attempts > 0).await? {
                Ok(object) => return Ok(object),
                Err(error) => error,
            };
            attempts += 1;
            tracing::warn!(target: WINDOW, %window, object = %accepted.object, %error, "not there yet");
            if attempts >= LEAST_ATTEMPTS && self.height() >= self.given_up(heights) {
                let (object, source) = (accepted.object, Box::new(error));
                return Err(NodeError::Unavailable { window, object, source });
            }
            self.pause(&mut pause).await?;
        }
    }

    /// The height from which on it is no use to wait for an object: a later checkpoint is better.
    fn given_up(&self, heights: &Heights) -> Height {
        let next = Window(heights.window.0 + 1);
        let blocks = u64::from(self.run.spec.window.blocks);
        let after_the_last = Height(heights.votes_close.0 + blocks);
        self.run.clock.heights(next).map_or(after_the_last, |next| next.claims_close)
    }

    async fn attempt(
        &self,
        decision: &Decision,
        accepted: &Accepted,
        heights: &Heights,
        again: bool,
    ) -> Result<Result<Submission<Bytes>, FetchError>, NodeError> {
        // Buckets move: who does not find it where the voters said looks where they say now.
        let at = if again { self.height() } else { heights.votes_close };
        let state = self.announced(at).await?;
        let seed = self.ask(async || self.chain_reader.hash(heights.claims_close).await).await?;
        let expected = self.run.expected(accepted.id, decision.window, self.state());
        let voters = self.voters(decision, accepted, heights, &state);
        let layout = &self.run.layout;
        let fetched = self.fetcher.accepted(&state, seed, accepted, &expected, layout, &voters);
        self.unless_stopped(Box::pin(fetched)).await
    }

    /// Who should have an object: who voted for it, or all who voted where that is forgotten. A decision that was taken from a
    /// record does not tell whom a vote's bits name.
    fn voters(
        &self,
        decision: &Decision,
        accepted: &Accepted,
        heights: &Heights,
        state: &BlockState,
    ) -> BTreeSet<NeuronId> {
        match state.height == heights.votes_close && !decision.candidates.is_empty() {
            true => state.voters_for(self.run.id, heights, decision, accepted),
            false => decision.turnout.clone(),
        }
    }

    /// The state after a block, or the newest one where that is forgotten.
    pub(crate) async fn announced(&self, height: Height) -> Result<Arc<BlockState>, NodeError> {
        match self.ask(async || self.chain_reader.at(height).await).await {
            Err(NodeError::Chain(error)) if error.is_pruned() => {
                let newest = self.height();
                self.ask(async || self.chain_reader.at(newest).await).await
            }
            state => state,
        }
    }

    /// The outer step itself. The node's progress stays as it was.
    async fn step(
        &self,
        decision: &Decision,
        objects: Arc<Vec<Submission<Bytes>>>,
    ) -> Result<Progress, NodeError> {
        let started = Instant::now();
        let mut progress = self.progress.clone();
        progress.history.push(decision)?;
        if objects.is_empty() {
            return Ok(progress);
        }
        let last = progress.medians.take();
        let step = self.model.run(move |model| model.apply_outer_step(&objects, last.as_ref()));
        let (medians, root) = step.await?;
        self.metrics.step_seconds.observe(started.elapsed().as_secs_f64());
        Ok(Progress { medians: Some(medians), root, ..progress })
    }

    /// Takes over a progress whose parameters the model has, and writes both to the journal.
    pub(crate) async fn keep(&mut self, progress: Progress) -> Result<(), NodeError> {
        let started = Instant::now();
        self.adopt(progress.clone());
        let journal = self.journal.writer();
        let keep = move |values: &[f32]| journal.keep(&progress, values);
        self.model.read_parameters(keep).await??;
        self.metrics.journal_seconds.observe(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Takes over a progress whose parameters the model and the journal have.
    #[allow(clippy::cast_precision_loss)] // A window is far below 2^53.
    pub(crate) fn adopt(&mut self, progress: Progress) {
        self.progress = progress;
        self.metrics.window.set(self.window().0 as f64);
        self.component.ready();
    }

    /// What a window's decision was, by the validators' records.
    async fn recorded(&mut self, window: Window) -> Result<Decision, NodeError> {
        let Some(record) = self.best_record(window).await? else {
            self.component.not_ready("nobody remembers the windows that this node missed");
            self.lost = Some(Lost::Stuck);
            return Err(NodeError::Forgotten(window));
        };
        let accepted = record.accepted.len();
        tracing::info!(target: WINDOW, %window, accepted, "the chain has forgotten the window: taken from records");
        Ok(from_record(record))
    }

    /// The record of a window that the validators with the most stake have.
    async fn best_record(&self, window: Window) -> Result<Option<WindowRecord>, NodeError> {
        let newest = self.height();
        let state = &*self.ask(async || self.chain_reader.at(newest).await).await?;
        let asked = stream::iter(state.permitted()).map(|(validator, stake)| async move {
            let record = self.fetcher.record(state, &validator, &self.run.hash, window);
            (stake, Box::pin(record).await)
        });
        let answers: Vec<_> = self.unless_stopped(asked.buffer_unordered(AT_ONCE).collect()).await?;
        let mut behind: Vec<(WindowRecord, u64)> = Vec::new();
        for (stake, answer) in answers {
            match answer {
                Ok(record) => note(&mut behind, record, stake.into()),
                Err(error) => tracing::debug!(target: WINDOW, %window, %error, "no record"),
            }
        }
        Ok(behind.into_iter().max_by_key(|(_, stake)| *stake).map(|(record, _)| record))
    }
}

fn note(behind: &mut Vec<(WindowRecord, u64)>, record: WindowRecord, stake: u64) {
    match behind.iter_mut().find(|(known, _)| *known == record) {
        Some((_, sum)) => *sum += stake,
        None => behind.push((record, stake)),
    }
}

/// A decision as far as a record tells it: what is applied, and who voted.
fn from_record(record: WindowRecord) -> Decision {
    let accepted = match record.accepted.is_empty() {
        true => Err(NullWindow::NobodyAccepted),
        false => Ok(record.accepted),
    };
    let turnout = record.voters.into_iter().collect();
    Decision { window: record.window, accepted, state: None, candidates: Vec::new(), turnout }
}
