//! The default values of storage items that the primitive `Const…` types cannot express.

use crate::types::{FixedU128, MechId, TaoBalance};
use sp_core::{Get, crypto::AccountId32};

/// The value `true`.
pub struct True;
impl Get<bool> for True {
    fn get() -> bool {
        true
    }
}

/// The all-zero account, which means "no account".
pub struct ZeroAccount;
impl Get<AccountId32> for ZeroAccount {
    fn get() -> AccountId32 {
        AccountId32::new([0; 32])
    }
}

/// An amount in rao.
pub struct Rao<const N: u64>;
impl<const N: u64> Get<TaoBalance> for Rao<N> {
    fn get() -> TaoBalance {
        TaoBalance(N)
    }
}

/// One mechanism, the number of most subnets.
pub struct OneMechanism;
impl Get<MechId> for OneMechanism {
    fn get() -> MechId {
        MechId(1)
    }
}

/// The factor 1.26, by which each registration raises the price.
pub struct BurnBump;
impl Get<FixedU128> for BurnBump {
    fn get() -> FixedU128 {
        FixedU128::from_f64(1.26)
    }
}

/// The mathematical bold tau, in UTF-8.
pub struct Tau;
impl Get<Vec<u8>> for Tau {
    fn get() -> Vec<u8> {
        "\u{1d70f}".into()
    }
}
