//! The genesis of the development chain: subnet, stakes, balances.

use crate::{
    options::Weights,
    roster::{Participant, Role},
    wallets::Keys,
};
use devchain_runtime::genesis::{Balance, Genesis, KeyError, Neuron, Subnet};

/// One TAO (or alpha) in rao.
const TAO: u64 = 1_000_000_000;

/// The minimum stake of a hotkey that votes or sets weights, in rao. All miners together earn half of
/// [`EMISSION`] per block, and it is added to their stakes. No run is long enough for a miner to reach
/// this threshold.
const STAKE_THRESHOLD: u64 = 10_000 * TAO;

/// The alpha that each block adds to the payout of the next epoch, in rao.
const EMISSION: u64 = TAO;

/// The minimum number of blocks between two `set_weights` calls of one validator.
const WEIGHTS_RATE_LIMIT: u64 = 10;

/// A version of timelocked commits that no program knows, so that all commit hashes.
const UNKNOWN_TIMELOCK: u16 = u16::MAX;

/// Returns the number of blocks between epochs for a run with windows of `blocks` blocks: two windows, so
/// that the weights of a window soon become incentive.
pub(crate) fn tempo(blocks: u32) -> u16 {
    u16::try_from(blocks.saturating_mul(2)).unwrap_or(u16::MAX)
}

/// Creates the genesis of a chain with subnet `netuid`, on which all participants are registered.
/// Epochs are `tempo` blocks apart, and weights have the given form. `keys` has the same order as
/// `participants`.
///
/// # Errors
/// Never: addresses derived from keys are valid.
pub(crate) fn genesis(
    netuid: u16,
    (tempo, weights): (u16, Weights),
    participants: &[Participant],
    keys: &[&Keys],
) -> Result<Genesis, KeyError> {
    let neurons: Vec<Neuron> = participants
        .iter()
        .zip(keys)
        .map(|(participant, keys)| neuron(participant, keys))
        .collect::<Result<_, _>>()?;
    let balances = neurons.iter().map(|n| Balance { coldkey: n.coldkey.clone(), rao: 1000 * TAO }).collect();
    let validators = participants.iter().filter(|participant| participant.role == Role::Validator).count();
    let owner = neurons.first().cloned();
    let defaults = Subnet::default();
    let subnet = Subnet {
        netuid,
        owner: owner.as_ref().map_or(defaults.owner, |owner| owner.coldkey.clone()),
        owner_hotkey: owner.map_or(defaults.owner_hotkey, |owner| owner.hotkey),
        tempo,
        weights_set_rate_limit: WEIGHTS_RATE_LIMIT,
        commit_reveal_weights_enabled: weights != Weights::Open,
        commit_reveal_version: match weights {
            Weights::Hash => UNKNOWN_TIMELOCK,
            Weights::Timelocked | Weights::Open => defaults.commit_reveal_version,
        },
        max_allowed_validators: validators as u16,
        emission_per_block: EMISSION,
        ..Subnet::default()
    };
    Ok(Genesis { balances, subnet, neurons, stake_threshold: STAKE_THRESHOLD, ..Genesis::default() })
}

fn neuron(participant: &Participant, keys: &Keys) -> Result<Neuron, KeyError> {
    Ok(Neuron {
        hotkey: keys.hotkey().to_string().parse()?,
        coldkey: keys.coldkey().parse()?,
        stake: participant.stake,
        permit: matches!(participant.role, Role::Validator | Role::Owner),
    })
}
