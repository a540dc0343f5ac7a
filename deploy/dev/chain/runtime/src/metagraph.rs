//! A subnet at a glance, in the shape that Bittensor's tools ask for.
//!
//! What this chain has not (pools, identities, axons, collateral, registration by work) is zero, empty or `None`.

use crate::{
    runtime::Runtime,
    subtensor::*,
    types::{AlphaBalance, NetUid, NetUidStorageIndex, TaoBalance},
};
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_core::crypto::AccountId32;
use sp_runtime::PerU16;

/// A signed number in units of 2⁻³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct I96F32 {
    /// The number of units.
    pub bits: i128,
}

/// What an owner tells of its subnet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SubnetIdentityV3 {
    /// Name.
    pub subnet_name: Vec<u8>,
    /// Repository.
    pub github_repo: Vec<u8>,
    /// Contact.
    pub subnet_contact: Vec<u8>,
    /// Web page.
    pub subnet_url: Vec<u8>,
    /// Chat.
    pub discord: Vec<u8>,
    /// Description.
    pub description: Vec<u8>,
    /// Logo.
    pub logo_url: Vec<u8>,
    /// Anything else.
    pub additional: Vec<u8>,
}

/// What a coldkey tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct ChainIdentityV2 {
    /// Name.
    pub name: Vec<u8>,
    /// Web page.
    pub url: Vec<u8>,
    /// Repository.
    pub github_repo: Vec<u8>,
    /// Picture.
    pub image: Vec<u8>,
    /// Chat.
    pub discord: Vec<u8>,
    /// Description.
    pub description: Vec<u8>,
    /// Anything else.
    pub additional: Vec<u8>,
}

/// Where a neuron serves requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct AxonInfo {
    /// Height of the announcement.
    pub block: u64,
    /// Version of the server.
    pub version: u32,
    /// Address.
    pub ip: u128,
    /// Port.
    pub port: u16,
    /// 4 or 6.
    pub ip_type: u8,
    /// Protocol.
    pub protocol: u8,
    /// Unused.
    pub placeholder1: u8,
    /// Unused.
    pub placeholder2: u8,
}

/// The subnet; vectors have one entry a uid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Metagraph {
    /// The subnet.
    pub netuid: Compact<NetUid>,
    /// Its name, UTF-8.
    pub name: Vec<Compact<u8>>,
    /// Symbol of its token, UTF-8.
    pub symbol: Vec<Compact<u8>>,
    /// Identity that the owner set.
    pub identity: Option<SubnetIdentityV3>,
    /// Height at which the subnet was registered.
    pub network_registered_at: Compact<u64>,
    /// Hotkey of its owner.
    pub owner_hotkey: AccountId32,
    /// Coldkey of its owner.
    pub owner_coldkey: AccountId32,
    /// Height of this view.
    pub block: Compact<u64>,
    /// Blocks from one epoch to the next.
    pub tempo: Compact<u16>,
    /// Height of the last epoch.
    pub last_step: Compact<u64>,
    /// Blocks since then.
    pub blocks_since_last_step: Compact<u64>,
    /// TAO per block.
    pub subnet_emission: Compact<u64>,
    /// Alpha in the pool.
    pub alpha_in: Compact<AlphaBalance>,
    /// Alpha outside the pool.
    pub alpha_out: Compact<AlphaBalance>,
    /// TAO in the pool.
    pub tao_in: Compact<TaoBalance>,
    /// Alpha per block to participants.
    pub alpha_out_emission: Compact<AlphaBalance>,
    /// Alpha per block to the pool.
    pub alpha_in_emission: Compact<AlphaBalance>,
    /// TAO per block to the pool.
    pub tao_in_emission: Compact<TaoBalance>,
    /// Alpha that the next epoch hands out.
    pub pending_alpha_emission: Compact<AlphaBalance>,
    /// TAO that the root network awaits.
    pub pending_root_emission: Compact<TaoBalance>,
    /// TAO traded.
    pub subnet_volume: Compact<u128>,
    /// Average price of alpha.
    pub moving_price: I96F32,
    /// Steepness of trust.
    pub rho: Compact<u16>,
    /// Majority of consensus, in units of 1/65535.
    pub kappa: Compact<u16>,
    /// Weights that a validator sets at least.
    pub min_allowed_weights: Compact<u16>,
    /// Largest share of one weight, in units of 1/65535.
    pub max_weights_limit: Compact<u16>,
    /// Oldest version key.
    pub weights_version: Compact<u64>,
    /// Blocks between two settings of weights.
    pub weights_rate_limit: Compact<u64>,
    /// Blocks without weights after which a validator is inactive.
    pub activity_cutoff: Compact<u64>,
    /// Validator permits, at most.
    pub max_validators: Compact<u16>,
    /// Neurons.
    pub num_uids: Compact<u16>,
    /// Neurons, at most.
    pub max_uids: Compact<u16>,
    /// Price of a registration.
    pub burn: Compact<TaoBalance>,
    /// Difficulty of a registration by work.
    pub difficulty: Compact<u64>,
    /// Whether neurons may register.
    pub registration_allowed: bool,
    /// Whether they may by work.
    pub pow_registration_allowed: bool,
    /// Blocks for which a new neuron is replaced last.
    pub immunity_period: Compact<u16>,
    /// Lowest difficulty.
    pub min_difficulty: Compact<u64>,
    /// Highest difficulty.
    pub max_difficulty: Compact<u64>,
    /// Lowest price.
    pub min_burn: Compact<TaoBalance>,
    /// Highest price.
    pub max_burn: Compact<TaoBalance>,
    /// Smoothing of the difficulty.
    pub adjustment_alpha: Compact<u64>,
    /// Blocks between two adjustments.
    pub adjustment_interval: Compact<u16>,
    /// Registrations aimed at in an interval.
    pub target_regs_per_interval: Compact<u16>,
    /// Registrations in a block, at most.
    pub max_regs_per_block: Compact<u16>,
    /// Blocks between two announcements of an axon.
    pub serving_rate_limit: Compact<u64>,
    /// Whether weights must be committed and revealed.
    pub commit_reveal_weights_enabled: bool,
    /// Epochs from commit to reveal.
    pub commit_reveal_period: Compact<u64>,
    /// Whether the bonds average adapts.
    pub liquid_alpha_enabled: bool,
    /// Its upper bound.
    pub alpha_high: Compact<u16>,
    /// Its lower bound.
    pub alpha_low: Compact<u16>,
    /// Weight of the old bonds, in millionths.
    pub bonds_moving_avg: Compact<u64>,
    /// Hotkeys.
    pub hotkeys: Vec<AccountId32>,
    /// Their coldkeys.
    pub coldkeys: Vec<AccountId32>,
    /// Identities of the coldkeys.
    pub identities: Vec<Option<ChainIdentityV2>>,
    /// Announced axons.
    pub axons: Vec<AxonInfo>,
    /// Whether each set weights within the cutoff.
    pub active: Vec<bool>,
    /// Validator permits.
    pub validator_permit: Vec<bool>,
    /// Pruning scores, retired.
    pub pruning_score: Vec<Compact<u16>>,
    /// Height of the last weights.
    pub last_update: Vec<Compact<u64>>,
    /// Alpha of the last epoch.
    pub emission: Vec<Compact<AlphaBalance>>,
    /// Share of the validators' reward.
    pub dividends: Vec<Compact<PerU16>>,
    /// Share of the servers' reward.
    pub incentives: Vec<Compact<PerU16>>,
    /// Stake-weighted median weight.
    pub consensus: Vec<Compact<PerU16>>,
    /// Trust, retired.
    pub trust: Vec<Compact<PerU16>>,
    /// Rank, retired.
    pub rank: Vec<Compact<u16>>,
    /// Height of registration.
    pub block_at_registration: Vec<Compact<u64>>,
    /// Alpha stake in the subnet.
    pub alpha_stake: Vec<Compact<AlphaBalance>>,
    /// Stake in the root network.
    pub tao_stake: Vec<Compact<TaoBalance>>,
    /// Stake weight.
    pub total_stake: Vec<Compact<TaoBalance>>,
    /// TAO dividends of the last epoch.
    pub tao_dividends_per_hotkey: Vec<(AccountId32, Compact<TaoBalance>)>,
    /// Alpha dividends of the last epoch.
    pub alpha_dividends_per_hotkey: Vec<(AccountId32, Compact<AlphaBalance>)>,
    /// Collateral locked.
    pub collateral_locked: Vec<Compact<AlphaBalance>>,
    /// Collateral asked for.
    pub collateral_min: Vec<Compact<AlphaBalance>>,
    /// Collateral earned.
    pub collateral_earned: Vec<Compact<AlphaBalance>>,
}

impl Metagraph {
    /// The subnet in the current state, if it exists.
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
            network_registered_at: Compact(0),
            owner_hotkey: SubnetOwnerHotkey::<Runtime>::get(netuid),
            owner_coldkey: SubnetOwner::<Runtime>::get(netuid),
            block: Compact(Pallet::<Runtime>::current_block()),
            tempo: Compact(Tempo::<Runtime>::get(netuid)),
            last_step: Compact(LastMechansimStepBlock::<Runtime>::get(netuid)),
            blocks_since_last_step: Compact(BlocksSinceLastStep::<Runtime>::get(netuid)),
            subnet_emission: Compact(0),
            alpha_in: Compact(AlphaBalance(0)),
            alpha_out: Compact(AlphaBalance(0)),
            tao_in: Compact(TaoBalance(0)),
            alpha_out_emission: Compact(SubnetAlphaOutEmission::<Runtime>::get(netuid)),
            alpha_in_emission: Compact(AlphaBalance(0)),
            tao_in_emission: Compact(TaoBalance(0)),
            pending_alpha_emission: Compact(AlphaBalance(pending)),
            pending_root_emission: Compact(TaoBalance(0)),
            subnet_volume: Compact(0),
            moving_price: I96F32::default(),
            rho: Compact(0),
            kappa: Compact(Kappa::<Runtime>::get(netuid)),
            min_allowed_weights: Compact(MinAllowedWeights::<Runtime>::get(netuid)),
            max_weights_limit: Compact(MaxWeightsLimit::<Runtime>::get(netuid)),
            weights_version: Compact(WeightsVersionKey::<Runtime>::get(netuid)),
            weights_rate_limit: Compact(WeightsSetRateLimit::<Runtime>::get(netuid)),
            activity_cutoff: Compact(ActivityCutoff::<Runtime>::get(netuid).into()),
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
            serving_rate_limit: Compact(0),
            commit_reveal_weights_enabled: CommitRevealWeightsEnabled::<Runtime>::get(netuid),
            commit_reveal_period: Compact(0),
            liquid_alpha_enabled: false,
            alpha_high: Compact(0),
            alpha_low: Compact(0),
            bonds_moving_avg: Compact(BondsMovingAverage::<Runtime>::get(netuid)),
            hotkeys: hotkeys.clone(),
            coldkeys: hotkeys.iter().map(Owner::<Runtime>::get).collect(),
            identities: vec![None; n],
            axons: vec![AxonInfo::default(); n],
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

/// UTF-8 as the chain hands out texts: one compact integer a byte.
fn text(bytes: &[u8]) -> Vec<Compact<u8>> {
    bytes.iter().copied().map(Compact).collect()
}
