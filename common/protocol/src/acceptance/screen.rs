//! Checks by how much an update lowers losses, before a validator votes for it.
//!
//! It applies to runs whose [`Screen`](super::Screen) is `loss`.

use base::{Millionths, NeuronId};
use std::collections::BTreeMap;

/// The least share of the mean fall of the loss that an update must reach.
///
/// A step in a random direction changes the loss a little, on all sequences alike, and every second
/// time for the better. No number of standard errors tells such a step from work, but its size
/// does. This was measured in two runs of the tiny model
/// (`deploy/up --keep --join-at 2 --adversary noise=1`, losses of the score logs). Random updates
/// lowered the loss by less than a hundredth of a miner's. The update of a miner that had just
/// joined lowered it by a quarter and more.
pub const LEAST_SHARE: f64 = 0.1;

/// The fall of the loss that an update causes on some sequences, in nats per token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fall {
    /// The mean over the sequences.
    pub mean: f64,
    /// Its standard error. It is 0 for fewer than two sequences, which say nothing about chance.
    pub error: f64,
}

impl Fall {
    /// Computes the fall from the losses of the same sequences before and after a step along the
    /// update.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a batch has less than 2^53 sequences")]
    pub fn between(before: &[f64], after: &[f64]) -> Self {
        let falls: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
        let count = falls.len() as f64;
        let mean = falls.iter().sum::<f64>() / count;
        if falls.len() < 2 {
            return Self { mean, error: 0.0 };
        }
        let squares: f64 = falls.iter().map(|fall| (fall - mean) * (fall - mean)).sum();
        Self { mean, error: (squares / (count - 1.0) / count).sqrt() }
    }
}

/// The reason why an update helps too little.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Weak {
    /// The fall may be chance.
    #[error(
        "it lowers the loss on unassigned data by {fall:.6} nats: more than 0 and at least {least:.6} are needed"
    )]
    Chance {
        /// The fall of the loss, in nats per token.
        fall: f64,
        /// The required fall: the standard error times the number of standard errors that the run
        /// asks for.
        least: f64,
    },
    /// Other updates help far more.
    #[error(
        "it lowers the loss on unassigned data by {fall:.6} nats: at least {least:.6} are needed, {LEAST_SHARE} of the candidates' mean"
    )]
    Little {
        /// The fall of the loss, in nats per token.
        fall: f64,
        /// The required fall: [`LEAST_SHARE`] of the mean of all that are not [`Self::Chance`].
        least: f64,
    },
}

/// Checks for each miner whether its update helps.
///
/// An update helps if it lowers the loss by `errors` standard errors, and by [`LEAST_SHARE`] of the
/// mean over all updates that pass the first test. The mean is used and not the median: otherwise
/// many miners that do nothing could lower the required fall to nothing. One miner alone can push
/// out others that do alike only by doing more than nine times as much as all of them together.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a window has less than 2^53 candidates")]
pub fn screen(falls: &BTreeMap<NeuronId, Fall>, errors: Millionths) -> BTreeMap<NeuronId, Result<(), Weak>> {
    let certain = |fall: &Fall| {
        let least = errors.get() * fall.error;
        // Not the other way round: NaN does not lower the loss.
        let lowers = fall.mean > 0.0 && fall.mean >= least && fall.mean.is_finite();
        if lowers { Ok(fall.mean) } else { Err(Weak::Chance { fall: fall.mean, least }) }
    };
    let certain: BTreeMap<_, _> = falls.iter().map(|(miner, fall)| (*miner, certain(fall))).collect();
    let means: Vec<f64> = certain.values().filter_map(|fall| fall.ok()).collect();
    let least = LEAST_SHARE * means.iter().sum::<f64>() / means.len() as f64;
    let much = |fall: f64| if fall >= least { Ok(()) } else { Err(Weak::Little { fall, least }) };
    certain.into_iter().map(|(miner, fall)| (miner, fall.and_then(much))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Height, Hotkey};
    use proptest::prelude::*;

    fn screened(falls: &[Fall], errors: f64) -> Vec<Result<(), Weak>> {
        let named = falls
            .iter()
            .zip(0..)
            .map(|(&fall, name)| (NeuronId { hotkey: Hotkey([name; 32]), registered: Height(1) }, fall));
        screen(&named.collect(), Millionths((errors * 1e6) as i64)).into_values().collect()
    }

    fn falls(means: &[f64]) -> Vec<Fall> {
        means.iter().map(|&mean| Fall { mean, error: 1e-6 }).collect()
    }

    #[test]
    fn a_fall_is_the_mean_and_its_standard_error() {
        let fall = Fall::between(&[5.0, 5.0, 5.0, 5.0], &[4.0, 3.0, 2.0, 1.0]);
        assert_eq!(fall.mean, 2.5);
        assert!((fall.error - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
        assert_eq!(Fall::between(&[7.0], &[8.0]), Fall { mean: -1.0, error: 0.0 });
        assert!(Fall::between(&[], &[]).mean.is_nan());
    }

    /// Uses the falls that validators measured of three miners, of one that had just joined, and of noise.
    #[test]
    fn noise_that_goes_downhill_helps_too_little() {
        let found = screened(&falls(&[0.0898, 0.0971, 0.0956, 0.0242, 0.0002]), 2.0);
        assert_eq!(found[..4], [Ok(()); 4]);
        let least = 0.1 * (0.0898 + 0.0971 + 0.0956 + 0.0242 + 0.0002) / 5.0;
        assert_eq!(found[4], Err(Weak::Little { fall: 0.0002, least }));
        // It also fails where it is in the majority. Alone, it is the best there is.
        let many: Vec<f64> = [0.09, 0.09].into_iter().chain([0.0002; 9]).collect();
        assert_eq!(screened(&falls(&many), 2.0).iter().filter(|found| found.is_ok()).count(), 2);
        assert_eq!(screened(&falls(&[0.0002, 0.0001]), 2.0), [Ok(()); 2]);
    }

    #[test]
    fn chance_and_nothing_do_not_help() {
        let chance = Fall { mean: 0.003, error: 0.002 };
        let found = screened(&[chance, Fall { mean: 0.003, error: 0.0015 }], 2.0);
        assert_eq!(found, [Err(Weak::Chance { fall: 0.003, least: 0.004 }), Ok(())]);
        assert_eq!(screened(&[chance], 0.0), [Ok(())]);
        assert_eq!(screened(&falls(&[0.0]), 0.0), [Err(Weak::Chance { fall: 0.0, least: 0.0 })]);
        for none in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let found = screened(&falls(&[none, 0.01]), 2.0);
            assert!(matches!(found[..], [Err(Weak::Chance { .. }), Ok(())]), "{none}: {found:?}");
        }
        assert_eq!(screened(&[], 2.0), []);
    }

    proptest! {
        #[test]
        fn one_alone_cannot_push_out_others(others in 1..30u32, each in 1e-4..1.0, share in 0.0..0.999) {
            let giant = 9.0 * share * f64::from(others) * each;
            let all: Vec<f64> = (0..others).map(|_| each).chain([giant]).collect();
            let good = screened(&falls(&all), 0.0);
            prop_assert!(good[..others as usize].iter().all(Result::is_ok), "{good:?}");
        }
    }
}
