//! The thread that owns the chain, and its messages.
//!
//! Externalities are thread-local and the state has one writer, so one thread does everything that
//! touches the chain. [`Message`]s arrive through a bounded inbox; [`Node::run`] processes them one at
//! a time. A due block is sealed before messages are served. After each block, up to [`TURN`] waiting
//! messages are served before the next block. So a long fast-forward does not block readers, and
//! readers do not block it.

mod message;
mod sealing;
mod watchers;

use std::{collections::VecDeque, time::Duration};

use devchain_runtime::UncheckedExtrinsic;
use parity_scale_codec::{DecodeAll, Encode};
use sp_core::crypto::AccountId32;
use sp_crypto_hashing::blake2_256;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

pub use self::message::NodeStatus;
pub(crate) use self::message::{Message, Pace, Reply, SealAnswer, SealJob};
use self::watchers::Watchers;
use crate::{
    chain::Chain,
    clock::Clock,
    finality::Tracker,
    heads::Heads,
    log::StorageWrite,
    pool::{Change, Pool, Refusal, Transaction},
    store::{Block, Extrinsic, Hash},
};

/// The maximum number of waiting messages that are served between two blocks.
const TURN: usize = 256;

/// The block time, the clock, and whether sealing is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) block_time: Duration,
    pub(crate) clock: Clock,
    pub(crate) held: bool,
}

impl Timing {
    fn block_time_ms(&self) -> u64 {
        self.block_time.as_millis() as u64
    }
}

/// The state of the thread.
pub(crate) struct Node {
    chain: Chain,
    pool: Pool,
    watchers: Watchers,
    finality: Tracker,
    timing: Timing,
    /// The raw storage writes for the next block.
    writes: Vec<StorageWrite>,
    jobs: VecDeque<(SealJob, Reply<SealAnswer>)>,
    next_due: Instant,
    heads: Heads,
}

impl Node {
    /// Creates a node that tells each new block to `heads`.
    pub(crate) fn new(chain: Chain, pool: Pool, finality: Tracker, timing: Timing, heads: Heads) -> Self {
        heads.tell(chain.store());
        let next_due = Instant::now() + timing.block_time;
        let watchers = Watchers::default();
        let writes = Vec::new();
        let jobs = VecDeque::new();
        Self { chain, pool, watchers, finality, timing, writes, jobs, next_due, heads }
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Serves until `stop` changes or no sender is left, then flushes the log.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Message>, mut stop: watch::Receiver<bool>) {
        loop {
            let is_due =
                async |held, at| if held { std::future::pending().await } else { sleep_until(at).await };
            let has_job = !self.jobs.is_empty();
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                () = std::future::ready(()), if has_job => self.advance_job(),
                () = is_due(self.timing.held, self.next_due) => self.seal_due(),
                message = inbox.recv() => match message {
                    Some(message) => { self.handle(message); continue }
                    None => break,
                },
            }
            for message in std::iter::from_fn(|| inbox.try_recv().ok()).take(TURN) {
                self.handle(message);
            }
            tokio::task::yield_now().await;
        }
        if let Err(error) = self.chain.flush() {
            tracing::error!(target: "devchain", error = %base::ErrorChain(&error), "cannot flush the log");
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Read(read) => read(self),
            Message::Submit { extrinsic, watcher, reply } => reply.give(self.submit(&extrinsic, watcher)),
            Message::Remove { hashes, reply } => reply.give(self.remove(hashes)),
            Message::Seal(job, reply) => self.jobs.push_back((job, reply)),
            Message::Hold { held, reply } => reply.give(self.hold(held)),
            Message::StallFinality { blocks, reply } => reply.give(self.stall_finality(blocks)),
            Message::LagFinality { blocks, reply } => reply.give(self.lag_finality(blocks)),
            Message::Write { writes, reply } => reply.give(self.write(writes)),
            Message::Snapshot { path, reply } => reply.give(self.chain.snapshot(&path)),
        }
    }

    pub(crate) fn status(&self) -> NodeStatus {
        let Block { hash, header, .. } = self.chain.store().best();
        NodeStatus {
            genesis: self.chain.store().genesis().hash,
            height: header.number,
            hash: *hash,
            finalized: self.chain.store().finalized().header.number,
            timestamp_ms: self.chain.timestamp_ms(),
            block_time_ms: self.timing.block_time_ms(),
            held: self.timing.held,
            ready: self.pool.ready_len(),
            future: self.pool.len() - self.pool.ready_len(),
            writes: self.writes.len(),
        }
    }

    /// Returns the nonce for the account's next transaction. Counts the account's ready transactions in
    /// the pool.
    pub(crate) fn next_nonce(&self, account: &AccountId32) -> Result<u32, crate::state::CallError> {
        Ok(self.pool.next_nonce(account, self.chain.best_state().nonce(account)?))
    }

    fn hold(&mut self, held: bool) -> u32 {
        if self.timing.held && !held {
            self.next_due = Instant::now() + self.timing.block_time;
        }
        self.timing.held = held;
        self.chain.store().best().header.number
    }

    fn stall_finality(&mut self, blocks: u32) -> u32 {
        let store = self.chain.store();
        self.finality.stall(store.best().header.number, blocks);
        store.finalized().header.number
    }

    fn lag_finality(&mut self, blocks: u32) -> u32 {
        self.finality.set_lag(blocks);
        self.chain.store().finalized().header.number
    }

    fn write(&mut self, writes: Vec<StorageWrite>) -> u32 {
        self.writes.extend(writes);
        self.chain.store().best().header.number + 1
    }

    fn submit(&mut self, extrinsic: &[u8], watcher: Option<message::Watcher>) -> Result<Hash, Refusal> {
        let transaction = UncheckedExtrinsic::decode_all(&mut &extrinsic[..]);
        let bytes = transaction.map_err(|error| Refusal::BadFormat(error.to_string()))?.encode();
        let hash = blake2_256(&bytes).into();
        let (transaction, state_nonce) = self.check(bytes, hash)?;
        let changes = self.pool.insert(transaction, state_nonce)?;
        self.watchers.add(hash, watcher);
        self.watchers.tell(&changes);
        Ok(hash)
    }

    /// Validates a transaction with the pool and the runtime. Also returns its account's nonce in the
    /// state.
    fn check(&self, bytes: Extrinsic, hash: Hash) -> Result<(Transaction, u32), Refusal> {
        let best = self.chain.store().best();
        self.pool.check_unknown(&hash, best.header.number)?;
        let failed = |error: crate::state::CallError| Refusal::Verification(error.to_string());
        let state = self.chain.best_state();
        let valid = state.validate(&bytes, best.hash).map_err(failed)??;
        let (account, nonce) =
            valid.provides.iter().find_map(|tag| owner(tag)).ok_or(Refusal::NoTagsProvided)?;
        let state_nonce = state.nonce(&account).map_err(failed)?;
        let lifetime = u32::try_from(valid.longevity).unwrap_or(u32::MAX);
        let valid_until = best.header.number.saturating_add(lifetime);
        Ok((Transaction { hash, bytes, account, nonce, priority: valid.priority, valid_until }, state_nonce))
    }

    fn remove(&mut self, hashes: Vec<Hash>) -> Vec<Hash> {
        let changes: Vec<Change> = hashes.iter().flat_map(|hash| self.pool.remove(hash)).collect();
        self.watchers.tell(&changes);
        let removed = changes.iter().filter(|(hash, _)| hashes.contains(hash));
        removed.map(|(hash, _)| *hash).collect()
    }
}

/// Decodes the account and nonce from a tag that `CheckNonce` provides: `(AccountId, u32)`.
fn owner(tag: &[u8]) -> Option<(AccountId32, u32)> {
    DecodeAll::decode_all(&mut &tag[..]).ok()
}
