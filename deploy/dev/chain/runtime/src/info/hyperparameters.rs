//! The hyperparameters of a subnet as a list of names and values.

use crate::{
    runtime::{Runtime, SubtensorModule},
    subtensor::*,
    types::{FixedI64, FixedU128, NetUid, TaoBalance},
};
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;

/// A hyperparameter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct HyperparamEntry {
    /// The name, UTF-8.
    pub name: Vec<u8>,
    /// The value.
    pub value: HyperparamValue,
}

/// The value of a hyperparameter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub enum HyperparamValue {
    /// Yes or no.
    Bool(bool),
    /// A number of 16 bits.
    U16(Compact<u16>),
    /// A number of 32 bits.
    U32(Compact<u32>),
    /// A number of 64 bits.
    U64(Compact<u64>),
    /// A number of 128 bits.
    U128(Compact<u128>),
    /// An amount in rao.
    TaoBalance(Compact<TaoBalance>),
    /// A signed number in units of 2⁻³².
    I32F32(FixedI64),
    /// A number in units of 2⁻⁶⁴.
    U64F64(FixedU128),
}

/// The steepness of liquid alpha, which this chain does not have: the real chain's default.
const SIGMOID_STEEPNESS: i32 = 1000;
/// The bounds of liquid alpha: the real chain's defaults.
const ALPHA_BOUNDS: (u16, u16) = (45_875, 58_982);

/// The steepness of trust, which is retired: the real chain's default.
const RHO: u16 = 10;

/// Returns the hyperparameters of a subnet, in the real chain's order. Those that this chain lacks have
/// the value that fits its behaviour.
pub(crate) fn of(netuid: NetUid) -> Option<Vec<HyperparamEntry>> {
    use HyperparamValue::{Bool, I32F32, TaoBalance, U16, U32, U64, U64F64};
    if !NetworksAdded::<Runtime>::get(netuid) {
        return None;
    }
    let (alpha_low, alpha_high) = ALPHA_BOUNDS;
    let yuma = if Yuma3On::<Runtime>::get(netuid) { 3 } else { 2 };
    let entries = [
        ("kappa", U16(Compact(Kappa::<Runtime>::get(netuid)))),
        ("immunity_period", U16(Compact(ImmunityPeriod::<Runtime>::get(netuid)))),
        ("min_allowed_weights", U16(Compact(MinAllowedWeights::<Runtime>::get(netuid)))),
        ("max_weights_limit", U16(Compact(MaxWeightsLimit::<Runtime>::get(netuid)))),
        ("tempo", U16(Compact(Tempo::<Runtime>::get(netuid)))),
        ("weights_version", U64(Compact(WeightsVersionKey::<Runtime>::get(netuid)))),
        ("weights_rate_limit", U64(Compact(WeightsSetRateLimit::<Runtime>::get(netuid)))),
        ("activity_cutoff", U64(Compact(SubtensorModule::activity_cutoff(netuid)))),
        ("activity_cutoff_factor", U32(Compact(ActivityCutoffFactorMilli::<Runtime>::get(netuid)))),
        ("registration_allowed", Bool(NetworkRegistrationAllowed::<Runtime>::get(netuid))),
        ("min_burn", TaoBalance(Compact(MinBurn::<Runtime>::get(netuid)))),
        ("max_burn", TaoBalance(Compact(MaxBurn::<Runtime>::get(netuid)))),
        ("burn_half_life", U16(Compact(BurnHalfLife::<Runtime>::get(netuid)))),
        ("burn_increase_mult", U64F64(BurnIncreaseMult::<Runtime>::get(netuid))),
        ("bonds_moving_avg", U64(Compact(BondsMovingAverage::<Runtime>::get(netuid)))),
        ("serving_rate_limit", U64(Compact(ServingRateLimit::<Runtime>::get(netuid)))),
        ("max_validators", U16(Compact(MaxAllowedValidators::<Runtime>::get(netuid)))),
        ("commit_reveal_period", U64(Compact(RevealPeriodEpochs::<Runtime>::get(netuid)))),
        ("commit_reveal_weights_enabled", Bool(CommitRevealWeightsEnabled::<Runtime>::get(netuid))),
        ("alpha_high", U16(Compact(alpha_high))),
        ("alpha_low", U16(Compact(alpha_low))),
        ("liquid_alpha_enabled", Bool(false)),
        ("alpha_sigmoid_steepness", I32F32(FixedI64::whole(SIGMOID_STEEPNESS))),
        ("yuma_version", U16(Compact(yuma))),
        ("subnet_is_active", Bool(true)),
        ("transfers_enabled", Bool(false)),
        ("bonds_reset_enabled", Bool(false)),
        ("user_liquidity_enabled", Bool(false)),
        ("owner_cut_enabled", Bool(false)),
        ("owner_cut_auto_lock_enabled", Bool(false)),
        ("min_childkey_take", U16(Compact(0))),
        // Tools read the others from storage if they are not listed.
        ("rho", U16(Compact(RHO))),
        ("owner_immune_neuron_limit", U16(Compact(1))),
        ("network_pow_registration_allowed", Bool(false)),
        ("max_difficulty", U64(Compact(0))),
        ("adjustment_alpha", U64(Compact(0))),
        ("collateral_drain_ratio", U64F64(FixedU128::default())),
    ];
    Some(entries.map(|(name, value)| HyperparamEntry { name: name.into(), value }).into())
}
