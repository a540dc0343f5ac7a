//! Measurements for tests, and the comparison with golden files.

use crate::{
    gauntlet::{Evaluation, Improvements, ScoringSpec, proof::ProofSpec},
    uniqueness::Overlap,
};
use base::Millionths;
use std::{fmt::Write as _, fs, path::Path};

/// Returns the rules of the tests: batches of 64 sequences, 32 common and 32 of the validator's own, and the
/// error rates of the golden files.
pub(crate) fn spec() -> ScoringSpec {
    let rules = ScoringSpec::default();
    let proof = ProofSpec { fraction: Millionths(350_000), false_change: Millionths(1_000), ..rules.proof };
    ScoringSpec { assigned_sequences: 64, common_sequences: 32, own_sequences: 32, proof, ..rules }
}

/// Returns the improvements of `count` sequences with this mean and this standard error of the mean.
fn improvements(count: u32, mean: f64, error: f64) -> Improvements {
    let number = f64::from(count);
    let squares = number * (mean * mean + error * error * (number - 1.0));
    Improvements { count, sum: number * mean, squares }
}

/// Returns the measurements of an update with this improvement on unassigned data, and this margin in
/// standard errors.
pub(crate) fn evaluation(improvement: f64, margin: f64) -> Evaluation {
    // Two batches of the same spread: the error of the difference is 0.001.
    let error = 0.001 / 2f64.sqrt();
    let half = improvements(64, improvement, error);
    let half = Improvements { count: 32, sum: half.sum / 2.0, squares: half.squares / 2.0 };
    Evaluation {
        assigned: improvements(64, improvement + 0.001 * margin, error),
        common: half,
        own: half,
        share: Millionths::ONE,
        overlap: Overlap::default(),
    }
}

/// Compares bytes with a golden file in hexadecimal lines. With `MUSTER_BLESS=1` it writes the file.
pub(crate) fn compare_golden(name: &str, found: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let mut text = String::new();
    for line in found.chunks(48) {
        writeln!(text, "{}", hex::encode(line)).unwrap();
    }
    if std::env::var_os("MUSTER_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let is_same = fs::read_to_string(&path).unwrap() == text;
    assert!(is_same, "{name} differs: set MUSTER_BLESS=1 after a change of the version");
}
