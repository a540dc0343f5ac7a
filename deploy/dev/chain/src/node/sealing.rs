//! Seals blocks, due or asked for, and carries their consequences to pool, watchers and followers.

use sp_core::crypto::AccountId32;
use sp_crypto_hashing::blake2_256;
use tokio::time::Instant;

use super::{Node, Pace};
use crate::{
    chain::{BlockError, Outcome},
    clock::{self, Clock},
    pool::{Change, Refusal, Status},
    seal::Draft,
    store::{Block, Extrinsic, Hash},
};

/// The number of extrinsics at the start of each body that are not transactions: the timestamp.
const INHERENTS: usize = 1;

/// The number of blocks for which a transaction in a block is watched while finality lags. Substrate
/// watches this many blocks (`MAX_FINALITY_WATCHERS`).
const MAX_WATCHED_BLOCKS: u32 = 512;

impl Node {
    /// Seals one block of the first job.
    pub(super) fn advance_job(&mut self) {
        let Some((mut job, reply)) = self.jobs.pop_front() else { return };
        let depth = match job.drop {
            None => Ok(self.drawn_depth()),
            Some(count) => self.possible_depth(count),
        };
        match depth.and_then(|depth| self.seal(job.pace, depth)) {
            Err(error) => reply.give(Err(error)),
            Ok(()) if job.left > 1 => {
                job.left -= 1;
                self.jobs.push_front((job, reply));
            }
            Ok(()) => reply.give(Ok(self.status())),
        }
    }

    /// Seals the block that is due. Logs a failure; the next due block is another attempt.
    pub(super) fn seal_due(&mut self) {
        self.next_due += self.timing.block_time;
        let now = Instant::now();
        if self.next_due < now {
            self.next_due = now;
        }
        if let Err(error) = self.seal(Pace::Due, self.drawn_depth()) {
            tracing::error!(target: "devchain", error = %base::ErrorChain(&error), "cannot seal the block that is due");
        }
    }

    /// Returns the number of blocks that the next block drops by the settings.
    fn drawn_depth(&self) -> u32 {
        let (best, finalized) = self.ends();
        self.finality.drops(finalized, best)
    }

    /// Returns the number of blocks that the next block can drop, up to `count`.
    fn possible_depth(&self, count: u32) -> Result<u32, BlockError> {
        let (best, finalized) = self.ends();
        let depth = count.min(best - finalized);
        if depth > 0 { Ok(depth) } else { Err(BlockError::AllFinal(best)) }
    }

    /// Returns the best and the finalized height.
    fn ends(&self) -> (u32, u32) {
        let store = self.chain.store();
        (store.best().header.number, store.finalized().header.number)
    }

    /// Seals the next block. It drops the newest `depth` blocks for another branch.
    fn seal(&mut self, pace: Pace, depth: u32) -> Result<(), BlockError> {
        let (best, was_final) = self.ends();
        let finalized = self.finality.advance(was_final, best + 1);
        let draft = self.draft(pace, depth);
        let timestamp_ms = draft.timestamp_ms;
        let sealed = self.chain.seal(draft, depth, finalized);
        if !matches!(sealed, Err(BlockError::Log(_))) {
            // Drop writes that the runtime cannot process, so that they do not stop the chain forever.
            self.writes.clear();
        }
        let outcome = sealed?;

        let Block { hash, header, body } = self.chain.store().best();
        let hash = *hash;
        let height = header.number;
        let extrinsics = body.len();
        tracing::debug!(target: "devchain", height, ?hash, extrinsics, timestamp_ms, finalized, dropped = depth, "sealed");
        self.readmit(&outcome.dropped);
        self.settle(height, hash, &outcome);
        self.tell_finality(was_final, finalized, height);
        self.heads.tell(self.chain.store());
        Ok(())
    }

    /// Drafts the next block. On another branch it has no transactions: those of the dropped blocks come
    /// back to the pool only with this block.
    fn draft(&self, pace: Pace, depth: u32) -> Draft {
        let wall = (pace == Pace::Due && self.timing.clock == Clock::Wall).then(clock::wall_ms);
        let start = if self.timing.clock == Clock::Wall { clock::wall_ms() } else { clock::LOGICAL_START_MS };
        let parent_ms = self.chain.timestamp_ms();
        let timestamp_ms = clock::next_timestamp(parent_ms, self.timing.block_time_ms(), wall, start);
        let transactions = if depth == 0 { self.pool.ready() } else { Vec::new() };
        Draft { writes: self.writes.clone(), timestamp_ms, transactions, mark: None }
    }

    /// Puts the transactions of dropped blocks back into the pool. The runtime checks them again, in the
    /// state of the new best block.
    fn readmit(&mut self, dropped: &[Hash]) {
        for block in dropped {
            for (hash, bytes) in self.transactions(block) {
                self.watchers.tell(&[(hash, Status::Retracted(*block))]);
                self.pool.unban(&hash);
                let checked = self.check(bytes, hash);
                let admitted = checked.and_then(|(transaction, nonce)| self.pool.insert(transaction, nonce));
                self.watchers.tell(&admitted.unwrap_or_else(|refusal| lost(hash, &refusal)));
            }
        }
    }

    /// Returns hash and bytes of the transactions in a block.
    fn transactions(&self, block: &Hash) -> Vec<(Hash, Extrinsic)> {
        let body = self.chain.store().by_hash(block).map_or(&[][..], |block| &block.body[..]);
        body.iter().skip(INHERENTS).map(|bytes| (blake2_256(bytes).into(), bytes.clone())).collect()
    }

    fn settle(&mut self, height: u32, hash: Hash, outcome: &Outcome) {
        let state = self.chain.best_state();
        // The pool asks only for accounts with waiting transactions. If a nonce cannot be read, the
        // account keeps its place.
        let nonce_of = |account: &AccountId32| state.nonce(account).unwrap_or(0);
        let mut changes = self.pool.settle(height, hash, &outcome.included, nonce_of);
        changes.extend(outcome.rejected.iter().flat_map(|hash| self.pool.reject(hash, height)));
        self.watchers.tell(&changes);
    }

    /// Tells the watchers which blocks became final, after the height `before` up to `finalized`, and
    /// which one has waited too long.
    fn tell_finality(&mut self, before: u32, finalized: u32, best: u32) {
        for height in before + 1..=finalized {
            self.tell_block(height, Status::Finalized);
        }
        if let Some(overdue) = best.checked_sub(MAX_WATCHED_BLOCKS).filter(|overdue| *overdue > finalized) {
            self.tell_block(overdue, Status::FinalityTimeout);
        }
    }

    /// Tells the watchers of the transactions in the best chain's block at `height`.
    fn tell_block(&mut self, height: u32, status: impl Fn(Hash) -> Status) {
        if self.watchers.is_empty() {
            return;
        }
        let Some(block) = self.chain.store().by_height(height).map(|block| block.hash) else { return };
        let transactions = self.transactions(&block).into_iter();
        let changes: Vec<Change> = transactions.map(|(hash, _)| (hash, status(block))).collect();
        self.watchers.tell(&changes);
    }
}

/// Returns the change of a transaction that the pool did not take back.
fn lost(hash: Hash, refusal: &Refusal) -> Vec<Change> {
    match refusal {
        Refusal::AlreadyImported(_) => Vec::new(),
        Refusal::ImmediatelyDropped => vec![(hash, Status::Dropped)],
        _ => vec![(hash, Status::Invalid)],
    }
}
