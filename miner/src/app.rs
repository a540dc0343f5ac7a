//! The driver: carries out the actions of [`MinerMachine`], with a node and a strategy.

use crate::{MinerError, MinerMetrics, Strategy, Submissions, Upload, training::TrainingJob};
use base::{Exit, Height, Window};
use bytes::Bytes;
use codec::submission::Submission;
use node::{Collected, Config, Node, NodeError, NodeEvent, Prefetching};
use protocol::{
    acceptance::Decision,
    announcement::{Claim, Record},
    machine::miner::{MinerAction, MinerEvent, MinerMachine, MinerRules},
};
use std::{num::NonZeroU64, path::PathBuf, sync::Arc, time::Instant};
use telemetry::{Shutdown, target};

/// The number of windows whose submissions stay in the bucket: more than twice the windows between two
/// checkpoints of validators, by default.
const IN_BUCKET: u64 = 24;

/// A miner: the node, its strategy and its own files. The upload of a window is in the state machine.
pub(crate) struct Miner<C: Strategy> {
    pub(crate) node: Node,
    pub(crate) strategy: C,
    pub(crate) submissions: Submissions,
    /// Windows between two saves of error feedback and optimizer moments.
    save_every: NonZeroU64,
    pub(crate) metrics: Arc<MinerMetrics>,
    /// The training that was begun last, until its update is made.
    pub(crate) training: Option<TrainingJob<C::Trained>>,
    /// The decision on the window, with its accepted objects, until it is applied.
    decided: Option<(Decision, Collected)>,
    /// The downloads of the window's candidates, until the window is decided.
    prefetch: Option<Prefetching>,
}

/// Returns the folder of a miner's own files, in the node's folder.
#[must_use]
pub fn folder(node: &Node) -> PathBuf {
    node.shared.folder().join("miner")
}

/// Mines until the run ends or a shutdown is requested. `open` creates the strategy from the submissions
/// that were made before a restart, in order.
///
/// # Errors
/// An error that only the operator can mend. The request to end is not one.
pub async fn run<C: Strategy>(
    config: Config,
    shutdown: Shutdown,
    open: impl AsyncFnOnce(&Node, Vec<Submission<Bytes>>) -> Result<C, MinerError>,
) -> Result<(), MinerError> {
    let save_every = config.node.save_every;
    // In boxes, here and below, since the futures of requests are nested deeply.
    let mut node = match Box::pin(Node::open(config, shutdown)).await {
        Ok(node) => node,
        Err(error) => return unless_shutdown(Err(error.into())),
    };
    let events = node.observability.events.clone();
    let started = Box::pin(node.start()).await;
    let result = match started {
        Ok(_) => Box::pin(mine(node, save_every, open)).await,
        Err(error) => Err(error.into()),
    };
    let result = unless_shutdown(result);
    let exit = result.as_ref().map_or_else(MinerError::exit, |()| Exit::Good);
    events.emit(NodeEvent::Stopped { exit: exit.into() });
    result
}

/// Turns the error of the request to end into success.
fn unless_shutdown(result: Result<(), MinerError>) -> Result<(), MinerError> {
    match result {
        Err(error) if error.is_shutdown() => Ok(()),
        result => result,
    }
}

async fn mine<C: Strategy>(
    node: Node,
    save_every: NonZeroU64,
    open: impl AsyncFnOnce(&Node, Vec<Submission<Bytes>>) -> Result<C, MinerError>,
) -> Result<(), MinerError> {
    let run = Arc::clone(node.shared.run());
    let neuron = node.identity.neuron;
    let sealed = run.spec.acceptance.sealing;
    let submissions = Submissions::open(&folder(&node), run.hash, neuron, Arc::clone(&run.layout), sealed)?;
    let strategy = open(&node, submissions.since(Window(0))?).await?;
    let metrics = Arc::new(MinerMetrics::default());
    node.observability.registry.add(metrics.clone());
    let (claim_time, reveals) = (strategy.claim_time(), sealed && strategy.reveals());
    let rules = MinerRules { claim_time, reveals, overlaps: run.spec.acceptance.overlaps() };
    let machine = MinerMachine::new(run.clock, rules);
    let (training, decided, prefetch) = (None, None, None);
    let mut miner = Miner { node, strategy, submissions, save_every, metrics, training, decided, prefetch };
    let result = miner.follow(machine).await;
    miner.stop_training().await?;
    if result.is_ok() || result.as_ref().is_err_and(MinerError::is_shutdown) {
        miner.strategy.save(&miner.node).await?;
    }
    result
}

impl<C: Strategy> Miner<C> {
    /// Carries out the machine's actions until the run has ended.
    async fn follow(&mut self, mut machine: MinerMachine<Upload>) -> Result<(), MinerError> {
        let mut event = self.enter().await?;
        loop {
            let height = self.node.network.height();
            tracing::debug!(target: target::WINDOW, ?event, %height, "next");
            let action = machine.step(event, height);
            tracing::debug!(target: target::WINDOW, ?action, %height, "begins");
            event = match action {
                MinerAction::Wait(height) => self.wait(height).await?,
                MinerAction::Prefetch { window, until } => self.prefetch(window, until)?,
                MinerAction::Train { window, from } => self.train(window, from),
                MinerAction::Await { window, before } => self.await_training(window, before).await?,
                MinerAction::Compress { window, before } => self.compress(window, before).await?,
                MinerAction::Upload { window, upload, before } => {
                    self.upload(window, &upload, before).await?
                }
                MinerAction::Claim { window, upload, before } => self.claim(window, &upload, before).await?,
                MinerAction::Reveal { window, upload, before } => {
                    self.reveal(window, &upload, before).await?
                }
                MinerAction::Decide { window, upload, until } => {
                    self.decide(window, upload.as_ref(), until).await?
                }
                MinerAction::Apply { window } => self.apply(window).await?,
                MinerAction::Resync => self.resync().await?,
                MinerAction::Finish => {
                    tracing::info!(target: target::WINDOW, "the run has ended");
                    return Ok(());
                }
            };
        }
    }

    /// Settles the uploads of decided windows, and finds the upload that was made from the new state before a
    /// restart.
    async fn enter(&mut self) -> Result<MinerEvent<Upload>, MinerError> {
        self.prefetch = None; // The submissions of another window or state are of no use.
        let accepted = self.strategy.settle(&self.node).await?;
        self.metrics.accepted.add(accepted as u64);
        let window = self.node.shared.window();
        let kept = self.submissions.of(window, self.node.shared.base())?;
        Ok(MinerEvent::State { window, kept: kept.as_ref().map(Upload::of) })
    }

    async fn wait(&self, height: Height) -> Result<MinerEvent<Upload>, MinerError> {
        self.node.network.wait_for(height).await?;
        Ok(MinerEvent::Height)
    }

    /// Begins to download the candidates' submissions in the background.
    fn prefetch(&mut self, window: Window, until: Height) -> Result<MinerEvent<Upload>, MinerError> {
        self.prefetch = Some(self.node.prefetch(window, until, None)?);
        Ok(MinerEvent::Prefetching)
    }

    async fn upload(
        &mut self,
        window: Window,
        upload: &Upload,
        before: Height,
    ) -> Result<MinerEvent<Upload>, MinerError> {
        let started = Instant::now();
        let object = upload.hash;
        let put =
            Box::pin(self.node.identity.own_bucket.put_submission(window, &object, upload.bytes.clone()));
        match self.before(before, put).await? {
            None => Ok(MinerEvent::Height),
            Some(Ok(_)) => {
                let seconds = started.elapsed().as_secs_f64();
                tracing::info!(target: target::WINDOW, %window, %object, seconds, "uploaded");
                self.node.observability.events.emit(NodeEvent::Uploaded { window, object, seconds });
                self.metrics.upload_seconds.observe(seconds);
                Ok(MinerEvent::Uploaded)
            }
            Some(Err(error)) => Ok(self.failed(window, "upload", error)),
        }
    }

    async fn claim(
        &mut self,
        window: Window,
        upload: &Upload,
        before: Height,
    ) -> Result<MinerEvent<Upload>, MinerError> {
        let object = upload.hash;
        let claim = Record::Claim(Claim { run: self.node.shared.run().id, window, object });
        match self.before(before, self.node.identity.commitment_writer.record(claim)).await? {
            None => Ok(MinerEvent::Height),
            Some(Ok(block)) => {
                tracing::info!(target: target::WINDOW, %window, %object, %block, "claimed");
                self.node.observability.events.emit(NodeEvent::Claimed { window, block });
                self.metrics.claims.increment();
                Ok(MinerEvent::Claimed)
            }
            Some(Err(error)) => Ok(self.failed(window, "claim", error)),
        }
    }

    /// Publishes the key of a claimed submission.
    async fn reveal(
        &mut self,
        window: Window,
        upload: &Upload,
        before: Height,
    ) -> Result<MinerEvent<Upload>, MinerError> {
        let object = upload.hash;
        let Some(key) = upload.key else {
            return Ok(MinerEvent::Revealed); // An upload that is not sealed has no key.
        };
        match self
            .before(before, Box::pin(self.node.identity.own_bucket.put_key(window, &object, &key)))
            .await?
        {
            None => Ok(MinerEvent::Height),
            Some(Ok(_)) => {
                tracing::info!(target: target::WINDOW, %window, %object, "key published");
                self.node.observability.events.emit(NodeEvent::Revealed { window });
                Ok(MinerEvent::Revealed)
            }
            Some(Err(error)) => Ok(self.failed(window, "key", error)),
        }
    }

    /// Works until this is done. Returns `None` if a block is final first.
    async fn before<T>(&self, height: Height, work: impl Future<Output = T>) -> Result<Option<T>, NodeError> {
        tokio::select! {
            biased;
            done = work => Ok(Some(done)),
            passed = self.node.network.wait_for(height) => passed.map(|_| None),
        }
    }

    fn failed(&self, window: Window, what: &str, error: impl std::error::Error) -> MinerEvent<Upload> {
        tracing::warn!(target: target::WINDOW, %window, what, error = %base::ErrorChain(&error), "failed; trying again at the next block");
        self.metrics.failures.increment();
        MinerEvent::Failed
    }

    async fn decide(
        &mut self,
        window: Window,
        upload: Option<&Upload>,
        until: Height,
    ) -> Result<MinerEvent<Upload>, MinerError> {
        self.delete_old(window).await?;
        if !self.overlaps() {
            self.save(window).await?;
        }
        self.hold(upload);
        match self.collect(window, until).await {
            Ok(decided) => {
                self.decided = Some(decided);
                Ok(MinerEvent::Decided)
            }
            Err(error) => Self::lost(window, error),
        }
    }

    /// Applies the decision on a window.
    async fn apply(&mut self, window: Window) -> Result<MinerEvent<Upload>, MinerError> {
        if self.overlaps() {
            self.save(window).await?; // Not before: the model was busy.
        }
        let (decision, collected) = self.decided.take().expect("the machine applies what is decided");
        match self.node.step(&decision, collected).await {
            Ok(_) => self.enter().await,
            Err(error) => Self::lost(window, error),
        }
    }

    /// Returns the event for a shared state that is lost, or the error that ends the miner.
    fn lost(window: Window, error: NodeError) -> Result<MinerEvent<Upload>, MinerError> {
        if !error.is_lost() {
            return Err(error.into());
        }
        tracing::error!(target: target::WINDOW, %window, error = %base::ErrorChain(&error), "the shared state is lost; training stops until it is known again");
        Ok(MinerEvent::Lost)
    }

    /// Waits for the decision on a window, and downloads its accepted objects. Those that the downloads in
    /// the background have brought are not downloaded again.
    async fn collect(&mut self, window: Window, until: Height) -> Result<(Decision, Collected), NodeError> {
        let decision = self.node.decide(window).await?;
        if let Some(prefetch) = self.prefetch.take() {
            match prefetch.collect(&self.node.network).await {
                Ok(arrivals) => self.node.shared.hold_accepted(&decision, &arrivals.submissions),
                Err(NodeError::Shutdown) => return Err(NodeError::Shutdown),
                Err(error) => {
                    tracing::warn!(target: target::WINDOW, %window, error = %base::ErrorChain(&error), "nothing was downloaded in advance");
                }
            }
        }
        let collected = self.node.collect(&decision, until).await?;
        Ok((decision, collected))
    }

    /// Gives the node this miner's own submission, so that it does not download it again.
    fn hold(&mut self, upload: Option<&Upload>) {
        let Some(upload) = upload else { return };
        let shared = &mut self.node.shared;
        let expected = shared.expected(self.node.identity.neuron);
        if let Ok(own) = upload.open(&shared.run().layout, &expected) {
            shared.hold(own);
        }
    }

    /// Checks whether a window is trained while the one before it is exchanged.
    fn overlaps(&self) -> bool {
        self.node.shared.run().spec.acceptance.overlaps()
    }

    /// Saves the strategy's files every few windows. No training runs: the files hold the optimizer's
    /// moments.
    async fn save(&mut self, window: Window) -> Result<(), MinerError> {
        if window.0.is_multiple_of(self.save_every.get()) {
            self.strategy.save(&self.node).await?;
            self.submissions.forget_before(window)?;
        }
        Ok(())
    }

    /// Uses the time before the decision: deletes old submissions from the bucket.
    async fn delete_old(&mut self, window: Window) -> Result<(), MinerError> {
        let Some(old) = window.0.checked_sub(IN_BUCKET) else { return Ok(()) };
        let delete = Box::pin(self.node.identity.own_bucket.delete_before(Window(old)));
        let deleted = self.node.network.unless_stopped(delete).await?;
        if let Err(error) = deleted {
            tracing::warn!(target: target::STORAGE, error = %base::ErrorChain(&error), "old submissions stay in the bucket");
        }
        Ok(())
    }

    async fn resync(&mut self) -> Result<MinerEvent<Upload>, MinerError> {
        self.stop_training().await?;
        (self.training, self.decided) = (None, None);
        self.node.resync().await?;
        self.enter().await
    }
}
