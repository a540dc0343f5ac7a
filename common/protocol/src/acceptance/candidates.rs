//! Lists the candidates of a window: the neurons that claimed in time, the best-paid first.

use super::{AcceptanceSpec, CannotDecide, Part, Snapshot};
use crate::clock::Heights;
use base::{
    BlockHash, Hotkey, NeuronId,
    digest::{ObjectHash, RunId},
};

/// A neuron with a valid claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The neuron that claimed.
    pub id: NeuronId,
    /// The hash of the claimed submission.
    pub object: ObjectHash,
    /// The incentive that orders it, of 65535. A neuron with incentive 0 is a newcomer.
    pub incentive: u16,
}

impl Candidate {
    /// Checks whether the neuron has no incentive yet.
    #[must_use]
    pub fn is_newcomer(&self) -> bool {
        self.incentive == 0
    }
}

/// The BLAKE3 `derive_key` context of the order among equals.
const TIE_CONTEXT: &str = "muster v2 candidate order";

/// Returns the candidates of a window in order: bit `i` of a vote stands for the candidate at place
/// `i`.
///
/// # Errors
/// A snapshot is not of the block that the window needs.
pub fn candidates(
    run: RunId,
    spec: &AcceptanceSpec,
    heights: &Heights,
    incentives: &Snapshot,
    claims: &Snapshot,
) -> Result<Vec<Candidate>, CannotDecide> {
    Part::Claims.check(heights, claims)?;
    standing_candidates(run, spec, heights, incentives, claims)
}

/// Returns the candidates as they would be if claims were closed now, in order. `now` is any state
/// from `D_w - 10` on.
///
/// All nodes fetch these first while claims may still come in. At `D_w` the list is that of
/// [`candidates`].
///
/// # Errors
/// The incentives are not of the block that the window needs.
pub fn standing_candidates(
    run: RunId,
    spec: &AcceptanceSpec,
    heights: &Heights,
    incentives: &Snapshot,
    now: &Snapshot,
) -> Result<Vec<Candidate>, CannotDecide> {
    Part::Incentives.check(heights, incentives)?;
    let mut candidates: Vec<_> = (now.claims(run, heights.window))
        .map(|(id, claim)| {
            let incentive = incentives.get(&id).map_or(0, |before| before.neuron.incentive);
            Candidate { id, object: claim.object, incentive }
        })
        .collect();
    order_candidates(spec, incentives.hash(), &mut candidates);
    Ok(candidates)
}

/// Orders candidates, the best-paid first, and keeps the first 2 x `gather_peers`. `seed` is the hash of
/// block `D_w - 10`, which orders equals.
pub fn order_candidates(spec: &AcceptanceSpec, seed: BlockHash, candidates: &mut Vec<Candidate>) {
    candidates
        .sort_by_cached_key(|candidate| (u16::MAX - candidate.incentive, tie(seed, candidate.id.hotkey)));
    candidates.truncate(spec.most_candidates());
}

/// Returns the place of a hotkey among equals. `seed` is the hash of block `D_w - 10`.
fn tie(seed: BlockHash, hotkey: Hotkey) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(TIE_CONTEXT);
    hasher.update(&seed.0).update(hotkey.as_bytes());
    *hasher.finalize().as_bytes()
}
