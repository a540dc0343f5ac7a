//! Tests that `miner why` and `auditor window` explain pay with the same numbers, and tests the errors where
//! they cannot explain it.

use crate::{
    honest::report,
    subnet::MINERS,
    test_run::{Faults, TestRun, WINDOWS},
};
use auditor::WhyFlags;
use base::{Exit, Hotkey, Window};
use clap::Parser as _;
use exchange::signing_key;
use protocol::bucket_layout;
use scoring::score_log::{Expected, ScoreLog};
use serde_json::Value;

/// The command line of `miner why`.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    why: WhyFlags,
}

/// Runs `miner why` on a test run. Returns the text and the exit code.
async fn why(test_run: &TestRun, hotkey: Hotkey, arguments: &[&str]) -> (String, Exit) {
    let (url, run, hotkey) = (test_run.url(), test_run.path("run.toml"), hotkey.to_string());
    let basic = ["why", "--allow-loopback", "--chain", &url, "--block-time", "0.02", "--hotkey", &hotkey];
    let run = ["--run", run.to_str().unwrap()];
    let line = basic.iter().chain(arguments).chain(&run);
    match Line::parse_from(line).why.answer().await {
        Ok(answer) => answer,
        Err(error) => (base::ErrorChain(&error).to_string(), error.exit()),
    }
}

async fn why_json(test_run: &TestRun, hotkey: Hotkey, arguments: &[&str]) -> (Value, Exit) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let (text, exit) = why(test_run, hotkey, &arguments).await;
    (serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")), exit)
}

/// Returns the explanation of a miner in the auditor's report by each validator's log, with the log's head.
fn audited(report: &Value, hotkey: &str) -> Vec<(Value, Value, Value)> {
    let logs = report["windows"][0]["pay"].as_array().unwrap();
    let of = |log: &Value| {
        let mut miners = log["miners"].as_array().unwrap().iter();
        let miner = miners.find(|miner| miner["hotkey"] == hotkey)?;
        Some((log["validator"].clone(), log["head"].clone(), miner.clone()))
    };
    logs.iter().filter_map(of).collect()
}

fn explained(why: &Value) -> Vec<(Value, Value, Value)> {
    let logs = why["validators"].as_array().unwrap().iter();
    logs.map(|log| (log["validator"].clone(), log["head"].clone(), log["pay"].clone())).collect()
}

/// Returns the verdicts on validators without an explanation, as `uid verdict`.
fn left_out(why: &Value) -> Vec<String> {
    let left_out = why["left_out"].as_array().unwrap().iter();
    left_out.map(|it| format!("{} {}", it["uid"], it["verdict"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn miner_and_auditor_give_the_same_explanations() {
    let test_run = TestRun::simulate(Faults::default()).await;
    for window in 0..WINDOWS {
        let number = window.to_string();
        let output = test_run.auditor(&["window", &number, "--json"]).await;
        let report = report(&output);
        for miner in &test_run.miners {
            let hotkey = miner.id.hotkey;
            let (why, exit) = why_json(&test_run, hotkey, &["--window", &number]).await;
            assert_eq!((exit, &why["window"]), (Exit::Good, &Value::from(window)));
            let explained = explained(&why);
            assert_eq!(explained.len(), 3, "{why}");
            assert_eq!(explained, audited(&report, &hotkey.to_string()), "window {window}");
            // Votes on the next window name the log. No votes follow the last window.
            let named = if window + 1 < WINDOWS { Value::from(window + 1) } else { Value::Null };
            assert_eq!(why["validators"][0]["named_in"], named);
            assert_eq!(left_out(&why), [""; 0]);
        }
    }
    single_windows(&test_run).await;
    texts(&test_run).await;
    refusals(&test_run).await;
    bad_logs(&test_run).await;
}

/// Checks the outcomes that the simulation invented for the third miner.
async fn single_windows(test_run: &TestRun) {
    let [first, second, third] = [0, 1, 2].map(|number: usize| test_run.miners[number].id.hotkey);
    let (failed, _) = why_json(test_run, third, &["--window", "1"]).await;
    let pay = &failed["validators"][0]["pay"];
    assert_eq!((&pay["outcome"], &pay["measured"]), (&"failed".into(), &Value::Null));
    assert_eq!(pay["fault"], "the object was late and arrived below the minimum byte rate");
    assert_eq!(pay["standing"]["credit"], 0.75);
    let (cut, _) = why_json(test_run, third, &["--window", "2"]).await;
    assert_eq!(cut["validators"][0]["pay"]["outcome"], "cut");
    let (newest, _) = why_json(test_run, second, &[]).await;
    assert_eq!((&newest["window"], &newest["newest"]), (&Value::from(WINDOWS - 1), &true.into()));
    let pay = &newest["validators"][0]["pay"];
    assert_eq!(pay["overlaps"][0]["hotkey"], first.to_string());
    assert_eq!(pay["measured"]["uniqueness"].as_f64().unwrap(), 0.666_666);
    let (other, _) = why_json(test_run, first, &[]).await;
    let other = &other["validators"][0]["pay"];
    assert_eq!(other["overlaps"][0]["hotkey"], second.to_string(), "the other side is named too");
    assert_eq!(
        (&other["measured"]["place"], &other["measured"]["places"]),
        (&1.into(), &MINERS.len().into())
    );
    assert!(other["weight"].as_u64().unwrap() > 0 && other["incentive"].is_u64(), "{other}");
}

async fn texts(test_run: &TestRun) {
    let second = test_run.miners[1].id.hotkey;
    let (text, exit) = why(test_run, second, &[]).await;
    assert_eq!(exit, Exit::Good);
    let title = format!("window {}, the newest with a score log, incentive at block", WINDOWS - 1);
    let overlap =
        format!("Your uniqueness is 0.67: the update overlaps with {}", test_run.miners[0].id.hotkey);
    for expected in [title, format!("hotkey {second}"), overlap] {
        assert!(text.contains(&expected), "no '{expected}' in:\n{text}");
    }
    let output = test_run.auditor(&["window", "2"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for validator in &test_run.validators {
        let title = format!("pay by validator {} ({}):", validator.uid, validator.id.hotkey);
        assert!(text.contains(&title), "no '{title}' in:\n{text}");
    }
    let output = test_run.auditor(&["windows", "1..3"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("pay by"), "an audit of more windows does not explain pay:\n{text}");
}

async fn refusals(test_run: &TestRun) {
    let stranger = test_run.validators[0].id.hotkey;
    let expected = format!(
        "no score log of window 3 names hotkey {stranger}: it made no claim and has no standing: name another window with \
         --window, or check with `miner status` that this is the hotkey that mines"
    );
    assert_eq!(why(test_run, stranger, &[]).await, (expected, Exit::Failed));
    let expected = "the run has no window 9: its windows are 0 to 3".to_owned();
    assert_eq!(why(test_run, stranger, &["--window", "9"]).await, (expected, Exit::Usage));
}

/// Checks that bad logs are named, and do not prevent explanations by others.
async fn bad_logs(test_run: &TestRun) {
    let miner = test_run.miners[0].id.hotkey;
    let key = bucket_layout::score_log(test_run.run.id(), Window(2));
    let bob = &test_run.validators[1];
    let before = test_run.read(bob, &key).await;
    let mut flipped = before.clone();
    flipped[before.len() / 2] ^= 1;
    test_run.write(bob, &key, flipped).await;
    let (found, exit) = why_json(test_run, miner, &["--window", "2"]).await;
    assert_eq!((left_out(&found), exit), (vec!["2 differ".to_owned()], Exit::Disagreement));
    assert_eq!(explained(&found).len(), 2);

    // A second signed log of the same window: the validator's next vote names the first one.
    let expected = Expected { run: test_run.run.hash(), validator: bob.id, window: Window(2) };
    let mut second = ScoreLog::open(&before, &expected).unwrap();
    second.header.unassigned_before += 1.0;
    test_run.write(bob, &key, second.sign(&signing_key(&bob.key)).unwrap()).await;
    let (found, exit) = why_json(test_run, miner, &["--window", "2"]).await;
    assert_eq!((left_out(&found), exit), (vec!["2 differ".to_owned()], Exit::Disagreement));
    let said = found["left_out"][0]["why"].as_str().unwrap();
    assert!(said.starts_with("the vote names a score log that is not the last one published"), "{said}");

    test_run.delete(bob, &key).await;
    let (found, exit) = why_json(test_run, miner, &["--window", "2"]).await;
    assert_eq!((left_out(&found), exit), (vec!["2 unknown".to_owned()], Exit::Good));
    for validator in [&test_run.validators[0], &test_run.validators[2]] {
        test_run.delete(validator, &key).await;
    }
    let (text, exit) = why(test_run, miner, &["--window", "2"]).await;
    assert!(text.starts_with("no score log of window 2 can be used: validator "), "{text}");
    assert!(text.ends_with("try again later, or name another window with --window"), "{text}");
    assert_eq!(exit, Exit::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_replay_explains_nothing() {
    let test_run = TestRun::simulate(Faults { wrong_rating: Some(2), ..Faults::default() }).await;
    let miner = test_run.miners[0].id.hotkey;
    let (found, exit) = why_json(&test_run, miner, &["--window", "2"]).await;
    assert_eq!((left_out(&found), exit), (vec!["3 differ".to_owned()], Exit::Disagreement));
    let said = found["left_out"][0]["why"].as_str().unwrap();
    assert!(said.starts_with("the weight of uid 5: stated 1, computed "), "{said}");
    let output = test_run.auditor(&["window", "2", "--json"]).await;
    assert_eq!(explained(&found), audited(&report(&output), &miner.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_log_the_error_says_what_to_wait_for() {
    let test_run = TestRun::begin(Faults::default()).await;
    let miner = test_run.miners[0].id.hotkey;
    let due = test_run.heights(Window(0)).votes_close;
    let (text, exit) = why(&test_run, miner, &[]).await;
    let expected =
        format!("window 0 is not decided yet: its votes close with block {due}, and the chain is at block ");
    assert!(text.starts_with(&expected) && text.ends_with(": wait"), "{text}");
    assert_eq!(exit, Exit::Usage);
    test_run.reach_final(due).await;
    let (text, exit) = why(&test_run, miner, &[]).await;
    assert!(text.starts_with("no score log is published yet: "), "{text}");
    assert_eq!(exit, Exit::Failed);
    let later = test_run.heights(Window(1)).votes_close;
    let (text, exit) = why(&test_run, miner, &["--window", "1"]).await;
    assert!(text.contains(&format!("close with block {later}, ")), "{text}");
    assert!(text.ends_with(": wait, or ask for a window up to 0"), "{text}");
    assert_eq!(exit, Exit::Usage);
}
