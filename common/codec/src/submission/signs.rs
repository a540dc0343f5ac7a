//! Encodes and decodes the signs of a group: one bit per sign, uncompressed. Their entropy is 1 bit.

use super::BodyError;

/// Returns the number of bytes of `count` signs.
pub(super) const fn sign_bytes(count: usize) -> usize {
    count.div_ceil(8)
}

/// Appends signs, each 0 or 1: the first one lowest, the last byte padded with zeros.
pub(super) fn write_signs(codes: &[u8], to: &mut Vec<u8>) {
    let (eights, rest) = codes.as_chunks();
    to.extend(eights.iter().map(pack));
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        to.push(pack(&last));
    }
}

/// Appends the `count` signs of a group, decoded from exactly their bytes.
///
/// # Errors
/// Fails if the padding of the last byte is not zeros.
pub(super) fn read_signs(
    group: usize,
    bytes: &[u8],
    count: usize,
    to: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let (before, end) = (to.len(), to.len() + count);
    to.resize(before + 8 * bytes.len(), 0);
    let (eights, _) = to[before..].as_chunks_mut();
    eights.iter_mut().zip(bytes).for_each(|(signs, &byte)| *signs = spread(byte));
    let filled = to[end..].iter().all(|&filler| filler == 0);
    to.truncate(end);
    if filled { Ok(()) } else { Err(BodyError::Codes(group)) }
}

/// Packs eight signs into a byte.
fn pack(signs: &[u8; 8]) -> u8 {
    // Sign `i` is bit `8 i`. A factor of `2^(56 - 7 i)` moves it to bit `56 + i`, and no two
    // products overlap below.
    (u64::from_le_bytes(*signs).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// Unpacks the eight signs of a byte.
fn spread(byte: u8) -> [u8; 8] {
    // Move halves of the bits apart until each bit has its own byte.
    let bits = u64::from(byte);
    let bits = (bits | bits << 28) & 0x0000_000f_0000_000f;
    let bits = (bits | bits << 14) & 0x0003_0003_0003_0003;
    ((bits | bits << 7) & 0x0101_0101_0101_0101).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_bytes_are_eight_signs() {
        for byte in 0..=u8::MAX {
            assert_eq!(spread(byte), std::array::from_fn(|at| byte >> at & 1));
            assert_eq!(pack(&spread(byte)), byte);
        }
        assert_eq!(spread(0b1000_0110), [0, 1, 1, 0, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn signs_come_back_and_other_bytes_are_other_signs(signs in proptest::collection::vec(0u8..2, 1..200), bit: usize) {
            let mut bytes = Vec::new();
            write_signs(&signs, &mut bytes);
            prop_assert_eq!(bytes.len(), sign_bytes(signs.len()));
            let mut read = vec![7];
            prop_assert_eq!(read_signs(0, &bytes, signs.len(), &mut read), Ok(()));
            prop_assert_eq!(&read[1..], &signs);
            let at = bit % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            let mut read = Vec::new();
            let expected = if at < signs.len() { Ok(()) } else { Err(BodyError::Codes(0)) };
            prop_assert_eq!(read_signs(0, &bytes, signs.len(), &mut read), expected);
            prop_assert_eq!(read == signs, at >= signs.len());
        }
    }
}
