//! The download of a window's accepted objects from all their sources: carries out the commands of the
//! shipped [`Ranges`].

use crate::{
    faults::Kind,
    store::{DecisionId, ObjectId},
    transfers::{End, FLOOR, Part, Tag, TransferId},
    world::World,
};
use base::Height;
use protocol::downloads::{ObjectCopy, Ranges, RangesCommand, RangesEvent, RangesRules, TryId};
use std::{collections::BTreeMap, time::Duration};

/// The most objects that are downloaded at once.
const AT_ONCE: usize = 4;
/// The least number of attempts for an object, however late it is.
const LEAST_ATTEMPTS: u32 = 3;
/// The least number of blocks for one attempt, however late it is.
const LATE_BLOCKS: u64 = 30;
/// The number of sources that are asked for the key in the first attempt: the owner and the custodians.
const KEY_SOURCES: usize = 4;
/// The first and the longest pause between two attempts, in milliseconds.
const PAUSES: (u64, u64) = (500, 15_000);

/// The download of accepted objects.
#[derive(Debug)]
pub(crate) struct Collect {
    pub(crate) decision: DecisionId,
    /// The block from which on it is useless to wait.
    until: Height,
    wants: Vec<Want>,
    /// Whether a miner did not deliver its own object.
    pub(crate) needed_custodians: bool,
}

#[derive(Debug)]
struct Want {
    object: ObjectId,
    has_object: bool,
    has_key: bool,
    attempts: u32,
    download: Option<Download>,
    /// The end of a pause between two attempts.
    pause: Option<u32>,
}

/// One attempt to download an object.
#[derive(Debug)]
struct Download {
    ranges: Ranges,
    began: u64,
    sources: Vec<u32>,
    tries: BTreeMap<TryId, Try>,
    /// The other transfers: sizes and keys.
    others: Vec<TransferId>,
    /// The copies with bytes that are not the object's.
    tainted: Vec<ObjectCopy>,
    tick: Option<u32>,
    /// The block from which on the attempt is given up.
    until: Height,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    transfer: TransferId,
    reported: u64,
}

/// The state of the download of a window's accepted objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Running,
    All,
    /// An object is nowhere.
    Nowhere,
}

impl Want {
    fn is_there(&self) -> bool {
        self.has_object && self.has_key
    }
}

impl Collect {
    pub(crate) fn new(decision: DecisionId, until: Height, objects: &[ObjectId], held: &[ObjectId]) -> Self {
        let want = |object: &ObjectId| {
            let is_held = held.contains(object);
            Want {
                object: *object,
                has_object: is_held,
                has_key: is_held,
                attempts: 0,
                download: None,
                pause: None,
            }
        };
        Self { decision, until, wants: objects.iter().map(want).collect(), needed_custodians: false }
    }
}

impl World {
    /// Continues the downloads: at most [`AT_ONCE`] from the first on that is not there, and only one at once
    /// where they are late.
    pub(crate) fn continue_collect(&mut self, n: usize) -> Progress {
        let height = self.view(n);
        let Some(collect) = self.nodes[n].shared.collect() else { return Progress::Running };
        let Some(first) = collect.wants.iter().position(|want| !want.is_there()) else {
            return Progress::All;
        };
        let gives_up =
            |want: &Want| want.pause.is_some() && want.attempts >= LEAST_ATTEMPTS && height >= collect.until;
        if collect.wants.iter().any(gives_up) {
            return Progress::Nowhere;
        }
        let is_late = height >= collect.until;
        let last = collect.wants.len().min(first + AT_ONCE);
        for at in first..last {
            if self.download(n, at).is_some_and(|download| height >= download.until) {
                self.pause_download(n, at);
            }
            let Some(collect) = self.nodes[n].shared.collect() else { return Progress::Running };
            let want = &collect.wants[at];
            let is_free = !is_late || collect.wants.iter().all(|want| want.download.is_none());
            if is_free && !want.is_there() && want.download.is_none() && want.pause.is_none() {
                self.begin_download(n, at);
            }
        }
        Progress::Running
    }

    fn begin_download(&mut self, n: usize, at: usize) {
        let Some(collect) = self.nodes[n].shared.collect() else { return };
        let Want { object, has_object, has_key, attempts, .. } = collect.wants[at];
        let until = collect.until;
        let sources = self.decisions[collect.decision as usize].sources[at].clone();
        let rules =
            RangesRules { sources: sources.len(), floor: FLOOR, most_bytes: self.setup.profile.object_bytes };
        let mut others = Vec::new();
        let asked = if attempts == 0 { KEY_SOURCES } else { sources.len() };
        for (source, bucket) in sources.iter().enumerate().take(if has_key { 0 } else { asked }) {
            let tag = Tag::AcceptedKey(at as u16, source as u16);
            others.push(self.request(n, tag, *bucket as usize, Some((object, Part::Key)), 0));
        }
        let (ranges, tries) = (Ranges::new(rules), BTreeMap::new());
        let until = Height(self.view(n).0 + LATE_BLOCKS).max(until);
        let (began, tainted, tick) = (self.now, Vec::new(), None);
        let download = Download { ranges, began, sources, tries, others, tainted, tick, until };
        if let Some(collect) = self.nodes[n].shared.collect_mut() {
            collect.wants[at].download = Some(download);
        }
        self.wait_for(n, until);
        if !has_object {
            self.step_ranges(n, at, RangesEvent::Tick);
        }
    }

    fn want(&mut self, n: usize, at: usize) -> Option<&mut Want> {
        self.nodes[n].shared.collect_mut()?.wants.get_mut(at)
    }

    fn download(&mut self, n: usize, at: usize) -> Option<&mut Download> {
        self.want(n, at)?.download.as_mut()
    }

    /// Gives the machine an event, and carries out its commands.
    fn step_ranges(&mut self, n: usize, at: usize, event: RangesEvent) {
        let now = self.now;
        let mut event = Some(event);
        while let Some(next) = event.take() {
            let Some(download) = self.download(n, at) else { return };
            let time = Duration::from_millis(now - download.began);
            for command in download.ranges.step(time, next) {
                event = self.range_command(n, at, command).or(event);
            }
        }
        self.ranges_done(n, at);
    }

    fn range_command(&mut self, n: usize, at: usize, command: RangesCommand) -> Option<RangesEvent> {
        let object = self.want(n, at)?.object;
        match command {
            RangesCommand::AskSize { source } => {
                let bucket = self.download(n, at)?.sources[source] as usize;
                let tag = Tag::Size(at as u16, source as u16);
                let transfer = self.request(n, tag, bucket, Some((object, Part::Object)), 0);
                self.download(n, at)?.others.push(transfer);
            }
            RangesCommand::Fetch { id, source, copy, range } => {
                let bucket = self.download(n, at)?.sources[source] as usize;
                let is_liar = self.nodes[bucket].has(Kind::Swapped);
                let bytes = range.end - range.start;
                let tag = Tag::Accepted(at as u16, u32::try_from(id.0).unwrap_or(u32::MAX));
                let transfer = self.request(n, tag, bucket, Some((object, Part::Object)), bytes);
                let download = self.download(n, at)?;
                if is_liar && !download.tainted.contains(&copy) {
                    download.tainted.push(copy);
                }
                download.tries.insert(id, Try { transfer, reported: 0 });
            }
            RangesCommand::Stop { id } => {
                if let Some(open) = self.download(n, at)?.tries.remove(&id) {
                    self.cancel(open.transfer);
                }
            }
            RangesCommand::Verify { copy, .. } => {
                let is_right = !self.download(n, at)?.tainted.contains(&copy);
                return Some(RangesEvent::Verified { copy, is_right });
            }
        }
        None
    }

    /// Looks whether the download of an object has ended, and sets its next tick otherwise.
    fn ranges_done(&mut self, n: usize, at: usize) {
        let each = self.tick_time();
        let Some(want) = self.want(n, at) else { return };
        let Some(download) = &want.download else { return };
        let (done, by_owner) = (download.ranges.done(), download.ranges.has_served(0));
        if matches!(done, Some(Ok(_))) && !want.has_object {
            want.has_object = true;
            if let Some(collect) = self.nodes[n].shared.collect_mut() {
                collect.needed_custodians |= !by_owner;
            }
        }
        let Some(want) = self.want(n, at) else { return };
        let (is_there, has_object) = (want.is_there(), want.has_object);
        let Some(download) = &want.download else { return };
        match done {
            _ if is_there => self.end_download(n, at),
            _ if has_object && !download.others.is_empty() => {} // The key is on its way.
            _ if has_object || done.is_some() => self.pause_download(n, at),
            None if download.tick.is_none() => {
                let token = self.timer(n, each);
                if let Some(download) = self.download(n, at) {
                    download.tick = Some(token);
                }
            }
            _ => {}
        }
    }

    /// Waits before the next attempt.
    fn pause_download(&mut self, n: usize, at: usize) {
        self.end_download(n, at);
        let Some(want) = self.want(n, at) else { return };
        want.attempts += 1;
        let pause = (PAUSES.0 << (want.attempts - 1).min(6)).min(PAUSES.1);
        let token = self.timer(n, pause);
        if let Some(want) = self.want(n, at) {
            want.pause = Some(token);
        }
    }

    fn end_download(&mut self, n: usize, at: usize) {
        let Some(download) = self.want(n, at).and_then(|want| want.download.take()) else { return };
        download.tries.values().for_each(|open| self.cancel(open.transfer));
        download.others.iter().for_each(|transfer| self.cancel(*transfer));
    }

    /// Ends all downloads of accepted objects.
    pub(crate) fn end_collect(&mut self, n: usize) {
        let count = self.nodes[n].shared.collect().map_or(0, |collect| collect.wants.len());
        (0..count).for_each(|at| self.end_download(n, at));
    }

    /// Handles the end of a transfer.
    pub(crate) fn collect_transfer(
        &mut self,
        n: usize,
        transfer: TransferId,
        tag: Tag,
        end: End,
        moved: u64,
    ) {
        match tag {
            Tag::Size(at, source) => {
                let whole = self.setup.profile.object_bytes;
                self.forget_other(n, at.into(), transfer);
                let bytes = (end == End::Done).then_some(whole);
                self.step_ranges(n, at.into(), RangesEvent::Size { source: source.into(), bytes });
            }
            Tag::AcceptedKey(at, _) => {
                self.forget_other(n, at.into(), transfer);
                if let Some(want) = self.want(n, at.into()).filter(|_| end == End::Done) {
                    want.has_key = true;
                }
                self.ranges_done(n, at.into());
            }
            Tag::Accepted(at, id) => {
                let (at, id) = (usize::from(at), TryId(id.into()));
                let open = self.download(n, at).and_then(|download| download.tries.remove(&id));
                let Some(open) = open else { return };
                let bytes = moved - open.reported;
                if bytes > 0 {
                    self.step_ranges(n, at, RangesEvent::Received { id, bytes });
                }
                let is_whole = matches!(end, End::Done | End::Wrong);
                self.step_ranges(n, at, RangesEvent::Done { id, is_whole });
            }
            _ => {}
        }
    }

    fn forget_other(&mut self, n: usize, at: usize, transfer: TransferId) {
        if let Some(download) = self.download(n, at) {
            download.others.retain(|other| *other != transfer);
        }
    }

    /// Handles a timer: a tick of a download, or the end of a pause.
    pub(crate) fn collect_timer(&mut self, n: usize, token: u32) {
        let count = self.nodes[n].shared.collect().map_or(0, |collect| collect.wants.len());
        for at in 0..count {
            let Some(want) = self.want(n, at) else { return };
            if want.pause == Some(token) {
                want.pause = None;
            } else if let Some(download) =
                want.download.as_mut().filter(|download| download.tick == Some(token))
            {
                download.tick = None;
                self.report_ranges(n, at);
                self.step_ranges(n, at, RangesEvent::Tick);
            }
        }
    }

    /// Reports the bytes of all open tries of an object.
    fn report_ranges(&mut self, n: usize, at: usize) {
        let Some(download) = self.download(n, at) else { return };
        let open: Vec<(TryId, TransferId)> =
            download.tries.iter().map(|(id, open)| (*id, open.transfer)).collect();
        for (id, transfer) in open {
            let moved = self.moved(transfer);
            let Some(open) = self.download(n, at).and_then(|download| download.tries.get_mut(&id)) else {
                continue;
            };
            let bytes = moved - open.reported;
            open.reported = moved;
            if bytes > 0 {
                self.step_ranges(n, at, RangesEvent::Received { id, bytes });
            }
        }
    }
}
