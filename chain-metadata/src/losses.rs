//! The consequences for an operator if a runtime lacks an item, or has it in another form.

use crate::items::Item;

/// The consequences, each with the items whose absence has it. A test checks that each item has one.
const LOSSES: &[(&str, &[&str])] = &[
    // Weights.
    ("weights: a validator cannot set them where commit-reveal is off", &["SubtensorModule.set_weights"]),
    (
        "mechanisms: weights of other mechanisms than the first cannot be set, committed or revealed",
        &[
            "SubtensorModule.set_mechanism_weights",
            "SubtensorModule.commit_timelocked_mechanism_weights",
            "SubtensorModule.commit_mechanism_weights",
            "SubtensorModule.reveal_mechanism_weights",
            "SubtensorModule.MechanismCountCurrent",
        ],
    ),
    (
        "commit-reveal: weights cannot be committed in encrypted form; they are committed as a hash, if the runtime can",
        &[
            "SubtensorModule.commit_timelocked_weights",
            "SubtensorModule.CommitRevealWeightsVersion",
            "Drand.BeaconConfig",
        ],
    ),
    (
        "commit-reveal: weights cannot be committed where the runtime takes only hashes",
        &["SubtensorModule.commit_weights"],
    ),
    ("commit-reveal: weights committed as a hash cannot be revealed", &["SubtensorModule.reveal_weights"]),
    (
        "commit-reveal: one epoch is taken for the time from a commit to its reveal",
        &["SubtensorModule.RevealPeriodEpochs"],
    ),
    (
        "commit-reveal: weights that wait for their reveal cannot be seen, neither by `weights show` nor by the auditor",
        &["SubtensorModule.TimelockedWeightCommits", "SubtensorModule.WeightCommits"],
    ),
    (
        "weights: the subnet's rules for them cannot be read, so a validator sets none",
        &[
            "SubtensorModule.MinAllowedWeights",
            "SubtensorModule.MaxWeightsLimit",
            "SubtensorModule.WeightsSetRateLimit",
            "SubtensorModule.WeightsVersionKey",
            "SubtensorModule.CommitRevealWeightsEnabled",
            "SubtensorModule.StakeThreshold",
        ],
    ),
    ("weights: those on chain cannot be compared with the score logs", &["SubtensorModule.Weights"]),
    // Registration.
    (
        "registration: `register` cannot register a hotkey where there is no price limit",
        &["SubtensorModule.burned_register"],
    ),
    (
        "registration: the price is not capped by the chain, only checked just before",
        &["SubtensorModule.register_limit"],
    ),
    (
        "registration and the subnet's rules: `register` cannot tell the price, a validator cannot score",
        &["SubtensorModule.NetworkRegistrationAllowed", "SubtensorModule.Burn"],
    ),
    ("registration: the new uid is not told; `status` shows it", &["SubtensorModule.NeuronRegistered"]),
    // Commitments.
    (
        "commitments: miners cannot claim, validators cannot vote, no bucket can be announced",
        &["Commitments.set_commitment"],
    ),
    (
        "commitments: buckets, claims and votes cannot be read: no window can be decided",
        &["Commitments.CommitmentOf"],
    ),
    (
        "commitments: the space that is left is unknown, so none is sent",
        &["Commitments.UsedSpaceOf", "Commitments.MaxSpace"],
    ),
    // The subnet.
    (
        "the subnet cannot be read: nodes, `status` and the auditor wait until they can",
        &[
            "SubtensorModule.NetworksAdded",
            "SubtensorModule.SubnetworkN",
            "SubtensorModule.SubnetOwner",
            "SubtensorModule.SubnetOwnerHotkey",
            "SubtensorModule.StakeWeight",
            "SubtensorModule.ValidatorPermit",
            "SubtensorModule.Incentive",
            "SubtensorModule.LastUpdate",
            "SubtensorModule.Uids",
            "SubtensorModule.Keys",
            "SubtensorModule.BlockAtRegistration",
            "SubtensorModule.Owner",
            "SubtensorModule.TotalHotkeyAlpha",
        ],
    ),
    (
        "the metagraph shows zeros in this column; nothing is decided by it",
        &[
            "SubtensorModule.Active",
            "SubtensorModule.Consensus",
            "SubtensorModule.Dividends",
            "SubtensorModule.ValidatorTrust",
            "SubtensorModule.Emission",
        ],
    ),
    ("the auditor cannot show bonds", &["SubtensorModule.Bonds"]),
    (
        "the subnet's rules cannot be read: a validator cannot score, the auditor cannot check",
        &[
            "SubtensorModule.MaxAllowedUids",
            "SubtensorModule.ImmunityPeriod",
            "SubtensorModule.ActivityCutoff",
            "SubtensorModule.Kappa",
            "SubtensorModule.BondsMovingAverage",
            "SubtensorModule.BondsPenalty",
            "SubtensorModule.MaxAllowedValidators",
            "SubtensorModule.MinBurn",
            "SubtensorModule.MaxBurn",
        ],
    ),
    ("Yuma 3 counts as off", &["SubtensorModule.Yuma3On"]),
    ("the activity cutoff is the older one, in blocks", &["SubtensorModule.ActivityCutoffFactorMilli"]),
    // Epochs.
    (
        "epochs cannot be foreseen: a validator cannot time its weights",
        &["SubtensorModule.Tempo", "SubtensorModule.BlocksSinceLastStep"],
    ),
    (
        "epochs are computed for a fixed tempo, as older runtimes have them",
        &[
            "SubtensorModule.LastEpochBlock",
            "SubtensorModule.PendingEpochAt",
            "SubtensorModule.SubnetEpochIndex",
        ],
    ),
    (
        "the block of the next epoch is computed instead of asked for",
        &["SubnetInfoRuntimeApi.get_next_epoch_start_block"],
    ),
    // The chain.
    ("balances cannot be read: neither `status` nor `register` can tell them", &["System.Account"]),
    ("the time of a block is read from its transactions instead", &["Timestamp.Now"]),
    (
        "the node may be unable to tell the next nonce; then no transaction can be sent",
        &["AccountNonceApi.account_nonce"],
    ),
    (
        "nothing: Muster has this value built in",
        &["System.BlockHashCount", "System.SS58Prefix", "Commitments.MaxFields"],
    ),
    (
        "nothing: the chain itself refuses a registration that the coldkey cannot pay",
        &["Balances.ExistentialDeposit"],
    ),
    (
        "nothing: it only informs",
        &[
            "SubtensorModule.LastMechansimStepBlock",
            "SubtensorModule.WeightsSet",
            "Commitments.Commitment",
            "Drand.LastStoredRound",
        ],
    ),
    ("the outcome of transactions cannot be told", &["System.ExtrinsicSuccess", "System.ExtrinsicFailed"]),
    (
        "refusals by the chain are told by number, without their meaning",
        &["SubtensorModule.Error", "Commitments.Error"],
    ),
];

/// Returns the consequence if a runtime lacks this item, or has it in another form.
pub fn loss(item: &Item) -> &'static str {
    let name = item.to_string();
    let found = LOSSES.iter().find(|(_, items)| items.contains(&name.as_str()));
    found.map_or("unknown: it is not listed in losses.rs", |(loss, _)| loss)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::ITEMS;
    use std::collections::BTreeSet;

    #[test]
    fn each_item_has_one_consequence_and_no_other_is_listed() {
        let listed: Vec<&str> = LOSSES.iter().flat_map(|(_, items)| *items).copied().collect();
        let used: BTreeSet<String> = ITEMS.iter().map(ToString::to_string).collect();
        assert_eq!(used.len(), ITEMS.len(), "names are unique");
        assert_eq!(listed.len(), ITEMS.len(), "no item is listed twice");
        assert_eq!(listed.into_iter().map(String::from).collect::<BTreeSet<_>>(), used);
    }
}
