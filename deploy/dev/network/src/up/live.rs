//! Drives a running network in steps. Each step observes the network and performs the actions that are due.

mod blocks;

use crate::{
    awaited::NetworkSnapshot,
    children::{Children, Ended},
    faults::{Fault, NetworkFault, Setting},
    follow::{Follower, NodeProgress},
    genesis, inject,
    kills::{self, Kill},
    network::Network,
    options::{Up, Weights},
    pace::{Observation, PaceStage, Pacer, Verdict},
    pool::{self, Waiting},
    replay::last_line,
    roster::Role,
    run_record::RunRecord,
    view::{LiveStatus, Screen, table},
};
use anyhow::Context;
use base::{Height, Hotkey, Window};
use protocol::{announcement::Record, clock::Clock};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Stdout,
    time::{Duration, Instant},
};
use telemetry::Shutdown;

/// The pause between two steps.
const STEP_PAUSE: Duration = Duration::from_millis(10);
/// The minimum time between two drawings of the table.
const DRAW_PAUSE: Duration = Duration::from_millis(250);

/// A running network.
pub(super) struct Live {
    pub(super) network: Network,
    pub(super) record: RunRecord,
    pub(super) screen: Screen<Stdout>,
    pub(super) children: Children,
    clock: Clock,
    progress: NodeProgress,
    followers: Vec<(String, Follower)>,
    pacer: Pacer,
    /// The best block.
    head: Height,
    /// The newest final block. What the record holds comes from final blocks.
    finalized: Height,
    /// The newest block with a transaction.
    transacted: Height,
    /// The time at which the best block was sealed.
    sealed: Instant,
    /// The claims and votes that stand in the best block.
    standing: BTreeMap<Hotkey, Record>,
    kills: VecDeque<Kill>,
    /// The nodes that were killed in a window before its seed. A validator begins its downloads late then.
    restarted: BTreeSet<(String, Window)>,
    faults: Vec<Fault>,
    /// The rules of the bucket server.
    plan: bucket_server::Plan,
    join_at: Option<Height>,
    /// The maximum time from the end of the run to the last weights and score logs.
    last_patience: Duration,
    started: Instant,
    ended: Option<Instant>,
    status: LiveStatus,
    drawn: Instant,
    /// The next window to print a line for.
    next_line: u64,
}

impl Live {
    /// Starts all participants except the joiner.
    pub(super) fn start(network: Network, up: &Up, screen: Screen<Stdout>) -> anyhow::Result<Self> {
        let clock = network.spec.clock()?;
        let followers = network
            .members
            .iter()
            .map(|m| (m.participant.name.clone(), Follower::new(network.folder.events(&m.participant.name))))
            .collect();
        let patience = Duration::from_secs(up.patience);
        let join_at = up.join_at.map(|window| clock.heights(Window(window))).transpose()?;
        let block_time = up.block_time();
        let pacer = if up.real_time {
            Pacer::real_time(clock, block_time)
        } else {
            Pacer::new(clock, block_time, patience)
        };
        let tempo = genesis::tempo(network.spec.window.blocks);
        let mut live = Self {
            record: empty_record(&network, up, &clock)?,
            children: Children::new(),
            progress: NodeProgress::default(),
            followers,
            pacer,
            head: Height(0),
            finalized: Height(0),
            transacted: Height(0),
            sealed: Instant::now(),
            standing: BTreeMap::new(),
            kills: kills::plan(up.seed, up.kill, &clock).into(),
            restarted: BTreeSet::new(),
            faults: up.fault.clone(),
            plan: bucket_server::Plan::default(),
            join_at: join_at.map(|heights| heights.first),
            last_patience: patience + block_time * u32::from(tempo),
            started: Instant::now(),
            ended: None,
            status: LiveStatus {
                styled: screen.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
                ..LiveStatus::default()
            },
            drawn: Instant::now(),
            next_line: 0,
            clock,
            network,
            screen,
        };
        live.start_roles(|role| role != Role::Joiner)?;
        let running = live.children.running();
        live.screen.say(&format!("started: {}", running.join(", ")));
        Ok(live)
    }

    fn start_roles(&mut self, which: impl Fn(Role) -> bool) -> anyhow::Result<()> {
        for member in self.network.members.iter().filter(|member| which(member.participant.role)) {
            if let Some(program) = self.network.program(&member.participant)? {
                self.children.start(&member.participant.name, program)?;
            }
        }
        Ok(())
    }

    /// Runs to the end. Returns `false` if a shutdown was requested before.
    pub(super) async fn run(&mut self, shutdown: &Shutdown) -> anyhow::Result<bool> {
        while !self.is_over() {
            if shutdown.is_requested() {
                return Ok(false);
            }
            self.step().await?;
            tokio::time::sleep(STEP_PAUSE).await;
        }
        self.draw();
        self.screen.keep();
        Ok(true)
    }

    /// Ends the children, and records those that had to be killed.
    pub(super) async fn stop(&mut self) {
        let stubborn = self.children.stop().await;
        let deaths = stubborn.iter().map(|name| format!("{name} did not end when it was asked to"));
        self.record.deaths.extend(deaths);
        // Read the last events. Errors do not matter any more.
        let _ = self.read_events();
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        self.read_events()?;
        self.note_ended()?;
        self.pace().await?;
        self.start_joiner()?;
        self.kill_due()?;
        self.children.sample();
        self.say_windows();
        if self.drawn.elapsed() >= DRAW_PAUSE {
            self.draw();
        }
        Ok(())
    }

    /// Reads the new events of all nodes.
    fn read_events(&mut self) -> anyhow::Result<()> {
        for (name, follower) in &mut self.followers {
            for event in follower.new_events().with_context(|| format!("cannot read the events of {name}"))? {
                if let Some(line) = self.progress.note(&mut self.record, name, &event) {
                    self.screen.say(&line);
                }
            }
        }
        Ok(())
    }

    /// Records the processes that have ended. After the run a node may end, if it ends well.
    fn note_ended(&mut self) -> anyhow::Result<()> {
        let is_over = self.pacer.stage(self.head) == PaceStage::End;
        for Ended { name, status } in self.children.ended() {
            if !(is_over && status.success()) {
                let death =
                    format!("{name} ended with {status}: {}", last_line(&self.network.folder.log(&name)));
                self.screen.say(&death);
                self.record.deaths.push(death);
            }
        }
        Ok(())
    }

    /// Seals a block if one is due.
    async fn pace(&mut self) -> anyhow::Result<()> {
        let pool = self.pool().await?;
        pool.iter().filter_map(|w| Some((w.signer, w.record?))).for_each(|(signer, record)| {
            self.note_sent(&signer, &record);
        });
        let stage = self.pacer.stage(self.head);
        let mut running = self.children.running();
        // The chain does not wait for a node that cannot act.
        running.retain(|name| {
            let is_late = match stage {
                PaceStage::Votes(window) => self.record.has_lost_vote(name, window),
                PaceStage::Collected(window) => {
                    self.restarted.contains(&(name.clone(), window))
                        && self.pacer.goes_on_collecting(window, self.finalized)
                }
                _ => false,
            };
            !is_late && stage.window().is_none_or(|window| !self.record.is_stopped(name, window))
        });
        let snapshot = NetworkSnapshot {
            participants: &self.record.participants,
            running: &running,
            progress: &self.progress,
            run: self.network.spec.id(),
            sealed: self.network.spec.acceptance.sealing,
            standing: &self.standing,
            pool: &pool,
        };
        let (missing, waiting) = (snapshot.missing(stage), snapshot.waiting(stage));
        self.status.activity = activity(stage, &missing);
        let observation = Observation {
            head: self.head,
            finalized: self.finalized,
            now: self.started.elapsed(),
            missing: missing.len(),
            waiting,
            settling: self.transacted > self.finalized,
        };
        if self.pacer.step(&observation) == Verdict::Seal {
            self.inject(stage, &pool).await?;
            self.seal().await?;
        }
        Ok(())
    }

    async fn pool(&self) -> anyhow::Result<Vec<Waiting>> {
        let pending = self.network.chain.handle().pending().await?;
        Ok(pending.iter().filter_map(|extrinsic| pool::read(extrinsic)).collect())
    }

    /// Replaces a vote if a fault demands it and the next block is the last one for votes.
    async fn inject(&mut self, stage: PaceStage, pool: &[Waiting]) -> anyhow::Result<()> {
        let window = inject::window(&self.record);
        let heights = self.clock.heights(window)?;
        if stage != PaceStage::Votes(window) || self.head.next() != heights.votes_close {
            return Ok(());
        }
        let (_, key) = inject::validator(&self.network, &self.record)?;
        let waiting =
            pool.iter().rev().filter(|waiting| waiting.signer == key.hotkey()).find_map(|w| w.record);
        let vote = match waiting.or_else(|| self.standing.get(&key.hotkey()).copied()) {
            Some(Record::Vote(vote)) if vote.window == window => Some(vote),
            _ => None,
        };
        let faults: Vec<Fault> = self.faults.iter().copied().filter(|fault| fault.is_of_votes()).collect();
        for fault in faults {
            let line = inject::replace_vote(&self.network, &self.record, fault, vote).await?;
            self.screen.say(&line);
        }
        Ok(())
    }

    /// Starts the joiner when its window begins.
    fn start_joiner(&mut self) -> anyhow::Result<()> {
        if self.join_at.is_some_and(|height| self.head >= height) {
            self.join_at = None;
            self.screen.say("started: joiner");
            self.start_roles(|role| role == Role::Joiner)?;
        }
        Ok(())
    }

    /// Kills and restarts a process if a kill is due.
    fn kill_due(&mut self) -> anyhow::Result<()> {
        let is_due = |kill: &Kill| {
            self.head > kill.after || (self.head == kill.after && self.sealed.elapsed() >= kill.delay)
        };
        let Some(kill) = self.kills.pop_front_if(|kill| is_due(kill)) else { return Ok(()) };
        let running = self.children.running();
        if let Some(name) = running.get((kill.victim % running.len().max(1) as u64) as usize) {
            self.screen.say(&format!("kill -9 {name} at block {}", self.head));
            self.children.kill_and_restart(name)?;
            self.record.kills += 1;
            let stage = self.pacer.stage(self.head);
            if let PaceStage::Votes(window) = stage {
                self.record.lost_votes.insert((name.clone(), window));
            } else if let Some(window) = stage.window() {
                self.restarted.insert((name.clone(), window));
            }
        }
        Ok(())
    }

    /// Returns whether the run is over: all nodes have finished, all have ended, or the patience is
    /// used up.
    fn is_over(&mut self) -> bool {
        if self.pacer.stage(self.head) != PaceStage::End {
            return self.children.running().is_empty();
        }
        let since = *self.ended.get_or_insert_with(Instant::now);
        let running = self.children.running();
        let arrived = self.record.states.get(&self.record.after_last());
        let at_work = |name: &&String| {
            let has_arrived = arrived.is_some_and(|arrived| arrived.contains_key(*name));
            let role = self
                .record
                .participants
                .iter()
                .find(|(p, _)| p.name == **name)
                .map(|(participant, _)| participant.role);
            match role {
                Some(Role::Validator) => {
                    let NodeProgress { weights_set, published, .. } = &self.progress;
                    let is_weighed = weights_set.contains(*name) || self.record.has_no_score(name);
                    !(has_arrived && is_weighed && published.contains(*name))
                }
                Some(role) => role.is_honest_miner() && !has_arrived,
                None => false,
            }
        };
        !running.iter().any(|name| at_work(&name)) || since.elapsed() > self.last_patience
    }

    /// Prints a line for the next window once its outcome and losses are known. On a terminal the table
    /// shows them.
    fn say_windows(&mut self) {
        let window = Window(self.next_line);
        let (Some(before), Some(after)) =
            (self.record.heldout(window), self.record.heldout(Window(window.0 + 1)))
        else {
            return;
        };
        let Some(outcome) = self.record.windows.get(&window).filter(|outcome| outcome.accepted.is_some())
        else {
            return;
        };
        self.next_line += 1;
        if !self.screen.is_terminal() {
            let accepted = outcome.accepted.iter().flatten().map(|names| names.len()).sum::<usize>();
            let state =
                outcome.state.map_or_else(|| "none".into(), |state| state.to_string()[..12].to_owned());
            let (claimed, votes) = (outcome.claimed.len(), outcome.votes.len());
            let seconds = self.started.elapsed().as_secs();
            self.screen.say(&format!(
                "window {window}: {claimed} claims, {votes} votes, {accepted} accepted, held-out loss {before:.3} -> \
                 {after:.3}, state {state}, after {seconds} s"
            ));
        }
    }

    pub(super) fn draw(&mut self) {
        self.drawn = Instant::now();
        (self.status.head, self.status.finalized) = (self.head, self.finalized);
        self.status.elapsed = self.started.elapsed();
        self.screen.draw(&table(&self.record, &self.status));
    }
}

/// Creates the record of a run that has not begun.
fn empty_record(network: &Network, up: &Up, clock: &Clock) -> anyhow::Result<RunRecord> {
    let participants: Vec<_> =
        network.members.iter().map(|m| (m.participant.clone(), m.keys.hotkey())).collect();
    let setting = Setting {
        clock,
        run: network.spec.id(),
        electorate_blocks: network.spec.acceptance.electorate_blocks,
        participants: &participants,
        block: up.block_time(),
    };
    let faults = up.fault.iter().map(|fault| NetworkFault::new(*fault, &setting));
    let faults = faults.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let real_time = up.real_time.then(|| up.block_time());
    let mut record = RunRecord { participants, count: up.windows, faults, real_time, ..RunRecord::default() };
    // Weights are revealed in the epoch after that of their commit.
    let blocks = network.spec.window.blocks;
    let hidden = if up.weights == Weights::Open { 0 } else { 2 * u32::from(genesis::tempo(blocks)) / blocks };
    record.kept_logs = record.logs_that_faults_keep(hidden.into());
    record.excused = record.run().filter(|window| up.real_time || record.is_struck(*window)).collect();
    Ok(record)
}

/// Describes the current activity in a few words.
fn activity(stage: PaceStage, missing: &[String]) -> String {
    let what = match stage {
        PaceStage::Start => "starting".to_owned(),
        PaceStage::Claims(window) => format!("window {window}: training"),
        PaceStage::Keys(window) => format!("window {window}: opening"),
        PaceStage::Collected(window) => format!("window {window}: collecting"),
        PaceStage::Votes(window) => format!("window {window}: voting"),
        PaceStage::End => "scoring the last window".to_owned(),
    };
    match missing {
        [] => what,
        names => format!("{what} ({})", names.join(", ")),
    }
}
