//! Compares storage keys and values with those of Bittensor's own SDK at spec 461.

use base::Hotkey;
use chain_metadata::api;
use subxt::utils::AccountId32;

use super::*;
use crate::golden::{self, bytes};

fn account(address: &str) -> AccountId32 {
    AccountId32(address.parse::<Hotkey>().unwrap().0)
}

fn golden_key(pallet: &str, entry: &str) -> Vec<u8> {
    let keys = golden::list("storage_keys");
    let wanted = |key: &&serde_json::Value| key["pallet"] == pallet && key["storage_function"] == entry;
    bytes(&keys.iter().find(wanted).unwrap()["key_hex"])
}

#[test]
fn keys_are_the_sdks() {
    let subtensor = || api::storage().subtensor_module();
    let alice = account("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
    for runtime in [golden::runtime_461(), golden::runtime_365()] {
        let mut batch = Batch::new(&runtime);
        batch.add(api::storage().system().account(), (alice,)).unwrap();
        batch.add(api::storage().timestamp().now(), ()).unwrap();
        batch.add(subtensor().tempo(), (1,)).unwrap();
        batch.add(subtensor().networks_added(), (3,)).unwrap();
        batch.add(subtensor().bonds(), (1, 0)).unwrap();
        batch.add(subtensor().keys(), (1, 0)).unwrap();
        batch.add(subtensor().blocks_since_last_step(), (7,)).unwrap();
        let names = [
            ("System", "Account"),
            ("Timestamp", "Now"),
            ("SubtensorModule", "Tempo"),
            ("SubtensorModule", "NetworksAdded"),
            ("SubtensorModule", "Bonds"),
            ("SubtensorModule", "Keys"),
            ("SubtensorModule", "BlocksSinceLastStep"),
        ];
        for (key, (pallet, entry)) in batch.keys.iter().zip(names) {
            assert_eq!(*key, golden_key(pallet, entry), "{pallet}.{entry} at {}", runtime.version.spec);
        }
    }
}

/// Decodes a value of the SDK's file with this crate.
fn read_golden<K, V, P>(address: StaticAddress<K, V, P>, keys: K, place: usize) -> Result<V, ReadError>
where
    K: IntoEncodableValues + IntoDecodableValues,
    V: DecodeAsType,
    P: YesMaybe,
{
    let runtime = golden::runtime_461();
    let mut batch = Batch::new(&runtime);
    let slot = batch.add(address, keys)?;
    let golden = &golden::list("storage_values")[place];
    assert_eq!(batch.keys[0], bytes(&golden["key_hex"]));
    let raw = (!golden["raw_hex"].is_null()).then(|| bytes(&golden["raw_hex"]));
    Values { runtime: Arc::new(runtime), at: golden::genesis(), bytes: vec![raw] }.get(slot)
}

#[test]
fn values_are_the_sdks() {
    let subtensor = || api::storage().subtensor_module();
    let alice = account("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
    let read = read_golden(api::storage().system().account(), (alice,), 0).unwrap();
    assert_eq!((read.nonce, read.data.free), (1, 999_998_999_833_753));
    assert_eq!(read_golden(subtensor().tempo(), (1,), 1), Ok(100));
    assert_eq!(read_golden(subtensor().networks_added(), (1,), 2), Ok(true));
    assert_eq!(read_golden(subtensor().networks_added(), (9999,), 3), Ok(false), "the default");
    assert_eq!(read_golden(subtensor().subnet_owner(), (1,), 5), Ok(AccountId32([0; 32])));
    assert_eq!(read_golden(api::storage().timestamp().now(), (), 6), Ok(1_789_516_218_750));
}

#[test]
fn numbers_of_spec_365_have_no_newtypes_and_read_the_same() {
    let runtime = Arc::new(golden::runtime_365());
    let mut batch = Batch::new(&runtime);
    let incentive = batch.add(api::storage().subtensor_module().incentive(), (3,)).unwrap();
    let burn = batch.add(api::storage().subtensor_module().burn(), (3,)).unwrap();
    let raw = vec![Some(vec![8, 1, 0, 2, 0]), Some(5u64.to_le_bytes().to_vec())];
    let values = Values { runtime: runtime.clone(), at: golden::genesis(), bytes: raw };
    assert_eq!(values.get(incentive), Ok(vec![1, 2]));
    assert_eq!(values.get(burn), Ok(5));
}

#[test]
fn an_entry_that_the_runtime_lacks_is_named_or_left_out() {
    let runtime = golden::runtime_365();
    let mut batch = Batch::new(&runtime);
    let epoch = || api::storage().subtensor_module().subnet_epoch_index();
    assert!(batch.add_if_present(epoch(), (3,)).unwrap().is_none());
    let text = batch.add(epoch(), (3,)).map(|_| ()).unwrap_err().to_string();
    assert!(text.starts_with("storage SubtensorModule.SubnetEpochIndex cannot be used"), "{text}");
}

#[test]
fn bytes_that_are_no_value_are_told() {
    let runtime = Arc::new(golden::runtime_461());
    let mut batch = Batch::new(&runtime);
    let tempo = batch.add(api::storage().subtensor_module().tempo(), (3,)).unwrap();
    for bytes in [vec![], vec![1], vec![1, 2, 3]] {
        let values = Values { runtime: runtime.clone(), at: golden::genesis(), bytes: vec![Some(bytes)] };
        let error = values.get(tempo).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot decode SubtensorModule.Tempo at block 0x1dc0"),
            "{error}"
        );
        assert!(!error.is_retryable());
    }
}

#[test]
fn an_entry_that_is_not_listed_is_read_where_the_runtime_has_it() {
    let (pallet, entry, netuid) = ("SubtensorModule", "CollateralLockShare", Netuid(3));
    assert!(chain_metadata::items::find(Kind::Storage, pallet, entry).is_none());
    let runtime = golden::runtime_461();
    let mut batch = Batch::new(&runtime);
    assert!(batch.add_unlisted(pallet, entry, netuid).is_some());
    // The key of another map from a subnet has the same form.
    let mut listed = Batch::new(&runtime);
    listed.add(api::storage().subtensor_module().networks_added(), (3,)).unwrap();
    assert_eq!(batch.keys[0][32..], listed.keys[0][32..]);
    assert_eq!(batch.keys[0][..16], listed.keys[0][..16]);
    for older in [golden::runtime_219(), golden::runtime_365()] {
        assert!(Batch::new(&older).add_unlisted(pallet, entry, netuid).is_none());
    }
}
