//! The record of a run, collected from the events of the nodes, the chain, and the auditor.
//! [`assertions`](crate::assertions), [`report`](crate::report) and [`view`](crate::view) are computed
//! from it. This module does no I/O.

use crate::{
    faults::NetworkFault,
    roster::{Participant, Role},
};
use base::{
    Hotkey, Window,
    digest::{State, StateRoot},
};
use link::{Link, Traffic};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The record of a run.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// All participants with their hotkeys, in the order of uids.
    pub participants: Vec<(Participant, Hotkey)>,
    /// The number of windows of the run.
    pub count: u32,
    /// The outcome of each window.
    pub windows: BTreeMap<Window, WindowOutcome>,
    /// The shared state at the start of each window, as reported by each node, by name.
    pub states: BTreeMap<Window, BTreeMap<String, (State, StateRoot)>>,
    /// The weights and incentives on chain at the end.
    pub end: EndRecord,
    /// The auditor's result; `None` before the audit.
    pub audit: Option<AuditOutcome>,
    /// The secrets found in logs, each as a sentence; `None` before the search.
    pub leaks: Option<Vec<String>>,
    /// The processes that ended unasked, failed, or had to be killed at the end, each as a sentence.
    pub deaths: Vec<String>,
    /// The number of times that a process was killed on purpose.
    pub kills: u32,
    /// The nodes that were killed between the seed of a window and the close of its votes. A validator that
    /// restarts then cannot take keys any more: their miners may know the seed. So it may have no vote.
    pub lost_votes: BTreeSet<(String, Window)>,
    /// The score logs that were never published, by validator and window: a fault ended the validator before.
    pub kept_logs: BTreeSet<(String, Window)>,
    /// The faults of the network, each with its progress.
    pub faults: Vec<NetworkFault>,
    /// The windows in which a missing vote does not mean a dishonest validator: a fault of the network
    /// struck them, or the run was in real time.
    pub excused: BTreeSet<Window>,
    /// The number of reads from buckets that the rules of faults have struck.
    pub struck_reads: u64,
    /// The nodes that warned of their clocks.
    pub warned_of_clock: BTreeSet<String>,
    /// The number of requests to the silent endpoint of the chain before it went silent.
    pub before_silence: usize,
    /// The requests to the endpoints that limit them, by node.
    pub limited: BTreeMap<String, Limited>,
    /// The block time of a run in real time. `None` if the chain waits for the nodes.
    pub real_time: Option<Duration>,
    /// The links of the nodes. `None` without `--link`.
    pub links: Option<Links>,
}

/// The requests to an endpoint of the chain that limits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The number of requests.
    pub sent: usize,
    /// The number of those that were refused.
    pub refused: usize,
}

/// The links of the nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// The link of each node.
    pub link: Link,
    /// The traffic of each node until the end of the run, by name.
    pub traffic: BTreeMap<String, Traffic>,
    /// The largest number of submissions that a window applies.
    pub most_applied: usize,
}

/// The outcome of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowOutcome {
    /// The names of the participants with a claim when claims closed.
    pub claimed: BTreeSet<String>,
    /// The state that each validator voted for when votes closed, by name.
    pub votes: BTreeMap<String, State>,
    /// The names of the participants whose submissions were applied. The outer `Option` is `None`
    /// before the decision, the inner one in a null window.
    pub accepted: Option<Option<BTreeSet<String>>>,
    /// The state at the window's start that a quorum voted for.
    pub state: Option<State>,
    /// The loss on held-out data with the parameters at the window's start, in nats, by validator. The
    /// loss at the end of the run is stored under the window after the last one.
    pub heldout: BTreeMap<String, f64>,
    /// The number of tokens that each honest miner trained on, by name.
    pub tokens: BTreeMap<String, u64>,
    /// The size of each honest miner's submission in bytes, by name.
    pub bytes: BTreeMap<String, u64>,
    /// The time that each node took for each step, by name.
    pub seconds: BTreeMap<String, Seconds>,
    /// Each validator's ratings of the miners: validator name, then miner name.
    pub ratings: BTreeMap<String, BTreeMap<String, Rating>>,
    /// The faults that validators found with miners.
    pub faults: Vec<FoundFault>,
    /// The time for claims.
    pub claim_times: ActTimes,
    /// The time for votes.
    pub vote_times: ActTimes,
}

/// A fault that a validator found with a miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFault {
    /// The name of the validator.
    pub validator: String,
    /// The name of the miner.
    pub miner: String,
    /// The fault, as the score log names it.
    pub what: String,
}

/// The time in which the nodes could do an act of a window, and when they did. In seconds since the
/// network was started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActTimes {
    /// The first time at which nodes could begin to work on it: the block that they need is final.
    pub opened: Option<f64>,
    /// The time at which the last block in which it counts was sealed.
    pub closed: Option<f64>,
    /// The time at which each node's transaction was first seen, by name.
    pub sent: BTreeMap<String, f64>,
}

impl ActTimes {
    /// Records that a node's transaction is seen. Only the first time counts.
    pub(crate) fn note_sent(&mut self, name: String, now: f64) {
        self.sent.entry(name).or_insert(now);
    }

    /// Returns the seconds that a node needed until it sent its transaction. `None` if it sent none.
    #[must_use]
    pub fn needed(&self, name: &str) -> Option<f64> {
        Some((self.sent.get(name)? - self.opened?).max(0.0))
    }

    /// Returns the seconds that all nodes had.
    #[must_use]
    pub fn had(&self) -> Option<f64> {
        Some(self.closed? - self.opened?)
    }
}

/// The time that a node took for each step of a window, in seconds. A step that it does not do is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// The inner steps.
    pub train: Option<f64>,
    /// The compression and encoding.
    pub compress: Option<f64>,
    /// The upload.
    pub upload: Option<f64>,
    /// The wait from the claim to the decision.
    pub wait: Option<f64>,
    /// The outer step, including downloads.
    pub outer: Option<f64>,
    /// The evaluations of the Gauntlet.
    pub evaluate: Option<f64>,
}

/// A validator's rating of a miner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rating {
    /// The mean improvement of the last 20 windows, relative to the field's. Windows before the first one
    /// count 0.
    pub contribution: f64,
    /// The factor of the proof of computation: 0, 0.5 or 1.
    pub proof: f64,
    /// The factor on the score that remains after failures, 0 to 1.
    pub credit: f64,
}

impl Rating {
    /// Returns whether the miner has a score, and so a weight.
    fn has_score(&self) -> bool {
        self.contribution * self.proof * self.credit > 0.0
    }
}

/// The weights and incentives on chain after the last epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndRecord {
    /// Each participant's share of all incentive, by name.
    pub incentives: BTreeMap<String, f64>,
    /// The weight on each participant, by name. Each validator's weights are scaled to a sum of 1, then
    /// averaged by stake.
    pub weights: BTreeMap<String, f64>,
    /// The validators with weights on chain, by name, and the block in which each set them.
    pub set: BTreeMap<String, u64>,
    /// The height of the last epoch's block.
    pub epoch: u64,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditOutcome {
    /// The number of windows that the auditor recomputed.
    pub windows: u64,
    /// The differences. Each is a sentence that names the validator or miner and the item.
    pub differences: Vec<String>,
}

impl RunRecord {
    /// Returns the name of the participant with this hotkey.
    #[must_use]
    pub fn name_of(&self, hotkey: &Hotkey) -> Option<&str> {
        self.participants
            .iter()
            .find(|(_, key)| key == hotkey)
            .map(|(participant, _)| participant.name.as_str())
    }

    /// Returns the outcome of a window, for changes. Creates an empty one if needed.
    pub fn window(&mut self, window: Window) -> &mut WindowOutcome {
        self.windows.entry(window).or_default()
    }

    /// Changes the outcome of a window. Transactions may name any window: those that the run does not
    /// have are left out.
    pub(crate) fn window_of_run(&mut self, window: Window, change: impl FnOnce(&mut WindowOutcome)) {
        if window < self.after_last() {
            change(self.window(window));
        }
    }

    /// Returns the state at a window's start that most nodes reported. `None` if no node did.
    #[must_use]
    pub fn held(&self, window: Window) -> Option<State> {
        let mut holders_of: BTreeMap<State, usize> = BTreeMap::new();
        let reported = self.states.get(&window)?;
        reported.values().for_each(|(state, _)| *holders_of.entry(*state).or_default() += 1);
        holders_of.iter().max_by_key(|(_, nodes)| **nodes).map(|(state, _)| *state)
    }

    /// Returns whether a fault of the network may cost claims and votes in a window.
    #[must_use]
    pub fn is_struck(&self, window: Window) -> bool {
        self.faults.iter().any(|fault| fault.struck().contains(&window))
    }

    /// Returns whether a fault of the network may cost this node its claim or vote in a window.
    #[must_use]
    pub fn is_excused(&self, name: &str, window: Window) -> bool {
        self.has_lost_vote(name, window) || self.faults.iter().any(|fault| fault.excuses(name, window))
    }

    /// Returns whether a kill may have cost the vote of this node on a window.
    #[must_use]
    pub fn has_lost_vote(&self, name: &str, window: Window) -> bool {
        self.lost_votes.contains(&(name.to_owned(), window))
    }

    /// Returns whether a validator rated miners and none ever had a score. It has no weights to set then.
    #[must_use]
    pub fn has_no_score(&self, validator: &str) -> bool {
        let mut rated = self.windows.values().filter_map(|outcome| outcome.ratings.get(validator)).peekable();
        rated.peek().is_some() && rated.flat_map(BTreeMap::values).all(|rating| !rating.has_score())
    }

    /// Returns whether the newest ratings of all validators give a miner a score. Also `true` without any
    /// rating.
    #[must_use]
    pub fn has_score(&self, miner: &str) -> bool {
        let newest = self.windows.values().rev().find(|outcome| !outcome.ratings.is_empty());
        let mut ratings = newest.iter().flat_map(|outcome| outcome.ratings.values());
        ratings.all(|ratings| ratings.get(miner).is_some_and(Rating::has_score))
    }

    /// Returns the score logs that faults of the network keep from being published. The log of a window is
    /// due when votes on the next window are closed, and its weights are revealed: at most `hidden` windows
    /// later.
    pub(crate) fn logs_that_faults_keep(&self, hidden: u64) -> BTreeSet<(String, Window)> {
        let ended = |name: &str, window: Window| {
            let is_after = |first: &Window| window.0 + 1 + hidden >= first.0;
            self.faults.iter().any(|fault| fault.ends(name) && fault.struck().first().is_some_and(is_after))
        };
        let of = |window: Window| {
            let names = self.names(|participant| participant.role == Role::Validator);
            names.filter(move |name| ended(name, window)).map(move |name| (name.to_owned(), window))
        };
        self.run().flat_map(of).collect()
    }

    /// Returns whether a fault of the network keeps this node from acting in a window.
    #[must_use]
    pub fn is_stopped(&self, name: &str, window: Window) -> bool {
        self.faults.iter().any(|fault| matches!(fault, NetworkFault::Clock(_)) && fault.excuses(name, window))
    }

    /// Returns whether a fault of the network ends this node.
    #[must_use]
    pub fn is_ended(&self, name: &str) -> bool {
        self.faults.iter().any(|fault| fault.ends(name))
    }

    /// Returns the times of a node in a window, for changes. Creates empty ones if needed.
    pub(crate) fn seconds(&mut self, window: Window, name: &str) -> &mut Seconds {
        self.window(window).seconds.entry(name.to_owned()).or_default()
    }

    /// Returns whether this participant is an honest miner.
    pub(crate) fn is_honest_miner(&self, name: &str) -> bool {
        self.names(|participant| participant.role.is_honest_miner()).any(|honest| honest == name)
    }

    /// Returns the loss on held-out data with the parameters at a window's start: the median over
    /// validators. `None` while no validator has reported one.
    #[must_use]
    pub fn heldout(&self, start: Window) -> Option<f64> {
        median(self.windows.get(&start)?.heldout.values())
    }

    /// Returns all windows of the run.
    pub fn run(&self) -> impl Iterator<Item = Window> + use<> {
        (0..u64::from(self.count)).map(Window)
    }

    /// Returns the number after the last window. Its start is the end of the run.
    #[must_use]
    pub fn after_last(&self) -> Window {
        Window(self.count.into())
    }

    /// Returns the names of the participants for which `test` holds, in the order of uids.
    pub fn names(&self, test: impl Fn(&Participant) -> bool) -> impl Iterator<Item = &str> {
        self.participants
            .iter()
            .filter(move |(participant, _)| test(participant))
            .map(|(participant, _)| participant.name.as_str())
    }
}

/// Returns the lower median. `None` without values.
pub fn median<'a>(values: impl IntoIterator<Item = &'a f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().copied().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}
