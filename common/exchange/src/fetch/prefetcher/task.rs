//! The tasks of a prefetch: one try of one download.

use super::super::{
    FetchError,
    incoming::{FileSink, IncomingFile, local},
};
use base::{NeuronId, digest::ObjectHash};
use bytes::Bytes;
use protocol::downloads::{TryFailure, TryId};
use scoring::gauntlet::Fault;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use storage::{Bucket, Limits, Partial, StorageError};
use tokio::task::{AbortHandle, JoinSet};

/// The incomplete file of a download.
#[derive(Debug)]
pub(super) struct Download {
    path: PathBuf,
    file: IncomingFile,
    sink: FileSink,
    partial: Partial,
    received: Arc<AtomicU64>,
}

impl Download {
    /// Creates an empty file, named by the first try.
    pub(super) fn create(folder: &Path, id: TryId) -> Result<Self, FetchError> {
        let path = folder.join(format!("{}.object", id.0));
        let file = IncomingFile::create(path.clone())?;
        let received = Arc::new(AtomicU64::new(0));
        let sink = file.sink(Arc::clone(&received));
        Ok(Self { path, file, sink, partial: Partial::default(), received })
    }

    /// Begins again with an empty file.
    fn restart(&mut self) -> Result<(), FetchError> {
        self.file = IncomingFile::create(self.path.clone())?;
        self.sink = self.file.sink(Arc::clone(&self.received));
        self.partial = Partial::default();
        Ok(())
    }

    async fn complete(&mut self) -> Result<Bytes, FetchError> {
        self.sink.flush().await.map_err(local(&self.path))?;
        self.file.map(self.partial.bytes)
    }
}

/// A try that is open.
#[derive(Debug)]
pub(super) struct OpenTry {
    received: Arc<AtomicU64>,
    reported: u64,
    task: AbortHandle,
}

impl OpenTry {
    /// Returns the bytes that arrived since the last call.
    pub(super) fn take_received(&mut self) -> u64 {
        let received = self.received.load(Relaxed);
        let new = received.saturating_sub(self.reported);
        self.reported = received;
        new
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

/// The bytes of a part.
#[derive(Debug)]
pub(super) enum Arrived {
    Object(Bytes),
    Key(Vec<u8>),
}

/// The reason why a try ended without its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Failed(TryFailure),
    Invalid(Fault),
}

/// The end of a try.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) peer: NeuronId,
    pub(super) object: ObjectHash,
    pub(super) result: Result<Arrived, (Reason, Box<FetchError>)>,
    /// The incomplete file, for the next try.
    pub(super) download: Option<Download>,
}

/// A try to begin.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) peer: NeuronId,
    pub(super) object: ObjectHash,
    pub(super) bucket: Bucket,
    /// The key in the bucket.
    pub(super) key: String,
    pub(super) limits: Limits,
    /// The most bytes that this try may receive, by the budget of the peer.
    pub(super) most: u64,
}

impl Try {
    /// Begins to download an object, or the rest of it.
    pub(super) fn spawn_object(
        self,
        id: TryId,
        mut download: Download,
        tries: &mut JoinSet<(TryId, Ended)>,
    ) -> OpenTry {
        let received = Arc::clone(&download.received);
        let reported = received.load(Relaxed);
        let task = tries.spawn(async move {
            let result = self.object(&mut download).await;
            let download = result.is_err().then_some(download);
            (id, Ended { peer: self.peer, object: self.object, result, download })
        });
        OpenTry { received, reported, task }
    }

    /// Begins to download a key.
    pub(super) fn spawn_key(self, id: TryId, tries: &mut JoinSet<(TryId, Ended)>) -> OpenTry {
        let received = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&received);
        let task = tries.spawn(async move {
            let limits = Limits { bytes: self.limits.bytes.min(self.most), ..self.limits };
            let (mut bytes, mut partial) = (Vec::new(), Partial::default());
            let got = self.bucket.attempt_into(&self.key, None, &mut partial, &limits, &mut bytes).await;
            count.fetch_add(bytes.len() as u64, Relaxed);
            let result = got.map(|()| Arrived::Key(bytes));
            let result = result.map_err(|error| self.failed(error, limits.bytes));
            (id, Ended { peer: self.peer, object: self.object, result, download: None })
        });
        OpenTry { received, reported: 0, task }
    }

    async fn object(&self, download: &mut Download) -> Result<Arrived, (Reason, Box<FetchError>)> {
        let limits = Limits {
            bytes: self.limits.bytes.min(download.partial.bytes.saturating_add(self.most)),
            ..self.limits
        };
        let own = |error| (Reason::Failed(TryFailure::Own), Box::new(error));
        let Download { sink, partial, .. } = &mut *download;
        let got = self.bucket.attempt_into(&self.key, None, partial, &limits, sink).await;
        match got {
            Ok(()) => download.complete().await.map(Arrived::Object).map_err(own),
            Err(error) => {
                let is_other = matches!(error, StorageError::Changed { .. } | StorageError::Malformed { .. });
                if is_other && download.partial.bytes > 0 {
                    download.restart().map_err(own)?;
                }
                Err(self.failed(error, limits.bytes))
            }
        }
    }

    fn failed(&self, error: StorageError, most: u64) -> (Reason, Box<FetchError>) {
        let reason = match &error {
            StorageError::NotFound { .. } => Reason::Failed(TryFailure::Absent),
            StorageError::Forbidden { .. } => Reason::Failed(TryFailure::Absent),
            StorageError::TooLarge { .. } if most < self.limits.bytes => Reason::Failed(TryFailure::Budget),
            StorageError::TooLarge { .. } => Reason::Invalid(Fault::TooLarge),
            StorageError::Unavailable { .. }
            | StorageError::Slow { .. }
            | StorageError::Expired { .. }
            | StorageError::Changed { .. } => Reason::Failed(TryFailure::Broken),
            StorageError::Clock { .. } => Reason::Failed(TryFailure::Clock),
            StorageError::Local { .. } => Reason::Failed(TryFailure::Own),
            _ => Reason::Failed(TryFailure::Refused),
        };
        let owner = self.peer.hotkey;
        (reason, Box::new(FetchError::Storage { owner, source: error }))
    }
}
