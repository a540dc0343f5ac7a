//! The chain's budget for commitments, in bytes per hotkey and epoch.

use base::commitment::MIN_COST;

/// The bytes that the chain grants a hotkey for commitments in an epoch, and the bytes used of them.
///
/// Every write costs the bytes that its fields carry, at least [`MIN_COST`]. In the next epoch all
/// of the space is free again. Source: `set_commitment` of the chain's pallet `Commitments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes per epoch (`Commitments.MaxSpace`; 3100 on Bittensor).
    pub granted: u64,
    /// Bytes used in this epoch (`Commitments.UsedSpaceOf`).
    pub used: u64,
}

impl Budget {
    /// Returns the bytes left in this epoch.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.granted.saturating_sub(self.used)
    }

    /// Returns how many writes of `cost` bytes still fit in this epoch.
    #[must_use]
    pub fn writes(&self, cost: u64) -> u64 {
        self.left() / cost.max(MIN_COST)
    }

    /// Returns the budget after a write, if there is space for it.
    #[must_use]
    pub fn after(&self, cost: u64) -> Option<Self> {
        let cost = cost.max(MIN_COST);
        (self.left() >= cost).then_some(Self { used: self.used.saturating_add(cost), ..*self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_until_the_space_is_used() {
        let fresh = Budget { granted: 3100, used: 0 };
        assert_eq!(
            (fresh.writes(1), fresh.writes(100), fresh.writes(250), fresh.writes(3101)),
            (31, 31, 12, 0)
        );
        let mut budget = fresh;
        for write in 0..12 {
            budget = budget.after(250).unwrap();
            assert_eq!(budget.used, 250 * (write + 1));
        }
        assert_eq!((budget.left(), budget.after(250), budget.after(1).unwrap().left()), (100, None, 0));
        assert_eq!(Budget { granted: 100, used: u64::MAX }.left(), 0);
    }
}
