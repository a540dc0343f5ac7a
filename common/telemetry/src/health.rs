//! [`Health`]: which components of a process are live, which are ready, and the reasons of the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
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
pub struct Health(Arc<Mutex<BTreeMap<&'static str, State>>>);

#[derive(Debug)]
struct State {
    condition: Condition,
    /// The maximum time between two beats, and the time of the last beat.
    heard: Option<(Duration, Instant)>,
}

#[derive(Debug)]
enum Condition {
    Ready,
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// True if no component is dead or overdue.
    pub live: bool,
    /// True if every component is ready and the process is live.
    pub ready: bool,
    /// The reason of each component that is not ready.
    pub reasons: BTreeMap<&'static str, String>,
}

impl Health {
    /// Adds a component, which is not ready at first ("starting"). A later component replaces one of
    /// the same name.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        self.enter(name, None)
    }

    /// Adds a component whose loop can hang. If it does not call [`Component::beat`] at least once in
    /// `silence`, the process is not live.
    #[must_use]
    pub fn watched(&self, name: &'static str, silence: Duration) -> Component {
        self.enter(name, Some((silence, Instant::now())))
    }

    fn enter(&self, name: &'static str, heard: Option<(Duration, Instant)>) -> Component {
        let condition = Condition::NotReady("starting".to_owned());
        self.states().insert(name, State { condition, heard });
        Component { health: self.clone(), name }
    }

    /// Returns the health now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report_at(Instant::now())
    }

    fn report_at(&self, now: Instant) -> Report {
        let mut report = Report { live: true, ready: true, reasons: BTreeMap::new() };
        for (&name, state) in self.states().iter() {
            let overdue =
                state.heard.filter(|(silence, last)| now.saturating_duration_since(*last) > *silence);
            let reason = match (&state.condition, overdue) {
                (Condition::Dead(reason), _) => (true, reason.clone()),
                (_, Some((silence, _))) => (true, format!("no beat for more than {} s", silence.as_secs())),
                (Condition::NotReady(reason), None) => (false, reason.clone()),
                (Condition::Ready, None) => continue,
            };
            report.live &= !reason.0;
            report.reasons.insert(name, reason.1);
        }
        report.ready = report.reasons.is_empty();
        report
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    /// Marks the component as ready: it does its work.
    pub fn ready(&self) {
        self.set(Condition::Ready);
    }

    /// Marks the component as not ready: it waits for something, and will continue by itself.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Condition::NotReady(reason.into()));
    }

    /// Marks the component as dead: only a restart helps.
    pub fn dead(&self, reason: impl Into<String>) {
        self.set(Condition::Dead(reason.into()));
    }

    /// Reports that the component's loop is running.
    pub fn beat(&self) {
        if let Some(State { heard: Some((_, last)), .. }) = self.health.states().get_mut(self.name) {
            *last = Instant::now();
        }
    }

    fn set(&self, condition: Condition) {
        if let Some(state) = self.health.states().get_mut(self.name) {
            state.condition = condition;
        }
        self.beat();
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        if let Some(state) = self.health.states().get_mut(self.name)
            && !matches!(state.condition, Condition::Dead(_))
        {
            state.condition = Condition::Dead("ended".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_components_is_ready() {
        assert_eq!(Health::default().report(), Report { live: true, ready: true, reasons: BTreeMap::new() });
    }

    #[test]
    fn a_dead_component_keeps_its_reason() {
        let health = Health::default();
        health.component("train").dead("out of memory");
        assert_eq!(health.report().reasons["train"], "out of memory");
        assert!(!health.report().live);
    }

    #[test]
    fn a_loop_that_hangs_is_not_live() {
        let health = Health::default();
        let chain = health.watched("chain", Duration::from_secs(60));
        chain.ready();
        let now = Instant::now();
        assert!(health.report_at(now).ready);
        let late = health.report_at(now + Duration::from_secs(61));
        assert!(!late.live && !late.ready);
        assert_eq!(late.reasons["chain"], "no beat for more than 60 s");
    }
}
