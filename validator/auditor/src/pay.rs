//! The pay of miners as the score log of one validator explains it, and its table.

use crate::table::{Side, Table, short};
use base::{Hotkey, Uid, digest::ScoreLogHead};
use scoring::{
    explanation::{Explanation, Measured, OutcomeKind, ProofPart, StandingPart, VerdictName},
    gauntlet::proof::NextVerdict,
};
use serde::Serialize;

/// The pay of miners in one window, as the score log of one validator explains it. The log is signed, and its
/// replay gave the same results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogPay {
    /// The validator.
    pub validator: Hotkey,
    /// Its uid now, if it is registered.
    pub uid: Option<Uid>,
    /// The head of the log.
    pub head: ScoreLogHead,
    /// The explanation of each miner, in the order of hotkeys.
    pub miners: Vec<Explanation>,
}

/// Adds the columns about pay to a table. Its rows are those of `explanations`.
pub(crate) fn columns(table: &mut Table, explanations: &[&Explanation]) {
    let mut column = |name: &str, side, cell: &dyn Fn(&Explanation) -> String| {
        table.column(name, side, explanations.iter().map(|explanation| cell(explanation)));
    };
    column("judged", Side::Left, &|of| judged(of).to_owned());
    column("place", Side::Right, &|of| measured(of, |it| format!("{}/{}", it.place, it.places)));
    column("improvement", Side::Right, &|of| measured(of, |it| format!("{:.5}", it.improvement)));
    column("counts", Side::Right, &|of| measured(of, |it| format!("{:.2}", it.relative.get())));
    column("margin", Side::Right, &|of| measured(of, |it| format!("{:.2}", it.margin)));
    column("recent margin", Side::Right, &|of| standing(of, |it| recent_margin(&it.proof)));
    column("proof", Side::Left, &|of| standing(of, |it| verdict(&it.proof)));
    column("next", Side::Left, &|of| standing(of, |it| next(&it.proof)));
    column("unique", Side::Right, &|of| measured(of, |it| format!("{:.2}", it.uniqueness.get())));
    column("overlaps with", Side::Left, &overlaps);
    column("credit", Side::Right, &|of| standing(of, |it| format!("{:.2}", it.credit.get())));
    column("contribution", Side::Right, &|of| standing(of, |it| format!("{:.3}", it.contribution.get())));
    column("score", Side::Right, &|of| format!("{:.4}", of.score));
    let share = |share: f64| format!("{share:.4}");
    column("weight", Side::Right, &|of| of.weight_share.map_or_else(nothing, share));
    let incentive = |incentive: u16| share(f64::from(incentive) / f64::from(u16::MAX));
    column("incentive", Side::Right, &|of| of.incentive.map_or_else(nothing, incentive));
}

fn judged(explanation: &Explanation) -> &'static str {
    match explanation.outcome {
        OutcomeKind::Judged => "yes",
        OutcomeKind::Failed => "failed",
        OutcomeKind::Cut => "cut",
        OutcomeKind::Gone => "gone",
    }
}

fn measured(explanation: &Explanation, cell: impl Fn(&Measured) -> String) -> String {
    explanation.measured.as_ref().map_or_else(nothing, cell)
}

fn standing(explanation: &Explanation, cell: impl Fn(&StandingPart) -> String) -> String {
    explanation.standing.as_ref().map_or_else(nothing, cell)
}

fn nothing() -> String {
    "-".to_owned()
}

/// Formats the mean margin of recent windows with its standard error.
fn recent_margin(proof: &ProofPart) -> String {
    match (proof.margin, proof.margin_error) {
        (Some(margin), Some(error)) => format!("{margin:.2} ± {error:.2}"),
        _ => nothing(),
    }
}

/// Formats a verdict. The sign says for whom the evidence of an undecided proof is.
fn verdict(proof: &ProofPart) -> String {
    let name = match proof.verdict {
        VerdictName::Passed => "passed",
        VerdictName::Failed => "failed",
        VerdictName::Undecided => "undecided",
        VerdictName::NotMeasurable => "not measurable",
    };
    match proof.favoured {
        None => name.to_owned(),
        Some(true) => format!("{name} +"),
        Some(false) => format!("{name} -"),
    }
}

/// Formats the next verdict, the missing evidence, and the windows until then at the recent margin.
fn next(proof: &ProofPart) -> String {
    let verdict = match proof.outlook.next {
        NextVerdict::Passed => "passes",
        NextVerdict::Failed => "fails",
    };
    let windows = proof.outlook.windows.map_or("-".to_owned(), |windows| windows.to_string());
    format!("{verdict}: {:.2} nats, {windows} windows", proof.outlook.missing.get())
}

/// Formats the largest overlap and the number of others.
fn overlaps(explanation: &Explanation) -> String {
    let Some(first) = explanation.overlaps.first() else { return nothing() };
    let name = first.hotkey.map_or("outer step".to_owned(), short);
    let more = match explanation.overlaps.len() {
        1 => String::new(),
        count => format!(" +{}", count - 1),
    };
    format!("{name} {:.2}{more}", first.cosine.get())
}
