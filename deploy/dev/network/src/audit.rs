//! The auditor's answer, read.

use crate::run_record::{AuditOutcome, RunRecord};
use base::{Hotkey, Window, digest::State};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What `auditor windows --json` prints, as far as it is of interest here.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answer {
    /// Window by window.
    pub(crate) windows: Vec<AuditedWindow>,
}

/// A window as the auditor has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AuditedWindow {
    /// Which.
    pub(crate) window: Window,
    /// Whose submissions are applied; none if that cannot be known.
    pub(crate) accepted: Option<Vec<AuditedObject>>,
    /// The state at its start.
    pub(crate) state: Option<State>,
    /// All comparisons.
    pub(crate) findings: Vec<Finding>,
}

/// A submission that is applied.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AuditedObject {
    /// Whose.
    pub(crate) hotkey: Hotkey,
}

/// A comparison.
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
    /// It is not what an auditor prints.
    pub(crate) fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// What differs: what the auditor says, and what the nodes of this run had otherwise.
    pub(crate) fn record(&self, record: &RunRecord) -> AuditOutcome {
        let progress = self.windows.iter().flat_map(|window| {
            window.findings.iter().filter_map(|finding| finding.complaint(record, window.window))
        });
        let seen = self.windows.iter().filter_map(|window| window.differs_from(record));
        AuditOutcome { windows: self.windows.len() as u64, differences: progress.chain(seen).collect() }
    }
}

impl AuditedWindow {
    /// Whether the nodes had another state or another accepted set.
    fn differs_from(&self, record: &RunRecord) -> Option<String> {
        let seen = record.windows.get(&self.window)?;
        let names = |objects: &Vec<AuditedObject>| -> BTreeSet<String> {
            objects.iter().filter_map(|object| record.name_of(&object.hotkey)).map(Into::into).collect()
        };
        let (theirs, ours) = (self.accepted.as_ref().map(names), seen.accepted.clone()?.unwrap_or_default());
        if self.state != seen.state {
            return Some(format!(
                "window {}: the auditor comes to another state than the quorum",
                self.window
            ));
        }
        (theirs.as_ref() != Some(&ours)).then(|| {
            format!("window {}: the auditor comes to another accepted set than the nodes", self.window)
        })
    }
}

impl Finding {
    fn complaint(&self, record: &RunRecord, window: Window) -> Option<String> {
        if self.verdict == "agree" {
            return None;
        }
        let name = self.hotkey.as_ref().and_then(|hotkey| record.name_of(hotkey)).unwrap_or(&self.subject);
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
    use crate::roster::{Participant, Role};
    use base::Uid;

    const HOTKEY: Hotkey = Hotkey([5; 32]);

    fn record() -> RunRecord {
        let participant =
            Participant { name: "validator-1".into(), part: Role::Validator, uid: Uid(2), stake: 0 };
        let mut record =
            RunRecord { participants: vec![(participant, HOTKEY)], count: 1, ..RunRecord::default() };
        let window = record.window(Window(0));
        (window.state, window.accepted) = (Some(State([1; 32])), Some(None));
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
    fn agreement_leaves_nothing_to_say() {
        let fine = format!(
            r#"{{"subject": "validator", "uid": 2, "hotkey": "{HOTKEY}", "item": "log", "verdict": "agree"}}"#
        );
        let expected = AuditOutcome { windows: 1, differences: Vec::new() };
        assert_eq!(answer(1, &fine).record(&record()), expected);
    }

    #[test]
    fn who_differs_in_what_is_named() {
        let wrong = format!(
            r#"{{"subject": "validator", "uid": 2, "hotkey": "{HOTKEY}", "item": "weights", "verdict": "differ",
                "what": "weight of uid 4", "stated": "7", "computed": "65535"}}"#
        );
        let found = answer(1, &wrong).record(&record()).differences;
        assert_eq!(
            found,
            ["window 0: validator-1's weights differs (weight of uid 4: stated 7, computed 65535)"]
        );
        let unknown =
            r#"{"subject": "network", "item": "state", "verdict": "unknown", "why": "an object is gone"}"#;
        let found = answer(1, unknown).record(&record()).differences;
        assert_eq!(found, ["window 0: network's state differs (an object is gone)"]);
    }

    #[test]
    fn another_state_than_the_nodes_had_is_told() {
        let found = answer(2, "").record(&record()).differences;
        assert_eq!(found, ["window 0: the auditor comes to another state than the quorum"]);
    }
}
