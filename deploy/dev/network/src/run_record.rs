//! What happened in a run, collected from the children's events, from the chain, and from the auditor. No I/O here: it is
//! what [`assertions`](crate::assertions), [`report`](crate::report) and [`view`](crate::view) are made from.

use crate::roster::Participant;
use base::{
    Hotkey, Window,
    digest::{State, StateRoot},
};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// Everybody, with their hotkeys, in the order of uids.
    pub participants: Vec<(Participant, Hotkey)>,
    /// Windows of the run.
    pub count: u32,
    /// What happened in each window.
    pub windows: BTreeMap<Window, WindowOutcome>,
    /// The shared state at the start of each window, by everybody who told one, as the participant's name.
    pub states: BTreeMap<Window, BTreeMap<String, (State, StateRoot)>>,
    /// What the chain says at the end.
    pub end: EndRecord,
    /// What the auditor found, once it has been asked.
    pub audit: Option<AuditOutcome>,
    /// Secrets that were found in logs, each a sentence; `None` before they were sought.
    pub leaks: Option<Vec<String>>,
    /// Processes that ended or failed although nobody asked them to, each a sentence.
    pub deaths: Vec<String>,
    /// How often a process was killed on purpose.
    pub kills: u32,
}

/// What happened in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowOutcome {
    /// Whose claims stood when they closed, by name.
    pub claimed: BTreeSet<String>,
    /// What each validator's vote named when votes closed, by name.
    pub votes: BTreeMap<String, State>,
    /// Whose submissions were applied, by name, once it is decided. `None` in a null window.
    pub accepted: Option<Option<BTreeSet<String>>>,
    /// The state at its start that a quorum named.
    pub state: Option<State>,
    /// Loss on held-out data with the parameters at its start, by validator. The run's end has an entry of its own, as the
    /// start of the window that there would be next.
    pub heldout: BTreeMap<String, f64>,
    /// Tokens that each honest miner trained on.
    pub tokens: BTreeMap<String, u64>,
    /// Bytes of each honest miner's submission.
    pub bytes: BTreeMap<String, u64>,
    /// How long each node took, by name.
    pub seconds: BTreeMap<String, Seconds>,
    /// How each validator rates each miner, by their names.
    pub ratings: BTreeMap<String, BTreeMap<String, Rating>>,
}

/// How long a node took in a window, in seconds; what it does not do is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// Inner steps.
    pub train: Option<f64>,
    /// Compression and encoding.
    pub compress: Option<f64>,
    /// Upload.
    pub upload: Option<f64>,
    /// From the claim to the decision.
    pub wait: Option<f64>,
    /// The outer step, with fetching.
    pub outer: Option<f64>,
    /// The Gauntlet.
    pub evaluate: Option<f64>,
}

/// How a validator rates a miner.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rating {
    /// mu − z sigma.
    pub rating: f64,
    /// The proof of computation, 0 to 1.
    pub proof: f64,
    /// What failures leave of its score, 0 to 1.
    pub credit: f64,
}

/// What the chain says after the last epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndRecord {
    /// Incentive of each uid's participant as a share of all, by name.
    pub incentives: BTreeMap<String, f64>,
    /// Weight on each participant, by name: validators' rows scaled to 1, averaged by stake.
    pub weights: BTreeMap<String, f64>,
    /// Validators whose weights stand, and the block in which they set them.
    pub set: BTreeMap<String, u64>,
    /// The block of the last epoch.
    pub epoch: u64,
}

/// What the auditor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditOutcome {
    /// Windows that it recomputed.
    pub windows: u64,
    /// What differs, each a sentence that names the validator or miner and the item.
    pub differences: Vec<String>,
}

impl RunRecord {
    /// The participant with this hotkey.
    #[must_use]
    pub fn name_of(&self, hotkey: &Hotkey) -> Option<&str> {
        self.participants
            .iter()
            .find(|(_, key)| key == hotkey)
            .map(|(participant, _)| participant.name.as_str())
    }

    /// What is known of a window, to be added to.
    pub fn window(&mut self, window: Window) -> &mut WindowOutcome {
        self.windows.entry(window).or_default()
    }

    /// How long somebody took in a window, to be added to.
    pub(crate) fn seconds(&mut self, window: Window, name: &str) -> &mut Seconds {
        self.window(window).seconds.entry(name.to_owned()).or_default()
    }

    /// Whether this is an honest miner.
    pub(crate) fn is_honest_miner(&self, name: &str) -> bool {
        self.names(|participant| participant.part.is_honest_miner()).any(|honest| honest == name)
    }

    /// Loss on held-out data with the parameters at a window's start, once it is known: the median over validators.
    #[must_use]
    pub fn heldout(&self, start: Window) -> Option<f64> {
        median(self.windows.get(&start)?.heldout.values())
    }

    /// All windows of the run.
    pub fn run(&self) -> impl Iterator<Item = Window> + use<> {
        (0..u64::from(self.count)).map(Window)
    }

    /// The window that there would be after the last one: its start is the run's end.
    #[must_use]
    pub fn after_last(&self) -> Window {
        Window(self.count.into())
    }

    /// Names of participants for which `test` holds, in the order of uids.
    pub fn names(&self, test: impl Fn(&Participant) -> bool) -> impl Iterator<Item = &str> {
        self.participants
            .iter()
            .filter(move |(participant, _)| test(participant))
            .map(|(participant, _)| participant.name.as_str())
    }
}

/// The lower median.
pub fn median<'a>(values: impl IntoIterator<Item = &'a f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().copied().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}
