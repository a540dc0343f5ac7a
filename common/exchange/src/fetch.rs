//! Downloads objects from the buckets of other nodes, and returns only objects that are fully verified.

mod checkpoint;
mod error;
mod incoming;
mod open;
mod prefetcher;
mod sources;

pub use error::FetchError;
pub use prefetcher::{PrefetchPlan, Prefetched, Prefetcher};

use crate::BlockState;
use base::{NeuronId, Window, digest::RunHash};
use bytes::Bytes;
use codec::submission::{Expected, Sealed, Submission, SubmissionLayout};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use incoming::{Incoming, IncomingFile};
use open::{Wanted, unseal};
use protocol::{acceptance::Accepted, announcement::Claim, bucket_layout, history::WindowRecord};
use scoring::score_log::{self, ScoreLog};
use sources::{Sought, Source, Undelivered};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use storage::{Bucket, Floor, Limits, Partial, Storage};

/// The limits for the download of one object. The size limit follows from the kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Time for one object from one bucket, with all retries. Downloads from several sources, and those of a
    /// [`Prefetcher`], have no time limit: they leave slow sources.
    pub time: Duration,
    /// The lowest allowed speed of a bucket.
    pub floor: Floor,
}

/// The object that a miner claims, opened as far as possible.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// A submission that was never sealed.
    Open(Submission<Bytes>),
    /// A sealed submission that needs its key: [`unseal`].
    Sealed(Sealed<Bytes>),
}

/// An accepted object.
#[derive(Clone, Debug)]
pub struct AcceptedObject {
    /// The submission. Its bytes are a mapped file.
    pub submission: Submission<Bytes>,
    /// Whether its miner had it, and was never slow, failing or lying. Otherwise its keepers and other voters
    /// were needed.
    pub by_owner: bool,
}

/// Downloads objects from buckets. Clones share connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    storage: Storage,
    limits: FetchLimits,
    incoming: Incoming,
}

impl Fetcher {
    /// Creates a fetcher that applies these limits to each object. Its files are in the system's folder for
    /// temporary files, see [`Self::with_folder`].
    #[must_use]
    pub fn new(storage: Storage, limits: FetchLimits) -> Self {
        let incoming = Incoming::at(&std::env::temp_dir().join("muster-incoming"));
        Self { storage, limits, incoming }
    }

    /// Downloads into this folder. Submissions are used from their files, so it needs the space of all that
    /// are in use at once.
    #[must_use]
    pub fn with_folder(self, folder: &Path) -> Self {
        Self { incoming: Incoming::at(folder), ..self }
    }

    /// Deletes what a killed process left in the folder of downloads. No other process may use the folder.
    ///
    /// # Errors
    /// The folder cannot be deleted.
    pub fn clear_folder(&self) -> std::io::Result<()> {
        self.incoming.clear()
    }

    /// Downloads the object that a miner claims from the miner's own bucket. A sealed object is
    /// opened with the key from the same bucket. The bytes are mapped files.
    ///
    /// This is for claims that no vote waits for, such as those beyond the candidates. A miner can send at
    /// most one object and its key, within the fetcher's time limit. A [`Prefetcher`] downloads candidates.
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
        let folder = self.incoming.folder("claimed")?;
        match self.claimed(state, claim, expected, layout, &folder.path().join("object")).await? {
            Claimed::Open(submission) => Ok(submission),
            Claimed::Sealed(sealed) => {
                let key = self.key(state, &sealed).await?;
                unseal(sealed, key, folder.path().join("opened")).await
            }
        }
    }

    /// Downloads an accepted object in ranges from all sources at once: its miner, its keepers, then other
    /// voters. Takes its key from the first source that has it. There is no time limit: a source that is slow
    /// or fails is left, and the caller ends a download that is of no more use. `state` is the state at
    /// `M_w`. `keepers` are those of [`BlockState::keepers`].
    ///
    /// # Errors
    /// No source has the object now: [`FetchError::Nowhere`].
    pub async fn accepted(
        &self,
        state: &BlockState,
        accepted: &Accepted,
        expected: &Expected,
        layout: &Arc<SubmissionLayout>,
        keepers: &[NeuronId],
        voters: &BTreeSet<NeuronId>,
    ) -> Result<AcceptedObject, FetchError> {
        let (sources, mut failures) = self.reachable(state, sources(accepted, keepers, voters));
        let object = accepted.object;
        let folder = self.incoming.folder("accepted")?;
        let key = bucket_layout::submission(expected.run.id(), expected.window, &object);
        let limits = self.unhurried(layout.most_bytes());
        let sought = Sought { sources: &sources, key: &key, size: None, limits, folder: folder.path() };
        let wanted = Wanted { object, expected: *expected, layout: Arc::clone(layout) };
        let hotkey = accepted.id.hotkey;
        let check = |bytes| {
            let wanted = wanted.clone();
            async move { wanted.open(hotkey, bytes).await }.boxed()
        };
        let delivered = sought.download(&check).await;
        let delivered = delivered.map_err(|error| match error {
            Undelivered::Local(error) => *error,
            Undelivered::Nowhere(more) => {
                failures.extend(more);
                FetchError::Nowhere { object, failures: std::mem::take(&mut failures) }
            }
        })?;
        let submission = match delivered.value {
            Claimed::Open(submission) => submission,
            Claimed::Sealed(sealed) => {
                let key = self.key_from_any(&sources, &sealed).await?;
                unseal(sealed, key, folder.path().join("opened")).await?
            }
        };
        let first_is_owner = sources.first().is_some_and(|source| source.owner == accepted.id);
        Ok(AcceptedObject { submission, by_owner: first_is_owner && delivered.first_served })
    }

    /// Returns the sources that announce a usable bucket, and the errors of the others.
    fn reachable(
        &self,
        state: &BlockState,
        owners: Vec<NeuronId>,
    ) -> (Vec<Source>, Vec<(NeuronId, FetchError)>) {
        let (mut sources, mut failures) = (Vec::new(), Vec::new());
        for owner in owners {
            match self.bucket(state, &owner) {
                Ok(bucket) => sources.push(Source { owner, bucket }),
                Err(error) => failures.push((owner, error)),
            }
        }
        (sources, failures)
    }

    /// Downloads the key of a sealed submission from all sources at once. Returns the first that opens it.
    async fn key_from_any(&self, sources: &[Source], sealed: &Sealed<Bytes>) -> Result<Vec<u8>, FetchError> {
        let header = sealed.header();
        let key = bucket_layout::seal_key(header.run.id(), header.window, &sealed.hash());
        let time = self.limits.floor.over;
        let limits = Limits { time, ..self.unhurried(bucket_layout::LARGEST_SEAL_KEY) };
        let ask = |source: &Source| {
            let (owner, bucket, key) = (source.owner, source.bucket.clone(), key.clone());
            async move {
                let mut bytes = Vec::new();
                let mut partial = Partial::default();
                let got = bucket.attempt_into(&key, None, &mut partial, &limits, &mut bytes).await;
                (owner, got.map(|()| bytes))
            }
        };
        let mut answers: FuturesUnordered<_> = sources.iter().map(ask).collect();
        let mut failures = Vec::new();
        while let Some((id, answer)) = answers.next().await {
            let owner = id.hotkey;
            let error = match answer {
                Ok(key) => match sealed.check_key(&key) {
                    Ok(()) => return Ok(key),
                    Err(source) => FetchError::Submission { owner, source },
                },
                Err(source) => FetchError::Storage { owner, source },
            };
            failures.push((id, error));
        }
        Err(FetchError::Nowhere { object: sealed.hash(), failures })
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

    /// Downloads the object that a miner claims into a file, and opens it as far as possible.
    async fn claimed(
        &self,
        state: &BlockState,
        claim: &Claim,
        expected: &Expected,
        layout: &Arc<SubmissionLayout>,
        path: &Path,
    ) -> Result<Claimed, FetchError> {
        let owner = expected.neuron;
        let key = bucket_layout::submission(expected.run.id(), expected.window, &claim.object);
        let bucket = self.bucket(state, &owner)?;
        let file = IncomingFile::create(path.to_owned())?;
        let mut sink = file.sink(Arc::new(AtomicU64::new(0)));
        let got = bucket.get_into(&key, None, &self.limits(layout.most_bytes()), &mut sink).await;
        let got = got.map_err(|source| FetchError::Storage { owner: owner.hotkey, source })?;
        sink.flush().await.map_err(incoming::local(path))?;
        let wanted = Wanted { object: claim.object, expected: *expected, layout: Arc::clone(layout) };
        wanted.open(owner.hotkey, file.map(got.bytes)?).await
    }

    /// Downloads the key of a sealed submission from its miner's bucket. The bytes are not checked yet.
    async fn key(&self, state: &BlockState, sealed: &Sealed<Bytes>) -> Result<Vec<u8>, FetchError> {
        let header = sealed.header();
        let key = bucket_layout::seal_key(header.run.id(), header.window, &sealed.hash());
        self.small(state, &header.neuron, &key, bucket_layout::LARGEST_SEAL_KEY).await
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

    /// Returns limits without a time limit, for downloads that a machine of `protocol::downloads` ends.
    fn unhurried(&self, bytes: u64) -> Limits {
        Limits { time: sources::UNLIMITED, ..self.limits(bytes) }
    }
}

/// Returns the sources of an accepted object, in the order of use.
fn sources(accepted: &Accepted, keepers: &[NeuronId], voters: &BTreeSet<NeuronId>) -> Vec<NeuronId> {
    let mut sources = vec![accepted.id];
    for other in keepers.iter().chain(voters) {
        if !sources.contains(other) {
            sources.push(*other);
        }
    }
    sources
}
