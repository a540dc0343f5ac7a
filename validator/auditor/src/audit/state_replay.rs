//! Replays the run: recomputes its history and its parameters, window by window.

use super::{
    Run,
    objects::{Missing, Objects},
};
use base::{
    Window,
    digest::{State, StateRoot},
};
use codec::aggregate::{Medians, outer_step};
use protocol::{acceptance::Decision, history::History, progress::Progress};

/// The position of a replay: history and parameters at the start of a window.
pub(super) struct StateReplay<'a> {
    run: &'a Run,
    history: Result<History, String>,
    parameters: Result<Parameters, String>,
}

/// The shared parameters at the start of a window.
struct Parameters {
    values: Vec<f32>,
    root: StateRoot,
    medians: Option<Medians>,
}

impl<'a> StateReplay<'a> {
    /// Begins a replay at the start of the run.
    pub(super) fn begin(run: &'a Run) -> Self {
        let Progress { history, root, medians, .. } = Progress::initial(&run.spec);
        let values = run.flat.initial(&run.spec.initial.seed);
        let found = run.flat.state_root(&values, run.threads);
        let parameters = match found == root {
            true => Ok(Parameters { values, root, medians }),
            false => Err(format!(
                "the initial parameters have the state root {found}, but the run spec has {root}"
            )),
        };
        Self { run, history: Ok(history), parameters }
    }

    /// Begins a replay at a later window, with parameters that were verified.
    pub(super) fn resume(run: &'a Run, progress: Progress, values: Vec<f32>) -> Self {
        let Progress { history, root, medians, .. } = progress;
        Self { run, history: Ok(history), parameters: Ok(Parameters { values, root, medians }) }
    }

    /// Returns the history of all earlier windows, or the reason why it is unknown.
    pub(super) fn history(&self) -> Result<&History, &str> {
        self.history.as_ref().map_err(String::as_str)
    }

    /// Returns the state root and the state that a vote on the window must name, or the reason why they
    /// are unknown.
    pub(super) fn state(&self) -> Result<(StateRoot, State), &str> {
        let root = self.parameters.as_ref().map_err(String::as_str)?.root;
        Ok((root, self.history()?.state(&root)))
    }

    /// Checks whether both history and parameters are known.
    pub(super) fn is_known(&self) -> bool {
        self.state().is_ok()
    }

    /// Skips a window whose decision cannot be known. History and parameters are unknown after it.
    pub(super) fn lose(&mut self, window: Window, why: &str) {
        let why = format!("the decision on window {window} is unknown ({why})");
        self.history = Err(why.clone());
        self.parameters = Err(why);
    }

    /// Applies a decided window: computes its outer step with the accepted objects.
    pub(super) fn apply(&mut self, decision: &Decision, found: Objects) {
        if let Ok(history) = &mut self.history
            && let Err(error) = history.push(decision)
        {
            self.history = Err(error.to_string());
        }
        if let Ok(parameters) = &mut self.parameters
            && let Err(why) = parameters.step(self.run, decision, found)
        {
            self.parameters =
                Err(format!("cannot compute the outer step of window {}: {why}", decision.window));
        }
    }
}

impl Parameters {
    fn step(&mut self, run: &Run, decision: &Decision, mut found: Objects) -> Result<(), String> {
        // A window without an outer step changes neither parameters nor medians.
        if decision.applied().is_empty() {
            return Ok(());
        }
        let mut objects = Vec::with_capacity(decision.applied().len());
        for accepted in decision.applied() {
            let found = found.remove(&accepted.object).ok_or("an accepted object was not downloaded")?;
            objects.push(found.object.map_err(|missing| match missing {
                Missing::Invalid(error) => format!("object {}: {error}", accepted.object),
                Missing::Unread(why) => format!("object {} is not available: {why}", accepted.object),
            })?);
        }
        let mut tensors = run.flat.split_mut(&mut self.values);
        let medians = outer_step(&mut tensors, &objects, self.medians.as_ref(), run.threads);
        self.medians = Some(medians.map_err(|error| error.to_string())?);
        self.root = run.flat.state_root(&self.values, run.threads);
        Ok(())
    }
}
