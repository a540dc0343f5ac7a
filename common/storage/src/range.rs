//! Parser of the `Content-Range` header.

use std::ops::Range;

/// Parses the range in `bytes 5-9/100` or `bytes 5-9/*`.
pub(crate) fn parse_range(text: &str) -> Option<Range<u64>> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (first, end) = (number(first)?, number(last)?.checked_add(1)?);
    let fits = size == "*" || number(size).is_some_and(|size| end <= size);
    (first < end && fits).then_some(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(parse_range("bytes 5-9/100"), Some(5..10));
        assert_eq!(parse_range("bytes 5-9/*"), Some(5..10));
        for wrong in [
            "",
            "bytes */100",
            "bytes 9-5/100",
            "bytes 5-9/9",
            "bytes +5-9/100",
            "bytes 0-18446744073709551615/*",
            "5-9/100",
        ] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn ranges_read_back(first in 0u64..1 << 40, more in 0u64..1 << 40, rest in 0u64..1 << 40) {
            let text = format!("bytes {first}-{}/{}", first + more, first + more + 1 + rest);
            prop_assert_eq!(parse_range(&text), Some(first..first + more + 1));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "(bytes )?[0-9*/ -]{0,50}") {
            let _ = parse_range(&text);
        }
    }
}
