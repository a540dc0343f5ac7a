//! The downloads of a window's candidates in the background: carries out the commands of the shipped
//! [`Prefetch`].

use crate::{
    node::Input,
    setup::place,
    store::ObjectId,
    transfers::{End, FLOOR, Part, Tag, TransferId},
    world::World,
};
use base::{Height, NeuronId, Window, digest::ObjectHash};
use protocol::{
    acceptance::Candidate,
    clock::Heights,
    downloads::{
        self, ClockReadings, PeerOutcome, PrefetchCommand, PrefetchEvent, PrefetchRules, TICK, TryFailure,
        TryId,
    },
};
use scoring::gauntlet::Fault;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The downloads of a window's candidates.
#[derive(Debug)]
pub(crate) struct Prefetch {
    pub(crate) window: Window,
    heights: Heights,
    until: Height,
    machine: downloads::Prefetch,
    began: u64,
    /// The latest block that the machine knows.
    height: Height,
    tries: BTreeMap<TryId, Try>,
    /// The bytes of each object that are there.
    bytes: BTreeMap<ObjectId, u64>,
    tick: Option<u32>,
    /// The time in which the last submissions are decrypted.
    opening: Option<u32>,
    /// Whether the first block of the order of candidates has come.
    has_begun: bool,
    /// The reading of the node's clock at the beginning.
    clock: ClockReadings,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    transfer: TransferId,
    peer: NeuronId,
    object: ObjectId,
    part: downloads::Part,
    /// The bytes that the machine knows of.
    reported: u64,
}

/// The submissions that arrived in time.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) candidates: Arc<Vec<Candidate>>,
    pub(crate) outcomes: BTreeMap<NeuronId, PeerOutcome>,
    /// The readings of the node's clock at the beginning and at the end of the downloads.
    pub(crate) clock: [ClockReadings; 2],
}

impl Collected {
    /// Returns the objects that arrived and are valid.
    pub(crate) fn valid<'a>(&'a self, world: &'a World) -> impl Iterator<Item = ObjectId> + 'a {
        let arrived = self.candidates.iter().filter(|candidate| self.has_arrived(candidate));
        arrived.filter_map(|candidate| world.objects.find(&candidate.object))
    }

    pub(crate) fn has_arrived(&self, candidate: &Candidate) -> bool {
        self.outcomes.get(&candidate.id) == Some(&PeerOutcome::Arrived)
    }
}

impl World {
    /// Returns the time between two reports of received bytes. A long window has longer ones, so that a
    /// history takes less time; the machine measures rates over three seconds.
    pub(crate) fn tick_time(&self) -> u64 {
        let least = u64::try_from(TICK.as_millis()).unwrap_or(250);
        least.max(self.setup.profile.block / 12)
    }

    /// Begins to download the candidates' submissions, until block `until` is final. With `last_keys`, no key
    /// is taken after that block.
    pub(crate) fn begin_prefetch(
        &mut self,
        n: usize,
        window: Window,
        until: Height,
        last_keys: Option<Height>,
    ) {
        self.end_prefetch(n);
        let Some(heights) = self.setup.heights(window) else { return };
        let profile = &self.setup.profile;
        let required = downloads::required_rate(
            profile.object_bytes,
            u64::from(profile.window.keys_close - profile.window.claims_close),
            Duration::from_millis(profile.block),
        );
        let rules = PrefetchRules {
            claims_close: heights.claims_close,
            keys_close: until,
            last_keys,
            sealed: true,
            floor: FLOOR.max(required),
            most_bytes: profile.object_bytes,
            line: self.nodes[n].line,
        };
        self.nodes[n].prefetch = Some(Box::new(Prefetch {
            window,
            heights,
            until,
            machine: downloads::Prefetch::new(rules),
            began: self.now,
            height: Height(0),
            tries: BTreeMap::new(),
            bytes: BTreeMap::new(),
            tick: None,
            opening: None,
            has_begun: false,
            clock: ClockReadings::default(),
        }));
        self.wait_for(n, heights.incentives);
        self.prefetch_block(n);
    }

    /// Ends the downloads.
    pub(crate) fn end_prefetch(&mut self, n: usize) {
        let Some(prefetch) = self.nodes[n].prefetch.take() else { return };
        prefetch.tries.values().for_each(|open| self.cancel(open.transfer));
    }

    /// Gives the machine a new block, and the claims as they stand.
    fn prefetch_block(&mut self, n: usize) {
        let (height, clock) = (self.view(n), self.clock_readings(n));
        let Some(prefetch) = &mut self.nodes[n].prefetch else { return };
        let heights = prefetch.heights;
        if height < heights.incentives || height <= prefetch.height {
            return;
        }
        if !prefetch.has_begun {
            (prefetch.has_begun, prefetch.began) = (true, self.now);
            prefetch.clock = clock;
        }
        let known = prefetch.height;
        prefetch.height = height;
        let (ends, at) = (height >= prefetch.until, height.min(heights.claims_close));
        if known < heights.claims_close {
            let order = self.standing(&heights, at);
            self.step_prefetch(n, PrefetchEvent::Order(order));
        }
        self.step_prefetch(n, PrefetchEvent::Height(height));
        if !ends {
            self.wait_for(n, height.next());
        }
    }

    /// Compares a node's clock with those of its bucket and of the chain.
    fn clock_readings(&self, n: usize) -> ClockReadings {
        let ahead = if self.now < self.nodes[n].clock_until { 7200 } else { 0 };
        ClockReadings { bucket: Some(ahead), chain: Some(ahead) }
    }

    /// Gives the machine an event, and carries out its commands.
    fn step_prefetch(&mut self, n: usize, event: PrefetchEvent) {
        let now = self.now;
        let Some(prefetch) = &mut self.nodes[n].prefetch else { return };
        let at = Duration::from_millis(now - prefetch.began);
        for command in prefetch.machine.step(at, event) {
            match command {
                PrefetchCommand::Start { id, peer, object, part, most } => {
                    self.start_try(n, id, (peer, object), part, most);
                }
                PrefetchCommand::Stop { id } => {
                    let open =
                        self.nodes[n].prefetch.as_mut().and_then(|prefetch| prefetch.tries.remove(&id));
                    if let Some(open) = open {
                        self.keep_bytes(n, &open);
                        self.cancel(open.transfer);
                    }
                }
            }
        }
        self.tick_later(n);
    }

    fn start_try(
        &mut self,
        n: usize,
        id: TryId,
        (peer, hash): (NeuronId, ObjectHash),
        part: downloads::Part,
        most: u64,
    ) {
        let Some(object) = self.objects.find(&hash) else {
            return self.step_prefetch(n, PrefetchEvent::Done { id, result: Err(TryFailure::Absent) });
        };
        let whole = self.setup.profile.object_bytes;
        let Some(prefetch) = &self.nodes[n].prefetch else { return };
        let left = whole - prefetch.bytes.get(&object).copied().unwrap_or(0);
        if part == downloads::Part::Object && left > most {
            return self.step_prefetch(n, PrefetchEvent::Done { id, result: Err(TryFailure::Budget) });
        }
        let wanted = if part == downloads::Part::Object { Part::Object } else { Part::Key };
        let tag = Tag::Claimed(u32::try_from(id.0).unwrap_or(u32::MAX));
        let transfer = self.request(n, tag, place(&peer) as usize, Some((object, wanted)), left);
        if let Some(prefetch) = &mut self.nodes[n].prefetch {
            prefetch.tries.insert(id, Try { transfer, peer, object, part, reported: 0 });
        }
    }

    /// Notes how much of an object is there, before its try ends.
    fn keep_bytes(&mut self, n: usize, open: &Try) -> u64 {
        let moved = self.moved(open.transfer);
        if let Some(prefetch) =
            self.nodes[n].prefetch.as_mut().filter(|_| open.part == downloads::Part::Object)
        {
            *prefetch.bytes.entry(open.object).or_default() += moved;
        }
        moved - open.reported
    }

    /// Sets the next report, if one is due.
    fn tick_later(&mut self, n: usize) {
        let (now, each) = (self.now, self.tick_time());
        let Some(prefetch) = &mut self.nodes[n].prefetch else { return };
        if prefetch.tick.is_some() {
            return;
        }
        let wakes = prefetch.machine.wakes_at().map(|at| u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        let wakes = wakes.map(|at| (prefetch.began + at).saturating_sub(now).max(each));
        let is_open = prefetch.tries.values().any(|open| open.part == downloads::Part::Object);
        let time = if is_open { Some(each) } else { wakes };
        if let Some(time) = time {
            let token = self.timer(n, time);
            if let Some(prefetch) = &mut self.nodes[n].prefetch {
                prefetch.tick = Some(token);
            }
        }
    }

    /// Handles what the downloads wait for. Returns whether the input was theirs alone.
    pub(crate) fn prefetch_input(&mut self, n: usize, input: Input) -> bool {
        let Some(prefetch) = &mut self.nodes[n].prefetch else { return false };
        match input {
            Input::Wake => {
                self.prefetch_block(n);
                false
            }
            Input::Timer(token) if prefetch.tick == Some(token) => {
                prefetch.tick = None;
                self.report(n);
                self.step_prefetch(n, PrefetchEvent::Tick);
                true
            }
            Input::Timer(token) if prefetch.opening == Some(token) => {
                prefetch.opening = Some(0);
                false
            }
            Input::Transfer(Tag::Claimed(id), end, moved) => {
                self.try_ended(n, TryId(id.into()), end, moved);
                true
            }
            _ => false,
        }
    }

    /// Reports the bytes of all open tries.
    fn report(&mut self, n: usize) {
        let Some(prefetch) = &self.nodes[n].prefetch else { return };
        let open: Vec<(TryId, TransferId)> =
            prefetch.tries.iter().map(|(id, open)| (*id, open.transfer)).collect();
        for (id, transfer) in open {
            let moved = self.moved(transfer);
            let Some(prefetch) = &mut self.nodes[n].prefetch else { return };
            let Some(open) = prefetch.tries.get_mut(&id) else { continue };
            let bytes = moved - open.reported;
            open.reported = moved;
            if bytes > 0 {
                self.step_prefetch(n, PrefetchEvent::Received { id, bytes });
            }
        }
    }

    fn try_ended(&mut self, n: usize, id: TryId, end: End, moved: u64) {
        let Some(prefetch) = &mut self.nodes[n].prefetch else { return };
        let Some(open) = prefetch.tries.remove(&id) else { return };
        if open.part == downloads::Part::Object {
            *prefetch.bytes.entry(open.object).or_default() += moved;
        }
        let bytes = moved - open.reported;
        if bytes > 0 {
            self.step_prefetch(n, PrefetchEvent::Received { id, bytes });
        }
        let object = self.objects.get(open.object).hash;
        let invalid = |fault| PrefetchEvent::Invalid { peer: open.peer, object, fault };
        let failed = |failure| PrefetchEvent::Done { id, result: Err(failure) };
        let event = match end {
            End::Done => PrefetchEvent::Done { id, result: Ok(()) },
            End::Wrong => invalid(Fault::Mismatch),
            End::Broken | End::Unreachable => failed(TryFailure::Broken),
            End::Absent | End::Refused => failed(TryFailure::Absent),
            End::Clock => failed(TryFailure::Clock),
        };
        self.step_prefetch(n, event);
        let found = self.objects.get(open.object);
        if end == End::Done && open.part == downloads::Part::Object {
            // The header of a sealed submission names its miner and the state that it was trained from.
            if found.copy_of.is_some() || found.owner != place(&open.peer) {
                self.step_prefetch(n, invalid(Fault::Malformed));
            } else if found.base != Some(self.base(self.nodes[n].state)) {
                self.step_prefetch(n, invalid(Fault::WrongState));
            }
        }
    }

    /// Returns what has arrived when the downloads have ended and the submissions are decrypted.
    pub(crate) fn collect_prefetch(&mut self, n: usize) -> Option<Collected> {
        let each = self.setup.profile.work.open;
        let prefetch = self.nodes[n].prefetch.as_mut()?;
        if !prefetch.machine.has_ended() || prefetch.height < prefetch.until {
            return None;
        }
        match prefetch.opening {
            None => {
                let token = self.timer(n, each);
                self.nodes[n].prefetch.as_mut()?.opening = Some(token);
                return None;
            }
            Some(0) => {}
            Some(_) => return None,
        }
        let (heights, first) = (prefetch.heights, prefetch.clock);
        let outcomes = prefetch.machine.outcomes();
        let rate = prefetch.machine.line();
        let line = self.nodes[n].line;
        self.nodes[n].line = rate.max(line - line / 8);
        let clock = [first, self.clock_readings(n)];
        Some(Collected { candidates: self.candidates(&heights), outcomes, clock })
    }

    /// Returns the objects whose bytes have arrived, opened or not.
    pub(crate) fn prefetched(&self, n: usize, window: Window) -> Vec<ObjectId> {
        let Some(prefetch) = self.nodes[n].prefetch.as_ref().filter(|prefetch| prefetch.window == window)
        else {
            return Vec::new();
        };
        let outcomes = prefetch.machine.outcomes();
        let arrived = outcomes.iter().filter(|(_, outcome)| **outcome == PeerOutcome::Arrived);
        let claims = self.candidates.get(&window.0);
        let object = |id: &NeuronId| {
            let candidate = claims?.iter().find(|candidate| candidate.id == *id)?;
            self.objects.find(&candidate.object)
        };
        arrived.filter_map(|(id, _)| object(id)).collect()
    }
}
