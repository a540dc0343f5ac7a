//! The contribution of a miner: its improvements relative to the field's, over the last windows.

use base::{
    Millionths,
    wire::{Reader, WireError, Writer},
};

/// Number of windows over which a contribution is averaged.
pub const WINDOWS: usize = 20;

/// Largest relative improvement of one window: twice the field's.
const MOST: i64 = 2_000_000;

/// The improvements of a miner in its last windows, relative to the field's.
///
/// A window in which the miner was absent or failed counts 0, so absence never pays. Windows before its first
/// one count 0 too, so that a new hotkey does not start at full pay. A window in which the miner was skipped
/// or excused does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Contribution {
    /// Relative improvements in millionths, the oldest first.
    windows: [u32; WINDOWS],
}

impl Contribution {
    /// Number of bytes in every format.
    pub const BYTES: usize = 4 * WINDOWS;

    /// Returns the contribution after one more window.
    #[must_use]
    pub fn after(mut self, relative: Millionths) -> Self {
        self.windows.rotate_left(1);
        self.windows[WINDOWS - 1] = relative.0.clamp(0, MOST) as u32;
        self
    }

    /// Returns the mean over all windows, from 0 to 2, rounded down.
    #[must_use]
    pub fn mean(&self) -> Millionths {
        let sum: i64 = self.windows.iter().map(|&relative| i64::from(relative)).sum();
        Millionths(sum / WINDOWS as i64)
    }

    /// Returns the relative improvement of the last window.
    #[must_use]
    pub fn last(&self) -> Millionths {
        Millionths(self.windows[WINDOWS - 1].into())
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        for relative in self.windows {
            to.u32(relative);
        }
    }

    /// Reads a contribution.
    ///
    /// # Errors
    /// The input ends too early, or an improvement is above 2.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut windows = [0; WINDOWS];
        for relative in &mut windows {
            let (what, offset) = ("a relative improvement", from.offset());
            *relative = from.u32(what)?;
            if i64::from(*relative) > MOST {
                let expected = "a relative improvement is at most 2000000";
                return Err(WireError::Value { what, offset, found: (*relative).into(), expected });
            }
        }
        Ok(Self { windows })
    }
}

/// Returns the relative improvement of a window: `improvement / reference`, at most 2, times the square root
/// of `share x uniqueness`.
///
/// Pay goes with the square of the contribution, so it goes with the share of samples and with uniqueness
/// themselves. As parts of the mean, they cannot be timed to the windows in which weights are set.
#[must_use]
pub fn relative(improvement: f64, reference: f64, share: Millionths, uniqueness: Millionths) -> Millionths {
    let unit = |number: Millionths| number.get().clamp(0.0, 1.0);
    let relative = (improvement / reference).clamp(0.0, 2.0) * (unit(share) * unit(uniqueness)).sqrt();
    Millionths::rounded(relative).unwrap_or_default()
}

#[cfg(test)]
mod tests;
