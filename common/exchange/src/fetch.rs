//! Objects out of strangers' buckets: checked to the last bit, or not at all.

mod checkpoint;
mod error;

pub use error::FetchError;

use crate::BlockState;
use bytes::Bytes;
use common::{
    BlockHash, Hotkey, NeuronId, Window,
    acceptance::Accepted,
    announcement::Claim,
    custody::custodians,
    digest::{ObjectHash, RunHash},
    history::WindowRecord,
    keys,
    score_log::{self, ScoreLog},
    submission::{Expected, Layout, Submission, TRAILER_BYTES},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use storage::{Bucket, Floor, Limits, Storage};

/// What reading an object may cost, whatever its owner does. How many bytes it may have follows from what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Time for an object, with all retries. A file of a checkpoint has the time on top that its bytes take at the floor.
    pub time: Duration,
    /// How slow its bucket may be.
    pub floor: Floor,
}

/// Takes objects out of buckets. Clones share connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    storage: Storage,
    limits: FetchLimits,
}

impl Fetcher {
    /// A fetcher that allows each object so much.
    #[must_use]
    pub fn new(storage: Storage, limits: FetchLimits) -> Self {
        Self { storage, limits }
    }

    /// What a miner claims, from its own bucket.
    ///
    /// # Errors
    /// It is not to be had, not the claimed one, or not a submission as expected: [`FetchError::fault`].
    pub async fn submission(
        &self,
        state: &BlockState,
        claim: &Claim,
        expected: &Expected,
        layout: &Arc<Layout>,
    ) -> Result<Submission<Bytes>, FetchError> {
        self.object_of(&expected.neuron, state, &claim.object, expected, layout).await
    }

    /// An accepted object: from its miner's bucket, else from its custodians', else from another's who voted for it.
    /// `state` is the one at `M_w`, `seed` the hash of block `D_w`.
    ///
    /// # Errors
    /// Nobody has it now: [`FetchError::Nowhere`].
    pub async fn accepted(
        &self,
        state: &BlockState,
        seed: BlockHash,
        accepted: &Accepted,
        expected: &Expected,
        layout: &Arc<Layout>,
        voters: &BTreeSet<NeuronId>,
    ) -> Result<Submission<Bytes>, FetchError> {
        let mut failures = Vec::new();
        for owner in sources(seed, accepted, voters) {
            match self.object_of(&owner, state, &accepted.object, expected, layout).await {
                Ok(submission) => return Ok(submission),
                Err(error) => {
                    tracing::debug!(target: "exchange", object = %accepted.object, %owner, %error, "not there");
                    failures.push((owner, error));
                }
            }
        }
        Err(FetchError::Nowhere { object: accepted.object, failures })
    }

    /// A validator's score log of a window: whole, unchanged and signed. What it states has yet to be replayed.
    ///
    /// # Errors
    /// It is not to be had, or is no such log.
    pub async fn score_log(
        &self,
        state: &BlockState,
        validator: &NeuronId,
        run: &RunHash,
        window: Window,
    ) -> Result<ScoreLog, FetchError> {
        let key = keys::score_log(run.id(), window);
        let bytes = self.small(state, validator, &key, keys::LARGEST_SCORE_LOG).await?;
        let expected = score_log::Expected { run: *run, validator: *validator, window };
        ScoreLog::open(&bytes, &expected)
            .map_err(|source| FetchError::ScoreLog { owner: validator.hotkey, source })
    }

    /// What a validator says was decided on a window. It is true if the history ends on the voted state with it.
    ///
    /// # Errors
    /// It is not to be had, or is no such record.
    pub async fn record(
        &self,
        state: &BlockState,
        validator: &NeuronId,
        run: &RunHash,
        window: Window,
    ) -> Result<WindowRecord, FetchError> {
        let bytes =
            self.small(state, validator, &keys::record(run.id(), window), keys::LARGEST_RECORD).await?;
        WindowRecord::open(&bytes, run, window)
            .map_err(|source| FetchError::Record { owner: validator.hotkey, source })
    }

    /// An object of a window, from anybody's bucket.
    async fn object_of(
        &self,
        owner: &NeuronId,
        state: &BlockState,
        object: &ObjectHash,
        expected: &Expected,
        layout: &Arc<Layout>,
    ) -> Result<Submission<Bytes>, FetchError> {
        let key = keys::submission(expected.run.id(), expected.window, object);
        let bytes = self.small(state, owner, &key, layout.most_bytes()).await?;
        let (owner, object, expected, layout) = (owner.hotkey, *object, *expected, Arc::clone(layout));
        let check = move || check(owner, bytes.into(), &object, &expected, layout);
        tokio::task::spawn_blocking(check).await.unwrap_or(Err(FetchError::Stopped { owner }))
    }

    /// An object that fits into memory.
    async fn small(
        &self,
        state: &BlockState,
        owner: &NeuronId,
        key: &str,
        bytes: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let bucket = self.bucket(state, owner)?;
        let got = bucket.get(key, &self.limits(bytes)).await;
        let (bytes, _) = got.map_err(|source| FetchError::Storage { owner: owner.hotkey, source })?;
        Ok(bytes)
    }

    fn bucket(&self, state: &BlockState, owner: &NeuronId) -> Result<Bucket, FetchError> {
        let announced = state.bucket(&owner.hotkey).ok_or(FetchError::NoBucket { owner: owner.hotkey })?;
        self.storage.bucket(&announced).map_err(|source| FetchError::Storage { owner: owner.hotkey, source })
    }

    fn limits(&self, bytes: u64) -> Limits {
        let FetchLimits { time, floor } = self.limits;
        Limits { bytes, time, floor }
    }
}

/// Who is asked for an accepted object, in turn.
fn sources(seed: BlockHash, accepted: &Accepted, voters: &BTreeSet<NeuronId>) -> Vec<NeuronId> {
    let mut sources = vec![accepted.id];
    sources.extend(custodians(seed, &accepted.object, voters));
    let others = voters.iter().filter(|voter| !sources.contains(voter)).copied().collect::<Vec<_>>();
    sources.extend(others);
    sources
}

/// Opens what was claimed. Bytes that are not the claimed ones say nothing about who claimed them but that.
fn check(
    owner: Hotkey,
    bytes: Bytes,
    object: &ObjectHash,
    expected: &Expected,
    layout: Arc<Layout>,
) -> Result<Submission<Bytes>, FetchError> {
    let signed = bytes.len().saturating_sub(TRAILER_BYTES);
    let found = ObjectHash::of(&[&bytes[..signed]]);
    if found != *object {
        return Err(FetchError::Mismatch { owner, claimed: *object, found });
    }
    Submission::open(bytes, layout, expected).map_err(|source| FetchError::Submission { owner, source })
}
