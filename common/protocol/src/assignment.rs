//! Assigns data to the neurons of a window: disjoint blocks of 64 sequences, new in each window.
//!
//! Each window has one keyed permutation of all blocks, seeded by the hash of the block 10 before
//! it. The neurons that are registered at that block take the first places in the order of uids,
//! each as many blocks as its training needs. The rest is unassigned. Every node computes all of
//! it. So a validator knows on which data a miner should have trained. It draws samples from that
//! data, and from the unassigned rest, under a seed that no miner knew while training.
//!
//! ```
//! use base::{BlockHash, Height, Hotkey, NeuronId, Window, digest::RunHash};
//! use protocol::assignment::Assignments;
//!
//! let neurons = [1, 2, 3].map(|name| NeuronId { hotkey: Hotkey([name; 32]), registered: Height(5) });
//! let assignments = Assignments::new(&RunHash([0; 32]), Window(4), BlockHash([9; 32]), neurons, 160, 207)?;
//! let mine = assignments.of(&neurons[1])?;
//! assert_eq!(mine.sequences().count(), 160);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::{dataset::BLOCK, permutation::Permutation};
use base::{BlockHash, Hotkey, NeuronId, Window, digest::RunHash};
use std::collections::BTreeMap;

/// The assignments of a window.
#[derive(Clone, Debug)]
pub struct Assignments {
    window: Window,
    blocks: Permutation,
    places: BTreeMap<NeuronId, u64>,
    /// The first position of the permutation that is unassigned.
    unassigned: u64,
    samples: u64,
}

/// The data of one neuron in a window.
#[derive(Clone, Copy, Debug)]
pub struct Assignment<'a> {
    of: &'a Assignments,
    place: u64,
}

/// The reason why there is no assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// A dataset that is too small to give every neuron its own data.
    #[error(
        "window {window}: {neurons} neurons need {needed} blocks of 64 sequences, and at least one unassigned, but the \
         dataset has {blocks}: use a larger dataset or a smaller batch"
    )]
    TooFewBlocks {
        /// The window.
        window: Window,
        /// The number of registered neurons.
        neurons: u64,
        /// The number of blocks that they need.
        needed: u64,
        /// The number of blocks in the dataset.
        blocks: u64,
    },
    /// A neuron that was not registered when the window's data was assigned.
    #[error(
        "window {window}: {neuron} was not registered 10 blocks before the window: it gets data in the next window"
    )]
    NotRegistered {
        /// The window.
        window: Window,
        /// The neuron without data.
        neuron: NeuronId,
    },
    /// More samples than there are sequences.
    #[error("window {window}: cannot draw {asked} samples from {there} sequences")]
    TooFewSamples {
        /// The window.
        window: Window,
        /// The number of samples to draw.
        asked: u64,
        /// The number of sequences to draw from.
        there: u64,
    },
}

/// The BLAKE3 `derive_key` contexts of the permutations.
mod context {
    pub(super) const BLOCKS: &str = "muster v1 data assignment";
    pub(super) const ASSIGNED: &str = "muster v1 assigned samples";
    pub(super) const UNASSIGNED: &str = "muster v1 unassigned samples";
    pub(super) const OWN: &str = "muster v1 unassigned samples of a validator";
}

/// Derives a key from everything that a permutation depends on.
fn key(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

impl Assignments {
    /// Computes the assignments of a window.
    ///
    /// `seed` is the hash of the block 10 before the window. `neurons_by_uid` are the neurons
    /// registered after that block, in the order of uids. `samples` is the number of sequences that
    /// a neuron trains on ([`TrainSpec::samples`](crate::train::TrainSpec::samples)). `blocks` is
    /// the number of training blocks in the dataset
    /// ([`Manifest::training_blocks`](crate::dataset::Manifest::training_blocks)).
    ///
    /// # Errors
    /// The dataset has too few blocks.
    pub fn new(
        run: &RunHash,
        window: Window,
        seed: BlockHash,
        neurons_by_uid: impl IntoIterator<Item = NeuronId>,
        samples: u64,
        blocks: u64,
    ) -> Result<Self, AssignmentError> {
        let mut neurons = 0;
        let mut places = BTreeMap::new();
        for neuron in neurons_by_uid {
            places.insert(neuron, neurons);
            neurons += 1;
        }
        let needed = u64::saturating_mul(neurons, samples.div_ceil(BLOCK));
        if needed >= blocks {
            return Err(AssignmentError::TooFewBlocks { window, neurons, needed, blocks });
        }
        let key = key(context::BLOCKS, &[&run.0, &window.0.to_le_bytes(), &seed.0]);
        Ok(Self { window, blocks: Permutation::new(key, blocks), places, unassigned: needed, samples })
    }

    /// Returns the data of a neuron.
    ///
    /// # Errors
    /// The neuron was not registered in time.
    pub fn of(&self, neuron: &NeuronId) -> Result<Assignment<'_>, AssignmentError> {
        let not_registered = AssignmentError::NotRegistered { window: self.window, neuron: *neuron };
        let place = *self.places.get(neuron).ok_or(not_registered)?;
        Ok(Assignment { of: self, place })
    }

    /// Returns the number of blocks for each neuron.
    fn blocks_each(&self) -> u64 {
        self.samples.div_ceil(BLOCK)
    }

    /// Draws `count` different sequences from the unassigned data. They are the same for all
    /// neurons of the window.
    ///
    /// `seed` is the hash of block `S_w`, which no miner knew while training.
    ///
    /// # Errors
    /// There are fewer sequences.
    pub fn unassigned(&self, seed: BlockHash, count: u64) -> Result<Vec<u64>, AssignmentError> {
        let first = self.unassigned;
        let there = (self.blocks.len() - first).saturating_mul(BLOCK);
        let key = key(context::UNASSIGNED, &[&self.window.0.to_le_bytes(), &seed.0]);
        self.sample(key, there, count, |sample| self.sequence(first + sample / BLOCK, sample % BLOCK))
    }

    /// Draws `count` different sequences from the unassigned data for one validator. With them, more
    /// validators know more about the updates of a window.
    ///
    /// `seed` is the hash of block `S_w`, which no miner knew while training.
    ///
    /// # Errors
    /// There are fewer sequences.
    pub fn unassigned_of(
        &self,
        validator: &Hotkey,
        seed: BlockHash,
        count: u64,
    ) -> Result<Vec<u64>, AssignmentError> {
        let first = self.unassigned;
        let there = (self.blocks.len() - first).saturating_mul(BLOCK);
        let key = key(context::OWN, &[&self.window.0.to_le_bytes(), &seed.0, validator.as_bytes()]);
        self.sample(key, there, count, |sample| self.sequence(first + sample / BLOCK, sample % BLOCK))
    }

    /// Draws `count` of `there` samples under a key.
    fn sample(
        &self,
        key: [u8; 32],
        there: u64,
        count: u64,
        sequence: impl Fn(u64) -> u64,
    ) -> Result<Vec<u64>, AssignmentError> {
        if count > there {
            return Err(AssignmentError::TooFewSamples { window: self.window, asked: count, there });
        }
        let order = Permutation::new(key, there);
        Ok((0..count).filter_map(|place| order.at(place)).map(sequence).collect())
    }

    /// Returns the sequence at a place in the block at a position of the permutation.
    fn sequence(&self, position: u64, within: u64) -> u64 {
        let block = self.blocks.at(position).expect("positions were counted against the number of blocks");
        block * BLOCK + within
    }
}

impl Assignment<'_> {
    /// Returns the blocks in the order of training. The last block is used in part if fewer
    /// sequences are left.
    pub fn blocks(&self) -> impl Iterator<Item = u64> {
        let first = self.place * self.of.blocks_each();
        (first..first + self.of.blocks_each()).map(|position| self.of.sequence(position, 0) / BLOCK)
    }

    /// Returns the sequences in the order of training: sequence `i` is in batch `i / batch`.
    pub fn sequences(&self) -> impl Iterator<Item = u64> {
        (0..self.of.samples).map(|sample| self.nth(sample))
    }

    /// Draws `count` different samples from the first `trained` sequences, which a neuron says that
    /// it has trained on.
    ///
    /// `seed` is the hash of block `S_w`, which no miner knew while training. If a neuron says that
    /// it trained on more than was assigned, the samples come from the assigned sequences only.
    ///
    /// # Errors
    /// There are fewer sequences.
    pub fn samples(&self, seed: BlockHash, trained: u64, count: u64) -> Result<Vec<u64>, AssignmentError> {
        let place = self.place.to_le_bytes();
        let key = key(context::ASSIGNED, &[&self.of.window.0.to_le_bytes(), &seed.0, &place]);
        self.of.sample(key, trained.min(self.of.samples), count, |sample| self.nth(sample))
    }

    fn nth(&self, sample: u64) -> u64 {
        self.of.sequence(self.place * self.of.blocks_each() + sample / BLOCK, sample % BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Height;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn neurons(count: u8) -> Vec<NeuronId> {
        let id = |name| NeuronId { hotkey: Hotkey([name; 32]), registered: Height(u64::from(name)) };
        (0..count).map(id).collect()
    }

    fn tiny(window: u64, seed: u8) -> Assignments {
        let seed = BlockHash([seed; 32]);
        Assignments::new(&RunHash([1; 32]), Window(window), seed, neurons(8), 160, 207).unwrap()
    }

    #[test]
    fn known_assignments() {
        let assignments = tiny(0, 9);
        let blocks = |name: usize| assignments.of(&neurons(8)[name]).unwrap().blocks().collect::<Vec<_>>();
        assert_eq!(blocks(0), [39, 195, 38]);
        assert_eq!(blocks(7), [199, 20, 61]);
        assert_eq!(assignments.unassigned(BlockHash([4; 32]), 3), Ok(vec![2931, 3183, 11611]));
        let samples = assignments.of(&neurons(8)[0]).unwrap().samples(BlockHash([4; 32]), 160, 3);
        assert_eq!(samples, Ok(vec![12514, 12525, 2453]));
        let own = |name: u8| assignments.unassigned_of(&Hotkey([name; 32]), BlockHash([4; 32]), 3).unwrap();
        assert_ne!(own(1), own(2));
        assert!(own(1).iter().all(|s| (0..8).all(|name| !blocks(name).contains(&(s / BLOCK)))));
    }

    #[test]
    fn a_window_a_seed_and_a_run_change_everything() {
        let of =
            |assignments: &Assignments| assignments.of(&neurons(1)[0]).unwrap().blocks().collect::<Vec<_>>();
        let base = of(&tiny(0, 9));
        assert_ne!(of(&tiny(1, 9)), base);
        assert_ne!(of(&tiny(0, 8)), base);
        let other = Assignments::new(&RunHash([2; 32]), Window(0), BlockHash([9; 32]), neurons(8), 160, 207);
        assert_ne!(of(&other.unwrap()), base);
    }

    #[test]
    fn who_came_too_late_or_again_has_no_data() {
        let assignments = tiny(3, 9);
        let mut again = neurons(8)[2];
        again.registered = Height(1000);
        let error = assignments.of(&again).unwrap_err();
        assert_eq!(error, AssignmentError::NotRegistered { window: Window(3), neuron: again });
        assert!(error.to_string().ends_with("it gets data in the next window"));
    }

    #[test]
    fn a_dataset_that_is_too_small_is_named() {
        let new = |blocks| {
            Assignments::new(&RunHash([1; 32]), Window(0), BlockHash([9; 32]), neurons(8), 160, blocks)
        };
        let error = new(24).unwrap_err().to_string();
        assert!(error.contains("8 neurons need 24 blocks of 64 sequences"), "{error}");
        assert!(new(25).is_ok());
        let few = new(25).unwrap().unassigned(BlockHash([4; 32]), 65).unwrap_err().to_string();
        assert_eq!(few, "window 0: cannot draw 65 samples from 64 sequences");
        assert!(new(25).unwrap().of(&neurons(8)[0]).unwrap().samples(BlockHash([4; 32]), 30, 31).is_err());
    }

    proptest! {
        #[test]
        fn no_two_neurons_share_a_sequence(
            count in 1u8..20, samples in 1u64..300, spare in 1u64..50, seed: [u8; 32], window: u64,
        ) {
            let blocks = u64::from(count) * samples.div_ceil(BLOCK) + spare;
            let run = RunHash([1; 32]);
            let seed = BlockHash(seed);
            let assignments =
                Assignments::new(&run, Window(window), seed, neurons(count), samples, blocks).unwrap();
            let mut seen = BTreeSet::new();
            for neuron in neurons(count) {
                let assignment = assignments.of(&neuron).unwrap();
                let own: Vec<u64> = assignment.sequences().collect();
                prop_assert_eq!(own.len() as u64, samples);
                prop_assert!(own.iter().all(|&sequence| sequence < blocks * BLOCK && seen.insert(sequence)));
                let trained = samples.div_ceil(2);
                let sampled = assignment.samples(seed, trained, trained).unwrap();
                prop_assert_eq!(
                    sampled.iter().collect::<BTreeSet<_>>(),
                    own[..trained as usize].iter().collect::<BTreeSet<_>>()
                );
            }
            let assigned: BTreeSet<u64> =
                neurons(count).iter().flat_map(|n| assignments.of(n).unwrap().blocks().collect::<Vec<_>>()).collect();
            let unassigned = assignments.unassigned(seed, spare * BLOCK).unwrap();
            prop_assert!(unassigned.iter().all(|s| *s < blocks * BLOCK && !assigned.contains(&(s / BLOCK))));
            prop_assert_eq!(unassigned.iter().collect::<BTreeSet<_>>().len() as u64, spare * BLOCK);
        }
    }
}
