//! The command `status`: shows a hotkey's state on the subnet.

use crate::{ChainFlags, CommandError, WalletFlags, costs::lines};
use base::{BlockHash, Height, Hotkey, Netuid, Rao};
use chain::{Client, Network, NeuronStatus, error::ReadError};
use clap::Args;
use serde_json::json;

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
struct Shown {
    genesis: BlockHash,
    hotkey: Hotkey,
    status: NeuronStatus,
}

impl Status {
    pub(crate) async fn run(self, program: &'static str) -> Result<String, CommandError> {
        let hotkey = self.wallet.hotkey_account()?;
        let client = self.chain.connect().await?;
        let netuid = self.chain.netuid;
        let shown = Shown::read(&client, netuid, hotkey).await?;
        let shown = shown.ok_or(CommandError::NotRegistered { hotkey, netuid, program })?;
        Ok(if self.json { shown.as_json().to_string() } else { shown.as_text() })
    }
}

/// Returns the text of a value that the runtime may lack.
fn known<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "unknown: the runtime does not tell".to_owned(), show)
}

impl Shown {
    /// Reads the newest finalized block. Three requests. Returns `None` if the hotkey is not registered.
    async fn read(client: &Client, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Self>, ReadError> {
        let head = client.finalized_hash().await?;
        let status = client.at(head).neuron_status(netuid, &hotkey).await?;
        Ok(status.map(|status| Self { genesis: client.genesis(), hotkey, status }))
    }

    /// Returns the block of the hotkey's last weights; the inner `None` if it has never set any. The chain
    /// counts the registration as an update too.
    fn last_weights(&self) -> Option<Option<Height>> {
        let (last, registered) = (self.status.last_update?, self.status.registered?);
        Some(Some(last).filter(|last| *last > registered))
    }

    fn as_text(&self) -> String {
        let Self { genesis, hotkey, status } = self;
        let block = &status.block;
        let share = |value: u16| format!("{:.4}", f64::from(value) / f64::from(u16::MAX));
        let ago =
            |height: Height| format!("block {height} ({} ago)", block.height.0.saturating_sub(height.0));
        let coming =
            |height: Height| format!("block {height} (in {})", height.0.saturating_sub(block.height.0));
        let or_never = |height: Option<Height>, show: &dyn Fn(Height) -> String| {
            height.map_or_else(|| "never".to_owned(), show)
        };
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let of = status.neurons.map_or_else(String::new, |neurons| format!(" of {neurons}"));
        let most = status.max_neurons.map_or_else(String::new, |most| format!(" (at most {most})"));
        let alpha = |emission: Rao| emission.to_string().replace("TAO", "alpha an epoch");
        let chain = Network::of(*genesis).map_or_else(
            || format!("none of Bittensor's public networks (genesis {genesis})"),
            |network| network.to_string(),
        );
        lines(&[
            ("chain", chain),
            ("block", block.height.to_string()),
            ("hotkey", hotkey.to_string()),
            ("coldkey", format!("{}, {}", status.coldkey, known(status.balance, |rao| rao.to_string()))),
            ("uid", format!("{}{of}{most}", status.uid)),
            ("registered", known(status.registered, ago)),
            ("stake weight", known(status.stake_weight, share)),
            ("validator permit", known(status.permit, yes)),
            ("incentive", known(status.incentive, share)),
            ("dividends", known(status.dividends, share)),
            ("emission", known(status.emission, alpha)),
            ("last weights", known(self.last_weights(), |last| or_never(last, &ago))),
            ("next epoch", known(status.next_epoch, |next| or_never(next, &coming))),
        ])
    }

    fn as_json(&self) -> serde_json::Value {
        let Self { genesis, hotkey, status } = self;
        let block = &status.block;
        json!({
            "genesis": genesis,
            "network": Network::of(*genesis).map(|network| network.to_string()),
            "block": block.height,
            "block_hash": block.hash,
            "hotkey": hotkey,
            "coldkey": status.coldkey,
            "coldkey_rao": status.balance.map(|rao| rao.0),
            "uid": status.uid,
            "registered": status.registered,
            "stake_weight": status.stake_weight,
            "alpha_rao": status.alpha.map(|rao| rao.0),
            "permit": status.permit,
            "active": status.active,
            "incentive": status.incentive,
            "dividends": status.dividends,
            "emission_rao": status.emission.map(|rao| rao.0),
            "last_weights": self.last_weights().flatten(),
            "next_epoch": status.next_epoch.flatten(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Coldkey, Uid, UnixMillis};
    use chain::{Block, Options, wallet::KeyPair};
    use devchain::{Config, Devchain, Genesis, Pace};

    fn shown(status: NeuronStatus) -> Shown {
        Shown { genesis: BlockHash([3; 32]), hotkey: Hotkey([7; 32]), status }
    }

    /// Creates the status as of a runtime that tells nothing but the uid and the owner.
    fn bare() -> NeuronStatus {
        let (hash, parent) = (BlockHash([1; 32]), BlockHash([2; 32]));
        NeuronStatus {
            block: Block { height: Height(100), hash, parent, time: UnixMillis(0) },
            uid: Uid(4),
            coldkey: Coldkey([8; 32]),
            balance: None,
            neurons: None,
            max_neurons: None,
            registered: None,
            stake_weight: None,
            alpha: None,
            permit: None,
            active: None,
            incentive: None,
            dividends: None,
            emission: None,
            last_update: None,
            next_epoch: None,
        }
    }

    #[test]
    fn what_the_runtime_lacks_is_unknown_and_no_failure() {
        let shown = shown(bare());
        let text = shown.as_text();
        assert!(text.contains("\nuid               4\n"), "{text}");
        for row in ["stake weight", "incentive", "last weights", "next epoch"] {
            assert!(text.contains(&format!("\n{row:<17} unknown: the runtime does not tell")), "{text}");
        }
        let json = shown.as_json();
        assert_eq!(json["uid"], 4);
        for field in ["coldkey_rao", "alpha_rao", "permit", "last_weights", "next_epoch"] {
            assert!(json[field].is_null(), "{field} in {json}");
        }
    }

    #[tokio::test]
    async fn a_status_takes_at_most_four_requests_and_names_the_chain() {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            pace: Pace::Outside,
            genesis: Some(Genesis::default()),
            ..Config::default()
        };
        let devchain = Devchain::start(config).await.unwrap();
        devchain.handle().new_block(3).await.unwrap();
        let client = Client::connect(Options::new([devchain.url()])).await.unwrap();
        let hotkey = KeyPair::development("//Alice//hotkey").unwrap().hotkey();
        let before = client.metrics().requests.total();
        let shown = Shown::read(&client, Netuid(3), hotkey).await.unwrap().unwrap();
        let requests = client.metrics().requests.total() - before;
        assert!(requests <= 4, "{requests} requests");

        // The same facts, read one by one.
        let block = client.finalized().await.unwrap();
        let at = client.at(block.hash);
        let metagraph = at.metagraph(Netuid(3)).await.unwrap();
        let neuron = metagraph.by_hotkey(&hotkey).unwrap();
        let status = &shown.status;
        assert_eq!((status.block, status.uid, status.alpha), (block, neuron.uid, Some(neuron.alpha)));
        assert_eq!(status.balance, Some(at.balance(&neuron.coldkey).await.unwrap()));
        let rules = at.hyperparameters(Netuid(3)).await.unwrap();
        let next = at.next_epoch(Netuid(3)).await.unwrap();
        assert_eq!((status.max_neurons, status.next_epoch), (Some(rules.max_uids), Some(next)));

        let unknown = format!("none of Bittensor's public networks (genesis {})", client.genesis());
        assert!(shown.as_text().contains(&unknown), "{}", shown.as_text());
        let main = Shown { genesis: Network::Main.genesis(), ..shown };
        assert!(main.as_text().contains("Bittensor's main network (finney)"), "{}", main.as_text());
        let stranger = KeyPair::development("//Stranger").unwrap().hotkey();
        assert!(Shown::read(&client, Netuid(3), stranger).await.unwrap().is_none());
    }

    #[test]
    fn a_registration_is_no_weights() {
        let (registered, last_update) = (Some(Height(90)), Some(Height(90)));
        let new = NeuronStatus { registered, last_update, next_epoch: Some(None), ..bare() };
        let text = shown(new.clone()).as_text();
        assert!(text.contains("registered        block 90 (10 ago)"), "{text}");
        assert!(
            text.contains("last weights      never") && text.ends_with("next epoch        never"),
            "{text}"
        );
        let later =
            NeuronStatus { last_update: Some(Height(95)), next_epoch: Some(Some(Height(120))), ..new };
        let text = shown(later).as_text();
        assert!(text.contains("last weights      block 95 (5 ago)"), "{text}");
        assert!(text.ends_with("next epoch        block 120 (in 20)"), "{text}");
    }
}
