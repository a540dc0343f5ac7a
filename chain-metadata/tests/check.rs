//! Tests the results of `check` for three real runtimes, and for runtimes with one change.
//!
//! To make the golden files again, run this test with `UPDATE_GOLDEN=1`. Read the difference before you
//! commit it.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod common;

use chain_metadata::check::{self, Aspect, ItemReport, Status};
use chain_metadata::decode;
use chain_metadata::items::{ITEMS, Item, Kind};
use chain_metadata::report::{Report, Why};
use chain_metadata::runtime::{self, PINNED_BYTES, RuntimeId};
use chain_metadata::table;
use common::{SPEC_219, SPEC_365, SPEC_461, metadata};
use frame_metadata::v14::{StorageEntryModifier, StorageEntryType, StorageHasher};
use frame_metadata::v15::{RuntimeMetadataV15, StorageEntryMetadata};
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use parity_scale_codec::{Decode, Encode};
use scale_info::form::PortableForm;
use scale_info::{TypeDef, TypeDefPrimitive, Variant};
use subxt::Metadata;

fn assert_golden(spec: u32, file: &str) {
    let (metadata, version) = decode::decode_with_version(&common::data(file)).unwrap();
    let found = table::render(&Report::new(&metadata), &format!("metadata V{version} of {file}"));
    let path = common::path(&format!("tests/golden/check-{spec}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        found,
        expected,
        "if the change is intended, make {} again with UPDATE_GOLDEN=1",
        path.display()
    );
}

#[test]
fn spec_219_is_as_recorded() {
    assert_golden(219, SPEC_219);
}

#[test]
fn spec_365_is_as_recorded() {
    assert_golden(365, SPEC_365);
}

#[test]
fn spec_461_is_as_recorded() {
    assert_golden(461, SPEC_461);
}

/// Checks that `Equal` agrees with subxt: equal hashes of the kind that validates an address.
#[test]
fn equal_agrees_with_subxts_own_hashes() {
    for file in [SPEC_219, SPEC_365, SPEC_461] {
        let live = metadata(file);
        let mut compared = 0;
        for report in check::check(&live) {
            let hashes = [runtime::pinned(), &live].map(|metadata| hash(metadata, report.item));
            if let [Some(ours), Some(theirs)] = hashes {
                // A constant's hash leaves out its value.
                let values_only = report.item.kind == Kind::Constant
                    && report
                        .status
                        .differences()
                        .iter()
                        .all(|difference| difference.aspect == Aspect::Value);
                let equal = report.status == Status::Equal || (values_only && ours == theirs);
                assert_eq!(equal, ours == theirs, "{} of {file}: {}", report.item, report.status);
                compared += 1;
            }
        }
        assert!(compared > 40, "{compared} of {file}");
    }
}

fn hash(metadata: &Metadata, item: &Item) -> Option<[u8; 32]> {
    if item.kind == Kind::RuntimeApi {
        let method = metadata.runtime_api_trait_by_name(item.pallet)?.method_by_name(item.name)?;
        return Some(method.hash());
    }
    let pallet = metadata.pallet_by_name(item.pallet)?;
    match item.kind {
        Kind::Call => pallet.call_hash(item.name),
        Kind::Storage => pallet.storage_hash(item.name),
        Kind::Constant => pallet.constant_hash(item.name),
        Kind::Errors => metadata.type_hash(pallet.error_ty_id()?),
        Kind::Event | Kind::RuntimeApi => None,
    }
}

#[test]
fn the_pinned_runtime_equals_itself() {
    let report = Report::new(runtime::pinned());
    assert_eq!(report.items.len(), ITEMS.len());
    assert!(report.items.iter().all(|item| item.status == Status::Equal));
    assert_eq!(report.live, Some(report.pinned));
}

#[test]
fn v14_says_that_it_does_not_describe_runtime_apis() {
    let report = Report::new(&metadata(SPEC_219));
    let error = report.usable(Kind::RuntimeApi, "AccountNonceApi", "account_nonce").unwrap_err();
    assert_eq!(error.why, Why::NotDescribed);
}

#[test]
fn an_absent_item_is_refused_with_its_name_and_both_specs() {
    let report = Report::new(&metadata(SPEC_365));
    let error = report.usable(Kind::Call, "SubtensorModule", "register_limit").unwrap_err();
    assert_eq!(
        error.to_string(),
        "call SubtensorModule.register_limit cannot be used: the runtime does not have it; \
         this program was made for node-subtensor 461, the node runs node-subtensor 365"
    );
    report.usable(Kind::Call, "SubtensorModule", "burned_register").unwrap();
    report.usable(Kind::Storage, "SubtensorModule", "Tempo").unwrap();
}

#[test]
fn an_item_that_is_not_listed_is_refused() {
    let error = Report::new(runtime::pinned()).usable(Kind::Call, "Balances", "transfer_all").unwrap_err();
    assert_eq!(error.why, Why::NotListed);
}

// Runtimes with one change.

/// Returns the pinned metadata after `change`.
fn changed(change: impl FnOnce(&mut RuntimeMetadataV15)) -> Metadata {
    let raw = RuntimeMetadataPrefixed::decode(&mut &PINNED_BYTES[..]).unwrap().1;
    let RuntimeMetadata::V15(mut metadata) = raw else { panic!("the pinned file is V15") };
    change(&mut metadata);
    decode::decode(&RuntimeMetadataPrefixed::from(metadata).encode()).unwrap()
}

fn entry<'a>(metadata: &'a mut RuntimeMetadataV15, name: &str) -> &'a mut StorageEntryMetadata<PortableForm> {
    let entries = metadata.pallets.iter_mut().filter_map(|pallet| pallet.storage.as_mut());
    entries.flat_map(|storage| &mut storage.entries).find(|entry| entry.name == name).unwrap()
}

fn primitive(metadata: &RuntimeMetadataV15, wanted: TypeDefPrimitive) -> u32 {
    let is_wanted = |def: &TypeDef<PortableForm>| *def == TypeDef::Primitive(wanted.clone());
    metadata.types.types.iter().find(|entry| is_wanted(&entry.ty.type_def)).unwrap().id
}

fn call<'a>(metadata: &'a mut RuntimeMetadataV15, name: &str) -> &'a mut Variant<PortableForm> {
    let calls = metadata.types.types.iter_mut().filter_map(|entry| match &mut entry.ty.type_def {
        TypeDef::Variant(def) => Some(&mut def.variants),
        _ => None,
    });
    calls.flatten().find(|variant| variant.name == name).unwrap()
}

fn report(live: &Metadata, name: &str) -> ItemReport {
    check::check(live).into_iter().find(|report| report.item.name == name).unwrap()
}

/// Returns the only difference of an item, in words, and whether the item is usable.
fn difference(live: &Metadata, name: &str) -> (String, bool) {
    let report = report(live, name);
    let [only] = report.status.differences() else { panic!("{:?}", report.status) };
    (only.to_string(), report.status.is_usable())
}

#[test]
fn another_value_type_is_told() {
    let live = changed(|metadata| {
        let u32 = primitive(metadata, TypeDefPrimitive::U32);
        let StorageEntryType::Map { value, .. } = &mut entry(metadata, "Burn").ty else { panic!("a map") };
        *value = u32.into();
    });
    assert_eq!(difference(&live, "Burn"), ("value: pinned u64, live u32".into(), false));
    let others = check::check(&live).into_iter().filter(|report| report.status != Status::Equal).count();
    assert_eq!(others, 1);
}

#[test]
fn another_hasher_is_told() {
    let live = changed(|metadata| {
        let StorageEntryType::Map { hashers, .. } = &mut entry(metadata, "Uids").ty else { panic!("a map") };
        hashers[1] = StorageHasher::Twox64Concat;
    });
    let expected = "key 1: pinned Blake2_128Concat, live Twox64Concat";
    assert_eq!(difference(&live, "Uids"), (expected.into(), false));
}

#[test]
fn a_map_that_became_a_value_is_told() {
    let live = changed(|metadata| {
        let u16 = primitive(metadata, TypeDefPrimitive::U16);
        entry(metadata, "Tempo").ty = StorageEntryType::Plain(u16.into());
    });
    assert_eq!(difference(&live, "Tempo"), ("number of keys: pinned 1, live 0".into(), false));
}

#[test]
fn another_default_is_told_and_does_no_harm() {
    let live = changed(|metadata| entry(metadata, "Tempo").default = vec![20, 0]);
    assert_eq!(difference(&live, "Tempo"), ("default: pinned 0x0a00, live 0x1400".into(), true));
}

#[test]
fn a_default_that_went_away_breaks() {
    let live = changed(|metadata| entry(metadata, "Tempo").modifier = StorageEntryModifier::Optional);
    assert_eq!(difference(&live, "Tempo"), ("default: live lacks 0x0a00".into(), false));
}

#[test]
fn a_new_argument_is_told_with_both_signatures() {
    let live = changed(|metadata| {
        let mut field = call(metadata, "burned_register").fields[0].clone();
        field.name = Some("tip".into());
        call(metadata, "burned_register").fields.push(field);
    });
    assert_eq!(difference(&live, "burned_register"), ("tip: live also has NetUid(u16)".into(), false));
    let report = report(&live, "burned_register");
    assert_eq!(report.pinned, "burned_register(netuid: NetUid(u16), hotkey: AccountId32)");
    let live = "burned_register(netuid: NetUid(u16), hotkey: AccountId32, tip: NetUid(u16))";
    assert_eq!(report.live.as_deref(), Some(live));
}

#[test]
fn a_renamed_argument_is_told_from_both_sides() {
    let live = changed(|metadata| call(metadata, "set_weights").fields[1].name = Some("uids".into()));
    let report = report(&live, "set_weights");
    let words: Vec<String> = report.status.differences().iter().map(ToString::to_string).collect();
    assert_eq!(words, ["dests: live lacks Vec<u16>", "uids: live also has Vec<u16>"]);
    assert!(!report.status.is_usable());
}

#[test]
fn a_moved_call_is_equal_since_subxt_goes_by_names() {
    let live = changed(|metadata| call(metadata, "set_weights").index = 200);
    assert_eq!(report(&live, "set_weights").status, Status::Equal);
}

#[test]
fn new_variants_do_no_harm() {
    let live = changed(|metadata| call(metadata, "Raw7").name = "Raw7New".into());
    let report = report(&live, "CommitmentOf");
    let words: Vec<String> = report.status.differences().iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        ["value.info.fields.0[]: live lacks Raw7", "value.info.fields.0[]: live also has Raw7New"]
    );
    assert!(report.status.is_usable());
}

#[test]
fn a_changed_argument_of_a_runtime_api_is_told() {
    let live = changed(|metadata| {
        let api = metadata.apis.iter_mut().find(|api| api.name == "SubnetInfoRuntimeApi").unwrap();
        api.methods[0].inputs[0].name = "subnet".into();
    });
    let expected = "argument 0: pinned netuid: NetUid(u16), live subnet: NetUid(u16)";
    assert_eq!(difference(&live, "get_next_epoch_start_block"), (expected.into(), false));
    let error = Report::new(&live)
        .usable(Kind::RuntimeApi, "SubnetInfoRuntimeApi", "get_next_epoch_start_block")
        .unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn another_value_of_a_constant_is_told_and_does_no_harm() {
    let live = changed(|metadata| {
        let constants = metadata.pallets.iter_mut().flat_map(|pallet| &mut pallet.constants);
        constants.into_iter().find(|constant| constant.name == "MaxFields").unwrap().value = vec![4, 0, 0, 0];
    });
    assert_eq!(difference(&live, "MaxFields"), ("value: pinned 0x03000000, live 0x04000000".into(), true));
}

/// Checks a newer runtime that wraps one more number: the plain number of the typed interface still fits.
#[test]
fn an_unknown_newtype_is_a_newtype() {
    let live = changed(|metadata| {
        let wrapped = metadata
            .types
            .types
            .iter()
            .find(|entry| entry.ty.path.segments.last().is_some_and(|n| n == "TaoBalance"));
        let mut newtype = wrapped.unwrap().clone();
        newtype.id = u32::try_from(metadata.types.types.len()).unwrap();
        newtype.ty.path.segments = vec!["future".into(), "Blocks".into()];
        let StorageEntryType::Map { value, .. } = &mut entry(metadata, "WeightsVersionKey").ty else {
            panic!("a map")
        };
        *value = newtype.id.into();
        metadata.types.types.push(newtype);
    });
    assert_eq!(report(&live, "WeightsVersionKey").status, Status::EqualUpToNewtypes);
}

#[test]
fn a_runtime_that_does_not_name_itself_is_reported_all_the_same() {
    let live = changed(|metadata| {
        metadata.pallets.iter_mut().for_each(|pallet| pallet.constants.retain(|c| c.name != "Version"));
    });
    assert_eq!(RuntimeId::of(&live), None);
    assert!(
        table::render(&Report::new(&live), "a test").contains("live    runtime of unknown version, a test\n")
    );
}

#[test]
fn control_characters_of_a_hostile_name_do_not_reach_the_terminal() {
    let live = changed(|metadata| call(metadata, "set_weights").fields[1].name = Some("\u{1b}[2Jx".into()));
    assert!(!table::render(&Report::new(&live), "a test").contains('\u{1b}'));
}
