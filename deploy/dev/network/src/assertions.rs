//! What must be true of a run, as pure functions of what is known about it. Each says what was found, and names who is
//! to blame where it is not as it should be.

mod agreement;
mod learning;
mod payment;
#[cfg(test)]
mod tests;

use crate::run_record::RunRecord;
use serde::Serialize;

/// Something that must be true of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assertion {
    /// Its name: stable, for machines.
    pub name: &'static str,
    /// Whether it is true.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

impl Assertion {
    /// True unless there is something to complain about.
    fn of(name: &'static str, good: String, complaints: &[String]) -> Self {
        let ok = complaints.is_empty();
        Self { name, ok, detail: if ok { good } else { complaints.join("; ") } }
    }

    /// Whether two parties disagree where this is not true, so that the exit code says so.
    #[must_use]
    pub fn is_disagreement(&self) -> bool {
        matches!(self.name, "states" | "audit")
    }
}

/// All assertions on a run that has ended.
#[must_use]
pub fn check(record: &RunRecord) -> Vec<Assertion> {
    vec![
        learning::loss(record),
        agreement::states(record),
        payment::weights(record),
        payment::incentives(record),
        agreement::audit(record),
        secrets(record),
        processes(record),
    ]
}

/// No key or secret in any log.
fn secrets(record: &RunRecord) -> Assertion {
    let complaints = match &record.leaks {
        Some(leaks) => leaks.clone(),
        None => vec!["the logs were not searched".into()],
    };
    Assertion::of("secrets", "no secret stands in any log, event or report".into(), &complaints)
}

/// Everybody lived as long as the run.
fn processes(record: &RunRecord) -> Assertion {
    let good = match record.kills {
        0 => "no process ended before its time".into(),
        kills => format!("no process ended before its time but the {kills} that were killed on purpose"),
    };
    Assertion::of("processes", good, &record.deaths)
}
