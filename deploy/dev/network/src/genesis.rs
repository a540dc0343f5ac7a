//! The chain that a network begins with.

use crate::{
    roster::{Participant, Role},
    wallets::Keys,
};
use devchain_runtime::genesis::{Balance, Genesis, KeyError, Neuron, Subnet};

/// One TAO (or alpha) in rao.
const TAO: u64 = 1_000_000_000;

/// Blocks between epochs. Two windows of `tiny`: weights that follow a window are turned into incentive soon.
pub(crate) const TEMPO: u16 = 60;

/// Below this stake a hotkey neither votes nor sets weights. Miners earn half of [`EMISSION`] a block together, and
/// what they earn is staked: no run is long enough to get there.
const STAKE_THRESHOLD: u64 = 10_000 * TAO;

/// Alpha that each block adds to what an epoch hands out, in rao.
const EMISSION: u64 = TAO;

/// Blocks between two settings of weights by one validator.
const WEIGHTS_RATE_LIMIT: u64 = 10;

/// The genesis for these participants, whose keys stand in the same order: subnet `netuid`, everybody registered.
///
/// # Errors
/// Never: addresses made from keys are addresses.
pub(crate) fn genesis(
    netuid: u16,
    participants: &[Participant],
    keys: &[&Keys],
) -> Result<Genesis, KeyError> {
    let neurons: Vec<Neuron> = participants
        .iter()
        .zip(keys)
        .map(|(participant, keys)| neuron(participant, keys))
        .collect::<Result<_, _>>()?;
    let balances = neurons.iter().map(|n| Balance { coldkey: n.coldkey.clone(), rao: 1000 * TAO }).collect();
    let validators = participants.iter().filter(|participant| participant.part == Role::Validator).count();
    let owner = neurons.first().cloned();
    let defaults = Subnet::default();
    let subnet = Subnet {
        netuid,
        owner: owner.as_ref().map_or(defaults.owner, |owner| owner.coldkey.clone()),
        owner_hotkey: owner.map_or(defaults.owner_hotkey, |owner| owner.hotkey),
        tempo: TEMPO,
        weights_set_rate_limit: WEIGHTS_RATE_LIMIT,
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
        permit: matches!(participant.part, Role::Validator | Role::Owner),
    })
}
