//! Files and values for several tests.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;

use chain_metadata::decode;
use serde_json::Value;
use subxt::Metadata;

/// Metadata V14 of the main network, late 2024.
pub(crate) const SPEC_219: &str = "finney-219-v14.scale";
/// Metadata V16 of the main network, without newtypes.
pub(crate) const SPEC_365: &str = "finney-365-v16.scale";
/// Metadata V15 of the pinned runtime.
pub(crate) const SPEC_461: &str = "subtensor-461-v15.scale";

/// Returns the path of a file of this crate.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Reads a file in `tests/data`.
pub(crate) fn data(name: &str) -> Vec<u8> {
    std::fs::read(path("tests/data").join(name)).expect("test data is there")
}

/// Decodes the metadata of a file in `tests/data`.
pub(crate) fn metadata(name: &str) -> Metadata {
    decode::decode(&data(name)).expect("test data decodes")
}

/// Reads the values that Bittensor's own SDK made at spec 461.
pub(crate) fn golden() -> Value {
    serde_json::from_slice(&data("golden-461.json")).expect("test data is JSON")
}

/// Decodes a hex string with 0x in front.
pub(crate) fn bytes(hex: &Value) -> Vec<u8> {
    let text = hex.as_str().expect("a string").strip_prefix("0x").expect("0x in front");
    hex::decode(text).expect("hex digits")
}
