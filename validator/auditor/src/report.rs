//! The report of an audit: one verdict for each statement of a node, and the exit code.

mod electorate;
mod text;

use crate::pay::LogPay;
use base::{
    Exit, Height, NeuronId, Uid, Window,
    digest::{RunHash, State, StateRoot},
};
use protocol::acceptance::{Accepted, Decision};
use scoring::score_log::Adopted;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// The kind of a statement that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// The state that the stake majority names is the state that results from the accepted objects.
    State,
    /// The votes could be read, so the accepted set is known.
    Decision,
    /// The object that a candidate claimed is whole, signed and valid.
    Object,
    /// A validator that votes regularly has voted.
    Vote,
    /// The state that the vote names is the recomputed state.
    VotedState,
    /// The objects that the vote marks as good are claimed and valid.
    Good,
    /// The vote proves possession of the parameters at the window's start.
    Possession,
    /// The score log that the vote names is published.
    Head,
    /// The published record of the window has the accepted set and the voters.
    Record,
    /// The score log is published, unchanged and signed.
    Log,
    /// Claims, state, seed, uids and subnet rules in the score log are those of the chain.
    Facts,
    /// The standings that a validator's first score log begins from are those after the log that it names.
    Adopted,
    /// Standings, scores and weights in the score log follow from its measurements.
    Ratings,
    /// The measurements on the validator's own data are no other validator's.
    OwnData,
    /// The weights on chain are those of the validator's score log.
    Weights,
    /// The validator that earned dividends has voted in the windows of that epoch.
    Dividends,
}

/// The author of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The stake majority.
    Network,
    /// A miner.
    Miner(NeuronId, Uid),
    /// A validator.
    Validator(NeuronId, Uid),
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The statement is true.
    Agree,
    /// The statement is false. Holds the first difference.
    Differ {
        /// The value that differs.
        what: String,
        /// The stated value.
        stated: String,
        /// The recomputed value.
        computed: String,
    },
    /// The comparison was not possible, since some data could not be read.
    Unknown {
        /// The missing data, and the reason.
        why: String,
    },
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The author of the statement.
    pub subject: Subject,
    /// The kind of the statement.
    pub item: Item,
    /// The result.
    pub verdict: Verdict,
}

/// The findings on a window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowReport {
    /// The window.
    pub window: Window,
    /// The decision that all nodes had to reach, or `None` if it cannot be known.
    pub decision: Option<Decision>,
    /// The recomputed state root: the hash of the parameters at the window's start. `None` if it cannot
    /// be known.
    pub root: Option<StateRoot>,
    /// The recomputed state, as votes name it: a hash of the state root and of all earlier accepted
    /// sets. `None` if it cannot be known.
    pub state: Option<State>,
    /// The share of the validators' weights that is burnt, by stake: that of the subnet owner's uid. These
    /// are the weights on chain when the next window is decided. `None` if there are no weights, or they
    /// cannot be read.
    pub burnt: Option<f64>,
    /// All comparisons.
    pub findings: Vec<Finding>,
    /// The pay of all miners by each score log that replays. Empty in an audit of more than one window.
    pub pay: Vec<LogPay>,
    /// The validators whose first score log is of this window and begins from the standings of another one.
    pub adoptions: Vec<Adoption>,
}

/// A validator that began from the standings of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The validator that joined.
    pub subject: Subject,
    /// The log whose standings it took.
    pub adopted: Adopted,
}

/// The findings of an audit.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Name of the run.
    pub name: String,
    /// Hash of the run spec.
    pub run: RunHash,
    /// The windows, in order.
    pub windows: Vec<WindowReport>,
    /// The windows of which the chain's node no longer has the states.
    pub gone: Option<Gone>,
}

/// Windows of which the chain's node no longer has the states: what follows from them cannot be known. All
/// but archive nodes keep the states of about 300 blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gone {
    /// The first window.
    pub first: Window,
    /// The last window.
    pub last: Window,
    /// The newest block that is known to have no state: that of the last window's incentives.
    pub block: Height,
}

/// The number of comparisons for each result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Number of true statements.
    pub agree: usize,
    /// Number of false statements.
    pub differ: usize,
    /// Number of statements that could not be compared.
    pub unknown: usize,
}

impl Verdict {
    /// Creates a difference.
    pub(crate) fn differ(
        what: impl Into<String>,
        stated: impl fmt::Display,
        computed: impl fmt::Display,
    ) -> Self {
        Self::Differ { what: what.into(), stated: stated.to_string(), computed: computed.to_string() }
    }

    /// Compares two values: agreement if they are equal, else a difference.
    pub(crate) fn same<T: PartialEq + fmt::Display>(what: &str, stated: T, computed: T) -> Self {
        if stated == computed { Self::Agree } else { Self::differ(what, stated, computed) }
    }

    /// Creates an unknown verdict from the error of a failed read, with all its causes.
    pub(crate) fn unread(error: &dyn std::error::Error) -> Self {
        Self::unknown(base::ErrorChain(error))
    }

    /// Creates an unknown verdict with its reason.
    pub(crate) fn unknown(why: impl fmt::Display) -> Self {
        Self::Unknown { why: why.to_string() }
    }

    /// Returns the name of the verdict, without details.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::Differ { .. } => "differ",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl Report {
    /// Counts the comparisons for each result.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for finding in self.windows.iter().flat_map(|window| &window.findings) {
            match finding.verdict {
                Verdict::Agree => counts.agree += 1,
                Verdict::Differ { .. } => counts.differ += 1,
                Verdict::Unknown { .. } => counts.unknown += 1,
            }
        }
        counts
    }

    /// Returns the exit code: [`Exit::Disagreement`] if anything differs, else [`Exit::Failed`] if
    /// anything is unknown, else [`Exit::Good`].
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.counts() {
            Counts { differ: 1.., .. } => Exit::Disagreement,
            Counts { unknown: 1.., .. } => Exit::Failed,
            _ => Exit::Good,
        }
    }

    /// Returns the whole report as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "run": self.run,
            "counts": self.counts(),
            "gone": self.gone,
            "windows": self.windows.iter().map(WindowReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl WindowReport {
    fn to_json(&self) -> Value {
        let decision = self.decision.as_ref();
        let accepted = |accepted: &Accepted| json!({"hotkey": accepted.id.hotkey, "object": accepted.object});
        let candidates = |decision: &Decision| {
            let hotkeys = decision.candidates.iter().map(|candidate| candidate.id.hotkey);
            hotkeys.collect::<Vec<_>>()
        };
        json!({
            "window": self.window,
            "candidates": decision.map(candidates),
            "accepted": decision.map(|decision| decision.applied().iter().map(accepted).collect::<Vec<_>>()),
            "null": decision.and_then(|decision| decision.accepted.as_ref().err()).map(ToString::to_string),
            "electorate": decision.map(electorate::to_json),
            "root": self.root,
            "state": self.state,
            "burnt": self.burnt,
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "pay": self.pay,
            "adoptions": self.adoptions.iter().map(Adoption::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Adoption {
    fn to_json(&self) -> Value {
        let Adopted { validator, window, head } = self.adopted;
        let mut adoption = json!({"from": validator, "window": window, "head": head});
        self.subject.add_to(&mut adoption);
        adoption
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, block } = self;
        write!(
            f,
            "windows {first} to {last}: the chain's node no longer has the states up to block {block}. All but archive \
             nodes keep about 300 blocks. So claims, votes, accepted sets and weights of these windows cannot be \
             known here; name an archive node with --archive URL"
        )
    }
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Adopted { validator, window, head } = self.adopted;
        let subject = self.subject;
        write!(f, "{subject} begins from the standings of {validator} after window {window} (head {head})")
    }
}

impl Subject {
    /// Adds the kind of the author, its uid and its hotkey to a JSON object.
    fn add_to(&self, object: &mut Value) {
        let (kind, neuron) = match *self {
            Self::Network => ("network", None),
            Self::Miner(id, uid) => ("miner", Some((id, uid))),
            Self::Validator(id, uid) => ("validator", Some((id, uid))),
        };
        object["subject"] = json!(kind);
        if let Some((id, uid)) = neuron {
            (object["uid"], object["hotkey"]) = (json!(uid), json!(id.hotkey));
        }
    }
}

impl Finding {
    fn to_json(&self) -> Value {
        let mut finding = json!({"item": self.item, "verdict": self.verdict.word()});
        self.subject.add_to(&mut finding);
        match &self.verdict {
            Verdict::Agree => {}
            Verdict::Differ { what, stated, computed } => {
                (finding["what"], finding["stated"]) = (json!(what), json!(stated));
                finding["computed"] = json!(computed);
            }
            Verdict::Unknown { why } => finding["why"] = json!(why),
        }
        finding
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network => f.write_str("the stake majority"),
            Self::Miner(id, uid) => write!(f, "miner {uid} ({})", id.hotkey),
            Self::Validator(id, uid) => write!(f, "validator {uid} ({})", id.hotkey),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::State => "state",
            Self::Decision => "decision",
            Self::Object => "object",
            Self::Vote => "vote",
            Self::VotedState => "voted state",
            Self::Good => "good",
            Self::Possession => "possession",
            Self::Head => "head",
            Self::Record => "record",
            Self::Log => "log",
            Self::Facts => "facts",
            Self::Adopted => "adopted",
            Self::Ratings => "ratings",
            Self::OwnData => "own data",
            Self::Weights => "weights",
            Self::Dividends => "dividends",
        })
    }
}
