//! Reads the transactions in the chain's pool, as far as pacing needs them: the signer, and the claim
//! or vote.

use base::{
    Hotkey,
    commitment::{Field, Fields},
};
use parity_scale_codec::{Compact, Decode};
use protocol::announcement::{self, Record};

/// The pallet index and the call index of `Commitments.set_commitment`.
const SET_COMMITMENT: [u8; 2] = [18, 0];
/// The version byte of an extrinsic: format 4, signed.
const SIGNED: u8 = 0x84;
/// The size of an sr25519 signature with its kind, in bytes.
const SIGNATURE: usize = 65;

/// A transaction that waits in the pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    /// The signer.
    pub(crate) signer: Hotkey,
    /// The claim or vote that the transaction writes, if any.
    pub(crate) record: Option<Record>,
}

/// Reads an extrinsic. Returns `None` if it is not signed, or has a form that Muster's clients do not
/// write.
pub(crate) fn read(extrinsic: &[u8]) -> Option<Waiting> {
    let input = &mut &extrinsic[..];
    Compact::<u32>::decode(input).ok()?;
    let [version, address_kind]: [u8; 2] = Decode::decode(input).ok()?;
    if (version, address_kind) != (SIGNED, 0) {
        return None;
    }
    let signer = Hotkey(Decode::decode(input).ok()?);
    *input = input.get(SIGNATURE..)?;
    skip_extensions(input)?;
    let call: [u8; 2] = Decode::decode(input).ok()?;
    let record = (call == SET_COMMITMENT).then(|| record(input)).flatten();
    Some(Waiting { signer, record })
}

/// Skips the signed extensions: era, nonce, tip, and the mode of the metadata hash.
fn skip_extensions(input: &mut &[u8]) -> Option<()> {
    let first: u8 = Decode::decode(input).ok()?;
    if first != 0 {
        u8::decode(input).ok()?; // A mortal era has two bytes.
    }
    Compact::<u32>::decode(input).ok()?;
    Compact::<u64>::decode(input).ok()?;
    u8::decode(input).ok().map(drop)
}

/// Decodes the record among the fields of a commitment.
fn record(input: &mut &[u8]) -> Option<Record> {
    let _netuid = u16::decode(input).ok()?;
    let fields = Fields::new(Vec::<Field>::decode(input).ok()?).ok()?;
    announcement::read(&fields).record().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{
        Window,
        digest::{ObjectHash, RunId},
    };
    use devchain::{
        Hash,
        sign::{self, Terms},
    };
    use parity_scale_codec::Encode;
    use protocol::announcement::{Announcement, Bucket, Claim};
    use sp_core::{Pair as _, sr25519};

    fn signed(call: &[u8], terms: &Terms) -> (Vec<u8>, Hotkey) {
        let pair = sr25519::Pair::from_seed(&[7; 32]);
        (sign::sign(call, &pair, terms), Hotkey(pair.public().0))
    }

    fn claim() -> (Record, Vec<u8>) {
        let bucket = Bucket::r2(&"a".repeat(32), &"b".repeat(32), &"c".repeat(64)).unwrap();
        let claim = Claim { run: RunId([1; 8]), window: Window(7), object: ObjectHash([2; 32]) };
        let record = Record::Claim(claim);
        let fields = Announcement { bucket, record: Some(record) }.fields().unwrap();
        (record, (18_u8, 0_u8, 3_u16, fields.as_slice().to_vec()).encode())
    }

    #[test]
    fn claims_are_seen_in_the_pool() {
        let (record, call) = claim();
        let genesis = Hash::repeat_byte(9);
        for nonce in [3, 200, 20_000] {
            let (extrinsic, signer) = signed(&call, &Terms::immortal(genesis, nonce));
            assert_eq!(read(&extrinsic), Some(Waiting { signer, record: Some(record) }));
        }
    }

    #[test]
    fn other_calls_have_no_record_and_cut_extrinsics_are_not_read() {
        let (extrinsic, signer) = signed(&sign::remark(b"x"), &Terms::immortal(Hash::zero(), 0));
        assert_eq!(read(&extrinsic), Some(Waiting { signer, record: None }));
        let (whole, _) = signed(&claim().1, &Terms::immortal(Hash::zero(), 0));
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_none_or(|waiting| waiting.record.is_none()), "{length} bytes");
        }
    }
}
