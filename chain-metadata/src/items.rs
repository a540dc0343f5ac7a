//! The list of the chain's items that Muster uses.
//!
//! [`strip`](crate::strip) keeps exactly these items in the pinned metadata, and [`check`](crate::check)
//! compares exactly these with a live runtime. To use another item of the chain, add a line here and make
//! the pinned file again (`PROVENANCE.md` holds the command).

use std::fmt;

/// The kind of an item of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A call that a transaction can carry.
    Call,
    /// A storage entry: a plain value or a map.
    Storage,
    /// A method of a runtime API.
    RuntimeApi,
    /// A constant of a pallet.
    Constant,
    /// An event of a pallet.
    Event,
    /// A pallet's enum of errors.
    Errors,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Call => "call",
            Kind::Storage => "storage",
            Kind::RuntimeApi => "runtime API",
            Kind::Constant => "constant",
            Kind::Event => "event",
            Kind::Errors => "errors",
        })
    }
}

/// One item of the chain that Muster uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Item {
    /// The kind of the item.
    pub kind: Kind,
    /// The pallet that holds the item. For a runtime API, the name of the trait.
    pub pallet: &'static str,
    /// The name of the item in the metadata, in the chain's own spelling.
    pub name: &'static str,
    /// The purpose of the item in Muster, in one line.
    pub why: &'static str,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pallet, self.name)
    }
}

/// Returns the item of this kind and name, if Muster uses it.
pub fn find(kind: Kind, pallet: &str, name: &str) -> Option<&'static Item> {
    ITEMS.iter().find(|item| item.kind == kind && item.pallet == pallet && item.name == name)
}

/// Pallets that stay in the pinned metadata. Their error enums stay complete, so that each dispatch error
/// has a name.
pub const PALLETS: &[&str] = &[SYSTEM, TIMESTAMP, BALANCES, SUBTENSOR, COMMITMENTS, DRAND];

/// Constant of pallet System that the pinned metadata keeps besides [`ITEMS`]. It names the pinned runtime.
pub const VERSION_CONSTANT: &str = "Version";

const SYSTEM: &str = "System";
const TIMESTAMP: &str = "Timestamp";
const BALANCES: &str = "Balances";
const SUBTENSOR: &str = "SubtensorModule";
const COMMITMENTS: &str = "Commitments";
const DRAND: &str = "Drand";

/// All items that Muster uses. Source: metadata of spec 461.
pub const ITEMS: &[Item] = &[
    // Calls.
    call(SUBTENSOR, "set_weights", "set a validator's weights, once per epoch"),
    call(SUBTENSOR, "set_mechanism_weights", "the same for another mechanism than the first"),
    call(SUBTENSOR, "commit_timelocked_weights", "commit encrypted weights, which the chain reveals"),
    call(SUBTENSOR, "commit_timelocked_mechanism_weights", "the same for another mechanism than the first"),
    call(SUBTENSOR, "commit_weights", "commit the hash of weights if the runtime lacks the timelocked call"),
    call(SUBTENSOR, "commit_mechanism_weights", "the same for another mechanism than the first"),
    call(SUBTENSOR, "reveal_weights", "reveal the weights of a committed hash"),
    call(SUBTENSOR, "reveal_mechanism_weights", "the same for another mechanism than the first"),
    call(SUBTENSOR, "burned_register", "register a hotkey if the runtime lacks register_limit"),
    call(SUBTENSOR, "register_limit", "register a hotkey at a price of at most the user's cap"),
    call(COMMITMENTS, "set_commitment", "publish a bucket, claim or vote"),
    // The chain and its accounts.
    storage(SYSTEM, "Account", "free balance and nonce of a coldkey"),
    storage(TIMESTAMP, "Now", "time of a block, ms since 1970"),
    // A subnet: its existence and its number of neurons.
    storage(SUBTENSOR, "NetworksAdded", "whether the subnet exists"),
    storage(SUBTENSOR, "SubnetworkN", "number of neurons: uids are 0..n"),
    storage(SUBTENSOR, "MaxAllowedUids", "maximum number of neurons"),
    storage(SUBTENSOR, "SubnetOwner", "owner's coldkey: exempt from the stake threshold"),
    storage(SUBTENSOR, "SubnetOwnerHotkey", "owner's hotkey: its uid receives the burn share"),
    // Epochs.
    storage(SUBTENSOR, "Tempo", "blocks between epochs"),
    storage(SUBTENSOR, "BlocksSinceLastStep", "blocks since the last epoch"),
    storage(SUBTENSOR, "LastMechansimStepBlock", "block of the last epoch (the chain's spelling)"),
    storage(SUBTENSOR, "LastEpochBlock", "block of the last epoch, where tempos are dynamic"),
    storage(SUBTENSOR, "PendingEpochAt", "block of an epoch that the owner has asked for"),
    storage(SUBTENSOR, "SubnetEpochIndex", "number of the epoch: commitment space is counted per epoch"),
    // Commit-reveal.
    storage(SUBTENSOR, "CommitRevealWeightsVersion", "form of timelocked commits that the chain accepts"),
    storage(SUBTENSOR, "RevealPeriodEpochs", "epochs from a commit to its reveal"),
    storage(SUBTENSOR, "TimelockedWeightCommits", "encrypted weights that wait for their reveal"),
    storage(SUBTENSOR, "WeightCommits", "hashes of weights that wait for their reveal"),
    storage(SUBTENSOR, "MechanismCountCurrent", "number of the subnet's mechanisms"),
    storage(DRAND, "BeaconConfig", "public key and schedule of the randomness beacon"),
    storage(DRAND, "LastStoredRound", "newest round that the chain has of the beacon"),
    // Hyperparameters.
    storage(SUBTENSOR, "ImmunityPeriod", "blocks during which a new neuron cannot be replaced"),
    storage(SUBTENSOR, "MinAllowedWeights", "minimum number of weights that set_weights accepts"),
    storage(SUBTENSOR, "MaxWeightsLimit", "largest share that one weight may have, of 65535"),
    storage(SUBTENSOR, "WeightsSetRateLimit", "minimum number of blocks between two set_weights of a hotkey"),
    storage(SUBTENSOR, "WeightsVersionKey", "minimum version key that set_weights accepts"),
    storage(SUBTENSOR, "CommitRevealWeightsEnabled", "whether commit-reveal replaces plain set_weights"),
    storage(SUBTENSOR, "ActivityCutoff", "blocks without set_weights after which a validator does not count"),
    storage(SUBTENSOR, "ActivityCutoffFactorMilli", "the same in thousandths of the tempo"),
    storage(SUBTENSOR, "Kappa", "majority of Yuma consensus, of 65535"),
    storage(SUBTENSOR, "BondsMovingAverage", "Yuma: smoothing of bonds, of 1000000"),
    storage(SUBTENSOR, "BondsPenalty", "Yuma: penalty on out-of-consensus bonds, of 65535"),
    storage(SUBTENSOR, "Yuma3On", "whether Yuma's bonds have the third form"),
    storage(SUBTENSOR, "MaxAllowedValidators", "maximum number of validator permits"),
    storage(SUBTENSOR, "StakeThreshold", "minimum stake for set_weights"),
    // Registration.
    storage(SUBTENSOR, "NetworkRegistrationAllowed", "whether registration is open"),
    storage(SUBTENSOR, "Burn", "current price of a registration, rao"),
    storage(SUBTENSOR, "MinBurn", "minimum price of a registration, rao"),
    storage(SUBTENSOR, "MaxBurn", "maximum price of a registration, rao"),
    // The metagraph: one vector over all uids each.
    storage(SUBTENSOR, "Active", "whether the neuron has set weights within the activity cutoff"),
    storage(SUBTENSOR, "Consensus", "Yuma consensus, of 65535"),
    storage(SUBTENSOR, "Dividends", "validators' reward share, of 65535"),
    storage(SUBTENSOR, "ValidatorTrust", "share of a validator's weights in consensus, of 65535"),
    storage(SUBTENSOR, "Emission", "emission of the last epoch, rao of alpha"),
    storage(SUBTENSOR, "StakeWeight", "stake that counts in votes and consensus, of 65535"),
    storage(SUBTENSOR, "ValidatorPermit", "whether the neuron may set weights on others"),
    storage(SUBTENSOR, "Incentive", "miners' reward share, of 65535: the order of candidates"),
    storage(SUBTENSOR, "LastUpdate", "block of the last set_weights"),
    // The metagraph: one entry per neuron.
    storage(SUBTENSOR, "Uids", "uid of a hotkey"),
    storage(SUBTENSOR, "Keys", "hotkey of a uid"),
    storage(
        SUBTENSOR,
        "BlockAtRegistration",
        "block of registration: distinguishes neurons that held the same uid",
    ),
    storage(SUBTENSOR, "Weights", "weights that a validator has set, to check them on chain"),
    storage(SUBTENSOR, "Bonds", "Yuma bonds, for auditors"),
    storage(SUBTENSOR, "Owner", "coldkey of a hotkey"),
    storage(SUBTENSOR, "TotalHotkeyAlpha", "stake on a hotkey in a subnet, rao of alpha"),
    // Commitments.
    storage(COMMITMENTS, "CommitmentOf", "buckets, claims and votes of all neurons"),
    storage(COMMITMENTS, "UsedSpaceOf", "commitment bytes that a hotkey has used in this epoch"),
    storage(COMMITMENTS, "MaxSpace", "commitment bytes that a hotkey has per epoch"),
    // Runtime APIs.
    api("SubnetInfoRuntimeApi", "get_next_epoch_start_block", "block of the next epoch"),
    api("AccountNonceApi", "account_nonce", "nonce of the next transaction"),
    // Constants.
    constant(BALANCES, "ExistentialDeposit", "minimum balance that keeps an account alive, rao"),
    constant(COMMITMENTS, "MaxFields", "maximum number of fields of a commitment"),
    constant(
        SYSTEM,
        "BlockHashCount",
        "number of past blocks whose hashes the chain keeps, for mortal transactions",
    ),
    constant(SYSTEM, "SS58Prefix", "prefix of the chain's addresses"),
    // Events.
    event(SYSTEM, "ExtrinsicSuccess", "a transaction succeeded"),
    event(SYSTEM, "ExtrinsicFailed", "a transaction failed, with its error"),
    event(SUBTENSOR, "WeightsSet", "set_weights succeeded"),
    event(SUBTENSOR, "NeuronRegistered", "the uid of a new registration"),
    event(COMMITMENTS, "Commitment", "set_commitment succeeded"),
    // Errors: complete enums.
    errors(SUBTENSOR, "reasons for refused weights and registrations"),
    errors(COMMITMENTS, "reasons for refused commitments"),
];

const fn call(pallet: &'static str, name: &'static str, why: &'static str) -> Item {
    Item { kind: Kind::Call, pallet, name, why }
}

const fn storage(pallet: &'static str, name: &'static str, why: &'static str) -> Item {
    Item { kind: Kind::Storage, pallet, name, why }
}

const fn api(pallet: &'static str, name: &'static str, why: &'static str) -> Item {
    Item { kind: Kind::RuntimeApi, pallet, name, why }
}

const fn constant(pallet: &'static str, name: &'static str, why: &'static str) -> Item {
    Item { kind: Kind::Constant, pallet, name, why }
}

const fn event(pallet: &'static str, name: &'static str, why: &'static str) -> Item {
    Item { kind: Kind::Event, pallet, name, why }
}

const fn errors(pallet: &'static str, why: &'static str) -> Item {
    Item { kind: Kind::Errors, pallet, name: "Error", why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_item_is_listed_twice() {
        for (position, item) in ITEMS.iter().enumerate() {
            let first =
                ITEMS.iter().position(|i| (i.kind, i.pallet, i.name) == (item.kind, item.pallet, item.name));
            assert_eq!(first, Some(position), "{item} is listed twice");
        }
    }

    #[test]
    fn every_item_says_why_and_lives_in_a_kept_pallet() {
        for item in ITEMS {
            assert!(!item.why.is_empty() && !item.why.contains('\n'), "{item}");
            assert!(item.kind == Kind::RuntimeApi || PALLETS.contains(&item.pallet), "{item}");
        }
    }
}
