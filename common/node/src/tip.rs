//! The newest finalized block, for all tasks of the process.

use crate::{NodeError, NodeMetrics, own_clock::OwnClock, requests::Requests, subnet::RulesWatch};
use base::Height;
use chain::{Block, BlocksError, Heads};
use exchange::ChainReader;
use std::{sync::Arc, time::Duration};
use telemetry::{Component, Shutdown};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The lag of finality, in blocks, above which no window can be decided in time, and the node sounds an
/// alarm.
const ALARM: u64 = 64;

/// The newest finalized block. Clones follow the same chain.
///
/// The chain's client reconnects by itself. The task ends only if the chain contradicts itself, or if no
/// endpoint gives a sign of life.
#[derive(Clone, Debug)]
pub struct Tip {
    newest: watch::Receiver<Result<Height, BlocksError>>,
    shutdown: Shutdown,
}

/// The task that follows the chain.
pub(crate) struct Follow {
    pub(crate) chain_reader: ChainReader,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) component: Component,
    pub(crate) shutdown: Shutdown,
    /// The time without a block after which the node is not ready.
    pub(crate) patience: Duration,
    /// The comparison of the own clock, once a window.
    pub(crate) own_clock: Arc<OwnClock>,
    /// The comparison of the subnet's rules with the run, once a window.
    pub(crate) rules: Arc<RulesWatch>,
    /// The log of requests, once a window.
    pub(crate) requests: Requests,
}

impl Tip {
    /// Creates a tip that stays at a height.
    pub(crate) fn fixed(height: Height, shutdown: Shutdown) -> Self {
        let (_, newest) = watch::channel(Ok(height));
        Self { newest, shutdown }
    }

    /// Follows the chain from `last` on, in a task of its own.
    pub(crate) fn follow(last: Height, follow: Follow) -> Self {
        let (newest, receiver) = watch::channel(Ok(last));
        let shutdown = follow.shutdown.clone();
        tokio::spawn(follow.run(last, newest));
        Self { newest: receiver, shutdown }
    }

    /// Returns its height.
    #[must_use]
    pub fn height(&self) -> Height {
        // After an error there is no newer block. A caller that waits for one gets the error.
        self.newest.borrow().clone().unwrap_or_default()
    }

    /// Waits until the block of this height is final. Returns the height of the newest finalized block then.
    ///
    /// # Errors
    /// The node is being stopped, or the chain can no longer be followed.
    pub async fn reached(&self, height: Height) -> Result<Height, NodeError> {
        let mut newest = self.newest.clone();
        let is_there =
            |newest: &Result<Height, BlocksError>| newest.as_ref().map_or(true, |now| *now >= height);
        tokio::select! {
            biased;
            () = self.shutdown.requested() => Err(NodeError::Shutdown),
            newest = newest.wait_for(is_there) => match newest {
                Ok(newest) => Ok(newest.clone()?),
                Err(_) => Err(NodeError::Shutdown), // The task has ended with the runtime.
            },
        }
    }

    /// Waits until the chain can no longer be followed. Returns the reason.
    pub(crate) async fn lost(&self) -> NodeError {
        let mut newest = self.newest.clone();
        let lost = newest.wait_for(Result::is_err).await.map(|newest| newest.clone());
        match lost {
            Ok(Err(error)) => error.into(),
            // A tip that stays at a height is never lost.
            _ => std::future::pending().await,
        }
    }

    /// Checks whether the tip follows the chain.
    pub(crate) fn is_followed(&self) -> bool {
        self.newest.has_changed().is_ok()
    }
}

impl Follow {
    async fn run(mut self, last: Height, newest: watch::Sender<Result<Height, BlocksError>>) {
        let mut blocks = self.chain_reader.client().blocks_from(last.next());
        let mut heads = blocks.heads();
        let mut alarm = Alarm::default();
        self.note(last, &alarm);
        let mut due = Instant::now() + self.patience;
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => return,
                () = newest.closed() => return,
                next = blocks.next() => match next {
                    Ok(block) => {
                        due = Instant::now() + self.patience;
                        self.saw(&block, &alarm);
                        newest.send_modify(|newest| *newest = Ok(block.height));
                    }
                    Err(error) => {
                        tracing::error!(target: telemetry::target::CHAIN, error = %base::ErrorChain(&error), "the chain is lost");
                        self.component.dead(base::ErrorChain(&error).to_string());
                        newest.send_modify(|newest| *newest = Err(error));
                        return;
                    }
                },
                Ok(()) = heads.changed() => {
                    let now = *heads.borrow_and_update();
                    self.heard(now, &mut alarm);
                }
                () = sleep_until(due) => {
                    due = Instant::now() + self.patience;
                    if alarm.text().is_none() {
                        let seconds = self.patience.as_secs_f32();
                        self.component.not_ready(format!("no finalized block for {seconds} s"));
                    }
                }
            }
        }
    }

    fn saw(&mut self, block: &Block, alarm: &Alarm) {
        self.chain_reader.saw(block);
        self.note(block.height, alarm);
        if self.requests.saw(block.height) {
            tokio::spawn(Arc::clone(&self.own_clock).check());
            tokio::spawn(Arc::clone(&self.rules).check(block.hash));
        }
    }

    #[allow(clippy::cast_precision_loss)] // A height is far below 2^53.
    fn note(&self, height: Height, alarm: &Alarm) {
        self.metrics.height.set(height.0 as f64);
        match alarm.text() {
            None => self.component.ready(),
            Some(text) => self.component.not_ready(text),
        }
    }

    #[allow(clippy::cast_precision_loss)] // A lag is far below 2^53.
    fn heard(&self, heads: Heads, alarm: &mut Alarm) {
        let Some(lag) = heads.lag() else { return };
        self.metrics.finality_lag_blocks.set(lag as f64);
        let before = alarm.text().is_some();
        *alarm = Alarm::of(lag);
        match (before, alarm.text()) {
            (false, Some(text)) => {
                tracing::error!(target: telemetry::target::CHAIN, lag, "{text}");
                self.component.not_ready(text);
            }
            (true, Some(text)) => self.component.not_ready(text),
            (true, None) => {
                tracing::info!(target: telemetry::target::CHAIN, lag, "finality is back");
                self.component.ready();
            }
            (false, None) => {}
        }
    }
}

/// The alarm of a finality that lags too far behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Alarm {
    /// The lag in blocks, while the alarm sounds.
    lag: Option<u64>,
}

impl Alarm {
    fn of(lag: u64) -> Self {
        Self { lag: (lag > ALARM).then_some(lag) }
    }

    fn text(&self) -> Option<String> {
        let lag = self.lag?;
        Some(format!(
            "finality is {lag} blocks behind: windows cannot be decided until it returns; claims still arrive"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_sounds_beyond_64_blocks() {
        assert!([0, 10, 63, 64].map(Alarm::of).iter().all(|alarm| alarm.text().is_none()));
        assert!(Alarm::of(70).text().unwrap().starts_with("finality is 70 blocks behind"));
    }
}
