//! A full subnet for the benches: 256 neurons, 64 of them validators that set weights on all.

use std::path::Path;

use devchain::{
    Genesis, Hash,
    sign::{self, Terms},
};
use jsonrpsee::{core::client::ClientT, rpc_params};
use serde_json::{Value, json};
use sp_core::{Pair, crypto::AccountId32, sr25519};

/// The number of neurons of the subnet.
pub(super) const NEURONS: u16 = 256;

/// The number of validators among them; they have the lowest uids.
pub(super) const VALIDATORS: u16 = 64;

/// The number of the subnet (netuid).
pub(super) const NETUID: u16 = 3;

/// The address of the development key //Alice.
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// Returns the derivation path of a neuron's hotkey.
pub(super) fn hotkey(uid: u16) -> String {
    format!("//bench//{uid}")
}

pub(super) fn pair(path: &str) -> anyhow::Result<sr25519::Pair> {
    Ok(sr25519::Pair::from_string(path, None)?)
}

pub(super) fn account(path: &str) -> anyhow::Result<AccountId32> {
    Ok(pair(path)?.public().into())
}

/// Creates the genesis values of the subnet. Hotkeys are given as addresses, as in a real
/// configuration. To derive 256 development keys from their paths would take longer than the rest of a
/// start.
pub(super) fn genesis() -> anyhow::Result<Genesis> {
    let neuron = |uid| {
        let is_validator = uid < VALIDATORS;
        let stake = if is_validator { 1_000_000_000_000_u64 } else { 0 };
        let hotkey = account(&hotkey(uid))?.to_string();
        anyhow::Ok(json!({ "hotkey": hotkey, "coldkey": ALICE, "stake": stake, "permit": is_validator }))
    };
    let neurons = (0..NEURONS).map(neuron).collect::<anyhow::Result<Vec<Value>>>()?;
    Ok(serde_json::from_value(json!({ "neurons": neurons }))?)
}

/// Writes a configuration file with these genesis values.
pub(super) fn write_config(path: &Path) -> anyhow::Result<()> {
    let table = toml::Table::from_iter([("genesis".to_owned(), toml::Value::try_from(genesis()?)?)]);
    Ok(std::fs::write(path, toml::to_string(&table)?)?)
}

/// Creates a signed transaction that sets a validator's weights on all neurons.
pub(super) fn weights(genesis: Hash, validator: u16) -> anyhow::Result<Vec<u8>> {
    let uids: Vec<u16> = (0..NEURONS).collect();
    let weights: Vec<u16> = uids.iter().map(|uid| 1 + uid.wrapping_mul(7 + validator) % 1000).collect();
    let call = sign::set_weights(NETUID, &uids, &weights, 0);
    Ok(sign::sign(&call, &pair(&hotkey(validator))?, &Terms::immortal(genesis, 0)))
}

/// Makes all validators of the chain at `url` set weights.
pub(super) async fn set_weights(url: &str) -> anyhow::Result<()> {
    let client = super::child::client(url).await?;
    let genesis: Hash = client.request("chain_getBlockHash", rpc_params![0]).await?;
    let _: Value = client.request("dev_newBlock", rpc_params![]).await?;
    for validator in 0..VALIDATORS {
        let extrinsic = sp_core::Bytes(weights(genesis, validator)?);
        let _: Hash = client.request("author_submitExtrinsic", rpc_params![extrinsic]).await?;
    }
    let status: Value = client.request("dev_newBlock", rpc_params![]).await?;
    anyhow::ensure!(status["ready"] == json!(0), "weights were left over: {status}");
    Ok(())
}
