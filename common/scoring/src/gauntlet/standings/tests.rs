use super::*;
use crate::gauntlet::{Losses, proof::ProofSpec};
use base::{Height, Hotkey};
use proptest::prelude::*;

/// Returns the rules of a short run: z 1, a verdict after 4 windows.
fn spec() -> ScoringSpec {
    let mut spec = ScoringSpec { z: Millionths::ONE, ..ScoringSpec::default() };
    let ProofSpec::MovingAverage(proof) = &mut spec.proof;
    proof.decide_after = 4;
    spec
}

fn miner(index: u8) -> NeuronId {
    NeuronId { hotkey: Hotkey([index; 32]), registered: Height(100 - u64::from(index)) }
}

/// Returns the outcome of an update that lowers the loss on unassigned data from 4 to `after`, and on
/// assigned data by `margin` more (relative to the loss before).
fn evaluated(after: f64, margin: f64) -> Outcome {
    let assigned = Losses { before: 4.0, after: after - 4.0 * margin };
    Outcome::Evaluated(Evaluation { assigned, unassigned_after: after })
}

fn window(outcomes: &[(u8, Outcome)]) -> Observed {
    Observed {
        seed: BlockHash([3; 32]),
        unassigned_before: 4.0,
        outcomes: outcomes.iter().map(|&(index, outcome)| (miner(index), outcome)).collect(),
    }
}

fn after(standings: &Standings, outcomes: &[(u8, Outcome)]) -> Standings {
    standings.after(&spec(), &window(outcomes)).unwrap()
}

fn score(standings: &Standings, index: u8) -> u64 {
    standings.scores(&spec())[&miner(index)].0
}

#[test]
fn the_better_update_is_rated_higher_and_half_counts_until_proof() {
    let mut standings = Standings::default();
    for judged in 1..=4 {
        standings = after(
            &standings,
            &[(1, evaluated(3.9, 1e-3)), (2, evaluated(3.8, 1e-3)), (3, evaluated(3.7, 0.0))],
        );
        let best = standings.get(&miner(3)).unwrap();
        assert_eq!(best.judged, judged);
        assert!(
            best.rating.value(Millionths::ONE)
                > standings.get(&miner(2)).unwrap().rating.value(Millionths::ONE)
        );
        let rating = standings.get(&miner(2)).unwrap().rating.value(Millionths::ONE).0 as u64;
        let factor = if judged < 4 { 500_000 } else { 1_000_000 };
        assert_eq!(score(&standings, 2), rating * factor);
    }
    assert!(score(&standings, 2) > score(&standings, 1));
    assert_eq!(score(&standings, 3), 0, "the best update, but not on its own data");
    let ranking = ranking(&standings.scores(&spec()));
    assert_eq!(ranking.iter().map(|(miner, _)| miner.hotkey.0[0]).collect::<Vec<_>>(), [2, 1, 3]);
}

#[test]
fn a_failure_costs_a_quarter_and_three_in_a_row_cost_all() {
    let start = after(&Standings::default(), &[(1, evaluated(3.9, 1e-3)), (2, evaluated(3.8, 1e-3))]);
    let rating = start.get(&miner(1)).unwrap().rating;
    let full = score(&start, 1);
    let mut failed = start;
    for (failures, left) in [(1, 0.75), (2, 0.5625), (3, 0.0), (4, 0.0)] {
        failed = after(&failed, &[(1, Outcome::Failed(Fault::Missing)), (2, evaluated(3.8, 1e-3))]);
        let standing = failed.get(&miner(1)).unwrap();
        assert_eq!((standing.failures, standing.rating), (failures, rating), "a failure is no match");
        assert_eq!(score(&failed, 1), (full as f64 * left) as u64, "after {failures}");
    }
    let mut back = failed;
    for judged in 1..=12 {
        back = after(&back, &[(1, evaluated(3.7, 1e-3)), (2, evaluated(3.8, 1e-3))]);
        let standing = back.get(&miner(1)).unwrap();
        assert_eq!((standing.failures, standing.credit), (0, Millionths(100_000 * judged.min(10))));
    }
}

#[test]
fn failures_leave_the_sum_of_ratings_as_it_is() {
    // If a failure lowered its miner's mu, the others would lose as much to it when it comes back.
    let mut standings = Standings::default();
    for window in 0..200u64 {
        let outcome = |index: u8| match (window + u64::from(index)) % 3 {
            0 => Outcome::Failed(Fault::Missing),
            _ => evaluated(3.9 - ((window * 7 + u64::from(index) * 3) % 5) as f64 / 100.0, 1e-3),
        };
        let outcomes: Vec<_> = (0..9).map(|index| (index, outcome(index))).collect();
        standings = after(&standings, &outcomes);
    }
    let mean = standings.iter().map(|(_, standing)| standing.rating.mu().get()).sum::<f64>() / 9.0;
    assert!((mean - 25.0).abs() < 1.0, "{mean}");
}

#[test]
fn what_no_honest_node_uploads_costs_all_at_once() {
    let start = after(&Standings::default(), &[(1, evaluated(3.7, 1e-3)), (2, evaluated(3.8, 1e-3))]);
    let changes_nothing = evaluated(4.0, 0.0);
    for outcome in [Outcome::Failed(Fault::Malformed), changes_nothing, evaluated(f64::NAN, 0.0)] {
        let failed = after(&start, &[(1, outcome), (2, evaluated(3.8, 1e-3))]);
        assert_eq!(score(&failed, 1), 0, "{outcome:?}");
        assert_eq!(failed.get(&miner(1)).unwrap().judged, 1, "no judgement");
    }
}

#[test]
fn failures_do_not_change_the_match_of_the_others() {
    let outcomes = [(1, evaluated(3.9, 1e-3)), (2, evaluated(3.8, 1e-3))];
    let alone = after(&Standings::default(), &outcomes);
    let mut with = outcomes.to_vec();
    with.extend((3..9).map(|index| (index, Outcome::Failed(Fault::Missing))));
    let with = after(&Standings::default(), &with);
    for index in [1, 2] {
        assert_eq!(with.get(&miner(index)), alone.get(&miner(index)));
    }
    assert!((3..9).all(|index| score(&with, index) == 0), "never judged, never paid");
}

#[test]
fn who_was_cut_stays_and_who_is_gone_is_forgotten() {
    let start = after(&Standings::default(), &[(1, evaluated(3.9, 1e-3)), (2, evaluated(3.8, 1e-3))]);
    let next = after(&start, &[(1, Outcome::Skipped), (2, Outcome::Gone), (3, Outcome::Skipped)]);
    assert_eq!(next.get(&miner(1)), start.get(&miner(1)));
    assert_eq!((next.get(&miner(2)), next.get(&miner(3))), (None, None));
}

#[test]
fn no_miner_is_left_out() {
    let start = after(&Standings::default(), &[(1, evaluated(3.9, 1e-3)), (2, evaluated(3.8, 1e-3))]);
    let error = start.after(&spec(), &window(&[(1, Outcome::Skipped)])).unwrap_err();
    assert_eq!(error, RateError::Unaccounted(miner(2)));
    assert!(error.to_string().contains("is rated, but the window has no outcome for it"));
}

#[test]
fn copies_gain_nothing_by_being_equal() {
    // As ties, four equal updates at the top would all gain. With a drawn order, the sum of mu stays
    // the same.
    let outcomes: Vec<_> = (1..=4).map(|index| (index, evaluated(3.9, 0.0))).collect();
    let standings = after(&Standings::default(), &outcomes);
    let sum: i64 = standings.iter().map(|(_, standing)| standing.rating.mu().0).sum();
    assert!((sum - 100_000_000).abs() <= 4, "{sum}");
}

#[test]
fn a_new_registration_of_the_same_hotkey_starts_anew() {
    let start = after(&Standings::default(), &[(1, evaluated(3.7, 1e-3)), (2, evaluated(3.8, 1e-3))]);
    let again = NeuronId { registered: Height(5000), ..miner(1) };
    let mut next = window(&[(1, Outcome::Gone), (2, Outcome::Skipped)]);
    next.outcomes.insert(again, Outcome::Failed(Fault::Missing));
    let next = start.after(&spec(), &next).unwrap();
    assert_eq!(next.get(&miner(1)), None);
    assert_eq!(next.get(&again).unwrap().judged, 0);
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => (0.5..8.0f64, -0.01..0.01f64).prop_map(|(after, margin)| evaluated(after, margin)),
        1 => prop::sample::select(Fault::ALL.to_vec()).prop_map(Outcome::Failed),
        1 => Just(Outcome::Skipped),
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
                    let was = before.get(&miner(index)).map_or(u64::MAX, |s| s.score(&spec()).0);
                    prop_assert!(standing.score(&spec()).0 <= was);
                    let all = fault.penalty() == Penalty::All;
                    prop_assert!(!all || standing.score(&spec()).0 == 0);
                }
                let mut writer = Writer::new();
                standing.write(&mut writer);
                let bytes = writer.into_bytes();
                prop_assert_eq!(Standing::read(&mut Reader::new(&bytes)), Ok(*standing));
            }
        }
    }
}
