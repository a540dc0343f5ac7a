//! The driver: carries out what [`Round`](crate::round::Round) says, with a node and a strategy.

use crate::{
    MinerError, MinerMetrics, PreparedUpdate, Strategy, Submissions, Upload,
    round::{Action, Event, Round, Rules},
};
use base::{Exit, Height, Window, digest::ObjectHash};
use bytes::Bytes;
use codec::submission::Submission;
use node::{Config, Node, NodeError, NodeEvent};
use protocol::announcement::{Claim, Record};
use std::{path::PathBuf, sync::Arc, time::Instant};
use telemetry::{Shutdown, target};

/// Windows whose submissions stay in the bucket: as long as those of validators' checkpoints by default, twice and some.
const IN_BUCKET: u64 = 24;

/// A miner at work.
struct Miner<C> {
    node: Node,
    strategy: C,
    round: Round,
    submissions: Submissions,
    /// What was made for the window, if anything.
    made: Option<Upload>,
    metrics: Arc<MinerMetrics>,
}

/// Where a miner keeps what is its own, in the node's folder.
#[must_use]
pub fn folder(node: &Node) -> PathBuf {
    node.folder().join("miner")
}

/// Mines until the run ends or the process is asked to, and says how the program ends. `open` makes the strategy from the
/// submissions that were kept before a restart, in order.
pub async fn run<C: Strategy>(
    config: Config,
    shutdown: Shutdown,
    open: impl AsyncFnOnce(&Node, Vec<Submission<Bytes>>) -> Result<C, MinerError>,
) -> Exit {
    // In boxes, here and below, since the futures of requests are nested deeply.
    let mut node = match Box::pin(Node::open(config, shutdown)).await {
        Ok(node) => node,
        Err(error) => return ended(Err(error.into())),
    };
    let events = node.events.clone();
    let started = Box::pin(node.start()).await;
    let result = match started {
        Ok(_) => Box::pin(mine(node, open)).await,
        Err(error) => Err(error.into()),
    };
    let exit = ended(result);
    events.emit(NodeEvent::Stopped { exit: exit.into() });
    exit
}

/// Tells why it ended.
fn ended(result: Result<(), MinerError>) -> Exit {
    match result {
        Ok(()) => Exit::Good,
        Err(error) if error.is_shutdown() => Exit::Good,
        Err(error) => {
            eprintln!("miner: {error}");
            error.exit()
        }
    }
}

async fn mine<C: Strategy>(
    node: Node,
    open: impl AsyncFnOnce(&Node, Vec<Submission<Bytes>>) -> Result<C, MinerError>,
) -> Result<(), MinerError> {
    let (run, id) = (Arc::clone(&node.run), node.id);
    let sealed = run.spec.acceptance.sealing;
    let submissions = Submissions::open(&folder(&node), run.hash, id, Arc::clone(&run.layout), sealed)?;
    let strategy = open(&node, submissions.since(Window(0))?).await?;
    let metrics = Arc::new(MinerMetrics::default());
    node.registry.add(metrics.clone());
    let rules = Rules { claim_time: strategy.claim_time(), reveals: sealed && strategy.reveals() };
    let round = Round::new(run.clock, rules);
    let mut miner = Miner { node, strategy, round, submissions, made: None, metrics };
    let result = miner.follow().await;
    if result.is_ok() || result.as_ref().is_err_and(MinerError::is_shutdown) {
        miner.strategy.save(&miner.node).await?;
    }
    result
}

impl<C: Strategy> Miner<C> {
    /// All windows, one after the other.
    async fn follow(&mut self) -> Result<(), MinerError> {
        let mut event = self.enter().await?;
        loop {
            let action = self.round.step(event, self.node.height());
            tracing::debug!(target: target::WINDOW, ?event, ?action, height = %self.node.height(), "next");
            event = match action {
                Action::Wait(height) => self.wait(height).await?,
                Action::Make { window, before } => self.make(window, before).await?,
                Action::Upload { window, object, before } => self.upload(window, object, before).await?,
                Action::Claim { window, object, before } => self.claim(window, object, before).await?,
                Action::Reveal { window, object, before } => self.reveal(window, object, before).await?,
                Action::Decide { window } => self.decide(window).await?,
                Action::Resync => self.resync().await?,
                Action::Finish => {
                    tracing::info!(target: target::WINDOW, "the run has ended");
                    return Ok(());
                }
            };
        }
    }

    /// A new state is known: what was sent is settled, and what was made from it before a restart is found.
    async fn enter(&mut self) -> Result<Event, MinerError> {
        let accepted = self.strategy.settle(&self.node).await?;
        self.metrics.accepted.add(accepted as u64);
        let window = self.node.window();
        let kept = self.submissions.of(window, self.node.state())?;
        self.made = kept.as_ref().map(Upload::of);
        Ok(Event::State { window, kept: self.made.as_ref().map(|made| made.hash) })
    }

    async fn wait(&self, height: Height) -> Result<Event, MinerError> {
        self.node.wait_for(height).await?;
        Ok(Event::Height)
    }

    async fn make(&mut self, window: Window, before: Height) -> Result<Event, MinerError> {
        let Self { node, strategy, .. } = self;
        let made = tokio::select! {
            biased;
            made = strategy.make(node, window) => made,
            passed = node.wait_for(before) => {
                node.model.interrupt(); // What was begun is dropped: it is of no use any more.
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

    fn skip(&self, window: Window, why: impl std::fmt::Display) -> Event {
        tracing::warn!(target: target::TRAIN, %window, %why, "nothing is sent in this window");
        self.metrics.skipped.increment();
        Event::GaveUp
    }

    /// Writes what was made to the disk, before anybody else hears of it.
    #[allow(clippy::cast_precision_loss)] // Sizes are far below 2^53.
    fn keep(&mut self, window: Window, made: PreparedUpdate) -> Result<Event, MinerError> {
        let (bytes, seconds) = (made.upload.bytes.len() as u64, made.compress_seconds);
        self.submissions.keep(window, &made.upload)?;
        if let Some(training) = made.trained {
            let (loss, tokens, seconds) = (training.loss, training.tokens, training.seconds);
            tracing::info!(target: target::TRAIN, %window, loss, tokens, seconds, "trained");
            self.node.events.emit(NodeEvent::Trained { window, loss, tokens, seconds });
            self.metrics.loss.set(loss);
            self.metrics.tokens.add(tokens);
            self.metrics.train_seconds.observe(seconds);
        }
        self.node.events.emit(NodeEvent::Compressed { window, bytes, seconds });
        self.metrics.submission_bytes.set(bytes as f64);
        self.metrics.compress_seconds.observe(seconds);
        let object = made.upload.hash;
        self.made = Some(made.upload);
        Ok(Event::Prepared(object))
    }

    async fn upload(
        &mut self,
        window: Window,
        object: ObjectHash,
        before: Height,
    ) -> Result<Event, MinerError> {
        let Some(bytes) = self.made(object).map(|made| made.bytes.clone()) else {
            return Ok(Event::GaveUp); // The machine only uploads what was made.
        };
        let started = Instant::now();
        let put = Box::pin(self.node.own_bucket.put_submission(window, &object, bytes));
        match self.before(before, put).await? {
            None => Ok(Event::Height),
            Some(Ok(_)) => {
                let seconds = started.elapsed().as_secs_f64();
                tracing::info!(target: target::WINDOW, %window, %object, seconds, "uploaded");
                self.node.events.emit(NodeEvent::Uploaded { window, object, seconds });
                self.metrics.upload_seconds.observe(seconds);
                Ok(Event::Uploaded)
            }
            Some(Err(error)) => Ok(self.failed(window, "upload", error)),
        }
    }

    async fn claim(
        &mut self,
        window: Window,
        object: ObjectHash,
        before: Height,
    ) -> Result<Event, MinerError> {
        let claim = Record::Claim(Claim { run: self.node.run.id, window, object });
        match self.before(before, self.node.commitment_writer.record(claim)).await? {
            None => Ok(Event::Height),
            Some(Ok(block)) => {
                tracing::info!(target: target::WINDOW, %window, %object, %block, "claimed");
                self.node.events.emit(NodeEvent::Claimed { window, block });
                self.metrics.claims.increment();
                Ok(Event::Claimed)
            }
            Some(Err(error)) => Ok(self.failed(window, "claim", error)),
        }
    }

    /// Publishes the key of what was claimed.
    async fn reveal(
        &mut self,
        window: Window,
        object: ObjectHash,
        before: Height,
    ) -> Result<Event, MinerError> {
        let Some(key) = self.made(object).and_then(|made| made.key) else {
            return Ok(Event::Revealed); // What is not sealed has no key.
        };
        match self.before(before, Box::pin(self.node.own_bucket.put_key(window, &object, &key))).await? {
            None => Ok(Event::Height),
            Some(Ok(_)) => {
                tracing::info!(target: target::WINDOW, %window, %object, "its key is published");
                self.node.events.emit(NodeEvent::Revealed { window });
                Ok(Event::Revealed)
            }
            Some(Err(error)) => Ok(self.failed(window, "key", error)),
        }
    }

    /// What was made for the window, if it is this.
    fn made(&self, object: ObjectHash) -> Option<&Upload> {
        self.made.as_ref().filter(|made| made.hash == object)
    }

    /// Does something until it is done, or until a block is final (`None`), or the miner is asked to end.
    async fn before<T>(&self, height: Height, work: impl Future<Output = T>) -> Result<Option<T>, NodeError> {
        tokio::select! {
            biased;
            done = work => Ok(Some(done)),
            passed = self.node.wait_for(height) => passed.map(|_| None),
        }
    }

    fn failed(&self, window: Window, what: &str, error: impl std::fmt::Display) -> Event {
        tracing::warn!(target: target::WINDOW, %window, what, %error, "not done; tried again at the next block");
        self.metrics.failures.increment();
        Event::Failed
    }

    async fn decide(&mut self, window: Window) -> Result<Event, MinerError> {
        self.tidy(window).await?;
        self.hold();
        let result = match self.node.decide(window).await {
            Ok(decision) => self.node.apply(&decision).await.map(drop),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => self.enter().await,
            Err(error) if error.is_lost() => {
                tracing::error!(target: target::WINDOW, %window, %error, "no more training until the state is known again");
                Ok(Event::Diverged)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is made is not fetched from the own bucket.
    fn hold(&mut self) {
        let Some(made) = &self.made else { return };
        let node = &mut self.node;
        let expected = node.run.expected(node.id, node.window(), node.state());
        if let Ok(own) = made.open(&node.run.layout, &expected) {
            node.hold(own);
        }
    }

    /// While nothing is to be done but wait: saves what must be saved now and then, and deletes what nobody asks for.
    async fn tidy(&mut self, window: Window) -> Result<(), MinerError> {
        if window.0.is_multiple_of(self.node.config.node.save_every.get()) {
            self.strategy.save(&self.node).await?;
            self.submissions.forget_before(window)?;
        }
        let Some(old) = window.0.checked_sub(IN_BUCKET) else { return Ok(()) };
        let delete = Box::pin(self.node.own_bucket.delete_before(Window(old)));
        let deleted = self.node.unless_stopped(delete).await?;
        if let Err(error) = deleted {
            tracing::warn!(target: target::STORAGE, %error, "old submissions stay in the bucket");
        }
        Ok(())
    }

    async fn resync(&mut self) -> Result<Event, MinerError> {
        self.node.resync().await?;
        self.enter().await
    }
}
