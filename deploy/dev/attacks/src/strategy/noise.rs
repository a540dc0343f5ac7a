//! Noise that goes downhill: a random direction, or its opposite, whichever lowers the loss.

use super::{Offer, Strategy, View, each};
use crate::values::{as_honest, changed, compress};
use anyhow::Result;
use codec::sparse::SparseTensor;
use engine::SparseStep;
use training_bench::miner::Miner;

/// Hotkeys that send random directions along which the loss falls. It takes one forward pass.
pub(crate) struct Downhill;

impl Strategy for Downhill {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let lab = view.lab;
        each(miners, |number, miner| {
            let noise = view.random("downhill", number).noise(lab.places.len());
            let noise: Vec<f32> = noise.iter().map(|noise| noise * 1e-2).collect();
            let sent = as_honest(lab, compress(lab, &noise)?, view.norms)?;
            let batch = lab.dataset.batch(&view.assigned(&miner.neuron)?)?;
            let edge = lab.layout.spec().edge();
            let step = SparseStep::along(&lab.places, edge, sent.iter().map(|sent| (sent, 1.0)), 1.0)?;
            let before = miner.model.loss(&batch)?;
            let after = miner.model.trial(&step, |model| model.loss(&batch))?;
            let sign = if after < before { 1.0 } else { -1.0 };
            let sent = changed(lab, &sent, |_, value| sign * value)?;
            Ok(Some(Offer { sent, samples: view.samples() }))
        })
    }

    fn settle(&mut self, _: &View<'_>, _: &mut [Miner], _: &[Option<Vec<SparseTensor>>]) {}
}
