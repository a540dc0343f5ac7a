//! Runs and their data.

use super::{Rows, Table, says};
use crate::objects::{self, *};
use protocol::{
    dataset,
    run_spec::{RunFile, RunSpec},
};

pub(super) fn run_spec() -> Table {
    let reads = |bytes: Vec<u8>| says(RunSpec::read(&bytes));
    let mut rows = Rows::of(objects::run_spec().to_bytes(), &reads);
    let window = 2 + 2 + 4 + 32 + 2 + 1 + 8 + 8;
    let bytes = objects::run_spec().to_bytes();
    let first = bytes.windows(32).position(|bytes| bytes == [0x55; 32]).expect("the first founder");
    let founders = first - 1;
    rows.row("no bytes", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe2)
        .row("an earlier version", |b| b[1] = 3)
        .row("a later version", |b| b[1] = 7)
        .row("a name of 255 characters", |b| b[2] = 255)
        .row("a name that is not UTF-8", |b| b[4] = 0xff)
        .row("a name in capitals", |b| b[4] = b'T')
        .row("windows of no blocks", |b| b[window..window + 4].fill(0))
        .row("a finality lag of 2^32 - 1", |b| b[window + 8..window + 12].fill(0xff))
        .row("65 founders", move |b| b[founders] = 65)
        .row("no founder", move |b| {
            b[founders] = 0;
            b.drain(founders + 1..founders + 65);
        })
        .row("a founder twice", move |b| b.copy_within(founders + 1..founders + 33, founders + 33))
        .row("founders in another order", move |b| b[founders + 1..founders + 33].fill(0x77))
        .row("cut off", |b| b.pop())
        .row("a reserved byte", |b| *b.last_mut().unwrap() = 1)
        .row("a trailing byte", |b| b.push(0));
    rows.done("Run spec, its bytes: `RunSpecError` of `RunSpec::read`")
}

pub(super) fn run_file() -> Table {
    let reads = |text: String| says(RunFile::parse(&text));
    let mut rows = Rows::of(TOML.to_owned(), &reads);
    let mut replace = |input, from: &str, to: &str| {
        assert!(TOML.contains(from), "{from}");
        rows.row(input, |text| *text = text.replacen(from, to, 1));
    };
    replace("a name in capitals", "name = \"tiny\"", "name = \"Tiny\"");
    replace("no time to publish keys", "publishing = 1", "publishing = 0");
    replace("keys that close before claims are final", "keys_close = 8", "keys_close = 6");
    replace("a seed before keys are final", "\nseed = 12", "\nseed = 11");
    replace("votes that close before the seed is final", "votes_close = 19", "votes_close = 15");
    replace("windows that leave no time to train", "blocks = 30", "blocks = 23");
    replace("no vocabulary", "vocab = 4096", "vocab = 0");
    replace("a vocabulary of 2^32 - 1", "vocab = 4096", "vocab = 4294967295");
    replace("no inner steps", "inner_steps = 20", "inner_steps = 0");
    replace("a NaN learning rate", "peak = 2e-3", "peak = nan");
    replace("no values sent of a chunk", "topk = 72", "topk = 0");
    replace("more peers than a vote has bits for", "gather_peers = 8", "gather_peers = 40");
    replace("an electorate of less than 7 windows", "electorate_blocks = 840", "electorate_blocks = 9");
    replace("an unknown staleness", "staleness = 0", "staleness = 2");
    rows.done("Run spec, its file: `RunSpecError` of `RunFile::parse`")
}

pub(super) fn dataset() -> Table {
    let reads = |bytes: Vec<u8>| says(dataset::Manifest::read(&bytes));
    let mut rows = Rows::of(objects::dataset().to_bytes(), &reads);
    rows.row("no bytes", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe3)
        .row("a later version", |b| b[1] = 2)
        .row("tokens of 3 bytes", |b| b[2] = 3)
        .row("a vocabulary too large for its tokens", |b| b[3..7].fill(0xff))
        .row("sequences of one token", |b| b[7..11].copy_from_slice(&[1, 0, 0, 0]))
        .row("2^32 - 1 shards", |b| b[43..47].fill(0xff))
        .row("a count of one shard too many", |b| b[43] = 4)
        .row("no shard", |b| {
            b[43] = 0;
            b.truncate(47);
        })
        .row("a shard of an unknown role", |b| b[47] = 9)
        .row("a training shard after a held-out shard", |b| b[47] = 1)
        .row("a shard that ends within a block", |b| b[48] = 1)
        .row("a shard of 2^64 - 64 sequences", |b| b[48..56].copy_from_slice(&(u64::MAX - 63).to_le_bytes()))
        .row("cut off", |b| b.pop())
        .row("a trailing byte", |b| b.push(0));
    rows.done("Dataset's manifest: `ManifestError` of `dataset::Manifest::read`")
}

pub(super) fn block_table() -> Table {
    let reads = |bytes: Vec<u8>| says(dataset::BlockTable::read(&bytes));
    let mut rows = Rows::of(objects::block_table().to_bytes(), &reads);
    rows.row("no bytes", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe2)
        .row("a later version", |b| b[1] = 2)
        .row("a count of one block too many", |b| b[2] = 4)
        .row("2^64 - 1 blocks", |b| b[2..10].fill(0xff))
        .row("a trailing byte", |b| b.push(0));
    rows.done("Block table: `WireError` of `dataset::BlockTable::read`")
}
