//! Tests an honest run: everything agrees, and the auditor finds every later change in a bucket.

use crate::{
    subnet::{LAG, Neuron, VALIDATORS, options, start_chain},
    test_run::{CHECKPOINT, Faults, TestRun, WINDOWS},
};
use auditor::Scores;
use base::{Netuid, Window};
use bucket_server::{Fault, Plan, Rule};
use chain::Client;
use protocol::bucket_layout;
use serde_json::{Value, json};
use std::process::Output;

/// Returns the findings of an audit that do not agree, sorted: `verdict window subject uid item`.
pub(crate) fn disagreements(output: &Output) -> Vec<String> {
    let text = |value: &Value| value.to_string().replace('"', "");
    let mut found = Vec::new();
    for window in report(output)["windows"].as_array().unwrap() {
        for finding in window["findings"].as_array().unwrap() {
            if finding["verdict"] != "agree" {
                let parts = ["verdict", "subject", "uid", "item"].map(|part| text(&finding[part]));
                let [verdict, subject, uid, item] = parts;
                found.push(format!("{verdict} {} {subject} {uid} {item}", window["window"]));
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn report(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {error}"))
}

/// Audits all windows. Returns the findings that do not agree, and the exit code.
pub(crate) async fn audit(test_run: &TestRun) -> (Vec<String>, Option<i32>) {
    let output = test_run.auditor(&["windows", "..", "--json"]).await;
    (disagreements(&output), output.status.code())
}

/// Changes an object, audits all windows and restores the object. Returns the result of the audit. An
/// object that `change` empties is deleted.
async fn while_changed(
    test_run: &TestRun,
    neuron: &Neuron,
    key: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> (Vec<String>, Option<i32>) {
    let before = test_run.read(neuron, key).await;
    let mut after = before.clone();
    change(&mut after);
    assert_ne!(after, before);
    if after.is_empty() {
        test_run.delete(neuron, key).await
    } else {
        test_run.write(neuron, key, after).await
    }
    let found = audit(test_run).await;
    test_run.write(neuron, key, before).await;
    found
}

fn flip(at: f64) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| {
        let at = (bytes.len() as f64 * at) as usize;
        bytes[at] ^= 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_run_agrees_and_every_change_is_found() {
    let test_run = TestRun::simulate(Faults::default()).await;
    everything_agrees(&test_run).await;
    objects(&test_run).await;
    logs(&test_run).await;
    records(&test_run).await;
    failing_buckets(&test_run).await;
    other_chains(&test_run).await;
    exports(&test_run).await;
    checkpoints(&test_run).await;
    assert_eq!(audit(&test_run).await, (vec![], Some(0)), "all changes were undone");
}

async fn everything_agrees(test_run: &TestRun) {
    let output = test_run.auditor(&["windows", "0..4", "--json"]).await;
    assert_eq!((disagreements(&output), output.status.code()), (vec![], Some(0)));
    let report = report(&output);
    // Each window has the majority's state and three objects. Each validator adds vote, state, good,
    // possession, head, log, facts, ratings, own data and record, and twice its weights in the whole run.
    let count = WINDOWS as usize * (1 + 3 + VALIDATORS.len() * 10) + 2 * VALIDATORS.len();
    let windows = report["windows"].as_array().unwrap();
    let findings = windows.iter().flat_map(|window| window["findings"].as_array().unwrap());
    let dividends = findings.filter(|finding| finding["item"] == "dividends").count();
    assert!(dividends > 0, "an epoch pays dividends");
    assert_eq!(report["counts"]["agree"], count + dividends);
    assert_eq!(windows[3]["burnt"], 0.0);
    for (window, decision) in report["windows"].as_array().unwrap().iter().zip(&test_run.decisions) {
        assert_eq!(window["accepted"].as_array().unwrap().len(), decision.applied().len());
        assert_eq!(window["state"], decision.state.unwrap().to_string());
    }
    let output = test_run.auditor(&["window", "2"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let count = windows[2]["findings"].as_array().unwrap().len();
    assert!(text.ends_with(&format!("all {count} items agree\n")), "{text}");
}

async fn objects(test_run: &TestRun) {
    let (dave, key) = (&test_run.miners[0], test_run.key(1, 0));
    let flipped = while_changed(test_run, dave, &key, flip(0.5)).await;
    assert_eq!(flipped, (vec!["differ 1 miner 4 object".to_owned()], Some(5)), "replicas exist");
    let unsigned = while_changed(test_run, dave, &key, flip(0.9999)).await;
    assert_eq!(unsigned, (vec!["differ 1 miner 4 object".to_owned()], Some(5)));
    let gone = while_changed(test_run, dave, &key, Vec::clear).await;
    assert_eq!(gone, (vec![], Some(0)), "replicas exist");
    gone_everywhere(test_run).await;
}

/// Checks that later windows are unknown if an accepted object is gone everywhere. No node is blamed.
async fn gone_everywhere(test_run: &TestRun) {
    let key = &test_run.key(2, 0);
    let holders = || test_run.validators.iter().chain([&test_run.miners[0]]);
    let bytes = test_run.read(&test_run.miners[0], key).await;
    for holder in holders() {
        test_run.delete(holder, key).await;
    }
    let (found, exit) = audit(test_run).await;
    assert_eq!(exit, Some(1), "{found:?}");
    assert!(found.iter().all(|finding| finding.starts_with("unknown")), "{found:?}");
    assert!(found.contains(&"unknown 2 miner 4 object".to_owned()), "{found:?}");
    assert!(found.contains(&"unknown 3 validator 1 voted-state".to_owned()), "{found:?}");
    for holder in holders() {
        test_run.write(holder, key, bytes.clone()).await;
    }
}

async fn logs(test_run: &TestRun) {
    let bob = &test_run.validators[1];
    let log = |window| bucket_layout::score_log(test_run.run.id(), Window(window));
    // Every second log has a snapshot, so only the changed log is unknown.
    let edited = while_changed(test_run, bob, &log(1), flip(0.5)).await;
    let expected =
        ["differ 1 validator 2 log", "unknown 1 validator 2 weights", "unknown 2 validator 2 head"];
    assert_eq!(edited, (expected.map(str::to_owned).into(), Some(5)));
    let missing = while_changed(test_run, bob, &log(1), Vec::clear).await;
    let expected = ["differ 1 validator 2 log", "differ 2 validator 2 head", "unknown 1 validator 2 weights"];
    assert_eq!(missing, (expected.map(str::to_owned).into(), Some(5)));
    let without_snapshot = while_changed(test_run, bob, &log(2), Vec::clear).await;
    let expected = ["differ 2 validator 2 log", "differ 3 validator 2 head", "unknown 3 validator 2 ratings"];
    assert_eq!(without_snapshot, (expected.map(str::to_owned).into(), Some(5)));
    let last = while_changed(test_run, bob, &log(3), Vec::clear).await;
    assert_eq!(last.0[0], "differ 3 validator 2 log");
    let others = test_run.read(&test_run.validators[0], &log(1)).await;
    let swapped = while_changed(test_run, bob, &log(1), |bytes| *bytes = others).await;
    assert_eq!(swapped.0[0], "differ 1 validator 2 log");
}

async fn records(test_run: &TestRun) {
    let key = bucket_layout::record(test_run.run.id(), Window(2));
    let other =
        test_run.read(&test_run.validators[0], &bucket_layout::record(test_run.run.id(), Window(1))).await;
    let found = while_changed(test_run, &test_run.validators[0], &key, |bytes| *bytes = other).await;
    assert_eq!(found, (vec!["differ 2 validator 1 record".to_owned()], Some(5)));
}

/// Checks that a node with an unreadable bucket is not blamed, and that its replicated objects are found.
async fn failing_buckets(test_run: &TestRun) {
    let rule = |path: &str, fault| Plan { seed: 0, rules: vec![Rule::always("GET", path, fault)] };
    let run = test_run.run.id();
    test_run.server.inject(rule("/bucket-dave/", Fault::Status { code: 403 }));
    assert_eq!(audit(test_run).await, (vec![], Some(0)), "the custodians have its objects");
    // Services answer 403 for absent keys to readers that may not list.
    test_run.server.inject(rule(&format!("/bucket-bob/{run}/scores"), Fault::Status { code: 403 }));
    let (found, exit) = audit(test_run).await;
    assert_eq!((exit, &*found[0]), (Some(5), "differ 0 validator 2 log"), "{found:?}");
    // Where most buckets forbid all logs, this machine may be the cause.
    let forbidden =
        |name: &str| Rule::always("GET", &format!("/{name}/{run}/scores"), Fault::Status { code: 403 });
    let rules = ["bucket-bob", "bucket-charlie"].map(forbidden).into();
    test_run.server.inject(Plan { seed: 0, rules });
    let (found, exit) = audit(test_run).await;
    assert_eq!(exit, Some(1), "{found:?}");
    assert!(found.iter().all(|finding| finding.starts_with("unknown")), "{found:?}");
    assert!(found.contains(&"unknown 0 validator 3 log".to_owned()), "{found:?}");
    test_run.server.inject(rule(&format!("/bucket-bob/{run}/scores"), Fault::Status { code: 400 }));
    let (found, exit) = audit(test_run).await;
    assert_eq!(exit, Some(1), "{found:?}");
    assert!(found.iter().all(|f| f.starts_with("unknown") && f.contains("validator 2")), "{found:?}");
    assert!(found.contains(&"unknown 0 validator 2 log".to_owned()), "{found:?}");
    test_run.server.inject(rule(&format!("/bucket-bob/{run}/scores"), Fault::Garbage));
    let (found, exit) = audit(test_run).await;
    assert_eq!((exit, &*found[0]), (Some(5), "differ 0 validator 2 log"), "{found:?}");
    test_run.server.inject(Plan::default());
}

async fn other_chains(test_run: &TestRun) {
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let genesis = "01".repeat(32);
    let output = test_run.auditor(&["window", "0", "--genesis", &genesis]).await;
    assert!(output.status.code() == Some(2) && text(&output).contains(&genesis), "{}", text(&output));
    let output = test_run.auditor(&["window", "0", "--netuid", "9"]).await;
    let expected = "auditor: the run is on subnet 3, not 9: give --netuid 3\n";
    assert_eq!((output.status.code(), &*text(&output)), (Some(2), expected));
    let output = test_run.auditor(&["windows", "0..=4"]).await;
    let expected = "auditor: the run has no window 4: its windows are 0 to 3\n";
    assert_eq!((output.status.code(), &*text(&output)), (Some(2), expected));
    let output = test_run.auditor(&["scores", "--netuid", "9"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let output = test_run.auditor(&["scores", "--json"]).await;
    let scores = report(&output);
    assert_eq!(scores["neurons"].as_array().unwrap().len(), 7);
    assert_eq!(scores["neurons"][2]["bucket"]["name"], "bucket-bob");
    let weights = scores["neurons"][2]["weights"].as_object().unwrap();
    assert_eq!(weights.values().map(|weight| weight.as_u64().unwrap()).max(), Some(65535));
    assert!(!scores.to_string().contains("secret"), "keys are not printed");
}

/// Checks that the audit continues from a checkpoint with a voted state if earlier objects are gone.
async fn checkpoints(test_run: &TestRun) {
    let key = test_run.key(0, 1);
    let holders = || test_run.validators.iter().chain([&test_run.miners[1]]);
    let bytes = test_run.read(&test_run.miners[1], &key).await;
    for holder in holders() {
        test_run.delete(holder, &key).await;
    }
    let output = test_run.auditor(&["windows", &format!("{CHECKPOINT}.."), "--json"]).await;
    assert_eq!((disagreements(&output), output.status.code()), (vec![], Some(0)));
    let (found, exit) = audit(test_run).await;
    let lost = |finding: &String| finding.starts_with("unknown 0 ") || finding.starts_with("unknown 1 ");
    assert!(exit == Some(1) && !found.is_empty() && found.iter().all(lost), "{found:?}");
    for holder in holders() {
        test_run.write(holder, &key, bytes.clone()).await;
    }
}

async fn exports(test_run: &TestRun) {
    let (csv, parquet) = (test_run.path("scores.csv"), test_run.path("scores.parquet"));
    for path in [&csv, &parquet] {
        let output = test_run.auditor(&["export", "--out", path.to_str().unwrap()]).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{error}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.ends_with("36 rows of 12 score logs\n"), "{said}");
    }
    let text = std::fs::read_to_string(&csv).unwrap();
    let from_csv: Vec<Vec<String>> =
        text.split_terminator("\r\n").map(|line| line.split(',').map(str::to_owned).collect()).collect();
    assert_eq!(from_csv.len(), 37);
    assert_eq!(from_csv, parquet_rows(&parquet), "both files hold the same");
    let slow = |row: &&Vec<String>| row[7] == "the object was late and arrived below the minimum byte rate";
    assert_eq!(from_csv.iter().filter(slow).count(), 3);
}

/// Returns the column names and the rows of a Parquet file as a CSV file has them.
fn parquet_rows(path: &std::path::Path) -> Vec<Vec<String>> {
    use parquet::{file::reader::SerializedFileReader, record::Field};
    let file = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut rows = Vec::new();
    for row in file {
        let row = row.unwrap();
        if rows.is_empty() {
            rows.push(row.get_column_iter().map(|(name, _)| name.clone()).collect());
        }
        let text = |(_, field): (&String, &Field)| match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::Long(number) => number.to_string(),
            Field::Double(number) => number.to_string(),
            other => panic!("no column is of {other:?}"),
        };
        rows.push(row.get_column_iter().map(text).collect());
    }
    rows
}

#[tokio::test]
async fn scores_take_at_most_four_requests() {
    let chain = start_chain().await;
    chain.handle().new_block(LAG + 2).await.unwrap();
    let client = Client::connect(options(&chain.url())).await.unwrap();
    let before = client.metrics().requests.total();
    let scores = Scores::read(&client, Netuid(3)).await.unwrap();
    let requests = client.metrics().requests.total() - before;
    assert!(requests <= 4, "{requests} requests");
    let block = client.finalized().await.unwrap();
    assert_eq!(scores.block, block);
    assert_eq!(scores.metagraph, client.at(block.hash).metagraph(Netuid(3)).await.unwrap());
}

/// Checks an audit by a node that keeps the newest states only, without and with an archive.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_without_history_cannot_know_is_said() {
    let test_run = TestRun::simulate(Faults::default()).await;
    let node = devchain::Proxy::start(test_run.address()).await.unwrap();
    let first_kept = test_run.heights(Window(2)).incentives;
    node.set(devchain::ProxyFault::KeepStates(test_run.hashes_from(first_kept).await));
    let output = test_run.auditor(&["windows", "..", "--json", "--chain", &node.url()]).await;
    let gone = &report(&output)["gone"];
    assert_eq!((&gone["first"], &gone["last"]), (&json!(0), &json!(1)), "{gone}");
    assert_ne!(output.status.code(), Some(0), "the windows are unknown");
    let output = test_run.auditor(&["windows", "..", "--chain", &node.url()]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("windows 0 to 1: the chain's node no longer has the states up to block"), "{text}");

    let archive = ["windows", "..", "--json", "--chain", &node.url(), "--archive", &test_run.url()];
    let output = test_run.auditor(&archive).await;
    assert_eq!((disagreements(&output), output.status.code()), (Vec::<String>::new(), Some(0)));
    assert_eq!(report(&output)["gone"], json!(null));
}
