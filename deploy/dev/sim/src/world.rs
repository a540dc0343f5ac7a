//! A history: the events of a network in virtual time.

use crate::{
    chain::{Chain, FIRST, TxEnd, TxId},
    checks::Checks,
    faults::Kind,
    links::Links,
    node::{Input, Node, Role},
    profile::Profile,
    queue::Queue,
    random::Random,
    scenario::Scenario,
    store::{DecisionId, Objects, StateId, States},
    story::Story,
    transfers::{End, Tag, TransferId, Transfers},
};
use base::{
    Height, NeuronId, Window,
    digest::{ObjectHash, RunHash, RunId},
};
use protocol::{
    acceptance::{Candidate, Decision, Electorate},
    announcement::Record,
    clock::{Clock, Heights},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The facts that do not change within a history.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) scenario: Scenario,
    pub(crate) profile: Arc<Profile>,
    pub(crate) clock: Clock,
    pub(crate) run: RunId,
}

impl Setup {
    /// Returns the age at which a vote has no weight any more, in blocks.
    pub(crate) fn electorate_blocks(&self) -> u64 {
        self.profile.acceptance.electorate_blocks.into()
    }

    /// Returns the heights of a window; `None` after the last.
    pub(crate) fn heights(&self, window: Window) -> Option<Heights> {
        self.clock.heights(window).ok()
    }
}

/// An event.
#[derive(Debug)]
pub(crate) enum Event {
    /// The next block is due.
    Block,
    /// A node sees a block that it waits for.
    Wake { node: u32, generation: u32 },
    /// A time that a node's driver has set.
    Timer { node: u32, generation: u32, token: u32 },
    /// A bucket answers.
    Respond { transfer: TransferId, version: u32 },
    /// A transfer of a line ends.
    Line { line: u32, version: u32 },
    /// A transaction has ended, and its node sees it.
    Tx { node: u32, generation: u32, id: TxId, block: Option<Height> },
    /// A process is killed, and started again after a time; `None`: never.
    Kill { node: u32, away: Option<u64> },
    /// A process starts.
    Start { node: u32 },
    /// A node is cut off from the chain and from buckets until a time.
    Cut { node: u32, until: u64 },
    /// The clock of a node is wrong until a time.
    Clock { node: u32, until: u64 },
}

/// A decision, with the nodes that have its objects.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Arc<Decision>,
    /// The keepers of each accepted object.
    pub(crate) keepers: Vec<Vec<u32>>,
    /// The sources of each accepted object, in the order of asking.
    pub(crate) sources: Vec<Vec<u32>>,
}

/// A network in virtual time.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) setup: Arc<Setup>,
    /// The time in milliseconds.
    pub(crate) now: u64,
    pub(crate) queue: Queue<Event>,
    pub(crate) chain: Chain,
    pub(crate) links: Links,
    pub(crate) transfers: Transfers,
    pub(crate) objects: Objects,
    pub(crate) states: States,
    pub(crate) nodes: Vec<Node>,
    pub(crate) decisions: Vec<Decided>,
    /// The decisions on each window, by the state of the node that decides.
    pub(crate) decided: BTreeMap<u64, Vec<(StateId, DecisionId)>>,
    /// The candidates of each window.
    pub(crate) candidates: BTreeMap<u64, Arc<Vec<Candidate>>>,
    /// The candidates as claims stood after each block of a window, from `D_w - 10` on.
    pub(crate) standing: BTreeMap<(u64, u64), Vec<(NeuronId, ObjectHash)>>,
    /// The electorate at `D_w` of each window, and the custodians that it draws.
    pub(crate) electorates: BTreeMap<u64, Electorate>,
    pub(crate) drawn: BTreeMap<(u64, ObjectHash), Vec<u32>>,
    pub(crate) checks: Checks,
    pub(crate) story: Story,
    pub(crate) events: u64,
    pub(crate) random: Random,
    /// The nodes that wait for a block.
    waiting: BTreeMap<u64, Vec<(u32, u32)>>,
    /// The blocks whose states are kept.
    needed: BTreeSet<u64>,
    /// The end of the present stop of finality.
    stalled_until: u64,
    ended: Vec<TxEnd>,
}

impl World {
    /// Creates the network of a scenario, at the first block.
    pub(crate) fn new(setup: Arc<Setup>, nodes: Vec<Node>, links: Links, chain: Chain, story: Story) -> Self {
        let scenario = &setup.scenario;
        let windows = (0..u64::from(scenario.windows)).filter_map(|window| setup.heights(Window(window)));
        let kept =
            |heights: Heights| (heights.incentives.0..=heights.claims_close.0).chain([heights.votes_close.0]);
        let needed = windows.flat_map(kept);
        let needed = needed.collect();
        let (seed, count) = (scenario.seed, nodes.len());
        let run = RunHash(crate::random::bytes(3, [seed, 0, 0]));
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            chain,
            links,
            transfers: Transfers::default(),
            objects: Objects::new(seed),
            states: States::new(&run),
            nodes,
            decisions: Vec::new(),
            decided: BTreeMap::new(),
            candidates: BTreeMap::new(),
            standing: BTreeMap::new(),
            electorates: BTreeMap::new(),
            drawn: BTreeMap::new(),
            checks: Checks::new(),
            story,
            events: 0,
            random: Random::new(seed, 4),
            waiting: BTreeMap::new(),
            needed,
            stalled_until: 0,
            ended: Vec::new(),
            setup,
        };
        world.queue.push(0, Event::Block);
        for node in 0..count {
            world.queue.push(1 + node as u64 % 7, Event::Start { node: node as u32 });
        }
        world.plan_faults();
        world
    }

    /// Runs until the last window is decided and applied, or until the first violation if asked for.
    pub(crate) fn run(&mut self, stop_at_violation: bool) {
        let last = self.setup.heights(self.setup.clock.last_window());
        let Some(last) = last else { return };
        let end = last.votes_close.0 + u64::from(self.setup.profile.window.claims_close) + 2;
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.events += 1;
            self.handle(event);
            if self.chain.finalized() > end || (stop_at_violation && !self.checks.violations.is_empty()) {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Block => self.block(),
            Event::Wake { node, generation } => self.to(node, generation, Input::Wake),
            Event::Timer { node, generation, token } => self.to(node, generation, Input::Timer(token)),
            Event::Tx { node, generation, id, block } => self.to(node, generation, Input::Tx(id, block)),
            Event::Respond { transfer, version } => self.respond(transfer, version),
            Event::Line { line, version } => self.line(line, version),
            Event::Kill { node, away } => self.kill(node as usize, away),
            Event::Start { node } => self.start(node as usize),
            Event::Cut { node, until } => self.cut(node as usize, until),
            Event::Clock { node, until } => self.shift_clock(node as usize, until),
        }
    }

    fn to(&mut self, node: u32, generation: u32, input: Input) {
        let n = node as usize;
        if !self.nodes[n].is_up || self.nodes[n].generation != generation {
            return;
        }
        let later = match input {
            Input::Wake => Some(Event::Wake { node, generation }),
            Input::Tx(id, block) => Some(Event::Tx { node, generation, id, block }),
            _ => None,
        };
        // A node that was cut off in the meantime sees the chain later.
        match later.filter(|_| self.nodes[n].is_cut(self.now)) {
            Some(later) => self.queue.push(self.nodes[n].cut_until, later),
            None => self.deliver(n, input),
        }
    }

    /// Returns the state from which submissions are trained that the nodes with this state expect.
    pub(crate) fn base(&self, state: StateId) -> StateId {
        if self.setup.profile.acceptance.overlaps() { self.states.before(state) } else { state }
    }

    /// Gives a node's driver what it waits for.
    pub(crate) fn deliver(&mut self, n: usize, input: Input) {
        if self.prefetch_input(n, input) {
            // The downloads may have ended with it.
            return self.collected(n);
        }
        match self.nodes[n].role {
            Role::Miner(_) => self.miner_input(n, input),
            Role::Validator(_) => self.validator_input(n, input),
            Role::Script => {}
        }
    }

    /// Gives a node the end of a transfer of an accepted object.
    pub(crate) fn accepted_ended(&mut self, n: usize, id: TransferId, tag: Tag, end: End, moved: u64) {
        let done = self.shared_transfer(n, id, tag, end, moved);
        match self.nodes[n].role {
            Role::Miner(_) => self.miner_shared(n, done),
            Role::Validator(_) => self.validator_shared(n, done),
            Role::Script => {}
        }
    }

    /// Makes a block, drops some now and then, and makes blocks final.
    fn block(&mut self) {
        let Self { chain, random, setup, .. } = self;
        let (delay, lost) = (setup.scenario.share(Kind::Delay), setup.scenario.share(Kind::Lost));
        let (best, mut is_late) = (chain.best(), false);
        chain.make_block(|tx| {
            let waits = random.per_mille(delay);
            is_late |= waits && tx.since < best;
            !waits
        });
        let blocks = u64::from(setup.profile.window.blocks);
        if random.below(1000 * blocks) < 4 * setup.scenario.share(Kind::Drop) {
            let depth = random.within(1, u64::from(setup.profile.window.finality_lag).max(1));
            let depth = chain.drop_blocks(depth, |_| random.per_mille(lost));
            for _ in 0..depth {
                chain.make_block(|_| random.per_mille(700));
            }
            // A transaction of a dropped block may come too late.
            self.checks.chain_trouble(self.now + 2 * setup.profile.block);
            self.story.tell(self.now, || format!("{depth} blocks are dropped and made again"));
        }
        if is_late {
            self.checks.chain_trouble(self.now);
        }
        self.hostile_block();
        self.finality();
        let block = self.setup.profile.block;
        let jitter = self.random.within(0, block / 8);
        self.queue.push(self.now + block - block / 16 + jitter, Event::Block);
    }

    /// Makes the blocks final that are old enough.
    fn finality(&mut self) {
        let lag = u64::from(self.setup.profile.window.finality_lag);
        let blocks = u64::from(self.setup.profile.window.blocks);
        if self.random.below(1000 * blocks) < self.setup.scenario.share(Kind::Stall) {
            let time = self.random.within(2, blocks) * self.setup.profile.block;
            self.stalled_until = self.now + time;
            self.story.tell(self.now, || format!("finality stops for {} s", time / 1000));
        }
        if self.now < self.stalled_until {
            self.checks.chain_trouble(self.now + lag * self.setup.profile.block);
            return;
        }
        while self.chain.finalized() + lag < self.chain.best() {
            self.finalize();
        }
    }

    fn finalize(&mut self) {
        let height = self.chain.finalized() + 1;
        let mut ended = std::mem::take(&mut self.ended);
        self.chain.finalize(self.now, self.needed.contains(&height), &mut ended);
        for TxEnd { id, node, block } in ended.drain(..) {
            let Node { generation, .. } = self.nodes[node as usize];
            self.queue.push(self.seen_at(node as usize), Event::Tx { node, generation, id, block });
        }
        self.ended = ended;
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > height {
                break;
            }
            for (node, generation) in entry.remove() {
                self.queue.push(self.seen_at(node as usize), Event::Wake { node, generation });
            }
        }
        self.after_final(Height(height));
    }

    /// Returns the time at which a node sees a block that is final now.
    fn seen_at(&self, n: usize) -> u64 {
        let node = &self.nodes[n];
        (self.now + node.delay).max(node.cut_until)
    }

    /// Returns the latest final block that a node has seen.
    pub(crate) fn view(&mut self, n: usize) -> Height {
        let node = &mut self.nodes[n];
        if !node.is_cut(self.now) {
            node.seen = node.seen.max(FIRST);
            while node.seen < self.chain.finalized()
                && self.chain.final_at(node.seen + 1) + node.delay <= self.now
            {
                node.seen += 1;
            }
        }
        Height(node.seen)
    }

    /// Wakes a node when it has seen this block.
    pub(crate) fn wait_for(&mut self, n: usize, height: Height) {
        let generation = self.nodes[n].generation;
        let (node, finalized) = (n as u32, self.chain.finalized());
        if height.0 <= finalized {
            let seen = self.chain.final_at(height.0.max(FIRST)) + self.nodes[n].delay;
            let at = seen.max(self.nodes[n].cut_until).max(self.now);
            self.queue.push(at, Event::Wake { node, generation });
        } else {
            self.waiting.entry(height.0).or_default().push((node, generation));
        }
    }

    /// Sets a timer. Returns its token.
    pub(crate) fn timer(&mut self, n: usize, time: u64) -> u32 {
        let node = &mut self.nodes[n];
        let (generation, token) = (node.generation, node.next_token());
        self.queue.push(self.now + time, Event::Timer { node: n as u32, generation, token });
        token
    }

    /// Submits a record to the chain. A node that is cut off submits it when it is connected again.
    pub(crate) fn submit(&mut self, n: usize, record: Record) -> Option<TxId> {
        (!self.nodes[n].is_cut(self.now)).then(|| self.chain.submit(n, record))
    }
}
