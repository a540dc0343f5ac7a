//! What everybody did as they should: all agrees; what is changed afterwards in a bucket is found, and named.

use crate::{
    story::{CHECKPOINT, Plot, Story, WINDOWS},
    subnet::{Neuron, VALIDATORS},
};
use base::Window;
use bucket_server::{Fault, Plan, Rule};
use protocol::bucket_layout;
use serde_json::Value;
use std::process::Output;

/// The findings of an audit that are not agreement: `verdict window subject uid item`, in order.
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

/// Audits all windows: what does not agree, and how the program ends.
pub(crate) async fn audit(story: &Story) -> (Vec<String>, Option<i32>) {
    let output = story.auditor(&["windows", "..", "--json"]).await;
    (disagreements(&output), output.status.code())
}

/// What was found while this object was something else.
async fn while_changed(
    story: &Story,
    neuron: &Neuron,
    key: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> (Vec<String>, Option<i32>) {
    let before = story.read(neuron, key).await;
    let mut after = before.clone();
    change(&mut after);
    assert_ne!(after, before);
    match after.is_empty() {
        true => story.delete(neuron, key).await,
        false => story.write(neuron, key, after).await,
    }
    let found = audit(story).await;
    story.write(neuron, key, before).await;
    found
}

fn flip(at: f64) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| {
        let at = (bytes.len() as f64 * at) as usize;
        bytes[at] ^= 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_story_agrees_and_what_is_changed_is_found() {
    let story = Story::tell(Plot::default()).await;
    everything_agrees(&story).await;
    objects(&story).await;
    logs(&story).await;
    records(&story).await;
    sick_buckets(&story).await;
    other_chains(&story).await;
    exports(&story).await;
    checkpoints(&story).await;
    assert_eq!(audit(&story).await, (vec![], Some(0)), "all is as it was");
}

async fn everything_agrees(story: &Story) {
    let output = story.auditor(&["windows", "0..4", "--json"]).await;
    assert_eq!((disagreements(&output), output.status.code()), (vec![], Some(0)));
    let report = report(&output);
    // Of each window: the majority's state, three objects; of each validator: vote, state, good, possession, head, log,
    // facts, ratings and record; and twice the weights of each.
    let count = WINDOWS as usize * (1 + 3 + VALIDATORS.len() * 9) + 2 * VALIDATORS.len();
    assert_eq!(report["counts"]["agree"], count);
    for (window, decision) in report["windows"].as_array().unwrap().iter().zip(&story.decisions) {
        assert_eq!(window["accepted"].as_array().unwrap().len(), decision.applied().len());
        assert_eq!(window["state"], decision.state.unwrap().to_string());
    }
    let output = story.auditor(&["window", "2"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("all 31 items agree\n"), "{text}");
}

async fn objects(story: &Story) {
    let (dave, key) = (&story.miners[0], story.key(1, 0));
    let flipped = while_changed(story, dave, &key, flip(0.5)).await;
    assert_eq!(flipped, (vec!["differ 1 miner 4 object".to_owned()], Some(5)), "others keep it");
    let unsigned = while_changed(story, dave, &key, flip(0.9999)).await;
    assert_eq!(unsigned, (vec!["differ 1 miner 4 object".to_owned()], Some(5)));
    let gone = while_changed(story, dave, &key, Vec::clear).await;
    assert_eq!(gone, (vec![], Some(0)), "others keep it");
    gone_everywhere(story).await;
}

/// Without an accepted object nothing can be said of what follows; nobody is blamed.
async fn gone_everywhere(story: &Story) {
    let key = &story.key(2, 0);
    let holders = || story.validators.iter().chain([&story.miners[0]]);
    let bytes = story.read(&story.miners[0], key).await;
    for holder in holders() {
        story.delete(holder, key).await;
    }
    let (found, exit) = audit(story).await;
    assert_eq!(exit, Some(1), "{found:?}");
    assert!(found.iter().all(|finding| finding.starts_with("unknown")), "{found:?}");
    assert!(found.contains(&"unknown 2 miner 4 object".to_owned()), "{found:?}");
    assert!(found.contains(&"unknown 3 validator 1 voted-state".to_owned()), "{found:?}");
    for holder in holders() {
        story.write(holder, key, bytes.clone()).await;
    }
}

async fn logs(story: &Story) {
    let (bob, log) =
        (&story.validators[1], |window| bucket_layout::score_log(story.run.id(), Window(window)));
    // Every second log has a snapshot, so that only what is changed is not known.
    let edited = while_changed(story, bob, &log(1), flip(0.5)).await;
    let expected =
        ["differ 1 validator 2 log", "unknown 1 validator 2 weights", "unknown 2 validator 2 head"];
    assert_eq!(edited, (expected.map(str::to_owned).into(), Some(5)));
    let missing = while_changed(story, bob, &log(1), Vec::clear).await;
    let expected = ["differ 1 validator 2 log", "differ 2 validator 2 head", "unknown 1 validator 2 weights"];
    assert_eq!(missing, (expected.map(str::to_owned).into(), Some(5)));
    let without_snapshot = while_changed(story, bob, &log(2), Vec::clear).await;
    let expected = ["differ 2 validator 2 log", "differ 3 validator 2 head", "unknown 3 validator 2 ratings"];
    assert_eq!(without_snapshot, (expected.map(str::to_owned).into(), Some(5)));
    let last = while_changed(story, bob, &log(3), Vec::clear).await;
    assert_eq!(last.0[0], "differ 3 validator 2 log");
    let others = story.read(&story.validators[0], &log(1)).await;
    let swapped = while_changed(story, bob, &log(1), |bytes| *bytes = others).await;
    assert_eq!(swapped.0[0], "differ 1 validator 2 log");
}

async fn records(story: &Story) {
    let key = bucket_layout::record(story.run.id(), Window(2));
    let other = story.read(&story.validators[0], &bucket_layout::record(story.run.id(), Window(1))).await;
    let found = while_changed(story, &story.validators[0], &key, |bytes| *bytes = other).await;
    assert_eq!(found, (vec!["differ 2 validator 1 record".to_owned()], Some(5)));
}

/// Who cannot be read is not blamed, and what others keep is not missed.
async fn sick_buckets(story: &Story) {
    let rule = |path: &str, fault| Plan { seed: 0, rules: vec![Rule::always("GET", path, fault)] };
    let run = story.run.id();
    story.server.inject(rule("/bucket-dave/", Fault::Status { code: 403 }));
    assert_eq!(audit(story).await, (vec![], Some(0)), "the custodians have it all");
    story.server.inject(rule(&format!("/bucket-bob/{run}/scores"), Fault::Status { code: 403 }));
    let (found, exit) = audit(story).await;
    assert_eq!(exit, Some(1), "{found:?}");
    assert!(found.iter().all(|f| f.starts_with("unknown") && f.contains("validator 2")), "{found:?}");
    assert!(found.contains(&"unknown 0 validator 2 log".to_owned()), "{found:?}");
    story.server.inject(rule(&format!("/bucket-bob/{run}/scores"), Fault::Garbage));
    let (found, exit) = audit(story).await;
    assert_eq!((exit, &*found[0]), (Some(5), "differ 0 validator 2 log"), "{found:?}");
    story.server.inject(Plan::default());
}

async fn other_chains(story: &Story) {
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let genesis = "01".repeat(32);
    let output = story.auditor(&["window", "0", "--genesis", &genesis]).await;
    assert!(output.status.code() == Some(2) && text(&output).contains(&genesis), "{}", text(&output));
    let output = story.auditor(&["window", "0", "--netuid", "9"]).await;
    let expected = "auditor: the run is on subnet 3, not 9: give --netuid 3\n";
    assert_eq!((output.status.code(), &*text(&output)), (Some(2), expected));
    let output = story.auditor(&["windows", "0..=4"]).await;
    let expected = "auditor: window 4 is none of this run, which has windows 0 to 3\n";
    assert_eq!((output.status.code(), &*text(&output)), (Some(2), expected));
    let output = story.auditor(&["scores", "--netuid", "9"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let output = story.auditor(&["scores", "--json"]).await;
    let scores = report(&output);
    assert_eq!(scores["neurons"].as_array().unwrap().len(), 7);
    assert_eq!(scores["neurons"][2]["bucket"]["name"], "bucket-bob");
    let weights = scores["neurons"][2]["weights"].as_object().unwrap();
    assert_eq!(weights.values().map(|weight| weight.as_u64().unwrap()).max(), Some(65535));
    assert!(!scores.to_string().contains("secret"), "keys are nobody's business");
}

/// Where objects of earlier windows are gone, a checkpoint helps whose state was voted for.
async fn checkpoints(story: &Story) {
    let (key, holders) = (story.key(0, 1), || story.validators.iter().chain([&story.miners[1]]));
    let bytes = story.read(&story.miners[1], &key).await;
    for holder in holders() {
        story.delete(holder, &key).await;
    }
    let output = story.auditor(&["windows", &format!("{CHECKPOINT}.."), "--json"]).await;
    assert_eq!((disagreements(&output), output.status.code()), (vec![], Some(0)));
    let (found, exit) = audit(story).await;
    let lost = |finding: &String| finding.starts_with("unknown 0 ") || finding.starts_with("unknown 1 ");
    assert!(exit == Some(1) && !found.is_empty() && found.iter().all(lost), "{found:?}");
    for holder in holders() {
        story.write(holder, &key, bytes.clone()).await;
    }
}

async fn exports(story: &Story) {
    let (csv, parquet) = (story.path("scores.csv"), story.path("scores.parquet"));
    for path in [&csv, &parquet] {
        let output = story.auditor(&["export", "--out", path.to_str().unwrap()]).await;
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
    let slow = |row: &&Vec<String>| row[7] == "the object arrived below the minimum byte rate";
    assert_eq!(from_csv.iter().filter(slow).count(), 3);
}

/// The names and the rows of a Parquet file, as a CSV file would have them.
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
