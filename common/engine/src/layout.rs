//! Sizes in libtorch's types.

/// Converts a size to libtorch's type.
pub(crate) fn int(size: usize) -> i64 {
    i64::try_from(size).expect("a checked model has at most 10^13 parameters")
}
