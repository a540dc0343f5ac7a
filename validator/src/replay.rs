//! `replay`: measures a window again, a validator's own or another's, and compares bit for bit.
//!
//! The parameters are made anew, from a checkpoint or the run's beginning, by the accepted sets that validators recorded;
//! that they are right shows when they lead to the state that the log names. On the same libtorch, processor and settings
//! the losses are the same to the last bit. Whether ratings and weights follow from them is the auditor's business.

use crate::{
    ValidatorError,
    desk::Desk,
    gauntlet::{CandidateSet, Gauntlet, Step},
};
use base::{
    BlockHash, Exit, Hotkey, NeuronId, Window,
    digest::{ObjectHash, RunSeed, State},
};
use bytes::Bytes;
use codec::submission::Submission;
use engine::{Batch, EngineError, Handle};
use exchange::FetchError;
use node::{Config, NodeError, Run};
use protocol::{
    acceptance::Accepted,
    checkpoint::Pointer,
    history::{HistoryError, WindowRecord},
    progress::Progress,
};
use scoring::{
    gauntlet::{Evaluation, Outcome},
    score_log::ScoreLog,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    sync::Arc,
};

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub enum Replayed {
    /// The same losses.
    Same {
        /// The window.
        window: Window,
        /// Whose log it is.
        validator: Hotkey,
        /// Updates that were measured again.
        updates: usize,
    },
    /// Something else.
    Differs {
        /// The window.
        window: Window,
        /// Whose log it is.
        validator: Hotkey,
        /// The first item that differs.
        difference: Difference,
    },
}

/// Where a log and its replay part.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// The accepted sets lead to another state.
    State {
        /// The log's.
        stated: State,
        /// The one replayed.
        replayed: State,
    },
    /// A loss is another.
    Loss {
        /// Whose update it is of; none: before any.
        miner: Option<NeuronId>,
        /// Which loss.
        what: &'static str,
        /// The log's.
        stated: f64,
        /// The one replayed.
        replayed: f64,
    },
}

/// Why a window cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// What every command needs.
    #[error(transparent)]
    Validator(#[from] ValidatorError),
    /// The log is not to be had.
    #[error("the score log of window {window}: {source}")]
    Log {
        /// The window.
        window: Window,
        /// Why.
        source: Box<FetchError>,
    },
    /// Nobody has the record of a window before.
    #[error("no validator has the record of window {0}, so the parameters after it cannot be made")]
    Record(Window),
    /// An object is not to be had.
    #[error("window {window}: {source}; submissions are kept for some windows only")]
    Object {
        /// The window.
        window: Window,
        /// Why.
        source: Box<FetchError>,
    },
    /// Records that do not follow one another.
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl ReplayError {
    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Validator(error) => error.exit(),
            Self::Log { .. } | Self::Record(_) | Self::Object { .. } => Exit::Unreachable,
            Self::History(_) => Exit::Failed,
        }
    }
}

impl From<EngineError> for ReplayError {
    fn from(error: EngineError) -> Self {
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

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { stated, replayed } => {
                write!(f, "the state at its start: stated is {stated}, replayed {replayed}")
            }
            Self::Loss { miner: None, what, stated, replayed } => {
                write!(f, "the loss {what}: stated is {stated:?}, replayed {replayed:?}")
            }
            Self::Loss { miner: Some(miner), what, stated, replayed } => {
                write!(f, "the loss {what} of {miner}: stated is {stated:?}, replayed {replayed:?}")
            }
        }
    }
}

/// Replays a window of a validator; of this one, if none is named.
///
/// # Errors
/// Something that it takes is not to be had.
pub async fn replay(config: Config, window: Window, of: Option<Hotkey>) -> Result<Replayed, ReplayError> {
    let desk = Desk::open(config).await?;
    let validator = desk.neuron(of.unwrap_or_else(|| desk.hotkey.hotkey()))?;
    let run = Arc::new(open_run(&desk).await?);
    let log = desk.fetcher.score_log(&desk.state, &validator, &run.hash, window).await;
    let log = log.map_err(|source| ReplayError::Log { window, source: Box::new(source) })?;
    let model = Handle::start(run.spec.model, desk.config.node.compute).await?;
    let replay = Replay { desk, run, model };
    let difference = replay.compare(&log).await?;
    let validator = validator.hotkey;
    Ok(match difference {
        Some(difference) => Replayed::Differs { window, validator, difference },
        None => Replayed::Same { window, validator, updates: evaluated(&log).count() },
    })
}

async fn open_run(desk: &Desk) -> Result<Run, ReplayError> {
    let config = &desk.config;
    let (spec, data, verified) =
        (config.run.clone(), config.data.clone(), config.node.folder.join("verified"));
    let opened = tokio::task::spawn_blocking(move || Run::open(&spec, &data, &verified)).await;
    let opened = opened.map_err(|_| ValidatorError::Stopped)?;
    Ok(opened.map_err(|error| ValidatorError::from(NodeError::from(error)))?)
}

fn evaluated(log: &ScoreLog) -> impl Iterator<Item = (NeuronId, Evaluation)> {
    log.miners.iter().filter_map(|(&miner, line)| match line.outcome {
        Outcome::Evaluated(evaluation) => Some((miner, evaluation)),
        _ => None,
    })
}

struct Replay {
    desk: Desk,
    run: Arc<Run>,
    model: Handle,
}

impl Replay {
    /// The first difference, if there is one.
    async fn compare(&self, log: &ScoreLog) -> Result<Option<Difference>, ReplayError> {
        let window = log.header.window;
        let progress = self.parameters(window).await?;
        let (stated, replayed) = (log.header.state, progress.state());
        if stated != replayed {
            return Ok(Some(Difference::State { stated, replayed }));
        }
        if evaluated(log).next().is_none() {
            return Ok(None);
        }
        let mut submissions = BTreeMap::new();
        for (miner, _) in evaluated(log) {
            submissions.insert(miner, self.submission(log, miner).await?);
        }
        // Who was cut, or lost its registration meanwhile, may have been valid and had a say in clipping; the log does
        // not tell.
        let mut all = submissions.clone();
        for (&miner, line) in &log.miners {
            let unknown = matches!(line.outcome, Outcome::Skipped | Outcome::Gone);
            if unknown && line.object != ObjectHash::default() {
                all.extend(self.submission(log, miner).await.ok().map(|submission| (miner, submission)));
            }
        }
        let doubtful = all.len() > submissions.len();
        match self.measure(log, &progress, all).await? {
            Some(_) if doubtful => self.measure(log, &progress, submissions).await,
            difference => Ok(difference),
        }
    }

    /// Measures all that the log has, and compares.
    async fn measure(
        &self,
        log: &ScoreLog,
        progress: &Progress,
        submissions: BTreeMap<NeuronId, Submission<Bytes>>,
    ) -> Result<Option<Difference>, ReplayError> {
        let (spec, header) = (&self.run.spec, &log.header);
        let step = Step::new(&spec.sparse, &spec.scoring);
        let candidate_set = CandidateSet::new(submissions, progress.medians.as_ref(), step);
        let candidate_set = Arc::new(candidate_set.map_err(ValidatorError::from)?);
        let gauntlet = Gauntlet::new(self.model.clone());
        let blocks = self.run.manifest.training_blocks();
        let assignments = self.desk.chain_reader.assignments(spec, header.window, blocks).await;
        let assignments = assignments.map_err(ValidatorError::from)?;
        let read = |sequences: Vec<u64>| self.batch(&sequences);
        let count = u64::from(spec.scoring.unassigned_sequences);
        let unassigned = read(assignments.unassigned(header.seed, count).map_err(ValidatorError::from)?)?;
        let before = gauntlet.loss(unassigned.clone()).await.map_err(ValidatorError::from)?;
        let differs = |miner, what, stated: f64, replayed: f64| {
            (stated.to_bits() != replayed.to_bits()).then_some(Difference::Loss {
                miner,
                what,
                stated,
                replayed,
            })
        };
        let first = differs(None, "on unassigned data before any update", header.unassigned_before, before);
        if first.is_some() {
            return Ok(first);
        }
        for (miner, stated) in evaluated(log) {
            let trained = candidate_set.get(&miner).map_or(0, |submission| submission.header().samples);
            let count = u64::from(spec.scoring.assigned_sequences);
            let own = assignments.of(&miner).and_then(|own| own.samples(header.seed, trained, count));
            let assigned = read(own.map_err(ValidatorError::from)?)?;
            let measured = gauntlet.evaluate(&candidate_set, miner, assigned, unassigned.clone()).await;
            let measured = measured.map_err(ValidatorError::from)?;
            let miner = Some(miner);
            let difference =
                differs(miner, "before, on assigned data,", stated.assigned.before, measured.assigned.before)
                    .or_else(|| {
                        differs(
                            miner,
                            "after, on assigned data,",
                            stated.assigned.after,
                            measured.assigned.after,
                        )
                    })
                    .or_else(|| {
                        differs(
                            miner,
                            "after, on unassigned data,",
                            stated.unassigned_after,
                            measured.unassigned_after,
                        )
                    });
            if difference.is_some() {
                return Ok(difference);
            }
        }
        Ok(None)
    }

    fn batch(&self, sequences: &[u64]) -> Result<Batch, ReplayError> {
        Ok(self.run.training.batch(sequences).map_err(ValidatorError::from)?)
    }

    /// A submission that a log speaks of, from its miner's bucket or from a validator's.
    async fn submission(&self, log: &ScoreLog, miner: NeuronId) -> Result<Submission<Bytes>, ReplayError> {
        let object = log.miners.get(&miner).map(|line| line.object).unwrap_or_default();
        self.object(log.header.window, Accepted { id: miner, object }, log.header.state).await
    }

    async fn object(
        &self,
        window: Window,
        accepted: Accepted,
        base: State,
    ) -> Result<Submission<Bytes>, ReplayError> {
        let desk = &self.desk;
        let expected = self.run.expected(accepted.id, window, base);
        let validators: BTreeSet<_> = desk.state.permitted().into_iter().map(|(id, _)| id).collect();
        // The custodians are among the validators; in which order they are asked does not matter.
        let seed = BlockHash::default();
        let fetched = desk
            .fetcher
            .accepted(&desk.state, seed, &accepted, &expected, &self.run.layout, &validators)
            .await;
        fetched.map_err(|source| ReplayError::Object { window, source: Box::new(source) })
    }

    /// Makes the parameters at the start of a window.
    async fn parameters(&self, window: Window) -> Result<Progress, ReplayError> {
        let mut progress = match self.checkpoint(window).await? {
            Some(progress) => progress,
            None => self.initial().await?,
        };
        while progress.window() < window {
            progress = self.step(progress).await?;
        }
        Ok(progress)
    }

    async fn initial(&self) -> Result<Progress, ReplayError> {
        let RunSeed(seed) = self.run.spec.initial.seed;
        self.model.run(move |model| model.initialize(&seed)).await?;
        Ok(Progress::initial(&self.run.spec))
    }

    /// The newest checkpoint up to a window.
    async fn checkpoint(&self, window: Window) -> Result<Option<Progress>, ReplayError> {
        let desk = &self.desk;
        let mut offers: Vec<(Pointer, NeuronId)> = Vec::new();
        for (validator, _) in desk.state.permitted() {
            let pointer = desk.fetcher.checkpoint_pointer(&desk.state, &validator, &self.run.hash).await;
            offers.extend(pointer.ok().filter(|pointer| pointer.window <= window).map(|p| (p, validator)));
        }
        offers.sort_by_key(|(pointer, owner)| (std::cmp::Reverse(pointer.window), *owner));
        for (pointer, owner) in offers {
            if let Some(progress) = self.load(&pointer, &owner).await? {
                return Ok(Some(progress));
            }
        }
        Ok(None)
    }

    async fn load(&self, pointer: &Pointer, owner: &NeuronId) -> Result<Option<Progress>, ReplayError> {
        let desk = &self.desk;
        let folder = std::env::temp_dir().join(format!("muster-replay-{}", std::process::id()));
        let fetched = desk.fetcher.checkpoint(&desk.state, owner, pointer, &self.run.flat, &folder).await;
        let progress = match fetched {
            Ok((_, progress)) => progress,
            Err(error) => {
                tracing::warn!(target: telemetry::target::NODE, %error, "the checkpoint is not to be had");
                return Ok(None);
            }
        };
        let (from, root) = (folder.clone(), progress.root);
        let loaded = self.model.run(move |model| {
            model.load(&from)?;
            Ok(model.state_root()? == root)
        });
        let loaded = loaded.await;
        let _ = fs::remove_dir_all(&folder); // It was fetched for this alone.
        Ok(loaded?.then_some(progress))
    }

    /// Applies the window that comes next.
    async fn step(&self, progress: Progress) -> Result<Progress, ReplayError> {
        let (window, base) = (progress.window(), progress.state());
        let record = self.record(window).await?;
        let mut objects = Vec::with_capacity(record.accepted.len());
        for accepted in &record.accepted {
            objects.push(self.object(window, *accepted, base).await?);
        }
        let Progress { run, mut history, root, medians } = progress;
        history.push_record(record)?;
        if objects.is_empty() {
            return Ok(Progress { run, history, root, medians });
        }
        let step = self.model.run(move |model| model.apply_outer_step(&objects, medians.as_ref()));
        let (medians, root) = step.await?;
        Ok(Progress { run, history, root, medians: Some(medians) })
    }

    /// What was decided on a window, as most of the validators' stake recorded it.
    async fn record(&self, window: Window) -> Result<WindowRecord, ReplayError> {
        let desk = &self.desk;
        let mut behind: Vec<(WindowRecord, u64)> = Vec::new();
        for (validator, stake) in desk.state.permitted() {
            let Ok(record) = desk.fetcher.record(&desk.state, &validator, &self.run.hash, window).await
            else {
                continue;
            };
            match behind.iter_mut().find(|(known, _)| *known == record) {
                Some((_, sum)) => *sum += u64::from(stake),
                None => behind.push((record, stake.into())),
            }
        }
        let most = behind.into_iter().max_by_key(|(_, stake)| *stake);
        most.map(|(record, _)| record).ok_or(ReplayError::Record(window))
    }
}
