//! Tests that the auditor finds a validator's faults, and blames no other node.

use crate::{
    honest::{audit, disagreements, report},
    test_run::{Faults, TestRun},
};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_votes_and_weights_are_found() {
    let faults = Faults {
        wrong_state: Some(1),
        copied: Some(2),
        skipped: Some(3),
        wrong_weights: Some(3),
        ..Faults::default()
    };
    let test_run = TestRun::simulate(faults).await;
    let (found, exit) = audit(&test_run).await;
    let expected = [
        "differ 1 validator 3 voted-state",
        "differ 2 validator 3 possession",
        "differ 3 validator 3 vote",
        "differ 3 validator 3 weights",
    ];
    assert_eq!((found, exit), (expected.map(str::to_owned).into(), Some(5)));
    both_values_are_shown(&test_run).await;
    // The weights after window 3 are all on the owner; those after window 1 are not.
    let output = test_run.auditor(&["windows", "..", "--json"]).await;
    let burnt = |window: usize| report(&output)["windows"][window]["burnt"].as_f64();
    assert_eq!(burnt(1), Some(0.0));
    assert!(burnt(3).is_some_and(|burnt| burnt > 0.01 && burnt < 0.5), "{:?}", burnt(3));
}

/// Returns the finding on an item of a validator in a window.
fn finding(output: &std::process::Output, window: usize, uid: u64, item: &str) -> serde_json::Value {
    let report = report(output);
    let findings = report["windows"][window]["findings"].as_array().unwrap();
    let is_it = |finding: &&serde_json::Value| finding["uid"] == uid && finding["item"] == item;
    findings.iter().find(is_it).unwrap_or_else(|| panic!("no {item}: {report}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_copied_logs_and_copied_weights_are_found() {
    let faults =
        Faults { copied_log: Some(1), shared_log: Some(2), copied_weights: Some(3), ..Faults::default() };
    let test_run = TestRun::simulate(faults).await;
    let output = test_run.auditor(&["windows", "..", "--json"]).await;
    // Charlie named the head of the copy of window 1 too late, so Alice is not blamed. In window 2 both
    // named theirs in time.
    let expected = [
        "differ 1 validator 3 own-data",
        "differ 2 validator 1 own-data",
        "differ 2 validator 3 own-data",
        "differ 3 validator 3 weights",
    ];
    assert_eq!((disagreements(&output), output.status.code()), (expected.map(str::to_owned).into(), Some(5)));
    let alice = test_run.validators[0].id.hotkey.to_string();
    let copied = finding(&output, 1, 3, "own-data");
    let stated = copied["stated"].as_str().unwrap();
    assert!(stated.starts_with("2 of 2 updates ") && stated.contains(&alice), "{copied}");
    let weights = finding(&output, 3, 3, "weights");
    let what = weights["what"].as_str().unwrap();
    assert!(what.ends_with(&format!("are those of {alice} in its score log of window 3")), "{weights}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dividends_without_votes_are_found() {
    let test_run = TestRun::simulate(Faults { silent: Some(1), ..Faults::default() }).await;
    let (found, exit) = audit(&test_run).await;
    let expected = [
        "differ 1 validator 3 vote",
        "differ 2 validator 3 dividends",
        "differ 2 validator 3 vote",
        "differ 3 validator 3 dividends",
        "differ 3 validator 3 vote",
    ];
    assert_eq!((found, exit), (expected.map(str::to_owned).into(), Some(5)));
    // Weights after window 1 are the first: no dividends at M_1. The others earn dividends too, and vote.
    let output = test_run.auditor(&["window", "3", "--json"]).await;
    assert_eq!(finding(&output, 0, 1, "dividends")["verdict"], "agree");
}

async fn both_values_are_shown(test_run: &TestRun) {
    let output = test_run.auditor(&["windows", "1..=3"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let charlie = format!("validator 3 ({})", test_run.validators[2].id.hotkey);
    let state = test_run.decisions[1].state.unwrap();
    for line in [
        format!("DIFFERS: window 1, {charlie}, voted state: the state that the vote names"),
        format!("  stated   {}", "07".repeat(32)),
        format!("  computed {state}"),
        format!("DIFFERS: window 3, {charlie}, vote: the vote is missing"),
        "  stated   no vote".to_owned(),
    ] {
        assert!(text.contains(&line), "no '{line}' in:\n{text}");
    }
    assert!(text.trim_end().ends_with(" items agree, 4 differ, 0 are unknown"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_logs_are_found() {
    let faults = Faults { wrong_claim: Some(1), wrong_rating: Some(2), beyond: Some(3), ..Faults::default() };
    let test_run = TestRun::simulate(faults).await;
    let output = test_run.auditor(&["windows", "..", "--json"]).await;
    let (found, exit) = audit(&test_run).await;
    let expected =
        ["differ 1 validator 3 facts", "differ 2 validator 3 ratings", "differ 3 validator 3 good"];
    let found: Vec<_> = found.into_iter().filter(|finding| finding.starts_with("differ")).collect();
    assert_eq!((found, exit), (expected.map(str::to_owned).into(), Some(5)));
    let findings = &report(&output)["windows"][2]["findings"];
    let ratings = findings.as_array().unwrap().iter().find(|finding| finding["what"].is_string()).unwrap();
    assert_eq!((&ratings["what"], &ratings["stated"]), (&"the weight of uid 5".into(), &"1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_was_down_and_made_no_log_is_not_blamed() {
    let test_run = TestRun::simulate(Faults { no_log: Some(1), ..Faults::default() }).await;
    assert_eq!(audit(&test_run).await, (vec![], Some(0)));
    // An audit of this window alone gives the same result: the next log shows that there was none.
    let output = test_run.auditor(&["window", "1", "--json"]).await;
    assert_eq!((disagreements(&output), output.status.code()), (vec![], Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn adopted_standings_are_shown_and_checked() {
    let joined = Faults { joined: Some(1), ..Faults::default() };
    let test_run = TestRun::simulate(joined).await;
    assert_eq!(audit(&test_run).await, (vec![], Some(0)));
    let output = test_run.auditor(&["window", "1"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let [alice, charlie] = [0, 2].map(|number| test_run.validators[number].id.hotkey);
    let line = format!(
        "window 1: validator 3 ({charlie}) begins from the standings of {alice} after window 0 (head "
    );
    assert!(text.contains(&line), "no '{line}' in:\n{text}");
    let output = test_run.auditor(&["windows", "1..", "--json"]).await;
    let adoptions = &report(&output)["windows"][0]["adoptions"];
    assert_eq!((&adoptions[0]["uid"], &adoptions[0]["window"]), (&3.into(), &0.into()));
    assert_eq!(adoptions[0]["from"], alice.to_string());

    // If the adopted log is gone, the standings before the first log cannot be checked.
    let key = protocol::bucket_layout::score_log(test_run.run.id(), base::Window(0));
    test_run.delete(&test_run.validators[0], &key).await;
    let output = test_run.auditor(&["windows", "1..", "--json"]).await;
    assert!(disagreements(&output).contains(&"unknown 1 validator 3 adopted".to_owned()));

    let wrong = TestRun::simulate(Faults { wrong_standings: true, ..joined }).await;
    assert_eq!(audit(&wrong).await, (vec!["differ 1 validator 3 adopted".to_owned()], Some(5)));
}
