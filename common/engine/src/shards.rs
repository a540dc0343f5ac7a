//! Token files, mapped into memory. They contain only tokens: u16 or u32, little endian.

use crate::{
    batch::{Batch, BatchError},
    raw,
};
use memmap2::Mmap;
use protocol::dataset::{BLOCK, BlockTable, Manifest, ShardRole, TokenType};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Files of tokens, read as sequences of one length. Sequence numbers continue from file to file.
/// Tokens left over at the end of a file belong to no sequence.
#[derive(Debug)]
pub struct Shards {
    files: Vec<Shard>,
    tokens: TokenType,
    sequence: usize,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    bytes: Mmap,
    /// The number of sequences in all files up to and including this one.
    end: u64,
}

/// The reason why tokens cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// A file that cannot be opened.
    #[error("cannot open {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that ends within a token.
    #[error("{} is cut off: {bytes} bytes are not a whole number of {width}-byte tokens", path.display())]
    Uneven {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// Bytes of a token.
        width: u64,
    },
    /// More or fewer files than the dataset's manifest lists.
    #[error("found {found} token files: the manifest lists {expected}")]
    Files {
        /// Files given.
        found: usize,
        /// Shards of the manifest.
        expected: usize,
    },
    /// A file of another length than the manifest's.
    #[error("{} has {found} bytes, the manifest says {expected}: download or prepare it again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// Its length in the manifest.
        expected: u64,
    },
    /// A block whose tokens differ from the dataset's.
    #[error("block {block} of {} differs from the dataset's: download or prepare it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The block in the file, from 0.
        block: usize,
    },
    /// A sequence number after the last sequence.
    #[error("cannot read sequence {found}: the data has {sequences} sequences")]
    Outside {
        /// The sequence.
        found: u64,
        /// The number of sequences.
        sequences: u64,
    },
    /// Sequences that do not form a batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl Shards {
    /// Maps files of tokens. It does not read their contents yet.
    ///
    /// # Errors
    /// A file cannot be opened, or ends within a token.
    pub fn open<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        tokens: TokenType,
        sequence: usize,
    ) -> Result<Self, ShardError> {
        if sequence < 2 {
            return Err(BatchError::Short(sequence).into());
        }
        let mut end = 0;
        let mut open = |path: P| {
            let bytes = map(path.as_ref(), tokens)?;
            end += bytes.len() as u64 / (sequence as u64 * tokens.bytes());
            Ok(Shard { path: path.as_ref().to_owned(), bytes, end })
        };
        let files = paths.into_iter().map(&mut open).collect::<Result<_, ShardError>>()?;
        Ok(Self { files, tokens, sequence })
    }

    /// Maps the files of a dataset's shards of one role, in the manifest's order, and compares their
    /// lengths.
    ///
    /// # Errors
    /// A file is missing or has another length, or the number of files differs from the number of shards.
    pub fn of<P: AsRef<Path>>(
        manifest: &Manifest,
        role: ShardRole,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, ShardError> {
        let shards = Self::open(paths, manifest.tokens, manifest.sequence as usize)?;
        let listed: Vec<_> = manifest.shards.iter().filter(|shard| shard.role == role).collect();
        if shards.files.len() != listed.len() {
            return Err(ShardError::Files { found: shards.files.len(), expected: listed.len() });
        }
        for (file, shard) in shards.files.iter().zip(listed) {
            let found = file.bytes.len() as u64;
            let expected = manifest.shard_bytes(shard);
            if found != expected {
                return Err(ShardError::Length { path: file.path.clone(), found, expected });
            }
        }
        Ok(shards)
    }

    /// Compares all blocks of a file with their hashes. It reads the whole file.
    ///
    /// # Errors
    /// Names the first block that differs, is missing, or is surplus.
    pub fn verify(&self, file: usize, table: &BlockTable) -> Result<(), ShardError> {
        let Some(Shard { path, bytes, .. }) = self.files.get(file) else {
            return Err(ShardError::Files { found: self.files.len(), expected: file + 1 });
        };
        let block = usize::try_from(BLOCK).expect("64 fits") * self.sequence_bytes();
        let blocks = bytes.chunks(block);
        let count = blocks.len().max(table.blocks().len());
        let mut blocks = blocks.map(Some).chain(std::iter::repeat(None)).take(count).enumerate();
        let differs =
            |block: usize, tokens: Option<&[u8]>| tokens.is_none_or(|tokens| !table.verify(block, tokens));
        match blocks.find(|&(block, tokens)| differs(block, tokens)) {
            None => Ok(()),
            Some((block, _)) => Err(ShardError::Changed { path: path.clone(), block }),
        }
    }

    /// Returns the number of sequences.
    #[must_use]
    pub fn sequences(&self) -> u64 {
        self.files.last().map_or(0, |file| file.end)
    }

    /// Reads some sequences into a batch, in the order given.
    ///
    /// # Errors
    /// A sequence does not exist, or the list is empty.
    pub fn batch(&self, sequences: &[u64]) -> Result<Batch, ShardError> {
        let mut tokens = Vec::with_capacity(sequences.len() * self.sequence);
        for &sequence in sequences {
            self.append(sequence, &mut tokens)?;
        }
        Ok(Batch::new(tokens, self.sequence)?)
    }

    fn append(&self, sequence: u64, tokens: &mut Vec<u32>) -> Result<(), ShardError> {
        let number = self.files.partition_point(|file| file.end <= sequence);
        let outside = || ShardError::Outside { found: sequence, sequences: self.sequences() };
        let file = self.files.get(number).ok_or_else(outside)?;
        let first = number.checked_sub(1).map_or(0, |before| self.files[before].end);
        let length = self.sequence_bytes();
        let start = usize::try_from(sequence - first).map_err(|_| outside())? * length;
        let bytes = &file.bytes[start..start + length];
        match self.tokens {
            TokenType::U16 => {
                let pairs = bytes.as_chunks().0.iter();
                tokens.extend(pairs.map(|&pair| u32::from(u16::from_le_bytes(pair))));
            }
            TokenType::U32 => tokens.extend(bytes.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four))),
        }
        Ok(())
    }

    fn sequence_bytes(&self) -> usize {
        let width = match self.tokens {
            TokenType::U16 => 2,
            TokenType::U32 => 4,
        };
        self.sequence * width
    }
}

fn map(path: &Path, tokens: TokenType) -> Result<Mmap, ShardError> {
    let refuse = |source| ShardError::File { path: path.to_owned(), source };
    let bytes = raw::map(&File::open(path).map_err(refuse)?).map_err(refuse)?;
    let length = bytes.len() as u64;
    let width = tokens.bytes();
    if length.is_multiple_of(width) {
        Ok(bytes)
    } else {
        Err(ShardError::Uneven { path: path.to_owned(), bytes: length, width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::digest::TokenizerHash;
    use protocol::dataset::{self, block_hash};
    use std::fs;

    /// Creates a dataset of two training shards and one held-out shard, with their files and tables.
    fn dataset(folder: &Path) -> (Manifest, Vec<PathBuf>, Vec<BlockTable>) {
        let mut manifest = Manifest {
            tokenizer: TokenizerHash([1; 32]),
            vocab: 300,
            tokens: TokenType::U16,
            sequence: 4,
            shards: vec![],
        };
        let (mut paths, mut tables) = (vec![], vec![]);
        for (name, role, sequences) in
            [("a", ShardRole::Training, 128), ("b", ShardRole::Training, 64), ("c", ShardRole::HeldOut, 70)]
        {
            let bytes: Vec<u8> =
                (0..sequences * 4).flat_map(|token: u16| (token % 300).to_le_bytes()).collect();
            let table = BlockTable::new(bytes.chunks(64 * 4 * 2).map(block_hash).collect());
            manifest.shards.push(dataset::Shard { role, sequences: sequences.into(), blocks: table.hash() });
            paths.push(folder.join(name));
            fs::write(folder.join(name), bytes).unwrap();
            tables.push(table);
        }
        (manifest, paths, tables)
    }

    #[test]
    fn the_shards_of_a_dataset_are_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, paths, tables) = dataset(folder.path());
        let training = Shards::of(&manifest, ShardRole::Training, &paths[..2]).unwrap();
        assert_eq!(training.sequences(), 64 * manifest.training_blocks());
        assert_eq!(training.batch(&[128]).unwrap().tokens(), [0, 1, 2, 3], "the second file's first");
        let held_out = Shards::of(&manifest, ShardRole::HeldOut, &paths[2..]).unwrap();
        assert_eq!(held_out.sequences(), 70);
        held_out.verify(0, &tables[2]).unwrap();
        training.verify(0, &tables[0]).unwrap();
        training.verify(1, &tables[1]).unwrap();

        let few = Shards::of(&manifest, ShardRole::Training, &paths[..1]).unwrap_err().to_string();
        assert_eq!(few, "found 1 token files: the manifest lists 2");
        let swapped = Shards::of(&manifest, ShardRole::HeldOut, &paths[1..2]).unwrap_err().to_string();
        assert!(
            swapped.contains("has 512 bytes, the manifest says 560: download or prepare it again"),
            "{swapped}"
        );
    }

    #[test]
    fn a_changed_block_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, paths, tables) = dataset(folder.path());
        let mut bytes = fs::read(&paths[0]).unwrap();
        bytes[1000] ^= 4;
        fs::write(&paths[0], bytes).unwrap();
        let training = Shards::of(&manifest, ShardRole::Training, &paths[..2]).unwrap();
        let error = training.verify(0, &tables[0]).unwrap_err().to_string();
        assert!(error.starts_with("block 1 of ") && error.contains("differs from the dataset's"), "{error}");
        assert!(matches!(training.verify(1, &tables[2]), Err(ShardError::Changed { block: 1, .. })));
        assert!(matches!(training.verify(2, &tables[2]), Err(ShardError::Files { found: 2, expected: 3 })));
    }

    #[test]
    fn sequences_are_counted_over_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, tokens: &[u16]| {
            let path = folder.path().join(name);
            fs::write(&path, tokens.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<_>>())
                .unwrap();
            path
        };
        let paths = [
            write("a", &[1, 2, 3, 4, 5, 6, 60_000]),
            write("empty", &[]),
            write("short", &[9]),
            write("b", &[7, 8, 65_535]),
        ];
        let shards = Shards::open(&paths, TokenType::U16, 3).unwrap();
        assert_eq!(shards.sequences(), 3);
        let batch = shards.batch(&[2, 0, 1]).unwrap();
        assert_eq!((batch.tokens(), batch.sequence()), (&[7, 8, 65_535, 1, 2, 3, 4, 5, 6][..], 3));
        let error = shards.batch(&[0, 3]).unwrap_err().to_string();
        assert_eq!(error, "cannot read sequence 3: the data has 3 sequences");
        assert!(matches!(shards.batch(&[]), Err(ShardError::Batch(BatchError::Uneven { .. }))));
        assert!(matches!(shards.batch(&[u64::MAX]), Err(ShardError::Outside { .. })));
    }

    #[test]
    fn wide_tokens_keep_all_bits() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, [1u32, 262_143, u32::MAX, 4].map(u32::to_le_bytes).concat()).unwrap();
        let shards = Shards::open([file.path()], TokenType::U32, 2).unwrap();
        assert_eq!(shards.batch(&[0, 1]).unwrap().tokens(), [1, 262_143, u32::MAX, 4]);
    }

    #[test]
    fn files_that_are_no_shards_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard-000.bin");
        let open = || base::ErrorChain(&Shards::open([&path], TokenType::U32, 2).unwrap_err()).to_string();
        assert!(open().contains("shard-000.bin: No such file"), "{}", open());
        fs::write(&path, [0; 7]).unwrap();
        assert!(open().contains("is cut off: 7 bytes are not a whole number of 4-byte tokens"), "{}", open());
        assert!(matches!(Shards::open([&path], TokenType::U16, 1), Err(ShardError::Batch(_))));
    }
}
