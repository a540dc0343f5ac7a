//! The types of a commitment, in the chain's own encoding. The variant index of raw bytes is their
//! length plus one.

use crate::types::TaoBalance;
use frame_support::{BoundedVec, traits::ConstU32};
use parity_scale_codec::{
    Decode, DecodeWithMemTracking, Encode, EncodeLike, Error, Input, MaxEncodedLen, Output,
};
use scale_info::{
    Path, Type, TypeInfo,
    build::{Fields, Variants},
};

/// The maximum number of fields in a commitment.
pub type MaxFields = ConstU32<3>;
/// The maximum number of bytes of a `BigRaw` field.
pub type MaxBigRaw = ConstU32<512>;
/// The maximum number of bytes of a timelocked field.
pub type MaxTimelocked = ConstU32<1024>;

/// The maximum number of bytes of a `Raw…` field. The variant index of the longest one is larger by one.
const MAX_RAW: usize = 128;

/// One field of a commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// No data.
    None,
    /// Up to 128 bytes.
    Raw(BoundedVec<u8, ConstU32<{ MAX_RAW as u32 }>>),
    /// A hash of data stored elsewhere. The variant index names its algorithm (130 to 133).
    Hash(HashKind, [u8; 32]),
    /// Bytes that can be decrypted after a drand round.
    TimelockEncrypted(Timelocked),
    /// A request that the subnet drop the bonds to this neuron.
    ResetBondsFlag,
    /// Up to 512 bytes.
    BigRaw(BoundedVec<u8, MaxBigRaw>),
    /// Timelocked bytes that could not be decrypted.
    TimelockRevealFailed(Timelocked),
}

/// The hash algorithms of a `Hash` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// BLAKE2b, 256 bits.
    BlakeTwo256,
    /// SHA-2, 256 bits.
    Sha256,
    /// Keccak, 256 bits.
    Keccak256,
    /// SHA-3, 256 bits.
    ShaThree256,
}

/// Bytes encrypted to a drand round.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo, MaxEncodedLen)]
pub struct Timelocked {
    /// The ciphertext.
    pub encrypted: BoundedVec<u8, MaxTimelocked>,
    /// The round whose signature decrypts the bytes.
    pub reveal_round: u64,
}

impl HashKind {
    const ALL: [Self; 4] = [Self::BlakeTwo256, Self::Sha256, Self::Keccak256, Self::ShaThree256];

    fn name(self) -> &'static str {
        match self {
            Self::BlakeTwo256 => "BlakeTwo256",
            Self::Sha256 => "Sha256",
            Self::Keccak256 => "Keccak256",
            Self::ShaThree256 => "ShaThree256",
        }
    }
}

const FIRST_HASH: u8 = 130;
const TIMELOCK_ENCRYPTED: u8 = 134;
const RESET_BONDS_FLAG: u8 = 135;
const BIG_RAW: u8 = 136;
const TIMELOCK_REVEAL_FAILED: u8 = 137;

impl Data {
    /// Returns the bytes that the field charges to the epoch's space.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::None | Self::ResetBondsFlag => 0,
            Self::Raw(bytes) => bytes.len(),
            Self::Hash(..) => 32,
            Self::TimelockEncrypted(timelocked) | Self::TimelockRevealFailed(timelocked) => {
                timelocked.encrypted.len()
            }
            Self::BigRaw(bytes) => bytes.len(),
        }
    }

    /// Checks whether the field is free.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn number(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Raw(bytes) => bytes.len() as u8 + 1,
            Self::Hash(kind, _) => FIRST_HASH + *kind as u8,
            Self::TimelockEncrypted(_) => TIMELOCK_ENCRYPTED,
            Self::ResetBondsFlag => RESET_BONDS_FLAG,
            Self::BigRaw(_) => BIG_RAW,
            Self::TimelockRevealFailed(_) => TIMELOCK_REVEAL_FAILED,
        }
    }
}

impl Encode for Data {
    fn encode_to<O: Output + ?Sized>(&self, out: &mut O) {
        out.push_byte(self.number());
        match self {
            Self::None | Self::ResetBondsFlag => {}
            Self::Raw(bytes) => out.write(bytes),
            Self::Hash(_, hash) => out.write(hash),
            Self::TimelockEncrypted(timelocked) | Self::TimelockRevealFailed(timelocked) => {
                timelocked.encode_to(out);
            }
            Self::BigRaw(bytes) => bytes.encode_to(out),
        }
    }
}

impl EncodeLike for Data {}

impl Decode for Data {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let number = input.read_byte()?;
        Ok(match number {
            0 => Self::None,
            1..FIRST_HASH => {
                let mut bytes = vec![0; usize::from(number) - 1];
                input.read(&mut bytes)?;
                Self::Raw(bytes.try_into().map_err(|_| "Raw field longer than 128 bytes")?)
            }
            FIRST_HASH..TIMELOCK_ENCRYPTED => {
                Self::Hash(HashKind::ALL[usize::from(number - FIRST_HASH)], Decode::decode(input)?)
            }
            TIMELOCK_ENCRYPTED => Self::TimelockEncrypted(Decode::decode(input)?),
            RESET_BONDS_FLAG => Self::ResetBondsFlag,
            BIG_RAW => Self::BigRaw(Decode::decode(input)?),
            TIMELOCK_REVEAL_FAILED => Self::TimelockRevealFailed(Decode::decode(input)?),
            _ => return Err("unknown kind of commitment field".into()),
        })
    }
}

impl DecodeWithMemTracking for Data {}

impl MaxEncodedLen for Data {
    fn max_encoded_len() -> usize {
        1 + Timelocked::max_encoded_len()
    }
}

/// Adds `Raw0` to `Raw128`, each a variant with an array of that length.
macro_rules! raw_variants {
    ($variants:expr, $($n:literal)+) => {
        $variants$(.variant(concat!("Raw", $n), |v| {
            v.index($n + 1).fields(Fields::unnamed().field(|f| f.ty::<[u8; $n]>()))
        }))+
    };
}

impl TypeInfo for Data {
    type Identity = Self;

    fn type_info() -> Type {
        let variants = Variants::new().variant("None", |v| v.index(0));
        let variants = raw_variants!(variants,
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38
            39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74
            75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107
            108 109 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128
        );
        let variants = HashKind::ALL.into_iter().fold(variants, |variants, kind| {
            let hash = || Fields::unnamed().field(|f| f.ty::<[u8; 32]>());
            variants.variant(kind.name(), |v| v.index(FIRST_HASH + kind as u8).fields(hash()))
        });
        let timelocked = || {
            Fields::named()
                .field(|f| f.name("encrypted").ty::<BoundedVec<u8, MaxTimelocked>>())
                .field(|f| f.name("reveal_round").ty::<u64>())
        };
        let big = || Fields::unnamed().field(|f| f.ty::<BoundedVec<u8, MaxBigRaw>>());
        let variants = variants
            .variant("TimelockEncrypted", |v| v.index(TIMELOCK_ENCRYPTED).fields(timelocked()))
            .variant("ResetBondsFlag", |v| v.index(RESET_BONDS_FLAG))
            .variant("BigRaw", |v| v.index(BIG_RAW).fields(big()))
            .variant("TimelockRevealFailed", |v| v.index(TIMELOCK_REVEAL_FAILED).fields(timelocked()));
        let path = Path::from_segments(["pallet_commitments", "types", "Data"])
            .expect("the segments are identifiers");
        Type::builder().path(path).variant(variants)
    }
}

/// The fields of a commitment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo, MaxEncodedLen)]
pub struct CommitmentInfo {
    /// The fields, at most three.
    pub fields: BoundedVec<Data, MaxFields>,
}

/// A stored commitment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Registration<BlockNumber> {
    /// The deposit; always zero.
    pub deposit: TaoBalance,
    /// The height of the write.
    pub block: BlockNumber,
    /// The fields.
    pub info: CommitmentInfo,
}

/// The space that a hotkey has used in an epoch.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo, MaxEncodedLen,
)]
pub struct UsageTracker {
    /// The epoch that `used_space` refers to.
    pub last_epoch: u64,
    /// The used space, in bytes.
    pub used_space: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Data> {
        let timelocked = Timelocked { encrypted: vec![7; 1024].try_into().unwrap(), reveal_round: 9 };
        let mut samples: Vec<Data> =
            (0..=MAX_RAW).map(|n| Data::Raw(vec![n as u8; n].try_into().unwrap())).collect();
        samples.extend(HashKind::ALL.map(|kind| Data::Hash(kind, [3; 32])));
        samples.extend([
            Data::None,
            Data::ResetBondsFlag,
            Data::BigRaw(vec![1; 512].try_into().unwrap()),
            Data::TimelockEncrypted(timelocked.clone()),
            Data::TimelockRevealFailed(timelocked),
        ]);
        samples
    }

    #[test]
    fn every_kind_of_field_comes_back() {
        for data in samples() {
            let bytes = data.encode();
            assert_eq!(Data::decode(&mut &bytes[..]).as_ref(), Ok(&data));
            assert!(bytes.len() <= Data::max_encoded_len());
            for cut in 0..bytes.len() {
                assert!(Data::decode(&mut &bytes[..cut]).is_err(), "{data:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn unknown_kinds_and_overlong_fields_are_refused() {
        for number in 138..=255 {
            assert!(Data::decode(&mut &[number; 64][..]).is_err());
        }
        let long = [&[BIG_RAW][..], &vec![0_u8; 513].encode()].concat();
        assert!(Data::decode(&mut &long[..]).is_err());
    }
}
