//! Compares the updates of a window with each other, with older ones, and with the last outer step.

use super::{Baseline, Baselines, Class, Fingerprint, Nearest, Overlap, products::products};
use crate::gauntlet::Standings;
use base::{Hotkey, Millionths};
use std::collections::BTreeMap;

/// Number of pairs of miners that have passed from which on they set the baseline of a class alone.
const LEAST_PASSED: usize = 6;

/// The fingerprints to compare, all of the same sample of chunks.
#[derive(Clone, Copy, Debug)]
pub struct Updates<'a> {
    /// The updates of the window.
    pub current: &'a BTreeMap<Hotkey, Fingerprint>,
    /// The updates of the window before.
    pub one_before: &'a BTreeMap<Hotkey, Fingerprint>,
    /// The updates of the window before that.
    pub two_before: &'a BTreeMap<Hotkey, Fingerprint>,
    /// The last outer step, if there was one.
    pub outer_step: Option<&'a Fingerprint>,
}

/// An update that others are compared with.
#[derive(Clone, Copy)]
struct Partner<'a> {
    class: Class,
    /// The miner. Zeros for the outer step.
    miner: Hotkey,
    fingerprint: &'a Fingerprint,
}

/// A pair: the miner of the window, the partner, and their cosine.
#[derive(Clone, Copy)]
struct Pair<'a> {
    miner: Hotkey,
    partner: &'a Partner<'a>,
    cosine: Millionths,
}

/// Returns the overlap of each update of the window, and the baselines.
///
/// `standings` are those before the window. They say which miners have passed or failed the proof. The result
/// does not depend on `threads`.
#[must_use]
pub fn overlaps(
    updates: &Updates<'_>,
    standings: &Standings,
    threads: usize,
) -> (BTreeMap<Hotkey, Overlap>, Baselines) {
    let partners = updates.partners();
    let pairs = pairs(&partners, updates.current.len(), threads);
    let baselines = Class::ALL.map(|class| baseline(&pairs, class, standings));
    let mut overlaps: BTreeMap<_, _> =
        updates.current.keys().map(|miner| (*miner, (Overlap::default(), Millionths::ZERO))).collect();
    for pair in pairs.iter().filter(|pair| !standings.has_failed(&pair.partner.miner)) {
        let class = pair.partner.class;
        let excess = baselines[class.index()].excess(pair.cosine);
        let nearest = Nearest { class, partner: pair.partner.miner, cosine: pair.cosine };
        if let Some((overlap, largest)) = overlaps.get_mut(&pair.miner) {
            overlap.add(excess, nearest, largest);
        }
    }
    (overlaps.into_iter().map(|(miner, (overlap, _))| (miner, overlap)).collect(), baselines)
}

impl<'a> Updates<'a> {
    /// Returns all partners. The updates of the window come first.
    fn partners(&self) -> Vec<Partner<'a>> {
        let of = |class, updates: &'a BTreeMap<Hotkey, Fingerprint>| {
            updates.iter().map(move |(miner, fingerprint)| Partner { class, miner: *miner, fingerprint })
        };
        let outer = |fingerprint| Partner { class: Class::OuterStep, miner: Hotkey([0; 32]), fingerprint };
        of(Class::SameWindow, self.current)
            .chain(of(Class::OneBefore, self.one_before))
            .chain(of(Class::TwoBefore, self.two_before))
            .chain(self.outer_step.map(outer))
            .collect()
    }
}

/// Returns the pairs of the first `current` partners with all partners of other miners.
fn pairs<'a>(partners: &'a [Partner<'a>], current: usize, threads: usize) -> Vec<Pair<'a>> {
    let vectors: Vec<_> = partners.iter().map(|partner| partner.fingerprint).collect();
    let energies: Vec<_> = vectors.iter().map(|vector| vector.energy() as f64).collect();
    let products = products(&vectors, current, threads);
    let mut pairs = Vec::with_capacity(products.len());
    for (row, miner) in partners[..current].iter().enumerate() {
        for (column, partner) in partners.iter().enumerate() {
            if partner.miner == miner.miner {
                continue;
            }
            let product = products[row * partners.len() + column] as f64;
            let cosine = product / (energies[row] * energies[column]).sqrt();
            // An update without values has no direction.
            let cosine = if cosine.is_finite() { Millionths::rounded(cosine) } else { None };
            pairs.push(Pair { miner: miner.miner, partner, cosine: cosine.unwrap_or_default() });
        }
    }
    pairs
}

/// Returns the baseline of a class: of pairs of miners that have passed, if there are enough, else of all
/// pairs without failed miners.
fn baseline(pairs: &[Pair<'_>], class: Class, standings: &Standings) -> Baseline {
    let outer = |pair: &Pair<'_>| pair.partner.class == Class::OuterStep;
    let of_class = || pairs.iter().filter(|pair| pair.partner.class == class);
    let passed = |pair: &&Pair<'_>| {
        standings.has_passed(&pair.miner) && (outer(pair) || standings.has_passed(&pair.partner.miner))
    };
    let not_failed =
        |pair: &&Pair<'_>| !standings.has_failed(&pair.miner) && !standings.has_failed(&pair.partner.miner);
    let cosines: Vec<_> = of_class().filter(passed).map(|pair| pair.cosine).collect();
    if cosines.len() >= LEAST_PASSED {
        return Baseline::of(&cosines);
    }
    Baseline::of(&of_class().filter(not_failed).map(|pair| pair.cosine).collect::<Vec<_>>())
}
