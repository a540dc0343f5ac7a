//! The download of one object that several nodes store: disjoint ranges from all of them at once.
//!
//! Sources have an order: the owner, the keepers, other voters. The first of them send disjoint ranges of
//! one copy. A source that is below the floor for 3 s is left, and one that fails is paused; their ranges go
//! to other sources. Sources that were left come back last. When no range is left to begin, idle sources
//! take over the slowest of those that are outstanding.
//!
//! The hash is known of the whole object only. If it differs, or if sources disagree on the size, at least
//! one of them lies. Then each source sends a copy of its own, one source after the other, so that the liar
//! spoils only its own copy. A source that is slow or takes long does not keep the next one from its turn.
//! So the object arrives if one honest source has it, whatever the others do.
//!
//! ```
//! use protocol::downloads::{ObjectCopy, Ranges, RangesCommand, RangesEvent, RangesRules};
//! use std::time::Duration;
//!
//! let mut ranges = Ranges::new(RangesRules { sources: 2, floor: 1000, most_bytes: 10_000_000 });
//! let at = Duration::from_secs;
//! assert_eq!(ranges.step(at(0), RangesEvent::Tick).len(), 2, "both sources are asked for the size");
//! let commands = ranges.step(at(0), RangesEvent::Size { source: 0, bytes: Some(5000) });
//! let [RangesCommand::Fetch { id, source: 0, .. }] = commands[..] else { panic!("it is one range") };
//! let commands = ranges.step(at(1), RangesEvent::Received { id, bytes: 5000 });
//! assert_eq!(commands.last(), Some(&RangesCommand::Verify { copy: ObjectCopy::Joint, bytes: 5000 }));
//! let _ = ranges.step(at(1), RangesEvent::Verified { copy: ObjectCopy::Joint, is_right: true });
//! assert_eq!(ranges.done(), Some(Ok(ObjectCopy::Joint)));
//! ```

mod alone;
mod joint;
mod source;
#[cfg(test)]
mod tests;

use super::{INTERVAL, TryId};
use joint::Joint;
use source::RangeSource;
use std::{ops::Range, time::Duration};

/// The most bytes of a range of a joint copy. A source just above the floor holds up little.
pub const LARGEST_RANGE: u64 = 4 << 20;
/// The fewest bytes of a range, unless the object is smaller: a request costs more than this.
pub const SMALLEST_RANGE: u64 = 64 << 10;
/// The most sources that send ranges of a joint copy at once.
pub(super) const AT_ONCE: usize = 4;
/// The time after which an idle source takes over a range that another one still works at, and for which the
/// first source may be late with its size.
const PATIENCE: Duration = Duration::from_secs(1);

/// The rules of a download from several sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangesRules {
    /// The number of sources. The caller keeps them in the order of use.
    pub sources: usize,
    /// The rate below which a source is left, in bytes per second.
    pub floor: u64,
    /// The most bytes of the object. A source that announces more is not used.
    pub most_bytes: u64,
}

/// A copy of the object that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectCopy {
    /// The copy to which all sources contribute.
    Joint,
    /// The copy of one source alone.
    Of(usize),
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangesEvent {
    /// Time has passed, or the download begins.
    Tick,
    /// The answer to [`RangesCommand::AskSize`].
    Size {
        /// The source.
        source: usize,
        /// The size that the source announces; `None` if it does not answer, or does not have the object now.
        bytes: Option<u64>,
    },
    /// Bytes of a try arrived, and are written to the copy.
    Received {
        /// The try.
        id: TryId,
        /// The number of bytes since the last event of the try.
        bytes: u64,
    },
    /// A try ended.
    Done {
        /// The try.
        id: TryId,
        /// Whether the whole range arrived.
        is_whole: bool,
    },
    /// The answer to [`RangesCommand::Verify`].
    Verified {
        /// The copy.
        copy: ObjectCopy,
        /// Whether it is the object.
        is_right: bool,
    },
}

/// A command for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangesCommand {
    /// Ask a source for the size of the object.
    AskSize {
        /// The source.
        source: usize,
    },
    /// Download a range from a source into a copy.
    Fetch {
        /// The try.
        id: TryId,
        /// The source.
        source: usize,
        /// The copy.
        copy: ObjectCopy,
        /// The bytes.
        range: Range<u64>,
    },
    /// End a try. Bytes of it that were not reported as received are not written.
    Stop {
        /// The try.
        id: TryId,
    },
    /// Check the hash of a complete copy.
    Verify {
        /// The copy.
        copy: ObjectCopy,
        /// Its size.
        bytes: u64,
    },
}

/// An open try.
#[derive(Clone, Copy, Debug)]
struct Try {
    source: usize,
    /// The number of its piece in the joint copy.
    piece: usize,
    /// The next byte.
    at: u64,
    since: Duration,
}

/// The stage of a download.
#[derive(Clone, Debug)]
enum Stage {
    /// All sources contribute to one copy. It begins with the first size.
    Joint(Option<Joint>),
    /// Each source makes its own copy.
    Alone(alone::Turns),
    Done(Result<ObjectCopy, NoSource>),
}

/// The download of one object from several sources.
#[derive(Clone, Debug)]
pub struct Ranges {
    rules: RangesRules,
    now: Duration,
    sources: Vec<RangeSource>,
    stage: Stage,
    tries: std::collections::BTreeMap<TryId, Try>,
    next: u64,
    commands: Vec<RangesCommand>,
}

/// The end of a download from which no source is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no source delivers the object")]
pub struct NoSource;

impl Ranges {
    /// Creates a download. The sources are asked for the size first.
    #[must_use]
    pub fn new(rules: RangesRules) -> Self {
        Self {
            rules,
            now: Duration::ZERO,
            sources: vec![RangeSource::default(); rules.sources],
            stage: Stage::Joint(None),
            tries: std::collections::BTreeMap::new(),
            next: 0,
            commands: Vec::new(),
        }
    }

    /// Creates the download of an object whose size is known.
    #[must_use]
    pub fn of_size(rules: RangesRules, bytes: u64) -> Self {
        let mut ranges = Self::new(rules);
        for source in &mut ranges.sources {
            (source.asked, source.size) = (Some(Duration::ZERO), Some(bytes));
        }
        ranges.begin_joint(bytes);
        ranges
    }

    /// Handles an event at a time, counted from the beginning of the download. Returns the commands, in
    /// order. An event of a try that has ended changes nothing.
    #[must_use = "the driver must carry them out"]
    pub fn step(&mut self, now: Duration, event: RangesEvent) -> Vec<RangesCommand> {
        self.now = self.now.max(now);
        match event {
            RangesEvent::Tick => {}
            RangesEvent::Size { source, bytes } => self.size(source, bytes),
            RangesEvent::Received { id, bytes } => self.receive(id, bytes),
            RangesEvent::Done { id, is_whole } => self.finish_try(id, is_whole),
            RangesEvent::Verified { copy, is_right } => self.verified(copy, is_right),
        }
        if let Stage::Joint(_) = self.stage {
            self.advance_joint();
        }
        if let Stage::Alone(_) = self.stage {
            self.advance_alone();
        }
        std::mem::take(&mut self.commands)
    }

    /// Returns the time at which the machine needs [`RangesEvent::Tick`] if nothing happens before.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        if self.done().is_some() {
            return None;
        }
        let usable = self.sources.iter().filter(|source| source.is_usable());
        let paused = usable.map(|source| source.not_before).filter(|until| *until > self.now).min();
        Some(paused.unwrap_or(Duration::MAX).min(self.now + PATIENCE))
    }

    /// Returns the end of the download: the copy that is the object, or no source.
    #[must_use]
    pub fn done(&self) -> Option<Result<ObjectCopy, NoSource>> {
        if let Stage::Done(done) = self.stage { Some(done) } else { None }
    }

    /// Checks whether a source has the object, and was never slow, failing or lying.
    #[must_use]
    pub fn has_served(&self, source: usize) -> bool {
        self.sources.get(source).is_some_and(RangeSource::has_served)
    }

    /// Returns the sources whose own copy was not the object.
    pub fn liars(&self) -> impl Iterator<Item = usize> {
        (0..self.sources.len()).filter(|&source| self.sources[source].is_liar)
    }

    fn size(&mut self, source: usize, bytes: Option<u64>) {
        let (now, most) = (self.now, self.rules.most_bytes);
        let Some(known) = self.sources.get_mut(source).filter(|known| known.size.is_none()) else { return };
        match bytes {
            Some(bytes) if bytes > most => known.is_liar = true,
            Some(bytes) => (known.size, known.is_absent) = (Some(bytes), false),
            None => known.miss(now),
        }
    }

    fn receive(&mut self, id: TryId, bytes: u64) {
        let Some(open) = self.tries.get_mut(&id) else { return };
        open.at += bytes;
        let source = &mut self.sources[open.source];
        source.failures = 0;
        source.meter.add(self.now, bytes);
        let open = *open;
        match &mut self.stage {
            Stage::Joint(Some(joint)) => joint.reach(open.piece, open.at),
            Stage::Alone(turns) => turns.reach(open.source, open.at),
            _ => {}
        }
    }

    fn finish_try(&mut self, id: TryId, is_whole: bool) {
        let Some(ended) = self.tries.remove(&id) else { return };
        if !is_whole {
            let now = self.now;
            self.sources[ended.source].fail(now);
        }
    }

    fn verified(&mut self, copy: ObjectCopy, is_right: bool) {
        match (copy, is_right) {
            (copy, true) => self.end(Ok(copy)),
            (ObjectCopy::Joint, false) => self.begin_alone(),
            (ObjectCopy::Of(source), false) => {
                if let Some(source) = self.sources.get_mut(source) {
                    source.is_liar = true;
                }
            }
        }
    }

    fn end(&mut self, done: Result<ObjectCopy, NoSource>) {
        self.stop_where(|_| true);
        self.stage = Stage::Done(done);
    }

    /// Ends the download if no source can deliver now. Absent sources are asked again only while others
    /// work.
    fn end_without_source(&mut self) -> bool {
        let may_deliver = |source: &RangeSource| source.is_usable() && !source.is_absent;
        let is_over = !self.sources.iter().any(may_deliver);
        if is_over {
            self.end(Err(NoSource));
        }
        is_over
    }

    /// Asks sources for the size, in order, until enough of them are well.
    fn ask_sizes(&mut self, wanted: usize) {
        let now = self.now;
        let mut well = 0;
        for (place, source) in self.sources.iter_mut().enumerate() {
            if well >= wanted {
                return;
            }
            if source.is_usable() && source.asked.is_none() && source.not_before <= now {
                source.asked = Some(now);
                self.commands.push(RangesCommand::AskSize { source: place });
            }
            well += usize::from(source.is_well(now));
        }
    }

    fn start(&mut self, source: usize, copy: ObjectCopy, piece: usize, range: Range<u64>) {
        let id = TryId(self.next);
        self.next += 1;
        let now = self.now;
        self.sources[source].busy_since.get_or_insert(now);
        self.tries.insert(id, Try { source, piece, at: range.start, since: now });
        self.commands.push(RangesCommand::Fetch { id, source, copy, range });
    }

    /// Ends all tries for which this is true.
    fn stop_where(&mut self, is_ended: impl Fn(&Try) -> bool) {
        let ended: Vec<TryId> =
            self.tries.iter().filter(|(_, open)| is_ended(open)).map(|(id, _)| *id).collect();
        for id in ended {
            self.tries.remove(&id);
            self.commands.push(RangesCommand::Stop { id });
        }
    }

    fn is_working(&self, source: usize) -> bool {
        self.tries.values().any(|open| open.source == source)
    }
}
