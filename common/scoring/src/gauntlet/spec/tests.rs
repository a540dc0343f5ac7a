use super::*;
use proptest::prelude::*;

fn bytes(spec: &ScoringSpec) -> Vec<u8> {
    let mut writer = Writer::new();
    spec.write(&mut writer);
    writer.into_bytes()
}

#[test]
fn toml_names_each_field_and_takes_no_other() {
    let text = toml::to_string(&ScoringSpec::default()).unwrap();
    let proof = "[proof]\nfraction = 0.25\nfalse_accept = 0.01\nfalse_reject = 0.001\nfalse_change = 0.0001\n\
                 first_margin = 1.0\nfloor = 0.5\n";
    assert!(text.contains(proof), "{text}");
    assert_eq!(toml::from_str::<ScoringSpec>(&text).unwrap(), ScoringSpec::default());
    for (from, to) in [("own_sequences =", "sequences ="), ("floor", "least"), ("burn", "burnt")] {
        assert!(toml::from_str::<ScoringSpec>(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
    for removed in ["z = 1.0", "unassigned_sequences = 64"] {
        assert!(toml::from_str::<ScoringSpec>(&format!("{removed}\n{text}")).is_err());
    }
}

#[test]
fn each_value_out_of_range_is_named() {
    let refusal = |change: fn(&mut ScoringSpec)| {
        let mut spec = ScoringSpec::default();
        change(&mut spec);
        spec.validate().unwrap_err().to_string()
    };
    assert_eq!(ScoringSpec::default().validate(), Ok(()));
    assert_eq!(ScoringSpec::default().weights.burn, Millionths::ZERO);
    assert_eq!(
        refusal(|s| s.weights.burn.0 = 1_200_000),
        "scoring.weights.burn is 1.2: it must be from 0 to 1"
    );
    assert_eq!(
        refusal(|s| s.common_sequences = 1),
        "scoring.common_sequences is 1: it must be from 2 to 4096"
    );
    assert!(refusal(|s| s.own_sequences = 5000).starts_with("scoring.own_sequences is 5000"));
    assert!(refusal(|s| s.snapshot_every = 0).starts_with("scoring.snapshot_every"));
    assert!(refusal(|s| s.forget_after = 0).starts_with("scoring.forget_after"));
    assert!(refusal(|s| s.first_improvement.0 = 0).starts_with("scoring.first_improvement"));
    assert!(
        refusal(|s| s.proof.fraction.0 = 1_000_000)
            .contains("proof.fraction is 1: it must be above 0 and below 1")
    );
    assert!(refusal(|s| s.proof.false_accept.0 = 600_000).starts_with("scoring.proof.false_accept is 0.6"));
    assert!(refusal(|s| s.proof.first_margin.0 = 400_000).contains("it must be from proof.floor to 100"));
}

#[test]
fn a_batch_of_another_size_is_named() {
    use crate::{gauntlet::Improvements, uniqueness::Overlap};
    let spec = ScoringSpec::default();
    let of = |count: u16| Improvements { count: count.into(), ..Improvements::default() };
    let mut evaluation = Evaluation {
        assigned: of(spec.assigned_sequences),
        common: of(spec.common_sequences),
        own: of(spec.own_sequences),
        share: Millionths::ONE,
        overlap: Overlap::default(),
    };
    let miner = Hotkey([1; 32]);
    assert_eq!(spec.check_sequences(miner, &evaluation), Ok(()));
    evaluation.own.count = 3;
    let error = spec.check_sequences(miner, &evaluation).unwrap_err().to_string();
    assert!(error.ends_with("was measured on 3 own unassigned sequences, the run spec says 64"), "{error}");
}

proptest! {
    #[test]
    fn canonical_bytes_come_back(a: u16, b: u16, c: u16, factor: i64, fraction: i64, forget: u32, burn: i64) {
        let mut spec = ScoringSpec::default();
        (spec.assigned_sequences, spec.common_sequences, spec.own_sequences) = (a, b, c);
        (spec.penalty.factor.0, spec.proof.fraction.0, spec.forget_after) = (factor, fraction, forget);
        spec.weights = WeightSpec { burn: Millionths(burn) };
        let written = bytes(&spec);
        prop_assert_eq!(ScoringSpec::read(&mut Reader::new(&written)), Ok(spec));
        for cut in 0..written.len() {
            prop_assert!(ScoringSpec::read(&mut Reader::new(&written[..cut])).is_err());
        }
    }
}
