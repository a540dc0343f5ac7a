//! Colluders that move coordinates of their choice while the rest of their update helps.

use super::{Offer, Strategy, View, Work, each, settle_honest};
use crate::values::rebuilt;
use anyhow::Result;
use codec::{chunks::Geometry, sparse::SparseTensor};
use training_bench::miner::{Miner, geometries};

/// Index poisoning (2505.01454): the colluders agree on coordinates of each chunk that honest miners hardly
/// send, and are the majority there. They send these against the direction of training, and values of honest
/// training beside them, so that the whole update still lowers the loss.
pub(crate) struct Poison {
    share: f64,
    /// The values that each hotkey would have sent.
    honest: Vec<Vec<SparseTensor>>,
}

impl Strategy for Poison {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        // All colluders move against the training of the first.
        let mut agreed = None;
        self.honest.clear();
        let share = self.share;
        each(miners, |number, miner| {
            let delta = Work::default().train(view, number, miner)?;
            let honest = miner.select(&delta, &view.lab.layout)?;
            let direction: &[f32] = agreed.get_or_insert(delta);
            let tensors = geometries(&view.lab.layout).into_iter().zip(view.lab.places.iter()).zip(&honest);
            let sent = (0..).zip(tensors).map(|(number, ((geometry, (_, place)), honest))| {
                Self::poisoned(share, view, (number, &geometry), honest, &direction[place])
            });
            let sent = sent.collect::<Result<_>>()?;
            self.honest.push(honest);
            Ok(Some(Offer { sent, samples: view.samples() }))
        })
    }

    fn settle(&mut self, view: &View<'_>, miners: &mut [Miner], accepted: &[Option<Vec<SparseTensor>>]) {
        settle_honest(view, miners, &self.honest, accepted);
    }
}

impl Poison {
    /// Creates the strategy: this share of the sent values is poison.
    pub(crate) fn new(share: f64) -> Self {
        Self { share, honest: Vec::new() }
    }

    /// Replaces a share of the values of each chunk.
    fn poisoned(
        share: f64,
        view: &View<'_>,
        (number, geometry): (u64, &Geometry),
        honest: &SparseTensor,
        direction: &[f32],
    ) -> Result<SparseTensor> {
        let (mut positions, mut values) = (Vec::new(), Vec::new());
        for chunk in 0..honest.chunks() {
            let mut kept = Vec::new();
            honest.visit_chunk(chunk, 1.0, |position, value| kept.push((position, value)));
            let sent = kept.len();
            let helpful = sent - (sent as f64 * share) as usize;
            let size = kept.iter().map(|(_, value)| value.abs()).fold(0.0, f32::max);
            kept.truncate(helpful);
            let origin = geometry.origin(chunk);
            // The same coordinates for all colluders and in all windows, so that the displacement adds up.
            let mut random = view.lab.random(view.seed, "poison", number, chunk);
            while kept.len() < sent {
                let position = u16::try_from(random.number() % geometry.size() as u64)?;
                if kept.iter().all(|(taken, _)| *taken != position) {
                    let towards = direction[geometry.coordinate(origin, position.into())];
                    kept.push((position, -size * towards.signum()));
                }
            }
            kept.sort_unstable_by_key(|(position, _)| *position);
            positions.extend(kept.iter().map(|(position, _)| *position));
            values.extend(kept.iter().map(|(_, value)| *value));
        }
        rebuilt(view.lab, geometry, positions, &values)
    }
}

/// Drift through the error feedback: an honest update plus the same small displacement in each window. A
/// value that is too small to be sent piles up in the error feedback until it is.
pub(crate) struct Drift {
    /// The size of the displacement, as a share of the mean size of the honest values.
    pub(crate) share: f32,
}

impl Strategy for Drift {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        // The same in all windows, and for all colluders.
        let towards = view.lab.random(view.seed, "drift", 0, 0).noise(view.lab.places.len());
        each(miners, |number, miner| {
            let mut delta = Work::default().train(view, number, miner)?;
            for (_, place) in view.lab.places.iter() {
                let size = mean_size(&delta[place.clone()]) * self.share;
                let values = delta[place.clone()].iter_mut().zip(&towards[place]);
                values.for_each(|(value, towards)| *value += size * towards.signum());
            }
            let sent = miner.select(&delta, &view.lab.layout)?;
            Ok(Some(Offer { sent, samples: view.samples() }))
        })
    }
}

/// Returns the mean magnitude of values.
fn mean_size(values: &[f32]) -> f32 {
    values.iter().map(|value| value.abs()).sum::<f32>() / values.len().max(1) as f32
}
