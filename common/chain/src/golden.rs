//! Test data: outputs of Bittensor's own SDK at spec 461, and runtimes made from real metadata.

use std::{fs, path::PathBuf};

use base::BlockHash;
use serde_json::Value;

use crate::runtime::{Runtime, Version};

fn data(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../chain-metadata/tests/data");
    fs::read(folder.join(file)).unwrap()
}

/// The genesis hash in the SDK's file.
pub(crate) const GENESIS: &str = "0x1dc00e76a13fc48b9c932e076622c5920295afaad4fd805c284a5cf3222ce452";

pub(crate) fn genesis() -> BlockHash {
    GENESIS.parse().unwrap()
}

/// Creates the full runtime of spec 461.
pub(crate) fn runtime_461() -> Runtime {
    Runtime::new(&data("subtensor-461-v15.scale"), Version { spec: 461, transaction: 1 }, genesis()).unwrap()
}

/// Creates the full runtime of spec 365, an older runtime of the main network.
pub(crate) fn runtime_365() -> Runtime {
    Runtime::new(&data("finney-365-v16.scale"), Version { spec: 365, transaction: 1 }, genesis()).unwrap()
}

/// Creates the full runtime of spec 219, from before stake was counted by subnet.
pub(crate) fn runtime_219() -> Runtime {
    Runtime::new(&data("finney-219-v14.scale"), Version { spec: 219, transaction: 1 }, genesis()).unwrap()
}

/// Returns a list of the SDK's file.
pub(crate) fn list(name: &str) -> Vec<Value> {
    let golden: Value = serde_json::from_slice(&data("golden-461.json")).unwrap();
    golden[name].as_array().unwrap().clone()
}

/// Decodes the hex of a value of the file.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}
