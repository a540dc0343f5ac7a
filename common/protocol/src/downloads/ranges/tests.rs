//! Tests of downloads from several sources in a small world of sources with rates and faults.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The unit of sizes and rates.
const KIB: u64 = 1 << 10;
const SIZE: u64 = 20_000 * KIB;
const FLOOR: u64 = 64 * KIB;
const STEP: Duration = Duration::from_millis(250);

/// The way in which a source serves the object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    /// The right bytes, in KiB per step.
    Right(u64),
    /// Other bytes, in KiB per step.
    Lies(u64),
    /// The right bytes, but each try breaks off after this number of KiB.
    Breaks {
        rate: u64,
        after: u64,
    },
    /// Another size, and the right rate.
    OtherSize(u64),
    /// No answer, and the connection stays open.
    Silent,
    /// The size, then silence.
    SilentAfterSize,
    Absent,
}

#[derive(Clone, Debug)]
struct Running {
    source: usize,
    copy: ObjectCopy,
    range: Range<u64>,
    sent: u64,
}

struct World {
    plan: Ranges,
    services: Vec<Service>,
    running: BTreeMap<TryId, Running>,
    /// Whether each unit of a copy is there and right.
    copies: BTreeMap<ObjectCopy, Vec<Option<bool>>>,
    now: Duration,
    /// The units that each source sent.
    sent: Vec<u64>,
    events: Vec<RangesEvent>,
}

impl World {
    fn new(services: &[Service]) -> Self {
        let rules = RangesRules { sources: services.len(), floor: FLOOR, most_bytes: 2 * SIZE };
        Self {
            plan: Ranges::new(rules),
            services: services.to_vec(),
            running: BTreeMap::new(),
            copies: BTreeMap::new(),
            now: Duration::ZERO,
            sent: vec![0; services.len()],
            events: vec![RangesEvent::Tick],
        }
    }

    /// Plays to the end. Returns the result and the time.
    fn play(mut self) -> (Result<ObjectCopy, NoSource>, Duration, Self) {
        loop {
            while let Some(event) = self.events.pop() {
                self.step(event);
            }
            if let Some(done) = self.plan.done() {
                assert!(self.running.is_empty(), "no try is left open");
                return (done, self.now, self);
            }
            self.now += STEP;
            assert!(self.now < Duration::from_secs(4000), "the download ends");
            let open: Vec<TryId> = self.running.keys().copied().collect();
            open.into_iter().for_each(|id| self.serve(id));
            self.step(RangesEvent::Tick);
        }
    }

    fn step(&mut self, event: RangesEvent) {
        for command in self.plan.step(self.now, event) {
            match command {
                RangesCommand::AskSize { source } => {
                    let bytes = match self.services[source] {
                        Service::Absent => Some(None),
                        Service::Silent => None,
                        Service::OtherSize(_) => Some(Some(SIZE + KIB)),
                        _ => Some(Some(SIZE)),
                    };
                    self.events.extend(bytes.map(|bytes| RangesEvent::Size { source, bytes }));
                }
                RangesCommand::Fetch { id, source, copy, range } => {
                    assert!(!self.running.values().any(|open| open.source == source), "one range at once");
                    assert!(copy == ObjectCopy::Joint || copy == ObjectCopy::Of(source));
                    self.running.insert(id, Running { source, copy, range, sent: 0 });
                }
                RangesCommand::Stop { id } => drop(self.running.remove(&id).expect("it was open")),
                RangesCommand::Verify { copy, bytes } => {
                    let units = &self.copies[&copy];
                    let units = &units[..(bytes / KIB) as usize];
                    assert!(units.iter().all(Option::is_some), "every byte is there");
                    let is_right = bytes == SIZE && units.iter().all(|unit| *unit == Some(true));
                    self.events.push(RangesEvent::Verified { copy, is_right });
                }
            }
        }
    }

    fn serve(&mut self, id: TryId) {
        let Some(open) = self.running.get(&id).cloned() else { return };
        let (rate, after, is_right) = match self.services[open.source] {
            Service::Right(rate) => (rate, u64::MAX, true),
            Service::Lies(rate) | Service::OtherSize(rate) => (rate, u64::MAX, false),
            Service::Breaks { rate, after } => (rate, after, true),
            Service::Silent | Service::SilentAfterSize | Service::Absent => return,
        };
        let left = (open.range.end - open.range.start) / KIB - open.sent;
        let units = rate.min(left).min(after - open.sent);
        let first = (open.range.start / KIB + open.sent) as usize;
        let copy = self.copies.entry(open.copy).or_insert_with(|| vec![None; (SIZE / KIB) as usize + 1]);
        copy[first..first + units as usize].fill(Some(is_right));
        self.sent[open.source] += units;
        if let Some(running) = self.running.get_mut(&id) {
            running.sent += units;
        }
        if units > 0 {
            self.step(RangesEvent::Received { id, bytes: units * KIB });
        }
        let is_whole = units == left;
        if (is_whole || open.sent + units >= after) && self.running.remove(&id).is_some() {
            self.step(RangesEvent::Done { id, is_whole });
        }
    }
}

/// A good rate: 8 MB/s.
const FAST: u64 = 2000;
/// A rate just above the floor.
const ABOVE_FLOOR: u64 = FLOOR / KIB / 4 + 1;

fn seconds(services: &[Service]) -> u64 {
    let (done, time, _) = World::new(services).play();
    assert!(done.is_ok(), "{services:?}");
    time.as_secs()
}

#[test]
fn all_sources_contribute_disjoint_ranges() {
    let (done, time, world) = World::new(&[Service::Right(FAST); 6]).play();
    assert_eq!(done, Ok(ObjectCopy::Joint));
    assert_eq!(world.sent.iter().sum::<u64>(), SIZE / KIB, "every byte once");
    assert!(world.sent[..4].iter().all(|units| *units > 0) && world.sent[4..] == [0, 0]);
    assert!(time.as_secs() <= 1, "four times as fast as one source: {time:?}");
    assert!(world.plan.has_served(0));
}

#[test]
fn a4_an_owner_that_is_absent_silent_or_slow_costs_seconds() {
    let owners = [
        Service::Absent,
        Service::Silent,
        Service::SilentAfterSize,
        Service::Right(1),
        Service::Right(ABOVE_FLOOR),
    ];
    for owner in owners {
        let services = [owner, Service::Right(FAST), Service::Right(FAST), Service::Right(FAST)];
        let (done, time, world) = World::new(&services).play();
        assert_eq!(done, Ok(ObjectCopy::Joint), "{owner:?}");
        assert!(time.as_secs() <= 8, "{owner:?}: {time:?}");
        assert_eq!(world.plan.has_served(0), owner == Service::Right(ABOVE_FLOOR), "{owner:?}");
    }
}

#[test]
fn a4_three_hostile_sources_do_not_keep_the_object() {
    for hostile in [Service::Absent, Service::Silent, Service::SilentAfterSize, Service::Right(ABOVE_FLOOR)] {
        let services = [hostile, hostile, hostile, Service::Right(FAST)];
        assert!(seconds(&services) <= 15, "{hostile:?}");
        let services = [hostile, hostile, hostile, hostile, Service::Right(FAST)];
        assert!(seconds(&services) <= 400, "{hostile:?}, the honest one is another voter");
    }
}

#[test]
fn one_liar_costs_one_more_download() {
    for place in 0..4 {
        for lie in [Service::Lies(FAST), Service::OtherSize(FAST)] {
            let mut services = [Service::Right(FAST); 4];
            services[place] = lie;
            let (done, _, world) = World::new(&services).play();
            let first_honest = if place == 0 { 1 } else { 0 };
            assert_eq!(done, Ok(ObjectCopy::Of(first_honest)), "{lie:?} at {place}");
            let units = world.sent.iter().sum::<u64>();
            assert!(units <= 3 * SIZE / KIB + 1, "the joint copy, the liar's and an honest one: {units}");
        }
    }
}

#[test]
fn a_liar_is_named_where_the_first_copy_is_its_own() {
    let services = [Service::Lies(FAST), Service::Right(FAST)];
    let (_, _, world) = World::new(&services).play();
    assert_eq!(world.plan.liars().collect::<Vec<_>>(), [0]);
}

/// Checks that slow copies of liars, each just above the floor, do not follow one after the other.
#[test]
fn a4_slow_copies_run_side_by_side() {
    let hostile = Service::OtherSize(ABOVE_FLOOR);
    assert!(seconds(&[hostile, hostile, hostile, Service::Right(FAST)]) <= 30);
}

#[test]
fn without_an_honest_source_it_ends() {
    for hostile in [Service::Absent, Service::Lies(FAST), Service::Breaks { rate: FAST, after: 0 }] {
        let (done, time, _) = World::new(&[hostile; 5]).play();
        assert_eq!(done, Err(NoSource), "{hostile:?}");
        assert!(time.as_secs() < 60, "{hostile:?}: {time:?}");
    }
    let (done, ..) = World::new(&[]).play();
    assert_eq!(done, Err(NoSource));
}

/// Checks that a slow own line, on which all sources are below the floor, still ends.
#[test]
fn a_slow_own_line_ends() {
    let (done, ..) = World::new(&[Service::Right(8); 4]).play();
    assert_eq!(done, Ok(ObjectCopy::Joint));
}

#[test]
fn sizes_beyond_the_most_are_refused_and_small_objects_are_one_range() {
    let rules = RangesRules { sources: 2, floor: FLOOR, most_bytes: 1000 };
    let mut plan = Ranges::new(rules);
    let _ = plan.step(Duration::ZERO, RangesEvent::Tick);
    assert!(plan.step(Duration::ZERO, RangesEvent::Size { source: 0, bytes: Some(1001) }).is_empty());
    let commands = plan.step(Duration::ZERO, RangesEvent::Size { source: 1, bytes: Some(1000) });
    let [RangesCommand::Fetch { source: 1, range, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*range, 0..1000);
    assert_eq!(plan.wakes_at(), Some(PATIENCE));
    let mut empty = Ranges::of_size(rules, 0);
    let commands = empty.step(Duration::ZERO, RangesEvent::Tick);
    assert_eq!(commands, [RangesCommand::Verify { copy: ObjectCopy::Joint, bytes: 0 }]);
}

fn any_service() -> impl Strategy<Value = Service> {
    prop_oneof![
        (1u64..4000).prop_map(Service::Right),
        (1u64..4000).prop_map(Service::Lies),
        (1u64..4000, 0u64..20_000).prop_map(|(rate, after)| Service::Breaks { rate, after }),
        (1u64..4000).prop_map(Service::OtherSize),
        Just(Service::Silent),
        Just(Service::SilentAfterSize),
        Just(Service::Absent),
        Just(Service::Right(ABOVE_FLOOR)),
        Just(Service::Lies(ABOVE_FLOOR)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn one_honest_source_is_enough(
        others in prop::collection::vec(any_service(), 0..12),
        place in 0usize..12,
    ) {
        let mut services = others;
        let place = place % (services.len() + 1);
        services.insert(place, Service::Right(FAST));
        let (done, _, _) = World::new(&services).play();
        prop_assert!(done.is_ok(), "{services:?}");
    }
}
