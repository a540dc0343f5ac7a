//! Selects the buckets to download from: those that neurons announce now, or announced in an earlier state.

use base::NeuronId;
use exchange::{BlockState, FetchError, FetchLimits, Fetcher};
use std::{sync::Arc, time::Duration};
use storage::{Floor, Storage, StorageError};

/// The limits for the download of one object.
const LIMITS: FetchLimits = FetchLimits {
    time: Duration::from_secs(1800),
    floor: Floor { bytes_per_second: 16 << 10, over: Duration::from_secs(30) },
};

/// The buckets of the subnet.
pub(super) struct Sources {
    pub(super) fetcher: Fetcher,
    /// The newest state of the chain.
    head: Arc<BlockState>,
}

impl Sources {
    pub(super) fn new(storage: Storage, head: Arc<BlockState>) -> Self {
        Self { fetcher: Fetcher::new(storage, LIMITS), head }
    }

    /// Returns the state that names the bucket of a neuron: the newest state, if the neuron is registered and
    /// announces a bucket there, else `then`.
    pub(super) fn of<'a>(&'a self, owner: &NeuronId, then: &'a BlockState) -> &'a BlockState {
        let registered = self.head.neuron(&owner.hotkey).is_some_and(|(id, _)| id == *owner);
        if registered && self.head.bucket(&owner.hotkey).is_some() { &self.head } else { then }
    }

    /// Returns the states that may name a bucket: `then`, and the newest state if it is another one.
    pub(super) fn states<'a>(&'a self, then: &'a BlockState) -> impl Iterator<Item = &'a BlockState> {
        let newest = (self.head.height != then.height).then_some(self.head.as_ref());
        std::iter::once(then).chain(newest)
    }

    /// Returns the newest state of the chain.
    pub(super) fn head(&self) -> &Arc<BlockState> {
        &self.head
    }
}

/// Checks whether a bucket has answered that the object does not exist, or 403 as S3 does for absent objects
/// of a bucket that the reader may not list. Other errors leave that open.
pub(super) fn is_absent(error: &FetchError) -> bool {
    matches!(error, FetchError::Storage { source, .. } if source.may_be_absent())
}

/// Checks whether a bucket has answered 403.
pub(super) fn is_forbidden(error: &FetchError) -> bool {
    matches!(error, FetchError::Storage { source: StorageError::Forbidden { .. }, .. })
}
