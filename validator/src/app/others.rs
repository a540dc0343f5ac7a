//! The submissions of miners that are no candidates: downloaded a few ahead of their evaluation, and dropped
//! after it.

use crate::fetched_window::FetchedWindow;
use base::NeuronId;
use bytes::Bytes;
use codec::submission::Submission;
use exchange::FetchError;
use futures::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use node::Node;
use std::collections::{BTreeMap, BTreeSet};

/// The number of submissions that are downloaded, or wait for their evaluation, at the same time. So they
/// take little disk and page cache, however many miners claim.
const AHEAD: usize = 4;

/// A miner, and the result of the download of its submission.
type Ended = (NeuronId, Result<Submission<Bytes>, FetchError>);

/// The downloads of other claims, after the vote.
pub(super) struct Others<'a> {
    node: &'a Node,
    fetched: &'a FetchedWindow,
    begun: BTreeSet<NeuronId>,
    running: FuturesUnordered<LocalBoxFuture<'static, Ended>>,
    ready: BTreeMap<NeuronId, Submission<Bytes>>,
    failed: BTreeMap<NeuronId, FetchError>,
}

impl<'a> Others<'a> {
    pub(super) fn new(node: &'a Node, fetched: &'a FetchedWindow) -> Self {
        let (begun, running) = (BTreeSet::new(), FuturesUnordered::new());
        Self { node, fetched, begun, running, ready: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// Begins downloads for the next miners, as far as there is room, and takes those that have ended.
    pub(super) fn fill<'b>(&mut self, upcoming: impl Iterator<Item = &'b NeuronId>) {
        while let Some(Some(ended)) = self.running.next().now_or_never() {
            self.take(ended);
        }
        for miner in upcoming {
            if self.running.len() + self.ready.len() >= AHEAD {
                break;
            }
            let is_other = !self.fetched.outcomes.contains_key(miner);
            let Some(claim) = self.fetched.claims.get(miner).filter(|_| is_other) else { continue };
            if self.begun.insert(*miner) {
                let miner = *miner;
                let mut download = self.node.download_one(&self.fetched.closed, miner, claim);
                let stopped = FetchError::Stopped { owner: miner.hotkey };
                let ended = async move { (miner, download.finish().await.unwrap_or(Err(stopped))) };
                self.running.push(ended.boxed_local());
            }
        }
    }

    /// Waits until a download ends. Returns whether there was one.
    pub(super) async fn wait(&mut self) -> bool {
        match self.running.next().await {
            Some(ended) => {
                self.take(ended);
                true
            }
            None => false,
        }
    }

    fn take(&mut self, (miner, downloaded): Ended) {
        match downloaded {
            Ok(submission) => drop(self.ready.insert(miner, submission)),
            Err(error) => drop(self.failed.insert(miner, error)),
        }
    }

    /// Checks whether a miner can have its turn: it is a candidate, or its download has ended.
    pub(super) fn is_ready(&self, miner: &NeuronId) -> bool {
        let has_ended = self.ready.contains_key(miner) || self.failed.contains_key(miner);
        has_ended || self.fetched.outcomes.contains_key(miner)
    }

    /// Returns the submission of a miner, a candidate or another one, and forgets that of another one.
    pub(super) fn submission(&mut self, miner: &NeuronId) -> Option<Submission<Bytes>> {
        self.fetched.submissions.get(miner).cloned().or_else(|| self.ready.remove(miner))
    }

    /// Returns the error of a miner's download, if it failed.
    pub(super) fn failure(&self, miner: &NeuronId) -> Option<&FetchError> {
        self.failed.get(miner)
    }
}
