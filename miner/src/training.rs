//! The part of the driver that trains in the background, and makes updates of the results.

use crate::{MinerError, PreparedUpdate, Strategy, Upload, app::Miner};
use base::{Height, Window};
use node::{Background, NodeError, NodeEvent};
use protocol::machine::miner::MinerEvent;
use telemetry::target;

/// A window's training: in the background, or ended. `T` is its result.
#[derive(Debug)]
pub(crate) enum TrainingJob<T> {
    Runs(Background<Result<T, MinerError>>),
    Ended(T),
}

impl<C: Strategy> Miner<C> {
    /// Begins to train in the background, when block `from` is final.
    pub(crate) fn train(&mut self, window: Window, from: Height) -> MinerEvent<Upload> {
        self.training = Some(TrainingJob::Runs(self.strategy.train(&self.node, window, from)));
        MinerEvent::Training(window)
    }

    /// Waits until the training has ended. Interrupts it when block `before` is final.
    pub(crate) async fn await_training(
        &mut self,
        window: Window,
        before: Height,
    ) -> Result<MinerEvent<Upload>, MinerError> {
        let Some(TrainingJob::Runs(job)) = &mut self.training else {
            return Ok(MinerEvent::Trained); // It has ended already.
        };
        let trained = tokio::select! {
            biased;
            trained = job.finish() => trained,
            passed = self.node.network.wait_for(before) => {
                passed?;
                self.stop_training().await?;
                return Ok(self.skip(window, "the training took too long"));
            }
        };
        self.training = None;
        match trained.unwrap_or(Err(NodeError::Shutdown.into())) {
            Ok(trained) => {
                self.training = Some(TrainingJob::Ended(trained));
                Ok(MinerEvent::Trained)
            }
            Err(error) if error.skips_window() => Ok(self.skip(window, error)),
            Err(error) => Err(error),
        }
    }

    /// Ends a training that is of no use any more, and waits until the model is free. Its result is dropped.
    pub(crate) async fn stop_training(&mut self) -> Result<(), MinerError> {
        if let Some(TrainingJob::Runs(job)) = self.training.take() {
            job.cancel().await; // From here on it begins nothing on the model's thread.
            let model = self.node.shared.model();
            model.interrupt();
            model.run(|_| Ok(())).await?;
        }
        Ok(())
    }

    /// Makes an update of the result of the training, and writes it to the disk, before any other node can
    /// see it.
    pub(crate) async fn compress(
        &mut self,
        window: Window,
        before: Height,
    ) -> Result<MinerEvent<Upload>, MinerError> {
        let Some(TrainingJob::Ended(trained)) = self.training.take() else {
            return Ok(self.skip(window, "it was not trained"));
        };
        let Self { node, strategy, .. } = self;
        let made = tokio::select! {
            biased;
            made = strategy.make(node, window, trained) => made,
            passed = node.network.wait_for(before) => {
                passed?;
                return Ok(self.skip(window, "it took too long"));
            }
        };
        match made {
            Ok(made) => self.keep(window, made),
            Err(error) if error.skips_window() => Ok(self.skip(window, error)),
            Err(error) => Err(error),
        }
    }

    fn skip(&self, window: Window, why: impl std::fmt::Display) -> MinerEvent<Upload> {
        tracing::warn!(target: target::TRAIN, %window, %why, "no submission in this window");
        self.metrics.skipped.increment();
        MinerEvent::GaveUp
    }

    #[allow(clippy::cast_precision_loss)] // Sizes are far below 2^53.
    fn keep(&mut self, window: Window, made: PreparedUpdate) -> Result<MinerEvent<Upload>, MinerError> {
        let (bytes, seconds) = (made.upload.bytes.len() as u64, made.compress_seconds);
        self.submissions.keep(window, &made.upload)?;
        if let Some(training) = made.trained {
            let (loss, tokens, seconds) = (training.loss, training.tokens, training.seconds);
            tracing::info!(target: target::TRAIN, %window, loss, tokens, seconds, "trained");
            self.node.observability.events.emit(NodeEvent::Trained { window, loss, tokens, seconds });
            self.metrics.loss.set(loss);
            self.metrics.tokens.add(tokens);
            self.metrics.train_seconds.observe(seconds);
        }
        self.node.observability.events.emit(NodeEvent::Compressed { window, bytes, seconds });
        self.metrics.submission_bytes.set(bytes as f64);
        self.metrics.compress_seconds.observe(seconds);
        Ok(MinerEvent::Prepared(made.upload))
    }
}
