//! The two kinds of accounts: a [`Hotkey`] acts on a subnet, a [`Coldkey`] owns the money.

use std::{fmt, str::FromStr};

use parity_scale_codec::{Decode, Encode, MaxEncodedLen};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::ss58::{self, ParseAddressError};

/// Declares one kind of account: 32 bytes, shown and parsed as an SS58 address, ordered by bytes.
macro_rules! account {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, MaxEncodedLen)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Returns the bytes of the account id: an sr25519 public key.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(account: [u8; 32]) -> Self {
                Self(account)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&ss58::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), ss58::encode(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = ParseAddressError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                ss58::decode(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

account! {
    /// The account that a miner or validator acts with.
    ///
    /// It signs claims, votes and weights, and has a uid on a subnet.
    Hotkey
}

account! {
    /// The account that owns hotkeys and pays for registrations. Its key stays off the machines that train.
    Coldkey
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_addresses_in_json() {
        let alice: Hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".parse().unwrap();
        let json = serde_json::to_string(&alice).unwrap();
        assert_eq!(json, "\"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY\"");
        assert_eq!(serde_json::from_str::<Hotkey>(&json).unwrap(), alice);
        assert!(serde_json::from_str::<Hotkey>("\"5Grw\"").is_err());
        assert_eq!(format!("{alice:?}"), "Hotkey(5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY)");
    }

    #[test]
    fn accounts_are_ordered_by_bytes() {
        let (mut low, mut high) = ([0u8; 32], [0u8; 32]);
        low[31] = 255;
        high[0] = 1;
        assert!(Hotkey(low) < Hotkey(high));
    }
}
