//! Miners that train, each alone: honest ones, and those that do less, use other data or declare more.

use super::{Offer, Strategy, View, each};
use anyhow::Result;
use base::NeuronId;
use training_bench::miner::Miner;

/// A miner that trains. The default is the honest one.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) data: Data,
    /// Inner steps, as a share of the run's.
    pub(crate) share: f64,
    pub(crate) declared: Declared,
    /// The miner is absent in the last window of each this many.
    pub(crate) absent_every: Option<u64>,
    /// The first window in which it takes part.
    pub(crate) joins: u64,
}

/// The data that a miner trains on.
#[derive(Clone, Copy)]
pub(crate) enum Data {
    /// Its assigned sequences.
    Own,
    /// Sequences that no hotkey was given.
    Unassigned,
    /// Sequences of all honest miners in turn.
    Others,
    /// The sequences of one honest miner, the same in all windows.
    Victim,
}

/// The number of sequences that a header declares.
#[derive(Clone, Copy)]
pub(crate) enum Declared {
    /// All that an honest miner trains on.
    All,
    /// Those that the miner trained on.
    Done,
    /// Twice as many as an honest miner trains on.
    Twice,
}

impl Default for Work {
    fn default() -> Self {
        Self { data: Data::Own, share: 1.0, declared: Declared::All, absent_every: None, joins: 0 }
    }
}

impl Work {
    /// Returns the sequences that a miner trains on, in order: more than were assigned if it does more steps.
    fn sequences(&self, view: &View<'_>, number: usize, neuron: &NeuronId) -> Result<Vec<u64>> {
        let count = self.steps(view) * view.spec().batch as usize;
        let other = |count: usize| {
            let seed = view.lab.block(view.seed, &format!("other data {number}"), view.window.0);
            anyhow::Ok(view.assignments.unassigned(seed, count as u64)?)
        };
        let mut sequences = match self.data {
            Data::Own => view.assigned(neuron)?,
            Data::Unassigned => Vec::new(),
            Data::Victim => view.assigned(&view.honest[number % view.honest.len()])?,
            Data::Others => {
                let lists =
                    view.honest.iter().map(|victim| view.assigned(victim)).collect::<Result<Vec<_>>>()?;
                (0..count).map(|at| lists[(at + number) % lists.len()][at / lists.len()]).collect()
            }
        };
        sequences.truncate(count);
        sequences.extend(other(count - sequences.len())?);
        Ok(sequences)
    }

    /// Returns the number of inner steps in a window, at least one.
    fn steps(&self, view: &View<'_>) -> usize {
        (f64::from(view.spec().inner_steps) * self.share).round().max(1.0) as usize
    }

    /// Checks whether the miner takes part in a window.
    pub(crate) fn is_present(&self, window: u64) -> bool {
        window >= self.joins && self.absent_every.is_none_or(|every| !(window + 1).is_multiple_of(every))
    }

    /// Trains a miner, and returns the pseudo-gradient.
    pub(crate) fn train(&self, view: &View<'_>, number: usize, miner: &mut Miner) -> Result<Vec<f32>> {
        let sequences = self.sequences(view, number, &miner.neuron)?;
        view.train(miner, sequences)
    }

    /// Returns the number of sequences that the header declares.
    pub(crate) fn declared(&self, view: &View<'_>) -> u64 {
        match self.declared {
            Declared::All => view.samples(),
            Declared::Done => (self.steps(view) as u64 * u64::from(view.spec().batch)).min(view.samples()),
            Declared::Twice => 2 * view.samples(),
        }
    }
}

impl Strategy for Work {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        each(miners, |number, miner| {
            if !self.is_present(view.window.0) {
                return Ok(None);
            }
            let delta = self.train(view, number, miner)?;
            let sent = miner.select(&delta, &view.lab.layout)?;
            Ok(Some(Offer { sent, samples: self.declared(view) }))
        })
    }
}
