//! Compares the updates of a window with each other and with those of the two windows before.
//!
//! The compared chunks are drawn by the seed of the window, so the submissions of past windows are kept, and
//! their fingerprints are taken anew. A validator that restarts compares with the windows since then.

use crate::gauntlet::GauntletError;
use base::{BlockHash, Hotkey, NeuronId, Window};
use bytes::Bytes;
use codec::submission::{Submission, SubmissionLayout};
use scoring::{
    gauntlet::Standings,
    uniqueness::{self, Baselines, ChunkSample, Fingerprint, Overlap, Updates},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The submissions of the candidates of a past window. They are memory-mapped files.
#[derive(Clone, Debug)]
struct Past {
    window: Window,
    submissions: BTreeMap<NeuronId, Submission<Bytes>>,
    /// The miners whose updates were applied.
    applied: BTreeSet<NeuronId>,
}

/// The submissions of the last two windows.
#[derive(Clone, Debug, Default)]
pub struct PastUpdates {
    windows: Vec<Past>,
}

/// The fingerprints of a window's updates and of past ones, all of the same chunks.
#[derive(Clone, Debug)]
pub struct Fingerprints {
    sample: Arc<ChunkSample>,
    current: BTreeMap<Hotkey, Fingerprint>,
    one_before: BTreeMap<Hotkey, Fingerprint>,
    two_before: BTreeMap<Hotkey, Fingerprint>,
    outer_step: Option<Fingerprint>,
}

impl PastUpdates {
    /// Adds the submissions of a window and the miners whose updates were applied. Forgets older ones than
    /// those of the window before.
    pub fn add(
        &mut self,
        window: Window,
        submissions: BTreeMap<NeuronId, Submission<Bytes>>,
        applied: BTreeSet<NeuronId>,
    ) {
        self.windows.retain(|past| past.window.0 + 1 == window.0);
        self.windows.push(Past { window, submissions, applied });
    }

    fn of(&self, window: Window, before: u64) -> Option<&Past> {
        self.windows.iter().find(|past| past.window.0 + before == window.0)
    }
}

impl Fingerprints {
    /// Draws the compared chunks of a window.
    #[must_use]
    pub fn new(seed: BlockHash, layout: &SubmissionLayout) -> Self {
        let chunks: Vec<_> = layout.tensors().iter().map(|tensor| tensor.geometry().chunks()).collect();
        Self {
            sample: Arc::new(ChunkSample::draw(seed, &chunks)),
            current: BTreeMap::new(),
            one_before: BTreeMap::new(),
            two_before: BTreeMap::new(),
            outer_step: None,
        }
    }

    /// Takes the fingerprints of past updates, for a comparison in `window`.
    ///
    /// # Errors
    /// A submission has changed since it was checked.
    pub async fn add_past(&mut self, past: &PastUpdates, window: Window) -> Result<(), GauntletError> {
        if let Some(past) = past.of(window, 1) {
            self.one_before = self.of_window(past).await?;
            let applied = past.applied.iter().filter_map(|miner| self.one_before.get(&miner.hotkey));
            let step = Fingerprint::sum(applied);
            self.outer_step = (!past.applied.is_empty()).then_some(step);
        }
        if let Some(past) = past.of(window, 2) {
            self.two_before = self.of_window(past).await?;
        }
        Ok(())
    }

    async fn of_window(&self, past: &Past) -> Result<BTreeMap<Hotkey, Fingerprint>, GauntletError> {
        let mut fingerprints = BTreeMap::new();
        for (miner, submission) in &past.submissions {
            fingerprints.insert(miner.hotkey, self.of(submission).await?);
        }
        Ok(fingerprints)
    }

    /// Takes the fingerprint of an update of the window.
    ///
    /// # Errors
    /// The submission has changed since it was checked.
    pub async fn add(&mut self, submission: &Submission<Bytes>) -> Result<(), GauntletError> {
        let fingerprint = self.of(submission).await?;
        self.current.insert(submission.header().neuron.hotkey, fingerprint);
        Ok(())
    }

    async fn of(&self, submission: &Submission<Bytes>) -> Result<Fingerprint, GauntletError> {
        let (submission, sample) = (submission.clone(), Arc::clone(&self.sample));
        let miner = submission.header().neuron;
        let fingerprint = tokio::task::spawn_blocking(move || {
            Fingerprint::decoding(&sample, |tensor| submission.tensor(tensor))
        });
        let fingerprint = fingerprint.await.map_err(|_| GauntletError::Stopped)?;
        fingerprint.map_err(|source| GauntletError::Changed { miner, source: Box::new(source) })
    }

    /// Returns the overlap of each update of the window, and the usual ones. `standings` are those before the
    /// window.
    ///
    /// # Errors
    /// The thread that compares them ended.
    pub async fn compare(
        self,
        standings: Standings,
    ) -> Result<(BTreeMap<Hotkey, Overlap>, Baselines), GauntletError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let compared = tokio::task::spawn_blocking(move || {
            let Self { current, one_before, two_before, outer_step, .. } = &self;
            let updates = Updates { current, one_before, two_before, outer_step: outer_step.as_ref() };
            uniqueness::overlaps(&updates, &standings, threads)
        });
        compared.await.map_err(|_| GauntletError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gauntlet::tests::{MODEL, submission};
    use base::Millionths;
    use protocol::model::ParameterLayout;
    use scoring::uniqueness::{Class, Nearest};

    /// Returns the update of a miner, from random values of this seed.
    fn update(name: u8, seed: u8) -> Submission<Bytes> {
        let layout = ParameterLayout::new(&MODEL);
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ u64::from(seed);
        let mut random = || {
            // xorshift
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from((state >> 48) as u16) - 32_768.0
        };
        let values: Vec<f32> = (0..layout.len()).map(|_| random()).collect();
        submission(name, &layout, &values)
    }

    fn by_miner(
        updates: impl IntoIterator<Item = Submission<Bytes>>,
    ) -> BTreeMap<NeuronId, Submission<Bytes>> {
        updates.into_iter().map(|update| (update.header().neuron, update)).collect()
    }

    #[tokio::test]
    async fn updates_of_the_last_two_windows_are_compared_on_the_chunks_of_this_one() {
        let mut past = PastUpdates::default();
        past.add(Window(4), by_miner([update(1, 40)]), BTreeSet::new());
        past.add(Window(5), by_miner((1..4).map(|name| update(name, 50 + name))), BTreeSet::new());
        past.add(Window(6), by_miner((1..4).map(|name| update(name, 60 + name))), BTreeSet::new());
        let seed = BlockHash([7; 32]);
        let current =
            [update(1, 71), update(2, 72), update(3, 73), update(4, 61), update(5, 52), update(6, 40)];
        let mut fingerprints = Fingerprints::new(seed, current[0].layout());
        fingerprints.add_past(&past, Window(7)).await.unwrap();
        for update in &current {
            fingerprints.add(update).await.unwrap();
        }
        let (overlaps, _) = fingerprints.compare(Standings::default()).await.unwrap();
        let of = |update: &Submission<Bytes>| overlaps[&update.header().neuron.hotkey];
        for (place, class, partner) in [(3, Class::OneBefore, 0), (4, Class::TwoBefore, 1)] {
            let partner = current[partner].header().neuron.hotkey;
            let nearest = Nearest { class, partner, cosine: Millionths::ONE };
            assert_eq!(of(&current[place]).nearest, Some(nearest));
        }
        for unique in [0, 1, 2, 5] {
            assert_eq!(of(&current[unique]), Overlap::default(), "window 4 is forgotten");
        }
    }

    #[tokio::test]
    async fn the_last_outer_step_is_that_of_the_applied_updates() {
        let step = async |applied: &[u8]| {
            let updates = (1..4).map(|name| update(name, 60 + name));
            let applied = applied.iter().map(|&name| update(name, 1).header().neuron).collect();
            let mut past = PastUpdates::default();
            past.add(Window(6), by_miner(updates), applied);
            let mut fingerprints = Fingerprints::new(BlockHash([7; 32]), update(1, 1).layout());
            fingerprints.add_past(&past, Window(7)).await.unwrap();
            (fingerprints.outer_step, fingerprints.one_before)
        };
        assert_eq!(step(&[]).await.0, None, "a null window");
        let (one, two) = (step(&[1]).await, step(&[1, 2]).await);
        assert_eq!(one.1.len(), 3);
        assert!(one.0.is_some() && one.0 != two.0);
    }
}
