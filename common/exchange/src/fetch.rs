//! Downloads objects from the buckets of other nodes, and returns only objects that are fully verified.

mod checkpoint;
mod error;

pub use error::FetchError;

use crate::BlockState;
use base::{
    Hotkey, NeuronId, Window,
    digest::{ObjectHash, RunHash},
};
use bytes::Bytes;
use codec::submission::{Expected, Sealed, Submission, SubmissionError, SubmissionLayout, TRAILER_BYTES};
use protocol::{acceptance::Accepted, announcement::Claim, bucket_layout, history::WindowRecord};
use scoring::score_log::{self, ScoreLog};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use storage::{Bucket, Floor, Limits, Storage};

/// The limits for the download of one object. The size limit follows from the kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Time for one object, with all retries. A file of a checkpoint has additional time: the time
    /// that its bytes take at the floor.
    pub time: Duration,
    /// The lowest allowed speed of the bucket.
    pub floor: Floor,
}

/// The object that a miner claims, opened as far as possible.
#[derive(Debug)]
pub enum Claimed {
    /// A submission that was never sealed.
    Open(Submission<Bytes>),
    /// A sealed submission that needs its key: [`Fetcher::unseal`].
    Sealed(Sealed),
}

/// Downloads objects from buckets. Clones share connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    storage: Storage,
    limits: FetchLimits,
}

impl Fetcher {
    /// Creates a fetcher that applies these limits to each object.
    #[must_use]
    pub fn new(storage: Storage, limits: FetchLimits) -> Self {
        Self { storage, limits }
    }

    /// Downloads the object that a miner claims from the miner's own bucket. A sealed object is
    /// opened with the key from the same bucket.
    ///
    /// # Errors
    /// The object or its key cannot be downloaded, has another hash than the claim, or is not a valid
    /// submission: see [`FetchError::fault`].
    pub async fn submission(
        &self,
        state: &BlockState,
        claim: &Claim,
        expected: &Expected,
        layout: &Arc<SubmissionLayout>,
    ) -> Result<Submission<Bytes>, FetchError> {
        self.object_of(&expected.neuron, state, &claim.object, expected, layout).await
    }

    /// Downloads the object that a miner claims from the miner's own bucket, without its key.
    ///
    /// # Errors
    /// The object cannot be downloaded, has another hash than the claim, or is not a valid
    /// submission: see [`FetchError::fault`].
    pub async fn claimed(
        &self,
        state: &BlockState,
        claim: &Claim,
        expected: &Expected,
        layout: &Arc<SubmissionLayout>,
    ) -> Result<Claimed, FetchError> {
        self.claimed_of(&expected.neuron, state, &claim.object, expected, layout).await
    }

    /// Downloads the key of a sealed submission from its miner's bucket. The bytes are not checked yet.
    ///
    /// # Errors
    /// The key cannot be downloaded. It may not be published yet.
    pub async fn key(&self, state: &BlockState, sealed: &Sealed) -> Result<Vec<u8>, FetchError> {
        self.key_of(&sealed.header().neuron, state, sealed).await
    }

    /// Opens a sealed submission.
    ///
    /// # Errors
    /// The submission was sealed with another key, or its contents are not a valid submission.
    pub async fn unseal(&self, sealed: Sealed, key: Vec<u8>) -> Result<Submission<Bytes>, FetchError> {
        let owner = sealed.header().neuron.hotkey;
        on_a_thread(owner, move || sealed.unseal(&key).map_err(not_as_expected(owner))).await
    }

    /// Downloads an accepted object: from its miner's bucket, else from its custodians', else from
    /// another voter's. `state` is the state at `M_w`. `custodians` are those that the state at `D_w`
    /// draws: [`BlockState::custodians`].
    ///
    /// # Errors
    /// No source has the object now: [`FetchError::Nowhere`].
    pub async fn accepted(
        &self,
        state: &BlockState,
        accepted: &Accepted,
        expected: &Expected,
        layout: &Arc<SubmissionLayout>,
        custodians: &[NeuronId],
        voters: &BTreeSet<NeuronId>,
    ) -> Result<Submission<Bytes>, FetchError> {
        let mut failures = Vec::new();
        for owner in sources(accepted, custodians, voters) {
            match self.object_of(&owner, state, &accepted.object, expected, layout).await {
                Ok(submission) => return Ok(submission),
                Err(error) => {
                    tracing::debug!(target: "exchange", object = %accepted.object, %owner, error = %base::ErrorChain(&error), "download failed");
                    failures.push((owner, error));
                }
            }
        }
        Err(FetchError::Nowhere { object: accepted.object, failures })
    }

    /// Downloads a validator's score log of a window: complete, unchanged and signed. Its statements
    /// are not replayed yet.
    ///
    /// # Errors
    /// The log cannot be downloaded, or is not valid.
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

    /// Downloads a validator's record of a window's decision. It is true if the history with it ends
    /// at the voted state.
    ///
    /// # Errors
    /// The record cannot be downloaded, or is not valid.
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

    /// Downloads an object of a window from the bucket of any node.
    async fn object_of(
        &self,
        owner: &NeuronId,
        state: &BlockState,
        object: &ObjectHash,
        expected: &Expected,
        layout: &Arc<SubmissionLayout>,
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
        layout: &Arc<SubmissionLayout>,
    ) -> Result<Claimed, FetchError> {
        let key = bucket_layout::submission(expected.run.id(), expected.window, object);
        let bytes = self.small(state, owner, &key, layout.most_bytes()).await?;
        let owner = owner.hotkey;
        let object = *object;
        let expected = *expected;
        let layout = Arc::clone(layout);
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

    /// Downloads an object that fits into memory.
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
        self.storage.bucket(announced).map_err(|source| FetchError::Storage { owner: owner.hotkey, source })
    }

    fn limits(&self, bytes: u64) -> Limits {
        let FetchLimits { time, floor } = self.limits;
        Limits { bytes, time, floor }
    }
}

/// Returns the sources of an accepted object, in the order of use.
fn sources(accepted: &Accepted, custodians: &[NeuronId], voters: &BTreeSet<NeuronId>) -> Vec<NeuronId> {
    let mut sources = vec![accepted.id];
    for other in custodians.iter().chain(voters) {
        if !sources.contains(other) {
            sources.push(*other);
        }
    }
    sources
}

/// Returns the hash of the bytes found under the name of an object. If it differs from the claimed
/// hash, the bytes prove nothing else about the miner.
fn found(bytes: &[u8]) -> ObjectHash {
    ObjectHash::of(&[&bytes[..bytes.len().saturating_sub(TRAILER_BYTES)]])
}

/// Opens a claimed object as far as possible without a key.
fn open(
    bytes: Vec<u8>,
    layout: Arc<SubmissionLayout>,
    expected: &Expected,
) -> Result<Claimed, SubmissionError> {
    Ok(if expected.sealed {
        Claimed::Sealed(Sealed::open(bytes, layout, expected)?)
    } else {
        Claimed::Open(Submission::open(bytes.into(), layout, expected)?)
    })
}

fn not_as_expected(owner: Hotkey) -> impl FnOnce(SubmissionError) -> FetchError {
    move |source| FetchError::Submission { owner, source }
}

/// Hashes, decrypts and checks on a thread for blocking work.
async fn on_a_thread<T: Send + 'static>(
    owner: Hotkey,
    check: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(check).await.unwrap_or(Err(FetchError::Stopped { owner }))
}
