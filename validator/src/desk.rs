//! What the commands read that only look: the run's file, chain and buckets, without data, model or journal lock.

use crate::ValidatorError;
use base::{Hotkey, NeuronId, Window};
use chain::{Client, Options, wallet::KeyPair};
use exchange::{BlockState, ChainReader, FetchLimits, Fetcher};
use node::{Config, NodeError, NodeRole, RunError};
use protocol::{
    announcement::{Record, Vote},
    run_spec::RunSpec,
};
use scoring::score_log::ScoreLog;
use std::{fs, sync::Arc, time::Duration};
use storage::{Floor, Storage};

/// Over so long the rate of a bucket must not drop below the floor.
const FLOOR_OVER: Duration = Duration::from_secs(10);

/// A look at chain and buckets as they are now.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) config: Config,
    pub(crate) spec: RunSpec,
    pub(crate) hotkey: KeyPair,
    pub(crate) chain_reader: ChainReader,
    pub(crate) fetcher: Fetcher,
    /// After the newest finalized block.
    pub(crate) state: Arc<BlockState>,
}

impl Desk {
    /// Connects.
    pub(crate) async fn open(config: Config) -> Result<Self, ValidatorError> {
        let spec = read_spec(&config)?;
        let hotkey = config.wallet.hotkey()?;
        let options = Options {
            genesis: Some(spec.network.genesis),
            block_time: config.chain.block_time,
            ..Options::new(config.chain.endpoints.iter().cloned())
        };
        let client = Client::connect(options).await.map_err(NodeError::from)?;
        let chain_reader = ChainReader::new(client, spec.network.netuid);
        let newest = chain_reader.finalized().await.map_err(NodeError::from)?;
        let state = chain_reader.at(newest).await?;
        let floor = Floor { bytes_per_second: config.fetch.floor, over: FLOOR_OVER };
        let limits = FetchLimits { time: config.fetch.deadline, floor };
        let fetcher = Fetcher::new(Storage::new(config.bucket.policy), limits);
        Ok(Self { config, spec, hotkey, chain_reader, fetcher, state })
    }

    /// Who holds a hotkey.
    pub(crate) fn neuron(&self, hotkey: Hotkey) -> Result<NeuronId, ValidatorError> {
        let netuid = self.chain_reader.netuid();
        let name = self.config.wallet.hotkey.clone();
        let unknown = NodeError::NotRegistered { hotkey, netuid, program: NodeRole::Validator, name };
        Ok(self.state.neuron(&hotkey).ok_or(unknown)?.0)
    }
}

fn read_spec(config: &Config) -> Result<RunSpec, ValidatorError> {
    let path = config.run.clone();
    let text = fs::read_to_string(&path);
    let text = text.map_err(|source| NodeError::from(RunError::File { path: path.clone(), source }))?;
    let spec = RunSpec::parse(&text);
    Ok(spec.map_err(|source| NodeError::from(RunError::Spec { path, source: Box::new(source) }))?)
}

/// The vote on this run that stands in a hotkey's commitment.
pub(crate) fn standing_vote(state: &BlockState, hotkey: &Hotkey, spec: &RunSpec) -> Option<Vote> {
    match state.reading(hotkey)?.record() {
        Some(Record::Vote(vote)) if vote.run == spec.id() => Some(*vote),
        _ => None,
    }
}

/// The newest logs in a validator's bucket, oldest first: at most so many, without a gap. `vote` is the validator's last
/// one, `next` the window that is not decided yet.
pub(crate) async fn published_logs(
    (fetcher, state): (&Fetcher, &BlockState),
    validator: &NeuronId,
    spec: &RunSpec,
    (vote, next): (&Vote, Window),
    most: usize,
) -> Vec<ScoreLog> {
    // Who voted before its first log has none of earlier windows.
    let oldest = if vote.score_log == Default::default() { vote.window.0 } else { 0 };
    let newest = next.0.max(vote.window.0);
    let mut found: Vec<ScoreLog> = Vec::new();
    for window in (oldest..=newest).rev().map(Window) {
        match fetcher.score_log(state, validator, &spec.hash(), window).await {
            Ok(log) => found.push(log),
            Err(error) => {
                tracing::debug!(target: telemetry::target::SCORE, %window, %error, "no log");
                if !found.is_empty() {
                    break;
                }
            }
        }
        if found.len() >= most {
            break;
        }
    }
    found.reverse();
    found
}
