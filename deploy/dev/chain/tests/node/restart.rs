//! Tests the log: restarts, torn tails, damage, other files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use devchain::{ChainError, Config, Devchain, Genesis, LogError, StartError, Sync};

use crate::support::*;

fn logged(path: &Path) -> Config {
    Config { log: Some(path.into()), ..paced() }
}

/// Creates a folder. Returns it and the path of a log in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    (folder, path)
}

/// Returns the log of a chain that has stopped after `blocks` blocks.
async fn sealed(path: &Path, blocks: u32) -> Vec<u8> {
    let chain = start(logged(path)).await;
    chain.handle().new_block(blocks).await.unwrap();
    chain.shutdown().await;
    fs::read(path).unwrap()
}

/// Returns the offset of each record of a log, and its end. The frames are described in `log/frame.rs`.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = vec![12];
    while *offsets.last().unwrap() < bytes.len() {
        let at = *offsets.last().unwrap();
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        offsets.push(at + 16 + length);
    }
    offsets
}

async fn refused(config: Config) -> StartError {
    Devchain::start(config).await.err().expect("it must not start")
}

#[tokio::test]
async fn a_restarted_chain_goes_on_where_it_was() {
    let (_folder, path) = place();
    for sync in [Sync::AtClose, Sync::EveryBlock] {
        let chain = start(Config { sync, ..logged(&path) }).await;
        let before = chain.handle().new_block(5).await.unwrap();
        chain.shutdown().await;

        let chain = start(logged(&path)).await;
        assert_eq!(chain.torn_tail(), None);
        let after = chain.handle().status().await.unwrap().node;
        assert_eq!(after, before, "genesis, height, hash and clock");
        let next = chain.handle().new_block(1).await.unwrap();
        assert_eq!(next.height, before.height + 1);
        assert_eq!(next.timestamp_ms, before.timestamp_ms + before.block_time_ms);
        // A chain that was never restarted has the same block.
        let other = start(paced()).await;
        assert_eq!(other.handle().new_block(next.height).await.unwrap().hash, next.hash);
        chain.shutdown().await;
    }
}

#[tokio::test]
async fn a_torn_tail_is_dropped_and_the_chain_goes_on() {
    let (folder, path) = place();
    let whole = sealed(&path, 3).await;
    let offsets = offsets(&whole);
    let [.., last, end] = offsets[..] else { panic!("genesis and three blocks") };
    assert_eq!((offsets.len(), end), (5, whole.len()));

    // A unit test of `chain` covers every single byte; this test checks what a user sees.
    let copy = folder.path().join("copy");
    for cut in [last, last + 1, last + 15, last + 16, last + 17, (last + end) / 2, end - 1] {
        fs::write(&copy, &whole[..cut]).unwrap();
        let chain = start(logged(&copy)).await;
        assert_eq!(chain.handle().status().await.unwrap().node.height, 2, "cut at {cut}");
        let torn = chain.torn_tail().map(|torn| (torn.offset, torn.dropped));
        let expected = (cut > last).then_some((last as u64, (cut - last) as u64));
        assert_eq!(torn, expected, "cut at {cut}");
        assert_eq!(chain.handle().new_block(1).await.unwrap().height, 3);
        chain.shutdown().await;
        assert!(fs::read(&copy).unwrap() == whole, "the block is sealed again as it was, cut at {cut}");
    }
}

#[tokio::test]
async fn a_tail_that_ends_in_zeros_is_dropped() {
    let (_folder, path) = place();
    let mut bytes = sealed(&path, 2).await;
    bytes.extend([0; 5000]);
    fs::write(&path, bytes).unwrap();
    let chain = start(logged(&path)).await;
    assert_eq!(chain.torn_tail().unwrap().dropped, 5000);
    assert_eq!(chain.handle().status().await.unwrap().node.height, 2);
}

#[tokio::test]
async fn a_torn_genesis_starts_anew() {
    let (_folder, path) = place();
    start(logged(&path)).await.shutdown().await;
    let whole = fs::read(&path).unwrap();
    for cut in [0, 1, 8, 11, 12, 13, 27, 28, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let chain = start(logged(&path)).await;
        assert_eq!(chain.handle().status().await.unwrap().node.height, 0, "cut at {cut}");
        chain.shutdown().await;
        assert!(fs::read(&path).unwrap() == whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn damage_before_the_last_record_is_refused_and_left_alone() {
    let (_folder, path) = place();
    let whole = sealed(&path, 3).await;
    let offsets = offsets(&whole);
    // The second block's record: its length, the checksum of the length, the checksum of the payload,
    // its first and its last byte.
    let (start_of, end_of) = (offsets[2], offsets[3]);
    for at in [start_of, start_of + 5, start_of + 9, start_of + 16, end_of - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).unwrap();
        let error = refused(logged(&path)).await;
        let StartError::Chain(ChainError::Log(LogError::Damaged { offset, after, .. })) = &error else {
            panic!("byte {at}: {error}");
        };
        assert_eq!((*offset, after.0), (start_of as u64, Some(1)), "byte {at}");
        assert!(error.to_string().contains("restore the file from a copy or a snapshot"), "{error}");
        assert!(fs::read(&path).unwrap() == bytes, "nothing was written");
    }
}

#[tokio::test]
async fn a_record_out_of_its_place_is_refused() {
    let (_folder, path) = place();
    let whole = sealed(&path, 3).await;
    let offsets = offsets(&whole);
    let record = |n: usize| &whole[offsets[n]..offsets[n + 1]];
    let preamble = &whole[..12];
    let cases = [
        ([preamble, record(0), record(2), record(3)].concat(), "is not the successor of the block before it"),
        ([preamble, record(1), record(2)].concat(), "comes before the genesis record"),
        ([preamble, record(0), record(1), record(0)].concat(), "is a misplaced genesis record"),
    ];
    for (bytes, expected) in cases {
        fs::write(&path, bytes).unwrap();
        let message = refused(logged(&path)).await.to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn other_files_are_refused_and_left_alone() {
    let (_folder, path) = place();
    let cases: [(&[u8], &str); 3] = [
        (b"a letter to my mother", "is not a devchain log and was left unchanged"),
        (b"devchaos", "is not a devchain log and was left unchanged"),
        (b"devchain\x63\0\0\0", "has format version 99, this devchain reads version 1"),
    ];
    for (bytes, expected) in cases {
        fs::write(&path, bytes).unwrap();
        let message = refused(logged(&path)).await.to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_log_in_use_is_refused() {
    let (_folder, path) = place();
    let chain = start(logged(&path)).await;
    let message = refused(logged(&path)).await.to_string();
    assert!(message.contains("is in use by another devchain"), "{message}");
    chain.shutdown().await;
    start(logged(&path)).await;
}

#[tokio::test]
async fn a_log_in_a_missing_folder_is_refused() {
    let error = refused(logged(Path::new("/nowhere/at/all"))).await;
    let message = base::ErrorChain(&error).to_string();
    assert!(message.starts_with("log /nowhere/at/all: cannot open it: "), "{message}");
}

#[tokio::test]
async fn another_genesis_is_refused_by_hash() {
    let (_folder, path) = place();
    let mut own = Genesis::default();
    own.subnet.tempo = 7;
    let chain = start(Config { genesis: Some(own.clone()), ..logged(&path) }).await;
    let genesis = chain.genesis();
    chain.shutdown().await;

    let other = Config { genesis: Some(Genesis::default()), ..logged(&path) };
    let StartError::Chain(ChainError::OtherGenesis { found, configured }) = refused(other).await else {
        panic!("it names both");
    };
    assert_eq!(found, genesis);
    assert_ne!(configured, genesis);
    // With the same values, or without values, the chain continues.
    for values in [Some(own), None] {
        let chain = start(Config { genesis: values, ..logged(&path) }).await;
        assert_eq!(chain.genesis(), genesis);
        chain.shutdown().await;
    }
}

#[tokio::test]
async fn a_damaged_last_record_is_told_from_a_torn_one_and_kept() {
    let (folder, path) = place();
    let whole = sealed(&path, 3).await;
    let offsets = offsets(&whole);
    let [.., last, end] = offsets[..] else { panic!("genesis and three blocks") };
    for (at, name) in [(end - 1, "log.damaged-1"), (last + 16, "log.damaged-2")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let chain = start(logged(&path)).await;
        let torn = chain.torn_tail().unwrap();
        let kept = folder.path().join(name);
        assert_eq!((torn.offset, torn.dropped), (last as u64, (end - last) as u64));
        assert_eq!(torn.kept.as_deref(), Some(&*kept));
        assert!(fs::read(kept).unwrap() == bytes[last..], "the record's bytes as they were");
        assert_eq!(chain.handle().status().await.unwrap().node.height, 2);
        chain.shutdown().await;
        assert!(fs::read(&path).unwrap() == whole[..last]);
    }
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [folder.path(), &pipe, Path::new("/dev/zero"), Path::new("/dev/full")] {
        let message = patiently(refused(logged(path))).await.to_string();
        let expected = format!("{} is not a regular file and was left unchanged", path.display());
        assert!(message.starts_with(&expected), "{message}");
    }
}
