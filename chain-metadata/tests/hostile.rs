//! Tests with hostile metadata. Any party may run a node, so its metadata must lead to a typed error or a
//! report, never to a panic.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod common;

use chain_metadata::decode::{self, DecodeError};
use chain_metadata::report::Report;
use chain_metadata::runtime::PINNED_BYTES;
use chain_metadata::{strip, table};
use common::{SPEC_219, SPEC_365, SPEC_461};
use frame_metadata::v14::StorageEntryType;
use frame_metadata::v15::RuntimeMetadataV15;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use parity_scale_codec::{Compact, Decode, Encode};
use proptest::prelude::*;
use scale_info::{Path, PortableType, Type, TypeDef, TypeDefSequence, TypeDefTuple};

/// Uses the bytes in all ways in which a node or the command uses them.
fn use_bytes(bytes: &[u8]) -> Result<(), DecodeError> {
    let _ = strip::strip(bytes);
    let metadata = decode::decode(bytes)?;
    let _ = table::render(&Report::new(&metadata), "a test");
    Ok(())
}

fn pinned() -> RuntimeMetadataV15 {
    let raw = RuntimeMetadataPrefixed::decode(&mut &PINNED_BYTES[..]).unwrap().1;
    let RuntimeMetadata::V15(metadata) = raw else { panic!("the pinned file is V15") };
    metadata
}

fn encoded(metadata: RuntimeMetadataV15) -> Vec<u8> {
    RuntimeMetadataPrefixed::from(metadata).encode()
}

#[test]
fn truncation_is_an_error() {
    for length in (0..PINNED_BYTES.len()).step_by(7) {
        let error = decode::decode(&PINNED_BYTES[..length]).unwrap_err();
        assert!(matches!(error, DecodeError::Scale { size, .. } if size == length), "{length}: {error}");
    }
    for file in [SPEC_219, SPEC_365, SPEC_461] {
        let full = common::data(file);
        for length in (0..full.len()).step_by(9973) {
            assert!(use_bytes(&full[..length]).is_err(), "{file} cut to {length}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_an_error() {
    let error = decode::decode(&[PINNED_BYTES, &[0, 0]].concat()).unwrap_err();
    assert!(matches!(error, DecodeError::Trailing { rest: 2 }), "{error}");
}

#[test]
fn other_versions_are_an_error_that_names_them() {
    for version in [0, 13, 17, 255] {
        let mut bytes = PINNED_BYTES.to_vec();
        bytes[4] = version;
        assert!(use_bytes(&bytes).is_err(), "V{version}");
    }
    let old = [b"meta", &[12, 0, 4, 0][..]].concat(); // V12 without modules
    let error = decode::decode(&old).unwrap_err();
    assert!(matches!(error, DecodeError::Version { found: 12 }), "{error}");
}

#[test]
fn too_large_an_input_is_refused_unread() {
    let error = decode::decode(&vec![0; decode::MAX_BYTES + 1]).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}");
}

/// Checks a length prefix that equals the input's own length. subxt's `Metadata::decode_from` recurses
/// without end on it.
#[test]
fn a_length_that_fits_itself_does_not_recurse() {
    let mut bytes = Compact(100u32).encode();
    bytes.resize(100, 0);
    assert!(matches!(decode::decode(&bytes), Err(DecodeError::Scale { .. })));
}

#[test]
fn type_numbers_that_point_nowhere_are_an_error_that_names_the_place() {
    let mut metadata = pinned();
    let storage = metadata.pallets.iter_mut().find_map(|pallet| pallet.storage.as_mut()).unwrap();
    let StorageEntryType::Map { value, .. } = &mut storage.entries[0].ty else {
        panic!("System.Account is a map")
    };
    *value = 99_999.into();
    let error = use_bytes(&encoded(metadata)).unwrap_err();
    let place = "storage System.Account names type 99999";
    assert!(error.to_string().contains(place), "{error}");

    let mut metadata = pinned();
    metadata.extrinsic.signed_extensions[2].ty = 77_777.into();
    assert!(matches!(use_bytes(&encoded(metadata)), Err(DecodeError::DanglingType { id: 77_777, .. })));

    let mut metadata = pinned();
    metadata.types.types[5].id = 6;
    assert!(matches!(use_bytes(&encoded(metadata)), Err(DecodeError::Inconsistent { .. })));
}

#[test]
fn a_runtime_without_dispatch_errors_cannot_be_stripped() {
    let mut metadata = pinned();
    for entry in &mut metadata.types.types {
        entry.ty.path.segments.retain(|segment| segment != "DispatchError");
    }
    let error = strip::strip(&encoded(metadata)).unwrap_err();
    assert!(matches!(error, strip::StripError::NoDispatchError), "{error}");
}

#[test]
fn a_runtime_that_lacks_an_item_cannot_be_stripped() {
    let mut metadata = pinned();
    metadata.pallets.retain(|pallet| pallet.name != "Timestamp");
    let error = strip::strip(&encoded(metadata)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the runtime has no storage Timestamp.Now: correct items.rs, or take a runtime that has it"
    );
}

/// Uses forty types, each a pair of the next one. Written out in full, the first would have 2^40 words.
#[test]
fn a_type_that_doubles_forty_times_is_compared_and_printed_in_bounds() {
    let mut metadata = pinned();
    let first = u32::try_from(metadata.types.types.len()).unwrap();
    for id in first..first + 40 {
        let fields = if id + 1 < first + 40 { vec![(id + 1).into(); 2] } else { vec![] };
        let type_def = TypeDef::Tuple(TypeDefTuple { fields });
        let ty = Type { path: Path::default(), type_params: vec![], type_def, docs: vec![] };
        metadata.types.types.push(PortableType { id, ty });
    }
    let storage = metadata.pallets.iter_mut().filter_map(|pallet| pallet.storage.as_mut());
    for entry in storage.flat_map(|storage| &mut storage.entries) {
        match &mut entry.ty {
            StorageEntryType::Plain(value) | StorageEntryType::Map { value, .. } => *value = first.into(),
        }
    }
    let live = decode::decode(&encoded(metadata)).unwrap();
    let text = table::render(&Report::new(&live), "a test");
    assert!(text.len() < 100_000, "{} characters", text.len());
}

/// Uses vectors of vectors, nested as deep as the limit of types allows.
#[test]
fn the_deepest_nesting_that_is_accepted_is_stripped_and_one_more_is_refused() {
    let nested = |types: usize| {
        let mut metadata = pinned();
        let first = u32::try_from(metadata.types.types.len()).unwrap();
        for id in first..u32::try_from(types).unwrap() {
            let inner = if id == first { 0 } else { id - 1 };
            let type_def = TypeDef::Sequence(TypeDefSequence { type_param: inner.into() });
            let ty = Type { path: Path::default(), type_params: vec![], type_def, docs: vec![] };
            metadata.types.types.push(PortableType { id, ty });
        }
        let deepest = u32::try_from(types - 1).unwrap();
        let entries = metadata.pallets.iter_mut().filter_map(|pallet| pallet.storage.as_mut());
        let burn =
            entries.flat_map(|storage| &mut storage.entries).find(|entry| entry.name == "Burn").unwrap();
        burn.ty = StorageEntryType::Plain(deepest.into());
        encoded(metadata)
    };
    use_bytes(&nested(decode::MAX_TYPES)).unwrap();
    assert!(strip::strip(&nested(decode::MAX_TYPES)).is_ok());
    let error = use_bytes(&nested(decode::MAX_TYPES + 1)).unwrap_err();
    assert!(error.to_string().contains("types"), "{error}");
}

/// Uses a struct whose only field is the struct itself: an endless newtype.
#[test]
fn a_newtype_of_itself_ends() {
    let mut metadata = pinned();
    let id = metadata
        .types
        .types
        .iter()
        .find(|entry| entry.ty.path.to_string().ends_with("TaoBalance"))
        .unwrap()
        .id;
    let TypeDef::Composite(def) = &mut metadata.types.types[id as usize].ty.type_def else {
        panic!("a struct")
    };
    def.fields[0].ty = id.into();
    use_bytes(&encoded(metadata)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((0..PINNED_BYTES.len(), any::<u8>()), 1..8)) {
        let mut bytes = PINNED_BYTES.to_vec();
        flips.into_iter().for_each(|(position, value)| bytes[position] = value);
        let _ = use_bytes(&bytes);
    }

    /// Moves types to wrong places: each number still points to a type.
    #[test]
    fn types_in_the_wrong_places_never_panic(moves in prop::collection::vec(any::<(u16, u16)>(), 1..20)) {
        let mut metadata = pinned();
        let types = &mut metadata.types.types;
        for (to, from) in moves {
            let (to, from) = (usize::from(to) % types.len(), usize::from(from) % types.len());
            // Keep tuples: a map of two keys needs a tuple as its key, or it cannot be decoded.
            if !matches!(types[to].ty.type_def, TypeDef::Tuple(_)) {
                types[to].ty = types[from].ty.clone();
            }
        }
        let bytes = encoded(metadata);
        let live = decode::decode(&bytes).unwrap();
        let _ = table::render(&Report::new(&live), "a test");
        let _ = strip::strip(&bytes);
    }

    #[test]
    fn garbage_is_an_error(version in 13u8..18, rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [b"meta", &[version][..], &rest].concat();
        prop_assert!(use_bytes(&bytes).is_err());
    }
}
