//! The run as it must have gone: its history and its parameters, window by window.

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

/// Where the walk is: at the start of a window.
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
    /// At the beginning of the run.
    pub(super) fn begin(run: &'a Run) -> Self {
        let Progress { history, root, medians, .. } = Progress::initial(&run.spec);
        let values = run.flat.initial(&run.spec.initial.seed);
        let found = run.flat.state_root(&values, run.threads);
        let parameters = match found == root {
            true => Ok(Parameters { values, root, medians }),
            false => {
                Err(format!("the initial parameters have the state root {found}, the run spec says {root}"))
            }
        };
        Self { run, history: Ok(history), parameters }
    }

    /// At a later point, from parameters that were checked.
    pub(super) fn resume(run: &'a Run, progress: Progress, values: Vec<f32>) -> Self {
        let Progress { history, root, medians, .. } = progress;
        Self { run, history: Ok(history), parameters: Ok(Parameters { values, root, medians }) }
    }

    /// What was accepted until now.
    pub(super) fn history(&self) -> Result<&History, &str> {
        self.history.as_ref().map_err(String::as_str)
    }

    /// What a vote on the window must name; or why that is not known.
    pub(super) fn state(&self) -> Result<(StateRoot, State), &str> {
        let root = self.parameters.as_ref().map_err(String::as_str)?.root;
        Ok((root, self.history()?.state(&root)))
    }

    /// Whether both history and parameters are known.
    pub(super) fn is_known(&self) -> bool {
        self.state().is_ok()
    }

    /// Goes over a window whose decision cannot be known.
    pub(super) fn lose(&mut self, window: Window, why: &str) {
        let why = format!("window {window} is not known ({why})");
        self.history = Err(why.clone());
        self.parameters = Err(why);
    }

    /// Goes over a decided window: makes its outer step with the accepted objects.
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
                Err(format!("the outer step of window {} cannot be made: {why}", decision.window));
        }
    }
}

impl Parameters {
    fn step(&mut self, run: &Run, decision: &Decision, mut found: Objects) -> Result<(), String> {
        // A window without an outer step leaves parameters and medians as they are.
        if decision.applied().is_empty() {
            return Ok(());
        }
        let mut objects = Vec::with_capacity(decision.applied().len());
        for accepted in decision.applied() {
            let found = found.remove(&accepted.object).ok_or("an accepted object was not looked for")?;
            objects.push(found.object.map_err(|missing| match missing {
                Missing::Invalid(error) => format!("object {}: {error}", accepted.object),
                Missing::Unread(why) => format!("object {} cannot be had: {why}", accepted.object),
            })?);
        }
        let mut tensors = run.flat.split_mut(&mut self.values);
        let medians = outer_step(&mut tensors, &objects, self.medians.as_ref(), run.threads);
        self.medians = Some(medians.map_err(|error| error.to_string())?);
        self.root = run.flat.state_root(&self.values, run.threads);
        Ok(())
    }
}
