//! Tests single windows. `tests/acceptance_model.rs` tests the rules as a whole on random subnets.

mod electorate;

use super::{spec::tests::twenty_peers, *};
use crate::{
    announcement::{Bits, Claim, Possession, Record, Vote},
    clock::{Clock, Heights, WindowSpec, tests::TINY},
};
use base::{
    BlockHash, Height, Hotkey, NeuronId, Window,
    digest::{ObjectHash, RunId, ScoreLogHead, State},
};

const RUN: RunId = RunId([7; 8]);
const STATE: State = State([1; 32]);

fn heights(window: u64) -> Heights {
    let spec = WindowSpec { count: 400, ..TINY };
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
    let written: Vec<_> = miners.iter().map(|miner| (*miner, claim(heights, miner))).collect();
    snapshot(heights.claims_close, &written)
}

fn claim(heights: &Heights, miner: &NeuronState) -> Option<(Height, Record)> {
    let object = ObjectHash(miner.id.hotkey.0);
    let claim = Claim { run: RUN, window: heights.window, object };
    Some((Height(heights.claims_close.0 - 5), Record::Claim(claim)))
}

fn vote(heights: &Heights, good: Bits, state: State) -> Option<(Height, Record)> {
    let score_log = ScoreLogHead::default();
    let possession = Possession::default();
    let vote = Vote { run: RUN, window: heights.window, good, state, score_log, possession };
    Some((heights.votes_close, Record::Vote(vote)))
}

/// Decides a window in which these miners claim, and these neurons have written these records.
fn decision(window: u64, miners: &[NeuronState], votes: impl Fn(&Heights) -> Vec<Written>) -> Decision {
    let heights = heights(window);
    let incentives: Vec<_> = miners.iter().map(|miner| (*miner, None)).collect();
    let incentives = snapshot(heights.incentives, &incentives);
    let claims = claims(&heights, miners);
    let votes = snapshot(heights.votes_close, &votes(&heights));
    let evidence = Evidence { incentives: Some(&incentives), claims: Some(&claims), votes: Some(&votes) };
    decide(RUN, &twenty_peers(), &heights, &evidence).unwrap()
}

/// Returns the names of the accepted.
fn names(decision: &Decision) -> Vec<u8> {
    decision.applied().iter().map(|accepted| accepted.id.hotkey.0[0]).collect()
}

#[test]
fn only_votes_for_the_majoritys_state_count() {
    let (a, b, c) = (neuron(1, 0, 30), neuron(2, 0, 30), neuron(3, 0, 50));
    let miners = [neuron(50, 100, 0), neuron(51, 50, 0)];
    let votes = |heights: &Heights| {
        let fork = vote(heights, Bits(0b10), State([2; 32]));
        vec![(a, vote(heights, Bits(0b01), STATE)), (b, vote(heights, Bits(0b01), STATE)), (c, fork)]
    };
    let decision = decision(0, &miners, votes);
    assert_eq!((names(&decision), decision.state), (vec![50], Some(STATE)));
    assert_eq!(decision.turnout.len(), 3, "the minority voted, too");
    assert_eq!(decision.standing(STATE), Agreement::Agrees);
    assert_eq!(decision.standing(State([2; 32])), Agreement::Diverged { majority: STATE });
    let heights = heights(0);
    let named = named_states(RUN, &heights, &snapshot(heights.votes_close, &votes(&heights)));
    let named: Vec<_> = named.iter().map(|named| (named.state, named.stake, named.voters.len())).collect();
    assert_eq!(named, [(STATE, 60, 2), (State([2; 32]), 50, 1)]);
}

#[test]
fn half_is_not_more_than_half() {
    let (a, b) = (neuron(1, 0, 30), neuron(2, 0, 30));
    let decide = |good: Bits, state: State| {
        let votes = move |heights: &Heights| {
            vec![(a, vote(heights, Bits(1), STATE)), (b, vote(heights, good, state))]
        };
        decision(0, &[neuron(50, 100, 0)], votes).accepted
    };
    assert_eq!(decide(Bits(1), STATE).unwrap().len(), 1);
    assert_eq!(decide(Bits(0), STATE), Err(NullWindow::NothingAccepted));
    let split = decide(Bits(1), State([2; 32])).unwrap_err();
    assert_eq!(
        split.to_string(),
        "no state has more than half of the voting stake: the largest has 30 of 60"
    );
}

/// Checks an object that only hostile voters have, with 30 of 100, while others with 45 are absent: they
/// would be more than half of the 55 that vote.
#[test]
fn a4_what_hostile_voters_alone_hold_is_not_accepted_while_others_are_absent() {
    let (hostile, honest, absent) = (neuron(1, 0, 30), neuron(2, 0, 25), neuron(3, 0, 45));
    let accepted = |of_honest: Bits, of_absent: Option<Bits>| {
        let votes = |heights: &Heights| {
            let earlier = vote(&self::heights(0), Bits(0), STATE);
            let last = of_absent.map_or(earlier, |good| vote(heights, good, STATE));
            let now = |good| vote(heights, good, STATE);
            vec![(hostile, now(Bits(1))), (honest, now(of_honest)), (absent, last)]
        };
        decision(1, &[neuron(50, 100, 0)], votes).accepted
    };
    assert_eq!(accepted(Bits(0), None), Err(NullWindow::NothingAccepted));
    assert_eq!(accepted(Bits(1), None).unwrap().len(), 1, "55 of 100 have it");
    assert_eq!(accepted(Bits(1), Some(Bits(0))).unwrap().len(), 1);
    assert_eq!(accepted(Bits(0), Some(Bits(1))).unwrap().len(), 1);
    assert_eq!(accepted(Bits(0), Some(Bits(0))), Err(NullWindow::NothingAccepted));
}

#[test]
fn a_window_without_votes_is_null() {
    let unvoted = decision(0, &[neuron(50, 100, 0)], |_| vec![(neuron(1, 0, 60), None)]);
    assert_eq!((unvoted.accepted, unvoted.state), (Err(NullWindow::NoVotes), None));
    assert_eq!(unvoted.electorate.members().len(), 0, "a hotkey with a permit need not run Muster");
}

#[test]
fn newcomers_are_limited_once_a_miner_earns() {
    let (a, b) = (neuron(1, 0, 60), neuron(2, 0, 30));
    let all = |heights: &Heights| {
        let good = vote(heights, Bits(u64::MAX >> 54), STATE);
        vec![(a, good), (b, good)]
    };
    let with = |earning: u8| {
        let miners: Vec<_> = (0..10).map(|name| neuron(50 + name, u16::from(name < earning), 0)).collect();
        decision(0, &miners, all)
    };
    assert_eq!(names(&with(0)).len(), 10, "a new network starts by itself");
    assert_eq!(names(&with(1)).len(), 6, "five of twenty places are for newcomers");
    assert_eq!(names(&with(3)).len(), 8);
    assert_eq!(names(&with(6)).len(), 10);
    let order: Vec<_> = with(3).candidates.iter().map(|candidate| candidate.is_newcomer()).collect();
    assert_eq!(order[..4], [false, false, false, true]);
}

#[test]
fn what_is_missing_is_named() {
    let heights = heights(9);
    let miners = [neuron(50, 100, 0)];
    let claims = claims(&heights, &miners);
    let votes = snapshot(heights.votes_close, &[(neuron(1, 0, 9), vote(&heights, Bits(1), STATE))]);
    let try_with = |incentives, votes| {
        let evidence = Evidence { incentives, claims: Some(&claims), votes };
        decide(RUN, &twenty_peers(), &heights, &evidence).unwrap_err().to_string()
    };
    let incentives = snapshot(heights.incentives, &[(miners[0], None)]);
    assert_eq!(try_with(None, Some(&votes)), "window 9: the state after block 393 (Incentives) is missing");
    assert_eq!(
        try_with(Some(&claims), Some(&votes)),
        "window 9: Incentives must be read after block 393, not 403"
    );
    assert_eq!(try_with(Some(&incentives), None), "window 9: the state after block 419 (Votes) is missing");
}

#[test]
fn the_order_of_claims_is_known_before_they_are_closed() {
    let heights = heights(2);
    let miners: Vec<_> = (0..50).map(|name| neuron(100 + name, u16::from(name % 3), 0)).collect();
    let unclaimed: Vec<Written> = miners.iter().map(|miner| (*miner, None)).collect();
    let incentives = snapshot(heights.incentives, &unclaimed);
    let closed = claims(&heights, &miners);
    let full = candidates(RUN, &twenty_peers(), &heights, &incentives, &closed).unwrap();
    assert_eq!(full.len(), 40);
    // Some blocks before, half of the miners have claimed. Their order is the same.
    let half: Vec<_> = miners.iter().step_by(2).copied().collect();
    let written: Vec<Written> = half.iter().map(|miner| (*miner, claim(&heights, miner))).collect();
    let now = snapshot(Height(heights.claims_close.0 - 4), &written);
    let standing = standing_candidates(RUN, &twenty_peers(), &heights, &incentives, &now).unwrap();
    let place = |candidate: &Candidate| full.iter().position(|other| other.id == candidate.id);
    let places: Vec<_> = standing.iter().filter_map(place).collect();
    assert!(places.len() >= 15 && places.is_sorted(), "{places:?}");
    // The hash of block D_w - 10 orders equals, not that of D_w.
    let mut others = miners.clone();
    others.iter_mut().for_each(|miner| miner.incentive = 0);
    let unpaid: Vec<Written> = others.iter().map(|miner| (*miner, None)).collect();
    let order = |hash: u8, closed: u8| {
        let at = |height, hash, written: &[Written]| {
            let records =
                written.iter().filter_map(|(n, record)| record.map(|(set, r)| (n.id.hotkey, set, r)));
            Snapshot::new(height, BlockHash([hash; 32]), written.iter().map(|(n, _)| *n), records).unwrap()
        };
        let written: Vec<Written> = others.iter().map(|miner| (*miner, claim(&heights, miner))).collect();
        let before = at(heights.incentives, hash, &unpaid);
        let closed = at(heights.claims_close, closed, &written);
        candidates(RUN, &twenty_peers(), &heights, &before, &closed).unwrap()
    };
    assert_eq!(order(1, 2), order(1, 3));
    assert_ne!(order(1, 2), order(2, 2));
    let wrong = standing_candidates(RUN, &twenty_peers(), &heights, &now, &now).unwrap_err();
    assert_eq!(wrong.to_string(), "window 2: Incentives must be read after block 183, not 189");
}

#[test]
fn a_hotkey_that_is_listed_twice_is_no_snapshot() {
    let twice = [neuron(1, 0, 9), neuron(1, 5, 0)];
    let error = Snapshot::new(Height(7), BlockHash([0; 32]), twice, []).unwrap_err();
    assert_eq!(error.to_string(), format!("block 7: hotkey {} is listed twice", twice[0].id.hotkey));
}
