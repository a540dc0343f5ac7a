//! Conversion of untrusted bucket names and keys into safe file names.

use std::fmt::Write as _;

/// The maximum length of a file name in bytes, on all common file systems.
const LONGEST: usize = 255;

/// Checks a bucket name: S3's rules, but without dots, so that it is a safe folder name.
#[must_use]
pub(crate) fn is_bucket(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (3..=63).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Returns the file name of an object. Letters, digits, `-`, `_` and inner dots stay; all other bytes
/// are percent-encoded. So file names are readable, and no key can escape from the folder. Returns
/// `None` if the name is empty or too long for a file.
#[must_use]
pub(crate) fn file_of(key: &str) -> Option<String> {
    let mut name = String::with_capacity(key.len());
    for (i, byte) in key.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && i > 0) {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    (1..=LONGEST).contains(&name.len()).then_some(name)
}

/// Returns the key of the object with this file name, or `None` if no object has such a file name.
#[must_use]
pub(crate) fn key_of(file: &str) -> Option<String> {
    let mut key = Vec::new();
    let mut rest = file.bytes();
    while let Some(byte) = rest.next() {
        key.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(key).ok().filter(|key| file_of(key).as_deref() == Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_are_readable_and_stay_in_their_folder() {
        assert_eq!(file_of("run/7/a.bin").as_deref(), Some("run%2F7%2Fa.bin"));
        assert_eq!(file_of("../../etc/passwd").as_deref(), Some("%2E.%2F..%2Fetc%2Fpasswd"));
        assert_eq!(file_of("..").as_deref(), Some("%2E."));
        assert_eq!((file_of(""), file_of(&"a".repeat(256))), (None, None));
    }

    #[test]
    fn buckets_are_safe_folders() {
        assert!(["miner-0", "abc", "0a1"].iter().all(|name| is_bucket(name)));
        assert!(
            !["", "ab", "..", "a.b", "-ab", "ab-", "Abc", "a/b", &"a".repeat(64)]
                .iter()
                .any(|name| is_bucket(name))
        );
    }

    proptest! {
        #[test]
        fn keys_come_back(key in ".{1,300}") {
            if let Some(file) = file_of(&key) {
                prop_assert!(!file.contains('/') && file.len() <= LONGEST && !file.starts_with('.'));
                prop_assert_eq!(key_of(&file), Some(key));
            } else {
                prop_assert!(key.len() > LONGEST / 3);
            }
        }

        #[test]
        fn any_file_name_is_read_without_panic(file in ".{0,80}") {
            if let Some(key) = key_of(&file) {
                prop_assert_eq!(file_of(&key), Some(file));
            }
        }
    }
}
