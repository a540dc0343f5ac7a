use super::*;
use proptest::prelude::*;

fn spec() -> ScoringSpec {
    ScoringSpec::default()
}

/// Returns the judgements of miners, and whether each had passed.
fn judged(miners: &[(f64, f64)]) -> BTreeMap<Hotkey, Judgement> {
    let judgement = |(index, &(improvement, margin)): (usize, &(f64, f64))| {
        (Hotkey([index as u8; 32]), Judgement { improvement, margin })
    };
    miners.iter().enumerate().map(judgement).collect()
}

/// Returns the measure of a window in which the first `passed` miners had passed.
fn measure(field: &Field, miners: &[(f64, f64)], passed: u8) -> (Reference, Field) {
    field.reference(&spec(), &judged(miners), |miner| miner.0[0] < passed)
}

fn window(improvement: f64, margin: f64) -> FieldWindow {
    FieldWindow::of(&[Judgement { improvement, margin }]).unwrap()
}

#[test]
fn before_any_miner_has_passed_the_run_spec_gives_the_measure() {
    let (reference, field) = measure(&Field::default(), &[(0.01, 3.0), (0.02, 3.0), (0.03, 3.0)], 0);
    assert_eq!(reference, Reference { improvement: 0.02, margin: Millionths(1_000_000), measurable: true });
    assert_eq!(field, Field::default(), "miners that have not passed are no field");
    // A3: idle claimants cannot lower it below the floor.
    let idle = [(0.01, 3.0), (1e-9, 0.0), (1e-9, 0.0), (1e-9, 0.0)];
    assert_eq!(measure(&Field::default(), &idle, 0).0.improvement, 1e-4);
}

#[test]
fn a_crowd_of_idle_miners_does_not_change_the_field() {
    let mut miners = vec![(0.01, 2.0); 3];
    let alone = measure(&Field::default(), &miners, 3);
    miners.extend([(1e-6, 0.0); 64]);
    assert_eq!(measure(&Field::default(), &miners, 3), alone);
    assert_eq!(alone.0.improvement, 0.01);
}

#[test]
fn the_margin_is_that_of_past_windows_and_starts_at_the_run_specs() {
    let mut field = Field::default();
    for (window, expected) in [1.0, 1.4, 1.8, 2.2, 2.6, 3.0, 3.0].into_iter().enumerate() {
        let (reference, next) = measure(&field, &[(0.01, 3.0)], 1);
        assert_eq!(reference.margin, Millionths::rounded(expected).unwrap(), "{window}");
        field = next;
    }
    for _ in 0..30 {
        field = measure(&field, &[(0.01, 1.0)], 1).1;
    }
    assert_eq!((field.windows().len(), field.margin(&spec().proof)), (20, Millionths(1_000_000)));
}

#[test]
fn a_weak_window_of_the_field_does_not_multiply_others() {
    let field = Field::new(vec![window(0.01, 2.0); 3]);
    assert_eq!(measure(&field, &[(0.001, 2.0)], 1).0.improvement, 0.005);
    assert_eq!(measure(&field, &[(0.02, 2.0)], 1).0.improvement, 0.02);
    assert_eq!(measure(&field, &[(0.02, 2.0)], 0).0.improvement, 0.01, "none of the field took part");
}

#[test]
fn below_the_floor_windows_are_no_evidence() {
    let field = Field::new(vec![window(0.01, 2.0); 20]);
    assert!(!measure(&field, &[(0.01, 0.4)], 1).0.measurable, "the field's margin of this window");
    let weak = Field::new(vec![window(0.01, 0.4); 20]);
    assert!(!weak.is_measurable(&spec().proof));
    assert!(!measure(&weak, &[(0.01, 3.0)], 1).0.measurable, "the field's margin of the last windows");
}

#[test]
fn bytes_out_of_bounds_are_refused() {
    let read = |bytes: &[u8]| Field::read(&mut Reader::new(bytes));
    assert_eq!(read(&[0]), Ok(Field::default()));
    assert!(read(&[21]).is_err());
    for (improvement, margin) in [(0u64, 0i64), (1_000_000_000_001, 0), (1, 1_000_000_001), (1, i64::MIN)] {
        let mut writer = Writer::new();
        writer.u8(1).u64(improvement).u64(margin as u64);
        assert!(read(&writer.into_bytes()).is_err(), "{improvement} {margin}");
    }
}

proptest! {
    #[test]
    fn any_judgements_leave_a_field_that_survives_its_bytes(
        miners in prop::collection::vec((1e-300..1e300f64, prop_oneof![-9.0..9.0f64, -1e300..1e300f64]), 1..9),
        passed in 0u8..9,
    ) {
        let (reference, field) = measure(&Field::default(), &miners, passed);
        prop_assert!(reference.improvement > 0.0);
        let mut writer = Writer::new();
        field.write(&mut writer);
        prop_assert_eq!(Field::read(&mut Reader::new(&writer.into_bytes())), Ok(field));
    }
}
