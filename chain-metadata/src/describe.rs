//! Describes types and items in words for a report. The length of the text is bounded for any metadata.

use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, Variant};
use subxt_metadata::{ConstantMetadata, RuntimeApiMethodMetadata, StorageEntryMetadata};

/// Maximum depth and width of a described type.
const DEPTH: usize = 4;
const WIDTH: usize = 6;

/// Longest value that is printed in full, in bytes.
const VALUE_BYTES: usize = 32;

/// Describes a type: `Vec<(u16, u16)>`, `NetUid(u16)`, `Option<AccountId32>`.
pub(crate) fn type_name(types: &PortableRegistry, id: u32) -> String {
    nested(types, id, DEPTH)
}

fn nested(types: &PortableRegistry, id: u32, depth: usize) -> String {
    let Some(ty) = types.resolve(id) else { return format!("unknown type {id}") };
    if depth == 0 {
        return "…".into();
    }
    let inner = |id| nested(types, id, depth - 1);
    let ident = ty.path.segments.last().map(String::as_str);
    match &ty.type_def {
        TypeDef::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        TypeDef::Sequence(def) => format!("Vec<{}>", inner(def.type_param.id)),
        TypeDef::Array(def) => format!("[{}; {}]", inner(def.type_param.id), def.len),
        TypeDef::Compact(def) => format!("Compact<{}>", inner(def.type_param.id)),
        TypeDef::BitSequence(_) => "BitVec".into(),
        TypeDef::Tuple(def) => format!("({})", list(def.fields.iter().map(|field| inner(field.id)))),
        TypeDef::Composite(def) => match (ident, def.fields.as_slice()) {
            (Some(name @ ("AccountId32" | "H256")), _) => name.into(),
            (Some(name), [only]) if only.name.is_none() => format!("{name}({})", inner(only.ty.id)),
            (Some(name), _) => name.into(),
            (None, fields) => format!("{{{}}}", named_fields(types, fields, depth - 1)),
        },
        TypeDef::Variant(def) => match (ident, def.variants.iter().find(|variant| variant.name == "Some")) {
            (Some("Option"), Some(some)) => {
                format!("Option<{}>", list(some.fields.iter().map(|field| inner(field.ty.id))))
            }
            (name, _) => name.unwrap_or("enum").into(),
        },
    }
}

fn named_fields(types: &PortableRegistry, fields: &[Field<PortableForm>], depth: usize) -> String {
    list(fields.iter().map(|field| {
        let ty = nested(types, field.ty.id, depth);
        field.name.as_ref().map_or(ty.clone(), |name| format!("{name}: {ty}"))
    }))
}

fn list(mut words: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = words.by_ref().take(WIDTH).collect();
    if words.next().is_some() {
        shown.push("…".into());
    }
    shown.join(", ")
}

/// Describes a call or event: `set_weights(netuid: NetUid(u16), dests: Vec<u16>, …)`.
pub(crate) fn variant(types: &PortableRegistry, variant: &Variant<PortableForm>) -> String {
    format!("{}({})", variant.name, named_fields(types, &variant.fields, DEPTH))
}

/// Describes a storage entry: `[Identity NetUid(u16)] -> u16 = 0x0a00`.
pub(crate) fn storage(types: &PortableRegistry, entry: &StorageEntryMetadata) -> String {
    let keys = list(entry.keys().map(|key| format!("{:?} {}", key.hasher, type_name(types, key.key_id))));
    let value = type_name(types, entry.value_ty());
    let arrow = if keys.is_empty() { String::new() } else { format!("[{keys}] -> ") };
    match entry.default_value() {
        Some(default) => format!("{arrow}{value} = {}", bytes(default)),
        None => format!("{arrow}{value}, or nothing"),
    }
}

/// Describes a method of a runtime API: `get_next_epoch_start_block(netuid: NetUid(u16)) -> Option<u64>`.
pub(crate) fn method(types: &PortableRegistry, method: &RuntimeApiMethodMetadata<'_>) -> String {
    let inputs = method.inputs().map(|input| format!("{}: {}", input.name, type_name(types, input.id)));
    format!("{}({}) -> {}", method.name(), list(inputs), type_name(types, method.output_ty()))
}

/// Describes a constant: `u64 = 0xf401000000000000`.
pub(crate) fn constant(types: &PortableRegistry, constant: &ConstantMetadata) -> String {
    format!("{} = {}", type_name(types, constant.ty()), bytes(constant.value()))
}

/// Lists the first few names.
pub(crate) fn names(names: &[&str]) -> String {
    let shown = names.iter().take(WIDTH).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(WIDTH) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns bytes as hex. Cuts long values.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    match bytes.get(..VALUE_BYTES) {
        Some(start) if bytes.len() > VALUE_BYTES => {
            format!("0x{}… ({} bytes)", hex::encode(start), bytes.len())
        }
        _ => format!("0x{}", hex::encode(bytes)),
    }
}
