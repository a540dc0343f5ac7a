//! Encodes and reads the frames of the log: a length, a checksum of the length, a checksum of the
//! payload, the payload.
//!
//! ```text
//! | length: u32 LE | checksum of length: u32 LE | checksum of payload: u64 LE | payload |
//! ```
//! The length has its own checksum. It tells a damaged length from a write that was cut short: a reader
//! must not discard all bytes after a damaged length. The checksums are xxHash64; they protect against
//! accidents only.

use std::io::{self, BufRead};

use sp_crypto_hashing::twox_64;

/// The number of bytes before a payload.
pub(crate) const HEAD_LEN: usize = 16;

/// The largest payload, 256 MiB. A block holds at most 10 MiB of extrinsics; a snapshot writes its
/// nodes in parts.
pub(crate) const MAX_PAYLOAD: usize = 256 << 20;

/// The result of reading a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The payload of a whole frame.
    Whole(Vec<u8>),
    /// The bytes end inside the frame: the write was cut short.
    Torn,
    /// The last frame, of full length, with a damaged payload. Some of its pages did not reach the
    /// disk, or something changed it later.
    LastDamaged,
    /// The bytes differ from those that were written.
    Damaged,
}

/// Returns a frame: the head and `payload`.
pub(crate) fn encode(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    let mut frame = Vec::with_capacity(HEAD_LEN + payload.len());
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&length_check(length));
    frame.extend_from_slice(&twox_64(payload));
    frame.extend_from_slice(payload);
    frame
}

/// Reads the frame at the position of `input`, which is `left` bytes before the end of the file.
pub(crate) fn read(input: &mut impl BufRead, left: u64) -> io::Result<Frame> {
    let Some(rest) = left.checked_sub(HEAD_LEN as u64) else { return Ok(Frame::Torn) };
    let mut head = [0; HEAD_LEN];
    input.read_exact(&mut head)?;
    let length = [head[0], head[1], head[2], head[3]];
    if head[4..8] != length_check(length) {
        // After a power cut, a file that was extended before its contents reached the disk ends in
        // zeros.
        let is_grown = head == [0; HEAD_LEN] && only_zeros(input)?;
        return Ok(if is_grown { Frame::Torn } else { Frame::Damaged });
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_PAYLOAD {
        return Ok(Frame::Damaged);
    }
    if rest < length as u64 {
        return Ok(Frame::Torn);
    }
    let mut payload = vec![0; length];
    input.read_exact(&mut payload)?;
    let is_last = rest == length as u64;
    Ok(if head[8..16] == twox_64(&payload) {
        Frame::Whole(payload)
    } else if is_last {
        Frame::LastDamaged
    } else {
        Frame::Damaged
    })
}

fn only_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() || bytes.iter().any(|byte| *byte != 0) {
            return Ok(bytes.is_empty());
        }
        let length = bytes.len();
        input.consume(length);
    }
}

fn length_check(length: [u8; 4]) -> [u8; 4] {
    let check = twox_64(&length);
    [check[0], check[1], check[2], check[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut bytes: &[u8]) -> Frame {
        let left = bytes.len() as u64;
        read(&mut bytes, left).unwrap()
    }

    #[test]
    fn frames_read_back() {
        let bytes = [encode(b"one"), encode(b""), encode(b"three")].concat();
        let mut rest = &bytes[..];
        for expected in [&b"one"[..], b"", b"three"] {
            let left = rest.len() as u64;
            assert_eq!(read(&mut rest, left).unwrap(), Frame::Whole(expected.to_vec()));
        }
        assert!(rest.is_empty());
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
    fn a_flipped_byte_in_the_last_payload_is_told_from_a_cut() {
        let mut bytes = encode(b"a payload");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(decode(&bytes), Frame::LastDamaged);
        bytes[HEAD_LEN..].fill(0);
        assert_eq!(decode(&bytes), Frame::LastDamaged);
    }

    #[test]
    fn a_length_that_no_frame_has_is_damage() {
        let length = (MAX_PAYLOAD as u32 + 1).to_le_bytes();
        let head = [&length[..], &length_check(length), &[0; 8]].concat();
        assert_eq!(decode(&head), Frame::Damaged);
    }
}
