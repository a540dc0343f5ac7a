//! The audit: compares the statements about each window with the values that follow from chain and objects.
//!
//! [`Auditor::audit`] replays the run up to the requested windows. It begins at the start of the run,
//! or at a checkpoint if earlier objects are gone ([`resume`]). For each window it reads the chain once
//! ([`seen`]), downloads the objects ([`objects`]), checks the votes ([`votes`]) and applies the
//! accepted objects ([`state_replay`]). Then it compares score logs ([`logs`]), the standings that first
//! logs begin from ([`adoption`]), weights on chain ([`weights`]) and the records of windows ([`records`]).
//! It also marks validators that do not work: a log with copied measurements ([`own_data`]), weights that
//! follow no log or another's ([`weights`]), and dividends without votes ([`dividends`]).

mod adoption;
mod dividends;
mod explanations;
mod history;
mod logs;
mod objects;
mod own_data;
mod records;
mod resume;
mod score_logs;
mod seen;
mod sources;
mod state_replay;
mod unknown;
mod votes;
mod weights;
mod why;

pub(crate) use crate::run::Run;
pub(crate) use score_logs::Audited;

use crate::{
    AuditError, Windows,
    pay::LogPay,
    progress::Progress,
    report::{Adoption, Finding, Gone, Item, Report, Subject, Verdict, WindowReport},
};
use base::{Exit, Height, NeuronId, Uid, Window, digest::State};
use chain::Client;
use exchange::{BlockState, ChainReader, WindowEvidence};
use objects::{Objects, Search};
use protocol::{
    acceptance::{Decision, Electorate, decide},
    clock::Heights,
    run_spec::RunSpecError,
};
use resume::Resumption;
use score_logs::{ScoreLogs, Validators};
use seen::{Chain, Seen};
use sources::Sources;
use state_replay::StateReplay;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};
use storage::Storage;
use unknown::Unknown;
use votes::Possessions;

/// The auditor of a run.
pub struct Auditor {
    run: Run,
    chain_reader: ChainReader,
    storage: Storage,
    progress: Progress,
}

impl Auditor {
    pub(crate) fn new(run: Run, client: Client, storage: Storage, progress: Progress) -> Self {
        let chain_reader = ChainReader::new(client, run.spec.network.netuid, run.spec.network.mechanism);
        Self { run, chain_reader, storage, progress }
    }

    /// Recomputes these windows and compares them with the published statements.
    ///
    /// # Errors
    /// The run has no such windows, or the chain cannot be reached. A single bucket or block that
    /// cannot be read is not an error: the report names it.
    pub async fn audit(&self, windows: &Windows) -> Result<Report, AuditError> {
        let finalized = self.chain_reader.finalized().await?;
        let log_delay = self.log_delay(finalized).await?;
        let asked = windows.of(&self.run.clock, log_delay, finalized)?;
        let gone = self.gone(&asked).await?;
        let sources = Sources::new(self.storage.clone(), self.chain_reader.at(finalized).await?);
        let mut audit = Audit {
            auditor: self,
            sources,
            asked,
            finalized,
            log_delay,
            seen: BTreeMap::new(),
            found: Vec::new(),
            burnt: BTreeMap::new(),
            pay: Vec::new(),
            adoptions: Vec::new(),
            gone,
        };
        audit.replay().await?;
        let score_logs = audit.score_logs().await;
        audit.compare_logs(&score_logs);
        audit.compare_conduct(&score_logs);
        audit.compare_adoptions(&score_logs).await;
        audit.compare_weights(&score_logs).await?;
        audit.compare_records().await;
        Ok(audit.report())
    }

    /// Returns the number of blocks after a decision in which the window's score logs must be published, by
    /// the subnet's rules at that block.
    async fn log_delay(&self, at: Height) -> Result<u64, AuditError> {
        let hash = self.chain_reader.hash(at).await?;
        let netuid = self.chain_reader.netuid();
        let at = self.chain_reader.snapshot(hash);
        let rules = at.hyperparameters(netuid).await?;
        let hidden = if rules.commit_reveal { at.hidden_blocks(netuid).await? } else { 0 };
        Ok(self.run.clock.log_delay(rules.tempo, hidden))
    }

    /// Returns the audited run.
    pub(crate) fn run(&self) -> &Run {
        &self.run
    }

    /// Returns the value that was read, or the reason why it is unknown. An unreachable chain ends the
    /// audit.
    fn read<T, E: Into<AuditError>>(&self, read: Result<T, E>) -> Result<Result<T, Unknown>, AuditError> {
        match read.map_err(Into::into) {
            Ok(read) => Ok(Ok(read)),
            Err(error) if error.exit() == Exit::Unreachable => Err(error),
            Err(error) => Ok(Err(Unknown::Read(Arc::new(error)))),
        }
    }
}

/// An audit in progress.
struct Audit<'a> {
    auditor: &'a Auditor,
    sources: Sources,
    /// The requested windows.
    asked: Range<u64>,
    finalized: Height,
    /// The number of blocks after a decision in which the window's score logs must be published.
    log_delay: u64,
    /// The chain data of the requested windows, of the one before them and of the one after them.
    seen: BTreeMap<Window, Seen>,
    found: Vec<(Window, Finding)>,
    /// The share of the weights that is burnt after each requested window.
    burnt: BTreeMap<Window, f64>,
    /// The pay of all miners by each log, in an audit of one window.
    pay: Vec<LogPay>,
    /// The first logs of validators that begin from another validator's standings.
    adoptions: Vec<(Window, Adoption)>,
    /// The requested windows of which the node no longer has the states.
    gone: Option<Gone>,
}

impl Audit<'_> {
    /// Replays the windows, from the start of the run or from a checkpoint.
    async fn replay(&mut self) -> Result<(), AuditError> {
        let run = &self.auditor.run;
        let mut replay = StateReplay::begin(run);
        let mut window = Window(0);
        let mut resumption = None;
        // Includes the window after the requested ones: votes on it name their last score log.
        while window.0 <= self.asked.end && window <= run.clock.last_window() {
            self.auditor.progress.say(&format!("window {window} of {}", self.asked.end));
            let heights = run.clock.heights(window).map_err(RunSpecError::from)?;
            if window.0 == self.asked.end && heights.votes_close > self.finalized {
                break;
            }
            if let Some(here) =
                resumption.take_if(|resumption: &mut Resumption| resumption.window() == window)
            {
                replay = here.replay(run);
            }
            let known = replay.is_known();
            self.step(&mut replay, heights).await?;
            if known && !replay.is_known() && window.0 + 1 < self.asked.end {
                resumption = self.resumption(window).await?;
            }
            window = resume::next(window, resumption.as_ref(), self.asked.start);
        }
        Ok(())
    }

    /// Replays one window: reads the chain and the objects, checks the votes, computes the outer step.
    async fn step(&mut self, replay: &mut StateReplay<'_>, heights: Heights) -> Result<(), AuditError> {
        let window = heights.window;
        let state = replay.state();
        let is_asked = self.asked.contains(&window.0);
        let evidence = self.auditor.read(self.auditor.chain_reader.evidence(&heights).await)?;
        let decided = evidence.and_then(|evidence| {
            let decision = self.decide(&heights, &evidence)?;
            Ok((evidence, decision))
        });
        let (evidence, decision) = match decided {
            Ok(decided) => decided,
            Err(why) => {
                replay.lose(window, &why);
                self.seen.insert(window, Seen { heights, state, chain: Err(why) });
                return Ok(());
            }
        };
        let chain = if window.0 + 1 >= self.asked.start {
            Some(self.chain(&heights, &evidence, &decision).await?)
        } else {
            None
        };
        let base = replay.base(&decision);
        let objects = self.objects(&heights, &evidence, &decision, base, chain.as_ref()).await;
        if let Some(chain) = chain {
            let seen = Seen { heights, state, chain };
            if let (true, Ok(chain)) = (is_asked, &seen.chain) {
                let possessions = self.possessions(replay, &heights, chain).await?;
                let found = votes::check(&seen, chain, &objects, &possessions);
                self.found.extend(found.into_iter().map(|finding| (window, finding)));
            }
            self.seen.insert(window, seen);
        }
        replay.apply(&decision, objects);
        Ok(())
    }

    fn decide(&self, heights: &Heights, evidence: &WindowEvidence) -> Result<Decision, Unknown> {
        let run = &self.auditor.run;
        Ok(decide(run.id, &run.spec.acceptance, heights, &evidence.evidence())?)
    }

    /// Computes the possession that each voter must prove.
    async fn possessions(
        &self,
        replay: &StateReplay<'_>,
        heights: &Heights,
        chain: &Chain,
    ) -> Result<Possessions, AuditError> {
        let seed = self.auditor.chain_reader.hash(heights.possession_seed()).await;
        let voters = chain.votes.keys();
        Ok(self.auditor.read(seed)?.and_then(|seed| {
            voters.map(|voter| Ok((*voter, replay.possession(voter.hotkey, seed)?))).collect()
        }))
    }

    /// Reads the chain data that the comparisons need. Returns the reason if some of it cannot be read.
    async fn chain(
        &self,
        heights: &Heights,
        evidence: &WindowEvidence,
        decision: &Decision,
    ) -> Result<Result<Chain, Unknown>, AuditError> {
        let auditor = self.auditor;
        let votes = &evidence.votes;
        let client = auditor.chain_reader.client();
        let seed = match auditor.read(auditor.chain_reader.at(heights.seed).await)? {
            Ok(seed) => seed,
            Err(why) => return Ok(Err(why)),
        };
        let rules = client.at(seed.hash).hyperparameters(auditor.chain_reader.netuid()).await;
        let rules = match auditor.read(rules)? {
            Ok(rules) => rules,
            Err(why) => return Ok(Err(why)),
        };
        let next_epoch = client.at(votes.hash).next_epoch(auditor.chain_reader.netuid()).await;
        let next_epoch = match auditor.read(next_epoch)? {
            Ok(next_epoch) => next_epoch,
            Err(why) => return Ok(Err(why)),
        };
        let permitted: BTreeSet<NeuronId> = votes.permitted().into_iter().map(|(id, _)| id).collect();
        let run = &auditor.run;
        Ok(Ok(Chain {
            claims: evidence.claims.claims(run.id, heights.window),
            votes: votes.votes(run.id, heights),
            next_epoch,
            permitted,
            uids: uids(votes),
            rules,
            seed,
            decision: decision.clone(),
            at: Arc::clone(votes),
        }))
    }

    /// Downloads the accepted objects of a window, for the outer step. In the requested windows it also
    /// downloads the objects that votes mark as good. Returns no objects for the window after the
    /// requested ones, or if `base` is unknown, the state that they must be trained from: they cannot be
    /// checked without it.
    async fn objects(
        &self,
        heights: &Heights,
        evidence: &WindowEvidence,
        decision: &Decision,
        base: Option<State>,
        chain: Option<&Result<Chain, Unknown>>,
    ) -> Objects {
        let is_past = heights.window.0 >= self.asked.end;
        let Some(base) = base.filter(|_| !is_past) else { return Objects::new() };
        let none = BTreeMap::new();
        let is_asked = self.asked.contains(&heights.window.0);
        let votes = match chain {
            Some(Ok(chain)) if is_asked => &chain.votes,
            _ => &none,
        };
        let search = Search {
            run: &self.auditor.run,
            sources: &self.sources,
            heights,
            decision,
            claims: &evidence.claims,
            votes: &evidence.votes,
            base,
        };
        search.find(votes).await
    }

    /// Downloads the score logs of all validators: those of the requested windows and the current ones.
    async fn score_logs(&self) -> ScoreLogs {
        let mut validators = Validators::new();
        for chain in self.seen.values().filter_map(|seen| seen.chain.as_ref().ok()) {
            score_logs::add(&mut validators, &chain.at);
        }
        score_logs::add(&mut validators, self.sources.head());
        let run = &self.auditor.run;
        let decided = run.clock.last_decided(self.finalized).map_or(0, |window| window.0 + 1);
        let windows = (self.asked.clone(), decided);
        score_logs::read(run, &self.sources, validators, windows, &self.auditor.progress).await
    }

    fn compare_logs(&mut self, score_logs: &ScoreLogs) {
        for (&window, seen) in self.seen.iter().filter(|(window, _)| self.asked.contains(&window.0)) {
            let Ok(chain) = &seen.chain else { continue };
            for &validator in chain.permitted.iter().filter(|id| !chain.votes.contains_key(id)) {
                let log = score_logs.get(&validator).is_some_and(|logs| logs.log(window).is_some());
                let published = log.then_some("it published a score log of the window");
                let why = usually_votes(&chain.decision.electorate, &validator);
                let why = why.or_else(|| published.map(String::from));
                let skipped = why.map(|why| votes::skipped(seen, chain, validator, &why));
                self.found.extend(skipped.map(|finding| (window, finding)));
            }
        }
        for logs in score_logs.values() {
            let replays = logs::replay(&self.auditor.run, logs);
            let is_due = |window| self.are_logs_due(window);
            let found = logs::check(logs, &replays, &self.seen, self.asked.clone(), is_due);
            self.found.extend(found);
            self.pay.extend(self.explain(logs, &replays));
        }
    }

    /// Checks whether the score logs of a window must be published by now.
    fn are_logs_due(&self, window: Window) -> bool {
        let heights = self.auditor.run.clock.heights(window);
        heights.is_ok_and(|heights| heights.votes_close.0 + self.log_delay <= self.finalized.0)
    }

    /// Checks what no single statement shows: copied measurements, and dividends without votes.
    fn compare_conduct(&mut self, score_logs: &ScoreLogs) {
        for (&window, seen) in self.seen.iter().filter(|(window, _)| self.asked.contains(&window.0)) {
            let Ok(chain) = &seen.chain else { continue };
            let next = self.seen.get(&Window(window.0 + 1)).and_then(|seen| seen.chain.as_ref().ok());
            let copied = own_data::check(score_logs, window, chain, next);
            let withheld = dividends::check(&self.auditor.run.clock, chain);
            self.found.extend(copied.into_iter().chain(withheld).map(|finding| (window, finding)));
        }
    }

    async fn compare_weights(&mut self, score_logs: &ScoreLogs) -> Result<(), AuditError> {
        for (&window, seen) in self.seen.iter().filter(|(window, _)| self.asked.contains(&window.0)) {
            let Some(weights) = self.auditor.weights(seen, self.finalized).await? else { continue };
            self.burnt.extend(weights.burnt.map(|burnt| (window, burnt)));
            for set in weights.sets {
                let finding = weights::check(seen, &set, score_logs, self.are_logs_due(window));
                self.found.push((window, finding));
            }
        }
        Ok(())
    }

    async fn compare_records(&mut self) {
        for (&window, seen) in self.seen.iter().filter(|(window, _)| self.asked.contains(&window.0)) {
            let Ok(chain) = &seen.chain else { continue };
            for validator in chain.votes.keys() {
                let verdict =
                    records::check(&self.auditor.run, &self.sources, (seen, chain), validator).await;
                let subject = Subject::Validator(*validator, chain.uid(validator));
                let finding = verdict.map(|verdict| Finding { subject, item: Item::Record, verdict });
                self.found.extend(finding.map(|finding| (window, finding)));
            }
        }
    }

    fn report(self) -> Report {
        let run = &self.auditor.run;
        let mut windows: BTreeMap<Window, WindowReport> = BTreeMap::new();
        for (window, seen) in self.seen.into_iter().filter(|(window, _)| self.asked.contains(&window.0)) {
            let state = seen.state.ok();
            let (root, state) = (state.map(|(root, _)| root), state.map(|(_, state)| state));
            let mut findings = Vec::new();
            let decision = seen.chain.map(|chain| chain.decision).map_err(|why| {
                let verdict = Verdict::unread(&why);
                findings.push(Finding { subject: Subject::Network, item: Item::Decision, verdict });
            });
            let (decision, burnt) = (decision.ok(), self.burnt.get(&window).copied());
            let (pay, adoptions) = (self.pay.clone(), Vec::new());
            let report = WindowReport { window, decision, root, state, burnt, findings, pay, adoptions };
            windows.insert(window, report);
        }
        for (window, adoption) in self.adoptions {
            if let Some(report) = windows.get_mut(&window) {
                report.adoptions.push(adoption);
            }
        }
        for (window, finding) in self.found {
            if let Some(report) = windows.get_mut(&window) {
                report.findings.push(finding);
            }
        }
        let windows = windows.into_values().collect();
        Report { name: run.spec.name.clone(), run: run.hash, windows, gone: self.gone }
    }
}

/// Returns the reason why a validator should have voted: it is a member of the electorate that voted in
/// the last day, or a founder that should begin the run. `None` if it is neither.
fn usually_votes(electorate: &Electorate, id: &NeuronId) -> Option<String> {
    let member = electorate.get(id).filter(|member| electorate.is_recent(member))?;
    Some(match member.voted {
        Some(window) => format!("it voted on window {window}"),
        None => "it is a founder of the run".to_owned(),
    })
}

fn uids(state: &BlockState) -> BTreeMap<NeuronId, Uid> {
    let neurons = state.metagraph.neurons.iter();
    neurons.map(|n| (NeuronId { hotkey: n.hotkey, registered: n.registered }, n.uid)).collect()
}
