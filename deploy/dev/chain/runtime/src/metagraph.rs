//! A summary of a subnet, in the form that Bittensor's tools request.
//!
//! Fields for features that this chain lacks (pools, identities, collateral, registration by work) are
//! zero, empty or `None`.

use crate::{
    runtime::Runtime,
    subtensor::*,
    types::{AlphaBalance, FixedI128, NetUid, NetUidStorageIndex, TaoBalance},
};
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_core::crypto::AccountId32;
use sp_runtime::PerU16;

/// The identity of a subnet, as set by its owner.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SubnetIdentityV3 {
    /// The name.
    pub subnet_name: Vec<u8>,
    /// The repository.
    pub github_repo: Vec<u8>,
    /// The contact.
    pub subnet_contact: Vec<u8>,
    /// The web page.
    pub subnet_url: Vec<u8>,
    /// The Discord chat.
    pub discord: Vec<u8>,
    /// The description.
    pub description: Vec<u8>,
    /// The logo.
    pub logo_url: Vec<u8>,
    /// Any additional text.
    pub additional: Vec<u8>,
}

/// The identity of a coldkey, as set by its holder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ChainIdentityV2 {
    /// The name.
    pub name: Vec<u8>,
    /// The web page.
    pub url: Vec<u8>,
    /// The repository.
    pub github_repo: Vec<u8>,
    /// The picture.
    pub image: Vec<u8>,
    /// The Discord chat.
    pub discord: Vec<u8>,
    /// The description.
    pub description: Vec<u8>,
    /// Any additional text.
    pub additional: Vec<u8>,
}

/// The server address of a neuron.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct AxonInfo {
    /// The height of the announcement.
    pub block: u64,
    /// The version of the server.
    pub version: u32,
    /// The IP address.
    pub ip: u128,
    /// The port.
    pub port: u16,
    /// The version of the IP protocol, 4 or 6.
    pub ip_type: u8,
    /// The transport protocol.
    pub protocol: u8,
    /// Unused.
    pub placeholder1: u8,
    /// Unused.
    pub placeholder2: u8,
}

/// A subnet. Vectors have one entry per uid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Metagraph {
    /// The number of the subnet.
    pub netuid: Compact<NetUid>,
    /// The name of the subnet, UTF-8.
    pub name: Vec<Compact<u8>>,
    /// The symbol of its token, UTF-8.
    pub symbol: Vec<Compact<u8>>,
    /// The identity that the owner set.
    pub identity: Option<SubnetIdentityV3>,
    /// The height at which the subnet was registered.
    pub network_registered_at: Compact<u64>,
    /// The hotkey of its owner.
    pub owner_hotkey: AccountId32,
    /// The coldkey of its owner.
    pub owner_coldkey: AccountId32,
    /// The height of this summary.
    pub block: Compact<u64>,
    /// The number of blocks from one epoch to the next.
    pub tempo: Compact<u16>,
    /// The height of the last epoch.
    pub last_step: Compact<u64>,
    /// The number of blocks since the last epoch.
    pub blocks_since_last_step: Compact<u64>,
    /// The TAO emission per block.
    pub subnet_emission: Compact<u64>,
    /// The alpha in the pool.
    pub alpha_in: Compact<AlphaBalance>,
    /// The alpha outside the pool.
    pub alpha_out: Compact<AlphaBalance>,
    /// The TAO in the pool.
    pub tao_in: Compact<TaoBalance>,
    /// The alpha emission per block to participants.
    pub alpha_out_emission: Compact<AlphaBalance>,
    /// The alpha emission per block to the pool.
    pub alpha_in_emission: Compact<AlphaBalance>,
    /// The TAO emission per block to the pool.
    pub tao_in_emission: Compact<TaoBalance>,
    /// The alpha emission of the next epoch.
    pub pending_alpha_emission: Compact<AlphaBalance>,
    /// The TAO pending for the root network.
    pub pending_root_emission: Compact<TaoBalance>,
    /// The traded volume in TAO.
    pub subnet_volume: Compact<u128>,
    /// The moving average of the alpha price.
    pub moving_price: FixedI128,
    /// The steepness of trust.
    pub rho: Compact<u16>,
    /// The majority that consensus needs, in units of 1/65535.
    pub kappa: Compact<u16>,
    /// The minimum number of weights that a validator may set.
    pub min_allowed_weights: Compact<u16>,
    /// The largest share of one weight, in units of 1/65535.
    pub max_weights_limit: Compact<u16>,
    /// The oldest version key that may set weights.
    pub weights_version: Compact<u64>,
    /// The minimum number of blocks between two weight settings of a validator.
    pub weights_rate_limit: Compact<u64>,
    /// The number of blocks without weights after which a validator is inactive.
    pub activity_cutoff: Compact<u64>,
    /// The maximum number of validator permits.
    pub max_validators: Compact<u16>,
    /// The number of neurons.
    pub num_uids: Compact<u16>,
    /// The maximum number of neurons.
    pub max_uids: Compact<u16>,
    /// The price of a registration.
    pub burn: Compact<TaoBalance>,
    /// The difficulty of a registration by work.
    pub difficulty: Compact<u64>,
    /// Whether new neurons may register.
    pub registration_allowed: bool,
    /// Whether they may register by work.
    pub pow_registration_allowed: bool,
    /// The number of blocks for which a new neuron is immune.
    pub immunity_period: Compact<u16>,
    /// The lowest difficulty.
    pub min_difficulty: Compact<u64>,
    /// The highest difficulty.
    pub max_difficulty: Compact<u64>,
    /// The lowest price of a registration.
    pub min_burn: Compact<TaoBalance>,
    /// The highest price of a registration.
    pub max_burn: Compact<TaoBalance>,
    /// The smoothing of the difficulty.
    pub adjustment_alpha: Compact<u64>,
    /// The number of blocks between two adjustments.
    pub adjustment_interval: Compact<u16>,
    /// The target number of registrations per interval.
    pub target_regs_per_interval: Compact<u16>,
    /// The maximum number of registrations in a block.
    pub max_regs_per_block: Compact<u16>,
    /// The minimum number of blocks between two axon announcements.
    pub serving_rate_limit: Compact<u64>,
    /// Whether weights must be committed and revealed.
    pub commit_reveal_weights_enabled: bool,
    /// The number of epochs from commit to reveal.
    pub commit_reveal_period: Compact<u64>,
    /// Whether the weight of the old bonds adapts (liquid alpha).
    pub liquid_alpha_enabled: bool,
    /// The upper bound of liquid alpha.
    pub alpha_high: Compact<u16>,
    /// The lower bound of liquid alpha.
    pub alpha_low: Compact<u16>,
    /// The weight of the old bonds, in millionths.
    pub bonds_moving_avg: Compact<u64>,
    /// The hotkeys.
    pub hotkeys: Vec<AccountId32>,
    /// The coldkeys of the hotkeys.
    pub coldkeys: Vec<AccountId32>,
    /// The identities of the coldkeys.
    pub identities: Vec<Option<ChainIdentityV2>>,
    /// The announced axons.
    pub axons: Vec<AxonInfo>,
    /// Whether each neuron set weights within the activity cutoff.
    pub active: Vec<bool>,
    /// The validator permits.
    pub validator_permit: Vec<bool>,
    /// The pruning scores (retired).
    pub pruning_score: Vec<Compact<u16>>,
    /// The height of the last weights.
    pub last_update: Vec<Compact<u64>>,
    /// The alpha earned in the last epoch.
    pub emission: Vec<Compact<AlphaBalance>>,
    /// The share of the validators' reward.
    pub dividends: Vec<Compact<PerU16>>,
    /// The share of the servers' reward.
    pub incentives: Vec<Compact<PerU16>>,
    /// The stake-weighted median weight.
    pub consensus: Vec<Compact<PerU16>>,
    /// The trust (retired).
    pub trust: Vec<Compact<PerU16>>,
    /// The rank (retired).
    pub rank: Vec<Compact<u16>>,
    /// The height of the registration.
    pub block_at_registration: Vec<Compact<u64>>,
    /// The alpha stake in the subnet.
    pub alpha_stake: Vec<Compact<AlphaBalance>>,
    /// The stake in the root network.
    pub tao_stake: Vec<Compact<TaoBalance>>,
    /// The stake weight.
    pub total_stake: Vec<Compact<TaoBalance>>,
    /// The TAO dividends of the last epoch.
    pub tao_dividends_per_hotkey: Vec<(AccountId32, Compact<TaoBalance>)>,
    /// The alpha dividends of the last epoch.
    pub alpha_dividends_per_hotkey: Vec<(AccountId32, Compact<AlphaBalance>)>,
    /// The locked collateral.
    pub collateral_locked: Vec<Compact<AlphaBalance>>,
    /// The required collateral.
    pub collateral_min: Vec<Compact<AlphaBalance>>,
    /// The earned collateral.
    pub collateral_earned: Vec<Compact<AlphaBalance>>,
}

impl Metagraph {
    /// Returns the summary of a subnet in the current state, if the subnet exists.
    pub(crate) fn of(netuid: NetUid) -> Option<Self> {
        if !NetworksAdded::<Runtime>::get(netuid) {
            return None;
        }
        let index = NetUidStorageIndex::from(netuid);
        let uids = || 0..SubnetworkN::<Runtime>::get(netuid);
        let n = uids().len();
        let hotkeys: Vec<AccountId32> = uids().map(|uid| Keys::<Runtime>::get(netuid, uid)).collect();
        let pending = PendingServerEmission::<Runtime>::get(netuid).0
            + PendingValidatorEmission::<Runtime>::get(netuid).0;
        Some(Self {
            netuid: Compact(netuid),
            name: text(b"development"),
            symbol: text(&TokenSymbol::<Runtime>::get(netuid)),
            identity: None,
            network_registered_at: Compact(NetworkRegisteredAt::<Runtime>::get(netuid)),
            owner_hotkey: SubnetOwnerHotkey::<Runtime>::get(netuid),
            owner_coldkey: SubnetOwner::<Runtime>::get(netuid),
            block: Compact(Pallet::<Runtime>::current_block()),
            tempo: Compact(Tempo::<Runtime>::get(netuid)),
            last_step: Compact(LastMechansimStepBlock::<Runtime>::get(netuid)),
            blocks_since_last_step: Compact(BlocksSinceLastStep::<Runtime>::get(netuid)),
            subnet_emission: Compact(0),
            alpha_in: Compact(AlphaBalance(0)),
            alpha_out: Compact(SubnetAlphaOut::<Runtime>::get(netuid)),
            tao_in: Compact(SubnetTAO::<Runtime>::get(netuid)),
            alpha_out_emission: Compact(SubnetAlphaOutEmission::<Runtime>::get(netuid)),
            alpha_in_emission: Compact(AlphaBalance(0)),
            tao_in_emission: Compact(TaoBalance(0)),
            pending_alpha_emission: Compact(AlphaBalance(pending)),
            pending_root_emission: Compact(TaoBalance(0)),
            subnet_volume: Compact(0),
            moving_price: FixedI128::default(),
            rho: Compact(0),
            kappa: Compact(Kappa::<Runtime>::get(netuid)),
            min_allowed_weights: Compact(MinAllowedWeights::<Runtime>::get(netuid)),
            max_weights_limit: Compact(MaxWeightsLimit::<Runtime>::get(netuid)),
            weights_version: Compact(WeightsVersionKey::<Runtime>::get(netuid)),
            weights_rate_limit: Compact(WeightsSetRateLimit::<Runtime>::get(netuid)),
            activity_cutoff: Compact(Pallet::<Runtime>::activity_cutoff(netuid)),
            max_validators: Compact(MaxAllowedValidators::<Runtime>::get(netuid)),
            num_uids: Compact(SubnetworkN::<Runtime>::get(netuid)),
            max_uids: Compact(MaxAllowedUids::<Runtime>::get(netuid)),
            burn: Compact(Burn::<Runtime>::get(netuid)),
            difficulty: Compact(0),
            registration_allowed: NetworkRegistrationAllowed::<Runtime>::get(netuid),
            pow_registration_allowed: false,
            immunity_period: Compact(ImmunityPeriod::<Runtime>::get(netuid)),
            min_difficulty: Compact(0),
            max_difficulty: Compact(0),
            min_burn: Compact(MinBurn::<Runtime>::get(netuid)),
            max_burn: Compact(MaxBurn::<Runtime>::get(netuid)),
            adjustment_alpha: Compact(0),
            adjustment_interval: Compact(0),
            target_regs_per_interval: Compact(0),
            max_regs_per_block: Compact(0),
            serving_rate_limit: Compact(ServingRateLimit::<Runtime>::get(netuid)),
            commit_reveal_weights_enabled: CommitRevealWeightsEnabled::<Runtime>::get(netuid),
            commit_reveal_period: Compact(RevealPeriodEpochs::<Runtime>::get(netuid)),
            liquid_alpha_enabled: false,
            alpha_high: Compact(0),
            alpha_low: Compact(0),
            bonds_moving_avg: Compact(BondsMovingAverage::<Runtime>::get(netuid)),
            hotkeys: hotkeys.clone(),
            coldkeys: hotkeys.iter().map(Owner::<Runtime>::get).collect(),
            identities: vec![None; n],
            axons: hotkeys.iter().map(|h| Axons::<Runtime>::get(netuid, h).unwrap_or_default()).collect(),
            active: Active::<Runtime>::get(netuid),
            validator_permit: ValidatorPermit::<Runtime>::get(netuid),
            pruning_score: vec![Compact(0); n],
            last_update: compact(LastUpdate::<Runtime>::get(index)),
            emission: compact(Emission::<Runtime>::get(netuid)),
            dividends: compact(Dividends::<Runtime>::get(netuid)),
            incentives: compact(Incentive::<Runtime>::get(index)),
            consensus: compact(Consensus::<Runtime>::get(netuid)),
            trust: vec![Compact(PerU16::default()); n],
            rank: vec![Compact(0); n],
            block_at_registration: uids()
                .map(|uid| Compact(BlockAtRegistration::<Runtime>::get(netuid, uid)))
                .collect(),
            alpha_stake: hotkeys
                .iter()
                .map(|h| Compact(TotalHotkeyAlpha::<Runtime>::get(h, netuid)))
                .collect(),
            tao_stake: hotkeys
                .iter()
                .map(|h| Compact(TaoBalance(TotalHotkeyAlpha::<Runtime>::get(h, NetUid(0)).0)))
                .collect(),
            total_stake: hotkeys
                .iter()
                .map(|h| Compact(TaoBalance(Pallet::<Runtime>::stake_of(h, netuid))))
                .collect(),
            tao_dividends_per_hotkey: Vec::new(),
            alpha_dividends_per_hotkey: Vec::new(),
            collateral_locked: vec![Compact(AlphaBalance(0)); n],
            collateral_min: vec![Compact(AlphaBalance(0)); n],
            collateral_earned: vec![Compact(AlphaBalance(0)); n],
        })
    }
}

fn compact<V>(values: Vec<V>) -> Vec<Compact<V>> {
    values.into_iter().map(Compact).collect()
}

/// Encodes a text as the chain does: one compact integer per UTF-8 byte.
fn text(bytes: &[u8]) -> Vec<Compact<u8>> {
    bytes.iter().copied().map(Compact).collect()
}
