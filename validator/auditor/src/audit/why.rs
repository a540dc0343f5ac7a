//! Explains the pay of one miner by the score logs of all validators: downloads them, checks their signatures
//! and heads, replays them, and explains.

use super::{
    Auditor, Run,
    explanations::explained,
    logs::{self, ValidatorLogs},
    score_logs::{self, ScoreLogs},
    sources::Sources,
};
use crate::{
    AuditError, WindowsError,
    report::Verdict,
    why::{LeftOut, LogWhy, Reason, Why, WhyError},
};
use base::{Height, Hotkey, NeuronId, Window, digest::ScoreLogHead};
use exchange::BlockState;
use protocol::run_spec::RunSpecError;
use scoring::score_log::Results;
use std::collections::BTreeMap;

/// Number of windows after a log whose votes may name its head.
const VOTES: u64 = 2;

/// The heads that the votes of a validator name, by the window of the vote.
type Named = BTreeMap<Window, ScoreLogHead>;

impl Auditor {
    /// Explains the pay of a miner in a window, or in the newest one with a score log.
    ///
    /// # Errors
    /// The window is not decided yet, no log of it can be used, or no log names the miner; or the chain
    /// cannot be reached.
    pub(crate) async fn why(&self, hotkey: Hotkey, asked: Option<Window>) -> Result<Why, AuditError> {
        let block = self.chain_reader.finalized().await?;
        let decided = self.decided(asked, block)?;
        let sources = Sources::new(self.storage.clone(), self.chain_reader.at(block).await?);
        let window = match asked {
            Some(window) => window,
            None => self.newest(&sources, decided).await?,
        };
        let score_logs = self.logs_of(window, decided, &sources).await?;
        let named = self.named(window, decided).await?;
        let question = Question { run: &self.run, hotkey, window, now: sources.head() };
        let none = Named::new();
        let (mut logs, mut left_out) = (Vec::new(), Vec::new());
        for (validator, validator_logs) in &score_logs {
            match question.answer(validator_logs, named.get(validator).unwrap_or(&none)) {
                Ok(log) => logs.push(log),
                Err(reason) => left_out.push(question.left_out(validator, reason)),
            }
        }
        let (name, run, is_newest) = (self.run.spec.name.clone(), self.run.hash, asked.is_none());
        Ok(Why { name, run, hotkey, window, is_newest, block, logs, left_out }.checked()?)
    }

    /// Returns the last decided window.
    fn decided(&self, asked: Option<Window>, block: Height) -> Result<Window, AuditError> {
        let clock = &self.run.clock;
        let last = clock.last_window();
        if let Some(Window(found)) = asked.filter(|&window| window > last) {
            return Err(WindowsError::Beyond { found, last }.into());
        }
        let newest = clock.last_decided(block);
        let window = asked.or(newest).unwrap_or_default();
        match newest {
            Some(newest) if window <= newest => Ok(newest),
            newest => {
                let due = clock.heights(window).map_err(RunSpecError::from)?.votes_close;
                Err(WhyError::Undecided { window, due, block, newest }.into())
            }
        }
    }

    /// Returns the newest window with a score log.
    async fn newest(&self, sources: &Sources, decided: Window) -> Result<Window, AuditError> {
        let validators = self.validators(decided.0..decided.0 + 1, sources).await?;
        let newest = score_logs::newest(&self.run, sources, &validators, decided).await;
        let (validators, searched) = (validators.len(), logs::SEARCH.min(decided.0 + 1));
        Ok(newest.ok_or(WhyError::NoLog { validators, searched, decided })?)
    }

    async fn logs_of(
        &self,
        window: Window,
        decided: Window,
        sources: &Sources,
    ) -> Result<ScoreLogs, AuditError> {
        let asked = window.0..window.0 + 1;
        let validators = self.validators(asked.clone(), sources).await?;
        let windows = (asked, decided.0 + 1);
        Ok(score_logs::read(&self.run, sources, validators, windows, &self.progress).await)
    }

    /// Returns the heads that the votes after a window name.
    async fn named(&self, window: Window, decided: Window) -> Result<BTreeMap<NeuronId, Named>, AuditError> {
        let mut named: BTreeMap<NeuronId, Named> = BTreeMap::new();
        for later in (window.0 + 1..=decided.0).take(VOTES as usize).map(Window) {
            let heights = self.run.clock.heights(later).map_err(RunSpecError::from)?;
            // If the node has dropped this state, the head stays unconfirmed.
            let Ok(state) = self.read(self.chain_reader.at(heights.votes_close).await)? else { continue };
            for (voter, vote) in state.votes(self.run.id, &heights) {
                named.entry(voter).or_default().insert(later, vote.score_log);
            }
        }
        Ok(named)
    }
}

/// A question about one miner and one window.
struct Question<'a> {
    run: &'a Run,
    hotkey: Hotkey,
    window: Window,
    /// The newest state of the chain.
    now: &'a BlockState,
}

impl Question<'_> {
    /// Explains the miner by the log of one validator.
    fn answer(&self, logs: &ValidatorLogs, named: &Named) -> Result<LogWhy, Reason> {
        let (results, named_in) = self.check(logs, named).map_err(Reason::Unusable)?;
        let log = (self.window, &results);
        let pay = explained(self.run, logs, log, self.now, Some(self.hotkey)).ok_or(Reason::Unnamed)?;
        let miner = pay.miners.into_iter().next().ok_or(Reason::Unnamed)?;
        Ok(LogWhy { validator: pay.validator, uid: pay.uid, head: pay.head, named_in, pay: miner })
    }

    /// Returns the results of a log's replay, and the window of the vote that names its head. Signature and
    /// inner chain were checked with the download.
    fn check(&self, logs: &ValidatorLogs, named: &Named) -> Result<(Results, Option<Window>), Verdict> {
        let log = logs.log(self.window).ok_or_else(|| logs.defect(self.window))?;
        // The vote on the next window names this log, or the one before it.
        let next = Window(self.window.0 + 1);
        let vote = named.get(&next).map(|head| logs.head(next, *head));
        if let Some(differs @ Verdict::Differ { .. }) = vote {
            return Err(differs);
        }
        let head = log.head();
        let named_in = named.iter().find(|(_, named)| **named == head).map(|(window, _)| *window);
        let replayed = logs::replay(self.run, logs).remove(&self.window);
        let results = replayed.unwrap_or_else(|| Err(logs.defect(self.window)))?;
        Ok((results, named_in))
    }

    fn left_out(&self, validator: &NeuronId, reason: Reason) -> LeftOut {
        let uid = self.now.metagraph.by_hotkey(&validator.hotkey).map(|neuron| neuron.uid);
        LeftOut { validator: validator.hotkey, uid, reason }
    }
}
