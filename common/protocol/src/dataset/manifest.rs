//! The manifest: the list of a dataset's shards.

use super::{BLOCK, MOST_BLOCKS, MOST_SHARDS};
use base::{
    digest::{BlockTableHash, DatasetHash, TokenizerHash},
    object::{self, kind},
    wire::{Reader, WireError, Writer},
};

/// The version that this code writes and reads.
const VERSION: u8 = 1;

/// The description of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The tokenizer that made the tokens.
    pub tokenizer: TokenizerHash,
    /// The size of the vocabulary: every token is less than this.
    pub vocab: u32,
    /// The form of a token.
    pub tokens: TokenType,
    /// Tokens of a sequence, as in the run.
    pub sequence: u32,
    /// The shards: the training shards, then the held-out shards.
    pub shards: Vec<Shard>,
}

/// The form of a token, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// 2 bytes, for vocabularies of up to 65,536.
    U16,
    /// 4 bytes.
    U32,
}

/// A file of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The shard's use.
    pub role: ShardRole,
    /// The number of sequences. A training shard has whole blocks of 64.
    pub sequences: u64,
    /// The hash of its block table.
    pub blocks: BlockTableHash,
}

/// The use of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShardRole {
    /// Miners train on it, and validators evaluate on it.
    Training,
    /// No miner trains on it. It measures the run.
    HeldOut,
}

/// The reason why values do not describe a dataset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Bytes that are not a manifest.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A vocabulary that does not fit the type of the tokens.
    #[error("a vocabulary of {0} does not fit into tokens of 2 bytes")]
    Vocabulary(u32),
    /// A sequence that is too short.
    #[error("a sequence has {0} tokens: it needs at least 2")]
    Sequence(u32),
    /// A dataset without a training shard.
    #[error("the dataset has no training shard")]
    Empty,
    /// More shards than a dataset may have.
    #[error("the dataset has {0} shards: at most {MOST_SHARDS}")]
    TooManyShards(usize),
    /// A training shard after a held-out shard.
    #[error("training shard {0} follows a held-out shard: put training shards first")]
    Order(usize),
    /// A training shard that cannot be assigned in blocks.
    #[error(
        "shard {shard} has {sequences} sequences: a training shard has whole blocks of {BLOCK}, at least one"
    )]
    NotBlocks {
        /// The shard.
        shard: usize,
        /// Its sequences.
        sequences: u64,
    },
    /// A shard that is too large to verify.
    #[error("shard {shard} has {sequences} sequences: at most {MOST_BLOCKS} blocks of {BLOCK}")]
    TooLarge {
        /// The shard.
        shard: usize,
        /// Its sequences.
        sequences: u64,
    },
}

impl TokenType {
    /// Returns the size of a token in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }

    /// Returns the smallest type for a vocabulary.
    #[must_use]
    pub fn for_vocabulary(vocab: u32) -> Self {
        if vocab <= 1 << 16 { Self::U16 } else { Self::U32 }
    }
}

impl Shard {
    /// Returns the number of blocks. The last block of a held-out shard may be short.
    #[must_use]
    pub fn block_count(&self) -> u64 {
        self.sequences.div_ceil(BLOCK)
    }
}

impl Manifest {
    /// Returns the training shards. Their sequences are numbered through in this order, so block
    /// `b` of the dataset begins with sequence `64 b`.
    pub fn training(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.role == ShardRole::Training)
    }

    /// Returns the held-out shards.
    pub fn held_out(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.role == ShardRole::HeldOut)
    }

    /// Returns the number of blocks that can be assigned.
    #[must_use]
    pub fn training_blocks(&self) -> u64 {
        self.training().map(Shard::block_count).sum()
    }

    /// Returns the size of a shard's file in bytes.
    #[must_use]
    pub fn shard_bytes(&self, shard: &Shard) -> u64 {
        shard.sequences * u64::from(self.sequence) * self.tokens.bytes()
    }

    /// Returns the hash by which the run spec names the dataset.
    #[must_use]
    pub fn hash(&self) -> DatasetHash {
        DatasetHash::of(&[&self.to_bytes()])
    }

    /// Checks that the dataset can be assigned and verified.
    ///
    /// # Errors
    /// A value is invalid. The error names it.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.tokens == TokenType::U16 && self.vocab > 1 << 16 {
            return Err(ManifestError::Vocabulary(self.vocab));
        }
        if self.sequence < 2 {
            return Err(ManifestError::Sequence(self.sequence));
        }
        if self.shards.len() > MOST_SHARDS as usize {
            return Err(ManifestError::TooManyShards(self.shards.len()));
        }
        if self.training().next().is_none() {
            return Err(ManifestError::Empty);
        }
        self.shards.iter().enumerate().try_for_each(|(place, shard)| self.check_shard(place, shard))
    }

    fn check_shard(&self, place: usize, shard: &Shard) -> Result<(), ManifestError> {
        let Shard { role, sequences, .. } = *shard;
        if place > 0 && self.shards[place - 1].role > role {
            return Err(ManifestError::Order(place));
        }
        if role == ShardRole::Training && (sequences == 0 || sequences % BLOCK != 0) {
            return Err(ManifestError::NotBlocks { shard: place, sequences });
        }
        if shard.block_count() > MOST_BLOCKS {
            Err(ManifestError::TooLarge { shard: place, sequences })
        } else {
            Ok(())
        }
    }

    /// Encodes the canonical bytes.
    ///
    /// # Panics
    /// There are more than 2^32 shards, which [`Self::check`] refuses.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::new();
        let tokens = u8::try_from(self.tokens.bytes()).expect("2 or 4");
        to.u8(kind::DATASET).u8(VERSION).u8(tokens).u32(self.vocab).u32(self.sequence).raw(&self.tokenizer.0);
        to.u32(self.shards.len().try_into().expect("a checked manifest has at most 2^16 shards"));
        for shard in &self.shards {
            to.u8(shard.role as u8).u64(shard.sequences).raw(&shard.blocks.0);
        }
        to.into_bytes()
    }

    /// Decodes canonical bytes, all of them, and checks the values.
    ///
    /// # Errors
    /// The bytes are not a manifest of this version, or the manifest cannot be used.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut from = Reader::new(bytes);
        object::open(&mut from, "the dataset's manifest", kind::DATASET, VERSION)?;
        let tokens = TokenType::read(&mut from)?;
        let (vocab, sequence) = (from.u32("the vocabulary")?, from.u32("the sequence's length")?);
        let tokenizer = TokenizerHash(from.array("the tokenizer's hash")?);
        let offset = from.offset();
        let count = from.u32("the number of shards")?;
        if count > MOST_SHARDS {
            let (what, expected) = ("the number of shards", "at most 2^16");
            return Err(WireError::Value { what, offset, found: count.into(), expected }.into());
        }
        let shards = (0..count).map(|_| Shard::read(&mut from)).collect::<Result<_, _>>()?;
        from.finish("the dataset's manifest")?;
        let manifest = Self { tokenizer, vocab, tokens, sequence, shards };
        manifest.check()?;
        Ok(manifest)
    }
}

impl TokenType {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let what = "the bytes of a token";
        let offset = from.offset();
        match from.u8(what)? {
            2 => Ok(Self::U16),
            4 => Ok(Self::U32),
            found => Err(WireError::Value { what, offset, found: found.into(), expected: "2 or 4" }),
        }
    }
}

impl Shard {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let what = "the role of a shard";
        let offset = from.offset();
        let role = match from.u8(what)? {
            0 => ShardRole::Training,
            1 => ShardRole::HeldOut,
            found => return Err(WireError::Value { what, offset, found: found.into(), expected: "0 or 1" }),
        };
        let sequences = from.u64("the sequences of a shard")?;
        Ok(Self { role, sequences, blocks: BlockTableHash(from.array("the hash of a block table")?) })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn shard(role: ShardRole, sequences: u64) -> Shard {
        Shard { role, sequences, blocks: BlockTableHash([7; 32]) }
    }

    fn small() -> Manifest {
        Manifest {
            tokenizer: TokenizerHash([1; 32]),
            vocab: 4096,
            tokens: TokenType::U16,
            sequence: 128,
            shards: vec![
                shard(ShardRole::Training, 128),
                shard(ShardRole::Training, 64),
                shard(ShardRole::HeldOut, 5),
            ],
        }
    }

    #[test]
    fn blocks_are_numbered_through_the_shards_to_train_on() {
        let manifest = small();
        assert_eq!(manifest.training_blocks(), 3);
        assert_eq!(manifest.training().map(Shard::block_count).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(manifest.shard_bytes(&manifest.shards[0]), 128 * 128 * 2);
        assert_eq!(manifest.held_out().map(Shard::block_count).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_manifest_has_known_bytes() {
        let shards = "0080000000000000000707070707070707070707070707070707070707070707070707070707070707"
            .to_owned()
            + "0040000000000000000707070707070707070707070707070707070707070707070707070707070707"
            + "0105000000000000000707070707070707070707070707070707070707070707070707070707070707";
        let header = format!("e2010200100000{}{}03000000", "80000000", "01".repeat(32));
        assert_eq!(hex::encode(small().to_bytes()), header + &shards);
        assert_eq!(
            small().hash().to_string(),
            "9ca5156b5bf3f00612e0f6bb8ec3ff1943a38a0291cfbac313b6fe834bfe0a51"
        );
    }

    #[test]
    fn what_is_no_dataset_is_named() {
        let refuse = |change: fn(&mut Manifest)| {
            let mut manifest = small();
            change(&mut manifest);
            let error = manifest.check().unwrap_err();
            assert_eq!(Manifest::read(&manifest.to_bytes()), Err(error.clone()));
            error.to_string()
        };
        assert_eq!(refuse(|m| m.vocab = 70_000), "a vocabulary of 70000 does not fit into tokens of 2 bytes");
        assert_eq!(refuse(|m| m.sequence = 1), "a sequence has 1 tokens: it needs at least 2");
        assert_eq!(refuse(|m| drop(m.shards.drain(..2))), "the dataset has no training shard");
        assert_eq!(
            refuse(|m| m.shards.swap(1, 2)),
            "training shard 2 follows a held-out shard: put training shards first"
        );
        assert_eq!(
            refuse(|m| m.shards[1].sequences = 100),
            "shard 1 has 100 sequences: a training shard has whole blocks of 64, at least one"
        );
        assert!(refuse(|m| m.shards[0].sequences = 0).starts_with("shard 0 has 0 sequences"));
        assert!(refuse(|m| m.shards[2].sequences = u64::MAX).contains("at most 4194304 blocks"));
    }

    #[test]
    fn bytes_of_something_else_are_refused_before_they_are_stored() {
        let change = |at: usize, to: &[u8]| {
            let mut bytes = small().to_bytes();
            bytes[at..at + to.len()].copy_from_slice(to);
            Manifest::read(&bytes).unwrap_err().to_string()
        };
        assert_eq!(change(0, &[0x12]), "the dataset's manifest at offset 0 is 18: another kind of object");
        assert_eq!(change(1, &[2]), "the dataset's manifest at offset 1 is 2: a version that is not known");
        assert_eq!(change(2, &[3]), "the bytes of a token at offset 2 is 3: 2 or 4");
        assert_eq!(change(43, &[0, 0, 1, 1]), "the number of shards at offset 43 is 16842752: at most 2^16");
        assert_eq!(change(47, &[9]), "the role of a shard at offset 47 is 9: 0 or 1");
    }

    proptest! {
        #[test]
        fn manifests_round_trip_and_every_flipped_bit_is_another(
            blocks in vec(1u64..1000, 1..6), held in vec(0u64..1000, 0..3), hash: [u8; 32], bit: usize,
        ) {
            let training = blocks.iter().map(|blocks| shard(ShardRole::Training, 64 * blocks));
            let held = held.iter().map(|&sequences| shard(ShardRole::HeldOut, sequences));
            let shards = training.chain(held).collect();
            let manifest = Manifest { tokenizer: TokenizerHash(hash), shards, ..small() };
            let mut bytes = manifest.to_bytes();
            prop_assert_eq!(Manifest::read(&bytes), Ok(manifest.clone()));
            for cut in 0..bytes.len() {
                prop_assert!(Manifest::read(&bytes[..cut]).is_err());
            }
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Manifest::read(&bytes).map_or(true, |other| other.hash() != manifest.hash()));
        }

        #[test]
        fn any_bytes_are_refused_or_the_same_again(bytes in vec(any::<u8>(), 0..200)) {
            let bytes = [&small().to_bytes()[..47], &bytes].concat();
            if let Ok(manifest) = Manifest::read(&bytes) {
                prop_assert_eq!(manifest.to_bytes(), bytes);
            }
        }
    }
}
