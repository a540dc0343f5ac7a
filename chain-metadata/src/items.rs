//! The one list of the chain's items that Muster uses.
//!
//! [`strip`](crate::strip) keeps exactly these in the pinned metadata, and [`check`](crate::check) compares
//! exactly these with a live runtime. To use another item of the chain, add a line here and remake the pinned
//! file (`PROVENANCE.md` holds the command).

use std::fmt;

/// What sort of thing an item of the chain is.
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
    /// What it is.
    pub kind: Kind,
    /// The pallet that holds it; of a runtime API the name of the trait.
    pub pallet: &'static str,
    /// Its name in the metadata, in the chain's own spelling.
    pub name: &'static str,
    /// Why Muster needs it, in one line.
    pub why: &'static str,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pallet, self.name)
    }
}

/// The item of this kind and name, if Muster uses it.
pub fn find(kind: Kind, pallet: &str, name: &str) -> Option<&'static Item> {
    ITEMS.iter().find(|item| item.kind == kind && item.pallet == pallet && item.name == name)
}

/// Pallets that stay in the pinned metadata, with their error enums whole, so that a dispatch error has a name.
pub const PALLETS: &[&str] = &[SYSTEM, TIMESTAMP, BALANCES, SUBTENSOR, COMMITMENTS];

/// Constant of pallet System that the pinned metadata keeps besides [`ITEMS`]: it says which runtime was pinned.
pub const VERSION_CONSTANT: &str = "Version";

const SYSTEM: &str = "System";
const TIMESTAMP: &str = "Timestamp";
const BALANCES: &str = "Balances";
const SUBTENSOR: &str = "SubtensorModule";
const COMMITMENTS: &str = "Commitments";

/// Every item that Muster uses. Facts: metadata of spec 461.
pub const ITEMS: &[Item] = &[
    // Calls.
    call(SUBTENSOR, "set_weights", "a validator's weights, once an epoch"),
    call(SUBTENSOR, "burned_register", "register a hotkey where register_limit is not to be had"),
    call(SUBTENSOR, "register_limit", "register a hotkey at a price of at most the user's cap"),
    call(COMMITMENTS, "set_commitment", "announce bucket, claim or vote"),
    // The chain and its accounts.
    storage(SYSTEM, "Account", "free balance and nonce of a coldkey"),
    storage(TIMESTAMP, "Now", "time of a block, ms since 1970"),
    // A subnet: does it exist, and how many neurons may it have?
    storage(SUBTENSOR, "NetworksAdded", "does the subnet exist"),
    storage(SUBTENSOR, "SubnetworkN", "number of neurons: uids are 0..n"),
    storage(SUBTENSOR, "MaxAllowedUids", "is there room for one more neuron"),
    storage(SUBTENSOR, "SubnetOwner", "owner's coldkey: exempt from the stake threshold"),
    storage(SUBTENSOR, "SubnetOwnerHotkey", "owner's hotkey: its uid receives the burn share"),
    // Epochs.
    storage(SUBTENSOR, "Tempo", "blocks between epochs"),
    storage(SUBTENSOR, "BlocksSinceLastStep", "blocks since the last epoch"),
    storage(SUBTENSOR, "LastMechansimStepBlock", "block of the last epoch (the chain's spelling)"),
    storage(SUBTENSOR, "LastEpochBlock", "block of the last epoch, where tempos are dynamic"),
    storage(SUBTENSOR, "PendingEpochAt", "block of an epoch that the owner has asked for"),
    storage(SUBTENSOR, "SubnetEpochIndex", "number of the epoch: commitment space is counted by it"),
    // Hyperparameters.
    storage(SUBTENSOR, "ImmunityPeriod", "blocks during which a new neuron cannot be replaced"),
    storage(SUBTENSOR, "MinAllowedWeights", "fewest weights that set_weights accepts"),
    storage(SUBTENSOR, "MaxWeightsLimit", "largest share that one weight may have, of 65535"),
    storage(SUBTENSOR, "WeightsSetRateLimit", "blocks between two set_weights of a hotkey"),
    storage(SUBTENSOR, "WeightsVersionKey", "least version key that set_weights accepts"),
    storage(SUBTENSOR, "CommitRevealWeightsEnabled", "is set_weights refused in favour of commit-reveal"),
    storage(SUBTENSOR, "ActivityCutoff", "blocks after which a silent validator does not count"),
    storage(SUBTENSOR, "Kappa", "majority of Yuma consensus, of 65535"),
    storage(SUBTENSOR, "BondsMovingAverage", "Yuma: how slowly bonds follow weights, of 1000000"),
    storage(SUBTENSOR, "BondsPenalty", "Yuma: penalty on out-of-consensus bonds, of 65535"),
    storage(SUBTENSOR, "Yuma3On", "which form of Yuma's bonds is in force"),
    storage(SUBTENSOR, "MaxAllowedValidators", "number of validator permits"),
    storage(SUBTENSOR, "StakeThreshold", "least stake for set_weights"),
    // Registration.
    storage(SUBTENSOR, "NetworkRegistrationAllowed", "is registration open"),
    storage(SUBTENSOR, "Burn", "price of a registration now, rao"),
    storage(SUBTENSOR, "MinBurn", "least price of a registration, rao"),
    storage(SUBTENSOR, "MaxBurn", "largest price of a registration, rao"),
    // The metagraph: a vector over uids for each.
    storage(SUBTENSOR, "Active", "set weights within the activity cutoff"),
    storage(SUBTENSOR, "Consensus", "Yuma consensus, of 65535"),
    storage(SUBTENSOR, "Dividends", "validators' reward share, of 65535"),
    storage(SUBTENSOR, "ValidatorTrust", "share of a validator's weights in consensus, of 65535"),
    storage(SUBTENSOR, "Emission", "emission of the last epoch, rao of alpha"),
    storage(SUBTENSOR, "StakeWeight", "stake that counts in votes and consensus, of 65535"),
    storage(SUBTENSOR, "ValidatorPermit", "may the neuron set weights on others"),
    storage(SUBTENSOR, "Incentive", "miners' reward share, of 65535: orders candidates"),
    storage(SUBTENSOR, "LastUpdate", "block of the last set_weights"),
    // The metagraph: an entry for each neuron.
    storage(SUBTENSOR, "Uids", "uid of a hotkey"),
    storage(SUBTENSOR, "Keys", "hotkey of a uid"),
    storage(SUBTENSOR, "BlockAtRegistration", "tells apart neurons that held one uid in turn"),
    storage(SUBTENSOR, "Weights", "what a validator has set: the result is checked on chain"),
    storage(SUBTENSOR, "Bonds", "Yuma bonds, for auditors"),
    storage(SUBTENSOR, "Owner", "coldkey of a hotkey"),
    storage(SUBTENSOR, "TotalHotkeyAlpha", "stake on a hotkey in a subnet, rao of alpha"),
    // Commitments.
    storage(COMMITMENTS, "CommitmentOf", "buckets, claims and votes of all neurons"),
    storage(COMMITMENTS, "UsedSpaceOf", "commitment bytes that a hotkey has used in this epoch"),
    storage(COMMITMENTS, "MaxSpace", "commitment bytes that a hotkey has per epoch"),
    // Runtime APIs.
    api("SubnetInfoRuntimeApi", "get_next_epoch_start_block", "when the next epoch begins"),
    api("AccountNonceApi", "account_nonce", "nonce of the next transaction"),
    // Constants.
    constant(BALANCES, "ExistentialDeposit", "least balance that keeps an account alive, rao"),
    constant(COMMITMENTS, "MaxFields", "most fields of a commitment"),
    constant(SYSTEM, "BlockHashCount", "how far back mortal transactions and block hashes reach"),
    constant(SYSTEM, "SS58Prefix", "prefix of the chain's addresses"),
    // Events.
    event(SYSTEM, "ExtrinsicSuccess", "a transaction was carried out"),
    event(SYSTEM, "ExtrinsicFailed", "a transaction was refused, and why"),
    event(SUBTENSOR, "WeightsSet", "set_weights was carried out"),
    event(SUBTENSOR, "NeuronRegistered", "the uid of a new registration"),
    event(COMMITMENTS, "Commitment", "set_commitment was carried out"),
    // Errors: kept whole.
    errors(SUBTENSOR, "why weights or a registration were refused"),
    errors(COMMITMENTS, "why a commitment was refused"),
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
