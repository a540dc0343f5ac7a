use super::*;
use crate::{
    gauntlet::{Evaluation, Fault, Improvements},
    testing,
    uniqueness::{Baseline, Class, Nearest, Overlap},
};
use base::{
    Height, Millionths,
    signature::{SIGNATURE_BYTES, SignatureError, SigningKey},
    wire::WireError,
};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

mod changes;
mod replays;
mod twins;

fn validator() -> NeuronId {
    NeuronId { hotkey: key(1).hotkey(), registered: Height(77) }
}

fn miner(index: u8) -> Hotkey {
    Hotkey([index; 32])
}

pub(super) fn spec() -> ScoringSpec {
    ScoringSpec { snapshot_every: 4, ..testing::spec() }
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
        adopted: None,
        unassigned_before: 4.125,
        baselines: [1, 2, 3, 4].map(|n| Baseline { median: Millionths(n), spread: Millionths(10 * n) }),
        subnet: Subnet { owner: Some(Uid(0)), uids: 16, min_allowed: 8, max_limit: 65535 },
    }
}

fn expected(window: u64) -> Expected {
    Expected { run: RunHash([0xa1; 32]), validator: validator(), window: Window(window) }
}

fn line(uid: u8, outcome: Outcome) -> (Hotkey, MinerLine) {
    let (uid, object, hotkey) = (Uid(uid.into()), ObjectHash([uid; 32]), miner(uid));
    (hotkey, MinerLine { uid, registered: Height(7), object, outcome })
}

/// Returns an evaluation with this improvement in per mille, and this margin in standard errors.
fn evaluated(improvement: f64, margin: f64) -> Outcome {
    Outcome::Evaluated(testing::evaluation(improvement / 1e3, margin))
}

/// Returns the lines of five miners in a window. The fourth is cut in every second window, the fifth
/// often fails.
fn miners(window: u64) -> BTreeMap<Hotkey, MinerLine> {
    let noise = |salt: u64| ((window * 7 + salt) % 5) as f64 / 2.0;
    let fourth = if window.is_multiple_of(2) { Outcome::Skipped } else { evaluated(9.0, 1.5) };
    let fifth = if window.is_multiple_of(3) { evaluated(9.0, 2.0) } else { Outcome::Failed(Fault::Missing) };
    let mut twin = testing::evaluation(0.01, 2.0 + noise(6));
    let nearest = Nearest { class: Class::SameWindow, partner: miner(2), cosine: Millionths(750_000) };
    twin.overlap = Overlap { excess: Millionths(250_000), nearest: Some(nearest) };
    [
        line(1, evaluated(10.0 + noise(1), 2.0 + noise(2))),
        line(2, evaluated(10.0 + noise(3), 2.0 + noise(4))),
        line(3, Outcome::Evaluated(twin)),
        line(4, fourth),
        line(5, fifth),
    ]
    .into()
}

/// Returns the logs of the first `windows` windows, with their results.
pub(super) fn story(windows: u64) -> Vec<(ScoreLog, Results)> {
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
pub(super) fn log() -> ScoreLog {
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

/// Sets the improvements of a miner on the validator's own data.
fn set_own(log: &mut ScoreLog, index: u8, sum: f64, squares: f64) {
    let Some(MinerLine { outcome: Outcome::Evaluated(evaluation), .. }) = log.miners.get_mut(&miner(index))
    else {
        panic!("miner {index} was not evaluated")
    };
    (evaluation.own.sum, evaluation.own.squares) = (sum, squares);
}

#[test]
fn a8_equal_bits_on_own_data_are_counted() {
    // In window 4, miner 4 is skipped and miner 5 has failed.
    let (mut first, mut second) = (log(), log());
    let found = |first: &ScoreLog, second: &ScoreLog| {
        let OwnMeasurements { compared, equal } = own_measurements(first, second);
        assert_eq!(own_measurements(second, first), OwnMeasurements { compared, equal });
        (compared, equal)
    };
    for index in 1..=3 {
        set_own(&mut first, index, f64::from(index), 0.5);
        set_own(&mut second, index, f64::from(index), 0.5);
    }
    assert_eq!(found(&first, &second), (3, 3));
    set_own(&mut second, 1, 1.0 + f64::EPSILON, 0.5);
    set_own(&mut second, 2, 2.0, 0.25);
    assert_eq!(found(&first, &second), (3, 1));
    // Updates that change nothing or break the model, and miners that are in one log only.
    set_own(&mut second, 1, 0.0, 0.0);
    set_own(&mut second, 2, f64::NAN, f64::NAN);
    second.miners.remove(&miner(3));
    assert_eq!(found(&first, &second), (0, 0));
}

#[test]
fn bytes_are_those_of_version_3() {
    let log = log();
    let bytes = signed(&log);
    let unsigned = bytes.len() - SIGNATURE_BYTES;
    testing::compare_golden("score_log.hex", &bytes[..unsigned]);
    assert_eq!(ScoreLog::open(&bytes, &expected(4)), Ok(log));
}

#[test]
fn a_joining_validator_says_whose_standings_it_adopts() {
    let (last, results) = story(3).pop().unwrap();
    let adopted = Adopted { validator: validator().hotkey, window: Window(2), head: last.head() };
    assert_eq!(last.name(), adopted);
    let mut header = header(3, ScoreLogHead::default());
    header.adopted = Some(adopted);
    let (log, after) = ScoreLog::close(&spec(), &results.standings, header, miners(3)).unwrap();
    let opened = ScoreLog::open(&signed(&log), &expected(3)).unwrap();
    assert_eq!(opened.header.adopted, Some(adopted));
    assert_eq!(Replay::new(spec()).next(&opened), Ok(after));
    let unfounded = ScoreLog { header: Header { adopted: None, ..log.header.clone() }, ..log.clone() };
    let error = Replay::new(spec()).next(&unfounded).unwrap_err();
    assert_eq!(error, ReplayError::Unfounded(Window(3)));
    let later = Header { previous: last.head(), ..log.header.clone() };
    let later = signed(&ScoreLog { header: later, ..log });
    let error = ScoreLog::open(&later, &expected(3)).unwrap_err();
    let text = base::ErrorChain(&error).to_string();
    assert!(text.contains("only the first log of a validator adopts standings"), "{text}");
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
        let uid = Uid(index as u16);
        let (object, outcome) = (ObjectHash::default(), evaluated(1.0, 1.0));
        (Hotkey(hotkey), MinerLine { uid, registered: Height(7), object, outcome })
    });
    let log = ScoreLog { miners: miners.collect(), snapshot: None, ..log() };
    let bytes = signed(&log);
    assert!(bytes.len() < MOST_BYTES);
    assert_eq!(ScoreLog::open(&bytes, &expected(4)), Ok(log));
    let long = vec![0; MOST_BYTES + 1];
    assert_eq!(ScoreLog::open(&long, &expected(4)), Err(ScoreLogError::TooLarge { length: MOST_BYTES + 1 }));
}

#[test]
fn measurements_keep_their_bits_even_if_they_are_no_numbers() {
    let mut log = log();
    for (index, bits) in
        [(1, 0x7ff8_0000_0000_0000u64), (2, 0xfff8_dead_beef_0001), (3, 0x8000_0000_0000_0000)]
    {
        let mut evaluation = testing::evaluation(0.01, 1.0);
        (evaluation.assigned.sum, evaluation.own.squares) = (f64::from_bits(bits), -0.0);
        log.miners.insert(miner(index), line(index, Outcome::Evaluated(evaluation)).1);
    }
    let opened = ScoreLog::open(&signed(&log), &expected(4)).unwrap();
    assert_eq!(opened.head(), log.head());
    let Outcome::Evaluated(evaluation) = opened.miners[&miner(2)].outcome else { panic!("it was evaluated") };
    assert_eq!(evaluation.assigned.sum.to_bits(), 0xfff8_dead_beef_0001);
}

pub(super) fn any_evaluation() -> impl Strategy<Value = Evaluation> {
    let number = || prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE;
    let batch = |count: u32| {
        let usual = (-1.0..1.0f64, 0.0..1.0f64);
        prop_oneof![usual, (number(), number())].prop_map(move |(sum, squares)| Improvements {
            count,
            sum,
            squares,
        })
    };
    (batch(64), batch(32), batch(32), 0..=1_000_000i64, 0..=1_000_000i64).prop_map(
        |(assigned, common, own, share, excess)| Evaluation {
            assigned,
            common,
            own,
            share: Millionths(share),
            overlap: Overlap { excess: Millionths(excess), nearest: None },
        },
    )
}

pub(super) fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any_evaluation().prop_map(Outcome::Evaluated),
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
            let (uid, object) = (Uid(uid), ObjectHash([index; 32]));
            (miner(index), MinerLine { uid, registered: Height(7), object, outcome })
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
