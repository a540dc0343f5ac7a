//! The frames of the log: a length, a check of the length, a check of the payload, the payload.
//!
//! ```text
//! | length: u32 LE | check of length: u32 LE | check of payload: u64 LE | payload |
//! ```
//! The length has a check of its own, so that a damaged length is told apart from a write that was cut short: the
//! first must not make a reader throw away all that follows. Checks are xxHash64, against accidents only.

use sp_crypto_hashing::twox_64;

/// Bytes before a payload.
pub(crate) const HEAD_LEN: usize = 16;

/// The largest payload, 256 MiB. A block holds at most 5 MiB of extrinsics; a snapshot writes nodes in parts.
pub(crate) const MAX_PAYLOAD: usize = 256 << 20;

/// What a reader finds at the start of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A whole frame: its payload, and its length with the head.
    Whole(&'a [u8], usize),
    /// The bytes end inside a frame: a write that was cut short.
    Torn,
    /// The bytes are not what was written.
    Damaged,
}

/// `payload` with its head.
pub(crate) fn encode(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    let mut frame = Vec::with_capacity(HEAD_LEN + payload.len());
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&length_check(length));
    frame.extend_from_slice(&twox_64(payload));
    frame.extend_from_slice(payload);
    frame
}

/// Reads the frame at the start of `bytes`, which end where the file ends.
pub(crate) fn decode(bytes: &[u8]) -> Frame<'_> {
    // A file that was grown before its contents reached the disk (power cut) ends in zeros.
    if bytes.iter().all(|byte| *byte == 0) {
        return Frame::Torn;
    }
    let Some((head, rest)) = bytes.split_at_checked(HEAD_LEN) else { return Frame::Torn };
    let length = [head[0], head[1], head[2], head[3]];
    if head[4..8] != length_check(length) {
        return Frame::Damaged;
    }
    let length = u32::from_le_bytes(length) as usize;
    match rest.get(..length) {
        None => Frame::Torn,
        Some(payload) if head[8..16] == twox_64(payload) => Frame::Whole(payload, HEAD_LEN + length),
        // The last frame with the right length and wrong bytes: its pages did not all reach the disk.
        Some(_) if rest.len() == length => Frame::Torn,
        Some(_) => Frame::Damaged,
    }
}

fn length_check(length: [u8; 4]) -> [u8; 4] {
    let check = twox_64(&length);
    [check[0], check[1], check[2], check[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back() {
        let mut bytes = encode(b"one");
        let length = bytes.len();
        assert_eq!(decode(&bytes), Frame::Whole(b"one", length));
        bytes.extend(encode(b"two"));
        assert_eq!(decode(&bytes), Frame::Whole(b"one", length));
        assert_eq!(decode(&bytes[length..]), Frame::Whole(b"two", length));
    }

    #[test]
    fn every_cut_is_torn() {
        let bytes = encode(b"a payload");
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Frame::Torn, "cut at {cut}");
        }
    }

    #[test]
    fn zeros_are_torn() {
        assert_eq!(decode(&[0; 100]), Frame::Torn);
    }

    #[test]
    fn every_flipped_byte_before_another_frame_is_damage() {
        let whole = [encode(b"a payload"), encode(b"another")].concat();
        for at in 0..encode(b"a payload").len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            assert_eq!(decode(&bytes), Frame::Damaged, "byte {at}");
        }
    }

    #[test]
    fn a_flipped_byte_in_the_last_payload_is_torn() {
        let mut bytes = encode(b"a payload");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(decode(&bytes), Frame::Torn);
    }
}
