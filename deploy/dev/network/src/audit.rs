//! Reads the auditor's answer and compares it with the nodes.

use crate::run_record::{AuditOutcome, RunRecord};
use base::{Hotkey, Window, digest::State};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The output of `auditor windows --json`, without the fields that devnet does not use.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answer {
    /// The audited windows.
    pub(crate) windows: Vec<AuditedWindow>,
}

/// A window, as the auditor recomputed it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AuditedWindow {
    /// The window.
    pub(crate) window: Window,
    /// The applied submissions; `None` if they cannot be known.
    pub(crate) accepted: Option<Vec<AuditedObject>>,
    /// The state at the window's start.
    pub(crate) state: Option<State>,
    /// The results of all comparisons.
    pub(crate) findings: Vec<Finding>,
}

/// An applied submission.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AuditedObject {
    /// The miner's hotkey.
    pub(crate) hotkey: Hotkey,
}

/// The result of a comparison.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Finding {
    subject: String,
    item: String,
    verdict: String,
    #[serde(default)]
    hotkey: Option<Hotkey>,
    #[serde(default)]
    what: Option<String>,
    #[serde(default)]
    stated: Option<String>,
    #[serde(default)]
    computed: Option<String>,
    #[serde(default)]
    why: Option<String>,
}

impl Answer {
    /// Reads the auditor's output.
    ///
    /// # Errors
    /// The text is not an auditor's output.
    pub(crate) fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Returns the outcome of the audit: the auditor's own complaints, and the differences between the
    /// auditor's states and sets and those of the nodes in this run.
    pub(crate) fn outcome(&self, record: &RunRecord) -> AuditOutcome {
        let complaints = self.windows.iter().flat_map(|window| {
            window.findings.iter().filter_map(|finding| finding.complaint(record, window.window))
        });
        let mismatches = self.windows.iter().filter_map(|window| window.differs_from(record));
        AuditOutcome {
            windows: self.windows.len() as u64,
            differences: complaints.chain(mismatches).collect(),
        }
    }
}

impl AuditedWindow {
    /// Returns a sentence if the nodes had another state or another accepted set.
    fn differs_from(&self, record: &RunRecord) -> Option<String> {
        let outcome = record.windows.get(&self.window)?;
        let names = |objects: &Vec<AuditedObject>| -> BTreeSet<String> {
            objects.iter().filter_map(|object| record.name_of(&object.hotkey)).map(Into::into).collect()
        };
        let audited = self.accepted.as_ref().map(names);
        let applied = outcome.accepted.clone()?.unwrap_or_default();
        let others = match outcome.state {
            Some(_) => "the quorum voted for",
            None => "the nodes had",
        };
        let held = outcome.state.or_else(|| record.held(self.window));
        if held.is_some() && self.state != held {
            return Some(format!("window {}: the auditor computed another state than {others}", self.window));
        }
        (audited.as_ref() != Some(&applied)).then(|| {
            format!("window {}: the auditor computed another accepted set than the nodes", self.window)
        })
    }
}

impl Finding {
    /// Returns whether the auditor misses a vote of a validator that usually votes, or that earns dividends.
    fn is_missing_vote(&self) -> bool {
        (self.item == "vote" && self.stated.as_deref() == Some("no vote")) || self.item == "dividends"
    }

    /// Returns whether the auditor misses a score log, finds a later vote that names it, or cannot check
    /// weights without it.
    fn is_missing_log(&self) -> bool {
        let what = self.what.as_deref();
        (self.item == "log" && what == Some("the score log is missing"))
            || (self.item == "head"
                && what == Some("the vote names a score log that is not the last one published"))
            || (self.item == "weights" && self.verdict == "unknown")
    }

    fn complaint(&self, record: &RunRecord, window: Window) -> Option<String> {
        let name = self.hotkey.as_ref().and_then(|hotkey| record.name_of(hotkey)).unwrap_or(&self.subject);
        let is_excused = || record.excused.contains(&window) || record.has_lost_vote(name, window);
        let has_kept_log = || record.kept_logs.contains(&(name.to_owned(), window));
        if self.verdict == "agree"
            || (self.is_missing_vote() && is_excused())
            || (self.is_missing_log() && has_kept_log())
        {
            return None;
        }
        let what = match (&self.what, &self.stated, &self.computed, &self.why) {
            (Some(what), Some(stated), Some(computed), _) => {
                format!("{what}: stated {}, computed {}", short(stated), short(computed))
            }
            (.., Some(why)) => why.clone(),
            _ => self.verdict.clone(),
        };
        Some(format!("window {window}: {name}'s {} differs ({what})", self.item))
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{
        Fault, NetworkFault,
        tests::{participants, with_setting},
    };
    use crate::roster::{Participant, Role};
    use base::{Uid, digest::StateRoot};

    const HOTKEY: Hotkey = Hotkey([5; 32]);

    fn record() -> RunRecord {
        let participant =
            Participant { name: "validator-1".into(), role: Role::Validator, uid: Uid(2), stake: 0 };
        let mut record =
            RunRecord { participants: vec![(participant, HOTKEY)], count: 1, ..RunRecord::default() };
        let outcome = record.window(Window(0));
        (outcome.state, outcome.accepted) = (Some(State([1; 32])), Some(None));
        record
    }

    fn answer(state: u8, finding: &str) -> Answer {
        let state = State([state; 32]);
        let text = format!(
            r#"{{"name": "tiny", "counts": {{}}, "windows": [{{"window": 0, "candidates": [], "accepted": [], "null": null,
                "root": null, "state": "{state}", "findings": [{finding}]}}]}}"#
        );
        Answer::read(&text).unwrap()
    }

    #[test]
    fn agreement_yields_no_differences() {
        let fine = format!(
            r#"{{"subject": "validator", "uid": 2, "hotkey": "{HOTKEY}", "item": "log", "verdict": "agree"}}"#
        );
        let expected = AuditOutcome { windows: 1, differences: Vec::new() };
        assert_eq!(answer(1, &fine).outcome(&record()), expected);
    }

    #[test]
    fn a_difference_names_the_node_and_the_item() {
        let wrong = format!(
            r#"{{"subject": "validator", "uid": 2, "hotkey": "{HOTKEY}", "item": "weights", "verdict": "differ",
                "what": "weight of uid 4", "stated": "7", "computed": "65535"}}"#
        );
        let found = answer(1, &wrong).outcome(&record()).differences;
        assert_eq!(
            found,
            ["window 0: validator-1's weights differs (weight of uid 4: stated 7, computed 65535)"]
        );
        let unknown =
            r#"{"subject": "network", "item": "state", "verdict": "unknown", "why": "an object is gone"}"#;
        let found = answer(1, unknown).outcome(&record()).differences;
        assert_eq!(found, ["window 0: network's state differs (an object is gone)"]);
    }

    #[test]
    fn a_missing_vote_is_a_difference_unless_the_window_is_excused() {
        let missing = format!(
            r#"{{"subject": "validator", "uid": 2, "hotkey": "{HOTKEY}", "item": "vote", "verdict": "differ",
                "what": "the vote is missing", "stated": "no vote", "computed": "a vote"}}"#
        );
        let mut record = record();
        let found = answer(1, &missing).outcome(&record).differences;
        assert!(found[0].starts_with("window 0: validator-1's vote differs"), "{found:?}");
        let killed = RunRecord { lost_votes: [("validator-1".into(), Window(0))].into(), ..record.clone() };
        assert!(answer(1, &missing).outcome(&killed).differences.is_empty());
        record.excused.insert(Window(0));
        assert!(answer(1, &missing).outcome(&record).differences.is_empty());
        let wrong = missing.replace("no vote", "another vote");
        assert_eq!(answer(1, &wrong).outcome(&record).differences.len(), 1);
    }

    #[test]
    fn a_missing_log_is_a_difference_unless_a_fault_ended_its_validator_before() {
        let missing = format!(
            r#"{{"subject": "validator", "uid": 2, "hotkey": "{}", "item": "log", "verdict": "differ",
                "what": "the score log is missing", "stated": "a vote", "computed": "no log"}}"#,
            Hotkey([2; 32])
        );
        let participants = participants(&[50, 40, 30]);
        let gone = with_setting(&participants, |it| NetworkFault::new(Fault::MajorityGone, it).unwrap());
        let mut record =
            RunRecord { participants, count: 8, faults: gone.into_iter().collect(), ..RunRecord::default() };
        assert_eq!(record.logs_that_faults_keep(4).len(), 2 * 8, "weights of window 0 are still hidden");
        record.kept_logs = record.logs_that_faults_keep(0);
        assert_eq!(record.kept_logs.len(), 2 * 6, "two validators, windows 2 to 7");
        let found = |window: u64, what: &str| {
            let text = missing.replace("the score log is missing", what);
            answer(1, &text).windows[0].findings[0].complaint(&record, Window(window)).is_some()
        };
        // The validator ended in window 3: its log of window 2 was due after votes on window 3 were closed.
        assert!(!found(2, "the score log is missing") && !found(3, "the score log is missing"));
        assert!(found(1, "the score log is missing"));
        assert!(found(2, "the score log is not signed"));
        let weights = format!(
            r#"{{"subject": "validator", "uid": 2, "hotkey": "{}", "item": "weights", "verdict": "unknown",
                "why": "the weights may come from a score log that is missing"}}"#,
            Hotkey([2; 32])
        );
        let found = |window: u64| {
            answer(1, &weights).windows[0].findings[0].complaint(&record, Window(window)).is_some()
        };
        assert!(found(1) && !found(2), "weights of a log that was never published");
    }

    #[test]
    fn without_a_quorum_the_auditor_is_compared_with_the_nodes() {
        let mut record = record();
        record.window(Window(0)).state = None;
        assert!(answer(2, "").outcome(&record).differences.is_empty(), "no state is recorded");
        let reported = [("validator-1".to_owned(), (State([1; 32]), StateRoot([0; 32])))];
        record.states.insert(Window(0), reported.into());
        assert!(answer(1, "").outcome(&record).differences.is_empty());
        let found = answer(2, "").outcome(&record).differences;
        assert_eq!(found, ["window 0: the auditor computed another state than the nodes had"]);
    }

    #[test]
    fn a_state_that_differs_from_the_nodes_is_reported() {
        let found = answer(2, "").outcome(&record()).differences;
        assert_eq!(found, ["window 0: the auditor computed another state than the quorum voted for"]);
    }
}
