//! The joint copy: disjoint ranges from the first sources at once.

use super::{
    AT_ONCE, INTERVAL, LARGEST_RANGE, ObjectCopy, PATIENCE, RangeSource, Ranges, RangesCommand,
    SMALLEST_RANGE, Stage,
};

/// A copy that is made of pieces.
#[derive(Clone, Debug)]
pub(super) struct Joint {
    size: u64,
    piece_bytes: u64,
    /// The first missing byte of each piece.
    reached: Vec<u64>,
    is_verifying: bool,
}

impl Joint {
    fn new(size: u64, sources: usize) -> Self {
        let even = size.div_ceil(sources.clamp(1, AT_ONCE) as u64);
        let piece_bytes = even.clamp(SMALLEST_RANGE, LARGEST_RANGE);
        let starts = (0..size.div_ceil(piece_bytes)).map(|piece| piece * piece_bytes);
        Self { size, piece_bytes, reached: starts.collect(), is_verifying: false }
    }

    /// Returns the end of a piece.
    fn end(&self, piece: usize) -> u64 {
        ((piece as u64 + 1) * self.piece_bytes).min(self.size)
    }

    fn left(&self, piece: usize) -> u64 {
        self.end(piece).saturating_sub(self.reached[piece])
    }

    /// Notes that the bytes of a piece up to `at` are there. A try begins at the first missing byte, so what
    /// it brings has no gap.
    pub(super) fn reach(&mut self, piece: usize, at: u64) {
        let end = self.end(piece);
        if let Some(reached) = self.reached.get_mut(piece) {
            *reached = at.min(end).max(*reached);
        }
    }
}

impl Ranges {
    pub(super) fn begin_joint(&mut self, size: u64) {
        self.stage = Stage::Joint(Some(Joint::new(size, self.sources.len())));
    }

    pub(super) fn advance_joint(&mut self) {
        if self.end_without_source() {
            return;
        }
        self.leave_slow_sources();
        self.ask_sizes(AT_ONCE);
        self.settle_size();
        self.note_overtaken();
        let Stage::Joint(Some(joint)) = &mut self.stage else { return };
        if (0..joint.reached.len()).all(|piece| joint.left(piece) == 0) {
            let bytes = joint.size;
            if !std::mem::replace(&mut joint.is_verifying, true) {
                self.stop_where(|_| true);
                self.commands.push(RangesCommand::Verify { copy: ObjectCopy::Joint, bytes });
            }
            return;
        }
        let joint = joint.clone();
        self.stop_where(|open| joint.left(open.piece) == 0);
        self.share_out(&joint);
    }

    /// Begins the copy with the first size in the order of sources. Waits a moment for that of the first
    /// source. If sources disagree, each makes its own copy.
    fn settle_size(&mut self) {
        let known: Vec<u64> = self
            .sources
            .iter()
            .filter(|source| source.is_usable())
            .filter_map(|source| source.size)
            .collect();
        let Some(&size) = known.first() else { return };
        if let Stage::Joint(None) = self.stage {
            let first = &self.sources[0];
            let has_answered = first.size.is_some() || first.has_failed || first.is_liar;
            let is_late = first.asked.is_some_and(|asked| self.now.saturating_sub(asked) >= PATIENCE);
            if has_answered || is_late {
                self.begin_joint(size);
            }
        }
        if let Stage::Joint(Some(joint)) = &self.stage
            && known.iter().any(|known| *known != joint.size)
        {
            self.begin_alone();
        }
    }

    /// Notes the sources below the floor whose range another source has completed.
    fn note_overtaken(&mut self) {
        let Stage::Joint(Some(joint)) = &self.stage else { return };
        for open in self.tries.values().filter(|open| joint.left(open.piece) == 0) {
            let source = &mut self.sources[open.source];
            let is_below = source.is_below(self.now, self.rules.floor);
            source.is_overtaken |= is_below && open.at < joint.end(open.piece);
        }
    }

    /// Leaves sources that are below the floor, if there are others.
    fn leave_slow_sources(&mut self) {
        for place in 0..self.sources.len() {
            let is_other = |(other, known): (usize, &RangeSource)| other != place && known.is_usable();
            let has_others = self.sources.iter().enumerate().any(is_other);
            let is_slow = self.sources[place].is_slow(self.now, self.rules.floor);
            if is_slow && has_others && self.is_working(place) {
                self.stop_where(|open| open.source == place);
                self.sources[place].leave(self.now);
            }
        }
    }

    /// Gives ranges to idle sources.
    fn share_out(&mut self, joint: &Joint) {
        while let Some(source) = self.next_idle(joint) {
            let is_begun = |piece: usize| self.tries.values().any(|open| open.piece == piece);
            let is_missing = |&piece: &usize| joint.left(piece) > 0 && !is_begun(piece);
            let fresh = (0..joint.reached.len()).find(is_missing);
            let Some(piece) = fresh.or_else(|| self.slowest(joint)) else {
                // Nothing is left for it: its rate is measured from its next range on.
                self.sources[source].busy_since = None;
                return;
            };
            self.start(source, ObjectCopy::Joint, piece, joint.reached[piece]..joint.end(piece));
        }
    }

    /// Returns the next source that may get a range. Sources that were left come last.
    fn next_idle(&self, joint: &Joint) -> Option<usize> {
        let places = 0..self.sources.len();
        if places.clone().filter(|&place| self.is_working(place)).count() >= AT_ONCE {
            return None;
        }
        let is_ready = |&place: &usize| {
            let source = &self.sources[place];
            let is_free = source.not_before <= self.now && !self.is_working(place);
            source.is_usable() && source.size == Some(joint.size) && is_free
        };
        places.filter(is_ready).min_by_key(|&place| (self.sources[place].left, place))
    }

    /// Returns the begun piece that needs the longest time at its present rate.
    fn slowest(&self, joint: &Joint) -> Option<usize> {
        let time_left = |piece: usize| {
            let tries = self.tries.values().filter(|open| open.piece == piece);
            let rate = tries.map(|open| self.sources[open.source].meter.rate(self.now)).max()?;
            Some(joint.left(piece).saturating_mul(INTERVAL.as_secs()) / rate.max(1))
        };
        let is_old = |piece: &usize| {
            let mut tries = self.tries.values().filter(|open| open.piece == *piece);
            joint.left(*piece) > 0 && tries.all(|open| self.now.saturating_sub(open.since) >= PATIENCE)
        };
        let old = (0..joint.reached.len()).filter(is_old);
        old.filter_map(|piece| Some((time_left(piece)?, piece))).max().map(|(_, piece)| piece)
    }
}
