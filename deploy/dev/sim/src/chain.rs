//! A model of the chain: best and final blocks, the pool of transactions, commitments and the metagraph.
//!
//! Blocks above the latest final one may be dropped. Their transactions go back into the pool or are lost.
//! Nodes read final blocks only.

use crate::random;
use base::{BlockHash, Height};
use protocol::{
    acceptance::{NeuronState, Snapshot},
    announcement::Record,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The number of blocks in which a transaction may be included, from the best block at its submission.
const MORTALITY: u64 = 16;
/// The first block of the model.
pub(crate) const FIRST: u64 = 50;

/// A place in the list of transactions.
pub(crate) type TxId = u32;

/// A write of a commitment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tx {
    pub(crate) id: TxId,
    pub(crate) node: u32,
    pub(crate) record: Record,
    /// The best block at its submission.
    pub(crate) since: u64,
    /// The last block that may include it.
    expires: u64,
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxEnd {
    pub(crate) id: TxId,
    pub(crate) node: u32,
    /// Its final block; `None` if it can never be included.
    pub(crate) block: Option<Height>,
}

/// The chain.
#[derive(Debug)]
pub(crate) struct Chain {
    seed: u64,
    /// The number of times that each block was replaced, from [`FIRST`] on.
    forks: Vec<u8>,
    /// The transactions of the blocks that are not final, the oldest block first.
    open: VecDeque<Vec<Tx>>,
    finalized: u64,
    /// The time at which each block became final, from [`FIRST`] on.
    final_at: Vec<u64>,
    pool: Vec<Tx>,
    submitted: TxId,
    /// The transactions that are not final, by the last block that may include them.
    expiring: BTreeMap<u64, Vec<(TxId, u32)>>,
    /// The metagraph. It changes at once, in the state after the next final block.
    pub(crate) neurons: Vec<NeuronState>,
    /// The record of each neuron in the latest final state, and its block.
    pub(crate) records: Vec<Option<(Height, Record)>>,
    current: Option<Arc<Snapshot>>,
    kept: BTreeMap<u64, Arc<Snapshot>>,
}

impl Chain {
    /// Creates a chain with these neurons.
    pub(crate) fn new(seed: u64, neurons: Vec<NeuronState>) -> Self {
        let records = vec![None; neurons.len()];
        Self {
            seed,
            forks: vec![0],
            open: VecDeque::new(),
            finalized: FIRST,
            final_at: vec![0],
            pool: Vec::new(),
            submitted: 0,
            expiring: BTreeMap::new(),
            neurons,
            records,
            current: None,
            kept: BTreeMap::new(),
        }
    }

    /// Returns the height of the best block.
    pub(crate) fn best(&self) -> u64 {
        self.finalized + self.open.len() as u64
    }

    /// Returns the height of the latest final block.
    pub(crate) fn finalized(&self) -> u64 {
        self.finalized
    }

    /// Returns the time at which a final block became final.
    pub(crate) fn final_at(&self, height: u64) -> u64 {
        self.final_at[place(height)]
    }

    /// Returns the hash of a block of the best chain.
    pub(crate) fn hash(&self, height: u64) -> BlockHash {
        let fork = self.forks.get(place(height)).copied().unwrap_or(0);
        BlockHash(random::bytes(1, [self.seed, height, fork.into()]))
    }

    /// Puts a transaction into the pool.
    pub(crate) fn submit(&mut self, node: usize, record: Record) -> TxId {
        let id = self.submitted;
        self.submitted += 1;
        let since = self.best();
        let tx = Tx { id, node: node as u32, record, since, expires: since + MORTALITY };
        self.pool.push(tx);
        self.expiring.entry(tx.expires).or_default().push((id, tx.node));
        id
    }

    /// Makes a block of all transactions in the pool for which `takes` is true.
    pub(crate) fn make_block(&mut self, mut takes: impl FnMut(&Tx) -> bool) {
        let height = self.best() + 1;
        self.pool.retain(|tx| tx.expires >= height);
        let (block, pool) = std::mem::take(&mut self.pool).into_iter().partition(|tx| takes(tx));
        self.pool = pool;
        self.open.push_back(block);
        if self.forks.len() <= place(height) {
            self.forks.push(0);
        }
    }

    /// Replaces the newest blocks that are not final by others. Returns their number. Their transactions
    /// go back into the pool, except those for which `loses` is true.
    pub(crate) fn drop_blocks(&mut self, depth: u64, mut loses: impl FnMut(&Tx) -> bool) -> u64 {
        let depth = depth.min(self.open.len() as u64);
        let first = self.best() - depth;
        let dropped: Vec<Tx> =
            self.open.split_off(self.open.len() - depth as usize).into_iter().flatten().collect();
        self.pool.extend(dropped.into_iter().filter(|tx| !loses(tx)));
        for height in first + 1..=first + depth {
            let fork = &mut self.forks[place(height)];
            *fork = fork.wrapping_add(1);
        }
        depth
    }

    /// Makes the next block final. Appends the transactions that have ended.
    pub(crate) fn finalize(&mut self, now: u64, keep: bool, ended: &mut Vec<TxEnd>) {
        let Some(block) = self.open.pop_front() else { return };
        self.finalized += 1;
        let height = Height(self.finalized);
        self.final_at.push(now);
        self.current = None;
        for tx in block {
            self.records[tx.node as usize] = Some((height, tx.record));
            if let Some(waiting) = self.expiring.get_mut(&tx.expires) {
                waiting.retain(|(id, _)| *id != tx.id);
            }
            ended.push(TxEnd { id: tx.id, node: tx.node, block: Some(height) });
        }
        let lost = self.expiring.remove(&self.finalized).unwrap_or_default();
        ended.extend(lost.into_iter().map(|(id, node)| TxEnd { id, node, block: None }));
        if keep {
            let snapshot = self.current();
            self.kept.insert(self.finalized, snapshot);
        }
    }

    /// Returns the latest final state. It is made once for all nodes.
    pub(crate) fn current(&mut self) -> Arc<Snapshot> {
        if let Some(current) = &self.current {
            return Arc::clone(current);
        }
        let written = self.neurons.iter().zip(&self.records);
        let records = written
            .filter_map(|(neuron, record)| record.map(|(set, record)| (neuron.id.hotkey, set, record)));
        let height = Height(self.finalized);
        let snapshot =
            Snapshot::new(height, self.hash(self.finalized), self.neurons.iter().copied(), records);
        let snapshot = Arc::new(snapshot.expect("each neuron of the model has a hotkey of its own"));
        self.current = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// Returns the state after a block, if it was kept.
    pub(crate) fn at(&self, height: Height) -> Option<&Arc<Snapshot>> {
        self.kept.get(&height.0)
    }

    /// Forgets the states before a block.
    pub(crate) fn prune(&mut self, before: Height) {
        self.kept = self.kept.split_off(&before.0);
    }

    /// Returns the records of the best chain, newest last: those that a node sees before they are final.
    pub(crate) fn unfinal(&self) -> impl Iterator<Item = &Tx> {
        self.open.iter().flatten()
    }
}

fn place(height: u64) -> usize {
    (height - FIRST) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{
        Hotkey, NeuronId, Window,
        digest::{ObjectHash, RunId},
    };
    use protocol::announcement::Claim;

    fn chain() -> Chain {
        let id = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(1) };
        Chain::new(7, vec![NeuronState { id, incentive: 0, stake: 1, permit: true }])
    }

    fn claim(object: u8) -> Record {
        Record::Claim(Claim { run: RunId::default(), window: Window(0), object: ObjectHash([object; 32]) })
    }

    #[test]
    fn dropped_blocks_come_again_with_other_hashes() {
        let mut chain = chain();
        let tx = chain.submit(0, claim(1));
        chain.make_block(|_| true);
        let hash = chain.hash(FIRST + 1);
        assert_eq!(chain.drop_blocks(5, |_| false), 1);
        chain.make_block(|_| true);
        assert_ne!(chain.hash(FIRST + 1), hash);
        let mut ended = Vec::new();
        chain.finalize(9, true, &mut ended);
        assert_eq!((ended[0].id, ended[0].block), (tx, Some(Height(FIRST + 1))));
        assert_eq!(chain.records[0], Some((Height(FIRST + 1), claim(1))));
        assert_eq!(chain.at(Height(FIRST + 1)).unwrap().participants().count(), 1);
    }

    #[test]
    fn a_lost_transaction_ends_without_a_block() {
        let mut chain = chain();
        chain.submit(0, claim(1));
        chain.make_block(|_| true);
        chain.drop_blocks(1, |_| true);
        let mut ended = Vec::new();
        for now in 0..=MORTALITY {
            chain.make_block(|_| true);
            chain.finalize(now, false, &mut ended);
        }
        assert!(matches!(ended[..], [TxEnd { block: None, .. }]));
    }
}
