//! Measures a window again, of this validator or of another one, and compares the losses with its score
//! log bit for bit.
//!
//! The parameters come from a checkpoint or the run's beginning, and from the accepted sets that
//! validators recorded. They are right if they lead to the state that the log names. On the same
//! libtorch, processor and settings the losses are the same to the last bit. The auditor checks whether
//! standings and weights follow from them. Overlaps are not measured again.

use crate::{
    ValidatorError,
    gauntlet::{Gauntlet, Improved, TrialStep, TrialSteps, Unassigned},
};
use base::{Exit, Hotkey, NeuronId, Window, digest::State};
use bytes::Bytes;
use codec::submission::Submission;
use engine::Batch;
use exchange::{BlockState, FetchError};
use node::{Config, Network, NodeError, Offer, Registration, Run, SharedState};
use protocol::{acceptance::Accepted, assignment::Assignments};
use scoring::{
    gauntlet::{Evaluation, Improvements, Outcome},
    score_log::ScoreLog,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::PathBuf,
    sync::Arc,
};
use storage::Storage;
use telemetry::Shutdown;

/// The result of a replay.
#[derive(Clone, Debug, PartialEq)]
pub enum Replayed {
    /// The losses are the same.
    Same {
        /// The window.
        window: Window,
        /// The validator whose log it is.
        validator: Hotkey,
        /// The number of updates that were measured again.
        updates: usize,
    },
    /// An item differs.
    Differs {
        /// The window.
        window: Window,
        /// The validator whose log it is.
        validator: Hotkey,
        /// The first item that differs.
        difference: ReplayDifference,
    },
}

/// The first difference between a log and its replay.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplayDifference {
    /// The accepted sets lead to another state.
    State {
        /// The value in the log.
        stated: State,
        /// The value of the replay.
        replayed: State,
    },
    /// A measurement differs.
    Measurement {
        /// The miner whose update was measured. `None` before any update.
        miner: Option<NeuronId>,
        /// The name of the measurement.
        what: &'static str,
        /// The value in the log.
        stated: f64,
        /// The value of the replay.
        replayed: f64,
    },
}

/// The error of a window that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Chain, run, data, shared state or measurement.
    #[error(transparent)]
    Validator(#[from] ValidatorError),
    /// The log cannot be downloaded.
    #[error(
        "cannot download the score log of window {window} (validators publish it when the votes on the next window \
         are closed and weights that rest on it are on chain)"
    )]
    Log {
        /// The window.
        window: Window,
        /// The cause.
        source: Box<FetchError>,
    },
    /// A submission cannot be downloaded.
    #[error(
        "window {window}: cannot download a submission (validators store submissions for some windows only)"
    )]
    Object {
        /// The window.
        window: Window,
        /// The cause.
        source: Box<FetchError>,
    },
}

impl ReplayError {
    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Validator(error) => error.exit(),
            Self::Log { .. } | Self::Object { .. } => Exit::Unreachable,
        }
    }
}

impl From<NodeError> for ReplayError {
    fn from(error: NodeError) -> Self {
        ValidatorError::from(error).into()
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same { window, validator, updates } => {
                write!(
                    f,
                    "window {window} of {validator}: the losses of {updates} updates are the same, bit for bit"
                )
            }
            Self::Differs { window, validator, difference } => {
                write!(f, "window {window} of {validator}: {difference}")
            }
        }
    }
}

impl fmt::Display for ReplayDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { stated, replayed } => {
                write!(f, "the state at its start: stated is {stated}, replayed {replayed}")
            }
            Self::Measurement { miner: None, what, stated, replayed } => {
                write!(f, "the {what}: stated is {stated:?}, replayed {replayed:?}")
            }
            Self::Measurement { miner: Some(miner), what, stated, replayed } => {
                write!(f, "the {what}, of {miner}: stated is {stated:?}, replayed {replayed:?}")
            }
        }
    }
}

/// Replays a window of a validator; of this one, if none is named.
///
/// # Errors
/// The log, an object or a record cannot be downloaded, or the model fails.
pub async fn replay(config: Config, window: Window, of: Option<Hotkey>) -> Result<Replayed, ReplayError> {
    let spec = Run::read_spec(&config.run).map_err(NodeError::from)?;
    let own = config.wallet.hotkey().map_err(NodeError::from)?;
    let storage = Storage::new(config.bucket.policy);
    let network = Network::connect(&config, &spec, storage, Shutdown::default(), None).await?;
    let state = network.newest().await?;
    let hotkey = of.unwrap_or_else(|| own.hotkey());
    let (validator, _) = Registration::new(hotkey, &network, &config).find(&state)?;
    let run = Arc::new(Run::load(&config).await?);
    let log = network.fetcher.score_log(&state, &validator, &run.hash, window).await;
    let log = log.map_err(|source| ReplayError::Log { window, source: Box::new(source) })?;

    let folder = TemporaryFolder::new();
    let shared = SharedState::start(run, config.node.compute, &folder.0).await?;
    let difference = Replay { network, state, shared }.compare(&log).await?;
    let validator = validator.hotkey;
    Ok(match difference {
        Some(difference) => Replayed::Differs { window, validator, difference },
        None => Replayed::Same { window, validator, updates: evaluated(&log).count() },
    })
}

/// A folder for downloads, deleted at the end.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("muster-replay-{}", std::process::id())))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn evaluated(log: &ScoreLog) -> impl Iterator<Item = (NeuronId, Evaluation)> {
    log.miners.iter().filter_map(|(&miner, line)| match line.outcome {
        Outcome::Evaluated(evaluation) => Some((line.neuron(miner), evaluation)),
        _ => None,
    })
}

struct Replay {
    network: Network,
    /// The state after the newest block at the start.
    state: Arc<BlockState>,
    shared: SharedState,
}

impl Replay {
    /// Returns the first difference, if there is one.
    async fn compare(&mut self, log: &ScoreLog) -> Result<Option<ReplayDifference>, ReplayError> {
        self.load_parameters(log.header.window).await?;
        let stated = log.header.state;
        let replayed = self.shared.state();
        if stated != replayed {
            return Ok(Some(ReplayDifference::State { stated, replayed }));
        }
        if evaluated(log).next().is_none() {
            return Ok(None);
        }
        let mut submissions = BTreeMap::new();
        for (miner, _) in evaluated(log) {
            submissions.insert(miner, self.submission(log, miner).await?);
        }
        Ok(self.measure(log, submissions).await?)
    }

    /// Loads or makes the parameters at the start of a window.
    async fn load_parameters(&mut self, window: Window) -> Result<(), NodeError> {
        if !self.load_checkpoint(window).await? {
            self.shared.initialize().await?;
        }
        while self.shared.window() < window {
            let decision = self.shared.recorded(&self.network, self.shared.window()).await?;
            let clock = self.shared.run().clock;
            let until = clock.objects_wait(&clock.heights(decision.window)?);
            let objects = self.shared.collect(&self.network, &decision, until).await?.objects;
            self.shared.apply(&decision, Arc::new(objects)).await?;
        }
        Ok(())
    }

    /// Loads the newest checkpoint up to a window. Returns whether there is one.
    async fn load_checkpoint(&self, window: Window) -> Result<bool, NodeError> {
        let mut offers = self.shared.offers(&self.network, &self.state).await?;
        offers.retain(|offer| offer.pointer.window <= window);
        offers.sort_by_key(|Offer { pointer, owner, .. }| (Reverse(pointer.window), *owner));
        for offer in &offers {
            if let Some(checkpoint) = self.shared.download(&self.network, &self.state, offer).await?
                && self.shared.load(checkpoint).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Downloads a submission that a log names, from its miner's bucket or from a validator's.
    async fn submission(&self, log: &ScoreLog, miner: NeuronId) -> Result<Submission<Bytes>, ReplayError> {
        let run = self.shared.run();
        let window = log.header.window;
        let object = log.miners.get(&miner.hotkey).map(|line| line.object).unwrap_or_default();
        let accepted = Accepted { id: miner, object };
        let expected = self.shared.expected(miner);
        let validators: BTreeSet<_> = self.state.permitted().into_iter().map(|(id, _)| id).collect();
        // The custodians are among the validators. The order of the attempts does not matter here.
        let fetcher = &self.network.fetcher;
        let fetched =
            fetcher.accepted(&self.state, &accepted, &expected, &run.layout, &[], &validators).await;
        let fetched = fetched.map(|fetched| fetched.submission);
        fetched.map_err(|source| ReplayError::Object { window, source: Box::new(source) })
    }

    /// Measures all losses of the log again. Returns the first one that differs.
    async fn measure(
        &self,
        log: &ScoreLog,
        submissions: BTreeMap<NeuronId, Submission<Bytes>>,
    ) -> Result<Option<ReplayDifference>, ValidatorError> {
        let run = self.shared.run();
        let header = &log.header;
        let spec = &run.spec;
        let progress = self.shared.progress();
        let settings = TrialStep::new(&spec.sparse, &spec.scoring);
        let full = spec.train.full_work(header.window);
        let steps = Arc::new(TrialSteps::new(settings, progress.norms.clone(), full, run.flat.clone()));
        let gauntlet = Gauntlet::new(self.shared.model().clone());
        let blocks = run.manifest.training_blocks();
        let assignments = self.network.chain_reader.assignments(spec, header.window, blocks).await?;
        let unassigned = self.unassigned(log, &assignments, &gauntlet).await?;
        let stated = header.unassigned_before;
        let first =
            differs(None, "mean loss on unassigned data before any update", stated, unassigned.before());
        if first.is_some() {
            return Ok(first);
        }
        for (miner, stated) in evaluated(log) {
            let Some(submission) = submissions.get(&miner) else { continue };
            let assigned = self.assigned(log, &assignments, miner, submission.header().samples)?;
            let replayed = gauntlet.evaluate(&steps, submission, assigned, &unassigned).await?;
            let difference = compare(miner, &stated, &replayed);
            if difference.is_some() {
                return Ok(difference);
            }
        }
        Ok(None)
    }

    /// Returns the unassigned data of the log's validator, with its losses before any update.
    async fn unassigned(
        &self,
        log: &ScoreLog,
        assignments: &Assignments,
        gauntlet: &Gauntlet,
    ) -> Result<Unassigned, ValidatorError> {
        let run = self.shared.run();
        let (seed, scoring) = (log.header.seed, &run.spec.scoring);
        let common = assignments.unassigned(seed, scoring.common_sequences.into())?;
        let count = scoring.own_sequences.into();
        let own = assignments.unassigned_of(&log.header.validator.hotkey, seed, count)?;
        let own = (count > 0).then(|| run.training.batch(&own)).transpose()?;
        Ok(gauntlet.unassigned(run.training.batch(&common)?, own).await?)
    }

    /// Returns the batch of a miner's own data that the log's validator measured on.
    fn assigned(
        &self,
        log: &ScoreLog,
        assignments: &Assignments,
        miner: NeuronId,
        trained: u64,
    ) -> Result<Batch, ValidatorError> {
        let run = self.shared.run();
        let count = u64::from(run.spec.scoring.assigned_sequences);
        let samples = assignments.of(&miner)?.samples(log.header.seed, trained, count)?;
        Ok(run.training.batch(&samples)?)
    }
}

/// Compares the improvements by one update.
fn compare(miner: NeuronId, stated: &Evaluation, replayed: &Improved) -> Option<ReplayDifference> {
    let batches = [
        (["sum of improvements on assigned data", "their squares"], stated.assigned, replayed.assigned),
        (["sum of improvements on common data", "their squares"], stated.common, replayed.common),
        (["sum of improvements on the validator's own data", "their squares"], stated.own, replayed.own),
    ];
    let compare = |(names, stated, replayed): ([&'static str; 2], Improvements, Improvements)| {
        differs(Some(miner), names[0], stated.sum, replayed.sum)
            .or_else(|| differs(Some(miner), names[1], stated.squares, replayed.squares))
    };
    batches.into_iter().find_map(compare)
}

/// Compares two measurements bit for bit.
fn differs(
    miner: Option<NeuronId>,
    what: &'static str,
    stated: f64,
    replayed: f64,
) -> Option<ReplayDifference> {
    let is_same = stated.to_bits() == replayed.to_bits();
    (!is_same).then_some(ReplayDifference::Measurement { miner, what, stated, replayed })
}
