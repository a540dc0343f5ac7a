use super::*;
use proptest::prelude::*;

fn row(weights: &[(u16, u16)]) -> Row {
    weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect()
}

#[test]
fn each_mechanism_has_a_number_of_its_own() {
    assert_eq!([0, 1, 2].map(|mechanism| storage_index(Netuid(3), Mechanism(mechanism))), [3, 4099, 8195]);
}

#[test]
fn scaling_keeps_zeros_and_proportions() {
    assert_eq!(scale_to_max(&row(&[(1, 0), (2, 1), (3, 2)])), Some(row(&[(1, 0), (2, 32768), (3, 65535)])));
    assert_eq!(scale_to_max(&row(&[(1, 0)])), None);
    assert_eq!(scale_to_max(&[]), None);
}

proptest! {
    #[test]
    fn scaled_weights_stay_as_they_are(weights in proptest::collection::vec((any::<u16>(), any::<u16>()), 1..50)) {
        let weights = row(&weights);
        if let Some(scaled) = scale_to_max(&weights) {
            prop_assert_eq!(scaled.iter().map(|(_, weight)| *weight).max(), Some(u16::MAX));
            prop_assert_eq!(scale_to_max(&scaled), Some(scaled.clone()));
            for ((_, before), (_, after)) in weights.iter().zip(&scaled) {
                prop_assert!(after >= before);
            }
        }
    }
}
