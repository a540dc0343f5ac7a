//! The downloads of a window's claimed objects: decides which object is downloaded when, and what is late.
//!
//! [`Prefetch::step`] takes an event and the time since the prefetch began, and returns commands. Nothing in
//! it waits for a peer: a download holds a slot while it is young or not too slow, and block `K_w` ends
//! all of them.
//!
//! ```
//! use base::{Height, Hotkey, NeuronId, digest::ObjectHash};
//! use protocol::downloads::{Prefetch, PrefetchCommand, PrefetchEvent, PrefetchRules, PeerOutcome};
//! use std::time::Duration;
//!
//! let rules = PrefetchRules {
//!     claims_close: Height(133),
//!     keys_close: Height(138),
//!     last_keys: Some(Height(138)),
//!     sealed: false,
//!     floor: 65_536,
//!     most_bytes: 1_000_000,
//!     line: 0,
//! };
//! let mut prefetch = Prefetch::new(rules);
//! let miner = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(7) };
//! let order = PrefetchEvent::Order(vec![(miner, ObjectHash([2; 32]))]);
//! let commands = prefetch.step(Duration::ZERO, order);
//! let [PrefetchCommand::Start { id, .. }] = commands[..] else { panic!("one download begins") };
//! let seconds = Duration::from_secs;
//! assert!(prefetch.step(seconds(1), PrefetchEvent::Received { id, bytes: 900_000 }).is_empty());
//! assert!(prefetch.step(seconds(1), PrefetchEvent::Done { id, result: Ok(()) }).is_empty());
//! prefetch.step(seconds(5), PrefetchEvent::Height(Height(138)));
//! assert!(prefetch.has_ended());
//! assert_eq!(prefetch.outcomes()[&miner], PeerOutcome::Arrived);
//! ```

mod peer;
#[cfg(test)]
mod tests;

use super::{INTERVAL, PeerOutcome, TICK, TryFailure, TryId, line::Line};
use base::{Height, NeuronId, digest::ObjectHash};
use codec::submission::KEY_BYTES;
use peer::{Key, Open, Peer, Progress};
use scoring::gauntlet::Fault;
use std::{collections::BTreeMap, time::Duration};

/// The number of downloads that run well at the same time. So the first in the order are complete before the
/// last begin. A line that they do not fill gets more slots.
pub const SLOTS: usize = 8;

/// The most tries of a peer in a window that break off after some bytes. Each continues the one before, so an
/// honest peer needs few.
pub const TRIES: u32 = 16;

/// The rules of a window's prefetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefetchRules {
    /// `D_w`: keys are asked for from the time when this block is final.
    pub claims_close: Height,
    /// `K_w`: all downloads end when this block is final.
    pub keys_close: Height,
    /// The last block that is final before `S_w` can be made, if the downloads serve a vote. When a later
    /// block may be final, no key is taken any more: its miner may know the seed. At least `keys_close`.
    pub last_keys: Option<Height>,
    /// Whether the run's submissions are sealed.
    pub sealed: bool,
    /// The smallest rate of a peer, in bytes per second. A peer that is slower while the own line is not
    /// full, and late, is at fault. A download at this rate always holds a slot, and a slower one if its
    /// rate is a quarter of an equal share of the line. At least [`required_rate`](super::required_rate).
    pub floor: u64,
    /// The most bytes of a submission.
    pub most_bytes: u64,
    /// The largest total rate over 3 s in the last windows ([`Prefetch::line`]), or the rate of the line if
    /// it is set; 0 if neither is known.
    pub line: u64,
}

impl PrefetchRules {
    /// Returns the bytes of objects that a peer may send in a window, over all its objects and tries.
    #[must_use]
    pub fn object_budget(&self) -> u64 {
        self.most_bytes.saturating_mul(2)
    }

    /// Returns the bytes of keys that a peer may send in a window.
    #[must_use]
    pub fn key_budget(&self) -> u64 {
        2 * KEY_BYTES as u64
    }
}

/// The part of a submission that a download brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The object that the claim names.
    Object,
    /// The key of a sealed object.
    Key,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefetchEvent {
    /// Time has passed.
    Tick,
    /// The order of the candidates as claims stand, and the object of each. The last one is that of `D_w`.
    Order(Vec<(NeuronId, ObjectHash)>),
    /// A block is final.
    Height(Height),
    /// Bytes of a try arrived.
    Received {
        /// The try.
        id: TryId,
        /// The number of bytes since the last event of the try.
        bytes: u64,
    },
    /// A try ended: the whole part arrived, or it failed.
    Done {
        /// The try.
        id: TryId,
        /// The reason of a failure.
        result: Result<(), TryFailure>,
    },
    /// The bytes of a peer are not the claimed object, or not its key.
    Invalid {
        /// The peer.
        peer: NeuronId,
        /// The claimed object.
        object: ObjectHash,
        /// The fault.
        fault: Fault,
    },
}

/// A command for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefetchCommand {
    /// Begin a try of a download. It continues at the first missing byte of the object.
    Start {
        /// The try.
        id: TryId,
        /// The peer.
        peer: NeuronId,
        /// The claimed object.
        object: ObjectHash,
        /// The object itself, or its key.
        part: Part,
        /// The most bytes that this try may receive.
        most: u64,
    },
    /// End a try. A later try of the same object may begin at its first byte again.
    Stop {
        /// The try.
        id: TryId,
    },
}

/// The downloads of a window's claimed objects.
#[derive(Clone, Debug)]
pub struct Prefetch {
    rules: PrefetchRules,
    now: Duration,
    height: Height,
    /// The time at which `K_w` was final.
    closed: Option<Duration>,
    /// The candidates in order, as places in `peers`.
    order: Vec<usize>,
    /// All peers that were ever in the order. Their places stay.
    peers: Vec<Peer>,
    known: BTreeMap<NeuronId, usize>,
    open: BTreeMap<TryId, (usize, Part)>,
    next: u64,
    line: Line,
    commands: Vec<PrefetchCommand>,
}

impl Prefetch {
    /// Creates the prefetch of a window, at time 0.
    #[must_use]
    pub fn new(rules: PrefetchRules) -> Self {
        Self {
            rules,
            now: Duration::ZERO,
            height: Height(0),
            closed: None,
            order: Vec::new(),
            peers: Vec::new(),
            known: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 0,
            line: Line::new(rules.line),
            commands: Vec::new(),
        }
    }

    /// Handles an event at a time, counted from the beginning of the prefetch. Returns the commands, in
    /// order. An event of a try that has ended changes nothing.
    #[must_use = "the driver must carry them out"]
    pub fn step(&mut self, now: Duration, event: PrefetchEvent) -> Vec<PrefetchCommand> {
        self.pass(now);
        match event {
            PrefetchEvent::Tick => {}
            PrefetchEvent::Order(order) => self.reorder(&order),
            PrefetchEvent::Height(height) => self.reach(height),
            PrefetchEvent::Received { id, bytes } => self.receive(id, bytes),
            PrefetchEvent::Done { id, result } => self.done(id, result),
            PrefetchEvent::Invalid { peer, object, fault } => self.invalidate(&peer, object, fault),
        }
        match self.closed {
            None => self.start_objects(),
            Some(closed) if self.now >= closed + INTERVAL => self.stop_all(),
            Some(_) => {}
        }
        std::mem::take(&mut self.commands)
    }

    /// Returns the time at which the machine needs [`PrefetchEvent::Tick`] if nothing happens before.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        if let Some(closed) = self.closed {
            return (!self.open.is_empty()).then_some(closed + INTERVAL);
        }
        let waiting = self.listed().filter_map(|(_, peer)| peer.waits_until());
        waiting.min().map(|until| until.max(self.now + TICK))
    }

    /// Checks whether `K_w` is final and the last keys have been asked for.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.closed.is_some() && self.open.is_empty()
    }

    /// Returns the result for each candidate of the last order.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<NeuronId, PeerOutcome> {
        self.listed().map(|(_, peer)| (peer.id, peer.outcome(&self.rules))).collect()
    }

    /// Returns the largest total rate over 3 s in this window, in bytes per second.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line.seen()
    }

    /// Lets time pass. Each peer answers for the time in which its download was open, or paused after a
    /// failure, while the own line was not full.
    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.now);
        if self.closed.is_none() && !self.line.is_full(self.now) {
            for peer in self.peers.iter_mut().filter(|peer| peer.rank.is_some()) {
                peer.answer_for(passed);
            }
        }
        self.now = self.now.max(now);
    }

    /// Takes over a new order. What is no longer in it, or has another object now, is stopped.
    fn reorder(&mut self, order: &[(NeuronId, ObjectHash)]) {
        if self.closed.is_some() {
            return;
        }
        let before = std::mem::take(&mut self.order);
        self.peers.iter_mut().for_each(|peer| peer.rank = None);
        for (id, object) in order {
            let at = *self.known.entry(*id).or_insert(self.peers.len());
            if at == self.peers.len() {
                self.peers.push(Peer::new(*id, *object));
            }
            let peer = &mut self.peers[at];
            if peer.rank.is_some() {
                continue; // The first place counts.
            }
            peer.rank = Some(self.order.len());
            self.order.push(at);
            if peer.object != *object {
                let stopped = peer.claim(*object);
                self.stop(stopped);
            }
        }
        for at in before {
            if self.peers[at].rank.is_none() {
                let stopped = self.peers[at].interrupt();
                self.stop(stopped);
            }
        }
    }

    fn reach(&mut self, height: Height) {
        if height <= self.height {
            return;
        }
        // A node that has missed blocks may see the last of them up to a block time late.
        let latest = if height == self.height.next() { height } else { height.next() };
        self.height = height;
        let closes = self.closed.is_none() && height >= self.rules.keys_close;
        if closes {
            self.closed = Some(self.now);
            let stopped: Vec<TryId> = self.peers.iter_mut().flat_map(Peer::close).collect();
            self.stop(stopped);
        }
        if self.rules.last_keys.is_some_and(|last| latest > last) {
            self.end_keys(closes);
        } else if closes || (self.closed.is_none() && height >= self.rules.claims_close) {
            self.ask_keys();
        }
    }

    /// Takes no key any more. With `closes`, no key was asked for when block `K_w` was final.
    fn end_keys(&mut self, closes: bool) {
        let stopped: Vec<TryId> = self.peers.iter_mut().filter_map(|peer| peer.end_key(closes)).collect();
        self.stop(stopped);
    }

    /// Asks for all keys that are missing. After `K_w`, only those of objects that are complete.
    fn ask_keys(&mut self) {
        if !self.rules.sealed {
            return;
        }
        for rank in 0..self.order.len() {
            self.ask_key(self.order[rank]);
        }
    }

    fn ask_key(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let left = self.rules.key_budget().saturating_sub(peer.key_bytes);
        if !peer.needs_key(self.closed.is_some()) || left == 0 {
            return;
        }
        let most = left.min(KEY_BYTES as u64);
        let id = TryId(self.next);
        self.next += 1;
        peer.key = Key::Open { id, asked: self.height };
        self.open.insert(id, (at, Part::Key));
        let Peer { id: peer, object, .. } = *peer;
        self.commands.push(PrefetchCommand::Start { id, peer, object, part: Part::Key, most });
    }

    fn receive(&mut self, id: TryId, bytes: u64) {
        let Some((at, part)) = self.open.get(&id).copied() else { return };
        let is_full = self.line.is_full(self.now);
        self.line.add(self.now, bytes);
        let peer = &mut self.peers[at];
        match part {
            Part::Key => peer.key_bytes = peer.key_bytes.saturating_add(bytes),
            Part::Object => peer.receive(self.now, bytes, is_full),
        }
    }

    fn done(&mut self, id: TryId, result: Result<(), TryFailure>) {
        let Some((at, part)) = self.open.remove(&id) else { return };
        let peer = &mut self.peers[at];
        match part {
            Part::Object => peer.object_done(self.now, result, &self.rules),
            Part::Key => {
                let asked = peer.key_done(result.is_ok());
                // An ask that began before `K_w` was final is not the last one.
                if self.closed.is_some() && asked.is_some_and(|asked| asked < self.rules.keys_close) {
                    self.ask_key(at);
                }
            }
        }
    }

    fn invalidate(&mut self, peer: &NeuronId, object: ObjectHash, fault: Fault) {
        let Some(peer) = self.known.get(peer).map(|at| &mut self.peers[*at]) else { return };
        if peer.object != object {
            return;
        }
        peer.invalid = Some(fault);
        let stopped = peer.interrupt();
        self.stop(stopped);
    }

    /// Starts downloads in order while there are slots. A peer that has failed less often comes first.
    fn start_objects(&mut self) {
        loop {
            let ready = self.listed().filter(|(_, peer)| peer.may_start(self.now));
            let next = ready.map(|(rank, peer)| (peer.failures, rank)).min();
            let (taken, before) = (self.holders().count(), self.line.slots());
            let is_taken = taken >= before;
            self.line.settle(self.now, taken, is_taken && next.is_some());
            if self.line.slots() < before {
                return self.pause_last();
            }
            match next {
                Some((_, rank)) if !is_taken => self.start_object(self.order[rank]),
                Some(_) if self.line.slots() > before => {}
                _ => return,
            }
        }
    }

    /// Returns the candidates, each with its rank in the order. They come in any order.
    fn listed(&self) -> impl Iterator<Item = (usize, &Peer)> {
        self.peers.iter().filter_map(|peer| Some((peer.rank?, peer)))
    }

    /// Returns the ranks of the peers whose downloads hold slots: those that are young or not too slow.
    fn holders(&self) -> impl Iterator<Item = usize> {
        let least = self.line.least_rate(self.rules.floor);
        let holds = move |peer: &Peer| peer.open().is_some_and(|open| open.takes_slot(self.now, least));
        self.listed().filter(move |(_, peer)| holds(peer)).map(|(rank, _)| rank)
    }

    /// Pauses the last downloads in the order that hold slots, where there are fewer slots now.
    fn pause_last(&mut self) {
        let mut holders: Vec<usize> = self.holders().collect();
        holders.sort_unstable();
        for rank in holders.into_iter().skip(self.line.slots()) {
            let paused = self.peers[self.order[rank]].pause(&self.rules);
            self.stop(paused);
        }
    }

    fn start_object(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let id = TryId(self.next);
        self.next += 1;
        let most = self.rules.object_budget().saturating_sub(peer.bytes);
        peer.progress = Progress::Open(Open::new(id, self.now));
        self.open.insert(id, (at, Part::Object));
        let Peer { id: peer, object, .. } = *peer;
        self.commands.push(PrefetchCommand::Start { id, peer, object, part: Part::Object, most });
    }

    fn stop(&mut self, ids: impl IntoIterator<Item = TryId>) {
        for id in ids {
            if self.open.remove(&id).is_some() {
                self.commands.push(PrefetchCommand::Stop { id });
            }
        }
    }

    fn stop_all(&mut self) {
        let open: Vec<TryId> = self.open.keys().copied().collect();
        self.stop(open);
    }
}
