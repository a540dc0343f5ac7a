//! Neurons without their weights and bonds.

use crate::{
    metagraph::AxonInfo,
    runtime::Runtime,
    subtensor::*,
    types::{AlphaBalance, NetUid, NetUidStorageIndex},
};
use parity_scale_codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_core::crypto::AccountId32;
use sp_runtime::PerU16;

/// The address of a neuron's metrics. This chain has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct PrometheusInfo {
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
}

/// A neuron.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct NeuronInfoLite {
    /// The hotkey.
    pub hotkey: AccountId32,
    /// The coldkey that owns the hotkey.
    pub coldkey: AccountId32,
    /// The uid.
    pub uid: Compact<u16>,
    /// The subnet.
    pub netuid: Compact<NetUid>,
    /// Whether the neuron set weights within the activity cutoff.
    pub active: bool,
    /// The announced address.
    pub axon_info: AxonInfo,
    /// The announced address of its metrics.
    pub prometheus_info: PrometheusInfo,
    /// The alpha of the hotkey, listed under its coldkey.
    pub stake: Vec<(AccountId32, Compact<AlphaBalance>)>,
    /// The rank (retired).
    pub rank: Compact<u16>,
    /// The alpha earned in the last epoch.
    pub emission: Compact<AlphaBalance>,
    /// The share of the servers' reward.
    pub incentive: Compact<PerU16>,
    /// The stake-weighted median weight.
    pub consensus: Compact<PerU16>,
    /// The trust (retired).
    pub trust: Compact<PerU16>,
    /// The sum of the weights after clipping.
    pub validator_trust: Compact<PerU16>,
    /// The share of the validators' reward.
    pub dividends: Compact<PerU16>,
    /// The height of the last weights.
    pub last_update: Compact<u64>,
    /// Whether the neuron may set weights on others.
    pub validator_permit: bool,
    /// The pruning score (retired).
    pub pruning_score: Compact<u16>,
}

/// The vectors of a subnet with one entry per uid.
struct Vectors {
    active: Vec<bool>,
    emission: Vec<AlphaBalance>,
    incentive: Vec<PerU16>,
    consensus: Vec<PerU16>,
    validator_trust: Vec<PerU16>,
    dividends: Vec<PerU16>,
    last_update: Vec<u64>,
    permits: Vec<bool>,
}

impl Vectors {
    fn of(netuid: NetUid) -> Self {
        let index = NetUidStorageIndex::from(netuid);
        Self {
            active: Active::<Runtime>::get(netuid),
            emission: Emission::<Runtime>::get(netuid),
            incentive: Incentive::<Runtime>::get(index),
            consensus: Consensus::<Runtime>::get(netuid),
            validator_trust: ValidatorTrust::<Runtime>::get(netuid),
            dividends: Dividends::<Runtime>::get(netuid),
            last_update: LastUpdate::<Runtime>::get(index),
            permits: ValidatorPermit::<Runtime>::get(netuid),
        }
    }

    fn neuron(&self, netuid: NetUid, uid: u16) -> NeuronInfoLite {
        let hotkey = Keys::<Runtime>::get(netuid, uid);
        let coldkey = Owner::<Runtime>::get(&hotkey);
        let alpha = TotalHotkeyAlpha::<Runtime>::get(&hotkey, netuid);
        NeuronInfoLite {
            uid: Compact(uid),
            netuid: Compact(netuid),
            active: at(&self.active, uid),
            axon_info: Axons::<Runtime>::get(netuid, &hotkey).unwrap_or_default(),
            prometheus_info: PrometheusInfo::default(),
            stake: vec![(coldkey.clone(), Compact(alpha))],
            rank: Compact(0),
            emission: Compact(at(&self.emission, uid)),
            incentive: Compact(at(&self.incentive, uid)),
            consensus: Compact(at(&self.consensus, uid)),
            trust: Compact(PerU16::default()),
            validator_trust: Compact(at(&self.validator_trust, uid)),
            dividends: Compact(at(&self.dividends, uid)),
            last_update: Compact(at(&self.last_update, uid)),
            validator_permit: at(&self.permits, uid),
            pruning_score: Compact(u16::MAX),
            hotkey,
            coldkey,
        }
    }
}

fn at<V: Copy + Default>(values: &[V], uid: u16) -> V {
    values.get(usize::from(uid)).copied().unwrap_or_default()
}

/// Returns all neurons of a subnet.
pub(crate) fn all(netuid: NetUid) -> Vec<NeuronInfoLite> {
    let vectors = Vectors::of(netuid);
    (0..SubnetworkN::<Runtime>::get(netuid)).map(|uid| vectors.neuron(netuid, uid)).collect()
}

/// Returns one neuron.
pub(crate) fn one(netuid: NetUid, uid: u16) -> Option<NeuronInfoLite> {
    (uid < SubnetworkN::<Runtime>::get(netuid)).then(|| Vectors::of(netuid).neuron(netuid, uid))
}
