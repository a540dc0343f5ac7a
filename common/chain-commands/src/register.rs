//! The command `register`: registers the hotkey on the subnet.

use crate::{ChainFlags, CommandError, WalletFlags};
use base::Rao;
use chain::Registration;
use clap::Args;
use serde_json::json;

/// Flags of `register`.
#[derive(Debug, Args)]
#[command(
    after_help = "The password of an encrypted coldkey is read from MUSTER_COLDKEY_PASSWORD, or asked for in a terminal."
)]
pub struct Register {
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    wallet: WalletFlags,
    /// Pay at most this price, in TAO, like 0.5; the transaction fee comes on top.
    #[arg(long, value_name = "TAO")]
    max_price: Rao,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Register {
    pub(crate) async fn run(self) -> Result<String, CommandError> {
        let hotkey = self.wallet.hotkey_account()?;
        let coldkey = self.wallet.coldkey()?;
        let client = self.chain.connect().await?;
        let netuid = self.chain.netuid;
        let registration = client.register(netuid, &hotkey, &coldkey, self.max_price).await?;
        if self.json {
            return Ok(as_json(&registration).to_string());
        }
        Ok(match registration {
            Registration::New { uid, paid, height, .. } => {
                format!(
                    "hotkey {hotkey} is uid {uid} of subnet {netuid} since block {height}; it cost {paid}"
                )
            }
            Registration::Already { uid, since } => {
                format!(
                    "hotkey {hotkey} was registered already: uid {uid} of subnet {netuid} since block {since}; nothing was paid"
                )
            }
        })
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
