use std::{fs, path::PathBuf};

use super::*;
use crate::log::StorageWrite;

fn draft(chain: &Chain) -> Draft {
    let timestamp_ms = chain.timestamp_ms() + 1000;
    Draft { writes: Vec::new(), timestamp_ms, transactions: Vec::new(), mark: None }
}

/// Seals the next block, final at once.
fn seal(chain: &mut Chain, draft: Draft) -> Result<Outcome, BlockError> {
    let finalized = chain.store().best().header.number + 1;
    chain.seal(draft, 0, finalized)
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
        seal(&mut chain, draft).unwrap();
    }
    (folder, path, last)
}

/// Reads a log without starting a runtime.
fn load(path: &Path) -> (Store, Option<TornTail>) {
    let mut loader = Loader::default();
    let (log, torn) = Log::open(path, Sync::AtClose, &mut |record| loader.take(record)).unwrap();
    let (_, store) = loader.finish(&log).unwrap().expect("genesis is there");
    (store, torn)
}

#[test]
fn a_tail_torn_at_any_byte_is_dropped() {
    let (_folder, path, last) = three_blocks();
    let whole = fs::read(&path).unwrap();
    let load_height = || {
        let (store, torn) = load(&path);
        (store.best().header.number, torn)
    };
    assert_eq!(load_height(), (3, None));
    for cut in last..whole.len() as u64 {
        fs::write(&path, &whole[..cut as usize]).unwrap();
        let torn = (cut > last).then_some(TornTail { offset: last, dropped: cut - last, kept: None });
        assert_eq!(load_height(), (2, torn), "cut at {cut}");
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
        seal(&mut fresh, draft).unwrap();
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
    seal(&mut chain, draft).unwrap();
    drop(chain);

    let mut logged = Vec::new();
    let visit = &mut |record| {
        if let Record::Block(Sealed { writes, .. }) = record {
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
    let draft_of_it = Draft { writes: vec![write], ..draft(&chain) };
    let refused = seal(&mut chain, draft_of_it);
    assert!(matches!(refused, Err(BlockError::Seal(SealError::Runtime { height: 4, .. }))));
    assert_eq!(chain.store().best().hash, before);
    assert_eq!(fs::metadata(&path).unwrap().len(), length);
    let draft = draft(&chain);
    seal(&mut chain, draft).unwrap();
    assert_eq!(chain.store().best().header.number, 4);
}

/// Returns a draft that differs from others by its raw storage write.
fn written(chain: &Chain, value: u8) -> Draft {
    let write = StorageWrite { key: b"muster".to_vec(), value: Some(vec![value]) };
    Draft { writes: vec![write], ..draft(chain) }
}

/// Returns heights and hashes of the best and the finalized block.
fn ends(store: &Store) -> [(u32, Hash); 2] {
    [store.best(), store.finalized()].map(|block| (block.header.number, block.hash))
}

#[test]
fn a_log_cut_at_any_record_is_the_chain_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (mut chain, _) = Chain::open(None, Some((&path, Sync::AtClose))).unwrap();
    let mut known = Vec::new();
    // Each step: the number of dropped blocks, and the finalized height afterwards.
    for (step, (depth, finalized)) in
        [(0, 0), (0, 0), (0, 1), (1, 1), (0, 2), (3, 2), (0, 7)].iter().enumerate()
    {
        known.push((fs::metadata(&path).unwrap().len(), ends(chain.store())));
        let draft = written(&chain, step as u8);
        chain.seal(draft, *depth, *finalized).unwrap();
    }
    let last = ends(chain.store());
    drop(chain);
    let whole = fs::read(&path).unwrap();
    assert_eq!(ends(&load(&path).0), last);
    assert_eq!(last, [(7, last[0].1), (7, last[0].1)]);
    for (number, (offset, ends_then)) in known.iter().enumerate() {
        let next = known.get(number + 1).map_or(whole.len() as u64, |(offset, _)| *offset);
        for cut in [*offset, offset + 1, offset + 16, (offset + next) / 2, next - 1] {
            fs::write(&path, &whole[..cut as usize]).unwrap();
            assert_eq!(ends(&load(&path).0), *ends_then, "cut at {cut}, after {number} steps");
        }
    }
}

#[test]
fn a_branch_without_transactions_replaces_the_dropped_blocks() {
    let mut chain = Chain::open(None, None).unwrap().0;
    for value in 1..=4 {
        let draft = written(&chain, value);
        chain.seal(draft, 0, 1).unwrap();
    }
    let old = chain.store().blocks().to_vec();
    let next = draft(&chain);
    let outcome = chain.seal(next, 2, 1).unwrap();
    assert_eq!(outcome.dropped, [old[3].hash, old[4].hash]);
    let new = chain.store().blocks();
    assert_eq!((new.len(), &new[..3]), (6, &old[..3]));
    for (old, new) in old[3..].iter().zip(&new[3..]) {
        assert_ne!(old.hash, new.hash);
        assert_eq!(chain.timestamp_of(old), chain.timestamp_of(new));
        assert_eq!(chain.state(old).storage(b"muster"), chain.state(new).storage(b"muster"));
        assert_eq!(chain.store().by_hash(&old.hash), Some(old));
    }
}

#[test]
fn branches_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (mut chain, _) = Chain::open(None, Some((&path, Sync::AtClose))).unwrap();
    for finalized in [0, 1, 2] {
        let draft = draft(&chain);
        chain.seal(draft, 0, finalized).unwrap();
    }
    let sealed = |height: usize| {
        let Block { header, body, .. } = chain.store().blocks()[height].clone();
        Sealed { header, body, writes: Vec::new(), nodes: Vec::new() }
    };
    let cases = [
        (Vec::new(), 2, "holds no block"),
        (vec![sealed(2), sealed(3)], 2, "replaces a final block"),
        (vec![sealed(3), sealed(3)], 2, "is not the successor of the block before it"),
        (vec![sealed(3)], 1, "has a finalized height that is out of bounds"),
        (vec![sealed(3)], 4, "has a finalized height that is out of bounds"),
    ];
    let records = cases.map(|(blocks, finalized, expected)| (Record::Branch { blocks, finalized }, expected));
    drop(chain);
    let whole = fs::read(&path).unwrap();
    for (record, expected) in records {
        fs::write(&path, &whole).unwrap();
        let mut log = Log::open(&path, Sync::AtClose, &mut |_| Ok(())).unwrap().0;
        log.append(&record).unwrap();
        drop(log);
        let error = Chain::open(None, Some((&path, Sync::AtClose))).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
