//! [`RegistrationPlan`]: a registration, foreseen without sending it.

use base::{Coldkey, Height, Hotkey, Netuid, Rao};

use super::{RegisterError, Registration};
use crate::{Call, Client, Costs, costs::Price};

/// A registration, as it would be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationPlan {
    /// The height of the block that the plan rests on.
    pub block: Height,
    /// The call that would be sent.
    pub call: Call,
    /// The costs of the call, which the coldkey pays.
    pub costs: Costs,
    /// The present registration: if there is one, nothing would be sent.
    pub present: Option<Registration>,
    /// The reason why nothing would be sent, or why the chain would refuse.
    pub obstacle: Option<RegisterError>,
}

impl Client {
    /// Foresees the registration of a hotkey: the call, its costs, and a refusal. Needs no secret, and sends
    /// no transaction. `cap` is the highest price to pay; without one any price is fine. Six or seven
    /// requests.
    pub async fn plan_registration(
        &self,
        netuid: Netuid,
        hotkey: &Hotkey,
        coldkey: &Coldkey,
        cap: Option<Rao>,
    ) -> Result<RegistrationPlan, RegisterError> {
        let head = self.finalized().await?;
        let state = self.standing(head.hash, netuid, hotkey, coldkey).await?;
        let present = match state.uid {
            Some(uid) => {
                let since = self.registered_at(head.hash, netuid, uid).await?;
                Some(Registration::Already { uid, since })
            }
            None => None,
        };
        let call = self.registration_call(netuid, *hotkey, cap.unwrap_or(state.price));
        let price = Price { price: state.price, netuid };
        let costs = self.costs_at(&head, &call, &coldkey.0, Some(price)).await?;
        let obstacle = match present {
            Some(_) => None,
            None => state.check(netuid, coldkey, cap.unwrap_or(Rao(u64::MAX))).err(),
        };
        Ok(RegistrationPlan { block: head.height, call, costs, present, obstacle })
    }
}
