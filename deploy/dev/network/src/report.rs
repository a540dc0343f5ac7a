//! The report of a run, as JSON.

use crate::{
    assertions::Assertion,
    run_record::{RunRecord, Seconds, WindowOutcome, median},
};
use base::{Hotkey, Window};
use serde::Serialize;
use std::collections::BTreeMap;

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Window by window.
    pub windows: Vec<WindowReport>,
    /// Everybody who mines or pretends to, at the end, as the chain has it.
    pub miners: Vec<MinerReport>,
    /// What must be true.
    pub assertions: Vec<Assertion>,
    /// The most memory that each process had, in bytes. `devnet` holds chain and bucket server.
    pub peak_rss_bytes: BTreeMap<String, u64>,
    /// The commit that this was built from.
    pub git: String,
    /// The build profile.
    pub profile: String,
}

/// A window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowReport {
    /// Its number.
    pub window: u64,
    /// How many claims stood when they closed.
    pub claimed: usize,
    /// How many submissions were applied.
    pub accepted: usize,
    /// The state at its start that a quorum named.
    pub state: Option<String>,
    /// Loss on held-out data after its outer step: the median over validators, in nats.
    pub heldout_loss: Option<f64>,
    /// Tokens that honest miners trained on, together.
    pub train_tokens: u64,
    /// Bytes of an honest miner's submission, median.
    pub submission_bytes: u64,
    /// How long things took: the median over honest nodes of the role that does it.
    pub seconds: SecondsReport,
}

/// How long things took in a window, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SecondsReport {
    /// A miner's inner steps.
    pub train: Option<f64>,
    /// A miner's compression.
    pub compress: Option<f64>,
    /// A miner's upload.
    pub upload: Option<f64>,
    /// A miner's time from its claim to the decision.
    pub wait: Option<f64>,
    /// A miner's outer step, with fetching.
    pub outer: Option<f64>,
    /// A validator's evaluations.
    pub evaluate: Option<f64>,
}

/// A miner at the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinerReport {
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// Its uid.
    pub uid: u16,
    /// `miner`, `joiner`, or the kind of adversary.
    pub kind: String,
    /// The weight that validators set on it: rows scaled to 1, averaged by stake.
    pub weight: f64,
    /// Its share of the incentive.
    pub incentive: f64,
}

impl Report {
    /// Of a run that has ended.
    #[must_use]
    pub fn new(
        record: &RunRecord,
        assertions: Vec<Assertion>,
        peak_rss_bytes: BTreeMap<String, u64>,
    ) -> Self {
        Self {
            windows: record.run().map(|window| window_report(record, window)).collect(),
            miners: miners(record),
            assertions,
            peak_rss_bytes,
            git: env!("MUSTER_GIT").into(),
            profile: env!("MUSTER_PROFILE").into(),
        }
    }
}

fn window_report(record: &RunRecord, window: Window) -> WindowReport {
    let none = WindowOutcome::default();
    let seen = record.windows.get(&window).unwrap_or(&none);
    let mut bytes: Vec<u64> = seen.bytes.values().copied().collect();
    bytes.sort_unstable();
    WindowReport {
        window: window.0,
        claimed: seen.claimed.len(),
        accepted: seen.accepted.iter().flatten().map(|names| names.len()).sum(),
        state: seen.state.map(|state| state.to_string()),
        heldout_loss: record.heldout(Window(window.0 + 1)),
        train_tokens: seen.tokens.values().sum(),
        submission_bytes: bytes.get(bytes.len().saturating_sub(1) / 2).copied().unwrap_or(0),
        seconds: seconds(record, seen),
    }
}

fn seconds(record: &RunRecord, seen: &WindowOutcome) -> SecondsReport {
    let miners: Vec<&str> = record.names(|participant| participant.part.is_honest_miner()).collect();
    let of_miners = |of: fn(&Seconds) -> Option<f64>| {
        let progress = seen.seconds.iter().filter(|(name, _)| miners.contains(&name.as_str()));
        median(&progress.filter_map(|(_, seconds)| of(seconds)).collect::<Vec<_>>())
    };
    let evaluate: Vec<f64> = seen.seconds.values().filter_map(|seconds| seconds.evaluate).collect();
    SecondsReport {
        train: of_miners(|seconds| seconds.train),
        compress: of_miners(|seconds| seconds.compress),
        upload: of_miners(|seconds| seconds.upload),
        wait: of_miners(|seconds| seconds.wait),
        outer: of_miners(|seconds| seconds.outer),
        evaluate: median(&evaluate),
    }
}

fn miners(record: &RunRecord) -> Vec<MinerReport> {
    let of = |values: &BTreeMap<String, f64>, name: &str| values.get(name).copied().unwrap_or(0.0);
    let mining = record.participants.iter().filter(|(participant, _)| participant.part.mines());
    mining
        .map(|(participant, hotkey)| MinerReport {
            hotkey: *hotkey,
            uid: participant.uid.0,
            kind: participant.part.to_string(),
            weight: of(&record.end.weights, &participant.name),
            incentive: of(&record.end.incentives, &participant.name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{Participant, Role};
    use base::Uid;

    #[test]
    fn the_report_has_the_agreed_fields() {
        let participant = |name: &str, part, uid| {
            (Participant { name: name.into(), part, uid: Uid(uid), stake: 0 }, Hotkey([uid as u8; 32]))
        };
        let participants =
            vec![participant("validator-0", Role::Validator, 1), participant("miner-0", Role::Miner, 2)];
        let mut record = RunRecord { participants, count: 1, ..RunRecord::default() };
        let window = record.window(Window(0));
        window.claimed.insert("miner-0".into());
        window.accepted = Some(Some(["miner-0".to_owned()].into()));
        window.tokens.insert("miner-0".into(), 20_480);
        window.bytes.insert("miner-0".into(), 30_000);
        window.seconds.insert("miner-0".into(), Seconds { train: Some(2.0), ..Seconds::default() });
        window.seconds.insert(
            "validator-0".into(),
            Seconds { evaluate: Some(3.0), outer: Some(9.0), ..Seconds::default() },
        );
        record.window(Window(1)).heldout.insert("validator-0".into(), 7.5);
        record.end.incentives.insert("miner-0".into(), 1.0);
        let report = Report::new(&record, Vec::new(), [("devnet".to_owned(), 1)].into());
        let json = serde_json::to_value(&report).unwrap();
        let window = serde_json::json!({
            "window": 0, "claimed": 1, "accepted": 1, "state": null, "heldout_loss": 7.5, "train_tokens": 20_480,
            "submission_bytes": 30_000,
            "seconds": {"train": 2.0, "compress": null, "upload": null, "wait": null, "outer": null, "evaluate": 3.0},
        });
        assert_eq!(json["windows"], serde_json::json!([window]));
        let miner = serde_json::json!({
            "hotkey": Hotkey([2; 32]).to_string(), "uid": 2, "kind": "miner", "weight": 0.0, "incentive": 1.0,
        });
        assert_eq!(json["miners"], serde_json::json!([miner]));
        assert_eq!(json["peak_rss_bytes"], serde_json::json!({"devnet": 1}));
        assert!(!report.git.is_empty() && !report.profile.is_empty());
    }
}
