//! Tests of the prefetch in a small world: peers with rates and faults behind one line.

use super::*;
use base::Hotkey;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SIZE: u64 = 3_000_000;
const FLOOR: u64 = 65_536;
const STEP: Duration = Duration::from_millis(250);
const BLOCK: Duration = Duration::from_secs(12);
const CLAIMS_CLOSE: Height = Height(102);
const KEYS_CLOSE: Height = Height(107);

fn rules() -> PrefetchRules {
    PrefetchRules {
        claims_close: CLAIMS_CLOSE,
        keys_close: KEYS_CLOSE,
        last_keys: Some(KEYS_CLOSE.next()),
        sealed: true,
        floor: FLOOR,
        most_bytes: SIZE,
        line: 0,
    }
}

fn id(peer: usize) -> NeuronId {
    NeuronId { hotkey: Hotkey([peer as u8; 32]), registered: Height(7) }
}

fn object(peer: usize, number: u8) -> ObjectHash {
    let mut hash = [peer as u8; 32];
    hash[0] = number;
    ObjectHash(hash)
}

/// The way in which a peer serves its object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    /// At a rate, in bytes per second; the key from the start.
    Rate(u64),
    /// At a rate, but each try breaks off after these bytes.
    Breaks { rate: u64, after: u64 },
    /// Nothing arrives, and the connection stays open.
    Silent,
    /// 403 or 404.
    Absent,
    /// The connection is refused.
    Refused,
    /// At a rate, but the object is not the claimed one.
    False(u64),
    /// At a rate, but without a key.
    NoKey(u64),
    /// At a rate, and another claim with each block until `D_w`.
    Rewrites(u64),
}

/// An open try in the world.
#[derive(Clone, Copy, Debug)]
struct Running {
    peer: usize,
    part: Part,
    most: u64,
    sent: u64,
}

struct World {
    machine: Prefetch,
    rules: PrefetchRules,
    services: Vec<Service>,
    claims: Vec<u8>,
    running: BTreeMap<TryId, Running>,
    /// The bytes of the present object that each peer has sent.
    held: Vec<u64>,
    /// All bytes of objects from each peer.
    total: Vec<u64>,
    now: Duration,
    height: Height,
    line: u64,
    most_open: usize,
}

impl World {
    fn new(services: &[Service], line: u64, known: u64) -> Self {
        Self::with(services, line, PrefetchRules { line: known, ..rules() })
    }

    fn with(services: &[Service], line: u64, rules: PrefetchRules) -> Self {
        let count = services.len();
        Self {
            machine: Prefetch::new(rules),
            rules,
            services: services.to_vec(),
            claims: vec![0; count],
            running: BTreeMap::new(),
            held: vec![0; count],
            total: vec![0; count],
            now: Duration::ZERO,
            height: Height(100),
            line,
            most_open: 0,
        }
    }

    /// Plays from block 100 to the end. Returns the outcomes by peer.
    fn play(mut self) -> (Vec<PeerOutcome>, Self) {
        self.order();
        let mut next_block = BLOCK;
        while !self.machine.has_ended() {
            self.now += STEP;
            self.transfer();
            self.step(PrefetchEvent::Tick);
            if self.now >= next_block {
                next_block += BLOCK;
                self.block();
            }
            let closes = BLOCK * (self.rules.keys_close.0 - 100) as u32;
            assert!(self.now < closes + INTERVAL * 2, "everything ends at K_w");
        }
        assert!(self.running.is_empty(), "no try is left open");
        let outcomes = self.machine.outcomes();
        ((0..self.services.len()).map(|peer| outcomes[&id(peer)]).collect(), self)
    }

    fn block(&mut self) {
        self.height = Height(self.height.0 + 1);
        if self.height <= CLAIMS_CLOSE {
            for peer in 0..self.services.len() {
                if matches!(self.services[peer], Service::Rewrites(_)) {
                    self.claims[peer] += 1;
                    self.held[peer] = 0;
                }
            }
            self.order();
        }
        self.step(PrefetchEvent::Height(self.height));
    }

    fn order(&mut self) {
        let order = (0..self.services.len()).map(|peer| (id(peer), object(peer, self.claims[peer])));
        self.step(PrefetchEvent::Order(order.collect()));
    }

    fn step(&mut self, event: PrefetchEvent) {
        for command in self.machine.step(self.now, event) {
            match command {
                PrefetchCommand::Stop { id } => drop(self.running.remove(&id).expect("it was open")),
                PrefetchCommand::Start { id: try_id, peer, object: wanted, part, most } => {
                    let peer = usize::from(peer.hotkey.0[0]);
                    assert!(peer < self.services.len(), "only candidates are fetched");
                    assert_eq!(wanted, object(peer, self.claims[peer]), "and only what they claim now");
                    let is_second = |open: &Running| (open.peer, open.part) == (peer, part);
                    assert!(!self.running.values().any(is_second), "one try of a part at once");
                    self.running.insert(try_id, Running { peer, part, most, sent: 0 });
                }
            }
        }
        let objects = self.running.values().filter(|open| open.part == Part::Object).count();
        self.most_open = self.most_open.max(objects);
    }

    /// Moves the bytes of one step. The line is shared evenly; what a slow peer leaves goes to others.
    fn transfer(&mut self) {
        let mut open: Vec<TryId> = self.running.keys().copied().collect();
        open.sort_by_key(|id| self.rate(self.running[id].peer));
        let mut left = self.line / 4;
        let mut sharing = open.len() as u64;
        for id in open {
            let Some(&running) = self.running.get(&id) else { continue };
            let share = left / sharing.max(1);
            sharing -= 1;
            match running.part {
                Part::Key => self.serve_key(id, running.peer),
                Part::Object => left -= self.serve(id, running, share),
            }
        }
    }

    fn rate(&self, peer: usize) -> u64 {
        match self.services[peer] {
            Service::Rate(rate)
            | Service::Breaks { rate, .. }
            | Service::False(rate)
            | Service::NoKey(rate)
            | Service::Rewrites(rate) => rate,
            _ => 0,
        }
    }

    fn serve_key(&mut self, id: TryId, peer: usize) {
        let is_there = self.height >= CLAIMS_CLOSE
            && !matches!(self.services[peer], Service::NoKey(_) | Service::Absent | Service::Refused);
        if self.services[peer] == Service::Silent {
            return;
        }
        self.running.remove(&id);
        let result = if is_there { Ok(()) } else { Err(TryFailure::Absent) };
        self.step(PrefetchEvent::Done { id, result });
    }

    /// Serves an object for one step. Returns the bytes.
    fn serve(&mut self, id: TryId, running: Running, share: u64) -> u64 {
        let peer = running.peer;
        let failure = match self.services[peer] {
            Service::Absent => Some(TryFailure::Absent),
            Service::Refused => Some(TryFailure::Broken),
            _ => None,
        };
        if let Some(failure) = failure {
            self.running.remove(&id);
            self.step(PrefetchEvent::Done { id, result: Err(failure) });
            return 0;
        }
        let until_break = match self.services[peer] {
            Service::Breaks { after, .. } => after - running.sent,
            _ => u64::MAX,
        };
        let wanted =
            (self.rate(peer) / 4).min(share).min(self.rules.most_bytes - self.held[peer]).min(until_break);
        let bytes = wanted.min(running.most - running.sent);
        self.held[peer] += bytes;
        self.total[peer] += bytes;
        if let Some(open) = self.running.get_mut(&id) {
            open.sent += bytes;
        }
        if bytes > 0 {
            self.step(PrefetchEvent::Received { id, bytes });
        }
        let Some(&Running { sent, most, .. }) = self.running.get(&id) else { return bytes };
        let breaks = matches!(self.services[peer], Service::Breaks { after, .. } if sent >= after);
        if self.held[peer] == self.rules.most_bytes {
            self.running.remove(&id);
            self.step(PrefetchEvent::Done { id, result: Ok(()) });
            if let Service::False(_) = self.services[peer] {
                let object = object(peer, self.claims[peer]);
                self.step(PrefetchEvent::Invalid { peer: self::id(peer), object, fault: Fault::Mismatch });
            }
        } else if breaks || sent == most {
            self.running.remove(&id);
            let failure = if breaks { TryFailure::Broken } else { TryFailure::Budget };
            self.step(PrefetchEvent::Done { id, result: Err(failure) });
        }
        bytes
    }
}

const ARRIVED: PeerOutcome = PeerOutcome::Arrived;
const GOOD: Service = Service::Rate(1_000_000);

#[test]
fn honest_peers_arrive_and_the_first_come_first() {
    let (outcomes, world) = World::new(&[GOOD; 20], 2_000_000, 2_000_000).play();
    assert_eq!(outcomes, [ARRIVED; 20]);
    assert_eq!(world.most_open, SLOTS, "the line is full: it needs no more at once");
}

/// Checks that 39 peers just above the floor do not keep the last in the order from its turn.
#[test]
fn a1_peers_just_above_the_floor_hold_no_slots() {
    let mut services = vec![Service::Rate(FLOOR + 4096); 39];
    services.push(GOOD);
    for known in [0, 10_000_000] {
        let (outcomes, _) = World::new(&services, 10_000_000, known).play();
        assert_eq!(outcomes[39], ARRIVED, "line known: {known}");
    }
}

#[test]
fn a1_each_kind_of_bad_service_has_its_outcome() {
    let late = |at_fault| PeerOutcome::Late { at_fault };
    let table = [
        (Service::Silent, late(true)),
        (Service::Rate(FLOOR / 2), late(true)),
        (Service::Breaks { rate: 1_000_000, after: 1000 }, late(true)),
        (Service::Absent, PeerOutcome::Failed(TryFailure::Absent)),
        (Service::Refused, PeerOutcome::Failed(TryFailure::Broken)),
        (Service::False(1_000_000), PeerOutcome::Invalid(Fault::Mismatch)),
        (Service::NoKey(1_000_000), PeerOutcome::MissingKey),
    ];
    for (service, expected) in table {
        let mut services = vec![service; 9];
        services.push(GOOD);
        let (outcomes, _) = World::new(&services, 10_000_000, 0).play();
        assert_eq!(outcomes[..9], [expected; 9], "{service:?}");
        assert_eq!(outcomes[9], ARRIVED, "{service:?}");
    }
}

#[test]
fn breaking_off_with_progress_is_resumed() {
    let (outcomes, _) =
        World::new(&[Service::Breaks { rate: 1_000_000, after: SIZE / 4 }], 9_000_000, 0).play();
    assert_eq!(outcomes, [ARRIVED]);
}

#[test]
fn rewritten_claims_spend_only_their_own_budget() {
    let mut services = vec![Service::Rewrites(10_000_000); 12];
    services.push(GOOD);
    let (outcomes, world) = World::new(&services, 20_000_000, 0).play();
    assert_eq!(outcomes[12], ARRIVED);
    assert!(world.total.iter().all(|bytes| *bytes <= 2 * SIZE), "{:?}", world.total);
}

/// Checks that a node whose own line is too slow blames no peer.
#[test]
fn a_full_line_excuses_who_is_late() {
    let (outcomes, _) = World::new(&[GOOD; 40], 400_000, 400_000).play();
    let late = outcomes.iter().filter(|outcome| **outcome == PeerOutcome::Late { at_fault: false });
    let arrived = outcomes.iter().filter(|outcome| **outcome == ARRIVED).count();
    assert_eq!(late.count() + arrived, 40, "{outcomes:?}");
    assert!(arrived >= 8, "the first in the order arrive: {outcomes:?}");
}

/// Creates the downloads of a run of 72B: objects of 1.35 GB, which are due within some blocks of 12 s, on a
/// line of 1 Gb/s. The floor brings an object within 60 s. It is more than an eighth of the line.
fn large_objects(services: &[Service], blocks: u64) -> World {
    let most_bytes = 1_350_000_000;
    let floor = crate::downloads::required_rate(most_bytes, 5, BLOCK);
    let rules = PrefetchRules { most_bytes, floor, keys_close: Height(100 + blocks), ..rules() };
    World::with(services, 125_000_000, rules)
}

const FAST: Service = Service::Rate(125_000_000);

/// Checks a full line that is not known yet, where equal shares are below the floor: the first in the order
/// come first. In 96 s the line carries 8.9 objects.
#[test]
fn equal_shares_of_a_full_line_hold_slots() {
    let (outcomes, world) = large_objects(&[FAST; 40], 8).play();
    assert_eq!(outcomes[..SLOTS], [ARRIVED; SLOTS]);
    assert_eq!(outcomes[SLOTS..], [PeerOutcome::Late { at_fault: false }; 40 - SLOTS]);
    assert_eq!(world.most_open, 2 * SLOTS, "the line is tried with twice as many, once");
}

/// Checks peers that trickle, in every second place.
#[test]
fn tricklers_hold_no_slots_beside_equal_shares_of_a_full_line() {
    let services: Vec<_> = (0..40).map(|peer| [Service::Rate(100_000), FAST][peer % 2]).collect();
    let (outcomes, _) = large_objects(&services, 9).play();
    let arrived: Vec<_> = (0..40).filter(|&peer| outcomes[peer] == ARRIVED).collect();
    assert_eq!(arrived, [1, 3, 5, 7, 9, 11, 13, 15], "{outcomes:?}");
}

/// Checks that slots which were added for slow peers are taken back when fast ones fill the line.
#[test]
fn slots_that_slow_peers_brought_are_taken_back() {
    let services: Vec<_> =
        (0..40).map(|peer| if peer < 20 { Service::Rate(100_000) } else { FAST }).collect();
    let (outcomes, _) = large_objects(&services, 9).play();
    let arrived: Vec<_> = (0..40).filter(|&peer| outcomes[peer] == ARRIVED).collect();
    assert_eq!(arrived, (20..28).collect::<Vec<_>>(), "{outcomes:?}");
}

/// Checks an answer of 403 or 404 for an object that appears later.
#[test]
fn a15_an_absent_object_is_not_yet() {
    let mut machine = Prefetch::new(PrefetchRules { sealed: false, ..rules() });
    let mut commands = machine.step(Duration::ZERO, PrefetchEvent::Order(vec![(id(0), object(0, 0))]));
    let mut now = Duration::ZERO;
    for _ in 0..100 {
        let Some(PrefetchCommand::Start { id: try_id, .. }) = commands.first().copied() else { panic!() };
        let absent = PrefetchEvent::Done { id: try_id, result: Err(TryFailure::Absent) };
        assert!(machine.step(now, absent).is_empty());
        now = machine.wakes_at().expect("it is asked again");
        commands = machine.step(now, PrefetchEvent::Tick);
    }
    let Some(PrefetchCommand::Start { id: try_id, .. }) = commands.first().copied() else { panic!() };
    assert!(machine.step(now, PrefetchEvent::Done { id: try_id, result: Ok(()) }).is_empty());
    assert!(machine.step(now, PrefetchEvent::Height(KEYS_CLOSE)).is_empty());
    assert_eq!(machine.outcomes()[&id(0)], ARRIVED);
}

/// Checks that a key is asked for until `K_w` is final, also if an ask hangs.
#[test]
fn a15_the_last_ask_for_a_key_begins_when_k_is_final() {
    let mut machine = Prefetch::new(rules());
    let at = Duration::from_secs;
    let [PrefetchCommand::Start { id: first, .. }] =
        machine.step(at(0), PrefetchEvent::Order(vec![(id(0), object(0, 0))]))[..]
    else {
        panic!()
    };
    assert!(machine.step(at(1), PrefetchEvent::Height(Height(101))).is_empty(), "no key before D_w is final");
    assert!(machine.step(at(1), PrefetchEvent::Done { id: first, result: Ok(()) }).is_empty());
    let [PrefetchCommand::Start { id: asked, part: Part::Key, .. }] =
        machine.step(at(2), PrefetchEvent::Height(CLAIMS_CLOSE))[..]
    else {
        panic!()
    };
    assert!(machine.step(at(60), PrefetchEvent::Height(KEYS_CLOSE)).is_empty(), "one ask at once");
    let absent = PrefetchEvent::Done { id: asked, result: Err(TryFailure::Absent) };
    let [PrefetchCommand::Start { id: last, part: Part::Key, .. }] = machine.step(at(61), absent)[..] else {
        panic!("an ask that began earlier is not the last")
    };
    assert!(!machine.has_ended());
    let mut absent = machine.clone();
    assert!(
        absent.step(at(61), PrefetchEvent::Done { id: last, result: Err(TryFailure::Absent) }).is_empty()
    );
    assert_eq!((absent.has_ended(), absent.outcomes()[&id(0)]), (true, PeerOutcome::MissingKey));
    let stopped = machine.step(at(63), PrefetchEvent::Tick);
    assert_eq!(stopped, [PrefetchCommand::Stop { id: last }], "it does not hang for ever");
    assert!(machine.has_ended());
}

/// Creates a prefetch for a vote whose last keys may be taken with this block. Its only object has arrived,
/// and the key was absent with each block before `K_w`.
fn without_key(last_keys: Height) -> Prefetch {
    let mut machine = Prefetch::new(PrefetchRules { last_keys: Some(last_keys), ..rules() });
    let mut answer = |event, result| {
        let [PrefetchCommand::Start { id, .. }] = machine.step(Duration::ZERO, event)[..] else { panic!() };
        assert!(machine.step(Duration::ZERO, PrefetchEvent::Done { id, result }).is_empty());
    };
    answer(PrefetchEvent::Order(vec![(id(0), object(0, 0))]), Ok(()));
    for height in CLAIMS_CLOSE.0..KEYS_CLOSE.0 {
        answer(PrefetchEvent::Height(Height(height)), Err(TryFailure::Absent));
    }
    machine
}

/// Checks a node whose view of the chain stands still before `K_w` and goes on when the seed is known: a
/// miner could publish its key for such nodes alone.
#[test]
fn a_node_that_sees_k_too_late_takes_no_key_and_blames_no_miner() {
    for (seen, last) in [(KEYS_CLOSE.next(), KEYS_CLOSE), (KEYS_CLOSE.next(), KEYS_CLOSE.next())] {
        let mut machine = without_key(last);
        assert!(machine.step(Duration::ZERO, PrefetchEvent::Height(seen)).is_empty());
        assert!(machine.has_ended());
        assert_eq!(machine.outcomes()[&id(0)], PeerOutcome::KeyNotAsked);
        assert_eq!(machine.outcomes()[&id(0)].fault(), None);
    }
    let mut machine = without_key(KEYS_CLOSE.next().next());
    let asked = machine.step(Duration::ZERO, PrefetchEvent::Height(KEYS_CLOSE.next()));
    assert!(
        matches!(asked[..], [PrefetchCommand::Start { part: Part::Key, .. }]),
        "there is a block to spare"
    );
}

#[test]
fn an_ask_for_a_key_ends_when_the_seed_can_be_known() {
    let last = KEYS_CLOSE.next();
    let asked = |machine: &mut Prefetch| {
        let commands = machine.step(Duration::ZERO, PrefetchEvent::Height(KEYS_CLOSE));
        let [PrefetchCommand::Start { id, part: Part::Key, .. }] = commands[..] else { panic!() };
        id
    };
    let mut machine = without_key(last);
    let open = asked(&mut machine);
    assert!(machine.step(Duration::ZERO, PrefetchEvent::Height(last)).is_empty(), "it may be taken still");
    let stopped = machine.step(Duration::ZERO, PrefetchEvent::Height(last.next()));
    assert_eq!(stopped, [PrefetchCommand::Stop { id: open }]);
    assert!(machine.step(Duration::ZERO, PrefetchEvent::Done { id: open, result: Ok(()) }).is_empty());
    assert_eq!(machine.outcomes()[&id(0)], PeerOutcome::KeyNotAsked, "an answer after that changes nothing");

    let mut machine = without_key(last);
    let absent = PrefetchEvent::Done { id: asked(&mut machine), result: Err(TryFailure::Absent) };
    assert!(machine.step(Duration::ZERO, absent).is_empty());
    assert!(machine.step(Duration::ZERO, PrefetchEvent::Height(last.next())).is_empty());
    assert_eq!(machine.outcomes()[&id(0)], PeerOutcome::MissingKey, "it was asked for in time");
}

fn any_service() -> impl Strategy<Value = Service> {
    let rate = 1u64..20_000_000;
    prop_oneof![
        rate.clone().prop_map(Service::Rate),
        (rate.clone(), 1u64..SIZE).prop_map(|(rate, after)| Service::Breaks { rate, after }),
        Just(Service::Silent),
        Just(Service::Absent),
        Just(Service::Refused),
        rate.clone().prop_map(Service::False),
        rate.clone().prop_map(Service::NoKey),
        rate.prop_map(Service::Rewrites),
        (1u64..4).prop_map(|times| Service::Rate(FLOOR * times)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Checks that an honest peer arrives whatever all others do. The line carries the budgets of all.
    #[test]
    fn one_honest_peer_arrives_whatever_the_others_do(
        others in prop::collection::vec(any_service(), 0..63),
        place in 0usize..64,
        is_known: bool,
    ) {
        let mut services = others;
        let place = place % (services.len() + 1);
        services.insert(place, GOOD);
        let line = 10_000_000;
        let (outcomes, world) = World::new(&services, line, if is_known { line } else { 0 }).play();
        prop_assert_eq!(outcomes[place], ARRIVED);
        prop_assert!(world.total.iter().all(|bytes| *bytes <= rules().object_budget()));
    }

    /// Checks any history of events: commands only for candidates, grants within the budget, an end.
    #[test]
    fn any_history_keeps_budgets_and_ends(events in prop::collection::vec(any_event(), 1..300)) {
        let mut machine = Prefetch::new(rules());
        let mut now = Duration::ZERO;
        let mut listed = BTreeSet::new();
        let mut open: BTreeMap<TryId, (NeuronId, Part, u64)> = BTreeMap::new();
        let mut spent: BTreeMap<(NeuronId, Part), u64> = BTreeMap::new();
        for (pause, mut event) in events {
            now += Duration::from_millis(pause);
            match &mut event {
                PrefetchEvent::Order(order) => listed = order.iter().map(|(id, _)| *id).collect(),
                PrefetchEvent::Received { id, bytes } => {
                    // A driver takes no more than the try may receive.
                    let Some((peer, part, left)) = open.get_mut(id) else { continue };
                    *bytes = (*bytes).min(*left);
                    *left -= *bytes;
                    *spent.entry((*peer, *part)).or_default() += *bytes;
                }
                PrefetchEvent::Done { id, .. } => drop(open.remove(id)),
                _ => {}
            }
            let is_closed = machine.closed.is_some();
            for command in machine.step(now, event) {
                match command {
                    PrefetchCommand::Start { id, peer, part, most, .. } => {
                        prop_assert!(is_closed || listed.contains(&peer));
                        prop_assert!(part == Part::Key || !is_closed);
                        open.insert(id, (peer, part, most));
                    }
                    PrefetchCommand::Stop { id } => prop_assert!(open.remove(&id).is_some()),
                }
            }
            for ((_, part), bytes) in &spent {
                let budget = if *part == Part::Key { rules().key_budget() } else { rules().object_budget() };
                prop_assert!(*bytes <= budget);
            }
        }
        let _ = machine.step(now, PrefetchEvent::Height(KEYS_CLOSE));
        let _ = machine.step(now + INTERVAL * 2, PrefetchEvent::Tick);
        prop_assert!(machine.has_ended());
        prop_assert!(machine.wakes_at().is_none());
    }
}

fn any_event() -> impl Strategy<Value = (u64, PrefetchEvent)> {
    let try_id = || (0u64..40).prop_map(TryId);
    let claim = || (0usize..12, 0u8..3).prop_map(|(peer, number)| (id(peer), object(peer, number)));
    let failure = prop_oneof![
        Just(Ok(())),
        Just(Err(TryFailure::Absent)),
        Just(Err(TryFailure::Broken)),
        Just(Err(TryFailure::Budget)),
        Just(Err(TryFailure::Own)),
    ];
    let event = prop_oneof![
        Just(PrefetchEvent::Tick),
        prop::collection::vec(claim(), 0..12).prop_map(PrefetchEvent::Order),
        (95u64..109).prop_map(|height| PrefetchEvent::Height(Height(height))),
        (try_id(), 0u64..2 * SIZE).prop_map(|(id, bytes)| PrefetchEvent::Received { id, bytes }),
        (try_id(), failure).prop_map(|(id, result)| PrefetchEvent::Done { id, result }),
        claim().prop_map(|(peer, object)| PrefetchEvent::Invalid { peer, object, fault: Fault::Mismatch }),
    ];
    (0u64..5000, event)
}
