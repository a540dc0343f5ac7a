//! Shows the weights that the newest score log states beside those on chain, for `weights show`.

use crate::{
    ValidatorError,
    commits::{Commits, Committed},
    dry_run::WeightsPlan,
    logs::Logs,
    published::{published_logs, standing_vote},
    weights::OnChain,
};
use base::{Height, NeuronId, Uid, Window};
use chain::WeightsForm;
use exchange::BlockState;
use node::{Config, Network, NodeError, Registration, Run};
use protocol::run_spec::RunSpec;
use scoring::score_log::ScoreLog;
use serde_json::json;
use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};
use storage::Storage;
use telemetry::Shutdown;

/// The weights of a validator: stated and on chain.
#[derive(Debug)]
struct Weights {
    validator: NeuronId,
    uid: Uid,
    log: Option<ScoreLog>,
    on_chain: OnChain,
    commits: Vec<ShownCommit>,
    rows: Vec<Row>,
    plan: Option<WeightsPlan>,
}

/// The options of `weights show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShowOptions {
    /// Whether to print JSON instead of a table.
    pub json: bool,
    /// Whether to show what would be sent now, and what it costs.
    pub dry_run: bool,
}

/// A commit, and its place on the way to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ShownCommit {
    window: Option<Window>,
    block: Height,
    stage: CommitStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommitStage {
    /// It waits for its reveal. The block is known of commits that this node made.
    Committed { reveal: Option<Height> },
    /// The weights on chain are those of the commit.
    Revealed,
    /// The commit is gone, and the chain holds other weights.
    Gone,
}

#[derive(Clone, Debug)]
struct Row {
    uid: Uid,
    hotkey: Option<base::Hotkey>,
    stated: Option<u16>,
    set: Option<u16>,
}

/// Returns the answer of `weights show`, as a table or as JSON.
///
/// # Errors
/// The chain cannot be read, or the hotkey is not registered.
pub async fn show(config: Config, options: ShowOptions) -> Result<String, ValidatorError> {
    let weights = read(&config, options.dry_run).await?;
    Ok(if options.json { weights.as_json() } else { weights.as_table() })
}

async fn read(config: &Config, dry_run: bool) -> Result<Weights, ValidatorError> {
    let spec = Run::read_spec(&config.run).map_err(NodeError::from)?;
    let hotkey = config.wallet.hotkey()?;
    let storage = Storage::new(config.bucket.policy);
    let network = Network::connect(config, &spec, storage, Shutdown::default(), None).await?;
    let state = network.newest().await?;
    let registration = Registration::new(hotkey.hotkey(), &network, config);
    let (validator, uid) = registration.find(&state)?;
    let on_chain = OnChain::read(&network.chain_reader, &hotkey).await.map_err(NodeError::from)?;
    let on_chain = on_chain.ok_or_else(|| registration.missing())?;
    let log = newest_log(config, &spec, &validator, &network, &state).await?;
    let stated = log.as_ref().map(|log| log.stated.weights.clone()).unwrap_or_default();
    let uids: BTreeSet<Uid> =
        stated.keys().copied().chain(on_chain.row.iter().map(|(uid, _)| *uid)).collect();
    let row = |uid: Uid| Row {
        uid,
        hotkey: state.metagraph.neurons.get(usize::from(uid.0)).map(|neuron| neuron.hotkey),
        stated: stated.get(&uid).copied(),
        set: on_chain.row.iter().find(|(other, _)| *other == uid).map(|(_, weight)| *weight),
    };
    let own = Commits::open(&config.node.folder, spec.hash(), validator)?;
    let commits = commits(&on_chain, own.list());
    let rows = uids.into_iter().map(row).collect();
    let plan = if dry_run {
        Some(
            WeightsPlan::read(
                (&network.chain_reader, spec.network.version_key),
                &hotkey,
                &on_chain,
                log.as_ref(),
            )
            .await?,
        )
    } else {
        None
    };
    Ok(Weights { validator, uid, rows, log, on_chain, commits, plan })
}

/// Returns the commits that wait for their reveal, and the newest one that does not.
fn commits(on_chain: &OnChain, own: &[Committed]) -> Vec<ShownCommit> {
    let pending = on_chain.pending.iter().map(|pending| {
        let known = own.iter().find(|committed| committed.commit.hash == pending.hash);
        let reveal = known.map(|committed| committed.commit.reveal);
        let window = known.map(|committed| committed.window);
        ShownCommit { window, block: pending.block, stage: CommitStage::Committed { reveal } }
    });
    let is_pending = |hash: &[u8; 32]| on_chain.pending.iter().any(|pending| pending.hash == *hash);
    let over =
        own.iter().rev().filter(|committed| !is_pending(&committed.commit.hash)).find_map(|committed| {
            let weights = committed.commit.row.iter().copied().collect();
            let stage = if on_chain.has(&weights) { CommitStage::Revealed } else { CommitStage::Gone };
            Some(ShownCommit { window: Some(committed.window), block: committed.block?, stage })
        });
    over.into_iter().chain(pending).collect()
}

impl fmt::Display for ShownCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.window {
            Some(window) => write!(f, "of window {window}: ")?,
            None => f.write_str("of another program: ")?,
        }
        write!(f, "committed in block {}, ", self.block)?;
        match self.stage {
            CommitStage::Committed { reveal: Some(reveal) } => write!(f, "reveals at block {reveal}"),
            CommitStage::Committed { reveal: None } => f.write_str("not revealed yet"),
            CommitStage::Revealed => f.write_str("revealed"),
            CommitStage::Gone => f.write_str("not on chain any more: replaced, or dropped by the chain"),
        }
    }
}

impl ShownCommit {
    fn as_json(&self) -> serde_json::Value {
        let (stage, reveal) = match self.stage {
            CommitStage::Committed { reveal } => ("committed", reveal),
            CommitStage::Revealed => ("revealed", None),
            CommitStage::Gone => ("gone", None),
        };
        json!({ "window": self.window, "block": self.block, "stage": stage, "reveals_at_block": reveal })
    }
}

/// Returns the newest log: from the journal, else from the bucket.
async fn newest_log(
    config: &Config,
    spec: &RunSpec,
    validator: &NeuronId,
    network: &Network,
    state: &BlockState,
) -> Result<Option<ScoreLog>, ValidatorError> {
    let folder = &config.node.folder;
    let run = spec.hash();
    if folder.exists() {
        let logs = Logs::open(folder, run, *validator)?;
        if let Some(closed) = logs.newest() {
            return Ok(Some(closed.log.clone()));
        }
    }
    let Some(vote) = standing_vote(state, &validator.hotkey, run.id()) else { return Ok(None) };
    let at = (&vote, Window(vote.window.0.saturating_add(1)));
    Ok(published_logs((&network.fetcher, state), validator, &run, at, 1).await.pop())
}

impl Weights {
    fn as_table(&self) -> String {
        let mut text = String::new();
        let line = |text: &mut String, name: &str, value: String| {
            // One name is longer than the column.
            writeln!(text, "{name:17} {value}").expect("a string takes all that is written");
        };
        line(&mut text, "validator", format!("{} (uid {})", self.validator.hotkey, self.uid));
        let log = self.log.as_ref();
        let window = log.map(|log| format!("of window {}, head {}", log.header.window, log.head()));
        line(&mut text, "newest score log", window.unwrap_or("none".to_owned()));
        let form = &self.on_chain.standing.form;
        let verb = if *form == WeightsForm::Plain { "set" } else { "last committed" };
        let set = self.on_chain.set.map(|block| format!("{verb} in block {block}"));
        line(&mut text, "on chain", set.unwrap_or("never set".to_owned()));
        for commit in &self.commits {
            line(&mut text, "commit", commit.to_string());
        }
        let next = self.on_chain.standing.schedule.next().map(|block| format!("block {block}"));
        line(&mut text, "next epoch", next.unwrap_or("none".to_owned()));
        for (name, value) in self.plan.iter().flat_map(WeightsPlan::rows) {
            line(&mut text, name, value);
        }
        let number = |number: Option<u16>| number.map_or("-".to_owned(), |number| number.to_string());
        writeln!(text, "\n{:>5}  {:>6}  {:>8}  hotkey", "uid", "to set", "on chain")
            .expect("a string takes all that is written");
        for row in &self.rows {
            let hotkey = row.hotkey.map(|hotkey| hotkey.to_string()).unwrap_or_default();
            let (stated, set) = (number(row.stated), number(row.set));
            writeln!(text, "{:>5}  {stated:>6}  {set:>8}  {hotkey}", row.uid)
                .expect("a string takes all that is written");
        }
        text.trim_end().to_owned()
    }

    fn as_json(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::as_json).collect();
        let log = self
            .log
            .as_ref()
            .map(|log| json!({ "window": log.header.window, "head": log.head(), "state": log.header.state }));
        json!({
            "validator": self.validator.hotkey.to_string(),
            "uid": self.uid,
            "log": log,
            "set_in_block": self.on_chain.set,
            "commits": self.commits.iter().map(ShownCommit::as_json).collect::<Vec<_>>(),
            "next_epoch": self.on_chain.standing.schedule.next(),
            "block": self.on_chain.height(),
            "weights": rows,
            "dry_run": self.plan.as_ref().map(WeightsPlan::as_json),
        })
        .to_string()
    }
}

impl Row {
    fn as_json(&self) -> serde_json::Value {
        json!({
            "uid": self.uid,
            "hotkey": self.hotkey.map(|hotkey| hotkey.to_string()),
            "to_set": self.stated,
            "on_chain": self.set,
        })
    }
}
