//! Splits: one training run behind several hotkeys.

use super::{Offer, Strategy, View};
use crate::values::compress;
use anyhow::Result;
use codec::sparse::SparseTensor;
use training_bench::miner::Miner;

/// One training run whose result all hotkeys send. Its inner steps take the hotkeys' data in turn.
pub(crate) struct Split {
    pub(crate) by: SplitBy,
}

/// The way in which the hotkeys' updates differ.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum SplitBy {
    /// Not at all.
    Nothing,
    /// Each sends the largest values that the ones before did not send.
    Support,
    /// Each sends the largest values after a perturbation of its own.
    Perturbation,
    /// As with a perturbation, and each declares only its part of the data, on which the run did train.
    Samples,
}

/// The largest relative change of a value by a perturbation.
const PERTURBATION: f32 = 0.5;

impl Split {
    /// Returns the sequences of the run: batch after batch from the hotkeys in turn.
    fn sequences(view: &View<'_>, miners: &[Miner]) -> Result<Vec<u64>> {
        let lists = miners.iter().map(|miner| view.assigned(&miner.neuron)).collect::<Result<Vec<_>>>()?;
        let (steps, batch) = (view.spec().inner_steps as usize, view.spec().batch as usize);
        let batches = (0..steps).map(|step| {
            let first = step / lists.len() * batch;
            &lists[step % lists.len()][first..first + batch]
        });
        Ok(batches.flatten().copied().collect())
    }
}

impl Strategy for Split {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let lab = view.lab;
        let count = miners.len();
        let sequences = Self::sequences(view, miners)?;
        let leader = &mut miners[0];
        let delta = view.train(leader, sequences)?;
        let first = leader.select(&delta, &lab.layout)?;
        let samples = match self.by {
            SplitBy::Samples => view.samples() / count as u64,
            _ => view.samples(),
        };
        let mut offers = vec![Some(Offer { sent: first, samples })];
        for number in 1..count {
            let sent = match self.by {
                SplitBy::Nothing => offers[0].as_ref().map(|offer| offer.sent.clone()).unwrap_or_default(),
                SplitBy::Support => {
                    if let Some(last) = offers.last().and_then(Option::as_ref) {
                        leader.settle(&last.sent, &lab.layout);
                    }
                    compress(lab, leader.error())?
                }
                SplitBy::Perturbation | SplitBy::Samples => {
                    let noise = view.random("split", number).noise(lab.places.len());
                    let values = leader.error().iter().zip(noise);
                    compress(
                        lab,
                        &values.map(|(v, noise)| v * (1.0 + PERTURBATION * noise)).collect::<Vec<_>>(),
                    )?
                }
            };
            offers.push(Some(Offer { sent, samples }));
        }
        Ok(offers)
    }

    /// Settles the one error feedback of the run.
    fn settle(&mut self, view: &View<'_>, miners: &mut [Miner], accepted: &[Option<Vec<SparseTensor>>]) {
        let sent = match self.by {
            // All but the last part are settled already.
            SplitBy::Support => accepted.last(),
            _ => accepted.first(),
        };
        if let Some(Some(sent)) = sent {
            miners[0].settle(sent, &view.lab.layout);
        }
    }
}
