//! Files of tokens that grow, and that can be cut back to a saved length.

use crate::{
    OutputError,
    files::{blocks_name, remove, shard_name, sync_folder, write_atomically},
    tokenizer::TokenizerError,
};
use protocol::dataset::{BlockTable, Shard, ShardRole, TokenType, block_hash};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};

/// The shards of both roles.
pub(crate) struct Roles {
    pub(crate) training: Shards,
    pub(crate) held_out: Shards,
}

/// The number of tokens of each role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) training: u64,
    pub(crate) held_out: u64,
}

impl Roles {
    /// Opens the shards at the given numbers of tokens. See [`Shards::resume`].
    pub(crate) fn resume(
        folder: &Path,
        tokens: TokenType,
        full: u64,
        totals: Totals,
    ) -> Result<Self, OutputError> {
        let shards = |role, total| Shards::resume(folder, role, tokens, full, total);
        Ok(Self {
            training: shards(ShardRole::Training, totals.training)?,
            held_out: shards(ShardRole::HeldOut, totals.held_out)?,
        })
    }

    pub(crate) fn of(&mut self, role: ShardRole) -> &mut Shards {
        match role {
            ShardRole::Training => &mut self.training,
            ShardRole::HeldOut => &mut self.held_out,
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals { training: self.training.total, held_out: self.held_out.total }
    }

    /// Syncs all appended tokens to the disk, so that they survive a crash.
    pub(crate) fn save(&mut self) -> Result<(), OutputError> {
        self.training.save()?;
        self.held_out.save()
    }
}

impl Totals {
    pub(crate) fn sum(self) -> u64 {
        self.training + self.held_out
    }
}

/// The shards of one role.
pub(crate) struct Shards {
    folder: PathBuf,
    role: ShardRole,
    tokens: TokenType,
    /// The number of tokens in a full shard.
    full: u64,
    /// The number of tokens in all shards.
    total: u64,
    /// The last shard, if it is not full.
    file: Option<(PathBuf, BufWriter<File>)>,
}

impl Shards {
    /// Opens the shards at a length of `total` tokens. Everything after that length is removed.
    pub(crate) fn resume(
        folder: &Path,
        role: ShardRole,
        tokens: TokenType,
        full: u64,
        total: u64,
    ) -> Result<Self, OutputError> {
        let this = Self { folder: folder.into(), role, tokens, full, total, file: None };
        (0..total / full).try_for_each(|number| this.check(number, full))?;
        let mut number = total / full;
        if !total.is_multiple_of(full) {
            let path = this.check_at_least(number, total % full)?;
            let cut = || OpenOptions::new().write(true).open(&path)?.set_len(this.bytes(total % full));
            cut().map_err(|source| OutputError::new(&path, source))?;
            number += 1;
        }
        loop {
            let path = this.path(number);
            if !path.exists() {
                return Ok(this);
            }
            remove(&path)?;
            number += 1;
        }
    }

    /// Returns the number of tokens in all shards.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Appends tokens. Begins a new shard when the last one is full.
    pub(crate) fn append(&mut self, tokens: &[u32]) -> Result<(), AppendError> {
        Ok(self.append_stored(&encode(tokens, self.tokens)?)?)
    }

    /// Appends tokens in their stored form.
    pub(crate) fn append_stored(&mut self, mut bytes: &[u8]) -> Result<(), OutputError> {
        while !bytes.is_empty() {
            let room = self.bytes(self.full - self.total % self.full);
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            let (path, file) = self.file()?;
            file.write_all(now).map_err(|source| OutputError::new(path.as_path(), source))?;
            self.total += now.len() as u64 / self.tokens.bytes();
            if self.total.is_multiple_of(self.full) {
                self.save()?;
                self.file = None;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Syncs all appended tokens to the disk, so that they survive a crash.
    pub(crate) fn save(&mut self) -> Result<(), OutputError> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let save = file.flush().and_then(|()| file.get_ref().sync_data());
        save.and_then(|()| sync_folder(&self.folder))
            .map_err(|source| OutputError::new(path.as_path(), source))
    }

    /// Hashes the blocks of all shards, `block` tokens each, and writes the block tables. `sequence` is
    /// the number of tokens in a sequence; each shard must hold whole sequences. `step` receives the
    /// bytes of each block. Returns `None` if `step` returns `false`.
    pub(crate) fn seal(
        &self,
        sequence: u64,
        block: u64,
        step: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Vec<Shard>>, OutputError> {
        let mut shards = Vec::new();
        for number in 0..self.total.div_ceil(self.full) {
            let tokens = (self.total - number * self.full).min(self.full);
            self.check(number, tokens)?;
            let Some(table) = self.hash_blocks(number, block, step)? else { return Ok(None) };
            write_atomically(&self.folder.join(blocks_name(self.role, number)), &table.to_bytes())?;
            shards.push(Shard { role: self.role, sequences: tokens / sequence, blocks: table.hash() });
        }
        Ok(Some(shards))
    }

    fn hash_blocks(
        &self,
        number: u64,
        block: u64,
        step: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<BlockTable>, OutputError> {
        let path = self.path(number);
        let fail = |source| OutputError::new(path.as_path(), source);
        let mut file = File::open(&path).map_err(fail)?;
        let (mut hashes, mut bytes) = (Vec::new(), Vec::new());
        loop {
            bytes.clear();
            let read = (&mut file).take(self.bytes(block)).read_to_end(&mut bytes).map_err(fail)?;
            match read {
                0 => return Ok(Some(BlockTable::new(hashes))),
                _ => hashes.push(block_hash(&bytes)),
            }
            if !step(read as u64) {
                return Ok(None);
            }
        }
    }

    /// Returns the last shard, open for appending.
    fn file(&mut self) -> Result<&mut (PathBuf, BufWriter<File>), OutputError> {
        let path = self.path(self.total / self.full);
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let file = OpenOptions::new().append(true).create(true).open(&path);
                let file = file.and_then(|file| sync_folder(&self.folder).map(|()| file));
                let file = file.map_err(|source| OutputError::new(&path, source))?;
                Ok(none.insert((path, BufWriter::with_capacity(256 << 10, file))))
            }
        }
    }

    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(shard_name(self.role, number))
    }

    pub(crate) fn bytes(&self, tokens: u64) -> u64 {
        tokens * self.tokens.bytes()
    }

    fn check(&self, number: u64, tokens: u64) -> Result<(), OutputError> {
        let (path, found, expected) = self.length(number, tokens)?;
        if found == expected { Ok(()) } else { Err(OutputError::Shard { path, found, expected }) }
    }

    fn check_at_least(&self, number: u64, tokens: u64) -> Result<PathBuf, OutputError> {
        let (path, found, expected) = self.length(number, tokens)?;
        if found >= expected { Ok(path) } else { Err(OutputError::Shard { path, found, expected }) }
    }

    fn length(&self, number: u64, tokens: u64) -> Result<(PathBuf, u64, u64), OutputError> {
        let path = self.path(number);
        let found = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(OutputError::new(path, error)),
        };
        Ok((path, found, self.bytes(tokens)))
    }
}

/// The error of appending tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl From<AppendError> for crate::PrepareError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Output(error) => error.into(),
            AppendError::Tokenizer(error) => error.into(),
        }
    }
}

/// Encodes tokens into their stored form.
fn encode(tokens: &[u32], as_type: TokenType) -> Result<Vec<u8>, TokenizerError> {
    let mut bytes = Vec::with_capacity(tokens.len() * 4);
    for &token in tokens {
        match as_type {
            TokenType::U32 => bytes.extend_from_slice(&token.to_le_bytes()),
            TokenType::U16 => {
                let token = u16::try_from(token).map_err(|_| {
                    TokenizerError::Encode(format!("token {token} is outside its vocabulary"))
                })?;
                bytes.extend_from_slice(&token.to_le_bytes());
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn cut_back_and_written_again_is_the_same(
            parts in vec(vec(0u32..70_000, 0..30), 1..8), from: prop::sample::Index, garbage in vec(any::<u8>(), 0..50),
        ) {
            let (once, twice) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let open = |folder: &Path, total| {
                Shards::resume(folder, ShardRole::Training, TokenType::U32, 16, total).unwrap()
            };
            let mut shards = open(once.path(), 0);
            parts.iter().for_each(|part| shards.append(part).unwrap());
            shards.save().unwrap();

            let from = from.index(parts.len());
            let mut shards = open(twice.path(), 0);
            parts[..from].iter().for_each(|part| shards.append(part).unwrap());
            shards.save().unwrap();
            let saved = shards.total();
            parts[from..].iter().rev().for_each(|part| shards.append(part).unwrap());
            drop(shards);
            let mut torn = OpenOptions::new()
                .append(true).create(true).open(twice.path().join(shard_name(ShardRole::Training, saved / 16))).unwrap();
            torn.write_all(&garbage).unwrap();
            let mut shards = open(twice.path(), saved);
            parts[from..].iter().for_each(|part| shards.append(part).unwrap());
            shards.save().unwrap();
            prop_assert_eq!(content(once.path()), content(twice.path()));
        }
    }

    #[test]
    fn a_shard_that_lost_bytes_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let resume = |total| Shards::resume(folder.path(), ShardRole::HeldOut, TokenType::U16, 10, total);
        let mut shards = resume(0).unwrap();
        shards.append(&[1; 25]).unwrap();
        shards.save().unwrap();
        let refuse = |total| resume(total).err().unwrap().to_string();
        assert!(refuse(26).contains("held-out-00002.tokens has 10 bytes instead of 12"));
        fs::write(folder.path().join("held-out-00000.tokens"), [0; 22]).unwrap();
        assert!(refuse(25).contains("held-out-00000.tokens has 22 bytes instead of 20"));
    }
}
