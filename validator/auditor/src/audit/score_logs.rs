//! The score logs of all validators.

use super::{Auditor, Run, logs::ValidatorLogs, sources::Sources};
use crate::{AuditError, Windows, progress::Progress};
use base::{NeuronId, Uid, Window};
use exchange::BlockState;
use futures::future::join_all;
use scoring::score_log::ScoreLog;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// The score logs of validators, by their names.
pub(super) type ScoreLogs = BTreeMap<NeuronId, ValidatorLogs>;

/// Validators, each with a state in which it is one.
pub(super) type Validators = BTreeMap<NeuronId, Arc<BlockState>>;

/// All score logs of some windows.
#[derive(Debug, Default)]
pub(crate) struct Audited {
    /// Each with the uid of its validator, by windows.
    pub(crate) logs: Vec<(Uid, ScoreLog)>,
    /// What could not be read, and why.
    pub(crate) troubles: Vec<String>,
}

/// Adds who may vote in a state and has a bucket, unless an earlier state of it is known.
pub(super) fn add(validators: &mut Validators, state: &Arc<BlockState>) {
    let with_bucket = |(id, _): &(NeuronId, u16)| state.bucket(&id.hotkey).is_some();
    for (id, _) in state.permitted().into_iter().filter(with_bucket) {
        validators.entry(id).or_insert_with(|| Arc::clone(state));
    }
}

/// Reads the logs of these validators. Of windows from `decided` on there are no logs.
pub(super) async fn read(
    run: &Run,
    sources: &Sources,
    validators: Validators,
    (windows, decided): (Range<u64>, u64),
    progress: &Progress,
) -> ScoreLogs {
    progress.say(&format!("score logs of {} validators", validators.len()));
    let windows = (windows, decided);
    let reads = validators.iter().map(|(validator, state)| {
        let windows = windows.clone();
        async move { (*validator, ValidatorLogs::read(run, sources, *validator, state, windows).await) }
    });
    join_all(reads).await.into_iter().collect()
}

impl Auditor {
    /// The score logs of all validators in these windows, as they are signed.
    pub(crate) async fn logs(&self, windows: &Windows) -> Result<Audited, AuditError> {
        let finalized = self.chain_reader.finalized().await?;
        let windows = windows.of(&self.run.clock, finalized)?;
        let sources = Sources::new(self.storage.clone(), self.chain_reader.at(finalized).await?);
        let mut validators = Validators::new();
        for window in windows.clone().map(Window) {
            // Who held a permit then; where nodes have forgotten that, who holds one now must do.
            let heights = self.run.clock.heights(window).map_err(protocol::run_spec::RunSpecError::from)?;
            if let Ok(state) = self.read(self.chain_reader.at(heights.votes_close).await)? {
                add(&mut validators, &state);
            }
        }
        add(&mut validators, sources.head());
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
                let trouble = logs.hidden(window);
                let name = |why| format!("window {window}, validator {uid} ({}): {why}", validator.hotkey);
                audited.troubles.extend(trouble.map(name));
            }
        }
        Ok(audited)
    }
}
