//! Hotkeys that do no work, or hardly any: they send nothing of use, the last outer step, or a copy.

use super::{Offer, Strategy, View, each};
use crate::values::{as_honest, changed, compress, dense};
use anyhow::Result;
use base::{Height, Window};
use codec::sparse::SparseTensor;
use training_bench::miner::Miner;

/// Hotkeys that claim updates of random values, of this share of an honest norm. Zero changes nothing.
pub(crate) struct Idle {
    pub(crate) norm: f32,
}

impl Strategy for Idle {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let lab = view.lab;
        each(miners, |number, _| {
            let noise = view.random("idle", number).noise(lab.places.len());
            let sent = as_honest(lab, compress(lab, &noise)?, view.norms)?;
            // In the first window there is no norm to imitate: the noise is as large as parameters are.
            let share = if view.norms.is_some() { self.norm } else { self.norm * 1e-2 };
            let sent = changed(lab, &sent, |_, value| value * share)?;
            Ok(Some(Offer { sent, samples: view.samples() }))
        })
    }

    fn settle(&mut self, _: &View<'_>, _: &mut [Miner], _: &[Option<Vec<SparseTensor>>]) {}
}

/// Hotkeys that send the last outer step again, with a perturbation of their own, and a few inner steps on
/// top of it.
#[derive(Default)]
pub(crate) struct Stale {
    /// Inner steps on the own data. Their direction has the same norm as the last outer step.
    pub(crate) steps: usize,
    /// The largest relative change of a value by the perturbation. Without it, a group sends equal updates.
    pub(crate) perturbation: f32,
    /// Windows after which the hotkeys are given up for others.
    pub(crate) renewed: Option<Renewal>,
}

/// The way in which hotkeys try to leave their record behind.
#[derive(Clone, Copy)]
pub(crate) enum Renewal {
    /// New hotkeys after this many windows.
    Hotkey(u64),
    /// A new registration of the same hotkeys after this many windows.
    Registration(u64),
}

impl Renewal {
    /// Renews the hotkeys if it is time.
    fn renew(self, seed: u64, window: u64, miners: &mut [Miner]) {
        let (Self::Hotkey(every) | Self::Registration(every)) = self;
        if window == 0 || !window.is_multiple_of(every) {
            return;
        }
        for (number, miner) in miners.iter_mut().enumerate() {
            match self {
                Self::Hotkey(_) => {
                    miner.take_hotkey(seed, &[b"renewed", &window.to_le_bytes(), &number.to_le_bytes()])
                }
                Self::Registration(_) => miner.neuron.registered = Height(window),
            }
        }
    }
}

impl Strategy for Stale {
    fn begin(&mut self, seed: u64, window: Window, miners: &mut [Miner]) {
        if let Some(renewal) = self.renewed {
            renewal.renew(seed, window.0, miners);
        }
    }

    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let lab = view.lab;
        let last = view.last_step();
        each(miners, |number, miner| {
            let mut values = last.clone();
            if self.steps > 0 {
                let mut sequences = view.assigned(&miner.neuron)?;
                sequences.truncate(self.steps * view.spec().batch as usize);
                let delta = view.train(miner, sequences)?;
                let scale = (length(&last) / length(&delta).max(f32::MIN_POSITIVE)).max(f32::MIN_POSITIVE);
                values.iter_mut().zip(&delta).for_each(|(value, delta)| *value += scale * delta);
            }
            if self.perturbation > 0.0 {
                let noise = view.random("perturbation", number).noise(values.len());
                values.iter_mut().zip(noise).for_each(|(v, noise)| *v *= 1.0 + self.perturbation * noise);
            }
            let sent = as_honest(lab, compress(lab, &values)?, view.norms)?;
            Ok(Some(Offer { sent, samples: view.samples() }))
        })
    }

    fn settle(&mut self, _: &View<'_>, _: &mut [Miner], _: &[Option<Vec<SparseTensor>>]) {}
}

/// Hotkeys that send another miner's update of the window before. Sealing leaves them no newer one.
pub(crate) struct Copier;

impl Strategy for Copier {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let lab = view.lab;
        each(miners, |number, _| {
            let victim = &view.honest[number % view.honest.len()];
            let Some(sent) = view.published.get(&victim.hotkey) else { return Ok(None) };
            let noise = view.random("copy", number).noise(lab.places.len());
            let values: Vec<f32> = dense(lab, sent)
                .iter()
                .zip(noise)
                .map(|(value, noise)| value * (1.0 + 0.2 * noise))
                .collect();
            Ok(Some(Offer { sent: compress(lab, &values)?, samples: view.samples() }))
        })
    }

    fn settle(&mut self, _: &View<'_>, _: &mut [Miner], _: &[Option<Vec<SparseTensor>>]) {}
}

/// Returns the norm of values.
fn length(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum::<f32>().sqrt()
}
