use super::*;
use crate::{gauntlet::Penalty, testing, uniqueness::Overlap};
use base::Millionths;
use proptest::prelude::*;

fn spec() -> ScoringSpec {
    testing::spec()
}

fn miner(index: u8) -> Hotkey {
    Hotkey([index; 32])
}

/// Returns the outcome of an update with this improvement in per mille, and this margin in standard errors.
fn evaluated(improvement: f64, margin: f64) -> Outcome {
    Outcome::Evaluated(testing::evaluation(improvement / 1e3, margin))
}

/// Returns an honest outcome.
fn honest() -> Outcome {
    evaluated(10.0, 2.5)
}

fn observed(window: u64, outcomes: &[(u8, Outcome)]) -> Observed {
    Observed {
        window: Window(window),
        seed: BlockHash([3; 32]),
        outcomes: outcomes.iter().map(|&(index, outcome)| (miner(index), outcome)).collect(),
    }
}

fn after(standings: &Standings, outcomes: &[(u8, Outcome)]) -> Standings {
    standings.after(&spec(), &observed(0, outcomes)).unwrap()
}

/// Returns the standings after some windows with the same outcomes.
fn repeated(standings: &Standings, outcomes: &[(u8, Outcome)], windows: usize) -> Standings {
    (0..windows).fold(standings.clone(), |standings, _| after(&standings, outcomes))
}

fn score(standings: &Standings, index: u8) -> f64 {
    standings.scores(&spec())[&miner(index)].get()
}

fn bytes(standings: &Standings) -> Vec<u8> {
    let mut writer = Writer::new();
    standings.write(&mut writer);
    writer.into_bytes()
}

#[test]
fn equal_miners_earn_the_same_and_pay_is_proportional_to_the_square() {
    let outcomes =
        [(1, honest()), (2, honest()), (3, honest()), (4, evaluated(5.0, 2.5)), (5, evaluated(10.2, 2.5))];
    let standings = repeated(&Standings::default(), &outcomes, 40);
    assert_eq!((score(&standings, 1), score(&standings, 2)), (1.0, 1.0));
    assert_eq!(score(&standings, 4), 0.25);
    assert!((score(&standings, 5) - 1.02 * 1.02).abs() < 1e-5);
    let ranking = ranking(&standings.scores(&spec()));
    assert_eq!(ranking[..2], [(miner(5), Score(1_040_400_000_000)), (miner(1), Score(1_000_000_000_000))]);
    assert!(standings.get(&miner(5)).unwrap().rating.mu() > standings.get(&miner(4)).unwrap().rating.mu());
}

#[test]
fn half_is_paid_while_the_odds_are_for_a_miner_and_nothing_while_they_are_not() {
    let standings = after(&Standings::default(), &[(1, honest()), (2, evaluated(10.0, 0.0))]);
    // 0.5 x (1 / 20)^2
    assert_eq!((score(&standings, 1), score(&standings, 2)), (0.00125, 0.0));
    assert_eq!(standings.verdict(&spec(), &miner(2)), Verdict::Undecided { favoured: false });
    assert_eq!(standings.verdict(&spec(), &miner(9)), Verdict::Undecided { favoured: false }, "a new miner");
    let later = repeated(&standings, &[(1, honest()), (2, evaluated(10.0, 0.0))], 30);
    assert_eq!(later.verdict(&spec(), &miner(1)), Verdict::Passed);
    assert_eq!(later.verdict(&spec(), &miner(2)), Verdict::Failed);
}

#[test]
fn a_failure_costs_a_quarter_and_three_in_a_row_cost_all() {
    let start = repeated(&Standings::default(), &[(1, honest()), (2, honest())], 30);
    let rating = start.get(&miner(1)).unwrap().rating;
    let mut failed = start;
    for (failures, credit) in [(1, 0.75), (2, 0.5625), (3, 0.0), (4, 0.0)] {
        failed = after(&failed, &[(1, Outcome::Failed(Fault::Missing)), (2, honest())]);
        let standing = failed.get(&miner(1)).unwrap();
        assert_eq!((standing.failures, standing.rating), (failures, rating), "a failure is no match");
        assert_eq!(standing.credit.get(), credit);
        let contribution = 1.0 - f64::from(failures) / 20.0;
        assert!((score(&failed, 1) - contribution * contribution * credit).abs() < 1e-9, "after {failures}");
    }
    let mut back = failed;
    for judged in 1..=12 {
        back = after(&back, &[(1, honest()), (2, honest())]);
        let standing = back.get(&miner(1)).unwrap();
        assert_eq!((standing.failures, standing.credit), (0, Millionths(100_000 * judged.min(10))));
    }
}

#[test]
fn an_upload_that_no_honest_node_makes_costs_all_at_once() {
    let start = repeated(&Standings::default(), &[(1, honest()), (2, honest())], 30);
    let mut infinite = testing::evaluation(0.01, 2.0);
    infinite.own.sum = f64::INFINITY;
    let outcomes = [
        Outcome::Failed(Fault::Malformed),
        Outcome::Failed(Fault::ChangesNothing),
        Outcome::Evaluated(infinite),
    ];
    for outcome in outcomes {
        let failed = after(&start, &[(1, outcome), (2, honest())]);
        assert_eq!(score(&failed, 1), 0.0, "{outcome:?}");
        assert_eq!(failed.get(&miner(1)).unwrap().judged, 30, "no judgement");
    }
}

#[test]
fn failures_do_not_change_what_others_get() {
    let outcomes = [(1, evaluated(9.0, 2.0)), (2, honest())];
    let alone = after(&Standings::default(), &outcomes);
    let mut with = outcomes.to_vec();
    with.extend((3..9).map(|index| (index, Outcome::Failed(Fault::Missing))));
    let with = after(&Standings::default(), &with);
    for index in [1, 2] {
        assert_eq!(with.get(&miner(index)), alone.get(&miner(index)));
    }
    assert!((3..9).all(|index| score(&with, index) == 0.0), "never judged, never paid");
}

#[test]
fn a_skipped_miner_keeps_its_standing() {
    let start = after(&Standings::default(), &[(1, honest()), (2, honest())]);
    let next = after(&start, &[(1, Outcome::Skipped), (2, honest()), (3, Outcome::Skipped)]);
    assert_eq!(next.get(&miner(1)), start.get(&miner(1)));
    assert_eq!(next.get(&miner(3)), None);
}

#[test]
fn a13_neither_absence_nor_a_new_registration_washes_a_standing() {
    let start = repeated(&Standings::default(), &[(1, evaluated(10.0, -2.0)), (2, honest())], 10);
    assert_eq!(start.verdict(&spec(), &miner(1)), Verdict::Failed);
    let gone = repeated(&start, &[(1, Outcome::Gone), (2, honest())], 5);
    let absent = repeated(&start, &[(1, Outcome::Failed(Fault::Absent)), (2, honest())], 5);
    assert_eq!(gone, absent);
    let standing = gone.get(&miner(1)).unwrap();
    assert_eq!((standing.credit, standing.failures), (Millionths::ZERO, 5));
    assert_eq!(standing.proof, start.get(&miner(1)).unwrap().proof);
    // The chain gives the hotkey another uid. The next update continues the same record.
    let again = after(&gone, &[(1, honest()), (2, honest())]);
    assert!(again.has_failed(&miner(1)));
    assert_eq!(again.get(&miner(1)).unwrap().credit, Millionths(100_000));
}

#[test]
fn a_miner_is_forgotten_after_a_month_without_a_claim() {
    let spec = ScoringSpec { forget_after: 3, ..spec() };
    let mut standings = Standings::default();
    let next = |standings: &Standings, window, outcome| {
        standings.after(&spec, &observed(window, &[(1, outcome), (2, honest())])).unwrap()
    };
    standings = next(&standings, 5, honest());
    standings = next(&standings, 6, Outcome::Failed(Fault::Missing)); // A claim, without an object.
    for window in [7, 8] {
        standings = next(&standings, window, Outcome::Gone);
        assert_eq!(standings.get(&miner(1)).unwrap().seen, Window(6));
    }
    standings = next(&standings, 9, Outcome::Gone);
    assert_eq!((standings.get(&miner(1)), standings.iter().len()), (None, 1));
    let absent = next(&standings, 10, Outcome::Failed(Fault::Absent));
    assert_eq!(absent.get(&miner(1)), None, "absence begins no record");
}

#[test]
fn of_too_many_miners_the_longest_absent_are_forgotten() {
    let hotkey = |index: u32| {
        let mut hotkey = [0; 32];
        hotkey[..4].copy_from_slice(&index.to_be_bytes());
        Hotkey(hotkey)
    };
    let many = MOST_STANDINGS as u32 + 2;
    let standing = |index: u32| Standing {
        seen: Window(if index == 7 || index == 9 { 1 } else { 2 }),
        ..Standing::default()
    };
    let standings =
        Standings::new(Field::default(), (0..many).map(|index| (hotkey(index), standing(index))).collect());
    let outcomes = standings.iter().map(|(miner, _)| (*miner, Outcome::Skipped)).collect();
    let observed = Observed { window: Window(3), seed: BlockHash([0; 32]), outcomes };
    let next = standings.after(&spec(), &observed).unwrap();
    assert_eq!((next.iter().len(), next.get(&hotkey(7)), next.get(&hotkey(9))), (MOST_STANDINGS, None, None));
    assert_eq!(Standings::read(&mut Reader::new(&bytes(&next))), Ok(next));
    assert!(Standings::read(&mut Reader::new(&bytes(&standings))).is_err(), "too many");
}

#[test]
fn no_miner_is_left_out_and_no_batch_is_smaller() {
    let start = after(&Standings::default(), &[(1, honest()), (2, honest())]);
    let error = start.after(&spec(), &observed(1, &[(1, Outcome::Skipped)])).unwrap_err();
    assert_eq!(error, RateError::Unaccounted(miner(2)));
    assert!(error.to_string().contains("has a standing, but the window has no outcome for it"));
    let mut small = testing::evaluation(0.01, 2.0);
    small.assigned.count -= 1;
    let error = start.after(&spec(), &observed(1, &[(1, Outcome::Evaluated(small)), (2, honest())]));
    assert!(matches!(error, Err(RateError::Sequences(_))));
}

#[test]
fn copies_gain_no_rating_by_being_equal() {
    // As ties, four equal updates at the top would all gain. With a drawn order, the sum of mu stays
    // the same.
    let outcomes: Vec<_> = (1..=4).map(|index| (index, honest())).collect();
    let standings = after(&Standings::default(), &outcomes);
    let sum: i64 = standings.iter().map(|(_, standing)| standing.rating.mu().0).sum();
    assert!((sum - 100_000_000).abs() <= 4, "{sum}");
}

#[test]
fn overlap_and_a_smaller_share_lower_the_score() {
    let with = |excess: i64, share: i64| {
        let mut evaluation = testing::evaluation(0.01, 2.5);
        evaluation.overlap = Overlap { excess: Millionths(excess), nearest: None };
        evaluation.share = Millionths(share);
        Outcome::Evaluated(evaluation)
    };
    let outcomes = [
        (1, honest()),
        (2, with(1_000_000, 1_000_000)),
        (3, with(0, 500_000)),
        (4, with(1_000_000, 500_000)),
        (5, honest()),
    ];
    let standings = repeated(&Standings::default(), &outcomes, 40);
    for (index, expected) in [(1, 1.0), (2, 0.5), (3, 0.5), (4, 0.25)] {
        assert!((score(&standings, index) - expected).abs() < 1e-5, "{index}: {}", score(&standings, index));
    }
}

#[test]
fn snapshots_have_the_bytes_of_the_golden_file() {
    let outcomes = [
        (1, honest()),
        (2, evaluated(9.0, 2.0)),
        (3, evaluated(10.0, -2.0)),
        (4, Outcome::Failed(Fault::Slow)),
    ];
    let standings = repeated(&Standings::default(), &outcomes, 8);
    let found = bytes(&standings);
    testing::compare_golden("standings.hex", &found);
    assert_eq!(Standings::read(&mut Reader::new(&found)), Ok(standings));
    let first = found.len() - 4 * (32 + Standing::BYTES);
    let mut twice_as_many = [&found[..first], &found[first..].repeat(2)].concat();
    twice_as_many[first - 4..first].copy_from_slice(&8u32.to_le_bytes());
    assert!(Standings::read(&mut Reader::new(&twice_as_many)).is_err(), "hotkeys must rise");
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => (-1.0..20.0f64, -5.0..5.0f64).prop_map(|(improvement, margin)| evaluated(improvement, margin)),
        1 => prop::sample::select(Fault::ALL.to_vec()).prop_map(Outcome::Failed),
        1 => Just(Outcome::Skipped),
        1 => Just(Outcome::Gone),
    ]
}

proptest! {
    #[test]
    fn standings_survive_their_bytes_and_any_story(
        story in prop::collection::vec(prop::collection::vec(any_outcome(), 6), 1..12),
    ) {
        let mut standings = Standings::default();
        for outcomes in story {
            let outcomes: Vec<_> = outcomes.into_iter().enumerate().map(|(i, o)| (i as u8, o)).collect();
            let before = standings.clone();
            standings = after(&standings, &outcomes);
            for (index, outcome) in outcomes {
                let Some(standing) = standings.get(&miner(index)) else { continue };
                if let Outcome::Failed(fault) = outcome {
                    let measurable = standings.field().is_measurable(&spec().proof);
                    let was = before.get(&miner(index)).map_or(0, |s| s.score(measurable).0);
                    prop_assert!(standing.score(measurable).0 <= was);
                    prop_assert!(fault.penalty() == Penalty::Part || standing.score(measurable).0 == 0);
                }
            }
            let found = bytes(&standings);
            prop_assert_eq!(Standings::read(&mut Reader::new(&found)), Ok(standings.clone()));
            prop_assert_eq!(StandingsHash::of(&[&found]), standings.hash());
            for cut in 0..found.len().min(200) {
                prop_assert!(Standings::read(&mut Reader::new(&found[..cut])).is_err());
            }
        }
    }
}
