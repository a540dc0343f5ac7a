//! Replays the run: recomputes its history and its parameters, window by window.

use super::{
    Run,
    objects::{Missing, Objects},
    unknown::{StepError, Unknown},
};
use base::{
    BlockHash, Hotkey, Window,
    digest::{State, StateRoot},
};
use codec::aggregate::{ClipBounds, StepNorms, outer_step};
use protocol::{acceptance::Decision, announcement::Possession, history::History, progress::Progress};
use std::{ops::Range, sync::Arc};

/// The position of a replay: history and parameters at the start of a window.
pub(super) struct StateReplay<'a> {
    run: &'a Run,
    history: Result<History, Unknown>,
    parameters: Result<Parameters, Unknown>,
}

/// The shared parameters at the start of a window.
struct Parameters {
    values: Vec<f32>,
    root: StateRoot,
    norms: Option<StepNorms>,
}

impl<'a> StateReplay<'a> {
    /// Begins a replay at the start of the run.
    pub(super) fn begin(run: &'a Run) -> Self {
        let Progress { history, root, norms, .. } = Progress::initial(&run.spec);
        let values = run.flat.initial(&run.spec.initial.seed);
        let found = run.flat.state_root(&values, run.threads);
        let parameters = if found == root {
            Ok(Parameters { values, root, norms })
        } else {
            Err(Unknown::Initial { expected: root, found })
        };
        Self { run, history: Ok(history), parameters }
    }

    /// Begins a replay at a later window, with parameters that were verified.
    pub(super) fn resume(run: &'a Run, progress: Progress, values: Vec<f32>) -> Self {
        let Progress { history, root, norms, .. } = progress;
        Self { run, history: Ok(history), parameters: Ok(Parameters { values, root, norms }) }
    }

    /// Returns the history of all earlier windows, or the reason why it is unknown.
    pub(super) fn history(&self) -> Result<&History, &Unknown> {
        self.history.as_ref()
    }

    /// Returns the state root and the state that a vote on the window must name, or the reason why they
    /// are unknown.
    pub(super) fn state(&self) -> Result<(StateRoot, State), Unknown> {
        let root = self.parameters.as_ref().map_err(Unknown::clone)?.root;
        Ok((root, self.history().map_err(Unknown::clone)?.state(&root)))
    }

    /// Returns the state that submissions of a decided window must be trained from. If the parameters are
    /// unknown, the state that the majority names takes their place, and still allows checking objects.
    pub(super) fn base(&self, decision: &Decision) -> Option<State> {
        let spec = &self.run.spec.acceptance;
        let state = self.state().map(|(_, state)| state).ok().or(decision.state)?;
        match self.history() {
            Ok(history) => Some(history.base(state, spec)),
            Err(_) => (!spec.overlaps()).then_some(state),
        }
    }

    /// Computes the possession of the parameters at the window's start for a holder, or returns the reason
    /// why they are unknown. `seed` is the hash that draws the leaves.
    pub(super) fn possession(&self, holder: Hotkey, seed: BlockHash) -> Result<Possession, Unknown> {
        let values = &self.parameters.as_ref().map_err(Unknown::clone)?.values;
        let read = |places: Range<usize>| Ok(values[places].to_vec());
        Possession::of(holder, seed, &self.run.flat, read)
    }

    /// Checks whether both history and parameters are known.
    pub(super) fn is_known(&self) -> bool {
        self.state().is_ok()
    }

    /// Skips a window whose decision cannot be known. History and parameters are unknown after it.
    pub(super) fn lose(&mut self, window: Window, why: &Unknown) {
        let why = Unknown::Window { window, source: Arc::new(why.clone()) };
        self.history = Err(why.clone());
        self.parameters = Err(why);
    }

    /// Applies a decided window: computes its outer step with the accepted objects.
    pub(super) fn apply(&mut self, decision: &Decision, found: Objects) {
        let state = self.state().map(|(_, state)| state).or_else(|why| decision.state.ok_or(why));
        if let Ok(history) = &mut self.history
            && let Err(why) = state.and_then(|state| Ok(history.push(decision, state)?))
        {
            self.history = Err(why);
        }
        if let Ok(parameters) = &mut self.parameters
            && let Err(source) = parameters.step(self.run, decision, found)
        {
            let source = Arc::new(source);
            self.parameters = Err(Unknown::Step { window: decision.window, source });
        }
    }
}

impl Parameters {
    fn step(&mut self, run: &Run, decision: &Decision, mut found: Objects) -> Result<(), StepError> {
        // A window without an outer step changes neither parameters nor norms.
        if decision.applied().is_empty() {
            return Ok(());
        }
        let mut objects = Vec::with_capacity(decision.applied().len());
        for accepted in decision.applied() {
            let object = accepted.object;
            let found = found.remove(&object).map_or(Err(Missing::Unsought), |found| found.object);
            objects.push(found.map_err(|source| StepError::Object { object, source })?);
        }
        let mut tensors = run.flat.split_mut(&mut self.values);
        let full = run.spec.train.full_work(decision.window);
        let bounds = ClipBounds { last: self.norms.as_ref(), full };
        let norms = outer_step(&mut tensors, &objects, bounds, run.threads);
        self.norms = Some(norms.map_err(|error| StepError::Aggregate(Arc::new(error)))?);
        self.root = run.flat.state_root(&self.values, run.threads);
        Ok(())
    }
}
