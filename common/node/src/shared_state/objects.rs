//! The accepted objects of a window, and the records of decisions that the chain's nodes have forgotten.

use super::SharedState;
use crate::{Network, NodeError, network::Pause};
use base::{Height, NeuronId, Window};
use bytes::Bytes;
use codec::submission::Submission;
use exchange::{AcceptedObject, BlockState, FetchError};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use protocol::{
    acceptance::{Accepted, Decision, Electorate, NullWindow},
    clock::Heights,
    history::WindowRecord,
};
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use telemetry::target::WINDOW;
use tokio::sync::Semaphore;

/// The number of parallel downloads.
const AT_ONCE: u32 = 4;
/// The least number of attempts for an object, however late it is.
const LEAST_ATTEMPTS: u32 = 3;
/// The least number of blocks for one attempt, however late it is.
const LATE_BLOCKS: u64 = 30;

impl SharedState {
    /// Returns the decision on a window as the validators' records tell it: the applied objects, and the
    /// voters. It is true if a later vote names the state that it leads to.
    ///
    /// # Errors
    /// No validator has a record ([`NodeError::Forgotten`]), or the node is being stopped.
    pub async fn recorded(&self, network: &Network, window: Window) -> Result<Decision, NodeError> {
        let record = self.record(network, window).await?.ok_or(NodeError::Forgotten(window))?;
        let accepted = record.accepted.len();
        tracing::info!(target: WINDOW, %window, accepted, "decision taken from the validators' records");
        Ok(from_record(record))
    }

    /// Returns the record of a window that the validators with the most stake have.
    async fn record(&self, network: &Network, window: Window) -> Result<Option<WindowRecord>, NodeError> {
        let state = &*network.newest().await?;
        let asked = stream::iter(state.permitted()).map(|(validator, stake)| async move {
            let record = network.fetcher.record(state, &validator, &self.run.hash, window);
            (stake, Box::pin(record).await)
        });
        let answers: Vec<_> =
            network.unless_stopped(asked.buffer_unordered(AT_ONCE as usize).collect()).await?;
        let mut tally: Vec<(WindowRecord, u64)> = Vec::new();
        for (stake, answer) in answers {
            match answer {
                Ok(record) => count(&mut tally, record, stake.into()),
                Err(error) => {
                    tracing::debug!(target: WINDOW, %window, error = %base::ErrorChain(&error), "no record")
                }
            }
        }
        Ok(tally.into_iter().max_by_key(|(_, stake)| *stake).map(|(record, _)| record))
    }

    /// Downloads all accepted objects of a decision on the next window, in its order. Waits for an object
    /// until block `until` is final.
    ///
    /// After that block, objects are downloaded one by one. An attempt has 30 blocks then, and begins
    /// at the first byte: on a slow line, several at once would never be complete. One object fills the
    /// line, since its ranges come from several sources.
    ///
    /// # Errors
    /// An object cannot be downloaded ([`NodeError::Unavailable`]), or the node is being stopped.
    pub async fn collect(
        &self,
        network: &Network,
        decision: &Decision,
        until: Height,
    ) -> Result<Collected, NodeError> {
        let started = Instant::now();
        let heights = self.run.clock.heights(decision.window)?;
        let places = Semaphore::new(AT_ONCE as usize);
        let download = Download { shared: self, network, decision, heights, until, places };
        let found: Vec<AcceptedObject> = stream::iter(decision.applied())
            .map(|accepted| download.object(accepted))
            .buffered(AT_ONCE as usize)
            .try_collect()
            .await?;
        let needed_custodians = found.iter().any(|found| !found.by_owner);
        Ok(Collected {
            objects: found.into_iter().map(|found| found.submission).collect(),
            needed_custodians,
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}

/// The accepted objects of a window.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The objects, in the order of the decision.
    pub objects: Vec<Submission<Bytes>>,
    /// Whether a miner did not deliver its own object: it came from other voters.
    pub needed_custodians: bool,
    /// The duration of the downloads, in seconds.
    pub seconds: f64,
}

/// The download of a window's accepted objects.
struct Download<'a> {
    shared: &'a SharedState,
    network: &'a Network,
    decision: &'a Decision,
    heights: Heights,
    until: Height,
    /// The places of parallel downloads.
    places: Semaphore,
}

impl Download<'_> {
    /// Downloads one accepted object, with retries until the last block.
    async fn object(&self, accepted: &Accepted) -> Result<AcceptedObject, NodeError> {
        if let Some(held) = self.shared.held.get(&accepted.object) {
            return Ok(AcceptedObject { submission: held.clone(), by_owner: true });
        }
        let window = self.decision.window;
        let mut attempts = 0;
        let mut pause = Pause::default();
        loop {
            let error = match self.attempt(accepted, attempts > 0).await? {
                Ok(object) => return Ok(object),
                Err(error) => error,
            };
            attempts += 1;
            tracing::warn!(target: WINDOW, %window, object = %accepted.object, error = %base::ErrorChain(&error), "object not available yet");
            if attempts >= LEAST_ATTEMPTS && self.is_late() {
                let object = accepted.object;
                let source = Box::new(error);
                return Err(NodeError::Unavailable { window, object, source });
            }
            self.network.pause(&mut pause).await?;
        }
    }

    fn is_late(&self) -> bool {
        self.network.height() >= self.until
    }

    /// Makes one attempt to download an object, when there is a place for it.
    async fn attempt(
        &self,
        accepted: &Accepted,
        again: bool,
    ) -> Result<Result<AcceptedObject, FetchError>, NodeError> {
        let taken = if self.is_late() { AT_ONCE } else { 1 };
        let _place = self.places.acquire_many(taken).await.map_err(|_| NodeError::Shutdown)?;
        let (run, network) = (&self.shared.run, self.network);
        // Buckets move: the first attempt uses the addresses that the voters used, the next ones the newest.
        let votes = network.at_or_newest(self.heights.votes_close).await?;
        let state = if again { network.newest().await? } else { Arc::clone(&votes) };
        let expected = self.shared.expected(accepted.id);
        let voters = self.voters(accepted, &votes);
        let keepers = self.keepers(accepted, &voters).await?;
        let fetched = network.fetcher.accepted(&state, accepted, &expected, &run.layout, &keepers, &voters);
        let mut fetched = std::pin::pin!(network.unless_stopped(Box::pin(fetched)));
        let object = accepted.object;
        // The download itself has no time limit. One that began late has a chance, too.
        let longest = Height(network.height().0.saturating_add(LATE_BLOCKS)).max(self.until);
        let given_up = async {
            if network.wait_for(longest).await.is_err() {
                std::future::pending::<()>().await; // The chain is not followed: height gives no limit.
            }
        };
        tokio::select! {
            biased;
            fetched = &mut fetched => fetched,
            () = given_up => Ok(Err(FetchError::Nowhere { object, failures: Vec::new() })),
        }
    }

    /// Returns the keepers of an object, or none if the state that draws them is forgotten. They are among
    /// the voters.
    async fn keepers(
        &self,
        accepted: &Accepted,
        voters: &BTreeSet<NeuronId>,
    ) -> Result<Vec<NeuronId>, NodeError> {
        let Self { shared: SharedState { run, .. }, network, heights, .. } = self;
        match network.at(heights.claims_close).await {
            Ok(claims) => Ok(claims.keepers(run.id, &run.spec.acceptance, heights, &accepted.object, voters)),
            Err(error) if error.is_pruned() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the nodes that should have an object: its voters, or all voters of the window if the votes
    /// are forgotten. A decision that was taken from a record does not say which object a vote's bits
    /// name.
    fn voters(&self, accepted: &Accepted, votes: &BlockState) -> BTreeSet<NeuronId> {
        let Self { shared, decision, heights, .. } = self;
        if votes.height == heights.votes_close && !decision.candidates.is_empty() {
            votes.voters_for(shared.run.id, heights, decision, accepted)
        } else {
            decision.turnout.clone()
        }
    }
}

/// Adds stake to a record.
fn count(tally: &mut Vec<(WindowRecord, u64)>, record: WindowRecord, stake: u64) {
    match tally.iter_mut().find(|(known, _)| *known == record) {
        Some((_, sum)) => *sum += stake,
        None => tally.push((record, stake)),
    }
}

/// Creates a decision as far as a record tells it: the applied objects, and the voters.
fn from_record(record: WindowRecord) -> Decision {
    let accepted =
        if record.accepted.is_empty() { Err(NullWindow::NothingAccepted) } else { Ok(record.accepted) };
    Decision {
        window: record.window,
        accepted,
        state: None,
        candidates: Vec::new(),
        turnout: record.voters.into_iter().collect(),
        electorate: Electorate::default(),
    }
}
