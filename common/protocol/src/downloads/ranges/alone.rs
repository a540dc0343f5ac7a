//! Copies of single sources: after a lie, each source answers for its own copy.

use super::{INTERVAL, ObjectCopy, Ranges, RangesCommand, Stage};
use std::{collections::BTreeMap, time::Duration};

/// The turns of the sources.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// The first missing byte of each copy that was begun.
    copies: BTreeMap<usize, OwnCopy>,
    /// The time at which the next source begins, even if the copies before are not complete. The pause
    /// doubles with each source.
    next_at: Duration,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct OwnCopy {
    reached: u64,
    is_verifying: bool,
}

impl Turns {
    pub(super) fn reach(&mut self, source: usize, at: u64) {
        if let Some(copy) = self.copies.get_mut(&source) {
            copy.reached = copy.reached.max(at);
        }
    }
}

impl Ranges {
    pub(super) fn begin_alone(&mut self) {
        self.stop_where(|_| true);
        for source in &mut self.sources {
            source.busy_since = None;
        }
        let turns = Turns { copies: BTreeMap::new(), next_at: self.now, pause: INTERVAL };
        self.stage = Stage::Alone(turns);
    }

    pub(super) fn advance_alone(&mut self) {
        if self.end_without_source() {
            return;
        }
        self.begin_next_turn();
        let begun = self.begun();
        begun.iter().for_each(|&source| self.advance_copy(source));
    }

    fn begun(&self) -> Vec<usize> {
        let Stage::Alone(turns) = &self.stage else { return Vec::new() };
        turns.copies.keys().copied().collect()
    }

    /// Begins the copy of the next source if all copies before it are slow, failed or false, or take long.
    fn begin_next_turn(&mut self) {
        let (now, floor) = (self.now, self.rules.floor);
        let is_well = |&source: &usize| {
            let known = &self.sources[source];
            known.is_usable() && known.not_before <= now && !known.is_slow(now, floor)
        };
        let begun = self.begun();
        let is_held = begun.iter().any(is_well);
        let next =
            (0..self.sources.len()).find(|place| !begun.contains(place) && self.sources[*place].is_usable());
        let Stage::Alone(turns) = &mut self.stage else { return };
        let Some(next) = next.filter(|_| !is_held || now >= turns.next_at) else { return };
        turns.copies.insert(next, OwnCopy::default());
        turns.next_at = now + turns.pause;
        turns.pause = turns.pause.saturating_mul(2);
    }

    /// Continues the copy of a source: its size, its bytes, its check.
    fn advance_copy(&mut self, source: usize) {
        let Stage::Alone(turns) = &mut self.stage else { return };
        let Some(copy) = turns.copies.get_mut(&source) else { return };
        let known = &mut self.sources[source];
        if !known.is_usable() || known.not_before > self.now || copy.is_verifying {
            return;
        }
        match known.size {
            None if known.asked.is_some() => {}
            None => {
                known.asked = Some(self.now);
                self.commands.push(RangesCommand::AskSize { source });
            }
            Some(bytes) if copy.reached >= bytes => {
                copy.is_verifying = true;
                known.busy_since = None;
                self.commands.push(RangesCommand::Verify { copy: ObjectCopy::Of(source), bytes });
                self.stop_where(|open| open.source == source);
            }
            Some(bytes) => {
                let reached = copy.reached;
                if !self.is_working(source) {
                    self.start(source, ObjectCopy::Of(source), 0, reached..bytes);
                }
            }
        }
    }
}
