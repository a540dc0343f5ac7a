//! Clips updates: no submission moves a tensor further than the median submission does.

use crate::sparse::SparseTensor;
use base::wire::{Reader, WireError, Writer};

/// The lower median of the accepted updates' norms, one per tensor. The next window's clipping
/// needs them. They follow from the accepted set alone, so a node that joins later computes them
/// from the last accepted set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Medians(pub Vec<f64>);

impl Medians {
    /// Appends their number and their bits.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.0.len().try_into().expect("a model has fewer tensors than 2^32"));
        self.0.iter().for_each(|&median| {
            to.f64(median);
        });
    }

    /// Reads the medians of `tensors` tensors.
    ///
    /// # Errors
    /// Fails if there are more or fewer medians, or if one is not a norm.
    pub fn read(from: &mut Reader<'_>, tensors: usize) -> Result<Self, WireError> {
        let what = "the number of medians";
        let offset = from.offset();
        let count = from.u32(what)?;
        if count as usize != tensors {
            let expected = "there is one for each tensor of the model";
            return Err(WireError::Value { what, offset, found: count.into(), expected });
        }
        let median = |_| {
            let (what, offset) = ("a median", from.offset());
            match from.f64(what)? {
                median if median.is_finite() && median.is_sign_positive() => Ok(median),
                median => {
                    let expected = "a norm is finite and not negative";
                    Err(WireError::Value { what, offset, found: median.to_bits(), expected })
                }
            }
        };
        (0..count).map(median).collect::<Result<_, _>>().map(Self)
    }
}

/// Returns the Euclidean norm of the sent values: the energies of the chunks, added in a fixed tree.
#[must_use]
pub fn norm(tensor: &SparseTensor) -> f64 {
    let mut energy = Pairwise::default();
    (0..tensor.chunks()).for_each(|chunk| energy.add(tensor.chunk_energy(chunk)));
    energy.total().sqrt()
}

/// Returns the median of the norms, the lower one of two, or 0 if there are no norms.
#[must_use]
pub fn lower_median(norms: &[f64]) -> f64 {
    let mut sorted = norms.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// Returns the reference that norms are clipped to: the median, but at most `growth` times the last
/// window's median. `last` is the median itself, not the reference of that window. Thus one window
/// of small updates limits only the next window, not all later ones.
#[must_use]
pub fn reference(median: f64, last: Option<f64>, growth: f64) -> f64 {
    match last {
        Some(last) if last > 0.0 => median.min(growth * last),
        _ => median,
    }
}

/// Returns the factor for the values of an update, rounded once.
#[must_use]
pub fn factor(norm: f64, reference: f64) -> f32 {
    if norm == 0.0 || reference == 0.0 { 1.0 } else { (reference / norm).min(1.0) as f32 }
}

/// A sum in a fixed tree. For each run of `2^n` terms that begins at a multiple of `2^n`, each half
/// is summed first. The incomplete runs at the end are added from the smallest up.
pub(super) struct Pairwise {
    /// Sums of `2^n` terms that wait for their other half.
    waiting: [f64; 64],
    count: u64,
}

impl Default for Pairwise {
    fn default() -> Self {
        Self { waiting: [0.0; 64], count: 0 }
    }
}

impl Pairwise {
    /// Adds the next term.
    pub(super) fn add(&mut self, term: f64) {
        let levels = self.count.trailing_ones() as usize;
        self.waiting[levels] = self.waiting[..levels].iter().fold(term, |sum, left| left + sum);
        self.count += 1;
    }

    /// Returns the sum of all terms.
    pub(super) fn total(&self) -> f64 {
        let levels = (0..64).filter(|level| self.count >> level & 1 == 1);
        levels.fold(0.0, |sum, level| self.waiting[level] + sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Computes the same tree, from the top.
    fn tree(terms: &[f64]) -> f64 {
        match terms.len() {
            0 => 0.0,
            1 => terms[0],
            count if count.is_power_of_two() => tree(&terms[..count / 2]) + tree(&terms[count / 2..]),
            count => {
                let left = 1 << count.ilog2();
                tree(&terms[..left]) + tree(&terms[left..])
            }
        }
    }

    proptest! {
        #[test]
        fn the_tree_is_fixed(terms in proptest::collection::vec(0.0f64..1.0, 0..70)) {
            let mut sum = Pairwise::default();
            terms.iter().for_each(|&term| sum.add(term));
            prop_assert_eq!(sum.total().to_bits(), tree(&terms).to_bits());
        }
    }

    #[test]
    fn medians_are_the_lower_ones() {
        assert_eq!(lower_median(&[5.0, 10.0, 1.0]), 5.0);
        assert_eq!(lower_median(&[4.0, 3.0, 2.0, 1.0]), 2.0);
        assert_eq!(lower_median(&[]), 0.0);
    }

    #[test]
    fn the_reference_grows_slowly_and_does_not_stick() {
        assert_eq!(reference(5.0, None, 1.1), 5.0);
        assert_eq!(reference(5.0, Some(0.0), 1.1), 5.0);
        assert_eq!(reference(5.0, Some(100.0), 1.1), 5.0);
        assert_eq!(reference(5.0, Some(4.0), 1.25), 5.0);
        assert_eq!(reference(5.0, Some(2.0), 1.5), 3.0);
    }

    #[test]
    fn only_longer_updates_are_clipped() {
        assert_eq!(factor(10.0, 5.0), 0.5);
        assert_eq!(factor(1.0, 5.0), 1.0);
        assert_eq!((factor(0.0, 5.0), factor(3.0, 0.0), factor(0.0, 0.0)), (1.0, 1.0, 1.0));
        assert_eq!(factor(3.0, 1.0), (1.0f64 / 3.0) as f32);
    }

    #[test]
    fn medians_come_back_and_others_are_refused() {
        let medians = Medians(vec![0.0, 1.5, 1e-300]);
        let mut writer = Writer::new();
        medians.write(&mut writer);
        let bytes = writer.into_bytes();
        assert_eq!(Medians::read(&mut Reader::new(&bytes), 3), Ok(medians));
        assert!(Medians::read(&mut Reader::new(&bytes), 2).is_err());
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            let mut writer = Writer::new();
            Medians(vec![wrong]).write(&mut writer);
            let refused = Medians::read(&mut Reader::new(&writer.into_bytes()), 1).unwrap_err();
            assert!(refused.to_string().contains("a norm is finite and not negative"), "{refused}");
        }
    }
}
