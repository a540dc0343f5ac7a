//! Decides when score logs may be published.
//!
//! A published log can be copied: it replays bit for bit, and its weights pay a copier as they pay its
//! author. So the log of window `w` stays on its validator's disk until a copy has no use:
//!
//! * `M_(w+1)` is final. Until then, each validator has named the head of its own log of `w` in a vote.
//!   After the last window of a run, this is one window later too.
//! * Weights that rest on the log are public: those of `w` or of a later window. They count as public if
//!   they can never be set, for example without a permit. Where the subnet hides weights at first, they are
//!   public when they are revealed. By then the weights of a later window may be hidden already, so several
//!   settled weights matter at once.

use crate::clock::Clock;
use base::{Height, Window};
use std::collections::BTreeSet;

/// Weights of a validator that are settled: on chain, or never to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledWeights {
    /// The window whose score log states them.
    pub window: Window,
    /// The block from which on any reader can see them: the block that set them, or a later one if the
    /// subnet hides weights at first.
    pub public: Height,
}

/// The settled weights that matter for logs: for each window, those that are public first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled(Vec<SettledWeights>);

impl Settled {
    /// Adds weights. Drops those of earlier windows that are public no earlier.
    pub(super) fn add(&mut self, weights: SettledWeights) {
        let is_of_use =
            |other: &SettledWeights| other.window > weights.window || other.public < weights.public;
        self.0.retain(is_of_use);
        self.0.push(weights);
        self.0.sort_by_key(|weights| weights.window);
    }

    /// Drops all but the last of the weights that are public at this height: any log that rests on an
    /// earlier one rests on the last one too.
    pub(super) fn forget(&mut self, height: Height) {
        let last = self.0.iter().rev().find(|weights| weights.public <= height).copied();
        let Some(last) = last else { return };
        self.0.retain(|weights| *weights == last || weights.window > last.window);
    }

    /// Returns the newest window that has settled weights.
    pub(super) fn newest(&self) -> Option<Window> {
        self.0.iter().map(|weights| weights.window).max()
    }

    /// Returns the weights that rest on the log of a window and are public first.
    fn for_log(&self, window: Window) -> Option<SettledWeights> {
        let resting = self.0.iter().filter(|weights| weights.window >= window);
        resting.min_by_key(|weights| weights.public).copied()
    }
}

impl FromIterator<SettledWeights> for Settled {
    fn from_iter<I: IntoIterator<Item = SettledWeights>>(weights: I) -> Self {
        let mut settled = Self::default();
        weights.into_iter().for_each(|weights| settled.add(weights));
        settled
    }
}

/// Returns the block from which on the score log of a window may be published. `None` while it waits for
/// weights, or for a window that the run does not have.
#[must_use]
pub fn release(clock: &Clock, weights: Option<SettledWeights>, window: Window) -> Option<Height> {
    let weights = weights.filter(|weights| weights.window >= window)?;
    let open = clock.logs_open(&clock.heights(window).ok()?);
    Some(open.max(weights.public))
}

/// The closed score logs of a validator that are not known to be in its bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unpublished {
    windows: BTreeSet<Window>,
    /// The block before which no upload is tried again, after one that failed.
    retry: Height,
}

/// Blocks between two attempts to upload a log.
const RETRY: u64 = 10;

impl Unpublished {
    pub(super) fn new(windows: BTreeSet<Window>) -> Self {
        Self { windows, retry: Height(0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    pub(super) fn add(&mut self, window: Window) {
        self.windows.insert(window);
    }

    /// Takes out the logs that were uploaded. If some of the attempted ones are left, they wait.
    pub(super) fn settle(
        &mut self,
        attempted: &BTreeSet<Window>,
        uploaded: &BTreeSet<Window>,
        height: Height,
    ) {
        self.windows.retain(|window| !uploaded.contains(window));
        if !attempted.is_subset(uploaded) {
            self.retry = Height(height.0.saturating_add(RETRY));
        }
    }

    /// Returns the windows whose logs may be published at this height.
    pub(super) fn free(&self, clock: &Clock, weights: &Settled, height: Height) -> BTreeSet<Window> {
        let is_free = |window: &&Window| self.due(clock, weights, **window).is_some_and(|due| due <= height);
        self.windows.iter().filter(is_free).copied().collect()
    }

    /// Returns the first block at which a log may be published; `None` if all of them wait for weights.
    pub(super) fn next(&self, clock: &Clock, weights: &Settled) -> Option<Height> {
        self.windows.iter().filter_map(|window| self.due(clock, weights, *window)).min()
    }

    fn due(&self, clock: &Clock, weights: &Settled, window: Window) -> Option<Height> {
        Some(release(clock, weights.for_log(window), window)?.max(self.retry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::TINY;
    use proptest::{
        collection::{btree_set, vec},
        prelude::*,
    };

    fn clock() -> Clock {
        Clock::new(Height(100), TINY).unwrap()
    }

    fn settled(window: u64, public: u64) -> Option<SettledWeights> {
        Some(SettledWeights { window: Window(window), public: Height(public) })
    }

    #[test]
    fn a_log_waits_for_the_next_votes_and_for_weights() {
        // M_0 is 149, M_1 is 179, M_7 is 359, the last one.
        for (weights, window, expected) in [
            (None, 0, None),
            (settled(0, 150), 0, Some(179)),
            (settled(0, 181), 0, Some(181)),
            (settled(0, 150), 1, None),
            (settled(5, 300), 1, Some(300)),
            (settled(7, 360), 7, Some(389)),
            (settled(9, 360), 8, None),
        ] {
            let found = release(&clock(), weights, Window(window));
            assert_eq!(found, expected.map(Height), "{weights:?}, window {window}");
        }
    }

    #[test]
    fn a_failed_upload_is_tried_again_later() {
        let windows = |list: &[u64]| list.iter().copied().map(Window).collect::<BTreeSet<_>>();
        let mut unpublished = Unpublished::new(windows(&[0, 1]));
        let weights = &Settled::from_iter(settled(1, 160));
        assert_eq!(unpublished.free(&clock(), weights, Height(178)), windows(&[]));
        assert_eq!(unpublished.next(&clock(), weights), Some(Height(179)));
        assert_eq!(unpublished.free(&clock(), weights, Height(209)), windows(&[0, 1]));
        unpublished.settle(&windows(&[0, 1]), &windows(&[0]), Height(209));
        assert_eq!(unpublished.free(&clock(), weights, Height(218)), windows(&[]));
        assert_eq!(unpublished.next(&clock(), weights), Some(Height(219)));
        assert_eq!(unpublished.free(&clock(), weights, Height(219)), windows(&[1]));
        unpublished.settle(&windows(&[1]), &windows(&[1]), Height(219));
        assert!(unpublished.is_empty());
    }

    /// Checks a subnet that reveals the weights of an epoch in the next one, some blocks after the next
    /// weights are hidden.
    #[test]
    fn a8_hidden_weights_of_a_later_window_do_not_hold_an_earlier_log() {
        let windows = |list: &[u64]| list.iter().copied().map(Window).collect::<BTreeSet<_>>();
        let unpublished = Unpublished::new(windows(&[0, 1]));
        let mut weights = Settled::from_iter([settled(0, 203).unwrap(), settled(1, 253).unwrap()]);
        assert_eq!(weights.newest(), Some(Window(1)));
        assert_eq!(unpublished.free(&clock(), &weights, Height(202)), windows(&[]));
        assert_eq!(unpublished.free(&clock(), &weights, Height(203)), windows(&[0]));
        assert_eq!(unpublished.free(&clock(), &weights, Height(253)), windows(&[0, 1]));
        weights.forget(Height(252));
        assert_eq!(weights, Settled::from_iter([settled(0, 203).unwrap(), settled(1, 253).unwrap()]));
        weights.forget(Height(253));
        assert_eq!(weights, Settled::from_iter(settled(1, 253)));
        weights.add(settled(2, 250).unwrap());
        assert_eq!(weights, Settled::from_iter(settled(2, 250)), "the later ones are public earlier");
    }

    proptest! {
        #[test]
        fn no_log_is_free_before_the_next_votes_close_and_weights_are_public(
            windows in btree_set(0u64..8, 0..8), pairs in vec((0u64..8, 0u64..500), 0..4), height in 0u64..500,
        ) {
            let unpublished = Unpublished::new(windows.iter().copied().map(Window).collect());
            let list = pairs.iter().filter_map(|&(window, public)| settled(window, public));
            let mut weights = Settled::from_iter(list.clone());
            let free = unpublished.free(&clock(), &weights, Height(height));
            for window in windows.into_iter().map(Window) {
                let open = clock().heights(window).unwrap().votes_close.0 + 30;
                let is_public = list.clone().any(|w| w.window >= window && w.public.0 <= height);
                prop_assert_eq!(free.contains(&window), open <= height && is_public);
            }
            let next = unpublished.next(&clock(), &weights);
            prop_assert_eq!(free.is_empty(), next.is_none_or(|next| next.0 > height));
            weights.forget(Height(height));
            prop_assert_eq!(free, unpublished.free(&clock(), &weights, Height(height)));
        }
    }
}
