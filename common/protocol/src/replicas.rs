//! Selects the three validators that store an accepted object.
//!
//! Every node must be able to apply the accepted objects, even when a miner's bucket is gone. So
//! three validators store each object in their buckets. They are drawn by weight from the electorate
//! at `D_w`, with the hash of that block. Many hotkeys with little stake so hold few objects alone,
//! and a cap keeps one large stake from holding all of them. No node knows the custodians before
//! claims are closed. Afterwards a validator knows its share before it votes, and every node knows
//! where to ask.
//!
//! A miner knows the custodians as well, and could serve more than half of the stake and none of them.
//! So the votes at `M_w` decide which validators keep an accepted object: [`keepers`].

use crate::acceptance::Electorate;
use base::{BlockHash, NeuronId, digest::ObjectHash};
use std::collections::BTreeSet;

/// The number of custodians of an object, and of its keepers. In a smaller electorate, all members store it.
pub const CUSTODIANS: usize = 3;
/// Largest weight of a member in the draw, as a multiple of the mean weight of all members.
const CAP: u128 = 2;
/// The cap is at least one of this many parts of all weight. A cap near the mean would give the places of a
/// large honest stake to hostile ones: of 47 members, 6 with 14 % of the weight beside one with 60 % would
/// draw 31 % of the lots.
const PARTS: u128 = 4;

/// The BLAKE3 `derive_key` context of the draw.
const CONTEXT: &str = "muster v2 custodians";

/// Draws the custodians of an object, in the order in which they are asked for it.
///
/// `seed` is the hash of block `D_w`, `electorate` the one at `D_w`. The custodians are drawn one after
/// the other. A member that was not drawn before is drawn with a probability proportional to its weight,
/// or to the cap if that is less. Of the weight of all members (drawn ones too, before any cap), the cap is a
/// quarter, or twice the mean if that is more, each rounded down.
#[must_use]
pub fn custodians(seed: BlockHash, object: &ObjectHash, electorate: &Electorate) -> Vec<NeuronId> {
    let members = electorate.members().map(|(id, _)| *id);
    Lots::new(seed, object).draw(CUSTODIANS, weights(electorate, members))
}

/// Selects the validators that keep an accepted object, in the order in which they are asked for it.
///
/// `voters` are those for the object whose votes name the quorum's state. `seed` and `electorate` are those
/// of [`custodians`]. The keepers are the custodians that voted for the object, in the order of their draw.
/// If these are fewer than [`CUSTODIANS`], other voters take the missing places. The lots after those of the
/// custodians draw them, by the same capped weights. A voter that was no member at `D_w` has the weight 1.
#[must_use]
pub fn keepers(
    seed: BlockHash,
    object: &ObjectHash,
    electorate: &Electorate,
    voters: &BTreeSet<NeuronId>,
) -> Vec<NeuronId> {
    let mut lots = Lots::new(seed, object);
    let members = electorate.members().map(|(id, _)| *id);
    let mut keepers = lots.draw(CUSTODIANS, weights(electorate, members));
    keepers.retain(|custodian| voters.contains(custodian));
    let others = voters.iter().filter(|voter| !keepers.contains(voter)).copied();
    let drawn = lots.draw(CUSTODIANS - keepers.len(), weights(electorate, others));
    keepers.extend(drawn);
    keepers
}

/// Returns the weight of each hotkey in the draw: at most the cap, and 1 for those that are not members.
fn weights(electorate: &Electorate, ids: impl Iterator<Item = NeuronId>) -> Vec<(NeuronId, u128)> {
    let members = electorate.members().len() as u128;
    let cap = (CAP * electorate.weight()).checked_div(members).unwrap_or_default();
    let cap = cap.max(electorate.weight() / PARTS);
    let weight = |id: &NeuronId| electorate.get(id).map_or(1, |member| u128::from(member.weight).min(cap));
    ids.map(|id| (id, weight(&id))).collect()
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

    /// Draws this many hotkeys one after the other, or all if there are fewer. One that was not drawn before
    /// is drawn with a probability proportional to its weight.
    fn draw(&mut self, count: usize, mut left: Vec<(NeuronId, u128)>) -> Vec<NeuronId> {
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count && !left.is_empty() {
            let place = place_of(self.below(left.iter().map(|(_, weight)| weight).sum()), &left);
            drawn.push(left.remove(place).0);
        }
        drawn
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
