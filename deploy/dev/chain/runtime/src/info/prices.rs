//! The prices of alpha, and the result of a trade. The price is always one TAO.

use crate::{
    runtime::Runtime,
    subtensor::{ALPHA_PRICE, NetworksAdded},
    types::{AlphaBalance, NetUid, TaoBalance},
};
use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

/// The price of a subnet's alpha.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SubnetPrice {
    /// The subnet.
    pub netuid: NetUid,
    /// The price of one alpha, in rao.
    pub price: u64,
}

/// The result of a trade.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SimSwapResult {
    /// The TAO, sold or bought.
    pub tao_amount: TaoBalance,
    /// The alpha, bought or sold.
    pub alpha_amount: AlphaBalance,
    /// The fee in TAO.
    pub tao_fee: TaoBalance,
    /// The fee in alpha.
    pub alpha_fee: AlphaBalance,
    /// The TAO lost because the trade moves the price.
    pub tao_slippage: TaoBalance,
    /// The alpha lost because the trade moves the price.
    pub alpha_slippage: AlphaBalance,
}

impl SimSwapResult {
    /// Returns the result of a trade of `rao` TAO for as much alpha, or the other way round.
    pub(crate) fn of(rao: u64) -> Self {
        Self {
            tao_amount: TaoBalance(rao),
            alpha_amount: AlphaBalance(rao),
            tao_fee: TaoBalance(0),
            alpha_fee: AlphaBalance(0),
            tao_slippage: TaoBalance(0),
            alpha_slippage: AlphaBalance(0),
        }
    }
}

/// Returns the price of a subnet's alpha; 0 if the subnet does not exist.
pub(crate) fn price(netuid: NetUid) -> u64 {
    if NetworksAdded::<Runtime>::get(netuid) { ALPHA_PRICE } else { 0 }
}

/// Returns the prices of all subnets' alpha.
pub(crate) fn all() -> Vec<SubnetPrice> {
    let price = |netuid| SubnetPrice { netuid, price: price(netuid) };
    NetworksAdded::<Runtime>::iter_keys().map(price).collect()
}
