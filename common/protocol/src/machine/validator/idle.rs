//! The work between two windows and after the last one: weights, and the logs of earlier windows.

use super::{ValidatorAction, ValidatorMachine, WindowValues};
use base::{Height, Window};
use std::collections::BTreeSet;

impl<V: WindowValues> ValidatorMachine<V> {
    /// Sets the weights of the last window's log after the run, publishes the last logs, then finishes.
    pub(super) fn end(&self, height: Height) -> ValidatorAction<V> {
        if self.weights_due().is_none() && self.unpublished.is_empty() {
            return ValidatorAction::Finish;
        }
        self.weights_logs_or_wait(Height(u64::MAX), height)
    }

    /// Sets weights if they are due and the chain allows it, else publishes logs whose time has come.
    /// Otherwise waits for either, at most until `until`.
    pub(super) fn weights_logs_or_wait(&self, until: Height, height: Height) -> ValidatorAction<V> {
        let weights = self.weights_due();
        if let Some(window) = weights.filter(|_| height >= self.opens) {
            return ValidatorAction::SetWeights { window };
        }
        let windows = self.free_logs(height);
        if !windows.is_empty() {
            return ValidatorAction::PublishLogs { windows };
        }
        let opens = weights.map(|_| self.opens);
        let logs = self.unpublished.next(&self.rules.clock, &self.weighed);
        ValidatorAction::Wait([opens, logs].into_iter().flatten().fold(until, Height::min))
    }

    /// Returns the windows whose score logs may be published now.
    pub(super) fn free_logs(&self, height: Height) -> BTreeSet<Window> {
        self.unpublished.free(&self.rules.clock, &self.weighed, height)
    }

    /// Returns the window whose weights should be on chain and are not.
    fn weights_due(&self) -> Option<Window> {
        self.logged.filter(|_| self.logged > self.weighed.newest())
    }
}
