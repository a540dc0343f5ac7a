//! Transfers between nodes and buckets, with the faults of buckets.

use crate::{
    faults::Kind,
    links::{Direction, FlowId, Forecast},
    node::Input,
    store::ObjectId,
    world::{Event, World},
};

/// A place in the list of transfers.
pub(crate) type TransferId = u32;

/// The rate floor of downloads, in bytes per second (`fetch.floor` of a node's settings).
pub(crate) const FLOOR: u64 = 65_536;
/// The largest rate of one connection to a bucket, in bytes per second.
const CONNECTION: u64 = 100_000_000;
/// The time after which a node gives up on a bucket that does not answer.
const PATIENCE: u64 = 10_000;
/// The number of times that a bucket serves an object before it withholds it.
const SERVED: u32 = 3;
/// The bytes of a key.
const KEY_BYTES: u64 = 100;

/// The part of an object that is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Object,
    Key,
}

/// The purpose of a transfer, as the driver names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The upload of the own submission.
    Upload,
    /// The upload of the own key.
    Reveal,
    /// The object or key of a claim, by the try.
    Claimed(u32),
    /// A range of an accepted object, by the object's place and the try.
    Accepted(u16, u32),
    /// The size of an accepted object, by the object's place and the source's.
    Size(u16, u16),
    /// The key of an accepted object, by the object's place and the source's.
    AcceptedKey(u16, u16),
    /// The upload of an object or key in custody.
    Custody,
    /// The download of a checkpoint.
    Checkpoint,
    /// The upload of an own checkpoint.
    OwnCheckpoint,
}

/// The end of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All bytes are there.
    Done,
    /// All bytes are there, and they are not those that were asked for.
    Wrong,
    /// The connection broke.
    Broken,
    /// The bucket does not have it.
    Absent,
    /// The bucket does not let this node read.
    Refused,
    /// The bucket says that this node's clock is wrong.
    Clock,
    /// The bucket does not answer.
    Unreachable,
}

/// A transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    node: u32,
    tag: Tag,
    /// The object and its part; `None` for a checkpoint.
    what: Option<(ObjectId, Part)>,
    bucket: u32,
    bytes: u64,
    flow: Option<FlowId>,
    end: End,
    /// Changes with each use of the place, so that an older event is known.
    version: u32,
    is_upload: bool,
}

/// All transfers.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    list: Vec<Transfer>,
    free: Vec<TransferId>,
    of_flow: Vec<TransferId>,
    ended: Vec<FlowId>,
}

impl World {
    /// Asks a bucket for an object or key, from `bytes` before its end on.
    pub(crate) fn request(
        &mut self,
        n: usize,
        tag: Tag,
        bucket: usize,
        what: Option<(ObjectId, Part)>,
        bytes: u64,
    ) -> TransferId {
        let id = self.add_transfer(n, tag, bucket, what, bytes, false);
        let node = &self.nodes[n];
        let mut wait = u64::from(self.setup.scenario.link.latency);
        if node.is_cut(self.now) {
            wait = PATIENCE;
        } else if self.nodes[bucket].has(Kind::Stalling) {
            wait += 18_000;
        }
        let version = self.transfers.list[id as usize].version;
        self.queue.push(self.now + wait, Event::Respond { transfer: id, version });
        id
    }

    /// Stores an object or key in the node's own bucket.
    pub(crate) fn put(
        &mut self,
        n: usize,
        tag: Tag,
        what: Option<(ObjectId, Part)>,
        bytes: u64,
    ) -> TransferId {
        let id = self.add_transfer(n, tag, n, what, bytes, true);
        let wait =
            if self.nodes[n].is_cut(self.now) { PATIENCE } else { self.setup.scenario.link.latency.into() };
        let version = self.transfers.list[id as usize].version;
        self.queue.push(self.now + wait, Event::Respond { transfer: id, version });
        id
    }

    fn add_transfer(
        &mut self,
        n: usize,
        tag: Tag,
        bucket: usize,
        what: Option<(ObjectId, Part)>,
        bytes: u64,
        is_upload: bool,
    ) -> TransferId {
        let transfers = &mut self.transfers;
        let id = transfers.free.pop().unwrap_or(transfers.list.len() as TransferId);
        let version = transfers.list.get(id as usize).map_or(0, |old| old.version);
        let bytes = if matches!(what, Some((_, Part::Key))) { KEY_BYTES } else { bytes };
        let (node, bucket) = (n as u32, bucket as u32);
        let transfer =
            Transfer { node, tag, what, bucket, bytes, flow: None, end: End::Done, version, is_upload };
        match transfers.list.get_mut(id as usize) {
            Some(place) => *place = transfer,
            None => transfers.list.push(transfer),
        }
        self.nodes[n].transfers.push(id);
        id
    }

    /// Handles the moment at which a bucket answers.
    pub(crate) fn respond(&mut self, id: TransferId, version: u32) {
        let transfer = self.transfers.list[id as usize];
        if transfer.version != version {
            return;
        }
        let (n, bucket) = (transfer.node as usize, transfer.bucket as usize);
        let refused = if self.nodes[n].is_cut(self.now) {
            Some(End::Unreachable)
        } else if self.now < self.nodes[n].clock_until {
            Some(End::Clock)
        } else if transfer.is_upload {
            None
        } else {
            transfer.what.and_then(|what| self.refusal(n, bucket, what, transfer.bytes))
        };
        match refused {
            Some(end) => self.finish(id, end),
            None if transfer.bytes <= KEY_BYTES => self.finish(id, End::Done),
            None => self.flow(id),
        }
    }

    /// Returns the reason why a bucket does not serve an object to a node, if there is one.
    fn refusal(
        &mut self,
        n: usize,
        bucket: usize,
        (object, part): (ObjectId, Part),
        bytes: u64,
    ) -> Option<End> {
        let (now, owner) = (self.now, &self.nodes[bucket]);
        // Half of those that withhold trickle instead.
        let withholds = owner.has(Kind::Withholding) && bucket.is_multiple_of(2);
        if owner.has(Kind::Skewed) {
            return Some(End::Clock);
        }
        let is_selective = owner.has(Kind::Selective);
        if is_selective && (n + object as usize).is_multiple_of(2) {
            return Some(End::Refused);
        }
        let copy = self.objects.copy_mut(object, bucket);
        let since = if part == Part::Object { copy.object } else { copy.key };
        if since.is_none_or(|since| since > now) || (withholds && copy.served >= SERVED) {
            return Some(End::Absent);
        }
        copy.served += u32::from(part == Part::Object && bytes > 0);
        None
    }

    /// Starts to move the bytes of a transfer.
    fn flow(&mut self, id: TransferId) {
        let transfer = self.transfers.list[id as usize];
        let (n, owner) = (transfer.node as usize, &self.nodes[transfer.bucket as usize]);
        let (mut bytes, mut limit, mut end) = (transfer.bytes, CONNECTION, End::Done);
        let direction = if transfer.is_upload { Direction::Up } else { Direction::Down };
        if !transfer.is_upload && transfer.what.is_some() {
            let served =
                transfer.what.and_then(|(object, _)| self.objects.copy(object, transfer.bucket as usize));
            let withholds = owner.has(Kind::Withholding) && served.is_some_and(|copy| copy.served > SERVED);
            if owner.has(Kind::Trickling) || withholds {
                limit = FLOOR + 4_000;
            }
            if owner.has(Kind::Slow) {
                limit = 20_000;
            }
            if owner.has(Kind::Swapped) {
                end = End::Wrong;
            }
            if owner.has(Kind::Breaking) {
                (bytes, end) = (bytes / 3, End::Broken);
            }
        }
        let (flow, forecast) = self.links.start(self.now, n, direction, bytes, limit);
        let transfers = &mut self.transfers;
        transfers.list[id as usize].flow = Some(flow);
        transfers.list[id as usize].end = end;
        if transfers.of_flow.len() <= flow as usize {
            transfers.of_flow.resize(flow as usize + 1, 0);
        }
        transfers.of_flow[flow as usize] = id;
        self.expect(forecast);
    }

    fn expect(&mut self, forecast: Option<Forecast>) {
        if let Some(Forecast { line, version, at }) = forecast {
            self.queue.push(at.max(self.now), Event::Line { line, version });
        }
    }

    /// Handles the end of transfers of a line.
    pub(crate) fn line(&mut self, line: u32, version: u32) {
        let mut ended = std::mem::take(&mut self.transfers.ended);
        self.links.ended(self.now, line, version, &mut ended);
        for flow in ended.drain(..) {
            let id = self.transfers.of_flow[flow as usize];
            let transfer = self.transfers.list[id as usize];
            if transfer.flow == Some(flow) {
                self.finish(id, transfer.end);
            }
        }
        self.transfers.ended = ended;
    }

    /// Returns the bytes that a transfer has moved.
    pub(crate) fn moved(&mut self, id: TransferId) -> u64 {
        let flow = self.transfers.list[id as usize].flow;
        flow.map_or(0, |flow| self.links.moved(self.now, flow))
    }

    /// Ends a transfer and tells its driver.
    pub(crate) fn finish(&mut self, id: TransferId, end: End) {
        let transfer = self.transfers.list[id as usize];
        let moved = self.moved(id);
        self.cancel(id);
        let uploaded = transfer.what.filter(|_| transfer.is_upload && end == End::Done);
        if let Some((object, part)) = uploaded {
            self.stored(transfer.node as usize, object, part);
        }
        let n = transfer.node as usize;
        match transfer.tag {
            Tag::Accepted(..) | Tag::Size(..) | Tag::AcceptedKey(..) => {
                self.accepted_ended(n, id, transfer.tag, end, moved)
            }
            tag => self.deliver(n, Input::Transfer(tag, end, moved)),
        }
    }

    /// Notes that an object or key is in a node's bucket.
    pub(crate) fn stored(&mut self, n: usize, object: ObjectId, part: Part) {
        self.check_stored(n, object, part);
        let now = self.now;
        let copy = self.objects.copy_mut(object, n);
        match part {
            Part::Object => copy.object = copy.object.or(Some(now)),
            Part::Key => copy.key = copy.key.or(Some(now)),
        }
    }

    /// Ends a transfer without telling its driver.
    pub(crate) fn cancel(&mut self, id: TransferId) {
        let transfer = &mut self.transfers.list[id as usize];
        transfer.version = transfer.version.wrapping_add(1);
        let (n, flow) = (transfer.node as usize, transfer.flow.take());
        self.nodes[n].transfers.retain(|other| *other != id);
        self.transfers.free.push(id);
        if let Some(flow) = flow {
            let forecast = self.links.stop(self.now, flow);
            self.expect(forecast);
        }
    }

    /// Ends all transfers of a node without telling its driver.
    pub(crate) fn cancel_all(&mut self, n: usize) {
        for id in std::mem::take(&mut self.nodes[n].transfers) {
            self.cancel(id);
        }
    }
}
