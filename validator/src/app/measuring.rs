//! The measurements of a validator: the loss on held-out data, and the effect of updates on losses.

use super::{Validator, carried::Event, others::Others};
use crate::{
    ValidatorError,
    fetched_window::{FetchedWindow, Measured},
    gauntlet::{GauntletError, Improved, Unassigned, changes_nothing, share},
    overlaps::Fingerprints,
};
use base::{BlockHash, Height, NeuronId, Window};
use bytes::Bytes;
use codec::submission::Submission;
use engine::Batch;
use node::NodeEvent;
use protocol::assignment::{AssignmentError, Assignments};
use scoring::{
    gauntlet::{Draw, Evaluation, Turn},
    uniqueness::{Baselines, Overlap},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};
use telemetry::target::{SCORE, WINDOW};

/// The reason why this validator could not evaluate an update. None of these is the miner's fault.
#[derive(Debug, thiserror::Error)]
enum NotEvaluated {
    /// The submission could not be downloaded.
    #[error("cannot download its submission")]
    NoSubmission,
    /// The miner's data is unknown.
    #[error("cannot draw its data")]
    Data(#[from] AssignmentError),
    /// The model could not measure it.
    #[error("cannot measure its update")]
    Measure(#[from] GauntletError),
}

impl Validator {
    /// Measures the loss on held-out data, for logs and events.
    pub(super) async fn held_out(&self, window: Window) -> Result<Event, ValidatorError> {
        let started = Instant::now();
        let (data, asked) = (&self.run.held_out, self.settings.held_out_sequences);
        let sequences: Vec<u64> = (0..asked.min(data.sequences())).collect();
        if sequences.is_empty() {
            return Ok(Event::HeldOut);
        }
        let loss = self.gauntlet.loss(data.batch(&sequences)?).await?;
        self.metrics.held_out_loss.set(loss);
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(target: WINDOW, %window, loss, "held-out data");
        self.node.observability.events.emit(NodeEvent::HeldOut { window, loss, seconds });
        Ok(Event::HeldOut)
    }

    /// Runs the Gauntlet within its time budget, at most until block `until` is final.
    pub(super) async fn measure(
        &self,
        window: Window,
        fetched: &FetchedWindow,
        until: Height,
    ) -> Result<Event, ValidatorError> {
        let started = Instant::now();
        match self.try_to_measure(fetched, until).await {
            Ok(mut measured) => {
                measured.seconds = started.elapsed().as_secs_f64();
                tracing::info!(target: SCORE, %window, evaluated = measured.evaluations.len(), seconds = measured.seconds, "the Gauntlet has run");
                self.metrics.evaluate_seconds.observe(measured.seconds);
                self.metrics.evaluations.add(measured.evaluations.len() as u64);
                let (miners, seconds) = (measured.evaluations.len(), measured.seconds);
                self.node.observability.events.emit(NodeEvent::Measured { window, miners, seconds });
                Ok(Event::Measured(measured.into()))
            }
            Err(error) if error.is_pruned() => {
                tracing::warn!(target: SCORE, %window, error = %base::ErrorChain(&error), "the window can no longer be evaluated");
                Ok(Event::Missed)
            }
            Err(error) => Err(error),
        }
    }

    async fn try_to_measure(
        &self,
        fetched: &FetchedWindow,
        until: Height,
    ) -> Result<Measured, ValidatorError> {
        let network = &self.node.network;
        let seeded = network.at(fetched.heights.seed).await?;
        let (client, netuid) = (network.chain_reader.client(), network.chain_reader.netuid());
        let rules = network.ask(async || Ok(client.at(seeded.hash).hyperparameters(netuid).await?)).await?;
        let mut measured = Measured {
            unassigned_before: 0.0, // Any number, as long as there are no evaluations.
            baselines: Baselines::default(),
            evaluations: BTreeMap::new(),
            faults: BTreeMap::new(),
            empty: BTreeSet::new(),
            seconds: 0.0,
            seeded,
            rules,
        };
        let mut fingerprints = Fingerprints::new(measured.seeded.hash, &self.run.layout);
        tokio::select! {
            biased;
            all = self.evaluate_all(fetched, &mut measured, &mut fingerprints) => all?,
            passed = network.wait_for(until) => {
                passed?;
                let window = fetched.heights.window;
                tracing::warn!(target: SCORE, %window, block = %until, "evaluations end, so that the outer step is made in time");
            }
        }
        fetched.steps.free();
        let (overlaps, baselines) = fingerprints.compare(self.logs.standings()).await?;
        for (miner, evaluation) in &mut measured.evaluations {
            evaluation.overlap = overlaps.get(&miner.hotkey).copied().unwrap_or_default();
        }
        measured.baselines = baselines;
        Ok(measured)
    }

    /// Evaluates the miners in their order. The future may be dropped at any time.
    async fn evaluate_all(
        &self,
        fetched: &FetchedWindow,
        measured: &mut Measured,
        fingerprints: &mut Fingerprints,
    ) -> Result<(), ValidatorError> {
        let started = Instant::now();
        let (seed, height) = (measured.seeded.hash, measured.seeded.height);
        let draw = Draw { seed, height, immunity_period: measured.rules.immunity_period.into() };
        let (standings, owed) = (self.logs.standings(), fetched.owed());
        let mut queue = self.logs.priority().begin(&draw, &standings, &owed, self.settings.time_budget);
        let mut others = Others::new(&self.node, fetched);
        fingerprints.add_past(&self.past, fetched.heights.window).await?;
        let unassigned = self.unassigned_data(fetched, seed).await?;
        measured.unassigned_before = unassigned.before();
        loop {
            others.fill(queue.upcoming());
            let miner = match queue.next(started.elapsed(), |miner| others.is_ready(miner)) {
                Turn::Over => return Ok(()),
                Turn::Of(miner) => miner,
                Turn::NotReady if others.wait().await => continue,
                Turn::NotReady => return Ok(()),
            };
            if let Some(error) = others.failure(&miner) {
                tracing::info!(target: WINDOW, miner = %miner.hotkey, why = %base::ErrorChain(error), "no valid submission");
                let is_own = error.blames_clock() && self.node.may_be_refused().await;
                match error.fault().filter(|_| !is_own) {
                    Some(fault) => drop(measured.faults.insert(miner, fault)),
                    None => queue.put_off(miner),
                }
                continue;
            }
            let submission = others.submission(&miner);
            if submission.as_ref().is_some_and(changes_nothing) {
                measured.empty.insert(miner);
                continue;
            }
            match self.evaluate(fetched, submission, miner, seed, &unassigned, fingerprints).await? {
                Ok(evaluation) => drop(measured.evaluations.insert(miner, evaluation)),
                Err(error) => {
                    tracing::warn!(target: SCORE, miner = %miner.hotkey, error = %base::ErrorChain(&error), "not evaluated");
                    queue.put_off(miner);
                }
            }
        }
    }

    /// Evaluates a miner's update. Returns the reason if this validator cannot do that.
    async fn evaluate(
        &self,
        fetched: &FetchedWindow,
        submission: Option<Submission<Bytes>>,
        miner: NeuronId,
        seed: BlockHash,
        unassigned: &Unassigned,
        fingerprints: &mut Fingerprints,
    ) -> Result<Result<Evaluation, NotEvaluated>, ValidatorError> {
        let Some(submission) = submission else { return Ok(Err(NotEvaluated::NoSubmission)) };
        let trained = submission.header().samples;
        let count = u64::from(self.run.spec.scoring.assigned_sequences);
        let assignments = self.assignments(fetched.heights.window).await?;
        let sequences = match assignments.of(&miner).and_then(|own| own.samples(seed, trained, count)) {
            Ok(sequences) => sequences,
            Err(error) => return Ok(Err(error.into())),
        };
        let assigned = self.run.training.batch(&sequences)?;
        let evaluated = async {
            fingerprints.add(&submission).await?;
            self.gauntlet.evaluate(&fetched.steps, &submission, assigned, unassigned).await
        };
        let improved = match self.node.network.unless_stopped(evaluated).await? {
            Ok(improved) => improved,
            Err(error) => return Ok(Err(error.into())),
        };
        let Improved { assigned, common, own } = improved;
        let share = share(trained, self.run.spec.train.samples());
        // The overlap is known when all updates were compared.
        Ok(Ok(Evaluation { assigned, common, own, share, overlap: Overlap::default() }))
    }

    /// Returns all unassigned sequences of the window, with their losses before any update.
    async fn unassigned_data(
        &self,
        fetched: &FetchedWindow,
        seed: BlockHash,
    ) -> Result<Unassigned, ValidatorError> {
        let common = self.unassigned(fetched, None).await?;
        let count = self.run.spec.scoring.own_sequences.into();
        let validator = &self.node.identity.neuron.hotkey;
        let sequences =
            self.assignments(fetched.heights.window).await?.unassigned_of(validator, seed, count)?;
        let own = (count > 0).then(|| self.run.training.batch(&sequences)).transpose()?;
        Ok(self.gauntlet.unassigned(common, own).await?)
    }

    /// Computes the assignment of data to miners. The chain reader caches the states of the chain for it.
    async fn assignments(&self, window: Window) -> Result<Assignments, ValidatorError> {
        let (network, run) = (&self.node.network, &self.run);
        let blocks = run.manifest.training_blocks();
        Ok(network.ask(async || network.chain_reader.assignments(&run.spec, window, blocks).await).await?)
    }

    /// Returns the unassigned sequences that are the same for all validators, or the first of them.
    pub(super) async fn unassigned(
        &self,
        fetched: &FetchedWindow,
        first: Option<usize>,
    ) -> Result<Batch, ValidatorError> {
        let seed = self.node.network.hash(fetched.heights.seed).await?;
        let count = u64::from(self.run.spec.scoring.common_sequences);
        let mut sequences = self.assignments(fetched.heights.window).await?.unassigned(seed, count)?;
        sequences.truncate(first.unwrap_or(usize::MAX));
        Ok(self.run.training.batch(&sequences)?)
    }
}
