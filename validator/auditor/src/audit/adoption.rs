//! Compares the standings that a validator's first log begins from with those after the log that it names.

use super::{Audit, score_logs::ScoreLogs};
use crate::report::{Adoption, Finding, Item, Subject, Verdict};
use base::{ErrorChain, NeuronId};
use exchange::BlockState;
use scoring::score_log::{Adopted, ScoreLog};
use std::{collections::BTreeSet, sync::Arc};

impl Audit<'_> {
    /// Checks the standings of those logs of the requested windows that begin from another validator's
    /// standings.
    pub(super) async fn compare_adoptions(&mut self, score_logs: &ScoreLogs) {
        for (&window, seen) in self.seen.iter().filter(|(window, _)| self.asked.contains(&window.0)) {
            let Ok(chain) = &seen.chain else { continue };
            for (validator, logs) in score_logs {
                let Some(log) = logs.log(window) else { continue };
                let Some(adopted) = log.header.adopted else { continue };
                let subject = Subject::Validator(*validator, chain.uid(validator));
                let verdict = match self.adopted_log(score_logs, &chain.at, &adopted).await {
                    Ok(source) => compare(log, &adopted, &source),
                    Err(why) => Verdict::unknown(why),
                };
                self.found.push((window, Finding { subject, item: Item::Adopted, verdict }));
                self.adoptions.push((window, Adoption { subject, adopted }));
            }
        }
    }

    /// Returns the log whose standings were adopted, or the reason why it cannot be read. `then` is a state
    /// of the chain in the window of the log that begins from them.
    async fn adopted_log(
        &self,
        score_logs: &ScoreLogs,
        then: &Arc<BlockState>,
        adopted: &Adopted,
    ) -> Result<ScoreLog, String> {
        let Adopted { validator, window, .. } = adopted;
        // The hotkey may have registered again since then, or may have lost its permit.
        let known = score_logs.keys().filter(|id| id.hotkey == *validator).copied();
        let registered = self.sources.states(then).filter_map(|state| state.neuron(validator));
        let ids: BTreeSet<NeuronId> = known.chain(registered.map(|(id, _)| id)).collect();
        let mut why = format!("{validator} is not registered");
        for id in ids {
            if let Some(source) = score_logs.get(&id).and_then(|logs| logs.log(*window)) {
                return Ok(source.clone());
            }
            let (state, run) = (self.sources.of(&id, then), &self.auditor.run.hash);
            match self.sources.fetcher.score_log(state, &id, run, *window).await {
                Ok(source) => return Ok(source),
                Err(error) => why = ErrorChain(&error).to_string(),
            }
        }
        Err(format!("the adopted score log of window {window}: {why}"))
    }
}

/// Compares a log with the one whose standings it adopts.
fn compare(log: &ScoreLog, adopted: &Adopted, source: &ScoreLog) -> Verdict {
    let head = source.head();
    if head != adopted.head {
        return Verdict::differ("the head of the adopted score log", adopted.head, head);
    }
    Verdict::same("the adopted standings", log.header.standings, source.stated.standings.hash())
}
