//! Token files, mapped into memory: u16 or u32, little endian, nothing else in them.

use crate::{
    batch::{Batch, BatchError},
    raw,
};
use memmap2::Mmap;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// How a token is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenWidth {
    /// 2 bytes: vocabularies of up to 65,536.
    U16,
    /// 4 bytes.
    U32,
}

/// Files of tokens, seen as sequences of one length. The sequences of the files are counted on from file to file; what
/// is left at the end of a file is no sequence.
#[derive(Debug)]
pub struct Shards {
    files: Vec<Shard>,
    width: TokenWidth,
    sequence: usize,
}

#[derive(Debug)]
struct Shard {
    bytes: Mmap,
    /// Sequences in all files up to this one.
    end: u64,
}

/// Why tokens could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// A file that could not be opened.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that ends within a token.
    #[error("{} has {bytes} bytes, no whole number of tokens of {width} bytes: it was cut off", path.display())]
    Uneven {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// Bytes of a token.
        width: usize,
    },
    /// A sequence behind the last one.
    #[error("sequence {found} of the data: there are {sequences}")]
    Outside {
        /// The sequence.
        found: u64,
        /// How many there are.
        sequences: u64,
    },
    /// What was asked for is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl TokenWidth {
    /// Bytes of a token.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }
}

impl Shards {
    /// Maps files of tokens. Their contents are not looked at yet.
    ///
    /// # Errors
    /// A file cannot be opened, or ends within a token.
    pub fn open<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        width: TokenWidth,
        sequence: usize,
    ) -> Result<Self, ShardError> {
        if sequence < 2 {
            return Err(BatchError::Short(sequence).into());
        }
        let mut end = 0;
        let mut open = |path: P| {
            let bytes = map(path.as_ref(), width)?;
            end += (bytes.len() / (sequence * width.bytes())) as u64;
            Ok(Shard { bytes, end })
        };
        let files = paths.into_iter().map(&mut open).collect::<Result<_, ShardError>>()?;
        Ok(Self { files, width, sequence })
    }

    /// How many sequences there are.
    #[must_use]
    pub fn sequences(&self) -> u64 {
        self.files.last().map_or(0, |file| file.end)
    }

    /// Some sequences, in the order given.
    ///
    /// # Errors
    /// A sequence is not there, or none was asked for.
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
        let length = self.sequence * self.width.bytes();
        let start = usize::try_from(sequence - first).map_err(|_| outside())? * length;
        let bytes = &file.bytes[start..start + length];
        match self.width {
            TokenWidth::U16 => {
                let pairs = bytes.as_chunks().0.iter();
                tokens.extend(pairs.map(|&pair| u32::from(u16::from_le_bytes(pair))));
            }
            TokenWidth::U32 => {
                tokens.extend(bytes.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four)))
            }
        }
        Ok(())
    }
}

fn map(path: &Path, width: TokenWidth) -> Result<Mmap, ShardError> {
    let refuse = |source| ShardError::File { path: path.to_owned(), source };
    let bytes = raw::map(&File::open(path).map_err(refuse)?).map_err(refuse)?;
    match bytes.len().is_multiple_of(width.bytes()) {
        true => Ok(bytes),
        false => {
            Err(ShardError::Uneven { path: path.to_owned(), bytes: bytes.len() as u64, width: width.bytes() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        let shards = Shards::open(&paths, TokenWidth::U16, 3).unwrap();
        assert_eq!(shards.sequences(), 3);
        let batch = shards.batch(&[2, 0, 1]).unwrap();
        assert_eq!((batch.tokens(), batch.sequence()), (&[7, 8, 65_535, 1, 2, 3, 4, 5, 6][..], 3));
        let error = shards.batch(&[0, 3]).unwrap_err().to_string();
        assert_eq!(error, "sequence 3 of the data: there are 3");
        assert!(matches!(shards.batch(&[]), Err(ShardError::Batch(BatchError::Uneven { .. }))));
        assert!(matches!(shards.batch(&[u64::MAX]), Err(ShardError::Outside { .. })));
    }

    #[test]
    fn wide_tokens_keep_all_bits() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, [1u32, 262_143, u32::MAX, 4].map(u32::to_le_bytes).concat()).unwrap();
        let shards = Shards::open([file.path()], TokenWidth::U32, 2).unwrap();
        assert_eq!(shards.batch(&[0, 1]).unwrap().tokens(), [1, 262_143, u32::MAX, 4]);
    }

    #[test]
    fn files_that_are_no_shards_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard-000.bin");
        let open = || Shards::open([&path], TokenWidth::U32, 2).unwrap_err().to_string();
        assert!(open().contains("shard-000.bin: No such file"), "{}", open());
        fs::write(&path, [0; 7]).unwrap();
        assert!(open().contains("has 7 bytes, no whole number of tokens of 4 bytes"), "{}", open());
        assert!(matches!(Shards::open([&path], TokenWidth::U16, 1), Err(ShardError::Batch(_))));
    }
}
