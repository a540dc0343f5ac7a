//! A chain without a node, block by block.

use devchain_runtime::{
    AccountId, Executive, Genesis, Header, RuntimeCall, RuntimeOrigin,
    genesis::Key,
    runtime::{Runtime, System},
    subtensor::Call,
    types::{NetUid, NetUidStorageIndex},
};
use sp_io::TestExternalities;
use sp_runtime::{
    DispatchError,
    traits::{BlakeTwo256, Dispatchable, Hash as _, Header as _},
};

pub(crate) const SUBNET: NetUid = NetUid(3);
pub(crate) const MAIN: NetUidStorageIndex = NetUidStorageIndex(3);

pub(crate) fn key(path: &str) -> AccountId {
    path.parse::<Key>().unwrap().account().clone()
}

/// Creates a chain after its first block.
pub(crate) fn chain(change: impl FnOnce(&mut Genesis)) -> TestExternalities {
    let mut genesis = Genesis::default();
    change(&mut genesis);
    let mut chain = TestExternalities::new(genesis.storage().unwrap());
    chain.execute_with(|| advance_to(1));
    chain
}

/// Starts each block up to `height`, as a node does.
pub(crate) fn advance_to(height: u32) {
    while System::block_number() < height {
        let number = System::block_number() + 1;
        let parent = BlakeTwo256::hash_of(&System::block_number());
        let header = Header::new(number, Default::default(), Default::default(), parent, Default::default());
        Executive::initialize_block(&header);
    }
}

pub(crate) fn call(signer: &AccountId, call: impl Into<RuntimeCall>) -> Result<(), DispatchError> {
    call.into().dispatch(RuntimeOrigin::signed(signer.clone())).map(|_| ()).map_err(|error| error.error)
}

pub(crate) fn register(coldkey: &str, hotkey: &str) -> Result<(), DispatchError> {
    call(&key(coldkey), Call::<Runtime>::burned_register { netuid: SUBNET, hotkey: key(hotkey) })
}

pub(crate) fn set_weights(hotkey: &str, weights: &[(u16, u16)]) -> Result<(), DispatchError> {
    set_weights_as(hotkey, SUBNET, weights, 0)
}

pub(crate) fn set_weights_as(
    hotkey: &str,
    netuid: NetUid,
    weights: &[(u16, u16)],
    version_key: u64,
) -> Result<(), DispatchError> {
    let (dests, weights) = weights.iter().copied().unzip();
    call(&key(hotkey), Call::<Runtime>::set_weights { netuid, dests, weights, version_key })
}
