//! Builds the chain in memory from the records of a log.

use crate::{
    log::{Log, LogError, Record, RuntimeId, Sealed, StorageWrite},
    store::{Block, Store},
};

/// Builds the store from the records of a log.
#[derive(Default)]
pub(super) struct Loader {
    loaded: Option<(RuntimeId, Store)>,
}

impl Loader {
    pub(super) fn take(&mut self, record: Record) -> Result<(), &'static str> {
        match (record, &mut self.loaded) {
            (Record::Genesis { runtime, header, nodes }, None) if header.number == 0 => {
                self.loaded = Some((runtime, Store::new(header, nodes)));
                Ok(())
            }
            (Record::Block(block), Some((_, store))) => {
                let finalized = block.header.number;
                take_branch(store, vec![block], finalized)
            }
            (Record::Branch { blocks, finalized }, Some((_, store))) => take_branch(store, blocks, finalized),
            (Record::Nodes(nodes), Some((_, store))) => {
                store.add_nodes(nodes);
                Ok(())
            }
            (Record::Genesis { .. }, _) => Err("is a misplaced genesis record"),
            (_, None) => Err("comes before the genesis record"),
        }
    }

    /// Returns the loaded chain, or `None` if the log is empty.
    pub(super) fn finish(self, log: &Log) -> Result<Option<(RuntimeId, Store)>, LogError> {
        let Some((runtime, store)) = self.loaded else { return Ok(None) };
        // A snapshot that was cut short has a genesis record but lacks its nodes.
        if !store.nodes().contains(&store.genesis().header.state_root) {
            let problem = "lacks the genesis state";
            return Err(LogError::Inconsistent { path: log.path().into(), offset: 0, problem });
        }
        Ok(Some((runtime, store)))
    }
}

/// Adds the blocks of one record to the store.
fn take_branch(store: &mut Store, mut blocks: Vec<Sealed>, finalized: u32) -> Result<(), &'static str> {
    let first = blocks.first().ok_or("holds no block")?;
    let fork = first.header.number.checked_sub(1).and_then(|height| store.by_height(height));
    let fork = fork.ok_or("is not the successor of the block before it")?;
    let (mut number, mut hash) = (fork.header.number, fork.hash);
    let fork = number;
    let final_before = store.finalized().header.number;
    for Sealed { header, nodes, .. } in &mut blocks {
        if header.parent_hash != hash || header.number != number + 1 {
            return Err("is not the successor of the block before it");
        }
        (number, hash) = (header.number, header.hash());
        store.add_nodes(std::mem::take(nodes));
        if !store.nodes().contains(&header.state_root) {
            return Err("lacks the root of its state");
        }
    }
    if fork < final_before {
        return Err("replaces a final block");
    }
    if !(final_before..=number).contains(&finalized) {
        return Err("has a finalized height that is out of bounds");
    }
    store.extend(fork, stored(blocks), finalized);
    Ok(())
}

/// Converts blocks of a record to those of the store. Their trie nodes are added separately.
pub(super) fn stored(blocks: Vec<Sealed>) -> Vec<(Block, Vec<StorageWrite>)> {
    let stored = |Sealed { header, body, writes, .. }| (Block::new(header, body), writes);
    blocks.into_iter().map(stored).collect()
}
