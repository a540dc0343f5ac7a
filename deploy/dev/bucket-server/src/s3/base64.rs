//! Base64 of exactly four bytes: the form of a CRC-32 in S3's headers.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes four bytes as base64 with padding.
pub(super) fn encode4(bytes: [u8; 4]) -> String {
    let bits = u64::from(u32::from_be_bytes(bytes)) << 4;
    let digits = (0..6).rev().map(|i| char::from(ALPHABET[(bits >> (6 * i) & 63) as usize]));
    digits.chain(['=', '=']).collect()
}

/// Decodes a base64 text of exactly four bytes. Returns `None` for any other text.
pub(super) fn decode4(text: &str) -> Option<[u8; 4]> {
    let digits = text.strip_suffix("==").filter(|digits| digits.len() == 6)?;
    let digit = |c: u8| ALPHABET.iter().position(|a| *a == c).map(|i| i as u64);
    let bits = digits.bytes().try_fold(0u64, |bits, c| Some(bits << 6 | digit(c)?))?;
    (bits & 15 == 0).then(|| u32::try_from(bits >> 4).ok().map(u32::to_be_bytes))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(encode4([0x36, 0x10, 0xa6, 0x86]), "NhCmhg==");
        assert_eq!(decode4("NhCmhg=="), Some([0x36, 0x10, 0xa6, 0x86]));
    }

    proptest! {
        #[test]
        fn four_bytes_come_back(bytes: [u8; 4]) {
            prop_assert_eq!(decode4(&encode4(bytes)), Some(bytes));
        }

        #[test]
        fn one_text_for_one_value(text in "[A-Za-z0-9+/]{5}[A-Za-z0-9+/=]{1,3}.{0,2}") {
            if let Some(bytes) = decode4(&text) {
                prop_assert_eq!(encode4(bytes), text);
            }
        }
    }
}
