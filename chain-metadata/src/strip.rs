//! Cuts full metadata down to the items of [`ITEMS`].
//!
//! `subxt-utils-stripmetadata` removes pallets and runtime APIs. But the outer enums (`RuntimeCall`,
//! `RuntimeEvent`, `RuntimeError`) name the types of every pallet and keep them alive, so it saves only
//! 12 %. This module first filters the variants of those enums, of the pallets' call and event enums, and the
//! storage entries. Then the unreachable types can be dropped. With the docs removed too, 387 kB become
//! 24 kB. Pallet and variant indices do not change, nor do the extrinsic's description and the pallets' error
//! enums.

use frame_metadata::v15::{PalletMetadata, RuntimeApiMetadata, RuntimeMetadataV15};
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use parity_scale_codec::Encode;
use scale_info::form::PortableForm;
use scale_info::{PortableRegistry, Type, TypeDef};
use subxt_utils_stripmetadata::StripMetadata;

use crate::{
    decode::{self, DecodeError},
    items::{self, ITEMS, Item, Kind, PALLETS},
};

/// An error of stripping metadata.
#[derive(Debug, thiserror::Error)]
pub enum StripError {
    /// The input is not metadata.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The input is not V15. The pinned file is made from V15, which describes runtime APIs. subxt and the
    /// SDKs all read this version.
    #[error("the metadata is V{found}, but the pinned file is made from V15: fetch that version")]
    Version {
        /// The version of the input.
        found: u32,
    },
    /// The type of dispatch errors is missing. Without it, subxt cannot explain a failed transaction.
    #[error("the metadata has no type sp_runtime::DispatchError: it does not describe a FRAME runtime")]
    NoDispatchError,
    /// The runtime lacks a listed item, so the typed interface cannot be generated.
    #[error("the runtime has no {} {item}: correct items.rs, or take a runtime that has it", item.kind)]
    Missing {
        /// The item.
        item: &'static Item,
    },
}

/// Removes all but the listed items from `metadata` (V15, with its `meta` prefix). Returns the bytes of the
/// result.
///
/// The same input gives the same bytes.
pub fn strip(metadata: &[u8]) -> Result<Vec<u8>, StripError> {
    let mut metadata = match decode::decode_raw(metadata)? {
        RuntimeMetadata::V15(metadata) => metadata,
        other => return Err(StripError::Version { found: other.version() }),
    };
    let full = decode::into_metadata(RuntimeMetadata::V15(metadata.clone()))?;
    full.dispatch_error_ty().ok_or(StripError::NoDispatchError)?;
    filter_enums(&mut metadata);
    metadata.pallets.iter_mut().for_each(filter_pallet);
    metadata.apis.iter_mut().for_each(filter_api);
    metadata.types.types.iter_mut().for_each(|entry| remove_docs(&mut entry.ty));
    metadata.strip_metadata(|pallet| PALLETS.contains(&pallet), uses_api);
    // Stripping renumbers all type numbers except that of the type `Runtime`. Nothing reads it, so replace
    // it.
    metadata.ty = metadata.outer_enums.call_enum_ty;
    require_every_item(&metadata)?;
    Ok(RuntimeMetadataPrefixed::from(metadata).encode())
}

fn uses(kind: Kind, pallet: &str, name: &str) -> bool {
    items::find(kind, pallet, name).is_some()
}

fn uses_kind(kind: Kind, pallet: &str) -> bool {
    ITEMS.iter().any(|item| item.kind == kind && item.pallet == pallet)
}

fn uses_api(name: &str) -> bool {
    uses_kind(Kind::RuntimeApi, name)
}

/// Removes unused pallets from the outer enums, and unused calls and events from the pallets' own enums.
fn filter_enums(metadata: &mut RuntimeMetadataV15) {
    let types = &mut metadata.types;
    let outer = &metadata.outer_enums;
    retain_variants(types, outer.call_enum_ty.id, |pallet| uses_kind(Kind::Call, pallet));
    retain_variants(types, outer.event_enum_ty.id, |pallet| uses_kind(Kind::Event, pallet));
    retain_variants(types, outer.error_enum_ty.id, |pallet| PALLETS.contains(&pallet));
    for pallet in &metadata.pallets {
        if let Some(calls) = &pallet.calls {
            retain_variants(types, calls.ty.id, |call| uses(Kind::Call, &pallet.name, call));
        }
        if let Some(events) = &pallet.event {
            retain_variants(types, events.ty.id, |event| uses(Kind::Event, &pallet.name, event));
        }
    }
}

fn retain_variants(types: &mut PortableRegistry, id: u32, keep: impl Fn(&str) -> bool) {
    if let Some(entry) = types.types.get_mut(id as usize)
        && let TypeDef::Variant(variants) = &mut entry.ty.type_def
    {
        variants.variants.retain(|variant| keep(&variant.name));
    }
}

fn filter_pallet(pallet: &mut PalletMetadata<PortableForm>) {
    let name = &pallet.name;
    if !uses_kind(Kind::Call, name) {
        pallet.calls = None;
    }
    if !uses_kind(Kind::Event, name) {
        pallet.event = None;
    }
    if let Some(storage) = &mut pallet.storage {
        storage.entries.retain(|entry| uses(Kind::Storage, name, &entry.name));
        storage.entries.iter_mut().for_each(|entry| entry.docs.clear());
    }
    pallet.storage.take_if(|storage| storage.entries.is_empty());
    let is_version = |constant: &str| name == "System" && constant == items::VERSION_CONSTANT;
    pallet.constants.retain(|c| uses(Kind::Constant, name, &c.name) || is_version(&c.name));
    pallet.constants.iter_mut().for_each(|constant| constant.docs.clear());
    pallet.docs.clear();
}

fn filter_api(api: &mut RuntimeApiMetadata<PortableForm>) {
    api.methods.retain(|method| uses(Kind::RuntimeApi, &api.name, &method.name));
    api.methods.iter_mut().for_each(|method| method.docs.clear());
    api.docs.clear();
}

fn remove_docs(ty: &mut Type<PortableForm>) {
    ty.docs.clear();
    match &mut ty.type_def {
        TypeDef::Composite(def) => def.fields.iter_mut().for_each(|field| field.docs.clear()),
        TypeDef::Variant(def) => {
            for variant in &mut def.variants {
                variant.docs.clear();
                variant.fields.iter_mut().for_each(|field| field.docs.clear());
            }
        }
        _ => {}
    }
}

fn require_every_item(stripped: &RuntimeMetadataV15) -> Result<(), StripError> {
    let metadata = decode::into_metadata(RuntimeMetadata::V15(stripped.clone()))?;
    match ITEMS.iter().find(|item| !has(&metadata, item)) {
        Some(item) => Err(StripError::Missing { item }),
        None => Ok(()),
    }
}

fn has(metadata: &subxt::Metadata, item: &Item) -> bool {
    if item.kind == Kind::RuntimeApi {
        let api = metadata.runtime_api_trait_by_name(item.pallet);
        return api.is_some_and(|api| api.method_by_name(item.name).is_some());
    }
    let Some(pallet) = metadata.pallet_by_name(item.pallet) else { return false };
    match item.kind {
        Kind::Call => pallet.call_variant_by_name(item.name).is_some(),
        Kind::Storage => pallet.storage().is_some_and(|s| s.entry_by_name(item.name).is_some()),
        Kind::Constant => pallet.constant_by_name(item.name).is_some(),
        Kind::Event => pallet.event_variants().is_some_and(|v| v.iter().any(|v| v.name == item.name)),
        Kind::Errors => pallet.error_variants().is_some(),
        Kind::RuntimeApi => false,
    }
}
