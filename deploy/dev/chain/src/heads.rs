//! Tells the followers of a chain how far it is: best block, imported blocks, finalized block.

use tokio::sync::watch;

use crate::store::Store;

/// The senders, on the chain's thread.
pub(crate) struct Heads {
    best: watch::Sender<u32>,
    imported: watch::Sender<u32>,
    finalized: watch::Sender<u32>,
}

/// The receivers. Each of them holds a number that only rises.
#[derive(Clone)]
pub(crate) struct Following {
    /// The best block's height.
    pub(crate) best: watch::Receiver<u32>,
    /// The number of the newest import; see [`Store::imported`].
    pub(crate) imported: watch::Receiver<u32>,
    /// The finalized block's height.
    pub(crate) finalized: watch::Receiver<u32>,
}

/// Creates the senders and the receivers of a chain.
pub(crate) fn channel() -> (Heads, Following) {
    let (best, best_follower) = watch::channel(0);
    let (imported, imported_follower) = watch::channel(0);
    let (finalized, finalized_follower) = watch::channel(0);
    let following =
        Following { best: best_follower, imported: imported_follower, finalized: finalized_follower };
    (Heads { best, imported, finalized }, following)
}

impl Heads {
    /// Tells the followers of the blocks in `store`.
    pub(crate) fn tell(&self, store: &Store) {
        self.imported.send_replace(store.last_import());
        self.finalized.send_replace(store.finalized().header.number);
        self.best.send_replace(store.best().header.number);
    }
}
