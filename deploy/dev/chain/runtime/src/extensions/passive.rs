//! Extensions of the real chain that protect features which this chain lacks. They take their place in
//! the encoding and accept everything.

use crate::runtime::RuntimeCall;
use parity_scale_codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_runtime::{
    impl_tx_ext_default,
    traits::TransactionExtension,
    transaction_validity::{TransactionValidityError, UnknownTransaction},
};

macro_rules! passive {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
        pub struct $name;

        impl TransactionExtension<RuntimeCall> for $name {
            const IDENTIFIER: &'static str = stringify!($name);
            type Implicit = ();
            type Val = ();
            type Pre = ();
            impl_tx_ext_default!(RuntimeCall; weight validate prepare);
        }
    )+};
}

passive! {
    /// Protects the sudo key on the real chain; this chain has no sudo key.
    SudoTransactionExtension;
    /// Protects shielded transactions on the real chain; this chain has no shielded transactions.
    CheckShieldedTxValidity;
    /// Orders drand pulses on the real chain; this chain has no drand pulses.
    DrandPriority;
}

/// Lets a signer bind the metadata that its device displayed. This chain publishes no metadata hash, so
/// only the mode "disabled" can be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct CheckMetadataHash {
    mode: MetadataHashMode,
}

/// Whether a transaction binds the metadata hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum MetadataHashMode {
    /// The transaction does not bind the hash.
    #[default]
    Disabled,
    /// The transaction binds the hash.
    Enabled,
}

impl TransactionExtension<RuntimeCall> for CheckMetadataHash {
    const IDENTIFIER: &'static str = "CheckMetadataHash";
    type Implicit = Option<[u8; 32]>;
    type Val = ();
    type Pre = ();

    fn implicit(&self) -> Result<Self::Implicit, TransactionValidityError> {
        match self.mode {
            MetadataHashMode::Disabled => Ok(None),
            MetadataHashMode::Enabled => Err(UnknownTransaction::CannotLookup.into()),
        }
    }

    impl_tx_ext_default!(RuntimeCall; weight validate prepare);
}
