//! A simulated subnet: neurons register, swap hotkeys, lose their uids, and write records.

use base::{
    BlockHash, Height, Hotkey, NeuronId,
    commitment::{Commitment, Field, Fields},
};
use protocol::{
    acceptance::{NeuronState, Snapshot},
    announcement::{self, Announcement, Bucket, Record},
};
use std::collections::BTreeMap;

/// A generator of pseudo-random numbers: the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Draws a number from `first` to `last`, both included.
    pub(crate) fn within(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last + 1 - first)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// An event in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A record, or text of other software, that the hotkey of a uid writes.
    Write(usize, Option<Record>),
    /// A uid that goes to a new hotkey.
    Replace(usize),
    /// A hotkey that loses its uid and registers again.
    Return(usize),
    /// A uid whose owner moves to a new hotkey. The chain keeps the block of registration.
    Swap(usize),
    /// An epoch, in which incentives, stakes and permits change.
    Epoch,
}

/// A written record. The log keeps them in the order of writing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) block: u64,
    pub(crate) hotkey: Hotkey,
    pub(crate) record: Option<Record>,
}

/// The subnet.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) neurons: Vec<NeuronState>,
    /// The number of validators, which have the first uids.
    pub(crate) validators: usize,
    /// All records that were ever written.
    pub(crate) log: Vec<Written>,
    /// The metagraph after the blocks that were advanced to.
    pub(crate) metagraphs: BTreeMap<u64, Vec<NeuronState>>,
    commitments: BTreeMap<Hotkey, Commitment>,
    pending: Vec<(u64, Event)>,
    hotkeys: u64,
    /// Whether stakes are small multiples of one another, so that halves occur.
    even: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let validators = random.within(1, 5) as usize;
        let uids = validators + random.within(1, 12) as usize;
        let mut world = Self {
            random,
            neurons: Vec::new(),
            validators,
            log: Vec::new(),
            metagraphs: BTreeMap::new(),
            commitments: BTreeMap::new(),
            pending: Vec::new(),
            hotkeys: 0,
            even: false,
        };
        world.even = world.random.percent(50);
        let whale = world.random.percent(40) && !world.even;
        for uid in 0..uids {
            let registered = Height(world.random.below(90));
            let id = NeuronId { hotkey: world.new_hotkey(), registered };
            let permit = uid < validators;
            let stake = match (permit, whale && uid == 0) {
                (false, _) => 0,
                (true, true) => 65_535,
                (true, false) if world.even => world.random.within(1, 2) as u16 * 1000,
                (true, false) => world.random.within(1, 9_000) as u16,
            };
            world.neurons.push(NeuronState { id, incentive: 0, stake, permit });
        }
        world
    }

    fn new_hotkey(&mut self) -> Hotkey {
        self.hotkeys += 1;
        let mut hotkey = [0; 32];
        // The order of hotkeys is not the order of uids.
        hotkey[..8].copy_from_slice(&self.hotkeys.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Hotkey(hotkey)
    }

    pub(crate) fn schedule(&mut self, block: u64, event: Event) {
        self.pending.push((block, event));
    }

    /// Runs all blocks up to this one, and stores the metagraph after it.
    pub(crate) fn advance(&mut self, block: u64) {
        self.pending.sort_by_key(|(at, _)| *at);
        let due = self.pending.partition_point(|(at, _)| *at <= block);
        for (at, event) in self.pending.drain(..due).collect::<Vec<_>>() {
            self.happen(at, event);
        }
        self.metagraphs.insert(block, self.neurons.clone());
    }

    fn happen(&mut self, block: u64, event: Event) {
        match event {
            Event::Write(uid, record) => self.write(block, uid, record),
            Event::Replace(uid) => {
                let stake = if self.random.percent(50) { 0 } else { self.neurons[uid].stake / 2 };
                let id = NeuronId { hotkey: self.new_hotkey(), registered: Height(block) };
                self.neurons[uid] = NeuronState { id, incentive: 0, stake, permit: uid < self.validators };
            }
            Event::Return(uid) => {
                self.neurons[uid].id.registered = Height(block);
                self.neurons[uid].incentive = 0;
            }
            Event::Swap(uid) => self.neurons[uid].id.hotkey = self.new_hotkey(),
            Event::Epoch => self.epoch(),
        }
    }

    fn epoch(&mut self) {
        for uid in 0..self.neurons.len() {
            let random = &mut self.random;
            let is_validator = uid < self.validators;
            let incentive = if random.percent(40) { 0 } else { random.below(4) as u16 * 1000 };
            let revoked = random.percent(4);
            let drift = if self.even { 100 } else { random.within(80, 120) };
            let neuron = &mut self.neurons[uid];
            neuron.incentive = if is_validator { 0 } else { incentive };
            neuron.permit = is_validator && !revoked;
            neuron.stake = (u64::from(neuron.stake) * drift / 100).min(65_535) as u16;
        }
    }

    fn write(&mut self, block: u64, uid: usize, record: Option<Record>) {
        let hotkey = self.neurons[uid].id.hotkey;
        let bucket = Bucket::r2(&"a".repeat(32), &"b".repeat(32), &"c".repeat(64)).unwrap();
        let fields = match record {
            Some(record) => Announcement { bucket, record: Some(record) }.fields().unwrap(),
            None => Fields::new(vec![Field::raw(*b"{\"other\":\"software\"}").unwrap()]).unwrap(),
        };
        self.commitments.insert(hotkey, Commitment { deposit: 0, block: block as u32, fields });
        self.log.push(Written { block, hotkey, record });
    }

    /// Returns the state after a block as one node reads it: in any order. The block is the last
    /// one advanced to.
    pub(crate) fn read(&mut self, block: u64) -> Snapshot {
        let mut neurons = self.metagraphs[&block].clone();
        let mut commitments: Vec<_> = self.commitments.clone().into_iter().collect();
        self.random.shuffle(&mut neurons);
        self.random.shuffle(&mut commitments);
        let record = |(hotkey, commitment): &(Hotkey, Commitment)| {
            let record = *announcement::read(&commitment.fields).record()?;
            Some((*hotkey, Height(commitment.block.into()), record))
        };
        let records = commitments.iter().filter_map(record);
        Snapshot::new(Height(block), hash(block), neurons, records).unwrap()
    }
}

/// Returns the hash of a block.
pub(crate) fn hash(block: u64) -> BlockHash {
    BlockHash(*blake3::hash(&block.to_le_bytes()).as_bytes())
}
