//! Objects out of strangers' buckets: checked to the last bit, or not at all.

mod checkpoint;
mod error;

pub use error::FetchError;

use crate::BlockState;
use base::{
    BlockHash, Hotkey, NeuronId, Window,
    digest::{ObjectHash, RunHash},
};
use bytes::Bytes;
use codec::submission::{Expected, Layout, Sealed, Submission, SubmissionError, TRAILER_BYTES};
use protocol::{
    acceptance::Accepted, announcement::Claim, bucket_layout, history::WindowRecord, replicas::custodians,
};
use scoring::score_log::{self, ScoreLog};
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

/// What a miner claims, as far as it can be opened yet.
#[derive(Debug)]
pub enum Claimed {
    /// It was never sealed.
    Open(Submission<Bytes>),
    /// It waits for its key: [`Fetcher::unseal`].
    Sealed(Sealed),
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

    /// What a miner claims, from its own bucket, opened with the key there if it is sealed.
    ///
    /// # Errors
    /// It or its key is not to be had, not the claimed one, or not a submission as expected: [`FetchError::fault`].
    pub async fn submission(
        &self,
        state: &BlockState,
        claim: &Claim,
        expected: &Expected,
        layout: &Arc<Layout>,
    ) -> Result<Submission<Bytes>, FetchError> {
        self.object_of(&expected.neuron, state, &claim.object, expected, layout).await
    }

    /// What a miner claims, from its own bucket, before its key is asked for.
    ///
    /// # Errors
    /// It is not to be had, not the claimed one, or not a submission as expected: [`FetchError::fault`].
    pub async fn claimed(
        &self,
        state: &BlockState,
        claim: &Claim,
        expected: &Expected,
        layout: &Arc<Layout>,
    ) -> Result<Claimed, FetchError> {
        self.claimed_of(&expected.neuron, state, &claim.object, expected, layout).await
    }

    /// The bytes of the key of a sealed submission, from its miner's bucket. They have yet to be checked.
    ///
    /// # Errors
    /// They are not to be had (yet).
    pub async fn key(&self, state: &BlockState, sealed: &Sealed) -> Result<Vec<u8>, FetchError> {
        self.key_of(&sealed.header().neuron, state, sealed).await
    }

    /// Opens a sealed submission.
    ///
    /// # Errors
    /// The key is not the one that it was sealed with, or what it opens to is no submission.
    pub async fn unseal(&self, sealed: Sealed, key: Vec<u8>) -> Result<Submission<Bytes>, FetchError> {
        let owner = sealed.header().neuron.hotkey;
        on_a_thread(owner, move || sealed.unseal(&key).map_err(not_as_expected(owner))).await
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
        let key = bucket_layout::score_log(run.id(), window);
        let bytes = self.small(state, validator, &key, bucket_layout::LARGEST_SCORE_LOG).await?;
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
        let bytes = self
            .small(state, validator, &bucket_layout::record(run.id(), window), bucket_layout::LARGEST_RECORD)
            .await?;
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
        match self.claimed_of(owner, state, object, expected, layout).await? {
            Claimed::Open(submission) => Ok(submission),
            Claimed::Sealed(sealed) => {
                let key = self.key_of(owner, state, &sealed).await?;
                self.unseal(sealed, key).await
            }
        }
    }

    async fn claimed_of(
        &self,
        owner: &NeuronId,
        state: &BlockState,
        object: &ObjectHash,
        expected: &Expected,
        layout: &Arc<Layout>,
    ) -> Result<Claimed, FetchError> {
        let key = bucket_layout::submission(expected.run.id(), expected.window, object);
        let bytes = self.small(state, owner, &key, layout.most_bytes()).await?;
        let (owner, object, expected, layout) = (owner.hotkey, *object, *expected, Arc::clone(layout));
        on_a_thread(owner, move || match found(&bytes) {
            found if found == object => open(bytes, layout, &expected).map_err(not_as_expected(owner)),
            found => Err(FetchError::Mismatch { owner, claimed: object, found }),
        })
        .await
    }

    async fn key_of(
        &self,
        owner: &NeuronId,
        state: &BlockState,
        sealed: &Sealed,
    ) -> Result<Vec<u8>, FetchError> {
        let header = sealed.header();
        let key = bucket_layout::seal_key(header.run.id(), header.window, &sealed.hash());
        self.small(state, owner, &key, bucket_layout::LARGEST_SEAL_KEY).await
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

/// The hash of what was found under the name of an object. Bytes that are not the claimed ones say nothing about who claimed
/// them but that.
fn found(bytes: &[u8]) -> ObjectHash {
    ObjectHash::of(&[&bytes[..bytes.len().saturating_sub(TRAILER_BYTES)]])
}

/// Opens what was claimed, as far as that goes without a key.
fn open(bytes: Vec<u8>, layout: Arc<Layout>, expected: &Expected) -> Result<Claimed, SubmissionError> {
    Ok(match expected.sealed {
        true => Claimed::Sealed(Sealed::open(bytes, layout, expected)?),
        false => Claimed::Open(Submission::open(bytes.into(), layout, expected)?),
    })
}

fn not_as_expected(owner: Hotkey) -> impl FnOnce(SubmissionError) -> FetchError {
    move |source| FetchError::Submission { owner, source }
}

/// Hashes, decrypts and checks on a thread on which that may take its time.
async fn on_a_thread<T: Send + 'static>(
    owner: Hotkey,
    check: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(check).await.unwrap_or(Err(FetchError::Stopped { owner }))
}
