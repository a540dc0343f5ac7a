//! Shuffles the sequences of a dataset, so that neighbours in the text are separated.
//!
//! Miners train on blocks of 64 sequences. In the order of the text, a block would contain only one or
//! two documents, and a window would see few documents. So sequence `i` of the shards is sequence
//! `P(i)` of the text, where `P` is the [`Permutation`] under a key made of seed, tokenizer and role.
//! Each role is permuted separately.

use crate::{OutputError, shards::Shards};
use base::digest::TokenizerHash;
use protocol::{dataset::ShardRole, permutation::Permutation};
use rayon::prelude::*;
use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

/// The BLAKE3 `derive_key` context of the permutation's key.
const CONTEXT: &str = "muster v1 sequence order";

/// A reader of sequences. They are stored in the order of the text, and read in the drawn order.
#[derive(Debug)]
pub(crate) struct Shuffled {
    path: PathBuf,
    file: File,
    order: Permutation,
    /// The length of a sequence, in bytes.
    sequence: u64,
}

impl Shuffled {
    /// Opens shards that are a single file, as sequences of `tokens` tokens.
    pub(crate) fn open(from: &Shards, tokens: u64, key: [u8; 32]) -> Result<Self, OutputError> {
        let path = from.path(0);
        let file = File::open(&path).map_err(|source| OutputError::new(&path, source))?;
        let order = Permutation::new(key, from.total() / tokens);
        Ok(Self { path, file, order, sequence: from.bytes(tokens) })
    }

    /// Reads sequences in the drawn order from number `first` on, as stored: up to `most` bytes, but at
    /// least one sequence. Returns no bytes after the last sequence.
    pub(crate) fn gather(&self, first: u64, most: usize) -> Result<Vec<u8>, OutputError> {
        let count = (most as u64 / self.sequence).max(1).min(self.order.len().saturating_sub(first));
        let size = |bytes: u64| usize::try_from(bytes).expect("a sequence has at most 4 MiB");
        let mut bytes = vec![0; size(count * self.sequence)];
        let read = |(number, place): (usize, &mut [u8])| match self.order.at(first + number as u64) {
            Some(from) => self.file.read_exact_at(place, from * self.sequence),
            None => Ok(()), // Impossible: `count` is bounded by the length of the order.
        };
        let read = bytes.par_chunks_exact_mut(size(self.sequence)).enumerate().try_for_each(read);
        read.map_err(|source| OutputError::new(&self.path, source))?;
        Ok(bytes)
    }
}

/// Returns the key of a role's permutation.
pub(crate) fn key(seed: u64, tokenizer: TokenizerHash, role: ShardRole) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&seed.to_le_bytes()).update(&tokenizer.0).update(&[role as u8]);
    *hasher.finalize().as_bytes()
}
