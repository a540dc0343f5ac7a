use super::*;
use crate::gauntlet::{Evaluation, Fault, Losses};
use base::{
    Height, Hotkey,
    signature::{SIGNATURE_BYTES, SignatureError, SigningKey},
    wire::WireError,
};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

mod changes;
mod replays;

fn validator() -> NeuronId {
    NeuronId { hotkey: key(1).hotkey(), registered: Height(77) }
}

fn miner(index: u8) -> NeuronId {
    NeuronId { hotkey: Hotkey([index; 32]), registered: Height(1000 + u64::from(index)) }
}

fn spec() -> ScoringSpec {
    ScoringSpec { snapshot_every: 4, ..ScoringSpec::default() }
}

fn header(window: u64, previous: ScoreLogHead) -> Header {
    Header {
        run: RunHash([0xa1; 32]),
        validator: validator(),
        window: Window(window),
        state: State([0xa2; 32]),
        seed: BlockHash([window as u8; 32]),
        previous,
        standings: StandingsHash::default(),
        unassigned_before: 4.125,
        subnet: Subnet { owner: Some(Uid(0)), uids: 16, min_allowed: 8, max_limit: 65535 },
    }
}

fn expected(window: u64) -> Expected {
    Expected { run: RunHash([0xa1; 32]), validator: validator(), window: Window(window) }
}

fn line(uid: u8, outcome: Outcome) -> (NeuronId, MinerLine) {
    (miner(uid), MinerLine { uid: Uid(uid.into()), object: ObjectHash([uid; 32]), outcome })
}

fn evaluated(assigned_after: f64, unassigned_after: f64) -> Outcome {
    let assigned = Losses { before: 4.25, after: assigned_after };
    Outcome::Evaluated(Evaluation { assigned, unassigned_after })
}

/// Returns the lines of five miners in a window. The fourth is cut in every second window, the fifth
/// often fails.
fn miners(window: u64) -> BTreeMap<NeuronId, MinerLine> {
    let noise = |salt: u64| ((window * 7 + salt) % 5) as f64 / 100.0;
    let fourth = if window.is_multiple_of(2) { Outcome::Skipped } else { evaluated(4.0, 4.0625) };
    let fifth = if window.is_multiple_of(3) { evaluated(4.2, 4.1) } else { Outcome::Failed(Fault::Missing) };
    [
        line(1, evaluated(3.5 + noise(1), 3.75 + noise(2))),
        line(2, evaluated(3.625 + noise(3), 3.8125 + noise(4))),
        line(3, evaluated(3.75 + noise(5), 3.875 + noise(6))),
        line(4, fourth),
        line(5, fifth),
    ]
    .into()
}

/// Returns the logs of the first `windows` windows, with their results.
fn story(windows: u64) -> Vec<(ScoreLog, Results)> {
    let mut logs: Vec<(ScoreLog, Results)> = Vec::new();
    for window in 0..windows {
        let last = logs.last();
        let standings = last.map(|(_, results)| results.standings.clone()).unwrap_or_default();
        let previous = last.map(|(log, _)| log.head()).unwrap_or_default();
        logs.push(ScoreLog::close(&spec(), &standings, header(window, previous), miners(window)).unwrap());
    }
    logs
}

/// Returns the log of window 4, the first one whose snapshot is not empty.
fn log() -> ScoreLog {
    story(5).pop().unwrap().0
}

fn signed(log: &ScoreLog) -> Vec<u8> {
    log.sign(&key(1)).unwrap()
}

#[test]
fn what_was_signed_is_what_is_opened() {
    for (log, results) in story(9) {
        let window = log.header.window;
        let bytes = signed(&log);
        let opened = ScoreLog::open(&bytes, &expected(window.0)).unwrap();
        assert_eq!(opened, log);
        assert_eq!(opened.snapshot.is_some(), window.0 % 4 == 0);
        assert_eq!(opened.stated.difference(&results), None);
        assert_eq!(opened.cut().contains(&miner(4)), window.0 % 2 == 0);
    }
}

#[test]
fn bytes_are_those_of_version_1() {
    let golden = hex::decode(include_str!("../../tests/golden/score_log.hex").replace('\n', "")).unwrap();
    let log = log();
    let bytes = signed(&log);
    let unsigned = bytes.len() - SIGNATURE_BYTES;
    assert_eq!(hex::encode(&golden[..unsigned]), hex::encode(&bytes[..unsigned]));
    assert_eq!(ScoreLog::open(&golden, &expected(4)), Ok(log), "the golden file's signature verifies");
}

#[test]
fn only_the_validator_signs_its_log() {
    let error = log().sign(&key(2)).unwrap_err();
    assert_eq!(error, ScoreLogError::WrongHotkey { expected: key(1).hotkey(), found: key(2).hotkey() });
}

#[test]
fn the_longest_lines_and_logs_fit_their_bounds() {
    let miners = (0..4096u32).map(|index| {
        let mut hotkey = [0; 32];
        hotkey[..4].copy_from_slice(&index.to_be_bytes());
        let miner = NeuronId { hotkey: Hotkey(hotkey), registered: Height(0) };
        (
            miner,
            MinerLine { uid: Uid(index as u16), object: ObjectHash::default(), outcome: Outcome::Skipped },
        )
    });
    let log = ScoreLog { miners: miners.collect(), snapshot: None, ..log() };
    let bytes = signed(&log);
    assert!(bytes.len() < MOST_BYTES);
    assert_eq!(ScoreLog::open(&bytes, &expected(4)), Ok(log));
    let long = vec![0; MOST_BYTES + 1];
    assert_eq!(ScoreLog::open(&long, &expected(4)), Err(ScoreLogError::TooLarge { length: MOST_BYTES + 1 }));
}

#[test]
fn losses_keep_their_bits_even_if_they_are_no_numbers() {
    let mut log = log();
    for (index, bits) in
        [(1, 0x7ff8_0000_0000_0000u64), (2, 0xfff8_dead_beef_0001), (3, 0x8000_0000_0000_0000)]
    {
        log.miners.insert(miner(index), line(index, evaluated(f64::from_bits(bits), -0.0)).1);
    }
    let opened = ScoreLog::open(&signed(&log), &expected(4)).unwrap();
    assert_eq!(opened.head(), log.head());
    let Outcome::Evaluated(evaluation) = opened.miners[&miner(2)].outcome else { panic!("it was evaluated") };
    assert_eq!(evaluation.assigned.after.to_bits(), 0xfff8_dead_beef_0001);
}

pub(super) fn any_outcome() -> impl Strategy<Value = Outcome> {
    let losses = || prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE;
    prop_oneof![
        (losses(), losses(), losses()).prop_map(|(before, after, unassigned_after)| {
            Outcome::Evaluated(Evaluation { assigned: Losses { before, after }, unassigned_after })
        }),
        prop::sample::select(Fault::ALL.to_vec()).prop_map(Outcome::Failed),
        Just(Outcome::Skipped),
        Just(Outcome::Gone),
    ]
}

proptest! {
    #[test]
    fn any_log_comes_back(
        miners in prop::collection::btree_map(0u8..200, (any::<u16>(), any_outcome()), 0..20),
        weights in prop::collection::btree_map(any::<u16>().prop_map(Uid), any::<u16>(), 0..20),
        scores in prop::collection::btree_map(any::<u8>().prop_map(miner), any::<u64>().prop_map(Score), 0..20),
        (owner, uids, with_snapshot) in (prop::option::of(any::<u16>().prop_map(Uid)), any::<u16>(), any::<bool>()),
        seed in any::<[u8; 32]>(),
    ) {
        let mut log = log();
        let line = |(index, (uid, outcome))| {
            (miner(index), MinerLine { uid: Uid(uid), object: ObjectHash([index; 32]), outcome })
        };
        log.miners = miners.into_iter().map(line).collect();
        log.snapshot = log.snapshot.filter(|_| with_snapshot);
        (log.stated.weights, log.stated.scores) = (weights, scores);
        (log.header.seed, log.header.subnet.owner, log.header.subnet.uids) = (BlockHash(seed), owner, uids);
        prop_assert_eq!(ScoreLog::open(&signed(&log), &expected(4)), Ok(log));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), keep in 0usize..1200) {
        let mut input = signed(&log());
        input.truncate(keep.min(input.len()));
        input.extend(bytes);
        prop_assert!(ScoreLog::open(&input, &expected(4)).is_err());
    }
}
