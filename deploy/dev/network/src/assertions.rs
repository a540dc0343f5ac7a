//! The assertions on a run, as pure functions of its record. Each returns the facts that it found. An
//! assertion that fails names the culprits.

mod agreement;
mod deadlines;
mod learning;
mod links;
mod payment;
#[cfg(test)]
mod tests;

pub(crate) use deadlines::lost;
pub use deadlines::{Act, Lost};
pub(crate) use links::megabits;

use crate::run_record::RunRecord;
use serde::Serialize;

/// The result of an assertion on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assertion {
    /// The name. It is stable, for programs.
    pub name: &'static str,
    /// Whether the assertion holds.
    pub ok: bool,
    /// The facts, or the complaints if the assertion fails.
    pub detail: String,
}

impl Assertion {
    /// Creates a result that holds if there are no complaints.
    pub(crate) fn of(name: &'static str, good: String, complaints: &[String]) -> Self {
        let ok = complaints.is_empty();
        Self { name, ok, detail: if ok { good } else { complaints.join("; ") } }
    }

    /// Returns whether a failure means that two parties disagree. Such a failure has its own exit code.
    #[must_use]
    pub fn is_disagreement(&self) -> bool {
        matches!(self.name, "states" | "audit")
    }
}

/// Checks all assertions on a run that has ended.
#[must_use]
pub fn check(record: &RunRecord) -> Vec<Assertion> {
    let mut all = vec![
        learning::loss(record),
        agreement::states(record),
        deadlines::deadlines(record),
        payment::weights(record),
        payment::incentives(record),
        agreement::audit(record),
        secrets(record),
        processes(record),
    ];
    all.extend(record.links.as_ref().map(|links| links::link(record, links)));
    all.extend(record.faults.iter().map(|fault| fault.assertion(record)));
    all
}

/// Checks that no log contains a key or secret.
fn secrets(record: &RunRecord) -> Assertion {
    let complaints = match &record.leaks {
        Some(leaks) => leaks.clone(),
        None => vec!["the logs were not searched".into()],
    };
    Assertion::of("secrets", "no secret stands in any log, event or report".into(), &complaints)
}

/// Checks that no process ended before the run did.
fn processes(record: &RunRecord) -> Assertion {
    let good = match record.kills {
        0 => "no process ended before its time".into(),
        kills => format!("no process ended before its time but the {kills} that were killed on purpose"),
    };
    Assertion::of("processes", good, &record.deaths)
}
