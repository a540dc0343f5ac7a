//! Generates random networks and the events between their epochs.
//!
//! Stakes are zero, equal, or between 100 and 100,000 TAO. The share of a non-zero stake in a network
//! of 64 is at least 1.5e-5. Fixed point (2^-32 is 2.3e-10) holds that to five digits; zero stays zero,
//! and no other stake becomes zero. Heights are drawn from a few hundred blocks around the epoch, so
//! that comparisons of heights also meet equal ones.

use devchain_runtime::yuma::{EpochInput, EpochOutput, SparseRow, epoch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// The height of the first epoch.
const BLOCK: u64 = 10_000;
/// The number of blocks back to which registrations and weights are drawn.
const PAST: u64 = 300;
const TAO: u64 = 1_000_000_000;

/// A network before an epoch, and the events before each of the following epochs.
#[derive(Clone, Debug)]
pub(crate) struct History {
    first: EpochInput,
    tempo: u64,
    rest: Vec<Vec<Event>>,
}

/// An event of one neuron, in a block between two epochs.
#[derive(Clone, Debug)]
enum Event {
    SetWeights { uid: Index, at: Index, row: SparseRow },
    Reregister { uid: Index, at: Index, stake: u64 },
}

impl History {
    /// Returns the input of every epoch. Each carries over the outputs that the pallet stored in the
    /// epoch before it, as the chain does.
    pub(crate) fn epochs(&self) -> Vec<EpochInput> {
        let mut inputs = vec![self.first.clone()];
        for events in &self.rest {
            let last = &inputs[inputs.len() - 1];
            let mut next = following(last, epoch(last), self.tempo);
            for event in events {
                self.happen(&mut next, event);
            }
            inputs.push(next);
        }
        inputs
    }

    fn happen(&self, network: &mut EpochInput, event: &Event) {
        let n = network.stake.len();
        let height = |at: &Index| network.last_epoch + 1 + at.index(self.tempo as usize - 1) as u64;
        match event {
            Event::SetWeights { uid, at, row } => {
                let uid = uid.index(n);
                network.last_update[uid] = height(at);
                network.weights[uid].clone_from(row);
            }
            Event::Reregister { uid, at, stake } => {
                let uid = uid.index(n);
                let height = height(at);
                network.registered_at[uid] = height;
                network.last_update[uid] = height;
                network.stake[uid] = *stake;
                network.weights[uid].clear();
            }
        }
    }
}

/// Returns the same network one tempo later, with the outputs of the epoch.
pub(crate) fn following(last: &EpochInput, output: EpochOutput, tempo: u64) -> EpochInput {
    let stored = last.bonds.iter().zip(output.bonds);
    EpochInput {
        block: last.block + tempo,
        last_epoch: last.block,
        permits: output.permits,
        bonds: stored.map(|(old, new)| new.unwrap_or_else(|| old.clone())).collect(),
        ..last.clone()
    }
}

/// Generates networks of 1 to 64 neurons over one to four epochs.
pub(crate) fn history() -> impl Strategy<Value = History> {
    (1_usize..=64).prop_flat_map(|n| {
        let events = vec(vec(event(n), 0..=n), 0..=3);
        (network(n), 2..PAST, events).prop_map(|(first, tempo, rest)| History { first, tempo, rest })
    })
}

fn event(n: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (any::<Index>(), any::<Index>(), row(n))
            .prop_map(|(uid, at, row)| Event::SetWeights { uid, at, row }),
        1 => (any::<Index>(), any::<Index>(), stake())
            .prop_map(|(uid, at, stake)| Event::Reregister { uid, at, stake }),
    ]
}

prop_compose! {
    fn network(n: usize)(
        rules in rules(n),
        stake in vec(stake(), n),
        threshold in threshold(),
        registered_at in vec(prop_oneof![2 => Just(1), 1 => BLOCK - PAST..BLOCK], n),
        updated in vec(BLOCK - PAST..BLOCK, n),
        same in vec(proptest::option::weighted(0.1, any::<Index>()), n),
        permits in vec(prop::bool::weighted(0.7), n),
        weights in vec(row(n), n),
        bonds in vec(row(n), n),
    ) -> EpochInput {
        // Some neurons set weights in the same block in which another one registered.
        let last_update = updated.iter().zip(&same).map(|(&height, same)| match same {
            Some(other) => registered_at[other.index(n)],
            None => height,
        }).collect();
        let stake_threshold = match threshold {
            Threshold::Amount(rao) => rao,
            Threshold::StakeOf(uid) => stake[uid.index(n)],
        };
        EpochInput { stake, stake_threshold, last_update, registered_at, permits, weights, bonds, ..rules }
    }
}

prop_compose! {
    /// Generates a network's parameters, without its neurons.
    fn rules(n: usize)(
        since in 1..PAST,
        activity_cutoff in prop_oneof![1..PAST, Just(5000)],
        owner_uid in proptest::option::of(0..n as u16),
        max_allowed_validators in 0..=n as u16 + 1,
        kappa in prop_oneof![4 => Just(32_767), 1 => Just(0), 1 => Just(65_535), 4 => any::<u16>()],
        bonds_penalty in prop_oneof![2 => Just(65_535), 1 => Just(0), 2 => any::<u16>()],
        bonds_moving_average in prop_oneof![3 => Just(900_000), 1 => Just(0), 1 => Just(1_000_000), 3 => 0..=1_000_000_u64],
        yuma3 in any::<bool>(),
        emission in prop_oneof![1 => Just(0), 3 => Just(TAO), 3 => 0..1000 * TAO],
    ) -> EpochInput {
        EpochInput {
            block: BLOCK,
            last_epoch: BLOCK - since,
            activity_cutoff,
            owner_uid,
            max_allowed_validators,
            kappa,
            bonds_penalty,
            bonds_moving_average,
            yuma3,
            emission,
            stake: Vec::new(),
            stake_threshold: 0,
            last_update: Vec::new(),
            registered_at: Vec::new(),
            permits: Vec::new(),
            weights: Vec::new(),
            bonds: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
enum Threshold {
    Amount(u64),
    StakeOf(Index),
}

fn threshold() -> impl Strategy<Value = Threshold> {
    prop_oneof![
        3 => Just(Threshold::Amount(0)),
        1 => (0..100_000 * TAO).prop_map(Threshold::Amount),
        1 => any::<Index>().prop_map(Threshold::StakeOf),
    ]
}

fn stake() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        2 => Just(1000 * TAO),
        2 => 100 * TAO..1000 * TAO,
        4 => 100 * TAO..100_000 * TAO,
    ]
}

/// Generates a stored row. It has no uid, an eighth or three quarters of the uids, in order. It may
/// include the neuron's own uid and one uid beyond the network.
fn row(n: usize) -> impl Strategy<Value = SparseRow> {
    let value = prop_oneof![1 => Just(0), 2 => Just(u16::MAX), 6 => any::<u16>()];
    let eighths = prop_oneof![1 => Just(0), 3 => Just(1), 2 => Just(6)];
    (eighths, vec((0..8, value), n + 1)).prop_map(|(eighths, values)| {
        (0..)
            .zip(values)
            .filter(|(_, (eighth, _))| *eighth < eighths)
            .map(|(uid, (_, value))| (uid, value))
            .collect()
    })
}
