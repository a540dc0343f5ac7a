//! Tests the choice of the weights and of the epoch to set them in.

use super::*;
use base::{
    BlockHash, Hotkey, Rao, UnixMillis,
    digest::{ObjectHash, RunHash, State},
};
use chain::{Block, EpochSchedule, WeightsForm};
use scoring::{
    gauntlet::{Outcome, ScoringSpec, Standings},
    score_log::{Header, MinerLine},
};

/// Returns a reading after block 130, with an epoch every 60 blocks.
fn on_chain(set: Option<u64>, tempo: u64) -> OnChain {
    let rules = Hyperparameters {
        tempo: 59,
        max_uids: 256,
        max_validators: 64,
        immunity_period: 100,
        min_weights: 1,
        max_weight: u16::MAX,
        weights_rate_limit: 10,
        weights_version: 0,
        commit_reveal: false,
        activity_cutoff: 5000,
        kappa: 32767,
        bonds_moving_average: 900_000,
        bonds_penalty: u16::MAX,
        yuma3: false,
        registration_open: true,
        price: Rao(1),
        min_price: Rao(1),
        max_price: Rao(1),
        stake_threshold: 0,
    };
    let schedule = EpochSchedule {
        block: Height(130),
        tempo,
        last: Height(120),
        pending: None,
        index: 2,
        since_step: 10,
    };
    let head = Block {
        height: Height(130),
        hash: BlockHash([1; 32]),
        parent: BlockHash([0; 32]),
        time: UnixMillis(1),
    };
    let standing = WeightsStanding {
        head,
        neurons: 5,
        uid: Some(Uid(0)),
        owner: false,
        permit: true,
        last_update: set.map(Height),
        alpha: Rao(5),
        rules,
        schedule,
        reveal_period: 1,
        form: WeightsForm::Plain,
    };
    let row = vec![(Uid(4), 65535), (Uid(2), 7)];
    OnChain { standing, row, set: set.map(Height), pending: Vec::new(), seats: Vec::new() }
}

#[test]
fn once_in_an_epoch() {
    // Epochs in blocks 120 and 180.
    for (set, opens) in [(None, 0), (Some(119), 0), (Some(120), 180), (Some(130), 180)] {
        assert_eq!(on_chain(set, 60).opens(), Height(opens), "{set:?}");
    }
    assert_eq!(on_chain(Some(130), 0).opens(), Height(0), "a subnet without epochs");
}

#[test]
fn zeros_are_not_on_chain() {
    let weights: Weights = [(Uid(2), 7), (Uid(3), 0), (Uid(4), 65535)].into();
    assert!(on_chain(Some(1), 60).has(&weights));
    assert!(!on_chain(None, 60).has(&weights), "what stands there is another registration's");
    assert!(!on_chain(Some(1), 60).has(&[(Uid(2), 7)].into()));
}

#[test]
fn an_epoch_that_the_owner_asks_for_opens_the_next_weights() {
    let mut asked = on_chain(Some(130), 60);
    asked.standing.schedule.pending = Some(Height(140));
    assert_eq!(asked.opens(), Height(140));
}

fn neuron(name: u8, registered: u64) -> NeuronId {
    NeuronId { hotkey: Hotkey([name; 32]), registered: Height(registered) }
}

#[test]
fn a_uid_that_changed_hands_gets_nothing() {
    let header = Header {
        run: RunHash([7; 32]),
        validator: neuron(1, 4),
        window: Window(3),
        state: State([2; 32]),
        seed: BlockHash([3; 32]),
        previous: Default::default(),
        standings: Standings::default().hash(),
        adopted: None,
        unassigned_before: 4.0,
        baselines: Default::default(),
        subnet: Subnet { owner: Some(Uid(0)), uids: 9, min_allowed: 1, max_limit: 65535 },
    };
    let line = |(uid, name): (u16, u8)| {
        let object = ObjectHash([name; 32]);
        let line = MinerLine { uid: Uid(uid), registered: Height(10), object, outcome: Outcome::Skipped };
        (Hotkey([name; 32]), line)
    };
    let miners = [(1, 11), (2, 12), (3, 13)].map(line).into();
    let (mut log, _) =
        ScoreLog::close(&ScoringSpec::default(), &Standings::default(), header, miners).unwrap();
    log.stated.weights = [(0, 500), (1, 100), (2, 65535), (3, 300), (4, 0)].map(|(u, w)| (Uid(u), w)).into();
    // Another hotkey has uid 1. That of uid 3 has registered again.
    let seats = vec![neuron(9, 1), neuron(21, 90), neuron(12, 10), neuron(13, 95), neuron(14, 3)];
    let mut on_chain = OnChain { seats, ..on_chain(None, 60) };
    let expected: Weights = [(0, 500), (1, 0), (2, 65535), (3, 300), (4, 0)].map(|(u, w)| (Uid(u), w)).into();
    assert_eq!(on_chain.weights_of(&log), expected);
    on_chain.seats.truncate(2);
    assert_eq!(on_chain.weights_of(&log)[&Uid(2)], 0, "a uid that the subnet does not have any more");
}

#[test]
fn an_error_says_when_to_try_again() {
    let soon = WeightsError::TooSoon { last: Height(100), next: Height(150) };
    let opens = |error: WeightsError| match SendError::from(error).outcome(Height(130)) {
        WeightsOutcome::NotYet { opens, .. } => Some(opens),
        _ => None,
    };
    assert_eq!(opens(soon), Some(Height(149)), "a transaction goes into the block after");
    assert_eq!(opens(WeightsError::EpochEnds { next: Height(180) }), Some(Height(180)));
    assert_eq!(opens(WeightsError::AllZero), None);
}
