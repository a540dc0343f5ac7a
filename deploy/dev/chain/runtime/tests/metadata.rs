//! Compares this runtime's metadata with spec 461: the hashes of all items that the runtime describes itself.

#![allow(clippy::unwrap_used)] // A test that cannot continue must stop.

use chain_metadata::{
    check::{ItemReport, Status},
    decode::decode,
    items::{Item, Kind},
};
use devchain_runtime::Runtime;
use std::fs;

/// Reads a runtime's metadata with `chain-metadata`.
macro_rules! metadata {
    (subtensor) => {{
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../../chain-metadata/tests/data/subtensor-461-v15.scale"
        );
        decode(&fs::read(path).unwrap()).unwrap()
    }};
    (devchain) => {
        decode(&Runtime::metadata_at_version(15).unwrap()).unwrap()
    };
}

const OWN_PALLETS: [&str; 5] = ["SubtensorModule", "Commitments", "Drand", "MevShield", "Aura"];

/// The storage items that newer runtimes than spec 461 have, and that Bittensor's SDK 11.3 reads.
const NEWER: [&str; 1] = ["SubnetEpochConsensus"];

#[test]
fn calls_storage_and_constants_of_our_pallets_are_those_of_spec_461() {
    let (theirs, ours) = (metadata!(subtensor), metadata!(devchain));
    for name in OWN_PALLETS {
        let theirs = theirs.pallet_by_name(name).unwrap();
        let ours = ours.pallet_by_name(name).unwrap();
        assert_eq!(ours.call_index(), theirs.call_index(), "number of {name}");
        let mut compared = 0;
        for call in ours.call_variants().unwrap_or_default() {
            assert_eq!(
                theirs.call_variant_by_name(&call.name).unwrap().index,
                call.index,
                "{name}.{}",
                call.name
            );
            assert_eq!(ours.call_hash(&call.name), theirs.call_hash(&call.name), "{name}.{}", call.name);
            compared += 1;
        }
        let entries = ours.storage().map_or(&[][..], |storage| storage.entries());
        for entry in entries.iter().filter(|entry| !NEWER.contains(&entry.name())) {
            let hash = theirs.storage_hash(entry.name());
            assert!(hash.is_some(), "{name}.{} is not in spec 461", entry.name());
            assert_eq!(ours.storage_hash(entry.name()), hash, "{name}.{}", entry.name());
            compared += 1;
        }
        for constant in ours.constants() {
            let hash = theirs.constant_hash(constant.name());
            assert!(hash.is_some(), "{name}.{} is not in spec 461", constant.name());
            assert_eq!(ours.constant_hash(constant.name()), hash, "{name}.{}", constant.name());
            compared += 1;
        }
        assert!(compared >= 1, "{name}: no items");
    }
}

#[test]
fn errors_and_events_of_our_pallets_have_the_numbers_and_fields_of_spec_461() {
    let (theirs, ours) = (metadata!(subtensor), metadata!(devchain));
    for name in OWN_PALLETS {
        let theirs = theirs.pallet_by_name(name).unwrap();
        let ours = ours.pallet_by_name(name).unwrap();
        for error in ours.error_variants().unwrap_or_default() {
            let twin = theirs.error_variant_by_index(error.index);
            assert_eq!(twin.map(|twin| &twin.name), Some(&error.name), "error {} of {name}", error.index);
        }
        for event in ours.event_variants().unwrap_or_default() {
            let twin = theirs.event_variant_by_index(event.index).unwrap();
            let names = |fields: &[_]| fields.iter().map(field_name).collect::<Vec<_>>();
            assert_eq!(twin.name, event.name, "event {} of {name}", event.index);
            assert_eq!(names(&twin.fields), names(&event.fields), "event {}", event.name);
        }
    }
}

fn field_name(field: &scale_info::Field<scale_info::form::PortableForm>) -> Option<String> {
    field.name.clone()
}

#[test]
fn everything_that_muster_uses_is_there_and_equal() {
    let reports = chain_metadata::check::check(&metadata!(devchain));
    // The list lacks errors that no call here raises. The indices of the others are compared above.
    let fits = |report: &&_| {
        matches!(report, ItemReport { status: Status::Equal, .. })
            || matches!(report, ItemReport { item: Item { kind: Kind::Errors, .. }, .. })
    };
    let different: Vec<_> = reports.iter().filter(|report| !fits(report)).collect();
    assert!(different.is_empty(), "{different:#?}");
}

#[test]
fn runtime_apis_answer_in_the_types_of_spec_461() {
    let (theirs, ours) = (metadata!(subtensor), metadata!(devchain));
    for (name, count) in [
        ("SubnetInfoRuntimeApi", 3),
        ("NeuronInfoRuntimeApi", 2),
        ("StakeInfoRuntimeApi", 4),
        ("DelegateInfoRuntimeApi", 2),
        ("SwapRuntimeApi", 4),
        ("BetaBasketRuntimeApi", 2),
    ] {
        let theirs = theirs.runtime_api_trait_by_name(name).unwrap();
        let ours = ours.runtime_api_trait_by_name(name).unwrap();
        let methods: Vec<_> = ours.methods().collect();
        assert_eq!(methods.len(), count, "{name}");
        for method in methods {
            let twin = theirs.method_by_name(method.name()).unwrap();
            assert_eq!(method.hash(), twin.hash(), "{name}.{}", method.name());
        }
    }
}

#[test]
fn transactions_are_extended_as_in_spec_461() {
    let (theirs, ours) = (metadata!(subtensor), metadata!(devchain));
    let theirs = theirs.extrinsic().transaction_extensions_to_use_for_encoding();
    let ours = ours.extrinsic().transaction_extensions_to_use_for_encoding();
    let ours: Vec<_> = ours.map(|extension| extension.identifier().to_owned()).collect();
    assert_eq!(ours, theirs.map(|extension| extension.identifier().to_owned()).collect::<Vec<_>>());
}
