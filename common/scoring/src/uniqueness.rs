//! The uniqueness of updates: finds updates that are copies of others, or parts of one training run.
//!
//! The [`Fingerprint`] of an update holds the values of some chunks, drawn by a seed that no miner knew while
//! training ([`ChunkSample`]). The cosine of two fingerprints tells how much two updates overlap. Honest
//! updates overlap too, since all miners train the same parameters. So each class of pairs has a
//! [`Baseline`]: the median of its cosines and their spread. Only the part of a cosine above the baseline's
//! threshold counts ([`overlaps`]):
//!
//! * the threshold is the median plus the larger of 0.2 and six times the spread (the median absolute
//!   deviation);
//! * the excess of a pair is `(cosine - threshold) / (1 - threshold)`: 0 at the threshold, 1 for a copy;
//! * `uniqueness = 1 / (1 + sum of excess)`: k copies of one update share the pay of one.
//!
//! Of two updates of one window, both lose. Of updates of different windows, the later one loses. Miners that
//! have failed the proof are no partners, so they harm no other miner by overlaps. Baselines are those of
//! pairs of miners that have passed, once there are enough: so copies in the majority do not set them.
//!
//! Products are sums of integers, the same in any order and on any number of threads. To compare 256 miners
//! of a model of 1e9 parameters takes 1 s on two threads, and 4 s if all send the same positions
//! (`examples/overlap_speed.rs`).

mod fingerprint;
mod pairs;
mod products;

pub use fingerprint::{ChunkSample, Fingerprint};
pub use pairs::{Updates, overlaps};

use base::{
    Hotkey, Millionths,
    wire::{Reader, WireError, Writer},
};
use serde::Serialize;

/// The classes of pairs. Each has its own baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Class {
    /// Two updates of the same window.
    SameWindow = 1,
    /// An update, and another miner's update of the window before.
    OneBefore = 2,
    /// An update, and another miner's update of the window before that.
    TwoBefore = 3,
    /// An update, and the last outer step.
    OuterStep = 4,
}

/// The overlap that is usual in a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Baseline {
    /// The median cosine.
    pub median: Millionths,
    /// The median absolute deviation from it.
    pub spread: Millionths,
}

/// The baselines of all classes, in the order of [`Class::ALL`].
pub type Baselines = [Baseline; Class::ALL.len()];

/// The overlap of one update with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Overlap {
    /// The sum of the excess over all partners and classes.
    pub excess: Millionths,
    /// The partner with the largest excess, if there is any excess.
    pub nearest: Option<Nearest>,
}

/// The partner with which an update overlaps most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nearest {
    /// The class of the pair.
    pub class: Class,
    /// The other miner. Zeros for the outer step.
    pub partner: Hotkey,
    /// The cosine of the pair, from -1 to 1.
    pub cosine: Millionths,
}

/// Smallest distance between median and threshold, in millionths.
const LEAST_DISTANCE: i64 = 200_000;
/// Smallest distance between median and threshold, in spreads. Of honest pairs, one of some thousands is
/// beyond 6.
const SPREADS: i64 = 6;
/// Largest median of a baseline, in millionths: if more than half of all pairs are copies, they do not set
/// it.
const MOST_MEDIAN: i64 = 500_000;
/// Largest threshold, in millionths: a copy is always above it.
const MOST_THRESHOLD: i64 = 900_000;
/// Bound of the sum of excess, in millionths: one for each of 65,536 partners.
const MOST_EXCESS: u64 = 65_536_000_000;

impl Class {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::SameWindow, Self::OneBefore, Self::TwoBefore, Self::OuterStep];

    /// Returns the place of the class in [`Baselines`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize - 1
    }
}

impl Baseline {
    /// Computes the baseline of a class from its cosines. Without any, it is 0.
    #[must_use]
    pub fn of(cosines: &[Millionths]) -> Self {
        let median = median(cosines.iter().map(|cosine| cosine.0));
        let spread = median_of_distances(cosines, median);
        Self { median: Millionths(median.min(MOST_MEDIAN)), spread: Millionths(spread) }
    }

    /// Returns the cosine above which an overlap counts.
    #[must_use]
    pub fn threshold(&self) -> Millionths {
        Millionths((self.median.0 + LEAST_DISTANCE.max(SPREADS * self.spread.0)).min(MOST_THRESHOLD))
    }

    /// Returns the excess of a cosine, from 0 to 1.
    #[must_use]
    pub fn excess(&self, cosine: Millionths) -> Millionths {
        let (threshold, whole) = (self.threshold().0, Millionths::ONE.0);
        let above = cosine.0.min(whole) - threshold;
        Millionths(above.max(0) * whole / (whole - threshold))
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.median.0 as u32).u32(self.spread.0 as u32);
    }

    /// Reads a baseline.
    ///
    /// # Errors
    /// The input ends too early.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut number = |what| from.u32(what).map(|number| Millionths(i64::from(number as i32)));
        Ok(Self { median: number("the median of cosines")?, spread: number("the spread of cosines")? })
    }
}

/// Returns the lower median, or 0 without numbers.
fn median(numbers: impl Iterator<Item = i64>) -> i64 {
    let mut numbers: Vec<i64> = numbers.collect();
    let middle = numbers.len().saturating_sub(1) / 2;
    if numbers.is_empty() { 0 } else { *numbers.select_nth_unstable(middle).1 }
}

/// Returns the median distance of cosines from a number.
fn median_of_distances(cosines: &[Millionths], from: i64) -> i64 {
    median(cosines.iter().map(|cosine| (cosine.0 - from).abs()))
}

impl Overlap {
    /// Number of bytes in every format.
    pub const BYTES: usize = 8 + 1 + 32 + 4;

    /// Returns the uniqueness: `1 / (1 + excess)`, from 0 to 1, rounded down.
    #[must_use]
    pub fn uniqueness(&self) -> Millionths {
        let whole = Millionths::ONE.0;
        Millionths(whole * whole / whole.saturating_add(self.excess.0.max(0)))
    }

    /// Adds the excess of a pair.
    fn add(&mut self, excess: Millionths, nearest: Nearest, largest: &mut Millionths) {
        self.excess.0 += excess.0;
        if excess > *largest {
            *largest = excess;
            self.nearest = Some(nearest);
        }
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        to.u64(self.excess.0 as u64);
        match &self.nearest {
            None => to.u8(0).raw(&[0; 36]),
            Some(Nearest { class, partner, cosine }) => {
                to.u8(*class as u8).raw(partner.as_bytes()).u32(cosine.0 as u32)
            }
        };
    }

    /// Reads an overlap.
    ///
    /// # Errors
    /// The input ends too early, or a part is out of bounds.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (what, offset) = ("the excess of an overlap", from.offset());
        let excess = from.u64(what)?;
        if excess > MOST_EXCESS {
            let expected = "it is at most 65536000000";
            return Err(WireError::Value { what, offset, found: excess, expected });
        }
        let (what, offset) = ("the class of an overlap", from.offset());
        let class = from.u8(what)?;
        let partner = Hotkey(from.array("the partner of an overlap")?);
        let cosine = from.u32("the cosine of an overlap")?;
        let refuse = |expected| Err(WireError::Value { what, offset, found: class.into(), expected });
        let nearest = match Class::ALL.into_iter().find(|&known| known as u8 == class) {
            Some(class) => Some(Nearest { class, partner, cosine: Millionths(i64::from(cosine as i32)) }),
            None if class != 0 => return refuse("classes go from 1 to 4, and 0 is no overlap"),
            None if partner != Hotkey([0; 32]) || cosine != 0 => return refuse("no overlap has no partner"),
            None => None,
        };
        Ok(Self { excess: Millionths(excess as i64), nearest })
    }
}

#[cfg(test)]
mod tests;
