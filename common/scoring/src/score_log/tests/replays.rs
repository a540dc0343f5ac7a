//! Tests that a replay gives the validator's results, or names the first item that differs.

use super::*;
use crate::{
    gauntlet::{Field, RateError, Standing, contribution::Contribution, proof::Proof},
    ratings::Rating,
    weights::WeightsError,
};
use base::Millionths;

fn replay_from(logs: &[(ScoreLog, Results)]) -> Replay {
    let mut replay = Replay::new(spec());
    for (log, results) in logs {
        assert_eq!(replay.next(log).as_ref(), Ok(results));
    }
    replay
}

/// Returns the error of replaying a changed log of window 4.
fn refused<T>(change: impl FnOnce(&mut ScoreLog) -> T) -> ReplayError {
    let mut log = log();
    change(&mut log);
    Replay::new(spec()).next(&log).unwrap_err()
}

#[test]
fn logs_replay_bit_for_bit_from_any_snapshot() {
    let logs = story(13);
    for start in [0, 4, 8, 12] {
        replay_from(&logs[start..]);
    }
    let last = &logs[12].1;
    assert!(last.weights.as_ref().unwrap().values().filter(|&&weight| weight > 0).count() >= 3);
    assert!(last.scores[&miner(1)] > last.scores[&miner(3)]);
}

#[test]
fn a_replay_begins_with_a_snapshot() {
    let logs = story(3);
    let error = Replay::new(spec()).next(&logs[1].0).unwrap_err();
    let text = "the standings before window 1 are unknown: begin with a log that has a snapshot";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_missing_log_and_an_old_one_are_told_apart() {
    let logs = story(4);
    let mut replay = replay_from(&logs[..2]);
    assert!(matches!(replay.next(&logs[3].0), Err(ReplayError::Gap { window: Window(3), .. })));
    let error = replay.next(&logs[1].0).unwrap_err();
    assert_eq!(error, ReplayError::Past { window: Window(1), last: Window(1) });
    assert_eq!(replay.next(&logs[2].0).as_ref(), Ok(&logs[2].1), "the replay did not advance");
}

#[test]
fn snapshots_are_where_the_run_spec_wants_them() {
    let error = refused(|log| log.snapshot = None);
    assert_eq!(error, ReplayError::NoSnapshot(Window(4)));
    let mut logs = story(2);
    logs[1].0.snapshot = Some(logs[0].1.standings.clone());
    let error = replay_from(&logs[..1]).next(&logs[1].0).unwrap_err();
    assert_eq!(error, ReplayError::Snapshot(Window(1)));
}

#[test]
fn standings_cannot_change_between_logs() {
    let error = refused(|log| log.header.standings = StandingsHash([1; 32]));
    assert!(matches!(error, ReplayError::Standings { window: Window(4), .. }));
    let mut logs = story(5);
    let other = logs[2].1.standings.clone();
    logs[4].0.header.standings = other.hash();
    logs[4].0.snapshot = Some(other);
    let error = replay_from(&logs[..4]).next(&logs[4].0).unwrap_err();
    assert!(matches!(error, ReplayError::Standings { window: Window(4), .. }), "though the snapshot matches");
}

#[test]
fn the_first_item_that_differs_is_named() {
    let score = log().stated.scores[&miner(2)];
    let error = refused(|log| log.stated.scores.insert(miner(2), Score(score.0 + 1)));
    let name = miner(2).to_string();
    let (stated, replayed) = (score.0 + 1, score.0);
    assert_eq!(
        error.to_string(),
        format!("window 4: the score of {name}: stated is {stated}, replayed {replayed}")
    );
    let error = refused(|log| log.stated.weights.remove(&Uid(3)));
    let difference = ReplayError::Differs {
        window: Window(4),
        difference: Box::new(Difference::Weight {
            uid: Uid(3),
            stated: None,
            replayed: log().stated.weights.get(&Uid(3)).copied(),
        }),
    };
    assert_eq!(error, difference);
    let error = refused(|log| {
        let standings = log.stated.standings.iter().map(|(&miner, &standing)| (miner, standing));
        let raised = standings.map(|(miner, mut standing)| {
            standing.failures += 1;
            (miner, standing)
        });
        log.stated.standings = Standings::new(log.stated.standings.field().clone(), raised.collect());
        log.stated.scores.clear();
    });
    let name = miner(1).to_string();
    assert_eq!(
        error.to_string(),
        format!("window 4: the failures in a row of {name}: stated is 1, replayed 0")
    );
}

#[test]
fn another_loss_changes_what_comes_out() {
    let error = refused(|log| log.miners.insert(miner(3), line(3, evaluated(100.0, 3.0)).1));
    let text = error.to_string();
    assert!(text.starts_with("window 4: the field's medians 1: stated is 0.0105 3, replayed"), "{text}");
    let error = refused(|log| {
        let standings = &log.stated.standings;
        let miners = standings.iter().map(|(&miner, &standing)| (miner, standing)).collect();
        log.stated.standings = Standings::new(Field::default(), miners);
    });
    let text = error.to_string();
    assert!(
        text.starts_with("window 4: the field's medians 0: stated is nothing, replayed 0.0115"),
        "{text}"
    );
}

#[test]
fn a_window_that_cannot_be_rated_is_refused() {
    let error = refused(|log| log.miners.remove(&miner(5)));
    let expected = RateError::Unaccounted(miner(5));
    assert_eq!(error, ReplayError::Rate { window: Window(4), error: expected });
    let error = refused(|log| {
        let mut small = testing::evaluation(0.01, 1.0);
        small.common.count = 31;
        log.miners.insert(miner(2), line(2, Outcome::Evaluated(small)).1)
    });
    let error = base::ErrorChain(&error).to_string();
    assert!(
        error.ends_with("was measured on 31 common unassigned sequences, the run spec says 32"),
        "{error}"
    );
    let error = refused(|log| log.miners.insert(miner(2), line(1, Outcome::Skipped).1));
    let (first, second) = (miner(1), miner(2));
    assert_eq!(error, ReplayError::UidTwice { window: Window(4), uid: Uid(1), first, second });
}

#[test]
fn without_weights_there_is_still_a_log() {
    let miners = [line(1, Outcome::Failed(Fault::Missing))].into();
    let (log, results) =
        ScoreLog::close(&spec(), &Standings::default(), header(0, ScoreLogHead::default()), miners).unwrap();
    assert_eq!(results.weights, Err(WeightsError::NoScore));
    assert!(log.stated.weights.is_empty());
    assert_eq!(Replay::new(spec()).next(&log), Ok(results));
}

#[test]
fn another_spec_replays_to_something_else() {
    let mut other = spec();
    other.penalty.factor = Millionths(500_000);
    let error = Replay::new(other).next(&log()).unwrap_err();
    assert!(matches!(error, ReplayError::Differs { .. }), "{error}");
}

/// Generates any standing that a snapshot can hold.
fn any_standing() -> impl Strategy<Value = Standing> {
    let rating =
        (any::<i64>(), any::<i64>()).prop_map(|(mu, sigma)| Rating::new(Millionths(mu), Millionths(sigma)));
    let proof = (0..3u8, 0..7_000_000i64).prop_map(|(state, sum)| match state {
        0 => Proof::Undecided(Millionths(sum / 2)),
        1 => Proof::Passed(Millionths(sum)),
        _ => Proof::Failed(Millionths(sum)),
    });
    let contribution = (0..=2_000_000i64).prop_map(|last| Contribution::default().after(Millionths(last)));
    (rating, proof, contribution, 0..=1_000_000i64, any::<u16>(), any::<u32>(), 0..5u64).prop_map(
        |(rating, proof, contribution, credit, failures, judged, seen)| {
            let (credit, seen) = (Millionths(credit), Window(seen));
            Standing { rating, proof, contribution, credit, failures, judged, seen }
        },
    )
}

proptest! {
    #[test]
    fn whatever_a_validator_writes_replays_or_is_refused(
        snapshot in prop::collection::btree_map((0u8..8).prop_map(miner), any_standing(), 0..8),
        outcomes in prop::collection::vec(any_outcome(), 8),
        subnet in (prop::option::of(0..20u16), 0..20u16, any::<u16>(), any::<u16>()),
    ) {
        let standings = Standings::new(Field::default(), snapshot);
        let (owner, uids, min_allowed, max_limit) = subnet;
        let subnet = Subnet { owner: owner.map(Uid), uids, min_allowed, max_limit };
        let header = Header { subnet, ..header(4, ScoreLogHead([1; 32])) };
        let miners = outcomes.into_iter().enumerate().map(|(uid, outcome)| line(uid as u8, outcome)).collect();
        if let Ok((log, results)) = ScoreLog::close(&spec(), &standings, header, miners) {
            let opened = ScoreLog::open(&signed(&log), &expected(4)).unwrap();
            prop_assert_eq!(Replay::new(spec()).next(&opened), Ok(results));
        }
    }
}
