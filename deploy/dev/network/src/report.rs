//! The report of a run, as JSON.

use crate::{
    assertions::{self, Assertion, Lost},
    run_record::{RunRecord, Seconds, WindowOutcome, median},
};
use base::{Hotkey, Window};
use link::Traffic;
use serde::Serialize;
use std::collections::BTreeMap;

/// The report of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The windows of the run.
    pub windows: Vec<WindowReport>,
    /// All miners, honest and dishonest, at the end of the run.
    pub miners: Vec<MinerReport>,
    /// The results of the assertions.
    pub assertions: Vec<Assertion>,
    /// The peak memory of each process, in bytes. `devnet` includes the chain and the bucket server.
    pub peak_rss_bytes: BTreeMap<String, u64>,
    /// The traffic of each node over its link. It is left out without `--link`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, LinkReport>,
    /// The commit of this build.
    pub git: String,
    /// The build profile.
    pub profile: String,
}

/// The traffic of a node over its link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LinkReport {
    /// The number of bytes from the node.
    pub up_bytes: u64,
    /// The number of bytes to the node.
    pub down_bytes: u64,
    /// The megabits from the node in the busiest second.
    pub most_up_mbit: f64,
    /// The megabits to the node in the busiest second.
    pub most_down_mbit: f64,
    /// The number of packets that were lost and sent again.
    pub lost_packets: u64,
}

/// The outcome of a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowReport {
    /// The number of the window.
    pub window: u64,
    /// The number of claims when claims closed.
    pub claimed: usize,
    /// The number of applied submissions.
    pub accepted: usize,
    /// The state at the window's start that a quorum voted for.
    pub state: Option<String>,
    /// The loss on held-out data after the window's outer step, in nats: the median over validators.
    pub heldout_loss: Option<f64>,
    /// The number of tokens that all honest miners trained on.
    pub train_tokens: u64,
    /// The median size of the honest miners' submissions, in bytes.
    pub submission_bytes: u64,
    /// The times of the steps: medians over the honest nodes that do the step.
    pub seconds: SecondsReport,
    /// The claims and votes of honest nodes that do not count, each with the time that the node needed
    /// and had.
    pub lost: Vec<Lost>,
}

/// The times of the steps of a window, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SecondsReport {
    /// The inner steps of a miner.
    pub train: Option<f64>,
    /// The compression by a miner.
    pub compress: Option<f64>,
    /// The upload by a miner.
    pub upload: Option<f64>,
    /// The wait of a miner from its claim to the decision.
    pub wait: Option<f64>,
    /// The outer step of a miner, including downloads.
    pub outer: Option<f64>,
    /// The evaluations by a validator.
    pub evaluate: Option<f64>,
}

/// A miner at the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinerReport {
    /// The hotkey.
    pub hotkey: Hotkey,
    /// The uid.
    pub uid: u16,
    /// The kind: `miner`, `joiner`, or the kind of adversary.
    pub kind: String,
    /// The weight that validators set on the miner. Each validator's weights are scaled to a sum of 1,
    /// then averaged by stake.
    pub weight: f64,
    /// The miner's share of all incentive.
    pub incentive: f64,
}

impl Report {
    /// Creates the report of a run that has ended.
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
            links: links(record),
            git: env!("MUSTER_GIT").into(),
            profile: env!("MUSTER_PROFILE").into(),
        }
    }
}

fn links(record: &RunRecord) -> BTreeMap<String, LinkReport> {
    let report = |traffic: &Traffic| LinkReport {
        up_bytes: traffic.up,
        down_bytes: traffic.down,
        most_up_mbit: assertions::megabits(traffic.most_up),
        most_down_mbit: assertions::megabits(traffic.most_down),
        lost_packets: traffic.lost,
    };
    let traffic = record.links.iter().flat_map(|links| &links.traffic);
    traffic.map(|(node, traffic)| (node.clone(), report(traffic))).collect()
}

fn window_report(record: &RunRecord, window: Window) -> WindowReport {
    let none = WindowOutcome::default();
    let outcome = record.windows.get(&window).unwrap_or(&none);
    let mut bytes: Vec<u64> = outcome.bytes.values().copied().collect();
    bytes.sort_unstable();
    WindowReport {
        window: window.0,
        claimed: outcome.claimed.len(),
        accepted: outcome.accepted.iter().flatten().map(|names| names.len()).sum(),
        state: outcome.state.map(|state| state.to_string()),
        heldout_loss: record.heldout(Window(window.0 + 1)),
        train_tokens: outcome.tokens.values().sum(),
        submission_bytes: bytes.get(bytes.len().saturating_sub(1) / 2).copied().unwrap_or(0),
        seconds: seconds(record, outcome),
        lost: assertions::lost(record, window),
    }
}

fn seconds(record: &RunRecord, outcome: &WindowOutcome) -> SecondsReport {
    let miners: Vec<&str> = record.names(|participant| participant.role.is_honest_miner()).collect();
    let of_miners = |of: fn(&Seconds) -> Option<f64>| {
        let times = outcome.seconds.iter().filter(|(name, _)| miners.contains(&name.as_str()));
        median(&times.filter_map(|(_, seconds)| of(seconds)).collect::<Vec<_>>())
    };
    let evaluate: Vec<f64> = outcome.seconds.values().filter_map(|seconds| seconds.evaluate).collect();
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
    let mining = record.participants.iter().filter(|(participant, _)| participant.role.mines());
    mining
        .map(|(participant, hotkey)| MinerReport {
            hotkey: *hotkey,
            uid: participant.uid.0,
            kind: participant.role.to_string(),
            weight: of(&record.end.weights, &participant.name),
            incentive: of(&record.end.incentives, &participant.name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        roster::{Participant, Role},
        run_record::ActTimes,
    };
    use base::Uid;

    #[test]
    fn the_report_has_the_agreed_fields() {
        let participant = |name: &str, role, uid| {
            (Participant { name: name.into(), role, uid: Uid(uid), stake: 0 }, Hotkey([uid as u8; 32]))
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
        let sent = [("validator-0".to_owned(), 105.0)].into();
        record.window(Window(0)).vote_times = ActTimes { opened: Some(100.0), closed: Some(104.0), sent };
        record.window(Window(1)).heldout.insert("validator-0".into(), 7.5);
        record.end.incentives.insert("miner-0".into(), 1.0);
        let report = Report::new(&record, Vec::new(), [("devnet".to_owned(), 1)].into());
        let json = serde_json::to_value(&report).unwrap();
        let window = serde_json::json!({
            "window": 0, "claimed": 1, "accepted": 1, "state": null, "heldout_loss": 7.5, "train_tokens": 20_480,
            "submission_bytes": 30_000,
            "seconds": {"train": 2.0, "compress": null, "upload": null, "wait": null, "outer": null, "evaluate": 3.0},
            "lost": [{"node": "validator-0", "act": "vote", "needed_seconds": 5.0, "had_seconds": 4.0}],
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
