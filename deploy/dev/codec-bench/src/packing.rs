//! Packs sent values as Templar does, for comparison: two positions of 12 bits in three bytes, and
//! one byte per code. Each value takes 20 bits.

/// Packs positions and codes. The positions are less than 4096, and their number is even.
pub(crate) fn pack(positions: &[u16], codes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(positions.len() / 2 * 3 + codes.len());
    for &[first, second] in positions.as_chunks::<2>().0 {
        bytes.extend([first as u8, (first >> 8) as u8 | ((second & 15) << 4) as u8, (second >> 4) as u8]);
    }
    bytes.extend_from_slice(codes);
    bytes
}

/// Returns the positions and codes of `count` values.
pub(crate) fn unpack(bytes: &[u8], count: usize) -> (Vec<u16>, &[u8]) {
    let (packed, codes) = bytes.split_at(count / 2 * 3);
    let pairs = packed.as_chunks::<3>().0.iter().map(|bytes| bytes.map(u16::from));
    let pair = |[low, middle, high]: [u16; 3]| [low | (middle & 15) << 8, middle >> 4 | high << 4];
    (pairs.flat_map(pair).collect(), codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the test vector of Templar's protocol.
    #[test]
    fn two_positions_have_three_bytes() {
        assert_eq!(pack(&[0xabc, 0x123], &[1, 3]), [0xbc, 0x3a, 0x12, 1, 3]);
        assert_eq!(unpack(&[0xbc, 0x3a, 0x12, 1, 3], 2), (vec![0xabc, 0x123], &[1u8, 3][..]));
    }
}
