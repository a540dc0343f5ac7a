//! What lives, what is ready, and why not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The health of a process, made of its components'. Clones share one state.
///
/// *Live* means that restarting would not help; *ready* means that the process does its work now.
///
/// ```
/// let health = telemetry::Health::default();
/// let chain = health.component("chain");
/// assert_eq!(health.report().reasons["chain"], "starting");
/// chain.ready();
/// assert!(health.report().ready);
/// chain.not_ready("no finalized block for 60 s");
/// assert!(health.report().live && !health.report().ready);
/// drop(chain); // its task has ended: nobody does this work any more
/// assert!(!health.report().live);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, State>>>);

#[derive(Debug)]
struct State {
    condition: Condition,
    /// How long the component may be silent, and when it was last heard.
    heard: Option<(Duration, Instant)>,
}

#[derive(Debug)]
enum Condition {
    Ready,
    NotReady(String),
    Dead(String),
}

/// One component's side of [`Health`]. Dropping it means that the component has ended, which makes the process not live.
#[derive(Debug)]
pub struct Component {
    health: Health,
    name: &'static str,
}

/// What [`Health`] says at a moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// No component is dead or overdue.
    pub live: bool,
    /// Every component is ready, and the process is live.
    pub ready: bool,
    /// For each component that is not ready: why.
    pub reasons: BTreeMap<&'static str, String>,
}

impl Health {
    /// A new component, which is not ready ("starting"). Of two with the same name the later one counts.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        self.enter(name, None)
    }

    /// A component that must call [`Component::beat`] at least once in `silence`, or the process is not live: for loops
    /// that can hang.
    #[must_use]
    pub fn watched(&self, name: &'static str, silence: Duration) -> Component {
        self.enter(name, Some((silence, Instant::now())))
    }

    fn enter(&self, name: &'static str, heard: Option<(Duration, Instant)>) -> Component {
        let condition = Condition::NotReady("starting".to_owned());
        self.states().insert(name, State { condition, heard });
        Component { health: self.clone(), name }
    }

    /// How it stands now.
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
                (_, Some((silence, _))) => (true, format!("not heard for more than {} s", silence.as_secs())),
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
    /// The component does its work.
    pub fn ready(&self) {
        self.set(Condition::Ready);
    }

    /// The component waits for something, and will go on when it is there.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Condition::NotReady(reason.into()));
    }

    /// The component cannot go on: only a restart helps.
    pub fn dead(&self, reason: impl Into<String>) {
        self.set(Condition::Dead(reason.into()));
    }

    /// The component's loop turns.
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
        assert_eq!(late.reasons["chain"], "not heard for more than 60 s");
    }
}
