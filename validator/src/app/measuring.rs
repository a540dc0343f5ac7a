//! What a validator measures: losses on held-out data, and what updates do to them.

use super::Validator;
use crate::{
    ValidatorError,
    fetched_window::{FetchedWindow, Measured},
    round::Done,
};
use base::{BlockHash, NeuronId, Window};
use engine::Batch;
use node::NodeEvent;
use protocol::assignment::Assignments;
use scoring::gauntlet::{Draw, Evaluation};
use std::{collections::BTreeMap, time::Instant};
use telemetry::target::{SCORE, WINDOW};

impl Validator {
    /// The loss on held-out data, for people.
    pub(super) async fn held_out(&mut self, window: Window) -> Result<Done, ValidatorError> {
        let started = Instant::now();
        let (data, asked) = (&self.node.run.held_out, self.node.config.validator.held_out_sequences);
        let sequences: Vec<u64> = (0..asked.min(data.sequences())).collect();
        if sequences.is_empty() {
            return Ok(Done::HeldOut);
        }
        let loss = self.gauntlet.loss(data.batch(&sequences)?).await?;
        self.metrics.held_out_loss.set(loss);
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(target: WINDOW, %window, loss, "held-out data");
        self.node.events.emit(NodeEvent::HeldOut { window, loss, seconds });
        Ok(Done::HeldOut)
    }

    /// Runs the Gauntlet, as far as the time goes.
    pub(super) async fn measure(&mut self, window: Window) -> Result<Done, ValidatorError> {
        match self.try_to_measure().await {
            Ok(measured) => {
                tracing::info!(target: SCORE, %window, evaluated = measured.evaluations.len(), seconds = measured.seconds, "the Gauntlet is over");
                self.metrics.evaluate_seconds.observe(measured.seconds);
                self.metrics.evaluations.add(measured.evaluations.len() as u64);
                self.measured = Some(measured);
                Ok(Done::Measured)
            }
            Err(error) if error.is_pruned() => {
                tracing::warn!(target: SCORE, %window, %error, "the window cannot be evaluated any more");
                Ok(Done::Missed)
            }
            Err(error) => Err(error),
        }
    }

    async fn try_to_measure(&self) -> Result<Measured, ValidatorError> {
        let started = Instant::now();
        let fetched = self.fetched.as_ref().ok_or(ValidatorError::NoWindow)?;
        let node = &self.node;
        let seeded = node.ask(async || node.chain_reader.at(fetched.heights.seed).await).await?;
        let (client, netuid) = (node.chain_reader.client(), node.chain_reader.netuid());
        let rules = node.ask(async || Ok(client.at(seeded.hash).hyperparameters(netuid).await?)).await?;
        let draw =
            Draw { seed: seeded.hash, height: seeded.height, immunity_period: rules.immunity_period.into() };
        let owed = fetched.candidate_set.miners().copied().chain(fetched.cut_off()).collect();
        let mut turns = self.logs.turns().begin(&draw, &owed, node.config.validator.time_budget);

        let unassigned = self.unassigned(fetched, None).await?;
        let unassigned_before = self.gauntlet.loss(unassigned.clone()).await?;
        let mut evaluations = BTreeMap::new();
        while let Some(miner) = turns.next(started.elapsed()) {
            match self.evaluate(fetched, miner, draw.seed, &unassigned).await? {
                Ok(evaluation) => drop(evaluations.insert(miner, evaluation)),
                Err(why) => {
                    tracing::warn!(target: SCORE, miner = %miner.hotkey, why, "not evaluated");
                    turns.put_off(miner);
                }
            }
        }
        fetched.candidate_set.free_steps();
        let seconds = started.elapsed().as_secs_f64();
        Ok(Measured { seeded, rules, unassigned_before, evaluations, seconds })
    }

    /// What a miner's update does, or why this validator cannot say.
    async fn evaluate(
        &self,
        fetched: &FetchedWindow,
        miner: NeuronId,
        seed: BlockHash,
        unassigned: &Batch,
    ) -> Result<Result<Evaluation, String>, ValidatorError> {
        let node = &self.node;
        let Some(submission) = fetched.candidate_set.get(&miner) else {
            return Ok(Err("its submission could not be had".to_owned()));
        };
        let (trained, count) =
            (submission.header().samples, u64::from(node.run.spec.scoring.assigned_sequences));
        let assignments = self.assignments(fetched.heights.window).await?;
        let sequences = match assignments.of(&miner).and_then(|own| own.samples(seed, trained, count)) {
            Ok(sequences) => sequences,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let assigned = node.run.training.batch(&sequences)?;
        let evaluated = self.gauntlet.evaluate(&fetched.candidate_set, miner, assigned, unassigned.clone());
        Ok(node.unless_stopped(evaluated).await?.map_err(|error| error.to_string()))
    }

    /// Who trains on what. The chain's states that it follows from are remembered by the chain reader.
    async fn assignments(&self, window: Window) -> Result<Assignments, ValidatorError> {
        let (node, blocks) = (&self.node, self.node.run.manifest.training_blocks());
        Ok(node.ask(async || node.chain_reader.assignments(&node.run.spec, window, blocks).await).await?)
    }

    /// The sequences that are assigned to nobody, or the first of them.
    pub(super) async fn unassigned(
        &self,
        fetched: &FetchedWindow,
        first: Option<usize>,
    ) -> Result<Batch, ValidatorError> {
        let node = &self.node;
        let seed = node.ask(async || node.chain_reader.hash(fetched.heights.seed).await).await?;
        let count = u64::from(node.run.spec.scoring.unassigned_sequences);
        let mut sequences = self.assignments(fetched.heights.window).await?.unassigned(seed, count)?;
        sequences.truncate(first.unwrap_or(usize::MAX));
        Ok(node.run.training.batch(&sequences)?)
    }
}
