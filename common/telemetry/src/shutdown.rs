//! [`Shutdown`]: ends a process in order. One request, guards that hold the end back, a deadline, and
//! an immediate end at the second signal.

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// The request to end a process, and the guards that hold the end back. Clones share one state.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use telemetry::Shutdown;
///
/// let shutdown = Shutdown::default();
/// shutdown.on_signals()?; // SIGINT and SIGTERM; a second one ends the process at once
///
/// let task = shutdown.clone();
/// let upload = shutdown.guard("upload"); // taken before the task starts
/// tokio::spawn(async move {
///     task.requested().await;
///     drop(upload); // the upload is finished
/// });
///
/// shutdown.request(); // as a signal would
/// shutdown.finished(Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    requested: bool,
    /// The names of all held guards, with their number.
    unfinished: BTreeMap<&'static str, usize>,
}

/// A guard that holds the end back until it is dropped, or until the deadline.
#[derive(Debug)]
pub struct Guard {
    shutdown: Shutdown,
    name: &'static str,
}

/// The error of a deadline that passed before all guards were dropped.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not finished within {} s: {}", deadline.as_secs_f64(), unfinished.join(", "))]
pub struct Overdue {
    /// The time that was waited.
    pub deadline: Duration,
    /// The names of the guards that were still held.
    pub unfinished: Vec<&'static str>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }
}

impl Shutdown {
    /// Requests the end when the process gets SIGINT or SIGTERM. The second such signal ends the
    /// process at once, with exit code 128 + the signal's number, as shells expect.
    ///
    /// # Errors
    /// The signals cannot be caught.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with an I/O driver.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                let (name, number) = tokio::select! {
                    _ = interrupt.recv() => ("SIGINT", 2),
                    _ = terminate.recv() => ("SIGTERM", 15),
                };
                if shutdown.is_requested() {
                    tracing::warn!(target: crate::target::NODE, signal = name, "second signal: stopping at once");
                    std::process::exit(128 + number);
                }
                tracing::info!(target: crate::target::NODE, signal = name, "stopping; a second signal stops at once");
                shutdown.request();
            }
        });
        Ok(())
    }

    /// Requests the end.
    pub fn request(&self) {
        self.0.send_modify(|state| state.requested = true);
    }

    /// Returns whether the end was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.borrow().requested
    }

    /// Waits until the end is requested.
    pub async fn requested(&self) {
        // It fails only when the sender is gone, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|state| state.requested).await;
    }

    /// Creates a guard for work that must finish before the process ends.
    #[must_use]
    pub fn guard(&self, name: &'static str) -> Guard {
        self.0.send_modify(|state| *state.unfinished.entry(name).or_default() += 1);
        Guard { shutdown: self.clone(), name }
    }

    /// Waits until the end is requested, and then until every guard is dropped, at most for `deadline`.
    ///
    /// # Errors
    /// The deadline has passed. The error names the guards that were still held.
    pub async fn finished(&self, deadline: Duration) -> Result<(), Overdue> {
        self.requested().await;
        let mut states = self.0.subscribe();
        let waited =
            tokio::time::timeout(deadline, states.wait_for(|state| state.unfinished.is_empty())).await;
        match waited {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(Overdue { deadline, unfinished: self.0.borrow().unfinished.keys().copied().collect() })
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shutdown.0.send_modify(|state| {
            if let Some(held) = state.unfinished.get_mut(self.name) {
                *held -= 1;
            }
            state.unfinished.retain(|_, held| *held > 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_every_guard() {
        let shutdown = Shutdown::default();
        let (first, second) = (shutdown.guard("upload"), shutdown.guard("upload"));
        shutdown.request();
        drop(first);
        let overdue = shutdown.finished(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(overdue.to_string(), "not finished within 0.001 s: upload");
        drop(second);
        assert_eq!(shutdown.finished(Duration::from_secs(60)).await, Ok(()));
    }

    #[tokio::test]
    async fn every_clone_hears_the_request() {
        let shutdown = Shutdown::default();
        let clone = shutdown.clone();
        let waiting = tokio::spawn(async move { clone.requested().await });
        assert!(!shutdown.is_requested());
        shutdown.request();
        waiting.await.unwrap();
        assert!(shutdown.is_requested());
    }
}
