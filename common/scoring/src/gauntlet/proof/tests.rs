use super::*;
use proptest::prelude::*;

/// The rules of `ScoringSpec::default()`.
const SPEC: ProofSpec = ProofSpec {
    fraction: Millionths(350_000),
    false_accept: Millionths(10_000),
    false_reject: Millionths(1_000),
    false_change: Millionths(1_000),
    first_margin: Millionths(1_000_000),
    floor: Millionths(500_000),
};
/// The field's margin in the tests.
const FIELD: Millionths = Millionths(2_000_000);

/// Returns normal random numbers with this mean and variance 1, the same for the same seed.
fn margins(seed: u64, mean: f64) -> impl Iterator<Item = f64> {
    let mut random = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    std::iter::from_fn(move || {
        let mut uniform = || {
            let mut bytes = [0u8; 8];
            random.fill(&mut bytes);
            (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
        };
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        Some(mean + radius * (std::f64::consts::TAU * uniform()).cos())
    })
}

/// Returns the states of a miner, window by window.
fn states(seed: u64, mean: f64, start: Proof) -> impl Iterator<Item = Proof> {
    margins(seed, mean).scan(start, |proof, margin| {
        *proof = SPEC.observe(*proof, SPEC.evidence(margin, FIELD));
        Some(*proof)
    })
}

/// Returns the share of miners for which `is` holds in any of `windows` windows before another verdict.
fn ever(mean: f64, windows: usize, is: impl Fn(Proof) -> bool) -> f64 {
    const MINERS: u64 = 4000;
    let first = |miner| {
        let decided = |proof: &Proof| !matches!(proof, Proof::Undecided(_));
        states(miner, mean, Proof::default()).take(windows).find(decided)
    };
    let found = (0..MINERS).filter(|&miner| first(miner).is_some_and(&is)).count();
    found as f64 / MINERS as f64
}

#[test]
fn evidence_is_the_likelihood_ratio() {
    // (x - 0.7)^2 / 2 - (x - 2)^2 / 2, for x = 2.5.
    let expected = (1.8f64.powi(2) - 0.5f64.powi(2)) / 2.0;
    assert_eq!(SPEC.evidence(2.5, FIELD), Millionths::rounded(expected).unwrap());
    assert_eq!(SPEC.evidence(1.35, FIELD), Millionths(0), "half way between the hypotheses");
    for extreme in [f64::MAX, f64::MIN] {
        assert_eq!(SPEC.evidence(extreme, FIELD).0.abs(), 1_000_000_000);
    }
    assert_eq!(SPEC.evidence(f64::NAN, FIELD), Millionths(0));
}

#[test]
fn thresholds_are_logarithms_of_the_error_rates() {
    let expected = Thresholds {
        pass: Millionths(4_605_170),
        fail: Millionths(6_907_755),
        change: Millionths(6_907_755),
    };
    assert_eq!(SPEC.thresholds(), expected);
}

// The bounds hold whenever one looks: over 1000 windows, not at one of them.
#[test]
fn errors_stay_within_their_rates_at_any_time() {
    let accepted = ever(0.7, 1000, Proof::has_passed);
    assert!(accepted <= 0.01, "{accepted} of the miners with a third of the margin pass");
    let none = ever(0.0, 1000, Proof::has_passed);
    assert!(none <= 0.001, "{none} of the miners without any training of their own pass");
    let rejected = ever(2.0, 1000, Proof::has_failed);
    assert!(rejected <= 0.001, "{rejected} of the honest miners fail");
    assert_eq!(ever(2.0, 60, Proof::has_passed), 1.0 - rejected, "all others pass within 60 windows");
}

#[test]
fn verdicts_take_few_windows() {
    let median = |mean| {
        let windows = |miner| {
            states(miner, mean, Proof::default()).position(|p| !matches!(p, Proof::Undecided(_))).unwrap() + 1
        };
        let mut all: Vec<_> = (0..1001).map(windows).collect();
        all.sort_unstable();
        all[500]
    };
    assert_eq!((median(2.0), median(0.0), median(1.0)), (6, 4, 13));
}

// Lorden's bound: a false change comes once in 1000 windows at most.
#[test]
fn a_miner_that_has_passed_stays_and_one_that_stops_training_is_found() {
    let windows = 4000;
    let passed = Proof::Passed(Millionths::ZERO);
    let run = |mean| {
        let mut failures = 0;
        for miner in 0..50 {
            let mut last = passed;
            for proof in states(miner, mean, passed).take(windows) {
                failures += usize::from(last.has_passed() && proof.has_failed());
                last = proof;
            }
        }
        failures as f64 / (50 * windows) as f64
    };
    let rate = run(2.0);
    assert!(rate <= 0.001, "{rate} false alarms per window");
    let found = |miner| states(miner, 0.0, passed).position(Proof::has_failed).unwrap() + 1;
    assert!((0..1000).map(found).max().unwrap() <= 15);
}

#[test]
fn a_failed_miner_recovers_by_training_and_not_by_luck() {
    let failed = Proof::Failed(Millionths::ZERO);
    let back = |miner| states(miner, 2.0, failed).position(Proof::has_passed).unwrap() + 1;
    assert!((0..1000).map(back).max().unwrap() <= 40);
    let windows = 1000;
    let lucky =
        (0..100).map(|miner| states(miner, 0.0, failed).take(windows).filter(|p| p.has_passed()).count());
    assert_eq!(lucky.sum::<usize>(), 0, "without training no miner recovers in 100,000 windows");
}

#[test]
fn no_single_window_changes_a_verdict_upwards_or_revokes_one() {
    let evidence = |margin| SPEC.evidence(margin, FIELD);
    let twice = |start, margin| {
        let once = SPEC.observe(start, evidence(margin));
        (once, SPEC.observe(once, evidence(margin)))
    };
    let (once, then) = twice(Proof::default(), 1e6);
    assert!(matches!(once, Proof::Undecided(_)) && then.has_passed());
    let (once, then) = twice(Proof::Passed(Millionths::ZERO), -1e6);
    assert!(once.has_passed() && then.has_passed());
    assert!(SPEC.observe(then, evidence(-1e6)).has_failed(), "half of the threshold is rounded down");
    let (once, then) = twice(Proof::Failed(Millionths::ZERO), 1e6);
    assert!(once.has_failed() && then.has_failed() && SPEC.observe(then, evidence(1e6)).has_passed());
}

#[test]
fn pay_is_half_only_while_the_odds_favour_the_miner() {
    let factor = |sum| Proof::Undecided(Millionths(sum)).verdict(true).factor();
    assert_eq!((factor(1), factor(0), factor(-1)), (Millionths(500_000), Millionths(0), Millionths(0)));
    assert_eq!(Proof::Passed(Millionths(5)).verdict(true).factor(), Millionths::ONE);
    assert_eq!(Proof::Failed(Millionths(5)).verdict(true).factor(), Millionths::ZERO);
    let verdict = Proof::Undecided(Millionths(1)).verdict(false);
    assert_eq!(verdict, Verdict::NotMeasurable { favoured: true });
    assert_eq!(Proof::Passed(Millionths(0)).verdict(false), Verdict::Passed, "a verdict stands");
}

#[test]
fn the_distance_to_the_next_verdict_is_known() {
    assert_eq!(Proof::Undecided(Millionths(-1_000_000)).missing(&SPEC), Millionths(5_605_170));
    assert_eq!(Proof::Failed(Millionths(6_000_000)).missing(&SPEC), Millionths(907_755));
}

#[test]
fn impossible_states_are_refused() {
    let read = |kind: u8, sum: i64| {
        let mut writer = Writer::new();
        writer.u8(kind).u64(sum as u64);
        Proof::read(&mut Reader::new(&writer.into_bytes()))
    };
    assert_eq!(read(0, -7), Ok(Proof::Undecided(Millionths(-7))));
    for (kind, sum) in [(3, 0), (1, -1), (2, -1), (0, 3_000_000_000), (0, i64::MIN)] {
        assert!(matches!(read(kind, sum), Err(WireError::Value { .. })), "{kind} {sum}");
    }
}

proptest! {
    #[test]
    fn any_margins_leave_a_state_that_survives_its_bytes(
        margins in prop::collection::vec(prop_oneof![-9.0..9.0f64, any::<f64>()], 0..100),
        field in 1..100_000_000i64,
    ) {
        let mut proof = Proof::default();
        for margin in margins {
            proof = SPEC.observe(proof, SPEC.evidence(margin, Millionths(field)));
            let mut writer = Writer::new();
            proof.write(&mut writer);
            let bytes = writer.into_bytes();
            prop_assert_eq!(bytes.len(), Proof::BYTES);
            prop_assert_eq!(Proof::read(&mut Reader::new(&bytes)), Ok(proof));
        }
    }
}
