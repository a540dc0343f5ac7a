//! The command `scores`: shows every neuron of the subnet, as in the newest finalized block.

use crate::{
    AuditError,
    table::{Side, Table, line_width, short},
};
use base::{Hotkey, Netuid, Uid};
use chain::{Block, Client, Metagraph, Neuron, Row, SubnetView};
use chain_commands::ChainFlags;
use clap::Args;
use protocol::announcement::{self, Bucket};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Flags of `scores`.
#[derive(Debug, Args)]
pub struct ScoresFlags {
    #[command(flatten)]
    chain: ChainFlags,
    /// Show full addresses, buckets and the weights of all validators, however wide.
    #[arg(long)]
    wide: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ScoresFlags {
    /// Reads the newest finalized block and returns the text to print.
    ///
    /// # Errors
    /// The chain does not answer, or has no such subnet.
    pub async fn run(&self) -> Result<String, AuditError> {
        let client = self.chain.connect().await?;
        let scores = Scores::read(&client, self.chain.netuid).await?;
        Ok(if self.json { scores.to_json().to_string() } else { scores.to_text(self.wide, line_width()) })
    }
}

/// The neurons of a subnet in the chain's state after a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The block.
    pub block: Block,
    /// The neurons, in the order of uids.
    pub metagraph: Metagraph,
    /// The buckets that the neurons announce.
    pub buckets: BTreeMap<Hotkey, Bucket>,
    /// The weights that each validator has set, by its uid. Validators without weights are absent.
    pub weights: BTreeMap<Uid, Row>,
}

impl Scores {
    /// Reads the newest finalized block. Four requests for up to 1023 neurons.
    ///
    /// # Errors
    /// The chain does not answer, or has no such subnet.
    pub async fn read(client: &Client, netuid: Netuid) -> Result<Self, AuditError> {
        let head = client.finalized_hash().await?;
        let SubnetView { block, metagraph, commitments, weights } =
            client.at(head).subnet_view(netuid).await?;
        let announced = commitments.valid.iter().filter_map(|(hotkey, commitment)| {
            Some((*hotkey, announcement::read(&commitment.fields).announcement?.bucket))
        });
        let buckets = announced.collect();
        let uids = metagraph.neurons.iter().map(|neuron| neuron.uid);
        let weights = uids.zip(weights).filter(|(_, row)| !row.is_empty()).collect();
        Ok(Self { block, metagraph, buckets, weights })
    }

    /// Formats the table. It has as many columns of weights as fit into `width` characters, or all of
    /// them with `wide`.
    #[must_use]
    pub fn to_text(&self, wide: bool, width: usize) -> String {
        let mut table = self.basic(wide);
        let mut left_out = self.weights.len();
        for (validator, row) in &self.weights {
            let mut wider = table.clone();
            wider.column(format!("by {validator}"), Side::Right, self.shares(row));
            if !wide && wider.width() > width {
                break;
            }
            (table, left_out) = (wider, left_out - 1);
        }
        if wide {
            table.column("bucket", Side::Left, self.neurons().map(|neuron| self.bucket(neuron)));
        }
        let (netuid, block) = (self.metagraph.netuid, &self.block);
        let count = self.metagraph.neurons.len();
        let mut lines = vec![format!("subnet {netuid} after block {}: {count} neurons", block.height)];
        lines.extend(table.lines());
        if left_out > 0 {
            lines.push(format!("weights of {left_out} more validators: use --wide"));
        }
        lines.join("\n")
    }

    fn basic(&self, wide: bool) -> Table {
        let mut table = Table::default();
        let share = |value: u16| format!("{:.4}", f64::from(value) / f64::from(u16::MAX));
        let hotkey = |neuron: &Neuron| if wide { neuron.hotkey.to_string() } else { short(neuron.hotkey) };
        table.column("uid", Side::Right, self.neurons().map(|neuron| neuron.uid.to_string()));
        table.column("hotkey", Side::Left, self.neurons().map(hotkey));
        table.column("stake", Side::Right, self.neurons().map(|neuron| share(neuron.stake_weight)));
        let permit = |neuron: &Neuron| if neuron.permit { "yes" } else { "no" };
        table.column("permit", Side::Left, self.neurons().map(permit));
        table.column("incentive", Side::Right, self.neurons().map(|neuron| share(neuron.incentive)));
        table.column("dividends", Side::Right, self.neurons().map(|neuron| share(neuron.dividends)));
        let emission = |neuron: &Neuron| neuron.emission.to_string().replace(" TAO", "");
        table.column("emission", Side::Right, self.neurons().map(emission));
        table.column("updated", Side::Right, self.neurons().map(|neuron| self.updated(neuron)));
        table
    }

    fn neurons(&self) -> impl Iterator<Item = &Neuron> {
        self.metagraph.neurons.iter()
    }

    /// Returns how many blocks ago a neuron set weights. The chain counts a registration as an update too.
    fn updated(&self, neuron: &Neuron) -> String {
        if neuron.last_update > neuron.registered {
            format!("{} ago", self.block.height.0.saturating_sub(neuron.last_update.0))
        } else {
            "never".to_owned()
        }
    }

    /// Returns the share of a validator's weights that each neuron has.
    fn shares(&self, row: &Row) -> Vec<String> {
        let sum: u64 = row.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let weight = |uid: Uid| row.iter().find(|(other, _)| *other == uid).map_or(0, |(_, weight)| *weight);
        let share = |uid: Uid| match weight(uid) {
            0 => "-".to_owned(),
            weight => format!("{:.4}", f64::from(weight) / sum as f64),
        };
        self.neurons().map(|neuron| share(neuron.uid)).collect()
    }

    /// Returns the address of a neuron's bucket, without its keys.
    fn bucket(&self, neuron: &Neuron) -> String {
        let bucket = self.buckets.get(&neuron.hotkey);
        bucket.map_or("-".to_owned(), |bucket| format!("{}/{}", bucket.endpoint(), bucket.name()))
    }

    /// Returns all values as JSON, in the chain's units.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "block": self.block.height,
            "block_hash": self.block.hash,
            "netuid": self.metagraph.netuid,
            "neurons": self.neurons().map(|neuron| self.neuron(neuron)).collect::<Vec<_>>(),
        })
    }

    fn neuron(&self, neuron: &Neuron) -> Value {
        let bucket = self.buckets.get(&neuron.hotkey).map(|bucket| {
            json!({"endpoint": bucket.endpoint().to_string(), "region": bucket.region(), "name": bucket.name()})
        });
        let weights = self.weights.get(&neuron.uid).map(|row| {
            let weights = row.iter().map(|(uid, weight)| (uid.to_string(), *weight));
            weights.collect::<BTreeMap<_, _>>()
        });
        json!({
            "uid": neuron.uid,
            "hotkey": neuron.hotkey,
            "coldkey": neuron.coldkey,
            "registered": neuron.registered,
            "stake_weight": neuron.stake_weight,
            "alpha_rao": neuron.alpha.0,
            "permit": neuron.permit,
            "active": neuron.active,
            "incentive": neuron.incentive,
            "consensus": neuron.consensus,
            "dividends": neuron.dividends,
            "validator_trust": neuron.validator_trust,
            "emission_rao": neuron.emission.0,
            "last_update": neuron.last_update,
            "last_weights": (neuron.last_update > neuron.registered).then_some(neuron.last_update),
            "bucket": bucket,
            "weights": weights,
        })
    }
}
