use super::*;

#[test]
fn medians_are_the_lower_ones() {
    assert_eq!(lower_median([5.0, 10.0, 1.0].into_iter()), 5.0);
    assert_eq!(lower_median([4.0, 3.0, 2.0, 1.0].into_iter()), 2.0);
    assert_eq!(lower_median([].into_iter()), 0.0);
}

#[test]
fn the_reference_grows_slowly_and_does_not_stick() {
    assert_eq!(reference(5.0, None, 1.1), 5.0);
    assert_eq!(reference(5.0, Some(0.0), 1.1), 5.0);
    assert_eq!(reference(5.0, Some(100.0), 1.1), 5.0);
    assert_eq!(reference(5.0, Some(4.0), 1.25), 5.0);
    assert_eq!(reference(5.0, Some(2.0), 1.5), 3.0);
}

#[test]
fn only_longer_updates_are_clipped() {
    assert_eq!(factor(10.0, 5.0), 0.5);
    assert_eq!(factor(1.0, 5.0), 1.0);
    assert_eq!((factor(0.0, 5.0), factor(3.0, 0.0), factor(0.0, 0.0)), (1.0, 1.0, 1.0));
    assert_eq!(factor(3.0, 1.0), (1.0f64 / 3.0) as f32);
}

#[test]
fn medians_come_back_and_others_are_refused() {
    let medians = Medians(vec![0.0, 1.5, 1e-300]);
    let mut writer = Writer::new();
    medians.write(&mut writer);
    let bytes = writer.into_bytes();
    assert_eq!(Medians::read(&mut Reader::new(&bytes), 3), Ok(medians));
    assert!(Medians::read(&mut Reader::new(&bytes), 2).is_err());
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        let mut writer = Writer::new();
        Medians(vec![wrong]).write(&mut writer);
        let refused = Medians::read(&mut Reader::new(&writer.into_bytes()), 1).unwrap_err();
        assert!(refused.to_string().contains("a norm is finite and not negative"), "{refused}");
    }
}
