//! Gets the shared state from the journal, from a checkpoint or from the run's beginning, and catches up
//! with the chain.

use crate::{Node, NodeError, NodeEvent, Offer, Source, shared_state::Lost};
use base::{Window, digest::State};
use exchange::BlockState;
use protocol::{acceptance::Agreement, checkpoint::Pointer};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};
use telemetry::target::NODE;

/// The result of a comparison of a state with the one that a quorum named in the votes on its window. The
/// best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// A quorum named the state.
    This,
    /// No quorum voted on the window: not yet, not at all, or the chain's nodes have forgotten the votes.
    /// Votes without a quorum say nothing, or a minority could name what it likes while others are silent.
    Unknown,
    /// A quorum named another state.
    Other,
}

impl Node {
    /// Gets the shared state and catches up with the chain. Takes the journal's state if no quorum
    /// contradicts it, else the newest checkpoint that a quorum names, else the run's initial parameters.
    ///
    /// # Errors
    /// The node is being stopped, the initial parameters are not the run's, or the disk is full.
    pub async fn start(&mut self) -> Result<Source, NodeError> {
        // Boxed, since the futures are nested deeply.
        let source = Box::pin(self.take_first()).await?;
        self.report_state(source);
        match Box::pin(self.catch_up()).await {
            Err(error) if error.is_lost() => Box::pin(self.resync()).await,
            caught_up => caught_up.map(|_| source),
        }
    }

    /// Drops the shared state, gets it from elsewhere, and catches up. Repeats that until it succeeds.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn resync(&mut self) -> Result<Source, NodeError> {
        loop {
            self.observability.metrics.resyncs.increment();
            match Box::pin(self.resync_once()).await {
                Err(error) if error.is_lost() => {
                    tracing::warn!(target: NODE, error = %base::ErrorChain(&error), "the shared state is still unknown; trying again at the next block");
                    self.network.wait_for(self.network.height().next()).await?;
                }
                result => return result,
            }
        }
    }

    async fn resync_once(&mut self) -> Result<Source, NodeError> {
        let source = match self.shared.doubts.lost {
            // The node's state is right: only a later one is better.
            Some(Lost::Stuck) => self.take_from_elsewhere(Some(self.shared.window())).await?,
            Some(Lost::Diverged) => {
                self.shared.doubts.agreed = None;
                self.shared.set_aside(Window(0), self.shared.progress()).await?;
                self.take_from_elsewhere(None).await?
            }
            // The state is torn: the journal is right.
            None => self.take_first().await?,
        };
        self.shared.doubts.lost = None;
        self.report_state(source);
        let window = self.shared.window();
        self.observability.events.emit(NodeEvent::Resynced { window, source });
        self.catch_up().await?;
        Ok(source)
    }

    /// Applies all windows that are decided. Returns their number.
    ///
    /// # Errors
    /// As [`Self::decide`] and [`Self::apply`].
    pub async fn catch_up(&mut self) -> Result<u64, NodeError> {
        let mut windows = 0;
        while self.last_decided().is_some_and(|decided| decided >= self.shared.window()) {
            let window = self.shared.window();
            self.observability.state.not_ready(format!("catching up, at window {window}"));
            let decision = self.decide(window).await?;
            let clock = self.shared.run().clock;
            let until = clock.objects_wait(&clock.heights(window)?);
            self.apply(&decision, until).await?;
            windows += 1;
        }
        self.observability.state.ready();
        Ok(windows)
    }

    /// Loads the journal's state, or else one from elsewhere.
    async fn take_first(&mut self) -> Result<Source, NodeError> {
        if self.take_from_journal().await? {
            Ok(Source::Journal)
        } else {
            self.take_from_elsewhere(None).await
        }
    }

    fn last_decided(&self) -> Option<Window> {
        self.shared.run().clock.last_decided(self.network.height())
    }

    fn report_state(&self, source: Source) {
        let progress = self.shared.progress();
        let (window, root, state) = (progress.window(), progress.root, progress.state());
        self.observability.state.ready();
        tracing::info!(target: NODE, %window, %state, ?source, "the shared state is known");
        self.observability.events.emit(NodeEvent::State { window, root, state, source });
    }

    /// Loads the journal's newest state that has undamaged parameters and that no quorum contradicts. States
    /// that one contradicts are set aside.
    async fn take_from_journal(&mut self) -> Result<bool, NodeError> {
        for kept in self.shared.kept()? {
            let (window, state) = (kept.progress.window(), kept.progress.state());
            let named = self.named(window, state).await?;
            if named == Named::Other {
                tracing::warn!(target: NODE, %window, %state, "a quorum names another state than the journal's");
                self.shared.doubts.rejected.insert(state);
                self.shared.set_aside(window, Arc::new(kept.progress)).await?;
            } else if self.shared.load_kept(kept).await? {
                self.shared.doubts.agreed = (named == Named::This).then_some(window);
                return Ok(true);
            } else {
                tracing::warn!(target: NODE, %window, "the journal's parameters are damaged");
            }
        }
        Ok(false)
    }

    /// Compares a state at the start of a window with the one that a quorum named, by the rules of
    /// acceptance.
    async fn named(&self, window: Window, state: State) -> Result<Named, NodeError> {
        let run = self.shared.run();
        let heights = run.clock.heights(window);
        if !heights.is_ok_and(|heights| self.network.height() >= heights.votes_close) {
            return Ok(Named::Unknown);
        }
        let reader = &self.network.chain_reader;
        match self.network.ask(async || reader.decide(&run.spec, window).await).await {
            Ok(decision) => Ok(match decision.standing(state) {
                Agreement::Agrees => Named::This,
                Agreement::Unjudged => Named::Unknown,
                Agreement::Diverged { .. } => Named::Other,
            }),
            Err(error) if error.is_pruned() => Ok(Named::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Loads a checkpoint, or else the initial parameters. With `after`, only a checkpoint of a later
    /// window is better than the node's own state.
    async fn take_from_elsewhere(&mut self, after: Option<Window>) -> Result<Source, NodeError> {
        self.observability.state.not_ready("the shared state is not known");
        let state = self.network.newest().await?;
        for offer in self.best_offers(&state, after).await? {
            if self.take(&state, &offer).await? {
                return Ok(Source::Checkpoint);
            }
        }
        // A checkpoint that turned out to be wrong may have overwritten the node's parameters.
        if after.is_some() && self.take_from_journal().await? {
            return Ok(Source::Journal);
        }
        self.shared.initialize().await?;
        Ok(Source::Initial)
    }

    /// Returns the useful offers, the best first: those that a quorum names, then the newest, then by stake.
    async fn best_offers(&self, state: &BlockState, after: Option<Window>) -> Result<Vec<Offer>, NodeError> {
        let mut offers = self.shared.offers(&self.network, state).await?;
        offers.retain(|offer| self.is_useful(&offer.pointer, after));
        let mut known = BTreeMap::new();
        for Offer { pointer, .. } in &offers {
            let key = (pointer.window, pointer.state);
            if let std::collections::btree_map::Entry::Vacant(entry) = known.entry(key) {
                entry.insert(self.named(pointer.window, pointer.state).await?);
            }
        }
        let named = |offer: &Offer| known[&(offer.pointer.window, offer.pointer.state)];
        offers.retain(|offer| named(offer) != Named::Other);
        offers.sort_unstable_by_key(|offer| {
            (named(offer), Reverse((offer.pointer.window, offer.stake)), offer.owner)
        });
        Ok(offers)
    }

    /// Checks whether a checkpoint can be true, and is late enough.
    fn is_useful(&self, pointer: &Pointer, after: Option<Window>) -> bool {
        let latest = self.last_decided().map_or(Window(0), |decided| Window(decided.0 + 1));
        let is_later = after.is_none_or(|after| pointer.window > after);
        pointer.window <= latest && is_later && self.shared.doubts.trusts(pointer)
    }

    /// Downloads and loads a checkpoint. Returns whether that succeeded.
    async fn take(&mut self, state: &BlockState, offer: &Offer) -> Result<bool, NodeError> {
        let Some(checkpoint) = self.shared.download(&self.network, state, offer).await? else {
            return Ok(false);
        };
        let Offer { pointer, owner, .. } = offer;
        let (window, found) = (checkpoint.content().window(), checkpoint.content().state());
        let named = self.named(window, found).await?;
        let is_good = named != Named::Other && self.shared.load(checkpoint).await?;
        if is_good {
            self.shared.doubts.taken = Some(pointer.manifest);
            self.shared.doubts.agreed = (named == Named::This).then_some(window);
        } else {
            tracing::warn!(target: NODE, window = %pointer.window, from = %owner, "the checkpoint is not as its pointer says");
            self.shared.doubts.distrusted.insert(pointer.manifest);
        }
        Ok(is_good)
    }
}
