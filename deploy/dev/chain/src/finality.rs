//! Finality: decides which blocks are final, and which newest blocks give way to another branch.
//!
//! [`Tracker`] is a pure state machine. It keeps no clock and no random state: each draw depends on the
//! seed and the height alone. So a restarted chain draws the same numbers, whatever happened before.
//!
//! The finalized block follows the best block as in a network with GRANDPA. It stays `lag` blocks behind,
//! and up to `jitter` blocks more. During a stall it stands still; after it, it catches up at once. Only
//! blocks above it are ever dropped.

#[cfg(test)]
mod tests;

use parity_scale_codec::Encode;
use serde::{Deserialize, Serialize};
use sp_crypto_hashing::twox_64;

/// The maximum number of blocks that are dropped at once.
pub const MAX_DROP: u32 = 100;

/// The settings of finality. The default makes each block final at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Finality {
    /// The smallest number of blocks between the finalized and the best block. Default: 0.
    pub lag: u32,
    /// The largest number of blocks that a draw adds to the lag of an advance. Default: 0.
    pub jitter: u32,
    /// The length of a period in blocks. Each period has one stall, at a drawn place. Default: 0, no
    /// stalls.
    pub stall_every: u32,
    /// The number of blocks of each stall; less than `stall_every`. Default: 0.
    pub stall_blocks: u32,
    /// The average number of blocks from one change of branch to the next, at least 2. Default: 0, no
    /// changes.
    pub drop_every: u32,
    /// The largest number of blocks that a change of branch drops, 1 to [`MAX_DROP`]. Each change draws
    /// its own number. Default: 1.
    pub drop_depth: u32,
    /// The seed of all draws. Default: 0.
    pub seed: u64,
}

impl Default for Finality {
    fn default() -> Self {
        Self { lag: 0, jitter: 0, stall_every: 0, stall_blocks: 0, drop_every: 0, drop_depth: 1, seed: 0 }
    }
}

/// An invalid setting of finality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinalityError {
    /// A stall is as long as its period, or longer.
    #[error(
        "finality.stall_blocks is {blocks} and finality.stall_every is {every}; give a period longer than the stall"
    )]
    Stall {
        /// The length of a stall, in blocks.
        blocks: u32,
        /// The length of a period, in blocks.
        every: u32,
    },
    /// Each block would drop the one before it, and no transaction would become final.
    #[error("finality.drop_every is 1; give at least 2, or 0 to drop no blocks")]
    DropEvery,
    /// The depth is out of bounds.
    #[error("finality.drop_depth is {0}; give 1 to {MAX_DROP}")]
    DropDepth(u32),
}

impl Finality {
    /// Checks whether the settings fit together.
    pub(crate) fn check(&self) -> Result<(), FinalityError> {
        if self.stall_blocks > 0 && self.stall_blocks >= self.stall_every {
            return Err(FinalityError::Stall { blocks: self.stall_blocks, every: self.stall_every });
        }
        if self.drop_every == 1 {
            return Err(FinalityError::DropEvery);
        }
        if !(1..=MAX_DROP).contains(&self.drop_depth) {
            return Err(FinalityError::DropDepth(self.drop_depth));
        }
        Ok(())
    }
}

/// The purpose of a draw. Draws of different purposes are independent.
#[derive(Clone, Copy)]
enum Purpose {
    Jitter,
    Stall,
    Drop,
    Depth,
}

/// Decides how far finality advances and how many blocks are dropped. See the module docs.
pub(crate) struct Tracker {
    settings: Finality,
    /// The last height of the stall that was asked for; 0 without one.
    stalled_until: u32,
}

impl Tracker {
    /// Creates a tracker. `settings` have been checked.
    pub(crate) fn new(settings: Finality) -> Self {
        Self { settings, stalled_until: 0 }
    }

    /// Returns the new finalized height for the moment at which the best block reaches `best`.
    /// `finalized` is the finalized height before.
    pub(crate) fn advance(&self, finalized: u32, best: u32) -> u32 {
        if self.is_stalled(best) {
            return finalized;
        }
        let behind = self.settings.lag.saturating_add(self.draw(Purpose::Jitter, best, self.settings.jitter));
        finalized.max(best.saturating_sub(behind))
    }

    /// Returns the number of blocks that the block after `best` drops: 0, or a drawn number of blocks
    /// above `finalized`.
    pub(crate) fn drops(&self, finalized: u32, best: u32) -> u32 {
        let Finality { drop_every, drop_depth, .. } = self.settings;
        if drop_every == 0 || self.draw(Purpose::Drop, best, drop_every - 1) > 0 {
            return 0;
        }
        let depth = 1 + self.draw(Purpose::Depth, best, drop_depth.saturating_sub(1));
        depth.min(best.saturating_sub(finalized))
    }

    /// Sets the lag of the next advances.
    pub(crate) fn set_lag(&mut self, lag: u32) {
        self.settings.lag = lag;
    }

    /// Stops finality while the next `blocks` blocks after `best` are sealed. 0 ends a stall that was
    /// asked for.
    pub(crate) fn stall(&mut self, best: u32, blocks: u32) {
        self.stalled_until = if blocks == 0 { 0 } else { best.saturating_add(blocks) };
    }

    fn is_stalled(&self, height: u32) -> bool {
        height <= self.stalled_until || self.is_in_periodic_stall(height)
    }

    /// Checks whether the settings stall finality at `height`. No stall covers the first block of a
    /// period, so two of them never join.
    fn is_in_periodic_stall(&self, height: u32) -> bool {
        let Finality { stall_every, stall_blocks, .. } = self.settings;
        if stall_blocks == 0 {
            return false;
        }
        let place = height % stall_every;
        let first = 1 + self.draw(Purpose::Stall, height / stall_every, stall_every - 1 - stall_blocks);
        (first..first + stall_blocks).contains(&place)
    }

    /// Draws a number from 0 to `max`.
    fn draw(&self, purpose: Purpose, at: u32, max: u32) -> u32 {
        let bytes = twox_64(&(self.settings.seed, purpose as u8, at).encode());
        let number = u64::from_le_bytes(bytes) % (u64::from(max) + 1);
        number as u32
    }
}
