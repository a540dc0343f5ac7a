//! The command `register`: registers the hotkey on the subnet, or shows what that would cost.

use crate::{
    ChainFlags, CommandError, PasswordFlags, WalletFlags,
    costs::{cost_json, cost_rows, lines},
    error::register_exit,
};
use base::{ErrorChain, Exit, Hotkey, Netuid, Rao};
use chain::{Client, Registration, RegistrationPlan};
use clap::Args;
use cli::Answer;
use serde_json::json;

/// Flags of `register`.
#[derive(Debug, Args)]
#[command(
    after_help = "The password of an encrypted coldkey is read from --password-file, from MUSTER_COLDKEY_PASSWORD or \
                  from the variable of Bittensor's tools (BT_PW_ and the path of the key), or asked for in a terminal."
)]
pub struct Register {
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    wallet: WalletFlags,
    #[command(flatten)]
    password: PasswordFlags,
    /// Pay at most this price, in TAO, like 0.5; the transaction fee comes on top.
    #[arg(long, value_name = "TAO", required_unless_present = "dry_run")]
    max_price: Option<Rao>,
    /// Show what would be sent and what it costs, and send nothing; no password is needed.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Register {
    pub(crate) async fn run(self) -> Result<Answer, CommandError> {
        let hotkey = self.wallet.hotkey_account()?;
        match self.max_price {
            Some(cap) if !self.dry_run => self.register(&hotkey, cap).await,
            cap => self.plan(&hotkey, cap).await,
        }
    }

    async fn register(&self, hotkey: &Hotkey, cap: Rao) -> Result<Answer, CommandError> {
        let coldkey = self.wallet.coldkey(&self.password)?;
        let client: Client = self.chain.connect().await?;
        let netuid = self.chain.netuid;
        let registration = client.register(netuid, hotkey, &coldkey, cap).await?;
        let text = if self.json {
            as_json(&registration).to_string()
        } else {
            as_text(&registration, hotkey, netuid)
        };
        Ok(text.into())
    }

    async fn plan(&self, hotkey: &Hotkey, cap: Option<Rao>) -> Result<Answer, CommandError> {
        let coldkey = self.wallet.coldkey_account()?;
        let client = self.chain.connect().await?;
        let plan = client.plan_registration(self.chain.netuid, hotkey, &coldkey, cap).await?;
        let exit = match &plan.obstacle {
            Some(obstacle) => register_exit(obstacle),
            None if plan.present.is_none() && plan.costs.are_too_high() => Exit::NotPermitted,
            None => Exit::Good,
        };
        let text = if self.json {
            plan_as_json(&plan, hotkey, &coldkey, self.chain.netuid).to_string()
        } else {
            plan_as_text(&plan, hotkey, &coldkey, self.chain.netuid)
        };
        Ok(Answer::new(text, exit))
    }
}

fn as_text(registration: &Registration, hotkey: &Hotkey, netuid: Netuid) -> String {
    match registration {
        Registration::New { uid, paid, height, .. } => {
            format!("hotkey {hotkey} is uid {uid} of subnet {netuid} since block {height}; it cost {paid}")
        }
        Registration::Already { uid, since } => {
            format!(
                "hotkey {hotkey} was registered already: uid {uid} of subnet {netuid} since block {since}; nothing was paid"
            )
        }
    }
}

fn as_json(registration: &Registration) -> serde_json::Value {
    match registration {
        Registration::New { uid, paid, height, block } => {
            json!({ "uid": uid, "new": true, "paid_rao": paid.0, "block": height, "block_hash": block })
        }
        Registration::Already { uid, since } => {
            json!({ "uid": uid, "new": false, "paid_rao": 0, "block": since })
        }
    }
}

/// Returns the name of the call, as the chain's metadata writes it.
fn call_name(plan: &RegistrationPlan) -> String {
    let (pallet, name) = plan.call.name();
    format!("{pallet}.{name}")
}

fn plan_as_text(plan: &RegistrationPlan, hotkey: &Hotkey, coldkey: &base::Coldkey, netuid: Netuid) -> String {
    let sent = match (&plan.present, &plan.obstacle) {
        (Some(present), _) => format!("nothing: the hotkey is uid {} already", present.uid()),
        (None, Some(obstacle)) => format!("nothing: {}", ErrorChain(obstacle)),
        (None, None) => call_name(plan),
    };
    let head = [
        ("dry run", format!("nothing was sent; as of block {}", plan.block)),
        ("would send", sent),
        ("subnet", netuid.to_string()),
        ("hotkey", hotkey.to_string()),
        ("coldkey", format!("{coldkey}, which signs and pays")),
    ];
    // A registration that there is costs nothing.
    let costs = if plan.present.is_some() { vec![] } else { cost_rows(&plan.costs) };
    lines(&head.into_iter().chain(costs).collect::<Vec<_>>())
}

fn plan_as_json(
    plan: &RegistrationPlan,
    hotkey: &Hotkey,
    coldkey: &base::Coldkey,
    netuid: Netuid,
) -> serde_json::Value {
    json!({
        "dry_run": true,
        "block": plan.block,
        "netuid": netuid,
        "hotkey": hotkey,
        "coldkey": coldkey,
        "call": call_name(plan),
        "uid": plan.present.as_ref().map(Registration::uid),
        "obstacle": plan.obstacle.as_ref().map(|obstacle| ErrorChain(obstacle).to_string()),
        "costs": plan.present.is_none().then(|| cost_json(&plan.costs)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Coldkey, Height, Uid};
    use chain::{Call, Costs, RegisterError};

    fn plan() -> RegistrationPlan {
        let costs = Costs {
            price: Rao(1_000_000_000),
            collateral: Some(Rao(0)),
            fee: Some(Rao(1_000)),
            existential_deposit: Some(Rao(500)),
            balance: Rao(3_000_000_000),
        };
        let (netuid, hotkey) = (Netuid(3), Hotkey([7; 32]));
        let call = Call::RegisterLimit { netuid, hotkey, limit: Rao(2_000_000_000) };
        RegistrationPlan { block: Height(40), call, costs, present: None, obstacle: None }
    }

    fn shown(plan: &RegistrationPlan) -> (String, serde_json::Value) {
        let (hotkey, coldkey) = (Hotkey([7; 32]), Coldkey([8; 32]));
        let text = plan_as_text(plan, &hotkey, &coldkey, Netuid(3));
        (text, plan_as_json(plan, &hotkey, &coldkey, Netuid(3)))
    }

    #[test]
    fn a_plan_names_the_call_and_its_costs() {
        let (text, value) = shown(&plan());
        assert!(text.starts_with("dry run             nothing was sent; as of block 40\n"), "{text}");
        assert!(text.contains("would send          SubtensorModule.register_limit\n"), "{text}");
        assert!(text.ends_with("balance after       1.999999 TAO"), "{text}");
        assert_eq!((&value["call"], &value["uid"]), (&"SubtensorModule.register_limit".into(), &json!(null)));
        assert_eq!(value["costs"]["price_rao"], 1_000_000_000u64);
    }

    #[test]
    fn a_plan_tells_why_nothing_would_be_sent() {
        let present = Some(Registration::Already { uid: Uid(5), since: Height(2) });
        let (text, value) = shown(&RegistrationPlan { present, ..plan() });
        assert!(text.contains("nothing: the hotkey is uid 5 already") && value["uid"] == 5, "{text} {value}");
        assert!(!text.contains("balance") && value["costs"].is_null(), "{text} {value}");
        let (price, cap) = (Rao(2), Rao(1));
        let obstacle = Some(RegisterError::PriceAboveCap { netuid: Netuid(3), price, cap });
        let (text, value) = shown(&RegistrationPlan { obstacle, ..plan() });
        assert!(text.contains("would send          nothing: registration on subnet 3 costs"), "{text}");
        assert!(value["obstacle"].as_str().unwrap().contains("above the cap"), "{value}");
    }
}
