//! The sentences of an explanation: each names a number that lowers the pay, and says what changes it.

use super::{Explanation, Measured, OutcomeKind, Overlapping, ProofPart, StandingPart, VerdictName};
use crate::{
    gauntlet::{
        Fault, Penalty, ScoringSpec,
        contribution::WINDOWS,
        proof::{NextVerdict, Outlook},
    },
    uniqueness::Class,
};
use base::Millionths;

/// Number of overlapping updates that a sentence names.
const NAMED: usize = 3;

/// A difference of contributions that is not worth a sentence, in millionths.
const SLIGHT: i64 = 20_000;

/// Returns the sentences about a miner, the gravest first.
pub(super) fn of(spec: &ScoringSpec, about: &Explanation) -> Vec<String> {
    let mut advice = Vec::new();
    advice.extend(outcome(spec, about));
    if let Some(standing) = &about.standing {
        advice.extend(proof(spec, &standing.proof));
        advice.extend(credit(spec, standing));
    }
    if let Some(measured) = &about.measured {
        advice.extend(uniqueness(measured, &about.overlaps));
        advice.extend(share(measured));
        advice.extend(improvement(measured));
    }
    advice.extend(contribution(about));
    if advice.is_empty() && about.standing.is_some() {
        advice.push("Nothing lowers this pay: only a larger improvement raises it.".to_owned());
    }
    advice.extend(on_chain(about));
    advice
}

/// Says why the update was not judged.
fn outcome(spec: &ScoringSpec, about: &Explanation) -> Option<String> {
    match (about.outcome, about.fault) {
        (OutcomeKind::Judged, _) => None,
        (OutcomeKind::Cut, _) => Some(
            "The update was not evaluated, by no fault of the miner. This costs nothing: the next window \
             evaluates it first."
                .to_owned(),
        ),
        (OutcomeKind::Gone, _) => Some(
            "The hotkey is not registered, so it is not paid, and each window counts as a failure: register \
             it with `miner register`."
                .to_owned(),
        ),
        (OutcomeKind::Failed, None) => Some("The submission failed.".to_owned()),
        (OutcomeKind::Failed, Some(fault)) => {
            let cost = match fault.penalty() {
                Penalty::All => "all credit".to_owned(),
                Penalty::Part => format!(
                    "{} of the credit, and all after {} failures in a row",
                    number(Millionths::ONE.get() - spec.penalty.factor.get()),
                    spec.penalty.all_after
                ),
            };
            Some(format!("The submission failed: {fault}. This costs {cost}. {}", remedy(fault)))
        }
    }
}

/// Says what prevents a fault.
fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::Absent => "Claim an update in each window: the miner's log says why it made none.",
        Fault::Missing => {
            "Check that the bucket answers to others, and that uploads end before the claims close."
        }
        Fault::Slow => "Use a faster bucket or line, or begin uploads earlier.",
        Fault::WrongState => {
            "Check that the miner holds the accepted state: its log says when it catches up."
        }
        Fault::Mismatch | Fault::TooLarge | Fault::Malformed => {
            "Run an unchanged miner of the current version, and let no other program write to its bucket."
        }
        Fault::ChangesNothing => "Check that the miner trains: data, inner steps and learning rate.",
        Fault::LossNotFinite => "Check the training for values that are not finite.",
        Fault::NoImprovement => {
            "Check data and inner steps: the update must help on data that it was not trained on."
        }
    }
}

/// Says what the proof of computation pays, and when its verdict changes.
fn proof(spec: &ScoringSpec, proof: &ProofPart) -> Option<String> {
    let state = match (proof.verdict, proof.favoured) {
        (VerdictName::Passed, _) if proof.outlook.windows.is_none() => return None,
        (VerdictName::Passed, _) => "The proof is passed, but evidence against the miner grows.",
        (VerdictName::Failed, _) => "The proof has failed, so nothing is paid.",
        (_, Some(true)) => "The proof is undecided, with the evidence for the miner, so it pays half.",
        (_, _) => "The proof is undecided, without evidence for the miner, so it pays nothing.",
    };
    Some(format!("{state} {} {}", margin(spec, proof), outlook(spec, proof)))
}

/// Says how the recent margins compare with the field's.
fn margin(spec: &ScoringSpec, proof: &ProofPart) -> String {
    let (field, floor) = (proof.field_margin.get(), spec.proof.floor.get());
    let needed = number(spec.proof.neutral_share().get());
    match proof.margin {
        _ if field < floor => format!(
            "The field's margin is {}, below {}: windows are no evidence until it is larger.",
            number(field),
            number(floor)
        ),
        None => format!("No recent window was judged; evidence needs margins above {needed} of the field's."),
        Some(margin) => format!(
            "Your recent margin is {} of the field's ({} of {}): evidence for a miner needs more than {needed}.",
            number(margin / field),
            number(margin),
            number(field)
        ),
    }
}

/// Says what the next verdict is, and how far it is.
fn outlook(spec: &ScoringSpec, proof: &ProofPart) -> String {
    let Outlook { next, missing, windows } = proof.outlook;
    let does = match next {
        NextVerdict::Passed => "passes",
        NextVerdict::Failed => "fails",
    };
    let evidence = format!("It {does} after {} more nats of evidence", number(missing.get()));
    match windows {
        Some(1) => format!("{evidence}: at this margin, 1 more judged window."),
        Some(windows) => format!("{evidence}: at this margin, {windows} more judged windows."),
        None if proof.margin.is_none() || proof.field_margin < spec.proof.floor => format!("{evidence}."),
        None => format!("{evidence}, which this margin never brings."),
    }
}

/// Says when credit is whole again.
fn credit(spec: &ScoringSpec, standing: &StandingPart) -> Option<String> {
    let missing = Millionths::ONE.0 - standing.credit.0;
    if missing <= 0 {
        return None;
    }
    let windows = missing.unsigned_abs().div_ceil(spec.penalty.recovery.0.max(1).unsigned_abs());
    let windows = if windows == 1 {
        "1 judged window brings".into()
    } else {
        format!("{windows} judged windows bring")
    };
    Some(format!("Your credit is {}: {windows} it back to 1.", number(standing.credit.get())))
}

/// Says which updates overlap with the miner's.
fn uniqueness(measured: &Measured, overlaps: &[Overlapping]) -> Option<String> {
    if measured.uniqueness >= Millionths::ONE {
        return None;
    }
    let named = |overlap: &Overlapping| {
        let name = overlap.hotkey.map_or("the last outer step".to_owned(), |hotkey| hotkey.to_string());
        let when = match overlap.class {
            Class::SameWindow | Class::OuterStep => "",
            Class::OneBefore => " of the window before",
            Class::TwoBefore => " of two windows before",
        };
        format!("{name}{when} (cosine {})", number(overlap.cosine.get()))
    };
    let mut names: Vec<_> = overlaps.iter().take(NAMED).map(named).collect();
    names.extend(overlaps.len().checked_sub(NAMED + 1).map(|more| format!("{} more", more + 1)));
    Some(format!(
        "Your uniqueness is {}: the update overlaps with {}. Train on your own data, in a run of your own: \
         overlapping updates share the pay of one.",
        number(measured.uniqueness.get()),
        names.join(", ")
    ))
}

/// Says that the update declares only a part of the samples.
fn share(measured: &Measured) -> Option<String> {
    (measured.share < Millionths::ONE).then(|| {
        format!(
            "The update declares {} of the assigned samples and is paid for this share: train on all of them.",
            number(measured.share.get())
        )
    })
}

/// Says that the window counts less than the field's.
fn improvement(measured: &Measured) -> Option<String> {
    let whole = (measured.share.get() * measured.uniqueness.get()).sqrt();
    let relative = measured.relative.get() / whole.max(f64::MIN_POSITIVE);
    (relative < (Millionths::ONE.0 - SLIGHT) as f64 / 1e6).then(|| {
        format!(
            "The improvement on unassigned data is {} of the field's: pay goes with its square.",
            number(relative)
        )
    })
}

/// Says in which direction the mean contribution moves.
fn contribution(about: &Explanation) -> Option<String> {
    let mean = about.standing?.contribution;
    match &about.measured {
        Some(measured) if measured.relative.0 > mean.0 + SLIGHT => Some(format!(
            "Your contribution is {}, the mean of {WINDOWS} windows: {WINDOWS} windows like this one raise it to {}.",
            number(mean.get()),
            number(measured.relative.get())
        )),
        Some(measured) if measured.relative.0 < mean.0 - SLIGHT => Some(format!(
            "Your contribution is {}, the mean of {WINDOWS} windows: {WINDOWS} windows like this one lower it to {}.",
            number(mean.get()),
            number(measured.relative.get())
        )),
        Some(_) => None,
        None if matches!(about.outcome, OutcomeKind::Cut) => None,
        None => Some(format!(
            "Your contribution is {}, the mean of {WINDOWS} windows: a window without a judged update counts 0.",
            number(mean.get())
        )),
    }
}

/// Says why weight and incentive differ.
fn on_chain(about: &Explanation) -> Option<String> {
    match (about.weight, about.incentive) {
        (Some(1..), Some(0)) => Some(
            "The incentive on chain is 0 so far: it follows in the next epoch after validators set weights like \
             these."
                .to_owned(),
        ),
        (_, None) if about.outcome != OutcomeKind::Gone => {
            Some("The hotkey is not registered any more: register it with `miner register`.".to_owned())
        }
        (None, Some(_)) if about.score > 0.0 && about.outcome != OutcomeKind::Gone => {
            Some("The log sets no weights: those set before stay on chain.".to_owned())
        }
        _ => None,
    }
}

/// Formats a number with at most two decimals, or with two digits if it is small.
fn number(value: f64) -> String {
    let text =
        if value == 0.0 || value.abs() >= 0.01 { format!("{value:.2}") } else { format!("{value:.2e}") };
    match text.split_once('.') {
        Some((_, decimals)) if !decimals.contains('e') => {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text,
    }
}
