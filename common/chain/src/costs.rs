//! [`Costs`]: the costs of a call, foreseen without sending it.

use base::{BlockHash, Netuid, Rao};
use chain_metadata::{api, items::Kind};
use parity_scale_codec::{Compact, Decode as _, DecodeAll as _, Encode as _};
use subxt::{
    SubstrateConfig,
    tx::Signer,
    utils::{AccountId32, H256, MultiSignature},
};

use crate::{
    Block, Call, Client, TransactionError,
    calls::Terms,
    error::{ReadError, RequestError},
    runtime::{Runtime, explain},
};

/// The costs of a call at the present state of the chain. The next block may change all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The price of the call itself, with the part that is locked. 0 for calls without a price.
    pub price: Rao,
    /// The part of the price that is not burned, but locked as collateral of the hotkey. `None` if the
    /// runtime has no collateral.
    pub collateral: Option<Rao>,
    /// The fee of the transaction. `None` if the runtime does not tell fees.
    pub fee: Option<Rao>,
    /// The balance below which an account is removed. `None` if the runtime does not tell.
    pub existential_deposit: Option<Rao>,
    /// The free balance of the account that pays, before the call.
    pub balance: Rao,
}

impl Costs {
    /// Returns the balance after the call. `None` if the fee is unknown, or the balance is too low.
    #[must_use]
    pub fn balance_after(&self) -> Option<Rao> {
        let cost = self.price.0.checked_add(self.fee?.0)?;
        self.balance.0.checked_sub(cost).map(Rao)
    }

    /// Returns whether the account is removed, or cannot pay. Counts an unknown fee as 0.
    #[must_use]
    pub fn are_too_high(&self) -> bool {
        let fee = self.fee.unwrap_or_default();
        let left = self.price.0.checked_add(fee.0).and_then(|cost| self.balance.0.checked_sub(cost));
        left.is_none_or(|left| left < self.existential_deposit.unwrap_or_default().0)
    }
}

/// The part of a registration's price that is locked as collateral, on one subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LockShare(u16);

impl LockShare {
    /// Returns the locked part of a price. Source: `get_collateral_requirement_tao` of the chain's pallet, by
    /// PyPI `bittensor` 11.3.0 (`intents/registration.py`).
    fn of(self, price: Rao) -> Rao {
        let locked = u128::from(price.0) * u128::from(self.0) / u128::from(u16::MAX);
        Rao(u64::try_from(locked).expect("a part of a price is not above the price"))
    }
}

/// The price of a call and the subnet that locks a part of it.
#[derive(Clone, Copy)]
pub(crate) struct Price {
    pub(crate) price: Rao,
    pub(crate) netuid: Netuid,
}

/// Signs for an account without its key. No node accepts the transaction, but it has the right size.
struct Unsigned([u8; 32]);

impl Signer<SubstrateConfig> for Unsigned {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.0)
    }

    fn sign(&self, _: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519([1; 64])
    }
}

impl Client {
    /// Foresees the costs of a call without a price, for the account that pays it. Sends no transaction. Five
    /// requests.
    pub async fn costs(&self, call: &Call, payer: &[u8; 32]) -> Result<Costs, TransactionError> {
        let head = self.finalized().await?;
        self.costs_at(&head, call, payer, None).await
    }

    /// Foresees the costs of a call after a block. Two requests.
    pub(crate) async fn costs_at(
        &self,
        head: &Block,
        call: &Call,
        payer: &[u8; 32],
        price: Option<Price>,
    ) -> Result<Costs, TransactionError> {
        let (slots, values) = self
            .at(head.hash)
            .read(|batch| {
                let account = batch.add(api::storage().system().account(), (AccountId32(*payer),))?;
                let share = price
                    .and_then(|of| batch.add_unlisted("SubtensorModule", "CollateralLockShare", of.netuid));
                Ok((account, share))
            })
            .await?;
        let (account, share) = (values.get(slots.0)?, slots.1);
        let share = share.map(|slot| lock_share(values.raw(slot), head.hash)).transpose()?;
        let place = (head.height, head.hash);
        let terms = Terms { nonce: account.nonce.into(), era: self.options().valid_era(0), anchor: place };
        let bytes = call.sign(&values.runtime, &Unsigned(*payer), terms)?;
        let price = price.map_or(Rao(0), |of| of.price);
        Ok(Costs {
            price,
            collateral: share.map(|share| share.of(price)),
            fee: self.fee(head.hash, &bytes).await?,
            existential_deposit: existential_deposit(&values.runtime),
            balance: Rao(account.data.free),
        })
    }

    /// Asks the runtime for the fee of a transaction. Returns `None` if it cannot tell.
    async fn fee(&self, at: BlockHash, transaction: &[u8]) -> Result<Option<Rao>, ReadError> {
        const CALL: &str = "TransactionPaymentApi_query_info";
        let length = u32::try_from(transaction.len()).unwrap_or(u32::MAX);
        let arguments = &[transaction, &length.encode()].concat();
        let at = Some(H256(at.0));
        let answer = self
            .connection()
            .read(CALL, |node| async move { node.state_call(CALL, Some(arguments), at).await })
            .await;
        match answer {
            Ok(bytes) => Ok(Some(partial_fee(&bytes).map_err(|error| RequestError::Unintelligible {
                method: CALL,
                reason: error.to_string(),
            })?)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(explain(error, at)),
        }
    }
}

/// Reads a `RuntimeDispatchInfo`: the weight in two numbers, the class, and the fee.
fn partial_fee(bytes: &[u8]) -> Result<Rao, parity_scale_codec::Error> {
    type Info = ((Compact<u64>, Compact<u64>), u8, u64);
    Info::decode_all(&mut &*bytes).map(|(_, _, fee)| Rao(fee))
}

/// Reads the value of `CollateralLockShare`, a `u16` that is 0 where the chain has none.
fn lock_share(bytes: Option<&[u8]>, at: BlockHash) -> Result<LockShare, ReadError> {
    let share = bytes.map_or(Ok(0), |mut bytes| u16::decode_all(&mut bytes));
    share.map(LockShare).map_err(|error| ReadError::Decode {
        item: "SubtensorModule.CollateralLockShare".into(),
        at,
        reason: error.to_string(),
    })
}

fn existential_deposit(runtime: &Runtime) -> Option<Rao> {
    const DEPOSIT: (&str, &str) = ("Balances", "ExistentialDeposit");
    runtime.require(Kind::Constant, DEPOSIT.0, DEPOSIT.1).ok()?;
    let constant = runtime.metadata.pallet_by_name(DEPOSIT.0)?.constant_by_name(DEPOSIT.1)?;
    u64::decode(&mut constant.value()).ok().map(Rao)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn costs() -> Costs {
        Costs {
            price: Rao(600),
            collateral: None,
            fee: Some(Rao(100)),
            existential_deposit: Some(Rao(500)),
            balance: Rao(1_200),
        }
    }

    #[test]
    fn the_balance_afterwards_is_less_the_price_and_the_fee() {
        assert_eq!(costs().balance_after(), Some(Rao(500)));
        assert!(!costs().are_too_high());
        let poorer = Costs { balance: Rao(1_199), ..costs() };
        assert_eq!((poorer.balance_after(), poorer.are_too_high()), (Some(Rao(499)), true));
        let poor = Costs { balance: Rao(699), ..costs() };
        assert_eq!((poor.balance_after(), poor.are_too_high()), (None, true));
        let unknown = Costs { fee: None, existential_deposit: None, balance: Rao(600), ..costs() };
        assert_eq!((unknown.balance_after(), unknown.are_too_high()), (None, false));
        let huge = Costs { price: Rao(u64::MAX), ..costs() };
        assert_eq!((huge.balance_after(), huge.are_too_high()), (None, true));
    }

    #[test]
    fn a_share_of_the_price_is_locked() {
        for (share, locked) in [(0, 0), (32_768, 500_007_629), (62_258, 949_996_185), (65_535, 1_000_000_000)]
        {
            assert_eq!(LockShare(share).of(Rao(1_000_000_000)), Rao(locked), "{share}");
        }
        assert_eq!(LockShare(u16::MAX).of(Rao(u64::MAX)), Rao(u64::MAX));
        let at = BlockHash([7; 32]);
        assert_eq!(lock_share(None, at), Ok(LockShare(0)));
        assert_eq!(lock_share(Some(&[0, 128]), at), Ok(LockShare(32_768)));
        assert!(lock_share(Some(&[0, 128, 0]), at).is_err() && lock_share(Some(&[]), at).is_err());
    }

    #[test]
    fn fees_are_read_to_the_last_byte() {
        let info = ((Compact(3_000_000u64), Compact(70_000u64)), 0u8, 137_506u64).encode();
        assert_eq!(partial_fee(&info).unwrap(), Rao(137_506));
        assert!(partial_fee(&info[1..]).is_err() && partial_fee(&[&info[..], &[0]].concat()).is_err());
    }

    #[test]
    fn real_runtimes_tell_the_existential_deposit() {
        for runtime in [golden::runtime_365(), golden::runtime_461()] {
            assert_eq!(existential_deposit(&runtime), Some(Rao(500)));
        }
    }

    #[test]
    fn an_unsigned_transaction_has_the_size_of_a_signed_one() {
        let call = Call::BurnedRegister { netuid: Netuid(3), hotkey: base::Hotkey([7; 32]) };
        let terms = Terms { nonce: 3, era: 64, anchor: (base::Height(66), BlockHash([9; 32])) };
        let alice = crate::wallet::KeyPair::development("//Alice").unwrap();
        let signed = call.sign(&golden::runtime_461(), &alice, terms).unwrap();
        let unsigned = call.sign(&golden::runtime_461(), &Unsigned(alice.public()), terms).unwrap();
        assert_eq!(unsigned.len(), signed.len());
        assert_ne!(unsigned, signed);
    }
}
