//! The order of a dataset's sequences, drawn by a key: what follows on each other in the text comes apart.
//!
//! Miners train on blocks of 64 sequences. In the order of the text those of a block would be of one document or two, and
//! a window would see few documents. So sequence `i` of the shards is sequence `P(i)` of the text, where `P` is
//! the [`Permutation`] under a key of seed, tokenizer and role. Each role is permuted for itself.

use crate::{OutputError, shards::Shards};
use base::digest::TokenizerHash;
use protocol::{dataset::Role, permutation::Permutation};
use rayon::prelude::*;
use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

/// The BLAKE3 `derive_key` context of the order's key.
const CONTEXT: &str = "muster v1 sequence order";

/// Sequences in the order of the text, read in the order that was drawn.
#[derive(Debug)]
pub(crate) struct Shuffled {
    path: PathBuf,
    file: File,
    order: Permutation,
    /// Bytes of a sequence.
    sequence: u64,
}

impl Shuffled {
    /// Reads the sequences of `tokens` tokens of shards that are one file.
    pub(crate) fn open(from: &Shards, tokens: u64, key: [u8; 32]) -> Result<Self, OutputError> {
        let path = from.path(0);
        let file = File::open(&path).map_err(|source| OutputError::new(&path, source))?;
        let order = Permutation::new(key, from.total() / tokens);
        Ok(Self { path, file, order, sequence: from.bytes(tokens) })
    }

    /// The sequences of the drawn order from number `first` on, as they are stored: as many as fit into `most` bytes, at
    /// least one; none after the last.
    pub(crate) fn gather(&self, first: u64, most: usize) -> Result<Vec<u8>, OutputError> {
        let count = (most as u64 / self.sequence).max(1).min(self.order.len().saturating_sub(first));
        let size = |bytes: u64| usize::try_from(bytes).expect("a sequence has at most 4 MiB");
        let mut bytes = vec![0; size(count * self.sequence)];
        let read = |(number, place): (usize, &mut [u8])| match self.order.at(first + number as u64) {
            Some(from) => self.file.read_exact_at(place, from * self.sequence),
            None => Ok(()), // There are no more than `count`.
        };
        let read = bytes.par_chunks_exact_mut(size(self.sequence)).enumerate().try_for_each(read);
        read.map_err(|source| OutputError::new(&self.path, source))?;
        Ok(bytes)
    }
}

/// The key of a role's order.
pub(crate) fn key(seed: u64, tokenizer: TokenizerHash, role: Role) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&seed.to_le_bytes()).update(&tokenizer.0).update(&[role as u8]);
    *hasher.finalize().as_bytes()
}
