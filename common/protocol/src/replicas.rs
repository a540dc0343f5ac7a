//! Selects the three validators that store an accepted object.
//!
//! Every node must be able to apply the accepted objects, even when a miner's bucket is gone. So
//! three validators store each object in their buckets. They are drawn by weight from the electorate
//! at `D_w`, with the hash of that block. Many hotkeys with little stake so hold few objects alone,
//! and a cap keeps one large stake from holding all of them. No node knows the custodians before
//! claims are closed. Afterwards a validator knows its share before it votes, and every node knows
//! where to ask.

use crate::acceptance::Electorate;
use base::{BlockHash, NeuronId, digest::ObjectHash};

/// The number of custodians of an object. In a smaller electorate, all members store it.
pub const CUSTODIANS: usize = 3;
/// Largest weight of a member in the draw, as a multiple of the mean weight of all members.
const CAP: u128 = 2;

/// The BLAKE3 `derive_key` context of the draw.
const CONTEXT: &str = "muster v2 custodians";

/// Draws the custodians of an object, in the order in which they are asked for it.
///
/// `seed` is the hash of block `D_w`, `electorate` the one at `D_w`. The custodians are drawn one after
/// the other. A member that was not drawn before is drawn with a probability proportional to its weight,
/// or to the cap if that is less: twice the weight of all members (drawn ones too, before any cap)
/// divided by their number, rounded down.
#[must_use]
pub fn custodians(seed: BlockHash, object: &ObjectHash, electorate: &Electorate) -> Vec<NeuronId> {
    let members = electorate.members();
    let cap = (CAP * electorate.weight()).checked_div(members.len() as u128).unwrap_or_default();
    let mut left: Vec<(NeuronId, u128)> =
        members.map(|(id, member)| (*id, u128::from(member.weight).min(cap))).collect();
    let mut lots = Lots::new(seed, object);
    let mut drawn = Vec::with_capacity(CUSTODIANS);
    while drawn.len() < CUSTODIANS && !left.is_empty() {
        let place = place_of(lots.below(left.iter().map(|(_, weight)| weight).sum()), &left);
        drawn.push(left.remove(place).0);
    }
    drawn
}

/// Returns the place of the member to which a lot below the sum of the weights belongs.
fn place_of(lot: u128, left: &[(NeuronId, u128)]) -> usize {
    let mut end = 0;
    let owns = |(_, weight): &(NeuronId, u128)| {
        end += weight;
        lot < end
    };
    left.iter().position(owns).unwrap_or_default()
}

/// A source of random numbers for the draw of an object's custodians.
struct Lots(blake3::OutputReader);

impl Lots {
    fn new(seed: BlockHash, object: &ObjectHash) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&seed.0).update(&object.0);
        Self(hasher.finalize_xof())
    }

    /// Draws a number below `bound`, each with the same probability. Numbers of 128 bits beyond the
    /// largest multiple of the bound are drawn again.
    fn below(&mut self, bound: u128) -> u128 {
        let bound = bound.max(1);
        let beyond = (u128::MAX % bound + 1) % bound;
        loop {
            let mut bytes = [0; 16];
            self.0.fill(&mut bytes);
            let lot = u128::from_le_bytes(bytes);
            if lot <= u128::MAX - beyond {
                return lot % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests;
