use super::*;
use crate::score_log::tests::{spec, story};

/// Returns the logs of windows 4 to 6, of which the first has a snapshot.
fn logs() -> Vec<ScoreLog> {
    story(7).into_iter().skip(4).map(|(log, _)| log).collect()
}

fn vote(window: u64, head: ScoreLogHead) -> Voted {
    Voted { window: Window(window), head }
}

fn check(logs: &[ScoreLog], votes: &[Voted]) -> Result<Adopted, NotAdoptable> {
    adoptable(&spec(), logs, votes.iter().copied())
}

#[test]
fn logs_that_replay_and_that_votes_name_are_adoptable() {
    let logs = logs();
    let newest = Ok(logs[2].name());
    assert_eq!(logs[2].name().window, Window(6));
    let heads: Vec<_> = logs.iter().map(ScoreLog::head).collect();
    for votes in [
        &[][..],
        &[vote(7, heads[2])],
        &[vote(7, heads[1])], // Sent before the log of window 6 was closed.
        &[vote(5, logs[0].header.previous)],
        &[vote(5, heads[0]), vote(6, heads[1])],
    ] {
        assert_eq!(check(&logs, votes), newest, "{votes:?}");
    }
    // Votes that cannot be compared: the logs that they name are older, or may not be published yet.
    let other = ScoreLogHead([9; 32]);
    for window in [0, 4, 8, u64::MAX] {
        assert_eq!(check(&logs, &[vote(window, other)]), newest, "{window}");
    }
}

#[test]
fn logs_that_votes_contradict_are_refused() {
    let other = ScoreLogHead([9; 32]);
    for window in [5, 6, 7] {
        let error = check(&logs(), &[vote(7, logs()[2].head()), vote(window, other)]).unwrap_err();
        assert_eq!(error, NotAdoptable::Head { window: Window(window), head: other });
    }
    let no_log_yet = vote(7, ScoreLogHead::default());
    assert!(matches!(check(&logs(), &[no_log_yet]), Err(NotAdoptable::Head { .. })));
    let first: Vec<_> = story(1).into_iter().map(|(log, _)| log).collect();
    assert_eq!(check(&first, &[vote(1, ScoreLogHead::default())]), Ok(first[0].name()));
}

#[test]
fn logs_that_do_not_replay_are_refused() {
    assert_eq!(check(&[], &[]), Err(NotAdoptable::NoLog));
    let replay = |logs: &[ScoreLog]| match check(logs, &[]) {
        Err(NotAdoptable::Replay(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut edited = logs();
    edited[1].stated.scores.pop_first();
    assert!(matches!(replay(&edited), ReplayError::Differs { window: Window(5), .. }));
    let mut gap = logs();
    gap.remove(1);
    assert!(matches!(replay(&gap), ReplayError::Gap { window: Window(6), .. }));
    assert!(matches!(replay(&logs()[1..]), ReplayError::NoStandings(Window(5))));
}
