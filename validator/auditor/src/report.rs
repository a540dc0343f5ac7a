//! What an audit finds: one verdict for each thing that somebody states, and what it comes to.

mod text;

use base::{
    Exit, NeuronId, Uid, Window,
    digest::{RunHash, State, StateRoot},
};
use protocol::acceptance::{Accepted, Decision};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// The state that the stake majority names is the one that comes out of the accepted objects.
    State,
    /// Who voted could be read, and with that what is accepted.
    Decision,
    /// A miner's accepted object is in its bucket, whole and signed.
    Object,
    /// A validator that usually votes did.
    Vote,
    /// The state that the vote names.
    VotedState,
    /// What the vote finds good is well-formed, and claimed.
    Good,
    /// The vote shows that its objects were held.
    Possession,
    /// The score log that the vote names is the one that is published.
    Head,
    /// The record of what was accepted.
    Record,
    /// The score log is there, unchanged and signed.
    Log,
    /// Claims, state, seed and subnet in the score log are those of the chain.
    Facts,
    /// Standings, scores and weights in the score log come out of its measurements.
    Ratings,
    /// The weights on chain are those of a score log.
    Weights,
}

/// Whose statement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The stake majority's.
    Network,
    /// A miner's.
    Miner(NeuronId, Uid),
    /// A validator's.
    Validator(NeuronId, Uid),
}

/// What became of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was computed.
    Agree,
    /// It is not. The first difference.
    Differ {
        /// In what.
        what: String,
        /// What is stated.
        stated: String,
        /// What comes out.
        computed: String,
    },
    /// Something could not be read.
    Unknown {
        /// What, and why.
        why: String,
    },
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose statement it is.
    pub subject: Subject,
    /// About what.
    pub item: Item,
    /// Whether it is true.
    pub verdict: Verdict,
}

/// What was found on a window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowReport {
    /// The window.
    pub window: Window,
    /// What all nodes had to decide; nothing if it cannot be known.
    pub decision: Option<Decision>,
    /// The parameters at the window's start, as they come out here.
    pub root: Option<StateRoot>,
    /// The parameters and all accepted sets before, as votes name them.
    pub state: Option<State>,
    /// All comparisons.
    pub findings: Vec<Finding>,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The run's name.
    pub name: String,
    /// The run.
    pub run: RunHash,
    /// Window by window.
    pub windows: Vec<WindowReport>,
}

/// How many comparisons had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// What is stated is true.
    pub agree: usize,
    /// It is not.
    pub differ: usize,
    /// It could not be seen.
    pub unknown: usize,
}

impl Verdict {
    /// A difference.
    pub(crate) fn differ(
        what: impl Into<String>,
        stated: impl fmt::Display,
        computed: impl fmt::Display,
    ) -> Self {
        Self::Differ { what: what.into(), stated: stated.to_string(), computed: computed.to_string() }
    }

    /// Agreement, if both are the same.
    pub(crate) fn same<T: PartialEq + fmt::Display>(what: &str, stated: T, computed: T) -> Self {
        match stated == computed {
            true => Self::Agree,
            false => Self::differ(what, stated, computed),
        }
    }

    /// What could not be read, and why.
    pub(crate) fn unknown(why: impl fmt::Display) -> Self {
        Self::Unknown { why: why.to_string() }
    }

    /// In a word.
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
    /// How many comparisons had which outcome.
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

    /// How the program ends: with disagreement if anything differs, as failed if anything could not be seen.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.counts() {
            Counts { differ: 1.., .. } => Exit::Disagreement,
            Counts { unknown: 1.., .. } => Exit::Failed,
            _ => Exit::Good,
        }
    }

    /// All of it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "run": self.run,
            "counts": self.counts(),
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
            "root": self.root,
            "state": self.state,
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Finding {
    fn to_json(&self) -> Value {
        let (subject, neuron) = match self.subject {
            Subject::Network => ("network", None),
            Subject::Miner(id, uid) => ("miner", Some((id, uid))),
            Subject::Validator(id, uid) => ("validator", Some((id, uid))),
        };
        let mut finding = json!({"subject": subject, "item": self.item, "verdict": self.verdict.word()});
        if let Some((id, uid)) = neuron {
            (finding["uid"], finding["hotkey"]) = (json!(uid), json!(id.hotkey));
        }
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
            Self::Ratings => "ratings",
            Self::Weights => "weights",
        })
    }
}
