//! The parts of an explanation.

use crate::{
    gauntlet::{
        Evaluation, ScoringSpec, Standings,
        proof::{Outlook, Proof, Verdict},
    },
    uniqueness::{Class, Nearest},
};
use base::{Hotkey, Millionths};
use serde::Serialize;

/// Whether an update was judged, and if not, the kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// The update was judged.
    Judged,
    /// The submission failed by the miner's own fault.
    Failed,
    /// The update was not evaluated, by no fault of the miner.
    Cut,
    /// The hotkey is not registered.
    Gone,
}

/// The measurements of an update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The place in the order of improvements, from 1.
    pub place: usize,
    /// Number of judged miners.
    pub places: usize,
    /// The mean relative improvement on unassigned data.
    pub improvement: f64,
    /// The contribution of the window, 0 to 2: the improvement relative to the field's, times the square root
    /// of share times uniqueness.
    pub relative: Millionths,
    /// The improvement on assigned data minus that on unassigned data.
    pub difference: f64,
    /// The standard error of the difference.
    pub error: f64,
    /// The margin of the window: the difference in standard errors. Its own standard error is about 1.
    pub margin: f64,
    /// The samples that the update declares, as a share of the assigned ones.
    pub share: Millionths,
    /// The uniqueness of the update, 0 to 1.
    pub uniqueness: Millionths,
}

/// An update that overlaps with the miner's update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Overlapping {
    /// The miner of the other update, or `None` for the last outer step.
    pub hotkey: Option<Hotkey>,
    /// The kind of the pair.
    pub class: Class,
    /// The cosine of both updates, -1 to 1.
    pub cosine: Millionths,
}

/// The standing of a miner after the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StandingPart {
    /// The rating: `mu - 3 sigma`. It orders miners, and does not determine pay.
    pub rating: Millionths,
    /// The proof of computation.
    pub proof: ProofPart,
    /// The factor that failures leave of the score, 0 to 1.
    pub credit: Millionths,
    /// Number of failures in a row.
    pub failures: u16,
    /// Number of windows in which an update of the miner was judged.
    pub judged: u32,
    /// The mean contribution of the last 20 windows, 0 to 2.
    pub contribution: Millionths,
}

/// The state of a proof, and its distance from the next verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProofPart {
    /// The verdict.
    pub verdict: VerdictName,
    /// Whether the evidence is for an undecided miner. `None` after a verdict.
    pub favoured: Option<bool>,
    /// The factor of pay: 0, a half, or 1.
    pub factor: Millionths,
    /// The sum of evidence, in nats: for an undecided miner, or for the next change after a verdict.
    pub evidence: Millionths,
    /// The next verdict and its distance.
    #[serde(flatten)]
    pub outlook: Outlook,
    /// The margin that the field has and a miner needs, in standard errors.
    pub field_margin: Millionths,
    /// The miner's mean margin in recent windows, in standard errors. `None` if no recent window judged it.
    pub margin: Option<f64>,
    /// The standard error of the mean margin.
    pub margin_error: Option<f64>,
}

/// The name of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictName {
    /// The miner trains on its data.
    Passed,
    /// The miner does not train on its data, or on too little of it.
    Failed,
    /// The evidence is not sufficient.
    Undecided,
    /// The field's margin is below the floor, so windows are no evidence.
    NotMeasurable,
}

impl Overlapping {
    /// Returns the largest overlap of an update.
    pub(super) fn nearest(evaluation: &Evaluation) -> Option<Self> {
        let Nearest { class, partner, cosine } = evaluation.overlap.nearest?;
        let hotkey = (class != Class::OuterStep).then_some(partner);
        Some(Self { hotkey, class, cosine })
    }

    /// Returns the largest overlap of another miner's update, if it is one with this miner's update of the
    /// same window. It costs both miners.
    pub(super) fn named_by(other: &Hotkey, evaluation: &Evaluation, miner: &Hotkey) -> Option<Self> {
        let nearest = Self::nearest(evaluation)?;
        let is_ours = nearest.class == Class::SameWindow && nearest.hotkey == Some(*miner);
        is_ours.then_some(Self { hotkey: Some(*other), ..nearest })
    }
}

impl ProofPart {
    /// Returns the state of a miner's proof. `margins` are those of its recent windows.
    pub(super) fn of(
        spec: &ScoringSpec,
        standings: &Standings,
        miner: &Hotkey,
        proof: Proof,
        margins: Vec<f64>,
    ) -> Self {
        let verdict = standings.verdict(spec, miner);
        let field = standings.field();
        let field_margin = field.margin(&spec.proof);
        let count = margins.len() as f64;
        let margin = (!margins.is_empty()).then(|| margins.iter().sum::<f64>() / count);
        let measurable = field.is_measurable(&spec.proof);
        let evidence = margin.filter(|_| measurable).map(|margin| spec.proof.evidence(margin, field_margin));
        let (Proof::Undecided(sum) | Proof::Passed(sum) | Proof::Failed(sum)) = proof;
        Self {
            verdict: verdict.into(),
            favoured: match verdict {
                Verdict::Undecided { favoured } | Verdict::NotMeasurable { favoured } => Some(favoured),
                Verdict::Passed | Verdict::Failed => None,
            },
            factor: verdict.factor(),
            evidence: sum,
            outlook: spec.proof.outlook(proof, evidence),
            field_margin,
            margin,
            margin_error: margin.map(|_| 1.0 / count.sqrt()),
        }
    }
}

impl From<Verdict> for VerdictName {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Failed => Self::Failed,
            Verdict::Undecided { .. } => Self::Undecided,
            Verdict::NotMeasurable { .. } => Self::NotMeasurable,
        }
    }
}
