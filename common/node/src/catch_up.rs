//! Getting the shared state: from the journal, from a checkpoint, from the run's beginning; and up to the present.

use crate::{Kept, Node, NodeError, NodeEvent, Source, node::Lost};
use base::{
    NeuronId, Window,
    digest::{RunSeed, State},
};
use exchange::{BlockState, FetchError};
use futures::{StreamExt as _, stream};
use protocol::{checkpoint::Pointer, clock::Heights, progress::Progress};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use telemetry::target::NODE;

/// Validators that are asked for their pointers at once.
const AT_ONCE: usize = 8;

/// A checkpoint that somebody offers.
#[derive(Clone, Debug)]
struct Offer {
    pointer: Pointer,
    owner: NeuronId,
    stake: u16,
    standing: Named,
}

/// What the votes on a window say of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// They name it.
    This,
    /// There are no votes on it yet, or none any more.
    Unknown,
    /// They name another.
    Other,
}

impl Node {
    /// Gets the shared state and catches up with the present. What the journal has is taken if no vote contradicts it,
    /// else the newest checkpoint that votes name, else the run's initial parameters.
    ///
    /// # Errors
    /// The node is being stopped, the initial parameters are not the run's, or the disk is full.
    pub async fn start(&mut self) -> Result<Source, NodeError> {
        let source = match self.take_from_journal().await? {
            true => Source::Journal,
            false => self.take_from_elsewhere(None).await?,
        };
        self.announce(source);
        match self.catch_up().await {
            Err(error) if error.is_lost() => self.resync().await,
            caught_up => caught_up.map(|_| source),
        }
    }

    /// Drops the shared state, takes it from elsewhere, and catches up; again and again, until that succeeds.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn resync(&mut self) -> Result<Source, NodeError> {
        loop {
            self.metrics.resyncs.increment();
            match self.resync_once().await {
                Err(error) if error.is_lost() => {
                    tracing::warn!(target: NODE, %error, "still without the shared state; trying again with the next block");
                    self.wait_for(self.height().next()).await?;
                }
                result => return result,
            }
        }
    }

    async fn resync_once(&mut self) -> Result<Source, NodeError> {
        let source = match self.lost.take() {
            // What is here is right: only something later is better.
            Some(Lost::Stuck) => self.take_from_elsewhere(Some(self.window())).await?,
            Some(Lost::Diverged) | None => {
                self.journal.clear()?;
                self.take_from_elsewhere(None).await?
            }
        };
        self.announce(source);
        self.events.emit(NodeEvent::Resynced { window: self.window(), source });
        self.catch_up().await?;
        Ok(source)
    }

    /// Applies all windows that are decided. How many there were.
    ///
    /// # Errors
    /// As [`Self::decide`] and [`Self::apply`].
    pub async fn catch_up(&mut self) -> Result<u64, NodeError> {
        let mut windows = 0;
        while self.run.clock.last_decided(self.height()).is_some_and(|decided| decided >= self.window()) {
            self.component.not_ready(format!("catching up, at window {}", self.window()));
            let decision = self.decide(self.window()).await?;
            self.apply(&decision).await?;
            windows += 1;
        }
        self.component.ready();
        Ok(windows)
    }

    fn announce(&self, source: Source) {
        let (window, root, state) = (self.window(), self.progress.root, self.state());
        tracing::info!(target: NODE, %window, %state, ?source, "the shared state is known");
        self.events.emit(NodeEvent::State { window, root, state, source });
    }

    /// Takes what the journal has: the newest state whose parameters are whole and that no vote contradicts.
    async fn take_from_journal(&mut self) -> Result<bool, NodeError> {
        for kept in self.journal.states(&self.run.hash)? {
            let progress = kept.progress.clone();
            let (window, state) = (progress.window(), progress.state());
            if self.named(&progress).await? == Named::Other {
                tracing::warn!(target: NODE, %window, %state, "the votes name another state than the journal's");
                self.rejected.insert(state);
            } else if self.read(kept).await? {
                self.adopt(progress);
                return Ok(true);
            } else {
                tracing::warn!(target: NODE, %window, "the journal's parameters are damaged");
            }
        }
        Ok(false)
    }

    /// Reads a kept state's parameters into the model; whether they are whole.
    async fn read(&self, kept: Kept) -> Result<bool, NodeError> {
        let (layout, threads) = (self.run.flat.clone(), self.threads());
        let read = move |model: &mut engine::Model| {
            let mut values = vec![0.0; layout.len()];
            let is_whole = kept.read(&mut values, |values| layout.state_root(values, threads));
            if let Ok(true) = is_whole {
                model.set_parameters(&values)?;
            }
            Ok(is_whole)
        };
        Ok(self.model.run(read).await??)
    }

    /// What the votes say of a progress, by the rules of acceptance.
    async fn named(&self, progress: &Progress) -> Result<Named, NodeError> {
        let window = progress.window();
        let Ok(heights) = self.run.clock.heights(window) else { return Ok(Named::Unknown) };
        if self.height() < heights.votes_close {
            return Ok(Named::Unknown);
        }
        let decide = async || self.chain_reader.decide(&self.run.spec, &progress.history, window).await;
        match self.ask(decide).await {
            Ok(decision) => Ok(compare(decision.state, progress.state())),
            Err(NodeError::Chain(error)) if error.is_pruned() => Ok(Named::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Takes a checkpoint, or else the initial parameters. `after`: only a checkpoint of a later window is better than
    /// what is here.
    async fn take_from_elsewhere(&mut self, after: Option<Window>) -> Result<Source, NodeError> {
        self.component.not_ready("the shared state is not known");
        let newest = self.height();
        let state = self.ask(async || self.chain_reader.at(newest).await).await?;
        for offer in self.offers(&state, after).await? {
            if self.take(&state, &offer).await? {
                return Ok(Source::Checkpoint);
            }
        }
        // What is here may have been overwritten by a checkpoint that turned out to be wrong.
        match after.is_some() && self.take_from_journal().await? {
            true => Ok(Source::Journal),
            false => self.begin_anew().await,
        }
    }

    /// The checkpoints that validators offer, the best first: those that votes name, then the newest, then by stake.
    async fn offers(&self, state: &BlockState, after: Option<Window>) -> Result<Vec<Offer>, NodeError> {
        let asked = stream::iter(state.permitted()).map(|(owner, stake)| async move {
            let pointer = self.fetcher.checkpoint_pointer(state, &owner, &self.run.hash);
            (owner, stake, Box::pin(pointer).await)
        });
        let answers: Vec<_> = self.unless_stopped(asked.buffer_unordered(AT_ONCE).collect()).await?;
        let mut offers = Vec::new();
        let mut standings = BTreeMap::new();
        for (owner, stake, answer) in answers {
            let pointer = match answer {
                Ok(pointer) => pointer,
                Err(error) => {
                    tracing::debug!(target: NODE, %error, "no checkpoint");
                    continue;
                }
            };
            if !self.is_of_use(&pointer, after) {
                continue;
            }
            let known = (pointer.window, pointer.state);
            let standing = match standings.get(&known) {
                Some(standing) => *standing,
                None => self.majority(&pointer).await?,
            };
            standings.insert(known, standing);
            offers.push(Offer { pointer, owner, stake, standing });
        }
        let best = |offer: &Offer| {
            let Offer { pointer, owner, stake, standing } = offer;
            (*standing, std::cmp::Reverse((pointer.window, *stake)), *owner)
        };
        offers.sort_unstable_by_key(best);
        offers.retain(|offer| offer.standing != Named::Other);
        Ok(offers)
    }

    /// Whether a checkpoint could be true, and is late enough.
    fn is_of_use(&self, pointer: &Pointer, after: Option<Window>) -> bool {
        let decided = self.run.clock.last_decided(self.height());
        let latest = decided.map_or(Window(0), |decided| Window(decided.0 + 1));
        let is_later = after.is_none_or(|after| pointer.window > after);
        let is_trusted =
            !self.rejected.contains(&pointer.state) && !self.distrusted.contains(&pointer.manifest);
        pointer.window <= latest && is_later && is_trusted
    }

    /// What the votes on a checkpoint's window say of it, before it is downloaded: who voted in the windows before is
    /// not known yet, so the quorum is not counted.
    async fn majority(&self, pointer: &Pointer) -> Result<Named, NodeError> {
        let Ok(heights) = self.run.clock.heights(pointer.window) else { return Ok(Named::Unknown) };
        if self.height() < heights.votes_close {
            return Ok(Named::Unknown);
        }
        match self.ask(async || self.chain_reader.at(heights.votes_close).await).await {
            Ok(votes) => Ok(compare(self.most_named(&votes, &heights), pointer.state)),
            Err(NodeError::Chain(error)) if error.is_pruned() => Ok(Named::Unknown),
            Err(error) => Err(error),
        }
    }

    /// The state that more than half of the voting stake names.
    fn most_named(&self, votes: &BlockState, heights: &Heights) -> Option<State> {
        let mut behind = BTreeMap::<State, u64>::new();
        for (_, stake, vote) in votes.snapshot.votes(self.run.id, heights) {
            *behind.entry(vote.state).or_default() += stake;
        }
        let voting: u64 = behind.values().sum();
        behind.into_iter().find(|(_, stake)| 2 * stake > voting).map(|(state, _)| state)
    }

    /// Downloads and loads a checkpoint; `false` if it is not to be had, or not what it should be.
    async fn take(&mut self, state: &BlockState, offer: &Offer) -> Result<bool, NodeError> {
        let Offer { pointer, owner, .. } = offer;
        tracing::info!(target: NODE, window = %pointer.window, state = %pointer.state, from = %owner, "fetching a checkpoint");
        let folder = self.incoming()?;
        let fetched = self.fetcher.checkpoint(state, owner, pointer, &self.run.flat, &folder);
        let progress = match self.unless_stopped(Box::pin(fetched)).await? {
            Ok((_, progress)) => progress,
            Err(FetchError::Local { path, source }) => return Err(crate::files::at(&path)(source).into()),
            Err(error) => {
                tracing::warn!(target: NODE, %error, "the checkpoint is not to be had");
                return Ok(false);
            }
        };
        let is_good = self.named(&progress).await? != Named::Other && self.load(&folder, &progress).await?;
        discard(&folder);
        if is_good {
            self.taken = Some(pointer.manifest);
            self.keep(progress).await?;
        } else {
            tracing::warn!(target: NODE, window = %pointer.window, from = %owner, "the checkpoint is not what it says");
            self.distrusted.insert(pointer.manifest);
        }
        Ok(is_good)
    }

    /// Loads a checkpoint's parameters; whether they have their root.
    async fn load(&self, folder: &Path, progress: &Progress) -> Result<bool, NodeError> {
        let (folder, expected) = (folder.to_owned(), progress.root);
        let load = self.model.run(move |model| {
            model.load(&folder)?;
            Ok(model.state_root()? == expected)
        });
        match load.await {
            Err(engine::EngineError::Checkpoint(error)) => {
                tracing::warn!(target: NODE, %error, "the checkpoint cannot be loaded");
                Ok(false)
            }
            loaded => Ok(loaded?),
        }
    }

    /// A folder for a checkpoint, which is not there.
    fn incoming(&self) -> Result<PathBuf, NodeError> {
        let folder = self.folder().join("checkpoints");
        fs::create_dir_all(&folder).map_err(crate::files::at(&folder))?;
        let folder = folder.join("incoming");
        discard(&folder); // Left by a process that was killed.
        Ok(folder)
    }

    async fn begin_anew(&mut self) -> Result<Source, NodeError> {
        let initial = self.run.spec.initial;
        let RunSeed(seed) = initial.seed;
        let root = self.model.run(move |model| {
            model.initialize(&seed)?;
            model.state_root()
        });
        let found = root.await?;
        if found != initial.root {
            return Err(NodeError::Initial { expected: initial.root, found });
        }
        self.keep(Progress::initial(&self.run.spec)).await?;
        Ok(Source::Initial)
    }

    fn threads(&self) -> usize {
        self.config.node.compute.threads as usize
    }
}

fn compare(named: Option<State>, ours: State) -> Named {
    match named {
        None => Named::Unknown,
        Some(named) if named == ours => Named::This,
        Some(_) => Named::Other,
    }
}

/// Removes a folder; what stays is in nobody's way.
fn discard(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}
