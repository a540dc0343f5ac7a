//! The chain's clock: computes the timestamp of the next block.

use serde::{Deserialize, Serialize};

/// The source of block timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// The machine's clock, but never earlier than the parent's timestamp plus the block time.
    #[default]
    Wall,
    /// Exactly the parent's timestamp plus the block time. Two chains that get the same calls have the
    /// same block hashes.
    Logical,
}

/// The first timestamp of a chain with a logical clock: 2025-01-01T00:00:00Z, in milliseconds since
/// 1970.
pub const LOGICAL_START_MS: u64 = 1_735_689_600_000;

/// Returns the timestamp of the block after one with timestamp `parent_ms` (0 at genesis). All values
/// are in milliseconds.
///
/// `wall_ms` is the machine's time. It is `None` if blocks are sealed faster than they are due
/// (fast-forward) or the clock is logical. Timestamps rise by at least `block_time_ms`, even if the
/// machine's clock stands still or runs backwards.
pub(crate) fn next_timestamp(parent_ms: u64, block_time_ms: u64, wall_ms: Option<u64>, start_ms: u64) -> u64 {
    if parent_ms == 0 {
        return wall_ms.unwrap_or(start_ms);
    }
    let due = parent_ms.saturating_add(block_time_ms);
    wall_ms.map_or(due, |wall| wall.max(due))
}

/// Returns the machine's time in milliseconds since 1970.
pub(crate) fn wall_ms() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_by_case() {
        let cases = [
            // (parent, wall, expected), block time 1000, start 7000
            ("genesis takes the wall clock", 0, Some(50_000), 50_000),
            ("genesis without one takes the start", 0, None, 7_000),
            ("a late block takes the wall clock", 50_000, Some(51_700), 51_700),
            ("an early block is one block time later", 50_000, Some(50_300), 51_000),
            ("a chain ahead of the wall clock goes on", 90_000, Some(50_000), 91_000),
            ("fast-forward does not look at the wall clock", 50_000, None, 51_000),
        ];
        for (name, parent, wall, expected) in cases {
            assert_eq!(next_timestamp(parent, 1000, wall, 7_000), expected, "{name}");
        }
    }
}
