use super::*;
use proptest::prelude::*;

fn number(number: f64) -> Millionths {
    Millionths::rounded(number).unwrap()
}

#[test]
fn a_new_miner_reaches_the_full_mean_after_twenty_windows() {
    let mut contribution = Contribution::default();
    for window in 1..=25 {
        contribution = contribution.after(Millionths::ONE);
        assert_eq!(contribution.mean(), Millionths(50_000 * window.min(20)));
    }
    for absent in 1..=20 {
        contribution = contribution.after(Millionths::ZERO);
        assert_eq!(contribution.mean(), Millionths(1_000_000 - 50_000 * absent));
    }
}

#[test]
fn improvements_are_cut_at_twice_the_fields() {
    let of = |improvement, share, unique| relative(improvement, 0.01, number(share), number(unique));
    assert_eq!(of(0.01, 1.0, 1.0), Millionths::ONE);
    assert_eq!(of(0.05, 1.0, 1.0), number(2.0));
    assert_eq!(of(-0.05, 1.0, 1.0), Millionths::ZERO);
    assert_eq!(relative(f64::NAN, 0.01, Millionths::ONE, Millionths::ONE), Millionths::ZERO);
    assert_eq!(relative(0.01, 0.0, Millionths::ONE, Millionths::ONE), number(2.0));
}

#[test]
fn pay_goes_with_the_share_of_samples_and_with_uniqueness() {
    let half = relative(0.01, 0.01, number(0.5), Millionths::ONE);
    let quarter = relative(0.01, 0.01, number(0.5), number(0.5));
    assert_eq!((half, quarter), (Millionths(707_107), number(0.5)), "their squares are 1/2 and 1/4");
}

proptest! {
    #[test]
    fn any_contribution_survives_its_bytes_and_stays_in_range(windows in prop::collection::vec(any::<i64>(), 0..50)) {
        let contribution =
            windows.iter().fold(Contribution::default(), |all, &relative| all.after(Millionths(relative)));
        prop_assert!((0..=2_000_000).contains(&contribution.mean().0));
        let mut writer = Writer::new();
        contribution.write(&mut writer);
        let mut bytes = writer.into_bytes();
        prop_assert_eq!(bytes.len(), Contribution::BYTES);
        prop_assert_eq!(Contribution::read(&mut Reader::new(&bytes)), Ok(contribution));
        bytes[76..].copy_from_slice(&2_000_001u32.to_le_bytes());
        prop_assert!(Contribution::read(&mut Reader::new(&bytes)).is_err());
    }
}
