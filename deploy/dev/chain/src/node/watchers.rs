//! The watchers of transactions.

use std::collections::HashMap;

use super::message::Watcher;
use crate::{
    pool::{Change, Status},
    store::Hash,
};

/// The watchers by transaction. They are removed after the transaction's last status.
#[derive(Default)]
pub(crate) struct Watchers(HashMap<Hash, Vec<Watcher>>);

impl Watchers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, hash: Hash, watcher: Option<Watcher>) {
        if let Some(watcher) = watcher {
            self.0.entry(hash).or_default().push(watcher);
        }
    }

    pub(crate) fn tell(&mut self, changes: &[Change]) {
        for (hash, status) in changes {
            let Some(watchers) = self.0.get_mut(hash) else { continue };
            // A full buffer belongs to a client that does not read. Drop it like a client that is gone.
            watchers.retain(|watcher| watcher.try_send(*status).is_ok());
            if is_last(status) {
                self.0.remove(hash);
            }
        }
    }
}

fn is_last(status: &Status) -> bool {
    !matches!(status, Status::Future | Status::Ready | Status::Included(_) | Status::Retracted(_))
}
