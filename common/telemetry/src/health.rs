//! [`Health`]: which components of a process are live, which are ready, and the reasons of the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The health of a process, computed from that of its components. Clones share one state.
///
/// *Live* means that a restart would not help. *Ready* means that the process does its work now.
///
/// ```
/// let health = telemetry::Health::default();
/// let chain = health.component("chain");
/// assert_eq!(health.report().reasons["chain"], "starting");
/// chain.ready();
/// assert!(health.report().ready);
/// chain.not_ready("no finalized block for 60 s");
/// assert!(health.report().live && !health.report().ready);
/// drop(chain); // its task has ended: no other task does this work
/// assert!(!health.report().live);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Condition>>>);

#[derive(Debug)]
enum Condition {
    Ready,
    /// It works, but something needs the operator.
    Degraded(String),
    NotReady(String),
    Dead(String),
}

/// A component's handle to [`Health`]. Dropping it means that the component has ended: the process is
/// no longer live.
#[derive(Debug)]
pub struct Component {
    health: Health,
    name: &'static str,
}

/// The health at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// True if no component is dead.
    pub live: bool,
    /// True if every component is ready and the process is live.
    pub ready: bool,
    /// The reason of each component that is not ready.
    pub reasons: BTreeMap<&'static str, String>,
    /// The trouble of each component that is ready, but degraded: it works, and needs the operator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub degraded: BTreeMap<&'static str, String>,
}

impl Health {
    /// Adds a component, which is not ready at first ("starting"). A later component replaces one of
    /// the same name.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        self.conditions().insert(name, Condition::NotReady("starting".to_owned()));
        Component { health: self.clone(), name }
    }

    /// Returns the health now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report { live: true, ..Report::default() };
        for (&name, condition) in self.conditions().iter() {
            let (is_dead, reason) = match condition {
                Condition::Dead(reason) => (true, reason.clone()),
                Condition::NotReady(reason) => (false, reason.clone()),
                Condition::Degraded(trouble) => {
                    report.degraded.insert(name, trouble.clone());
                    continue;
                }
                Condition::Ready => continue,
            };
            report.live &= !is_dead;
            report.reasons.insert(name, reason);
        }
        report.ready = report.reasons.is_empty();
        report
    }

    fn conditions(&self) -> MutexGuard<'_, BTreeMap<&'static str, Condition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    /// Marks the component as ready: it does its work.
    pub fn ready(&self) {
        self.set(Condition::Ready);
    }

    /// Marks the component as degraded: it does its work, but something needs the operator.
    pub fn degraded(&self, trouble: impl Into<String>) {
        self.set(Condition::Degraded(trouble.into()));
    }

    /// Marks the component as not ready: it waits for something, and will continue by itself.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Condition::NotReady(reason.into()));
    }

    /// Marks the component as dead: only a restart helps.
    pub fn dead(&self, reason: impl Into<String>) {
        self.set(Condition::Dead(reason.into()));
    }

    fn set(&self, condition: Condition) {
        if let Some(now) = self.health.conditions().get_mut(self.name) {
            *now = condition;
        }
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        if let Some(condition) = self.health.conditions().get_mut(self.name)
            && !matches!(condition, Condition::Dead(_))
        {
            *condition = Condition::Dead("ended".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_components_is_ready() {
        assert_eq!(Health::default().report(), Report { live: true, ready: true, ..Report::default() });
    }

    #[test]
    fn a_degraded_component_is_ready_and_says_why() {
        let health = Health::default();
        let clock = health.component("clock");
        clock.degraded("40 s ahead");
        let report = health.report();
        assert!(report.live && report.ready && report.reasons.is_empty());
        assert_eq!(report.degraded["clock"], "40 s ahead");
        clock.ready();
        assert!(health.report().degraded.is_empty());
    }

    #[test]
    fn a_dead_component_keeps_its_reason() {
        let health = Health::default();
        health.component("train").dead("out of memory");
        assert_eq!(health.report().reasons["train"], "out of memory");
        assert!(!health.report().live);
    }
}
