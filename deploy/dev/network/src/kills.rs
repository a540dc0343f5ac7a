//! Draws the kills of a run from a seed: the victim and the time of each.

use base::Height;
use protocol::clock::Clock;
use std::time::Duration;

/// The maximum time between a block and a kill that follows it, in milliseconds. Blocks are held for
/// seconds while nodes work, and a kill must be able to strike at any moment of a hold.
const LONGEST_DELAY_MS: u64 = 8000;

/// A kill of one process, some time after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The block.
    pub after: Height,
    /// The time after the block.
    pub delay: Duration,
    /// The process to kill: the index is this number modulo the number of running processes.
    pub victim: u64,
}

/// Draws `count` kills over a run. Returns them in the order of their blocks.
#[must_use]
pub fn plan(seed: u64, count: u32, clock: &Clock) -> Vec<Kill> {
    let blocks = u64::from(clock.spec().blocks) * u64::from(clock.spec().count);
    let mut draws = Draws::new(seed);
    let mut kills: Vec<Kill> = (0..count)
        .map(|_| Kill {
            after: Height(clock.start().0 + draws.next() % blocks),
            delay: Duration::from_millis(draws.next() % LONGEST_DELAY_MS),
            victim: draws.next(),
        })
        .collect();
    kills.sort_by_key(|kill| kill.after);
    kills
}

/// An endless stream of random numbers from a seed.
struct Draws(blake3::OutputReader);

impl Draws {
    fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("muster devnet kills");
        hasher.update(&seed.to_le_bytes());
        Self(hasher.finalize_xof())
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::tiny_window;

    #[test]
    fn kills_lie_within_the_run_and_follow_from_the_seed() {
        let clock = Clock::new(Height(40), tiny_window()).unwrap();
        let kills = plan(7, 20, &clock);
        assert_eq!(kills.len(), 20);
        assert!(kills.iter().all(|kill| (40..280).contains(&kill.after.0)));
        assert!(kills.is_sorted_by_key(|kill| kill.after));
        assert_eq!(kills, plan(7, 20, &clock));
        assert_ne!(kills, plan(8, 20, &clock));
        let victims: std::collections::BTreeSet<_> = kills.iter().map(|kill| kill.victim % 6).collect();
        assert!(victims.len() > 3, "{victims:?}");
    }
}
