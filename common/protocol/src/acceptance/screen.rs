//! Checks by how much an update lowers losses, before a validator votes for it.
//!
//! It applies to runs whose [`Screen`](super::Screen) is `loss`.

use base::{Millionths, NeuronId};
use std::collections::BTreeMap;

/// The least share of the mean drop of the loss that an update must reach.
///
/// A step in a random direction changes the loss a little, on all sequences alike, and every second
/// time for the better. No number of standard errors tells such a step from work, but its size
/// does. This was measured in two runs of the tiny model
/// (`deploy/up --keep --join-at 2 --adversary noise=1`, losses of the score logs). Random updates
/// lowered the loss by less than a hundredth of a miner's. The update of a miner that had just
/// joined lowered it by a quarter and more.
pub const LEAST_SHARE: f64 = 0.1;

/// The drop of the loss that an update causes on some sequences, in nats per token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossDrop {
    /// The mean over the sequences.
    pub mean: f64,
    /// Its standard error. It is 0 for fewer than two sequences, which say nothing about chance.
    pub error: f64,
}

impl LossDrop {
    /// Computes the drop from the losses of the same sequences before and after a step along the
    /// update.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a batch has less than 2^53 sequences")]
    pub fn between(before: &[f64], after: &[f64]) -> Self {
        let loss_drops: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
        let count = loss_drops.len() as f64;
        let mean = loss_drops.iter().sum::<f64>() / count;
        if loss_drops.len() < 2 {
            return Self { mean, error: 0.0 };
        }
        let squares: f64 = loss_drops.iter().map(|loss_drop| (loss_drop - mean) * (loss_drop - mean)).sum();
        Self { mean, error: (squares / (count - 1.0) / count).sqrt() }
    }
}

/// The reason why an update helps too little.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TooWeak {
    /// The drop may be chance.
    #[error(
        "it lowers the loss on unassigned data by {loss_drop:.6} nats: more than 0 and at least {least:.6} are needed"
    )]
    Chance {
        /// The drop of the loss, in nats per token.
        loss_drop: f64,
        /// The required drop: the standard error times the number of standard errors that the run
        /// asks for.
        least: f64,
    },
    /// Other updates help far more.
    #[error(
        "it lowers the loss on unassigned data by {loss_drop:.6} nats: at least {least:.6} are needed, {LEAST_SHARE} of the candidates' mean"
    )]
    Little {
        /// The drop of the loss, in nats per token.
        loss_drop: f64,
        /// The required drop: [`LEAST_SHARE`] of the mean of all that are not [`Self::Chance`].
        least: f64,
    },
}

/// Checks for each miner whether its update helps.
///
/// An update helps if it lowers the loss by `errors` standard errors, and by [`LEAST_SHARE`] of the
/// mean over all updates that pass the first test. The mean is used and not the median: otherwise
/// many miners that do nothing could lower the required drop to nothing. One miner alone can push
/// out others that do alike only by doing more than nine times as much as all of them together.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a window has less than 2^53 candidates")]
pub fn screen(
    loss_drops: &BTreeMap<NeuronId, LossDrop>,
    errors: Millionths,
) -> BTreeMap<NeuronId, Result<(), TooWeak>> {
    let certain = |loss_drop: &LossDrop| {
        let least = errors.get() * loss_drop.error;
        // Not the other way round: NaN does not lower the loss.
        let lowers = loss_drop.mean > 0.0 && loss_drop.mean >= least && loss_drop.mean.is_finite();
        if lowers { Ok(loss_drop.mean) } else { Err(TooWeak::Chance { loss_drop: loss_drop.mean, least }) }
    };
    let certain: BTreeMap<_, _> =
        loss_drops.iter().map(|(miner, loss_drop)| (*miner, certain(loss_drop))).collect();
    let means: Vec<f64> = certain.values().filter_map(|loss_drop| loss_drop.ok()).collect();
    let least = LEAST_SHARE * means.iter().sum::<f64>() / means.len() as f64;
    let much =
        |loss_drop: f64| if loss_drop >= least { Ok(()) } else { Err(TooWeak::Little { loss_drop, least }) };
    certain.into_iter().map(|(miner, loss_drop)| (miner, loss_drop.and_then(much))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Height, Hotkey};
    use proptest::prelude::*;

    fn screened(loss_drops: &[LossDrop], errors: f64) -> Vec<Result<(), TooWeak>> {
        let named = loss_drops.iter().zip(0..).map(|(&loss_drop, name)| {
            (NeuronId { hotkey: Hotkey([name; 32]), registered: Height(1) }, loss_drop)
        });
        screen(&named.collect(), Millionths((errors * 1e6) as i64)).into_values().collect()
    }

    fn loss_drops(means: &[f64]) -> Vec<LossDrop> {
        means.iter().map(|&mean| LossDrop { mean, error: 1e-6 }).collect()
    }

    #[test]
    fn a_fall_is_the_mean_and_its_standard_error() {
        let loss_drop = LossDrop::between(&[5.0, 5.0, 5.0, 5.0], &[4.0, 3.0, 2.0, 1.0]);
        assert_eq!(loss_drop.mean, 2.5);
        assert!((loss_drop.error - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
        assert_eq!(LossDrop::between(&[7.0], &[8.0]), LossDrop { mean: -1.0, error: 0.0 });
        assert!(LossDrop::between(&[], &[]).mean.is_nan());
    }

    /// Uses the drops that validators measured of three miners, of one that had just joined, and of noise.
    #[test]
    fn noise_that_goes_downhill_helps_too_little() {
        let found = screened(&loss_drops(&[0.0898, 0.0971, 0.0956, 0.0242, 0.0002]), 2.0);
        assert_eq!(found[..4], [Ok(()); 4]);
        let least = 0.1 * (0.0898 + 0.0971 + 0.0956 + 0.0242 + 0.0002) / 5.0;
        assert_eq!(found[4], Err(TooWeak::Little { loss_drop: 0.0002, least }));
        // It also fails where it is in the majority. Alone, it is the best there is.
        let many: Vec<f64> = [0.09, 0.09].into_iter().chain([0.0002; 9]).collect();
        assert_eq!(screened(&loss_drops(&many), 2.0).iter().filter(|found| found.is_ok()).count(), 2);
        assert_eq!(screened(&loss_drops(&[0.0002, 0.0001]), 2.0), [Ok(()); 2]);
    }

    #[test]
    fn chance_and_nothing_do_not_help() {
        let chance = LossDrop { mean: 0.003, error: 0.002 };
        let found = screened(&[chance, LossDrop { mean: 0.003, error: 0.0015 }], 2.0);
        assert_eq!(found, [Err(TooWeak::Chance { loss_drop: 0.003, least: 0.004 }), Ok(())]);
        assert_eq!(screened(&[chance], 0.0), [Ok(())]);
        assert_eq!(screened(&loss_drops(&[0.0]), 0.0), [Err(TooWeak::Chance { loss_drop: 0.0, least: 0.0 })]);
        for none in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let found = screened(&loss_drops(&[none, 0.01]), 2.0);
            assert!(matches!(found[..], [Err(TooWeak::Chance { .. }), Ok(())]), "{none}: {found:?}");
        }
        assert_eq!(screened(&[], 2.0), []);
    }

    proptest! {
        #[test]
        fn one_alone_cannot_push_out_others(others in 1..30u32, each in 1e-4..1.0, share in 0.0..0.999) {
            let giant = 9.0 * share * f64::from(others) * each;
            let all: Vec<f64> = (0..others).map(|_| each).chain([giant]).collect();
            let good = screened(&loss_drops(&all), 0.0);
            prop_assert!(good[..others as usize].iter().all(Result::is_ok), "{good:?}");
        }
    }
}
