//! Selects the three voters that store an accepted object.
//!
//! Every node must be able to apply the accepted objects, even when a miner's bucket is gone. So
//! three of the voters store each object in their buckets. The hash of block `D_w` draws them. No
//! node knows them before the object is claimed, and afterwards every node knows where to ask.

use base::{BlockHash, NeuronId, digest::ObjectHash};
use std::collections::BTreeSet;

/// The number of custodians of an object. If there are fewer voters, all of them store it.
pub const CUSTODIANS: usize = 3;

/// The BLAKE3 `derive_key` context of the draw.
const CONTEXT: &str = "muster v1 custodians";

/// Returns the custodians of an accepted object, in the order in which they are asked for it.
///
/// `seed` is the hash of block `D_w`.
#[must_use]
pub fn custodians(seed: BlockHash, object: &ObjectHash, voters: &BTreeSet<NeuronId>) -> Vec<NeuronId> {
    let mut drawn: Vec<NeuronId> = voters.iter().copied().collect();
    drawn.sort_by_cached_key(|voter| lot(seed, object, voter));
    drawn.truncate(CUSTODIANS);
    drawn
}

fn lot(seed: BlockHash, object: &ObjectHash, voter: &NeuronId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&seed.0).update(&object.0);
    hasher.update(voter.hotkey.as_bytes()).update(&voter.registered.0.to_le_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Height, Hotkey};

    fn voter(name: u8) -> NeuronId {
        NeuronId { hotkey: Hotkey([name; 32]), registered: Height(7) }
    }

    fn draw(seed: u8, object: u8, voters: u8) -> Vec<u8> {
        let voters = (0..voters).map(voter).collect();
        let drawn = custodians(BlockHash([seed; 32]), &ObjectHash([object; 32]), &voters);
        drawn.iter().map(|voter| voter.hotkey.0[0]).collect()
    }

    #[test]
    fn the_draw_is_known() {
        let drawn = [draw(1, 1, 10), draw(1, 2, 10), draw(2, 1, 10)];
        assert_eq!(drawn, [[3, 9, 6], [4, 2, 9], [8, 6, 2]]);
    }

    #[test]
    fn few_voters_are_all_custodians() {
        for count in 0..=3 {
            let mut drawn = draw(1, 1, count);
            drawn.sort_unstable();
            assert_eq!(drawn, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn all_voters_are_drawn_about_equally_often() {
        let mut drawn = [0; 10];
        for object in 0..200 {
            draw(1, object, 10).iter().for_each(|&name| drawn[usize::from(name)] += 1);
        }
        // 200 draws of 3 of 10: 60 each, give or take 6.5.
        assert!(drawn.iter().all(|count| (30..=90).contains(count)), "{drawn:?}");
        assert_eq!(drawn.iter().sum::<i32>(), 600);
    }

    #[test]
    fn another_registration_has_another_lot() {
        let object = ObjectHash([1; 32]);
        let seed = BlockHash([1; 32]);
        let again = NeuronId { registered: Height(8), ..voter(1) };
        assert_ne!(lot(seed, &object, &voter(1)), lot(seed, &object, &again));
    }
}
