//! Decodes metadata from untrusted bytes.
//!
//! subxt's own decoder trusts its input. A type number that points nowhere makes it panic, and bytes that
//! look like an opaque vector send it into endless recursion. A node's answer is untrusted, so this module
//! checks the numbers before subxt sees them.

use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use parity_scale_codec::Decode;
use scale_info::form::PortableForm;
use scale_info::{PortableRegistry, Type, TypeDef};
use subxt::Metadata;

/// Metadata versions that are accepted, best first.
pub const VERSIONS: [u32; 3] = [16, 15, 14];

/// Maximum size of metadata, in bytes. Subtensor's has 0.4 MB, Polkadot's under 1 MB.
pub const MAX_BYTES: usize = 16 << 20;

/// Maximum number of types. Subtensor has about 700. It also bounds the depth of a recursion over nested
/// types.
pub const MAX_TYPES: usize = 4096;

/// An error of decoding metadata.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The input is larger than any runtime's metadata.
    #[error("the input has {size} bytes, more than the limit of {MAX_BYTES}: is it a metadata file?")]
    TooLarge {
        /// Size of the input, in bytes.
        size: usize,
    },
    /// The input is not SCALE metadata: it lacks the `meta` prefix, is cut off, or is garbage.
    #[error("not SCALE metadata ({size} bytes)")]
    Scale {
        /// Size of the input, in bytes.
        size: usize,
        /// The error of the decoder.
        source: parity_scale_codec::Error,
    },
    /// There are bytes after the end of the metadata.
    #[error("{rest} bytes follow the metadata: the file is damaged")]
    Trailing {
        /// Number of bytes after the end.
        rest: usize,
    },
    /// The metadata version is not supported.
    #[error("metadata V{found} is not supported: ask the node for V16, V15 or V14")]
    Version {
        /// The version of the input.
        found: u32,
    },
    /// A type number points nowhere.
    #[error("the metadata is damaged: {place} names type {id}, but there are {types} types")]
    DanglingType {
        /// The place of the type number.
        place: String,
        /// The type number.
        id: u32,
        /// Number of types in the metadata.
        types: usize,
    },
    /// The metadata is inconsistent in another way.
    #[error("the metadata is damaged: {what}")]
    Inconsistent {
        /// The fault, in words.
        what: String,
    },
}

/// Decodes metadata of V14, V15 or V16, with its `meta` prefix. Checks that each type number points to a
/// type.
pub fn decode(bytes: &[u8]) -> Result<Metadata, DecodeError> {
    decode_with_version(bytes).map(|(metadata, _)| metadata)
}

/// Decodes metadata like [`decode`]. Returns it with its version.
pub fn decode_with_version(bytes: &[u8]) -> Result<(Metadata, u32), DecodeError> {
    let raw = decode_raw(bytes)?;
    let version = raw.version();
    Ok((into_metadata(raw)?, version))
}

/// Decodes metadata to the form that mirrors the bytes. Checks that types are numbered in order, and refer
/// to types that exist. [`into_metadata`] checks the numbers outside the registry.
pub(crate) fn decode_raw(bytes: &[u8]) -> Result<RuntimeMetadata, DecodeError> {
    let size = bytes.len();
    if size > MAX_BYTES {
        return Err(DecodeError::TooLarge { size });
    }
    let rest = &mut &bytes[..];
    let raw = RuntimeMetadataPrefixed::decode(rest).map_err(|source| DecodeError::Scale { size, source })?.1;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing { rest: rest.len() });
    }
    check_registry(registry(&raw)?)?;
    Ok(raw)
}

/// Converts metadata to subxt's form and checks each type number outside the registry.
pub(crate) fn into_metadata(raw: RuntimeMetadata) -> Result<Metadata, DecodeError> {
    let found = raw.version();
    let metadata = match raw {
        RuntimeMetadata::V14(raw) => Metadata::try_from(raw),
        RuntimeMetadata::V15(raw) => Metadata::try_from(raw),
        RuntimeMetadata::V16(raw) => {
            check_extensions(&raw.extrinsic)?;
            Metadata::try_from(raw)
        }
        _ => return Err(DecodeError::Version { found }),
    }
    .map_err(|source| DecodeError::Inconsistent { what: source.to_string() })?;
    check_metadata(&metadata)?;
    Ok(metadata)
}

fn registry(raw: &RuntimeMetadata) -> Result<&PortableRegistry, DecodeError> {
    match raw {
        RuntimeMetadata::V14(raw) => Ok(&raw.types),
        RuntimeMetadata::V15(raw) => Ok(&raw.types),
        RuntimeMetadata::V16(raw) => Ok(&raw.types),
        other => Err(DecodeError::Version { found: other.version() }),
    }
}

fn check_registry(types: &PortableRegistry) -> Result<(), DecodeError> {
    if types.types.len() > MAX_TYPES {
        let what = format!("it has {} types, more than the limit of {MAX_TYPES}", types.types.len());
        return Err(DecodeError::Inconsistent { what });
    }
    for (position, entry) in types.types.iter().enumerate() {
        if entry.id as usize != position {
            let what = format!("type {} stands at position {position}", entry.id);
            return Err(DecodeError::Inconsistent { what });
        }
        for id in references(&entry.ty) {
            require_type(types, id, || format!("type {position} ({})", entry.ty.path))?;
        }
    }
    Ok(())
}

/// Returns the type numbers that a type refers to.
fn references(ty: &Type<PortableForm>) -> Vec<u32> {
    let parameters = ty.type_params.iter().filter_map(|parameter| parameter.ty.as_ref());
    let inner: Vec<u32> = match &ty.type_def {
        TypeDef::Composite(def) => def.fields.iter().map(|field| field.ty.id).collect(),
        TypeDef::Variant(def) => {
            def.variants.iter().flat_map(|v| &v.fields).map(|field| field.ty.id).collect()
        }
        TypeDef::Sequence(def) => vec![def.type_param.id],
        TypeDef::Array(def) => vec![def.type_param.id],
        TypeDef::Tuple(def) => def.fields.iter().map(|field| field.id).collect(),
        TypeDef::Primitive(_) => vec![],
        TypeDef::Compact(def) => vec![def.type_param.id],
        TypeDef::BitSequence(def) => vec![def.bit_store_type.id, def.bit_order_type.id],
    };
    parameters.map(|ty| ty.id).chain(inner).collect()
}

/// Checks the lists of transaction extensions. V16 lists the extensions of each transaction version by
/// position, and subxt needs at least one list.
fn check_extensions(
    extrinsic: &frame_metadata::v16::ExtrinsicMetadata<PortableForm>,
) -> Result<(), DecodeError> {
    let count = extrinsic.transaction_extensions.len();
    let lists = &extrinsic.transaction_extensions_by_version;
    let beyond = lists.values().flatten().find(|position| position.0 as usize >= count);
    match (lists.is_empty(), beyond) {
        (true, _) => Err(DecodeError::Inconsistent { what: "no list of transaction extensions".into() }),
        (_, Some(position)) => Err(DecodeError::Inconsistent {
            what: format!("it names transaction extension {}, but there are {count}", position.0),
        }),
        _ => Ok(()),
    }
}

fn check_metadata(metadata: &Metadata) -> Result<(), DecodeError> {
    let require = |id: u32, place: &dyn Fn() -> String| require_type(metadata.types(), id, place);
    for pallet in metadata.pallets() {
        let enums = [pallet.call_ty_id(), pallet.event_ty_id(), pallet.error_ty_id()];
        for id in enums.into_iter().flatten().chain(pallet.associated_types().map(|(_, id)| id)) {
            require(id, &|| format!("pallet {}", pallet.name()))?;
        }
        for constant in pallet.constants() {
            require(constant.ty(), &|| format!("constant {}.{}", pallet.name(), constant.name()))?;
        }
        for entry in pallet.storage().map(|storage| storage.entries()).unwrap_or_default() {
            for id in entry.keys().map(|key| key.key_id).chain([entry.value_ty()]) {
                require(id, &|| format!("storage {}.{}", pallet.name(), entry.name()))?;
            }
        }
        for function in pallet.view_functions() {
            for id in function.inputs().map(|input| input.id).chain([function.output_ty()]) {
                require(id, &|| format!("view function {}.{}", pallet.name(), function.name()))?;
            }
        }
    }
    for api in metadata.runtime_api_traits() {
        for method in api.methods() {
            for id in method.inputs().map(|input| input.id).chain([method.output_ty()]) {
                require(id, &|| format!("runtime API {}.{}", api.name(), method.name()))?;
            }
        }
    }
    check_extrinsic(metadata)
}

fn check_extrinsic(metadata: &Metadata) -> Result<(), DecodeError> {
    let outer = metadata.outer_enums();
    for id in [outer.call_enum_ty(), outer.event_enum_ty(), outer.error_enum_ty()] {
        require_type(metadata.types(), id, || "an outer enum".into())?;
    }
    for extension in metadata.extrinsic().transaction_extensions_to_use_for_encoding() {
        for id in [extension.extra_ty(), extension.additional_ty()] {
            require_type(metadata.types(), id, || format!("extension {}", extension.identifier()))?;
        }
    }
    Ok(())
}

fn require_type(
    types: &PortableRegistry,
    id: u32,
    place: impl FnOnce() -> String,
) -> Result<(), DecodeError> {
    match types.resolve(id) {
        Some(_) => Ok(()),
        None => Err(DecodeError::DanglingType { place: place(), id, types: types.types.len() }),
    }
}
