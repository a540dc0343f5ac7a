//! Honest training whose sent values are changed: a larger norm, flipped signs.

use super::{Offer, Strategy, View, Work, each, settle_honest};
use crate::values::changed;
use anyhow::Result;
use codec::sparse::SparseTensor;
use training_bench::miner::Miner;

/// Hotkeys that train honestly and change what they send. Their error feedback stays honest.
pub(crate) struct Tampered {
    factor: f32,
    flipped: f64,
    /// The values that each hotkey would have sent.
    honest: Vec<Vec<SparseTensor>>,
}

impl Tampered {
    /// Creates the strategy: all values times a factor, and this share of the signs flipped.
    pub(crate) fn new(factor: f32, flipped: f64) -> Self {
        Self { factor, flipped, honest: Vec::new() }
    }
}

impl Strategy for Tampered {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        self.honest.clear();
        each(miners, |number, miner| {
            let delta = Work::default().train(view, number, miner)?;
            let honest = miner.select(&delta, &view.lab.layout)?;
            let mut random = view.random("flip", number);
            let sent = changed(view.lab, &honest, |_, value| {
                let sign = if random.happens(self.flipped) { -1.0 } else { 1.0 };
                value * self.factor * sign
            })?;
            self.honest.push(honest);
            Ok(Some(Offer { sent, samples: view.samples() }))
        })
    }

    fn settle(&mut self, view: &View<'_>, miners: &mut [Miner], accepted: &[Option<Vec<SparseTensor>>]) {
        settle_honest(view, miners, &self.honest, accepted);
    }
}
