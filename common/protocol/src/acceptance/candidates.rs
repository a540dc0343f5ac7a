//! Who may be accepted: those who claimed in time, the best-paid first.

use super::{AcceptanceSpec, CannotDecide, Part, Snapshot};
use crate::clock::Heights;
use base::{
    BlockHash, Hotkey, NeuronId,
    digest::{ObjectHash, RunId},
};

/// A neuron with a valid claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who claimed.
    pub id: NeuronId,
    /// The submission that was claimed.
    pub object: ObjectHash,
    /// The incentive that ordered it, of 65535. Who has none yet is a newcomer.
    pub incentive: u16,
}

impl Candidate {
    /// Whether it has never earned anything.
    #[must_use]
    pub fn is_newcomer(&self) -> bool {
        self.incentive == 0
    }
}

/// The BLAKE3 `derive_key` context of the order among equals.
const TIE_CONTEXT: &str = "muster v1 candidate order";

/// The candidates of a window, in order: a vote's bit `i` is the one at place `i`.
///
/// # Errors
/// A snapshot is of another block than the window needs.
pub fn candidates(
    run: RunId,
    spec: &AcceptanceSpec,
    heights: &Heights,
    incentives: &Snapshot,
    claims: &Snapshot,
) -> Result<Vec<Candidate>, CannotDecide> {
    Part::Incentives.check(heights, incentives)?;
    Part::Claims.check(heights, claims)?;
    let mut candidates: Vec<_> = (claims.claims(run, heights.window))
        .map(|(id, claim)| {
            let incentive = incentives.get(&id).map_or(0, |before| before.neuron.incentive);
            Candidate { id, object: claim.object, incentive }
        })
        .collect();
    let order =
        |candidate: &Candidate| (u16::MAX - candidate.incentive, tie(claims.hash(), candidate.id.hotkey));
    candidates.sort_by_cached_key(order);
    candidates.truncate(spec.most_candidates());
    Ok(candidates)
}

/// The place of a hotkey among equals: nobody knew it before the claims were closed.
fn tie(seed: BlockHash, hotkey: Hotkey) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(TIE_CONTEXT);
    hasher.update(&seed.0).update(hotkey.as_bytes());
    *hasher.finalize().as_bytes()
}
