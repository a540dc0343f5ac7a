//! The initial state of a chain, in a form that people write.

mod key;
mod write;

pub use key::{Key, KeyError};

use crate::{
    runtime::{BalancesConfig, Runtime, RuntimeGenesisConfig},
    types::{FixedU128, TaoBalance},
};
use serde::{Deserialize, Serialize};
use sp_core::storage::{Storage, well_known_keys};
use sp_runtime::BuildStorage;
use sp_state_machine::BasicExternalities;
use std::collections::BTreeSet;

/// One TAO (or alpha), in rao.
const TAO: u64 = 1_000_000_000;
/// The maximum number of neurons of a subnet. The chain stores vectors with one entry per uid.
const MAX_UIDS: u16 = 4096;

/// The maximum number of epochs from a commit to its reveal, on the real chain too.
const MAX_REVEAL_PERIOD: u64 = 100;

/// The initial state of a chain. Amounts are in rao (10⁻⁹ TAO or alpha).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Genesis {
    /// The coldkeys and their free balances.
    pub balances: Vec<Balance>,
    /// The subnet.
    pub subnet: Subnet,
    /// The neurons registered from the start, in the order of their uids. The owner's hotkey is one of
    /// them if listed.
    pub neurons: Vec<Neuron>,
    /// The stake weight that a hotkey needs to set weights and to count in an epoch.
    pub stake_threshold: u64,
    /// The factor for stake in the root network when it counts in a subnet, in units of 2⁻⁶⁴.
    pub tao_weight: u64,
    /// The bytes of commitments that a hotkey may write in an epoch.
    pub commitment_space: u32,
}

/// A funded coldkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// The coldkey.
    pub coldkey: Key,
    /// The free balance.
    pub rao: u64,
}

/// A neuron registered from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neuron {
    /// The hotkey.
    pub hotkey: Key,
    /// The coldkey that owns the hotkey.
    pub coldkey: Key,
    /// The alpha stake in the subnet.
    #[serde(default)]
    pub stake: u64,
    /// Whether the neuron may set weights on others.
    #[serde(default)]
    pub permit: bool,
}

/// The subnet and its parameters. They have the chain's names in lower case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Subnet {
    /// The number of the subnet.
    pub netuid: u16,
    /// The symbol of its token, which tools show beside amounts.
    pub symbol: String,
    /// The coldkey of its owner.
    pub owner: Key,
    /// The hotkey of its owner.
    pub owner_hotkey: Key,
    /// The number of blocks from one epoch to the next; 0 = no epochs.
    pub tempo: u16,
    /// The maximum number of neurons.
    pub max_allowed_uids: u16,
    /// The number of neurons out of immunity that replacement must keep.
    pub min_non_immune_uids: u16,
    /// The number of blocks for which a new neuron is immune, so that it is replaced last.
    pub immunity_period: u16,
    /// The minimum number of weights that a validator may set.
    pub min_allowed_weights: u16,
    /// The largest share of one weight, in units of 1/65535.
    pub max_weights_limit: u16,
    /// The minimum number of blocks between two weight settings of a validator.
    pub weights_set_rate_limit: u64,
    /// The oldest version key that may set weights; 0 = any.
    pub weights_version_key: u64,
    /// Whether weights must be committed and revealed.
    pub commit_reveal_weights_enabled: bool,
    /// The version of timelocked commits that the chain takes. Clients that do not know it commit hashes.
    pub commit_reveal_version: u16,
    /// The number of epochs from a commit to its reveal.
    pub reveal_period_epochs: u64,
    /// The minimum number of blocks between two announcements of a server's address.
    pub serving_rate_limit: u64,
    /// The number of blocks without new weights after which a validator is inactive.
    pub activity_cutoff: u16,
    /// The majority that consensus needs, in units of 1/65535.
    pub kappa: u16,
    /// The weight of the old bonds, in millionths.
    pub bonds_moving_average: u64,
    /// The share of clipped weights in bonds, in units of 1/65535.
    pub bonds_penalty: u16,
    /// Whether Yuma 3 runs instead of Yuma 2.
    pub yuma3_on: bool,
    /// The maximum number of validator permits.
    pub max_allowed_validators: u16,
    /// Whether new neurons may register.
    pub network_registration_allowed: bool,
    /// The price of a registration at the start.
    pub burn: u64,
    /// The lowest price of a registration.
    pub min_burn: u64,
    /// The highest price of a registration.
    pub max_burn: u64,
    /// The number of blocks in which the price halves; 0 = the price does not fall.
    pub burn_half_life: u16,
    /// The factor by which a registration raises the price.
    pub burn_increase_mult: FixedU128,
    /// The alpha that each block adds to the emission of the next epoch.
    pub emission_per_block: u64,
}

/// The reason why a genesis cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The subnet has the number of the root network.
    #[error("subnet.netuid is 0, the root network: choose 1 to 4095")]
    RootNetwork,
    /// The subnet's number is too large. The storage index of mechanisms leaves 12 bits for it.
    #[error("subnet.netuid is {0}: choose 1 to 4095")]
    NetuidTooLarge(u16),
    /// There are more neurons than uids.
    #[error("{neurons} neurons do not fit into subnet.max_allowed_uids = {uids}")]
    TooManyNeurons {
        /// The number of listed neurons.
        neurons: usize,
        /// The number of uids of the subnet.
        uids: u16,
    },
    /// The subnet is larger than the chain's vectors.
    #[error("subnet.max_allowed_uids is {0}: choose at most {MAX_UIDS}")]
    TooManyUids(u16),
    /// A hotkey is listed twice.
    #[error("hotkey {0} is listed twice in neurons")]
    DuplicateHotkey(Key),
    /// A coldkey is listed twice.
    #[error("coldkey {0} is listed twice in balances")]
    DuplicateColdkey(Key),
    /// A balance is so small that the chain would remove the account at once.
    #[error(
        "the balance of coldkey {coldkey} is {rao} rao, below the existential deposit of 500: raise or omit it"
    )]
    BalanceTooLow {
        /// The coldkey.
        coldkey: Key,
        /// The balance.
        rao: u64,
    },
    /// The sum of all balances is too large.
    #[error("the balances add up to more than {} rao", u64::MAX)]
    TotalBalance,
    /// The sum of all stakes is too large.
    #[error("the stakes add up to more than {} rao", u64::MAX)]
    TotalStake,
    /// The reveal period is out of bounds.
    #[error("subnet.reveal_period_epochs is {0}: choose 1 to {MAX_REVEAL_PERIOD}")]
    RevealPeriod(u64),
    /// The price bounds are in the wrong order.
    #[error("subnet.min_burn ({min}) is above subnet.max_burn ({max})")]
    BurnBounds {
        /// The lowest price.
        min: u64,
        /// The highest price.
        max: u64,
    },
    /// FRAME could not build the state.
    #[error("cannot build the genesis state: {0}")]
    Storage(String),
}

impl Default for Genesis {
    /// Returns subnet 3 with its owner, three validators of decreasing stake, and eight coldkeys that
    /// can pay for miners.
    fn default() -> Self {
        let validator = |name: &str, tao: u64| Neuron {
            hotkey: Key::dev(&format!("//{name}//hotkey")),
            coldkey: Key::dev(&format!("//{name}")),
            stake: tao * TAO,
            permit: true,
        };
        let subnet = Subnet::default();
        let owner = Neuron {
            hotkey: subnet.owner_hotkey.clone(),
            coldkey: subnet.owner.clone(),
            stake: 0,
            permit: true,
        };
        let funded = ["Owner", "Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie", "George"];
        Self {
            balances: funded
                .map(|name| Balance { coldkey: Key::dev(&format!("//{name}")), rao: 100_000 * TAO })
                .into(),
            neurons: vec![
                owner,
                validator("Alice", 50_000),
                validator("Bob", 40_000),
                validator("Charlie", 30_000),
            ],
            subnet,
            stake_threshold: 0,
            tao_weight: 971_718_665_099_567_868,
            commitment_space: 3100,
        }
    }
}

impl Default for Subnet {
    fn default() -> Self {
        Self {
            netuid: 3,
            symbol: "γ".into(),
            owner: Key::dev("//Owner"),
            owner_hotkey: Key::dev("//Owner//hotkey"),
            tempo: 20,
            max_allowed_uids: 256,
            min_non_immune_uids: 10,
            immunity_period: 4096,
            min_allowed_weights: 1,
            max_weights_limit: u16::MAX,
            weights_set_rate_limit: 0,
            weights_version_key: 0,
            commit_reveal_weights_enabled: false,
            commit_reveal_version: 4,
            reveal_period_epochs: 1,
            serving_rate_limit: 0,
            activity_cutoff: 5000,
            kappa: 32767,
            bonds_moving_average: 900_000,
            bonds_penalty: u16::MAX,
            yuma3_on: false,
            max_allowed_validators: 128,
            network_registration_allowed: true,
            burn: 100_000_000,
            min_burn: 500_000,
            max_burn: 100 * TAO,
            burn_half_life: 360,
            burn_increase_mult: FixedU128::from_f64(1.26),
            emission_per_block: TAO,
        }
    }
}

impl Genesis {
    /// Builds the storage that a chain starts from.
    ///
    /// # Errors Each error names the field and its invalid value.
    pub fn storage(&self) -> Result<Storage, GenesisError> {
        self.check()?;
        let balances =
            self.balances.iter().map(|b| (b.coldkey.account().clone(), TaoBalance(b.rao))).collect();
        let config = RuntimeGenesisConfig {
            balances: BalancesConfig { balances, dev_accounts: None },
            ..RuntimeGenesisConfig::default()
        };
        let mut storage = config.build_storage().map_err(GenesisError::Storage)?;
        BasicExternalities::execute_with_storage(&mut storage, || self.write());
        storage.top.insert(well_known_keys::CODE.to_vec(), interface_fingerprint());
        Ok(storage)
    }

    fn check(&self) -> Result<(), GenesisError> {
        let Subnet { netuid, max_allowed_uids: uids, min_burn: min, max_burn: max, .. } = self.subnet;
        match netuid {
            0 => return Err(GenesisError::RootNetwork),
            1..4096 => {}
            _ => return Err(GenesisError::NetuidTooLarge(netuid)),
        }
        if uids > MAX_UIDS {
            return Err(GenesisError::TooManyUids(uids));
        }
        if self.neurons.len() > usize::from(uids) {
            return Err(GenesisError::TooManyNeurons { neurons: self.neurons.len(), uids });
        }
        let period = self.subnet.reveal_period_epochs;
        if !(1..=MAX_REVEAL_PERIOD).contains(&period) {
            return Err(GenesisError::RevealPeriod(period));
        }
        if min > max {
            return Err(GenesisError::BurnBounds { min, max });
        }
        if let Some(twice) = first_repeated(self.neurons.iter().map(|n| &n.hotkey)) {
            return Err(GenesisError::DuplicateHotkey(twice));
        }
        if let Some(twice) = first_repeated(self.balances.iter().map(|b| &b.coldkey)) {
            return Err(GenesisError::DuplicateColdkey(twice));
        }
        if let Some(Balance { coldkey, rao }) = self.balances.iter().find(|b| b.rao < 500) {
            return Err(GenesisError::BalanceTooLow { coldkey: coldkey.clone(), rao: *rao });
        }
        total(self.balances.iter().map(|b| b.rao)).ok_or(GenesisError::TotalBalance)?;
        total(self.neurons.iter().map(|n| n.stake)).ok_or(GenesisError::TotalStake)?;
        Ok(())
    }
}

/// Returns the value of the storage key that holds the code on other chains: a hash of the metadata.
/// Tools cache the metadata by genesis hash and spec version. So a chain with different metadata must
/// have a different genesis hash.
fn interface_fingerprint() -> Vec<u8> {
    let metadata: Vec<u8> = Runtime::metadata().into();
    sp_io::hashing::blake2_256(&metadata).to_vec()
}

fn first_repeated<'a>(keys: impl Iterator<Item = &'a Key>) -> Option<Key> {
    let mut seen = BTreeSet::new();
    keys.into_iter().find(|key| !seen.insert(key.account().clone())).cloned()
}

fn total(mut amounts: impl Iterator<Item = u64>) -> Option<u64> {
    amounts.try_fold(0_u64, u64::checked_add)
}
