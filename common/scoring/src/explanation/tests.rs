use super::*;
use crate::{
    gauntlet::{Standings, proof::NextVerdict},
    score_log::{Header, Replay},
    testing,
    uniqueness::{Baselines, Class, Nearest, Overlap},
    weights::Subnet,
};
use base::{
    BlockHash, Height, Millionths, NeuronId, Window,
    digest::{ObjectHash, RunHash, ScoreLogHead, StandingsHash, State},
};
use proptest::prelude::*;

fn spec() -> ScoringSpec {
    ScoringSpec { snapshot_every: 4, ..testing::spec() }
}

fn miner(index: u8) -> Hotkey {
    Hotkey([index; 32])
}

fn header(window: u64, previous: ScoreLogHead) -> Header {
    Header {
        run: RunHash([1; 32]),
        validator: NeuronId { hotkey: miner(100), registered: Height(7) },
        window: Window(window),
        state: State([2; 32]),
        seed: BlockHash([window as u8; 32]),
        previous,
        standings: StandingsHash::default(),
        adopted: None,
        unassigned_before: 4.0,
        baselines: Baselines::default(),
        subnet: Subnet { owner: None, uids: 16, min_allowed: 1, max_limit: 65535 },
    }
}

/// Returns the outcome of an update with this improvement and margin.
fn judged(improvement: f64, margin: f64) -> Outcome {
    Outcome::Evaluated(testing::evaluation(improvement, margin))
}

/// Returns the outcome of an update that overlaps with another miner's.
fn overlapping(partner: u8, excess: i64) -> Outcome {
    let mut evaluation = testing::evaluation(0.01, 2.0);
    let nearest = Nearest { class: Class::SameWindow, partner: miner(partner), cosine: Millionths(900_000) };
    evaluation.overlap = Overlap { excess: Millionths(excess), nearest: Some(nearest) };
    Outcome::Evaluated(evaluation)
}

/// Returns logs of windows with the same outcomes for the miners 1, 2, …, each with its results.
fn logs(windows: u64, outcomes: &[Outcome]) -> Vec<(ScoreLog, Results)> {
    let line = |(index, &outcome): (usize, &Outcome)| {
        let number = index as u8 + 1;
        let object = ObjectHash([number; 32]);
        (miner(number), MinerLine { uid: Uid(number.into()), registered: Height(7), object, outcome })
    };
    let lines: BTreeMap<_, _> = outcomes.iter().enumerate().map(line).collect();
    let mut logs: Vec<(ScoreLog, Results)> = Vec::new();
    for window in 0..windows {
        let before = logs.last().map_or(Standings::default(), |(_, results)| results.standings.clone());
        let previous = logs.last().map_or(ScoreLogHead::default(), |(log, _)| log.head());
        logs.push(ScoreLog::close(&spec(), &before, header(window, previous), lines.clone()).unwrap());
    }
    logs
}

/// Explains a miner in the last of these logs.
fn explain(logs: &[(ScoreLog, Results)], number: u8) -> Explanation {
    let ((log, results), earlier) = logs.split_last().unwrap();
    let spec = spec();
    let earlier = earlier.iter().rev().map(|(log, _)| log);
    Explained::new(&spec, log, results, earlier).miner(&miner(number), Some(100)).unwrap()
}

#[track_caller]
fn assert_says(explanation: &Explanation, sentence: &str) {
    assert!(explanation.advice.iter().any(|said| said == sentence), "{:#?}", explanation.advice);
}

#[test]
fn numbers_are_those_of_the_replay() {
    let logs = logs(3, &[judged(0.01, 2.0), judged(0.02, 3.0), Outcome::Failed(Fault::Slow)]);
    let mut replay = Replay::new(spec());
    let results = logs.iter().map(|(log, _)| replay.next(log).unwrap()).last().unwrap();
    for number in 1..=3 {
        let explanation = explain(&logs, number);
        let standing = results.standings.get(&miner(number)).unwrap();
        let stated = explanation.standing.unwrap();
        assert_eq!(stated.credit, standing.credit);
        assert_eq!(stated.contribution, standing.contribution.mean());
        assert_eq!((stated.judged, stated.failures), (standing.judged, standing.failures));
        assert_eq!(explanation.score, results.scores[&miner(number)].get());
        let weights = results.weights.as_ref().unwrap();
        assert_eq!(explanation.weight, Some(weights.get(&Uid(number.into())).copied().unwrap_or(0)));
    }
    let places = [1, 2].map(|number| explain(&logs, number).measured.unwrap());
    assert_eq!(places.map(|measured| (measured.place, measured.places)), [(2, 2), (1, 2)]);
    assert!((places[0].margin - 2.0).abs() < 1e-6 && (places[0].difference - 0.002).abs() < 1e-9);
    assert!((places[0].difference / places[0].error - places[0].margin).abs() < 1e-9);
}

#[test]
fn a_miner_that_the_log_does_not_name_has_no_explanation() {
    let logs = logs(1, &[judged(0.01, 2.0)]);
    let (log, results) = &logs[0];
    let spec = spec();
    let explained = Explained::new(&spec, log, results, []);
    assert_eq!(explained.miners().collect::<Vec<_>>(), [miner(1)]);
    assert!(explained.miner(&miner(9), None).is_none());
}

#[test]
fn the_margin_is_the_mean_of_the_last_four_windows() {
    let mut story = logs(6, &[judged(0.01, 2.0)]);
    let proof = explain(&story, 1).standing.unwrap().proof;
    assert_eq!(proof.margin_error, Some(0.5));
    assert!((proof.margin.unwrap() - 2.0).abs() < 1e-6);
    // Windows in which the miner was not judged do not count.
    for (log, _) in &mut story[2..5] {
        log.miners.get_mut(&miner(1)).unwrap().outcome = Outcome::Skipped;
    }
    assert_eq!(explain(&story, 1).standing.unwrap().proof.margin_error, Some(1.0));
}

/// Checks that the verdict changes after the announced number of windows.
#[test]
fn the_outlook_comes_true() {
    let outcomes = [judged(0.01, 1.0), judged(0.01, -1.0)];
    let soon = logs(1, &outcomes);
    let verdicts = [(NextVerdict::Passed, VerdictName::Passed), (NextVerdict::Failed, VerdictName::Failed)];
    for (number, (next, verdict)) in (1..).zip(verdicts) {
        let proof = explain(&soon, number).standing.unwrap().proof;
        assert_eq!((proof.verdict, proof.outlook.next), (VerdictName::Undecided, next));
        let windows = u64::from(proof.outlook.windows.unwrap());
        let verdict_after =
            |windows| explain(&logs(windows, &outcomes), number).standing.unwrap().proof.verdict;
        assert_eq!(verdict_after(windows), VerdictName::Undecided, "one window before");
        assert_eq!(verdict_after(1 + windows), verdict);
    }
}

#[test]
fn a_weak_margin_is_named_with_the_need_and_the_windows() {
    let explanation = explain(&logs(2, &[judged(0.01, 0.4)]), 1);
    assert_says(
        &explanation,
        "The proof is undecided, without evidence for the miner, so it pays nothing. Your recent margin is 0.4 of the \
         field's (0.4 of 1): evidence for a miner needs more than 0.68. It fails after 6.55 more nats of evidence: at \
         this margin, 37 more judged windows.",
    );
}

#[test]
fn both_sides_of_an_overlap_are_named() {
    let logs = logs(1, &[overlapping(2, 1_000_000), judged(0.01, 2.0), overlapping(2, 500_000)]);
    let copied = explain(&logs, 2);
    let partners: Vec<_> = copied.overlaps.iter().filter_map(|overlap| overlap.hotkey).collect();
    assert_eq!(partners, [miner(1), miner(3)]);
    assert_eq!(copied.overlaps[0].cosine, Millionths(900_000));
    assert_says(
        &explain(&logs, 1),
        &format!(
            "Your uniqueness is 0.5: the update overlaps with {} (cosine 0.9). Train on your own data, in a run of \
             your own: overlapping updates share the pay of one.",
            miner(2)
        ),
    );
}

#[test]
fn lost_credit_is_named_with_the_windows_that_restore_it() {
    let failing = Outcome::Failed(Fault::Missing);
    let explanation = explain(&logs(1, &[failing, judged(0.01, 2.0)]), 1);
    assert_eq!((explanation.outcome, explanation.fault), (OutcomeKind::Failed, Some(Fault::Missing)));
    assert_says(&explanation, "Your credit is 0.75: 3 judged windows bring it back to 1.");
    assert_says(
        &explanation,
        "The submission failed: cannot download the claimed object. This costs 0.25 of the credit, and all after 3 \
         failures in a row. Check that the bucket answers to others, and that uploads end before the claims close.",
    );
}

#[test]
fn a_miner_without_a_registration_is_told_so() {
    let logs = logs(1, &[Outcome::Failed(Fault::Slow), judged(0.01, 2.0)]);
    let (log, results) = &logs[0];
    let spec = spec();
    let gone = Explained::new(&spec, log, results, []).miner(&miner(2), None).unwrap();
    assert_says(&gone, "The hotkey is not registered any more: register it with `miner register`.");
}

#[test]
fn a_full_miner_is_told_that_nothing_lowers_its_pay() {
    let explanation = explain(&logs(40, &[judged(0.01, 2.0), judged(0.01, 2.0)]), 1);
    assert_eq!(explanation.advice, ["Nothing lowers this pay: only a larger improvement raises it."]);
}

/// Checks that `miner/WHY.md` lists each field, since the names are a promise to programs.
#[test]
fn every_field_is_on_the_page() {
    let logs = logs(1, &[overlapping(2, 1_000_000), judged(0.01, 2.0)]);
    let json = serde_json::to_value(explain(&logs, 1)).unwrap();
    let page = include_str!("../../../../miner/WHY.md");
    let mut names = Vec::new();
    collect(&json, &mut names);
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "miner/WHY.md does not explain `{name}`");
    }
}

/// Collects the names of all fields.
fn collect(json: &serde_json::Value, names: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                collect(value, names);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn every_outcome_has_an_explanation(
        kinds in prop::collection::vec((0..4u8, 1e-4..0.1f64, -5.0..5.0f64, 0..10usize), 1..8), windows in 1..6u64,
    ) {
        let outcomes: Vec<_> = kinds
            .iter()
            .map(|&(kind, improvement, margin, fault)| match kind {
                0 => Outcome::Failed(Fault::ALL[fault]),
                1 => Outcome::Skipped,
                2 => Outcome::Gone,
                _ => judged(improvement, margin),
            })
            .collect();
        let logs = logs(windows, &outcomes);
        for number in 1..=outcomes.len() as u8 {
            let explanation = explain(&logs, number);
            let outcome = outcomes[usize::from(number) - 1];
            prop_assert_eq!(explanation.measured.is_some(), matches!(outcome, Outcome::Evaluated(_)));
            prop_assert!(!explanation.advice.is_empty());
            for sentence in &explanation.advice {
                prop_assert!(sentence.ends_with('.') && !sentence.contains("NaN"), "{}", sentence);
            }
        }
    }
}
