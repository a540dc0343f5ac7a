//! Where objects are looked for: in the bucket that its owner announces now, or announced then.

use base::NeuronId;
use exchange::{BlockState, FetchError, FetchLimits, Fetcher};
use std::{sync::Arc, time::Duration};
use storage::{Floor, Storage, StorageError};

/// What reading an object may cost.
const LIMITS: FetchLimits = FetchLimits {
    time: Duration::from_secs(1800),
    floor: Floor { bytes_per_second: 16 << 10, over: Duration::from_secs(30) },
};

/// All buckets.
pub(super) struct Sources {
    pub(super) fetcher: Fetcher,
    /// The newest state.
    head: Arc<BlockState>,
}

impl Sources {
    pub(super) fn new(storage: Storage, head: Arc<BlockState>) -> Self {
        Self { fetcher: Fetcher::new(storage, LIMITS), head }
    }

    /// The state that says where the bucket of a neuron is: the newest in which it is registered and announces one.
    pub(super) fn of<'a>(&'a self, owner: &NeuronId, then: &'a BlockState) -> &'a BlockState {
        let registered = self.head.neuron(&owner.hotkey).is_some_and(|(id, _)| id == *owner);
        match registered && self.head.bucket(&owner.hotkey).is_some() {
            true => &self.head,
            false => then,
        }
    }

    /// The states that say where buckets are.
    pub(super) fn states<'a>(&'a self, then: &'a BlockState) -> impl Iterator<Item = &'a BlockState> {
        let newest = (self.head.height != then.height).then_some(self.head.as_ref());
        std::iter::once(then).chain(newest)
    }

    /// The newest state.
    pub(super) fn head(&self) -> &Arc<BlockState> {
        &self.head
    }
}

/// Whether a bucket says that there is no such object, rather than that it could not be asked.
pub(super) fn is_absent(error: &FetchError) -> bool {
    matches!(error, FetchError::Storage { source: StorageError::NotFound { .. }, .. })
}
