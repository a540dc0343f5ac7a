//! The typed interface to the chain, generated from `metadata/subtensor.scale`.
//!
//! * [`tx`](fn@tx): calls, for example `tx().subtensor_module().set_weights(..)`.
//! * [`storage`](fn@storage): storage entries, for example `storage().subtensor_module().tempo()`.
//! * [`runtime_apis`](fn@runtime_apis), [`constants`](fn@constants): the same for runtime APIs and constants.
//! * [`runtime_types`]: the types of their arguments and values.
//!
//! Spec 461 wraps numbers in newtypes (`NetUid`, `TaoBalance` and so on). Spec 365 and older do not have
//! them, and their names may change again. This interface uses plain `u16` and `u64` instead. Encoding
//! follows the live runtime's type information and adapts by itself. A plain number decodes from a newtype,
//! but a newtype does not decode from a plain number. For the same reason each address must be used
//! `.unvalidated()`: subxt's own validation would refuse a runtime that differs by a newtype.
//! [`check`](crate::check) replaces it.

#[allow(missing_docs, unused_imports, unreachable_pub, rustdoc::all, clippy::all, clippy::unwrap_used)]
#[subxt::subxt(
    runtime_metadata_path = "metadata/subtensor.scale",
    derive_for_all_types = "Clone, PartialEq, Eq",
    substitute_type(path = "subtensor_runtime_common::NetUid", with = "::core::primitive::u16"),
    substitute_type(path = "subtensor_runtime_common::NetUidStorageIndex", with = "::core::primitive::u16"),
    substitute_type(path = "subtensor_runtime_common::MechId", with = "::core::primitive::u8"),
    substitute_type(
        path = "subtensor_runtime_common::currency::TaoBalance",
        with = "::core::primitive::u64"
    ),
    substitute_type(
        path = "subtensor_runtime_common::currency::AlphaBalance",
        with = "::core::primitive::u64"
    ),
    substitute_type(path = "sp_arithmetic::per_things::PerU16", with = "::core::primitive::u16")
)]
mod generated {}

pub use generated::*;
