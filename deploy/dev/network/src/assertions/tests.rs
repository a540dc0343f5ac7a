//! Tests that each assertion holds on a good run, and names the culprit after one change.

use super::*;
use crate::{
    faults::{Fault, NetworkFault, Setting},
    roster::{Kind, Participant, Role},
    run_record::{ActTimes, AuditOutcome, EndRecord, Rating},
};
use base::{
    Height, Hotkey, Uid, Window,
    digest::{RunId, State, StateRoot},
};
use protocol::{clock::Clock, run_spec::RunFile};
use std::{collections::BTreeMap, time::Duration};

const NODES: [&str; 4] = ["validator-0", "validator-1", "miner-0", "miner-1"];

fn state(window: u64) -> State {
    State([window as u8 + 1; 32])
}

/// Creates the record of a good run: eight windows, two validators, two honest miners, one lazy miner.
fn good() -> RunRecord {
    let adversary = Role::Adversary(Kind::Lazy);
    let roles = [Role::Validator, Role::Validator, Role::Miner, Role::Miner, adversary];
    let names = NODES.into_iter().chain(["lazy-0"]);
    let participants = names.zip(roles).zip(1..).map(|((name, role), uid)| {
        (Participant { name: name.into(), role, uid: Uid(uid), stake: 0 }, Hotkey([uid as u8; 32]))
    });
    let mut record = RunRecord { participants: participants.collect(), count: 8, ..RunRecord::default() };
    for (window, loss) in (0..).zip([8.15, 7.57, 6.59, 6.02, 5.86, 5.56, 5.19, 4.95, 4.83]) {
        let outcome = record.window(Window(window));
        outcome.state = Some(state(window));
        outcome.claimed = ["miner-0", "miner-1", "lazy-0"].map(String::from).into();
        outcome.accepted = Some(Some(["miner-0", "miner-1"].map(String::from).into()));
        outcome.heldout = BTreeMap::from([("validator-0".into(), loss), ("validator-1".into(), loss)]);
        outcome.votes =
            BTreeMap::from(["validator-0", "validator-1"].map(|name| (name.into(), state(window))));
        let reported = NODES.map(|name| (name.to_owned(), (state(window), StateRoot([1; 32]))));
        record.states.insert(Window(window), BTreeMap::from(reported));
    }
    record.end = EndRecord {
        incentives: BTreeMap::from([("miner-0".into(), 0.6), ("miner-1".into(), 0.4)]),
        set: BTreeMap::from([("validator-0".into(), 290), ("validator-1".into(), 291)]),
        epoch: 300,
        ..EndRecord::default()
    };
    record.audit = Some(AuditOutcome { windows: 8, differences: Vec::new() });
    record.leaks = Some(Vec::new());
    record
}

/// Returns the names and details of the assertions that fail after a change of the good run.
fn after(change: impl FnOnce(&mut RunRecord)) -> Vec<(&'static str, String)> {
    let mut record = good();
    change(&mut record);
    check(&record).into_iter().filter(|found| !found.ok).map(|found| (found.name, found.detail)).collect()
}

/// Checks that exactly one assertion fails after a change, and that its detail contains a text.
fn fails(name: &str, expected: &str, change: impl FnOnce(&mut RunRecord)) {
    let failed = after(change);
    assert_eq!(failed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [name], "{failed:?}");
    assert!(failed[0].1.contains(expected), "{}", failed[0].1);
}

#[test]
fn a_good_run_passes() {
    assert_eq!(after(|_| ()), []);
    assert_eq!(check(&good()).len(), 8);
}

#[test]
fn a_loss_that_does_not_fall_is_found() {
    fails("loss", "75.0 % of its start, 72.0 % is allowed", |record| {
        record.window(Window(8)).heldout.values_mut().for_each(|loss| *loss = 8.15 * 0.75);
    });
    fails("loss", "falls in 5 of 8 windows, not in 6", |record| {
        for window in [1, 3, 5] {
            record.window(Window(window)).heldout.values_mut().for_each(|loss| *loss += 3.0);
        }
    });
    fails("loss", "NaN", |record| {
        record.window(Window(8)).heldout.values_mut().for_each(|loss| *loss = f64::NAN);
    });
    fails("loss", "at the run's end", |record| record.window(Window(8)).heldout.clear());
}

#[test]
fn a_node_with_another_state_is_named() {
    fails("states", "window 3: miner-1 has state 09090909, the others have 04040404", |record| {
        record.states.get_mut(&Window(3)).unwrap().get_mut("miner-1").unwrap().0 = State([9; 32]);
    });
    fails("states", "miner-0 did not reach the run's end", |record| {
        record.states.get_mut(&Window(8)).unwrap().remove("miner-0");
    });
    fails("states", "window 2: validator-1 voted for state 09090909", |record| {
        record.window(Window(2)).votes.insert("validator-1".into(), State([9; 32]));
    });
    fails("states", "window 5: no state was named by a quorum", |record| {
        record.window(Window(5)).state = None
    });
}

/// Returns times from second 100 to 110 in which one node sent its transaction `needed` seconds later.
fn times(node: &str, needed: f64) -> ActTimes {
    let sent = [(node.to_owned(), 100.0 + needed)].into();
    ActTimes { opened: Some(100.0), closed: Some(110.0), sent }
}

#[test]
fn a_node_that_is_late_is_named_with_its_time_and_a_remedy() {
    let late = "window 2: the vote of validator-1 came too late: it needed 12.5 s and had 10.0 s; \
                if the machine is slow, give more --patience";
    fails("deadlines", late, |record| {
        let outcome = record.window(Window(2));
        outcome.votes.remove("validator-1");
        outcome.vote_times = times("validator-1", 12.5);
    });
    let never = "window 5: the claim of miner-1 never came: it needed more than the 10.0 s that it had; \
                 this machine is too slow for blocks of 1000 ms: give longer ones (--block-ms 3000), or fewer nodes";
    fails("deadlines", never, |record| {
        record.real_time = Some(Duration::from_secs(1));
        let outcome = record.window(Window(5));
        outcome.claimed.remove("miner-1");
        outcome.claim_times = times("miner-0", 3.0);
    });
    let sent = "the claim of miner-1 does not count, though it was sent after 3.0 of 10.0 s";
    fails("deadlines", sent, |record| {
        let outcome = record.window(Window(5));
        outcome.claimed.remove("miner-1");
        outcome.claim_times = times("miner-1", 3.0);
    });
}

#[test]
fn the_slowest_node_of_a_run_in_real_time_is_shown() {
    let mut record = good();
    record.real_time = Some(Duration::from_secs(1));
    record.window(Window(1)).claim_times = times("miner-0", 4.0);
    record.window(Window(2)).vote_times = times("validator-0", 7.0);
    record.window(Window(3)).claim_times = times("lazy-0", 9.0);
    let found = check(&record);
    let deadlines = found.iter().find(|found| found.name == "deadlines").unwrap();
    assert!(
        deadlines.ok && deadlines.detail.ends_with("the vote of validator-0 in window 2 took 7.0 of 10.0 s")
    );
}

#[test]
fn a_joiner_is_expected_from_its_first_claim_on() {
    let join = |record: &mut RunRecord| {
        record.participants[3].0.role = Role::Joiner;
        for window in 0..4 {
            record.window(Window(window)).claimed.remove("miner-1");
        }
    };
    assert_eq!(after(join), []);
    fails("deadlines", "window 6: the claim of miner-1 is missing", |record| {
        join(record);
        record.window(Window(6)).claimed.remove("miner-1");
    });
}

#[test]
fn a_fault_of_the_network_may_cost_its_own_windows_but_no_state() {
    let clock = Clock::new(Height(40), RunFile::parse(crate::launch::TINY).unwrap().window).unwrap();
    let strike = |record: &mut RunRecord| {
        let setting = Setting {
            clock: &clock,
            run: RunId([0; 8]),
            electorate_blocks: 840,
            participants: &record.participants,
            block: Duration::from_millis(100),
        };
        let fault = NetworkFault::new(Fault::LaggingFinality, &setting).unwrap();
        record.faults = fault.into_iter().collect();
        let outcome = record.window(Window(4));
        (outcome.state, outcome.accepted) = (None, Some(None));
        outcome.votes.clear();
    };
    // The fault itself did not come to pass here. No other assertion fails.
    fails("lagging-finality", "no block with claims for window 0 was dropped", strike);
    let with = |change: fn(&mut RunRecord)| {
        after(|record| {
            strike(record);
            change(record);
        })
    };
    let failed = with(|record| {
        record.states.get_mut(&Window(4)).unwrap().get_mut("miner-1").unwrap().0 = State([9; 32]);
    });
    assert!(failed.iter().any(|(name, detail)| *name == "states" && detail.contains("miner-1 has state 09")));
    let failed = with(|record| {
        record.window(Window(5)).claimed.remove("miner-1");
    });
    let names: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["deadlines", "lagging-finality"]);
}

#[test]
fn a_validator_without_weights_is_named() {
    fails("weights", "validator-1 set no weights", |record| {
        record.end.set.remove("validator-1");
    });
    fails("weights", "validator-0 set weights in block 301, after the last epoch (300)", |record| {
        record.end.set.insert("validator-0".into(), 301);
    });
}

#[test]
fn a_validator_without_any_score_needs_no_weights() {
    let rated = |record: &mut RunRecord, validator: &str, proof: f64| {
        let rating = Rating { contribution: 1.0, proof, credit: 1.0 };
        let ratings = BTreeMap::from([("miner-0".to_owned(), rating)]);
        record.window(Window(6)).ratings.insert(validator.to_owned(), ratings);
    };
    let unpaid = after(|record| {
        (record.end.set, record.end.incentives) = Default::default();
        ["validator-0", "validator-1"].iter().for_each(|name| rated(record, name, 0.0));
    });
    assert_eq!(unpaid.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["incentives"]);
    fails("weights", "validator-1 set no weights", |record| {
        record.end.set.remove("validator-1");
        rated(record, "validator-1", 0.5);
    });
}

#[test]
fn an_adversary_that_is_paid_is_named() {
    fails("incentives", "lazy-0 gets 6.0 % of the incentive, an honest miner 50.0 %", |record| {
        record.end.incentives.insert("lazy-0".into(), 0.06);
    });
    fails("incentives", "miner-1 gets 10.0 % of the incentive, honest miners 50.0 %", |record| {
        record.end.incentives = BTreeMap::from([("miner-0".into(), 0.9), ("miner-1".into(), 0.1)]);
    });
}

#[test]
fn differences_of_the_auditor_are_repeated() {
    fails("audit", "validator-0: log of window 4 differs", |record| {
        record.audit.as_mut().unwrap().differences.push("validator-0: log of window 4 differs".into());
    });
    fails("audit", "recomputed 7 of 8 windows", |record| record.audit.as_mut().unwrap().windows = 7);
    fails("audit", "no auditor has recomputed the run", |record| record.audit = None);
}

#[test]
fn leaks_and_deaths_are_repeated() {
    fails("secrets", "miner-0's hotkey", |record| {
        record.leaks = Some(vec!["the secret of miner-0's hotkey".into()])
    });
    fails("secrets", "not searched", |record| record.leaks = None);
    fails("processes", "miner-0 ended", |record| record.deaths.push("miner-0 ended with 1".into()));
}
