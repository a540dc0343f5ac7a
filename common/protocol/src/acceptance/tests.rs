//! Tests single windows. `tests/acceptance_model.rs` tests the rules as a whole on random subnets.

use super::{spec::tests::twenty_peers, *};
use crate::{
    announcement::{Bits, Claim, Possession, Record, Vote},
    clock::{Clock, Heights, WindowSpec},
    history::History,
};
use base::{
    BlockHash, Height, Hotkey, NeuronId, Window,
    digest::{ObjectHash, RunHash, RunId, ScoreLogHead, State, StateRoot},
};

const RUN: RunId = RunId([7; 8]);
const STATE: State = State([1; 32]);

fn heights(window: u64) -> Heights {
    let spec = WindowSpec {
        blocks: 30,
        count: 40,
        finality_lag: 3,
        publishing: 1,
        screening: 3,
        claims_close: 3,
        keys_close: 8,
        seed: 12,
        votes_close: 19,
    };
    Clock::new(Height(100), spec).unwrap().heights(Window(window)).unwrap()
}

fn neuron(name: u8, incentive: u16, stake: u16) -> NeuronState {
    let id = NeuronId { hotkey: Hotkey([name; 32]), registered: Height(5) };
    NeuronState { id, incentive, stake, permit: stake > 0 }
}

/// A neuron, and its record with the block in which it was written.
type Written = (NeuronState, Option<(Height, Record)>);

fn snapshot(height: Height, written: &[Written]) -> Snapshot {
    let records = written.iter().filter_map(|(neuron, record)| {
        let (set, record) = (*record)?;
        Some((neuron.id.hotkey, set, record))
    });
    Snapshot::new(height, BlockHash([9; 32]), written.iter().map(|(n, _)| *n), records).unwrap()
}

fn claims(heights: &Heights, miners: &[NeuronState]) -> Snapshot {
    let claim = |miner: &NeuronState| Claim {
        run: RUN,
        window: heights.window,
        object: ObjectHash(miner.id.hotkey.0),
    };
    let written: Vec<_> =
        miners.iter().map(|m| (*m, Some((heights.claims_close, Record::Claim(claim(m)))))).collect();
    snapshot(heights.claims_close, &written)
}

fn vote(heights: &Heights, good: Bits, state: State) -> Option<(Height, Record)> {
    let score_log = ScoreLogHead::default();
    let possession = Possession::default();
    let vote = Vote { run: RUN, window: heights.window, good, state, score_log, possession };
    Some((heights.votes_close, Record::Vote(vote)))
}

/// Decides a window in which these miners claim, and these neurons have written these records.
fn decision(
    window: u64,
    miners: &[NeuronState],
    votes: impl Fn(&Heights) -> Vec<Written>,
    history: &History,
) -> Decision {
    let heights = heights(window);
    let incentives: Vec<_> = miners.iter().map(|miner| (*miner, None)).collect();
    let incentives = snapshot(heights.incentives, &incentives);
    let claims = claims(&heights, miners);
    let votes = snapshot(heights.votes_close, &votes(&heights));
    let evidence = Evidence {
        incentives: Some(&incentives),
        claims: Some(&claims),
        votes: Some(&votes),
        turnouts: history.turnouts(),
    };
    decide(RUN, &twenty_peers(), &heights, &evidence).unwrap()
}

/// Returns the names of the accepted.
fn names(decision: &Decision) -> Vec<u8> {
    decision.applied().iter().map(|accepted| accepted.id.hotkey.0[0]).collect()
}

#[test]
fn a_holder_of_most_stake_that_dies_stops_the_run_for_five_windows() {
    let (large, small, other) = (neuron(1, 0, 60_000), neuron(2, 0, 10_000), neuron(3, 0, 5_000));
    let miner = neuron(50, 100, 0);
    let mut history = History::new(&RunHash([0; 32]));
    let mut stepped = Vec::new();
    for window in 0..24 {
        let votes = |heights: &Heights| {
            let good = || vote(heights, Bits(1), STATE);
            let alive = !(11..20).contains(&heights.window.0);
            vec![(large, if alive { good() } else { None }), (small, good()), (other, good())]
        };
        let decision = decision(window, &[miner], votes, &history);
        history.push(&decision).unwrap();
        match &decision.accepted {
            Ok(accepted) => stepped.push((window, accepted.len())),
            Err(null) => assert_eq!(
                null.to_string(),
                "no quorum: the voting stake 15000 is not more than half of the usual 75000"
            ),
        }
    }
    // It counts as missing while it voted in 4 of the last 8 windows, 7 to 10. Back in window 20,
    // it counts at once.
    let windows: Vec<_> = stepped.iter().map(|(window, _)| *window).collect();
    assert_eq!(windows, (0..11).chain(16..24).collect::<Vec<_>>());
}

#[test]
fn only_votes_for_the_majoritys_state_count() {
    let (a, b, c) = (neuron(1, 0, 30), neuron(2, 0, 30), neuron(3, 0, 50));
    let miners = [neuron(50, 100, 0), neuron(51, 50, 0)];
    let history = History::new(&RunHash([0; 32]));
    let votes = |heights: &Heights| {
        let fork = vote(heights, Bits(0b10), State([2; 32]));
        vec![(a, vote(heights, Bits(0b01), STATE)), (b, vote(heights, Bits(0b01), STATE)), (c, fork)]
    };
    let decision = decision(0, &miners, votes, &history);
    assert_eq!((names(&decision), decision.state), (vec![50], Some(STATE)));
    assert_eq!(decision.turnout.len(), 3, "the minority voted, too");
    assert_eq!(decision.standing(STATE), Agreement::Agrees);
    assert_eq!(decision.standing(State([2; 32])), Agreement::Diverged { majority: STATE });
}

#[test]
fn half_is_not_more_than_half() {
    let (a, b) = (neuron(1, 0, 30), neuron(2, 0, 30));
    let history = History::new(&RunHash([0; 32]));
    let decide = |good: Bits, state: State| {
        let votes = move |heights: &Heights| {
            vec![(a, vote(heights, Bits(1), STATE)), (b, vote(heights, good, state))]
        };
        decision(0, &[neuron(50, 100, 0)], votes, &history).accepted
    };
    assert_eq!(decide(Bits(1), STATE).unwrap().len(), 1);
    assert_eq!(decide(Bits(0), STATE), Err(NullWindow::NothingAccepted));
    let split = decide(Bits(1), State([2; 32])).unwrap_err();
    assert_eq!(
        split.to_string(),
        "no state has more than half of the voting stake: the largest has 30 of 60"
    );
}

#[test]
fn a_vote_is_not_enough_where_two_hold_permits() {
    let (a, b, alone) = (neuron(1, 0, 60), neuron(2, 0, 30), neuron(3, 0, 60));
    let history = History::new(&RunHash([0; 32]));
    let miner = [neuron(50, 100, 0)];
    let one = |heights: &Heights| vec![(a, vote(heights, Bits(1), STATE)), (b, None)];
    let null = decision(0, &miner, one, &history).accepted.unwrap_err();
    assert_eq!(null.to_string(), "only one hotkey voted, but 2 hold permits");
    let only = |heights: &Heights| vec![(alone, vote(heights, Bits(1), STATE))];
    assert_eq!(names(&decision(0, &miner, only, &history)), [50]);
    let unvoted = decision(0, &miner, |_| vec![(a, None)], &history);
    assert_eq!((unvoted.accepted, unvoted.state), (Err(NullWindow::NoVotes), None));
}

#[test]
fn the_floor_is_enough_and_less_is_not() {
    let miner = [neuron(50, 100, 0)];
    let last = |one: u16| {
        let (silent, a, b) = (neuron(1, 0, 54_000), neuron(2, 0, 3000), neuron(3, 0, one));
        let votes = |heights: &Heights| {
            let good = vote(heights, Bits(1), STATE);
            vec![(silent, None), (a, good), (b, good)]
        };
        let mut history = History::new(&RunHash([0; 32]));
        (0..8).for_each(|window| {
            let null = decision(window, &miner, votes, &history);
            assert!(
                matches!(null.accepted, Err(NullWindow::NoQuorum { .. })),
                "all with a permit are missed"
            );
            history.push(&null).unwrap();
        });
        decision(8, &miner, votes, &history).accepted
    };
    assert_eq!(last(3000).unwrap().len(), 1, "a tenth of all stake is the floor");
    let null = last(2999).unwrap_err();
    assert_eq!(null.to_string(), "the voting stake 5999 is below the run's floor: stake 59999 has permits");
}

#[test]
fn newcomers_are_limited_once_a_miner_earns() {
    let (a, b) = (neuron(1, 0, 60), neuron(2, 0, 30));
    let history = History::new(&RunHash([0; 32]));
    let all = |heights: &Heights| {
        let good = vote(heights, Bits(u64::MAX >> 54), STATE);
        vec![(a, good), (b, good)]
    };
    let with = |earning: u8| {
        let miners: Vec<_> = (0..10).map(|name| neuron(50 + name, u16::from(name < earning), 0)).collect();
        decision(0, &miners, all, &history)
    };
    assert_eq!(names(&with(0)).len(), 10, "a new network starts by itself");
    assert_eq!(names(&with(2)), [50, 51]);
    assert_eq!(names(&with(3)).len(), 4);
    assert_eq!(names(&with(6)).len(), 8);
    let order: Vec<_> = with(3).candidates.iter().map(|candidate| candidate.is_newcomer()).collect();
    assert_eq!(order[..4], [false, false, false, true]);
}

#[test]
fn what_is_missing_is_named() {
    let heights = heights(9);
    let miners = [neuron(50, 100, 0)];
    let claims = claims(&heights, &miners);
    let votes = snapshot(heights.votes_close, &[(neuron(1, 0, 9), vote(&heights, Bits(1), STATE))]);
    let history = History::new(&RunHash([0; 32]));
    let try_with = |incentives, votes| {
        let evidence = Evidence { incentives, claims: Some(&claims), votes, turnouts: history.turnouts() };
        decide(RUN, &twenty_peers(), &heights, &evidence).unwrap_err().to_string()
    };
    let incentives = snapshot(heights.incentives, &[(miners[0], None)]);
    assert_eq!(try_with(None, Some(&votes)), "window 9: the state after block 393 (Incentives) is missing");
    assert_eq!(
        try_with(Some(&claims), Some(&votes)),
        "window 9: Incentives must be read after block 393, not 403"
    );
    assert_eq!(try_with(Some(&incentives), None), "window 9: the state after block 419 (Votes) is missing");
    assert_eq!(try_with(Some(&incentives), Some(&votes)), "window 9: the voters of window 1 are not known");
}

#[test]
fn a_hotkey_that_is_listed_twice_is_no_snapshot() {
    let twice = [neuron(1, 0, 9), neuron(1, 5, 0)];
    let error = Snapshot::new(Height(7), BlockHash([0; 32]), twice, []).unwrap_err();
    assert_eq!(error.to_string(), format!("block 7: hotkey {} is listed twice", twice[0].id.hotkey));
}

#[test]
fn the_state_chains_the_history() {
    let mut history = History::new(&RunHash([0; 32]));
    let before = history.state(&StateRoot([3; 32]));
    let empty = |_: &Heights| vec![(neuron(1, 0, 9), None)];
    history.push(&decision(0, &[], empty, &history)).unwrap();
    assert_ne!(history.state(&StateRoot([3; 32])), before, "a null window is a part of the history");
}
