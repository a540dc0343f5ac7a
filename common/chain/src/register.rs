//! Registration: a uid on a subnet for a hotkey, paid by its coldkey.

mod plan;

pub use plan::RegistrationPlan;

use base::{BlockHash, Coldkey, Height, Hotkey, Netuid, Rao, Uid};
use chain_metadata::{api, items::Kind};
use subxt::utils::AccountId32;

use crate::{
    Call, ChainEvent, Client, Included, TransactionError, error::ReadError, refusal::Refusal, wallet::KeyPair,
};

/// The result of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The hotkey has been registered.
    New {
        /// The new uid.
        uid: Uid,
        /// The price that the coldkey paid, without the transaction's fee.
        paid: Rao,
        /// The height of the block.
        height: Height,
        /// The hash of the block.
        block: BlockHash,
    },
    /// The hotkey was registered already: nothing was sent, nothing was paid.
    Already {
        /// The uid.
        uid: Uid,
        /// The block of the registration.
        since: Height,
    },
}

impl Registration {
    /// Returns the hotkey's uid.
    pub fn uid(&self) -> Uid {
        match self {
            Self::New { uid, .. } | Self::Already { uid, .. } => *uid,
        }
    }
}

/// An error of registering a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The price is above the cap. Nothing was sent.
    #[error(
        "registration on subnet {netuid} costs {price}, above the cap of {cap}: raise the cap, or wait until the price decays"
    )]
    PriceAboveCap {
        /// The subnet.
        netuid: Netuid,
        /// The price now.
        price: Rao,
        /// The user's cap.
        cap: Rao,
    },
    /// The coldkey cannot pay. Nothing was sent.
    #[error("coldkey {coldkey} has {balance}, and registration costs {price}: send TAO to it")]
    BalanceTooLow {
        /// The coldkey that pays.
        coldkey: Coldkey,
        /// Its balance.
        balance: Rao,
        /// The price now.
        price: Rao,
    },
    /// The chain would refuse the registration. Nothing was sent.
    #[error("{0}")]
    Foreseen(Refusal),
    /// The transaction did not succeed.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The hotkey is registered, but the result of the transaction cannot be read.
    #[error("transaction {} registered the hotkey, but its result cannot be read: {reason}", .included.hash)]
    Unread {
        /// The transaction.
        included: Box<Included>,
        /// The missing part of the result.
        reason: String,
    },
}

impl RegisterError {
    /// Returns whether the same registration may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::PriceAboveCap { .. } => true,
            Self::BalanceTooLow { .. } | Self::Unread { .. } => false,
            Self::Foreseen(refusal) => refusal.is_retryable(),
            Self::Transaction(error) => error.is_retryable(),
        }
    }
}

impl From<ReadError> for RegisterError {
    fn from(error: ReadError) -> Self {
        Self::Transaction(TransactionError::Unsent(error))
    }
}

/// The chain's state that decides on a registration, after some block.
struct RegistrationState {
    exists: bool,
    open: bool,
    price: Rao,
    balance: Rao,
    owner: Option<Coldkey>,
    uid: Option<Uid>,
}

impl Client {
    /// Registers a hotkey on a subnet, for a price of at most `cap`. The coldkey signs and pays.
    ///
    /// If the runtime has `register_limit`, the chain itself enforces the cap. Otherwise the price is
    /// checked just before `burned_register` is sent, and it may rise before the call takes effect.
    pub async fn register(
        &self,
        netuid: Netuid,
        hotkey: &Hotkey,
        coldkey: &KeyPair,
        cap: Rao,
    ) -> Result<Registration, RegisterError> {
        let head = self.finalized_hash().await?;
        let standing = self.standing(head, netuid, hotkey, &coldkey.coldkey()).await?;
        if let Some(uid) = standing.uid {
            return Ok(Registration::Already { uid, since: self.registered_at(head, netuid, uid).await? });
        }
        standing.check(netuid, &coldkey.coldkey(), cap)?;
        let call = self.registration_call(netuid, *hotkey, cap);
        match self.submit(&call, coldkey).await {
            Ok(included) => new_registration(included, netuid, hotkey, &coldkey.coldkey()),
            Err(error) if error.refusal() == Some(&Refusal::AlreadyRegistered) => {
                self.registered_meanwhile(netuid, hotkey, error).await
            }
            Err(error) => Err(error.into()),
        }
    }

    fn registration_call(&self, netuid: Netuid, hotkey: Hotkey, cap: Rao) -> Call {
        if self.runtimes().newest().has(Kind::Call, "SubtensorModule", "register_limit") {
            Call::RegisterLimit { netuid, hotkey, limit: cap }
        } else {
            Call::BurnedRegister { netuid, hotkey }
        }
    }

    async fn standing(
        &self,
        at: BlockHash,
        netuid: Netuid,
        hotkey: &Hotkey,
        coldkey: &Coldkey,
    ) -> Result<RegistrationState, ReadError> {
        let subtensor = || api::storage().subtensor_module();
        let hotkey = || AccountId32(hotkey.0);
        let (slots, values) = self
            .at(at)
            .read(|batch| {
                Ok((
                    batch.add(subtensor().networks_added(), (netuid.0,))?,
                    batch.add(subtensor().network_registration_allowed(), (netuid.0,))?,
                    batch.add(subtensor().burn(), (netuid.0,))?,
                    batch.add(api::storage().system().account(), (AccountId32(coldkey.0),))?,
                    batch.add(subtensor().owner(), (hotkey(),))?,
                    batch.add(subtensor().uids(), (netuid.0, hotkey()))?,
                ))
            })
            .await?;
        let (exists, open, price, account, owner, uid) = slots;
        Ok(RegistrationState {
            exists: values.get(exists)?,
            open: values.get(open)?,
            price: Rao(values.get(price)?),
            balance: Rao(values.get(account)?.data.free),
            owner: values.find(owner)?.map(|owner| Coldkey(owner.0)),
            uid: values.find(uid)?.map(Uid),
        })
    }

    async fn registered_at(&self, at: BlockHash, netuid: Netuid, uid: Uid) -> Result<Height, ReadError> {
        let keys = (netuid.0, uid.0);
        let registered = api::storage().subtensor_module().block_at_registration();
        let (slot, values) = self.at(at).read(|batch| batch.add(registered.clone(), keys)).await?;
        values.get(slot).map(Height)
    }

    /// Returns the registration by another transaction for the same hotkey, which came first.
    async fn registered_meanwhile(
        &self,
        netuid: Netuid,
        hotkey: &Hotkey,
        error: TransactionError,
    ) -> Result<Registration, RegisterError> {
        let head = self.finalized_hash().await?;
        let Some(uid) = self.at(head).uid(netuid, hotkey).await? else { return Err(error.into()) };
        Ok(Registration::Already { uid, since: self.registered_at(head, netuid, uid).await? })
    }
}

impl RegistrationState {
    /// Checks for refusals beforehand, in the chain's order.
    fn check(&self, netuid: Netuid, coldkey: &Coldkey, cap: Rao) -> Result<(), RegisterError> {
        let foreseen = |refusal| Err(RegisterError::Foreseen(refusal));
        if netuid == Netuid(0) {
            return foreseen(Refusal::RootRegistration);
        }
        if !self.exists {
            return foreseen(Refusal::NoSuchSubnet);
        }
        if !self.open {
            return foreseen(Refusal::RegistrationClosed);
        }
        if self.owner.is_some_and(|owner| owner != *coldkey) {
            return foreseen(Refusal::ForeignHotkey);
        }
        if self.price > cap {
            return Err(RegisterError::PriceAboveCap { netuid, price: self.price, cap });
        }
        if self.price > self.balance {
            let (balance, price) = (self.balance, self.price);
            return Err(RegisterError::BalanceTooLow { coldkey: *coldkey, balance, price });
        }
        Ok(())
    }
}

fn new_registration(
    included: Included,
    netuid: Netuid,
    hotkey: &Hotkey,
    coldkey: &Coldkey,
) -> Result<Registration, RegisterError> {
    let registered = included.events.iter().find_map(|event| {
        let (on, uid, who) = event.decode::<(u16, u16, [u8; 32])>("SubtensorModule", "NeuronRegistered")?;
        (on == netuid.0 && who == hotkey.0).then_some(Uid(uid))
    });
    match registered {
        Some(uid) => {
            let paid = paid(&included.events, coldkey);
            Ok(Registration::New { uid, paid, height: included.height, block: included.block })
        }
        None => {
            let reason = "there is no event SubtensorModule.NeuronRegistered for this hotkey".into();
            Err(RegisterError::Unread { included: Box::new(included), reason })
        }
    }
}

/// Returns the amount that left an account in a transaction, without the fee: withdrawals, burns and
/// transfers, less the amounts that came back.
fn paid(events: &[ChainEvent], account: &Coldkey) -> Rao {
    let account = account.0;
    let (mut left, mut returned) = (0u64, 0u64);
    for event in events {
        for name in ["Withdraw", "Burned"] {
            if let Some((who, amount)) = event.decode::<([u8; 32], u64)>("Balances", name) {
                left = left.saturating_add(if who == account { amount } else { 0 });
            }
        }
        for name in ["Deposit", "Minted"] {
            if let Some((who, amount)) = event.decode::<([u8; 32], u64)>("Balances", name) {
                returned = returned.saturating_add(if who == account { amount } else { 0 });
            }
        }
        if let Some((from, to, amount)) = event.decode::<([u8; 32], [u8; 32], u64)>("Balances", "Transfer") {
            left = left.saturating_add(if from == account { amount } else { 0 });
            returned = returned.saturating_add(if to == account { amount } else { 0 });
        }
        let fee = event.decode::<([u8; 32], u64, u64)>("TransactionPayment", "TransactionFeePaid");
        if let Some((_, fee, _)) = fee.filter(|(who, _, _)| *who == account) {
            returned = returned.saturating_add(fee);
        }
    }
    Rao(left.saturating_sub(returned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parity_scale_codec::Encode;

    const ALICE: Coldkey = Coldkey([1; 32]);
    const BOB: Coldkey = Coldkey([2; 32]);

    fn event(pallet: &str, name: &str, fields: impl Encode) -> ChainEvent {
        ChainEvent { pallet: pallet.into(), name: name.into(), fields: fields.encode() }
    }

    #[test]
    fn the_price_is_what_left_the_account_beyond_the_fee() {
        let events = [
            event("Balances", "Withdraw", (ALICE, 150u64)),
            event("Balances", "Withdraw", (ALICE, 1_000u64)),
            event("Balances", "Withdraw", (BOB, 77u64)),
            event("Balances", "Deposit", (ALICE, 50u64)),
            event("TransactionPayment", "TransactionFeePaid", (ALICE, 100u64, 0u64)),
        ];
        assert_eq!(paid(&events, &ALICE), Rao(1_000));
        let events = [event("Balances", "Transfer", (ALICE, BOB, 1_000u64))];
        assert_eq!(paid(&events, &ALICE), Rao(1_000));
        assert_eq!(paid(&events, &BOB), Rao(0));
    }

    fn standing() -> RegistrationState {
        let (price, balance) = (Rao(10), Rao(100));
        RegistrationState { exists: true, open: true, price, balance, owner: None, uid: None }
    }

    #[test]
    fn what_the_chain_would_refuse_is_told_before_it_costs() {
        let check = |standing: RegistrationState| standing.check(Netuid(3), &ALICE, Rao(20));
        assert_eq!(check(standing()), Ok(()));
        assert_eq!(check(RegistrationState { owner: Some(ALICE), ..standing() }), Ok(()));
        let foreseen = |refusal| Err(RegisterError::Foreseen(refusal));
        assert_eq!(check(RegistrationState { exists: false, ..standing() }), foreseen(Refusal::NoSuchSubnet));
        assert_eq!(
            check(RegistrationState { open: false, ..standing() }),
            foreseen(Refusal::RegistrationClosed)
        );
        assert_eq!(
            check(RegistrationState { owner: Some(BOB), ..standing() }),
            foreseen(Refusal::ForeignHotkey)
        );
        assert_eq!(standing().check(Netuid(0), &ALICE, Rao(20)), foreseen(Refusal::RootRegistration));
        let dear = check(RegistrationState { price: Rao(21), ..standing() }).unwrap_err();
        assert!(matches!(dear, RegisterError::PriceAboveCap { price: Rao(21), cap: Rao(20), .. }));
        assert!(dear.is_retryable());
        let poor = check(RegistrationState { balance: Rao(9), ..standing() }).unwrap_err();
        assert!(matches!(poor, RegisterError::BalanceTooLow { .. }) && !poor.is_retryable());
    }
}
