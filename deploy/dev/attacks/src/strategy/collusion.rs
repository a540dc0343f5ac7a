//! Attacks on robust aggregation from the literature, through top-k and error feedback.
//!
//! The colluders estimate the honest updates by their own: each trains honestly on its data.

use super::{Offer, Strategy, View, Work, each};
use anyhow::Result;
use training_bench::miner::Miner;

/// "A little is enough" (Baruch et al. 2019): each colluder sends `mean - deviations x standard deviation` of
/// the honest updates, by coordinate, so that it stays within their spread.
pub(crate) struct Alie {
    pub(crate) deviations: f32,
}

/// "Fall of empires" (Xie et al. 2019): each colluder sends `-factor x mean` of the honest updates.
pub(crate) struct Foe {
    pub(crate) factor: f32,
}

impl Strategy for Alie {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let updates = honest(view, miners)?;
        let shifted = |at: usize| {
            let (mean, deviation) = spread(updates.iter().map(|update| update[at]));
            mean - self.deviations * deviation * mean.signum()
        };
        let values: Vec<f32> = (0..view.lab.places.len()).map(shifted).collect();
        all_send(view, miners, &values)
    }
}

impl Strategy for Foe {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let updates = honest(view, miners)?;
        let opposite = |at: usize| -self.factor * spread(updates.iter().map(|update| update[at])).0;
        let values: Vec<f32> = (0..view.lab.places.len()).map(opposite).collect();
        all_send(view, miners, &values)
    }
}

/// Returns the pseudo-gradients of honest work by all colluders.
fn honest(view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Vec<f32>>> {
    miners.iter_mut().enumerate().map(|(number, miner)| Work::default().train(view, number, miner)).collect()
}

/// Lets all colluders send the same pseudo-gradient, each through its own error feedback.
fn all_send(view: &View<'_>, miners: &mut [Miner], values: &[f32]) -> Result<Vec<Option<Offer>>> {
    each(miners, |_, miner| {
        let sent = miner.select(values, &view.lab.layout)?;
        Ok(Some(Offer { sent, samples: view.samples() }))
    })
}

/// Returns mean and standard deviation.
fn spread(values: impl ExactSizeIterator<Item = f32> + Clone) -> (f32, f32) {
    let count = values.len() as f32;
    let mean = values.clone().sum::<f32>() / count;
    let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn the_spread_is_mean_and_standard_deviation() {
        assert_eq!(spread([1.0, 3.0].into_iter()), (2.0, 1.0));
    }
}
