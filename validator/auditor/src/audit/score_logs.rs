//! Downloads the score logs of all validators.

use super::{
    Auditor, Run,
    logs::{SEARCH, ValidatorLogs},
    sources::Sources,
};
use crate::{AuditError, Windows, progress::Progress};
use base::{NeuronId, Uid, Window};
use exchange::BlockState;
use futures::future::join_all;
use scoring::score_log::ScoreLog;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// The score logs of each validator.
pub(super) type ScoreLogs = BTreeMap<NeuronId, ValidatorLogs>;

/// Validators, each with a state of the chain in which it has a permit.
pub(super) type Validators = BTreeMap<NeuronId, Arc<BlockState>>;

/// All score logs of some windows.
#[derive(Debug, Default)]
pub(crate) struct Audited {
    /// The logs in the order of windows, each with the uid of its validator.
    pub(crate) logs: Vec<(Uid, ScoreLog)>,
    /// The reason for each log that could not be read.
    pub(crate) failures: Vec<String>,
}

/// Adds the validators of a state that may vote and announce a bucket. Validators that are present stay
/// as they are.
pub(super) fn add(validators: &mut Validators, state: &Arc<BlockState>) {
    let with_bucket = |(id, _): &(NeuronId, u16)| state.bucket(&id.hotkey).is_some();
    for (id, _) in state.permitted().into_iter().filter(with_bucket) {
        validators.entry(id).or_insert_with(|| Arc::clone(state));
    }
}

/// Downloads the logs of these validators. Windows from `decided` on have no logs.
pub(super) async fn read(
    run: &Run,
    sources: &Sources,
    validators: Validators,
    (windows, decided): (Range<u64>, u64),
    progress: &Progress,
) -> ScoreLogs {
    progress.say(&format!("downloading the score logs of {} validators", validators.len()));
    let windows = (windows, decided);
    let reads = validators.iter().map(|(validator, state)| {
        let windows = windows.clone();
        async move { (*validator, ValidatorLogs::read(run, sources, *validator, state, windows).await) }
    });
    let mut logs: ScoreLogs = join_all(reads).await.into_iter().collect();
    doubt_refusals(&mut logs);
    logs
}

/// Returns the newest of the last [`SEARCH`] decided windows of which any of these validators has published a
/// valid log.
pub(super) async fn newest(
    run: &Run,
    sources: &Sources,
    validators: &Validators,
    last: Window,
) -> Option<Window> {
    for window in (0..=last.0).rev().take(SEARCH as usize).map(Window) {
        let fetches = validators.iter().map(|(validator, state)| {
            let state = sources.of(validator, state);
            sources.fetcher.score_log(state, validator, &run.hash, window)
        });
        if join_all(fetches).await.iter().any(Result::is_ok) {
            return Some(window);
        }
    }
    None
}

/// Takes no log for absent if more than half of the buckets forbid all of theirs: the cause may be this
/// machine, as a validator assumes of itself. One such bucket is its owner's fault.
fn doubt_refusals(logs: &mut ScoreLogs) {
    let refused = logs.values().filter(|logs| logs.are_forbidden()).count();
    if 2 * refused > logs.len() {
        logs.values_mut().for_each(ValidatorLogs::doubt_forbidden);
    }
}

impl Auditor {
    /// Downloads the score logs of all validators in these windows. Checks their signatures, but does
    /// not replay them.
    pub(crate) async fn logs(&self, windows: &Windows) -> Result<Audited, AuditError> {
        let finalized = self.chain_reader.finalized().await?;
        let windows = windows.of(&self.run.clock, self.log_delay(finalized).await?, finalized)?;
        let sources = Sources::new(self.storage.clone(), self.chain_reader.at(finalized).await?);
        let validators = self.validators(windows.clone(), &sources).await?;
        let uids: BTreeMap<NeuronId, Uid> =
            (validators.iter()).filter_map(|(id, state)| Some((*id, state.neuron(&id.hotkey)?.1))).collect();
        let decided = windows.end;
        let score_logs =
            read(&self.run, &sources, validators, (windows.clone(), decided), &self.progress).await;
        let mut audited = Audited::default();
        for window in windows.map(Window) {
            for (validator, logs) in &score_logs {
                let uid = uids.get(validator).copied().unwrap_or_default();
                audited.logs.extend(logs.log(window).map(|log| (uid, log.clone())));
                let failure = logs.failure(window);
                let name = |why| format!("window {window}, validator {uid} ({}): {why}", validator.hotkey);
                audited.failures.extend(failure.map(name));
            }
        }
        Ok(audited)
    }

    /// Returns the validators of these windows that announce a bucket: those with a permit then, and those
    /// with one now. If the node has dropped the state of a window, only the latter.
    pub(super) async fn validators(
        &self,
        windows: Range<u64>,
        sources: &Sources,
    ) -> Result<Validators, AuditError> {
        let mut validators = Validators::new();
        for window in windows.map(Window) {
            let heights = self.run.clock.heights(window).map_err(protocol::run_spec::RunSpecError::from)?;
            if let Ok(state) = self.read(self.chain_reader.at(heights.votes_close).await)? {
                add(&mut validators, &state);
            }
        }
        add(&mut validators, sources.head());
        Ok(validators)
    }
}
