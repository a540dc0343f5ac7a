//! A hotkey's commitment on a subnet: at most three [`Field`]s, in the chain's own bytes.
//!
//! This is the outer format, as the chain's pallet `Commitments` defines it (spec 461). Muster writes
//! its own formats (bucket, claim, vote) into the fields. Each write replaces the whole commitment. The
//! chain counts [`Fields::cost`] bytes for each write against a budget per epoch.

use parity_scale_codec::{Compact, Decode, Encode, Input, Output};

/// Maximum number of fields of a commitment (`Commitments.MaxFields`).
pub const MAX_FIELDS: usize = 3;
/// Maximum number of bytes of [`Field::Raw`].
pub const MAX_RAW: usize = 128;
/// Maximum number of bytes of [`Field::BigRaw`].
pub const MAX_BIG_RAW: usize = 512;
/// Maximum number of bytes of the ciphertext of [`Field::TimelockEncrypted`].
pub const MAX_TIMELOCK: usize = 1024;
/// Minimum number of bytes that the chain counts for a call of `set_commitment`.
pub const MIN_COST: u64 = 100;
/// Bytes of the longest commitment on chain, with deposit, block and the length of the list.
pub const MAX_ENCODED: usize = 8 + 4 + 1 + MAX_FIELDS * (1 + 2 + MAX_TIMELOCK + 8);

/// An error in the bytes or fields of a commitment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    /// More than three fields.
    #[error("a commitment has at most {MAX_FIELDS} fields, not {0}")]
    TooManyFields(usize),
    /// A field is longer than its kind allows.
    #[error("a {kind} field has at most {limit} bytes, not {length}")]
    TooLong {
        /// The kind of field.
        kind: &'static str,
        /// The number of bytes of the field.
        length: usize,
        /// The maximum for this kind.
        limit: usize,
    },
    /// A field that only the chain itself may write.
    #[error("only the chain may write a TimelockRevealFailed field: leave it out")]
    ChainOnly,
    /// Bytes that do not decode as the chain's type.
    #[error("the commitment's bytes are malformed: {0}")]
    Malformed(String),
}

/// One field of a commitment: the chain's type `Data`.
///
/// The lengths of the variants that carry bytes have the chain's bounds. The constructors
/// ([`Field::raw`] and others) and decoding check them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// An empty field.
    None,
    /// Up to 128 bytes.
    Raw(Bytes<MAX_RAW>),
    /// A BLAKE2b-256 hash of something published elsewhere.
    BlakeTwo256([u8; 32]),
    /// A SHA2-256 hash of something published elsewhere.
    Sha256([u8; 32]),
    /// A Keccak-256 hash of something published elsewhere.
    Keccak256([u8; 32]),
    /// A SHA3-256 hash of something published elsewhere.
    ShaThree256([u8; 32]),
    /// Bytes encrypted to a future round of drand's beacon. The chain decrypts them in that round.
    TimelockEncrypted {
        /// The ciphertext.
        encrypted: Bytes<MAX_TIMELOCK>,
        /// The drand round whose signature decrypts them.
        reveal_round: u64,
    },
    /// A request to the chain to reset the bonds of the subnet's owner.
    ResetBondsFlag,
    /// Up to 512 bytes.
    BigRaw(Bytes<MAX_BIG_RAW>),
    /// A ciphertext that the chain could not decrypt. Only the chain writes it, since spec 461.
    TimelockRevealFailed {
        /// The ciphertext.
        encrypted: Bytes<MAX_TIMELOCK>,
        /// The drand round whose signature should have decrypted it.
        reveal_round: u64,
    },
}

impl Field {
    /// Creates a field of up to 128 bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Result<Self, CommitmentError> {
        Bytes::new("Raw", bytes.into()).map(Self::Raw)
    }

    /// Creates a field of up to 512 bytes.
    pub fn big_raw(bytes: impl Into<Vec<u8>>) -> Result<Self, CommitmentError> {
        Bytes::new("BigRaw", bytes.into()).map(Self::BigRaw)
    }

    /// Creates a field that the chain decrypts in the given round of drand's beacon.
    pub fn timelock_encrypted(
        encrypted: impl Into<Vec<u8>>,
        reveal_round: u64,
    ) -> Result<Self, CommitmentError> {
        let encrypted = Bytes::new("TimelockEncrypted", encrypted.into())?;
        Ok(Self::TimelockEncrypted { encrypted, reveal_round })
    }

    /// Returns the bytes of the field that the chain counts.
    pub fn payload(&self) -> &[u8] {
        match self {
            Self::None | Self::ResetBondsFlag => &[],
            Self::Raw(bytes) => bytes.as_slice(),
            Self::BigRaw(bytes) => bytes.as_slice(),
            Self::BlakeTwo256(hash)
            | Self::Sha256(hash)
            | Self::Keccak256(hash)
            | Self::ShaThree256(hash) => hash,
            Self::TimelockEncrypted { encrypted, .. } | Self::TimelockRevealFailed { encrypted, .. } => {
                encrypted.as_slice()
            }
        }
    }
}

/// Bytes, at most `MAX` of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    fn new(kind: &'static str, bytes: Vec<u8>) -> Result<Self, CommitmentError> {
        match bytes.len() {
            length if length > MAX => Err(CommitmentError::TooLong { kind, length, limit: MAX }),
            _ => Ok(Self(bytes)),
        }
    }

    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Encode for Bytes<MAX> {
    fn encode_to<O: Output + ?Sized>(&self, out: &mut O) {
        self.0.encode_to(out);
    }
}

impl<const MAX: usize> Decode for Bytes<MAX> {
    fn decode<I: Input>(input: &mut I) -> Result<Self, parity_scale_codec::Error> {
        let length = Compact::<u32>::decode(input)?.0 as usize;
        read(input, length)
    }
}

/// Reads exactly `length` bytes. Never allocates more than `MAX`.
fn read<const MAX: usize, I: Input>(
    input: &mut I,
    length: usize,
) -> Result<Bytes<MAX>, parity_scale_codec::Error> {
    if length > MAX {
        return Err("a field is longer than its kind allows".into());
    }
    let mut bytes = vec![0u8; length];
    input.read(&mut bytes)?;
    Ok(Bytes(bytes))
}

/// The first byte of a field on chain, by kind. `Raw` has one for each length: from 1 for no byte to
/// 129 for 128 bytes.
mod tag {
    pub(super) const NONE: u8 = 0;
    pub(super) const RAW: u8 = 1;
    pub(super) const RAW_LAST: u8 = 129;
    pub(super) const BLAKE_TWO_256: u8 = 130;
    pub(super) const SHA_256: u8 = 131;
    pub(super) const KECCAK_256: u8 = 132;
    pub(super) const SHA_THREE_256: u8 = 133;
    pub(super) const TIMELOCK_ENCRYPTED: u8 = 134;
    pub(super) const RESET_BONDS_FLAG: u8 = 135;
    pub(super) const BIG_RAW: u8 = 136;
    pub(super) const TIMELOCK_REVEAL_FAILED: u8 = 137;
}

impl Encode for Field {
    fn encode_to<O: Output + ?Sized>(&self, out: &mut O) {
        match self {
            Self::None => out.push_byte(tag::NONE),
            Self::Raw(bytes) => {
                let length = u8::try_from(bytes.0.len()).expect("at most 128 bytes by construction");
                out.push_byte(tag::RAW + length);
                out.write(&bytes.0);
            }
            Self::BlakeTwo256(hash) => (tag::BLAKE_TWO_256, hash).encode_to(out),
            Self::Sha256(hash) => (tag::SHA_256, hash).encode_to(out),
            Self::Keccak256(hash) => (tag::KECCAK_256, hash).encode_to(out),
            Self::ShaThree256(hash) => (tag::SHA_THREE_256, hash).encode_to(out),
            Self::TimelockEncrypted { encrypted, reveal_round } => {
                (tag::TIMELOCK_ENCRYPTED, encrypted, reveal_round).encode_to(out);
            }
            Self::ResetBondsFlag => out.push_byte(tag::RESET_BONDS_FLAG),
            Self::BigRaw(bytes) => (tag::BIG_RAW, bytes).encode_to(out),
            Self::TimelockRevealFailed { encrypted, reveal_round } => {
                (tag::TIMELOCK_REVEAL_FAILED, encrypted, reveal_round).encode_to(out);
            }
        }
    }
}

impl Decode for Field {
    fn decode<I: Input>(input: &mut I) -> Result<Self, parity_scale_codec::Error> {
        Ok(match input.read_byte()? {
            tag::NONE => Self::None,
            tag @ tag::RAW..=tag::RAW_LAST => Self::Raw(read(input, usize::from(tag - tag::RAW))?),
            tag::BLAKE_TWO_256 => Self::BlakeTwo256(Decode::decode(input)?),
            tag::SHA_256 => Self::Sha256(Decode::decode(input)?),
            tag::KECCAK_256 => Self::Keccak256(Decode::decode(input)?),
            tag::SHA_THREE_256 => Self::ShaThree256(Decode::decode(input)?),
            tag::TIMELOCK_ENCRYPTED => {
                let (encrypted, reveal_round) = Decode::decode(input)?;
                Self::TimelockEncrypted { encrypted, reveal_round }
            }
            tag::RESET_BONDS_FLAG => Self::ResetBondsFlag,
            tag::BIG_RAW => Self::BigRaw(Decode::decode(input)?),
            tag::TIMELOCK_REVEAL_FAILED => {
                let (encrypted, reveal_round) = Decode::decode(input)?;
                Self::TimelockRevealFailed { encrypted, reveal_round }
            }
            _ => return Err("a field of a kind that is not known".into()),
        })
    }
}

/// The fields of a commitment: at most three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// Creates a commitment of these fields.
    ///
    /// Refuses [`Field::TimelockRevealFailed`], since only the chain may write it.
    pub fn new(fields: Vec<Field>) -> Result<Self, CommitmentError> {
        if fields.len() > MAX_FIELDS {
            return Err(CommitmentError::TooManyFields(fields.len()));
        }
        if fields.iter().any(|field| matches!(field, Field::TimelockRevealFailed { .. })) {
            return Err(CommitmentError::ChainOnly);
        }
        Ok(Self(fields))
    }

    /// Returns the fields, in order.
    pub fn as_slice(&self) -> &[Field] {
        &self.0
    }

    /// Returns the bytes that the chain counts for one call with these fields: their payloads, at least
    /// [`MIN_COST`].
    ///
    /// Source: `set_commitment` of the chain's pallet `Commitments`.
    pub fn cost(&self) -> u64 {
        let carried: u64 = self.0.iter().map(|field| field.payload().len() as u64).sum();
        carried.max(MIN_COST)
    }
}

impl Encode for Fields {
    fn encode_to<O: Output + ?Sized>(&self, out: &mut O) {
        self.0.encode_to(out);
    }
}

impl Decode for Fields {
    fn decode<I: Input>(input: &mut I) -> Result<Self, parity_scale_codec::Error> {
        let count = Compact::<u32>::decode(input)?.0 as usize;
        if count > MAX_FIELDS {
            return Err("more than three fields".into());
        }
        (0..count).map(|_| Field::decode(input)).collect::<Result<_, _>>().map(Self)
    }
}

/// A commitment as the chain stores it: its type `Registration`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Commitment {
    /// The deposit that the chain holds for it, in rao (0 in all known specs).
    pub deposit: u64,
    /// The block in which it was set.
    pub block: u32,
    /// The fields.
    pub fields: Fields,
}

impl Commitment {
    /// Decodes the chain's bytes. Refuses trailing bytes.
    pub fn from_chain(mut bytes: &[u8]) -> Result<Self, CommitmentError> {
        let commitment =
            Self::decode(&mut bytes).map_err(|error| CommitmentError::Malformed(error.to_string()))?;
        match bytes.len() {
            0 => Ok(commitment),
            left => Err(CommitmentError::Malformed(format!("{left} bytes are left over"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn any_field() -> impl Strategy<Value = Field> {
        let timelock = || (vec(any::<u8>(), 0..=MAX_TIMELOCK).prop_map(Bytes), any::<u64>());
        prop_oneof![
            Just(Field::None),
            Just(Field::ResetBondsFlag),
            vec(any::<u8>(), 0..=MAX_RAW).prop_map(|bytes| Field::Raw(Bytes(bytes))),
            vec(any::<u8>(), 0..=MAX_BIG_RAW).prop_map(|bytes| Field::BigRaw(Bytes(bytes))),
            any::<[u8; 32]>().prop_map(Field::BlakeTwo256),
            any::<[u8; 32]>().prop_map(Field::Sha256),
            any::<[u8; 32]>().prop_map(Field::Keccak256),
            any::<[u8; 32]>().prop_map(Field::ShaThree256),
            timelock()
                .prop_map(|(encrypted, reveal_round)| Field::TimelockEncrypted { encrypted, reveal_round }),
            timelock().prop_map(|(encrypted, reveal_round)| Field::TimelockRevealFailed {
                encrypted,
                reveal_round
            }),
        ]
    }

    proptest! {
        #[test]
        fn commitments_round_trip(deposit: u64, block: u32, fields in vec(any_field(), 0..=MAX_FIELDS)) {
            let commitment = Commitment { deposit, block, fields: Fields(fields) };
            let bytes = commitment.encode();
            prop_assert!(bytes.len() <= MAX_ENCODED);
            prop_assert_eq!(Commitment::from_chain(&bytes), Ok(commitment));
        }

        #[test]
        fn any_bytes_are_refused_or_round_trip(bytes in vec(any::<u8>(), 0..300)) {
            if let Ok(commitment) = Commitment::from_chain(&bytes) {
                let again = Commitment::from_chain(&commitment.encode());
                prop_assert_eq!(again, Ok(commitment));
            }
        }

        #[test]
        fn torn_bytes_are_refused(fields in vec(any_field(), 1..=MAX_FIELDS), cut in 1usize..20) {
            let bytes = Commitment { deposit: 0, block: 7, fields: Fields(fields) }.encode();
            let cut = cut.min(bytes.len());
            prop_assert!(Commitment::from_chain(&bytes[..bytes.len() - cut]).is_err());
        }
    }

    #[test]
    fn known_bytes() {
        assert_eq!(Field::raw([]).unwrap().encode(), [1]);
        assert_eq!(Field::raw(*b"hi").unwrap().encode(), [3, b'h', b'i']);
        assert_eq!(Field::raw([7; 128]).unwrap().encode()[0], 129);
        assert_eq!(Field::big_raw([7; 129]).unwrap().encode()[..3], [136, 0x05, 0x02]);
        assert_eq!(Field::ResetBondsFlag.encode(), [135]);
        assert_eq!(Fields::new(vec![Field::None; 3]).unwrap().encode(), [12, 0, 0, 0]);
    }

    #[test]
    fn bounds_are_the_chains() {
        let too_long = Err(CommitmentError::TooLong { kind: "Raw", length: 129, limit: 128 });
        assert_eq!(Field::raw([0; 129]), too_long);
        assert!(Field::big_raw([0; 512]).is_ok());
        assert!(Field::big_raw([0; 513]).is_err());
        assert!(Field::timelock_encrypted([0; 1024], 1).is_ok());
        assert!(Field::timelock_encrypted([0; 1025], 1).is_err());
        assert_eq!(Fields::new(vec![Field::None; 4]), Err(CommitmentError::TooManyFields(4)));
        let failed = Field::TimelockRevealFailed { encrypted: Bytes::default(), reveal_round: 1 };
        assert_eq!(Fields::new(vec![failed]), Err(CommitmentError::ChainOnly));
    }

    #[test]
    fn more_fields_or_bytes_than_the_chain_allows_do_not_decode() {
        assert!(Fields::decode(&mut &[16, 0, 0, 0, 0][..]).is_err());
        assert!(Field::decode(&mut &[138][..]).is_err());
        let mut big = vec![tag::BIG_RAW];
        vec![0u8; 513].encode_to(&mut big);
        assert!(Field::decode(&mut &big[..]).is_err());
        let huge_length = [tag::TIMELOCK_ENCRYPTED, 0xfe, 0xff, 0xff, 0xff];
        assert!(Field::decode(&mut &huge_length[..]).is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = Commitment { deposit: 0, block: 1, fields: Fields::default() }.encode();
        bytes.push(0);
        assert!(matches!(Commitment::from_chain(&bytes), Err(CommitmentError::Malformed(_))));
    }

    #[test]
    fn the_chain_counts_at_least_100_bytes() {
        let cost = |fields| Fields::new(fields).unwrap().cost();
        assert_eq!(cost(vec![]), 100);
        assert_eq!(cost(vec![Field::raw([0; 100]).unwrap()]), 100);
        assert_eq!(cost(vec![Field::raw([0; 128]).unwrap(), Field::BlakeTwo256([0; 32])]), 160);
        let timelock = Field::timelock_encrypted([0; 1000], 9).unwrap();
        assert_eq!(cost(vec![timelock, Field::ResetBondsFlag, Field::None]), 1000);
    }
}
