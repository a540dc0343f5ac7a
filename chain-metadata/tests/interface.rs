//! Tests that the typed interface encodes and decodes like Bittensor's own SDK, for runtimes with and
//! without newtypes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod common;

use std::str::FromStr;

use chain_metadata::items::{self, Kind};
use chain_metadata::runtime::PINNED_BYTES;
use chain_metadata::{api, decode};
use common::{SPEC_365, SPEC_461, bytes, golden, metadata};
use serde_json::{Value, json};
use subxt::config::SubstrateConfig;
use subxt::config::substrate::SpecVersionForRange;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::storage::Address;
use subxt::utils::AccountId32;
use subxt::{Metadata, OfflineClient, OfflineClientAtBlock};

type Client = OfflineClientAtBlock<SubstrateConfig>;

/// Creates a client of a chain with the runtime of `metadata`. It uses no network.
fn client(metadata: Metadata) -> Client {
    let spec = SpecVersionForRange { block_range: 0..u64::MAX, spec_version: 1, transaction_version: 1 };
    let config = SubstrateConfig::builder()
        .set_metadata_for_spec_versions([(1, metadata.arc())])
        .set_spec_version_for_block_ranges([spec])
        .build();
    OfflineClient::new_with_config(config).at_block(1u64).unwrap()
}

/// Creates clients of the pinned runtime, of the full spec 461, and of spec 365, which has no newtypes.
fn clients() -> [Client; 3] {
    runtimes().map(client)
}

fn pinned() -> Metadata {
    decode::decode(PINNED_BYTES).unwrap()
}

fn account(ss58: &Value) -> AccountId32 {
    AccountId32::from_str(ss58.as_str().unwrap()).unwrap()
}

fn golden_call(function: &str) -> Vec<u8> {
    let golden = golden();
    let calls = golden["calls"].as_array().unwrap();
    bytes(&calls.iter().find(|call| call["function"] == function).unwrap()["data_hex"])
}

#[test]
fn set_weights_has_the_bytes_of_the_reference_sdk() {
    for client in clients() {
        let call = api::tx().subtensor_module().set_weights(1, vec![0, 1], vec![100, 200], 0).unvalidated();
        assert_eq!(client.tx().call_data(&call).unwrap(), golden_call("set_weights"));
    }
}

#[test]
fn burned_register_has_the_bytes_of_the_reference_sdk() {
    let hotkey = account(&json!("5G6Fyo6U2fDhJXDJGp4Dr6XViVCdPcryiyLBDsusguSRcYvJ"));
    for client in clients() {
        let call = api::tx().subtensor_module().burned_register(1, hotkey).unvalidated();
        assert_eq!(client.tx().call_data(&call).unwrap(), golden_call("burned_register"));
    }
}

/// Compares with bytes written by hand: pallet 7, call 134, netuid u16, hotkey, limit u64, in little endian.
#[test]
fn register_limit_is_encoded_where_the_runtime_has_it() {
    let call = api::tx().subtensor_module().register_limit(3, AccountId32([7; 32]), 0x0102).unvalidated();
    let expected = [&[7, 134, 3, 0][..], &[7; 32], &[2, 1, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(client(pinned()).tx().call_data(&call).unwrap(), expected);
    assert!(client(metadata(SPEC_365)).tx().call_data(&call).is_err());
}

/// Compares with bytes written by hand: pallet 18, call 0, netuid, one field, variant 6 (`Raw5`), five bytes.
#[test]
fn set_commitment_is_encoded_though_the_enum_has_grown_since() {
    use api::runtime_types::bounded_collections::bounded_vec::BoundedVec;
    use api::runtime_types::pallet_commitments::types::{CommitmentInfo, Data};
    let info = CommitmentInfo { fields: BoundedVec(vec![Data::Raw5(*b"hello")]) };
    let call = api::tx().commitments().set_commitment(3, info).unvalidated();
    for client in clients() {
        let expected = [&[18, 0, 3, 0, 4, 6][..], b"hello"].concat();
        assert_eq!(client.tx().call_data(&call).unwrap(), expected);
    }
}

#[test]
fn storage_keys_are_those_of_the_reference_sdk() {
    let golden = golden();
    let entries = [&golden["storage_keys"], &golden["storage_values"]].map(|list| list.as_array().unwrap());
    for client in clients() {
        let mut compared = Vec::new();
        for entry in entries.into_iter().flatten() {
            let (pallet, name) =
                (entry["pallet"].as_str().unwrap(), entry["storage_function"].as_str().unwrap());
            if items::find(Kind::Storage, pallet, name).is_some() {
                let key = storage_key(&client, name, &entry["params"]);
                assert_eq!(key, bytes(&entry["key_hex"]), "{pallet}.{name}");
                compared.push(name);
            }
        }
        let expected = [
            "Account",
            "Now",
            "Tempo",
            "NetworksAdded",
            "Bonds",
            "Keys",
            "BlocksSinceLastStep", // storage_keys
            "Account",
            "Tempo",
            "NetworksAdded",
            "NetworksAdded",
            "SubnetOwner",
            "Now", // storage_values
        ];
        assert_eq!(compared, expected);
    }
}

fn storage_key(client: &Client, name: &str, params: &Value) -> Vec<u8> {
    let number = |position: usize| u16::try_from(params[position].as_u64().unwrap()).unwrap();
    let module = api::storage().subtensor_module();
    match name {
        "Account" => key(client, api::storage().system().account().unvalidated(), (account(&params[0]),)),
        "Now" => key(client, api::storage().timestamp().now().unvalidated(), ()),
        "Tempo" => key(client, module.tempo().unvalidated(), (number(0),)),
        "NetworksAdded" => key(client, module.networks_added().unvalidated(), (number(0),)),
        "SubnetOwner" => key(client, module.subnet_owner().unvalidated(), (number(0),)),
        "Bonds" => key(client, module.bonds().unvalidated(), (number(0), number(1))),
        "Keys" => key(client, module.keys().unvalidated(), (number(0), number(1))),
        "BlocksSinceLastStep" => key(client, module.blocks_since_last_step().unvalidated(), (number(0),)),
        other => panic!("add {other} to this test"),
    }
}

fn key<A: Address>(client: &Client, address: A, parts: A::KeyParts) -> Vec<u8> {
    client.storage().entry(address).unwrap().fetch_key(parts).unwrap()
}

/// Decodes a storage value like the client: with the live runtime's types, to the interface's type.
fn decoded<A: Address>(metadata: &Metadata, address: A, mut bytes: &[u8]) -> A::Value {
    let pallet = metadata.pallet_by_name(address.pallet_name()).unwrap();
    let entry = pallet.storage().unwrap().entry_by_name(address.entry_name()).unwrap();
    let value = A::Value::decode_as_type(&mut bytes, entry.value_ty(), metadata.types()).unwrap();
    assert!(bytes.is_empty(), "{} bytes left of {}", bytes.len(), address.entry_name());
    value
}

/// Returns the pinned runtime, the full spec 461 (newtypes) and spec 365 (plain numbers).
fn runtimes() -> [Metadata; 3] {
    [pinned(), metadata(SPEC_461), metadata(SPEC_365)]
}

fn golden_value(name: &str) -> (Vec<u8>, Value) {
    let golden = golden();
    let values = golden["storage_values"].as_array().unwrap();
    let value = values.iter().find(|value| value["storage_function"] == name).unwrap();
    (bytes(&value["raw_hex"]), value["decoded"].clone())
}

#[test]
fn recorded_values_decode_to_what_the_reference_sdk_says() {
    for runtime in runtimes() {
        let (raw, expected) = golden_value("Account");
        let found = decoded(&runtime, api::storage().system().account(), &raw);
        let counts = json!([found.nonce, found.consumers, found.providers, found.sufficients]);
        let names = ["nonce", "consumers", "providers", "sufficients"];
        assert_eq!(counts, json!(names.map(|name| &expected[name])));
        let data = &expected["data"];
        assert_eq!(
            json!([found.data.free, found.data.reserved, found.data.frozen]),
            json!([data["free"], data["reserved"], data["frozen"]])
        );

        let (raw, expected) = golden_value("Tempo");
        assert_eq!(json!(decoded(&runtime, api::storage().subtensor_module().tempo(), &raw)), expected);
        let (raw, expected) = golden_value("NetworksAdded");
        assert_eq!(
            json!(decoded(&runtime, api::storage().subtensor_module().networks_added(), &raw)),
            expected
        );
        let (raw, expected) = golden_value("SubnetOwner");
        assert_eq!(
            decoded(&runtime, api::storage().subtensor_module().subnet_owner(), &raw),
            account(&expected)
        );
        let (raw, expected) = golden_value("Now");
        assert_eq!(json!(decoded(&runtime, api::storage().timestamp().now(), &raw)), expected);
    }
}

/// Decodes values that the recording lacks. The bytes are SCALE's little endian numbers, written by hand.
#[test]
fn numbers_decode_in_and_out_of_newtypes() {
    let module = || api::storage().subtensor_module();
    for runtime in runtimes() {
        let tao = [0, 0xe1, 0xf5, 0x05, 0, 0, 0, 0];
        assert_eq!(decoded(&runtime, module().burn(), &tao), 100_000_000);
        assert_eq!(decoded(&runtime, module().total_hotkey_alpha(), &tao), 100_000_000);
        assert_eq!(decoded(&runtime, module().incentive(), &[8, 1, 0, 0xff, 0xff]), [1, 65535]);
        assert_eq!(decoded(&runtime, module().dividends(), &[4, 2, 0]), [2]);
        assert_eq!(decoded(&runtime, module().emission(), &[4, 3, 0, 0, 0, 0, 0, 0, 0]), [3]);
        assert_eq!(decoded(&runtime, module().weights(), &[4, 1, 0, 2, 0]), [(1, 2)]);
    }
}

/// Decodes a deposit (u64), a block (u32) and one field `Raw2`, also with spec 365 without a loss.
#[test]
fn commitments_decode_though_the_enum_has_grown_since() {
    use api::runtime_types::pallet_commitments::types::Data;
    for runtime in runtimes() {
        let raw = [&[5, 0, 0, 0, 0, 0, 0, 0][..], &[9, 0, 0, 0], &[4, 3], b"hi"].concat();
        let found = decoded(&runtime, api::storage().commitments().commitment_of(), &raw);
        assert_eq!((found.deposit, found.block), (5, 9));
        assert_eq!(found.info.fields.0, [Data::Raw2(*b"hi")]);
    }
}

#[test]
fn defaults_come_from_the_live_runtime() {
    let default = |client: &Client| {
        let address = api::storage().subtensor_module().tempo().unvalidated();
        client.storage().entry(address).unwrap().default_value().unwrap().decode().unwrap()
    };
    assert_eq!(clients().each_ref().map(default), [10, 10, 360]);
}

#[test]
fn constants_read_through_newtypes() {
    for client in clients() {
        let deposit = api::constants().balances().existential_deposit().unvalidated();
        assert_eq!(client.constants().entry(deposit).unwrap(), 500);
    }
}
