//! The command `status`: shows a hotkey's state on the subnet.

use crate::{ChainFlags, CommandError, WalletFlags};
use base::{Height, Rao};
use chain::{Block, Client, Hyperparameters, Neuron};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _;

/// Flags of `status`.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    wallet: WalletFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The facts that `status` shows.
struct NeuronStatus {
    block: Block,
    neuron: Neuron,
    neurons: usize,
    rules: Hyperparameters,
    next_epoch: Option<Height>,
    balance: Rao,
}

impl Status {
    pub(crate) async fn run(self, program: &'static str) -> Result<String, CommandError> {
        let hotkey = self.wallet.hotkey_account()?;
        let client = self.chain.connect().await?;
        let netuid = self.chain.netuid;
        let standing = self.standing(&client, hotkey).await?;
        let standing = standing.ok_or(CommandError::NotRegistered { hotkey, netuid, program })?;
        Ok(if self.json { standing.as_json().to_string() } else { standing.as_text() })
    }

    async fn standing(
        &self,
        client: &Client,
        hotkey: base::Hotkey,
    ) -> Result<Option<NeuronStatus>, CommandError> {
        let block = client.finalized().await?;
        let snapshot = client.at(block.hash);
        let metagraph = snapshot.metagraph(self.chain.netuid).await?;
        let Some(neuron) = metagraph.by_hotkey(&hotkey).copied() else { return Ok(None) };
        Ok(Some(NeuronStatus {
            rules: snapshot.hyperparameters(self.chain.netuid).await?,
            next_epoch: snapshot.next_epoch(self.chain.netuid).await?,
            balance: snapshot.balance(&neuron.coldkey).await?,
            neurons: metagraph.neurons.len(),
            block,
            neuron,
        }))
    }
}

impl NeuronStatus {
    /// Returns the block of the hotkey's last weights. The chain counts the registration as an update too.
    fn last_weights(&self) -> Option<Height> {
        let Neuron { last_update, registered, .. } = self.neuron;
        (last_update > registered).then_some(last_update)
    }

    fn as_text(&self) -> String {
        let Self { block, neuron, rules, .. } = self;
        let share = |value: u16| format!("{:.4}", f64::from(value) / f64::from(u16::MAX));
        let ago =
            |height: Height| format!("block {height} ({} ago)", block.height.0.saturating_sub(height.0));
        let last_weights = self.last_weights().map_or("never".into(), ago);
        let next_epoch = self.next_epoch.map_or("never".into(), |height| {
            format!("block {height} (in {})", height.0.saturating_sub(block.height.0))
        });
        let rows = [
            ("block", block.height.to_string()),
            ("hotkey", neuron.hotkey.to_string()),
            ("coldkey", format!("{}, {}", neuron.coldkey, self.balance)),
            ("uid", format!("{} of {} (at most {})", neuron.uid, self.neurons, rules.max_uids)),
            ("registered", ago(neuron.registered)),
            ("stake weight", share(neuron.stake_weight)),
            ("validator permit", if neuron.permit { "yes" } else { "no" }.into()),
            ("incentive", share(neuron.incentive)),
            ("dividends", share(neuron.dividends)),
            ("emission", neuron.emission.to_string().replace("TAO", "alpha an epoch")),
            ("last weights", last_weights),
            ("next epoch", next_epoch),
        ];
        rows.iter().fold(String::new(), |mut text, (name, value)| {
            let line_break = if text.is_empty() { "" } else { "\n" };
            let _ = write!(text, "{line_break}{name:<17} {value}"); // Writing to a String cannot fail.
            text
        })
    }

    fn as_json(&self) -> serde_json::Value {
        let Self { block, neuron, .. } = self;
        json!({
            "block": block.height,
            "block_hash": block.hash,
            "hotkey": neuron.hotkey,
            "coldkey": neuron.coldkey,
            "coldkey_rao": self.balance.0,
            "uid": neuron.uid,
            "registered": neuron.registered,
            "stake_weight": neuron.stake_weight,
            "alpha_rao": neuron.alpha.0,
            "permit": neuron.permit,
            "active": neuron.active,
            "incentive": neuron.incentive,
            "dividends": neuron.dividends,
            "emission_rao": neuron.emission.0,
            "last_weights": self.last_weights(),
            "next_epoch": self.next_epoch,
        })
    }
}
