use std::{fs, path::PathBuf};

use super::*;
use crate::log::StorageWrite;

fn draft(chain: &Chain) -> Draft {
    let timestamp_ms = chain.timestamp_ms() + 1000;
    Draft { writes: Vec::new(), timestamp_ms, transactions: Vec::new() }
}

/// Creates a chain of three blocks on disk. Returns its folder, the log's path, and the offset of the
/// last record.
fn three_blocks() -> (tempfile::TempDir, PathBuf, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (mut chain, torn) = Chain::open(None, Some((&path, Sync::AtClose))).unwrap();
    assert_eq!(torn, None);
    let mut last = 0;
    for _ in 0..3 {
        last = fs::metadata(&path).unwrap().len();
        let draft = draft(&chain);
        chain.seal(draft).unwrap();
    }
    (folder, path, last)
}

/// Returns the newest height in a log, without starting a runtime.
fn load(path: &Path) -> (u32, Option<TornTail>) {
    let mut loader = Loader::default();
    let (log, torn) = Log::open(path, Sync::AtClose, &mut |record| loader.take(record)).unwrap();
    let (_, store) = loader.finish(&log).unwrap().expect("genesis is there");
    (store.best().header.number, torn)
}

#[test]
fn a_tail_torn_at_any_byte_is_dropped() {
    let (_folder, path, last) = three_blocks();
    let whole = fs::read(&path).unwrap();
    assert_eq!(load(&path), (3, None));
    for cut in last..whole.len() as u64 {
        fs::write(&path, &whole[..cut as usize]).unwrap();
        let torn = (cut > last).then_some(TornTail { offset: last, dropped: cut - last, kept: None });
        assert_eq!(load(&path), (2, torn), "cut at {cut}");
        assert_eq!(fs::metadata(&path).unwrap().len(), last, "cut at {cut}");
    }
}

#[test]
fn a_loaded_chain_has_the_same_states() {
    let (_folder, path, _) = three_blocks();
    let (loaded, _) = Chain::open(None, Some((&path, Sync::AtClose))).unwrap();
    let mut fresh = Chain::open(None, None).unwrap().0;
    for _ in 0..3 {
        let draft = draft(&fresh);
        fresh.seal(draft).unwrap();
    }
    for (left, right) in loaded.store().blocks().iter().zip(fresh.store().blocks()) {
        assert_eq!(left, right);
        let values = |chain: &Chain, block| chain.state(block).pairs(&[], usize::MAX);
        assert_eq!(values(&loaded, left), values(&fresh, right));
        assert!(!values(&loaded, left).is_empty());
    }
}

#[test]
fn storage_written_from_outside_is_kept_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let write = StorageWrite { key: b"muster".to_vec(), value: Some(vec![7]) };
    let (mut chain, _) = Chain::open(None, Some((&path, Sync::AtClose))).unwrap();
    let draft = Draft { writes: vec![write.clone()], ..draft(&chain) };
    chain.seal(draft).unwrap();
    drop(chain);

    let mut logged = Vec::new();
    let visit = &mut |record| {
        if let Record::Block { writes, .. } = record {
            logged.extend(writes);
        }
        Ok(())
    };
    drop(Log::open(&path, Sync::AtClose, visit).unwrap());
    assert_eq!(logged, [write]);
    let (chain, _) = Chain::open(None, Some((&path, Sync::AtClose))).unwrap();
    assert_eq!(chain.best_state().storage(b"muster"), Some(vec![7]));
}

#[test]
fn a_block_that_cannot_be_made_changes_nothing() {
    let (_folder, path, _) = three_blocks();
    let (mut chain, _) = Chain::open(None, Some((&path, Sync::AtClose))).unwrap();
    let before = chain.store().best().hash;
    let length = fs::metadata(&path).unwrap().len();
    // The runtime panics if the block already seems to have its timestamp.
    let key = [twox_128(b"Timestamp"), twox_128(b"DidUpdate")].concat();
    let write = StorageWrite { key, value: Some(vec![1]) };
    let refused = chain.seal(Draft { writes: vec![write], ..draft(&chain) });
    assert!(matches!(refused, Err(BlockError::Seal(SealError::Runtime { height: 4, .. }))));
    assert_eq!(chain.store().best().hash, before);
    assert_eq!(fs::metadata(&path).unwrap().len(), length);
    let draft = draft(&chain);
    chain.seal(draft).unwrap();
    assert_eq!(chain.store().best().header.number, 4);
}
