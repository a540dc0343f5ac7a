//! Checkpoints and pointers to them.

use super::{Rows, Table, says};
use crate::objects;
use base::digest::StateRoot;
use protocol::{
    checkpoint::{self, Manifest, Pointer},
    progress::Progress,
};

pub(super) fn manifest() -> Table {
    let reads = |bytes: Vec<u8>| says(Manifest::read(&bytes));
    let mut rows = Rows::of(objects::checkpoint().to_bytes(), &reads);
    let write = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = objects::checkpoint();
        change(&mut manifest);
        manifest.to_bytes()
    };
    rows.row("no bytes", Vec::clear)
        .row("cut off", |b| b.pop())
        .row("1 MiB and one byte", |b| b.resize(checkpoint::MOST_MANIFEST_BYTES + 1, b' '))
        .row("deeply nested lists", |b| *b = vec![b'['; 1 << 20])
        .row("a trailing byte", |b| b.push(b'x'))
        .row("a later version", |b| *b = write(&|m| m.version = 2))
        .row("a file name that leads out of the folder", |b| {
            *b = write(&|m| m.parts[0].file = "../a.json".to_owned())
        })
        .row("a file that can hold code", |b| {
            *b = write(&|m| m.parts[0].file = "pytorch_model.bin".to_owned())
        })
        .row("the manifest's name", |b| *b = write(&|m| m.parts[0].file = checkpoint::MANIFEST.to_owned()))
        .row("names out of order", |b| *b = write(&|m| m.parts.swap(0, 1)))
        .row("a file twice", |b| *b = write(&|m| m.parts[1] = m.parts[0].clone()))
        .row("no progress file", |b| *b = write(&|m| drop(m.parts.pop())))
        .row("4,097 files", |b| {
            *b = write(&|m| {
                let part = m.parts[0].clone();
                m.parts = (0..4097).map(|_| part.clone()).collect();
            });
        });
    let mut rows = rows.done("Checkpoint's manifest: `ManifestError` of `checkpoint::Manifest`");
    let mut large = objects::checkpoint();
    large.parts.iter_mut().for_each(|part| part.bytes = u64::MAX);
    rows.rows.push(("files of 2^64 - 1 bytes, for a model of 1000", says(large.check_size(1000)).unwrap()));
    let other = Progress { root: StateRoot([4; 32]), ..objects::progress() };
    rows.rows
        .push(("a progress of another state", says(objects::checkpoint().check_progress(&other)).unwrap()));
    rows
}

pub(super) fn pointer() -> Table {
    let reads = |bytes: Vec<u8>| says(Pointer::read(&bytes));
    let mut rows = Rows::of(objects::pointer().to_bytes(), &reads);
    rows.row("no bytes", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe9)
        .row("a later version", |b| b[1] = 2)
        .row("cut off", |b| b.pop())
        .row("a trailing byte", |b| b.push(0));
    rows.done("Pointer to a checkpoint: `WireError` of `checkpoint::Pointer::read`")
}

pub(super) fn progress_rows() -> Table {
    let reads = |bytes: Vec<u8>| says(Progress::read(&bytes));
    let (before, first, count) = (2 + 32 + 32, 2 + 32 + 32 + 32, 2 + 32 + 32 + 32 + 8);
    let mut rows = Rows::of(objects::progress().to_bytes(), &reads);
    let norms = rows.valid.len() - 4 - 2 * 8 * 2;
    rows.row("no bytes", Vec::clear)
        .row("another kind of object", |b| b[0] = 0xe8)
        .row("a later version", |b| b[1] = 4)
        .row("another beginning than the run's", |b| b[before] ^= 1)
        .row("windows out of order", |b| b[first] = 2)
        .row("records of the last possible windows", |b| b[first..first + 8].fill(0xff))
        .row("65,535 records", |b| b[count..count + 2].fill(0xff))
        .row("too few records", |b| {
            b.truncate(count + 2);
            (b[first], b[count], b[count + 1]) = (20, 0, 0);
            b.push(0);
        })
        .row("a flag of the norms that is neither 0 nor 1", |b| b[norms - 1] = 2)
        .row("2^32 - 1 norms", |b| b[norms..norms + 4].fill(0xff))
        .row("cut off", |b| b.pop())
        .row("a trailing byte", |b| b.push(0));
    rows.done("Progress of a checkpoint: `ProgressError` of `Progress::read`")
}
