//! The driver of a miner in the model: carries out the actions of the shipped state machine.

use crate::{
    chain::TxId,
    faults::Kind,
    node::{Input, Role},
    shared::Done,
    store::{DecisionId, ObjectId, StateId},
    transfers::{End, Part, Tag, TransferId},
    world::World,
};
use base::{Height, Window};
use protocol::{
    announcement::{Claim, Record},
    machine::miner::{MinerAction, MinerEvent, MinerMachine, MinerRules},
};
use std::collections::BTreeMap;

/// A miner.
#[derive(Debug)]
pub(crate) struct Miner {
    machine: MinerMachine<ObjectId>,
    doing: Doing,
    training: Option<Training>,
    /// The decision that is to be applied.
    decided: Option<DecisionId>,
    /// The submissions in the journal, by window.
    kept: BTreeMap<u64, ObjectId>,
    /// The time spent in training for submissions that were made.
    pub(crate) trained: u64,
    /// The objects that it made.
    pub(crate) made: u64,
}

/// A training in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Training {
    window: Window,
    /// The state from which it trains.
    base: StateId,
    /// The block with which it begins.
    from: Height,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waits,
    Runs(u32),
    Ended,
    /// The miner does not train in this window.
    Failed,
}

/// The action that is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    Wait(Height),
    Await { before: Height },
    Compress { window: Window, before: Height, token: u32 },
    Upload { before: Height, transfer: TransferId },
    Claim { before: Height, object: ObjectId, tx: Option<TxId> },
    Reveal { before: Height, transfer: TransferId },
    Shared,
    Finished,
}

impl Miner {
    /// Creates a miner without a shared state.
    pub(crate) fn new(clock: protocol::clock::Clock, rules: MinerRules) -> Self {
        let machine = MinerMachine::new(clock, rules);
        let (doing, kept) = (Doing::Nothing, BTreeMap::new());
        Self { machine, doing, training: None, decided: None, kept, trained: 0, made: 0 }
    }
}

impl World {
    fn miner(&mut self, n: usize) -> Option<&mut Miner> {
        match &mut self.nodes[n].role {
            Role::Miner(miner) => Some(miner),
            _ => None,
        }
    }

    fn set_miner(&mut self, n: usize, doing: Doing) {
        if let Some(miner) = self.miner(n) {
            miner.doing = doing;
        }
    }

    /// Starts the process of a miner. Only the journal is left of an earlier one.
    pub(crate) fn start_miner(&mut self, n: usize) {
        let overlaps = self.setup.profile.acceptance.overlaps();
        let rules = MinerRules { reveals: true, overlaps, ..MinerRules::default() };
        let clock = self.setup.clock;
        let Some(miner) = self.miner(n) else { return };
        miner.machine = MinerMachine::new(clock, rules);
        miner.doing = Doing::Shared;
        self.drop_training(n);
        let done = self.catch_up(n);
        self.miner_shared(n, done);
    }

    /// Gives a miner what it waits for.
    pub(crate) fn miner_input(&mut self, n: usize, input: Input) {
        if self.training_input(n, input) {
            return;
        }
        let Some(miner) = self.miner(n) else { return };
        let doing = miner.doing;
        let height = self.view(n);
        let event = match (doing, input) {
            (Doing::Shared, input) => {
                let done = self.shared_input(n, input);
                return self.miner_shared(n, done);
            }
            (Doing::Wait(until), Input::Wake) if height >= until => Some(MinerEvent::Height),
            (Doing::Await { before }, Input::Wake) if height >= before => {
                self.drop_training(n);
                Some(MinerEvent::GaveUp)
            }
            (Doing::Compress { before, .. }, Input::Wake) if height >= before => Some(MinerEvent::GaveUp),
            (Doing::Compress { window, token, .. }, Input::Timer(found)) if token == found => {
                Some(self.made(n, window))
            }
            (Doing::Upload { transfer, before }, Input::Wake) if height >= before => {
                self.cancel(transfer);
                Some(MinerEvent::Height)
            }
            (Doing::Reveal { transfer, before }, Input::Wake) if height >= before => {
                self.cancel(transfer);
                Some(MinerEvent::Height)
            }
            (Doing::Upload { .. }, Input::Transfer(Tag::Upload, end, _)) => {
                Some(if end == End::Done { MinerEvent::Uploaded } else { MinerEvent::Failed })
            }
            (Doing::Reveal { .. }, Input::Transfer(Tag::Reveal, end, _)) => {
                Some(if end == End::Done { MinerEvent::Revealed } else { MinerEvent::Failed })
            }
            (Doing::Claim { before, .. }, Input::Wake) if height >= before => Some(MinerEvent::Height),
            (Doing::Claim { tx, .. }, Input::Tx(id, block)) if tx == Some(id) => {
                Some(if block.is_some() { MinerEvent::Claimed } else { MinerEvent::Failed })
            }
            (Doing::Claim { before, object, tx: None }, Input::Wake) => {
                self.claim(n, object, before);
                None
            }
            _ => None,
        };
        if let Some(event) = event {
            self.miner_step(n, event);
        }
    }

    /// Gives the machine events until an action takes time.
    fn miner_step(&mut self, n: usize, event: MinerEvent<ObjectId>) {
        let mut event = Some(event);
        while let Some(next) = event {
            let height = self.view(n);
            let Some(miner) = self.miner(n) else { return };
            let action = miner.machine.step(next, height);
            event = self.miner_act(n, action);
        }
    }

    fn miner_act(&mut self, n: usize, action: MinerAction<ObjectId>) -> Option<MinerEvent<ObjectId>> {
        match action {
            MinerAction::Wait(height) => {
                self.set_miner(n, Doing::Wait(height));
                self.wait_for(n, height);
            }
            MinerAction::Prefetch { window, until } => {
                self.begin_prefetch(n, window, until, None);
                return Some(MinerEvent::Prefetching);
            }
            MinerAction::Train { window, from } => return Some(self.train(n, window, from)),
            MinerAction::Await { before, .. } => return self.await_training(n, before),
            MinerAction::Compress { window, before } => {
                let token = self.timer(n, self.setup.profile.work.compress);
                self.set_miner(n, Doing::Compress { window, before, token });
                self.wait_for(n, before);
            }
            MinerAction::Upload { upload, before, .. } => {
                if self.nodes[n].has(Kind::Missing) {
                    return Some(MinerEvent::Uploaded);
                }
                let (what, bytes) = (Some((upload, Part::Object)), self.setup.profile.object_bytes);
                let transfer = self.put(n, Tag::Upload, what, bytes);
                self.set_miner(n, Doing::Upload { before, transfer });
                self.wait_for(n, before);
            }
            MinerAction::Claim { upload, before, .. } => self.claim(n, upload, before),
            MinerAction::Reveal { upload, before, .. } => {
                if self.nodes[n].has(Kind::Keyless) || self.nodes[n].has(Kind::Choosing) {
                    return Some(MinerEvent::Revealed);
                }
                let transfer = self.put(n, Tag::Reveal, Some((upload, Part::Key)), 0);
                self.set_miner(n, Doing::Reveal { before, transfer });
                self.wait_for(n, before);
            }
            MinerAction::Decide { window, .. } => {
                self.set_miner(n, Doing::Shared);
                let done = self.decide(n, window);
                return self.miner_done(n, done);
            }
            MinerAction::Apply { .. } => {
                self.set_miner(n, Doing::Shared);
                let decision = self.miner(n)?.decided.take()?;
                self.step_state(n, decision);
            }
            MinerAction::Resync => {
                self.drop_training(n);
                self.set_miner(n, Doing::Shared);
                let done = self.resync(n);
                return self.miner_done(n, done);
            }
            MinerAction::Finish => self.set_miner(n, Doing::Finished),
        }
        None
    }

    /// Begins a training in the background.
    fn train(&mut self, n: usize, window: Window, from: Height) -> MinerEvent<ObjectId> {
        let is_idle = self.nodes[n].has(Kind::Irregular) && !(window.0 + n as u64).is_multiple_of(3);
        let progress = if is_idle { Progress::Failed } else { Progress::Waits };
        let base = self.nodes[n].state;
        if let Some(miner) = self.miner(n) {
            miner.training = Some(Training { window, base, from, progress });
        }
        self.wait_for(n, from);
        MinerEvent::Training(window)
    }

    /// Handles what a training waits for. Returns whether the input was the training's alone.
    fn training_input(&mut self, n: usize, input: Input) -> bool {
        let height = self.view(n);
        let Some(Training { from, progress, .. }) = self.miner(n).and_then(|miner| miner.training) else {
            return false;
        };
        let next = match (progress, input) {
            (Progress::Waits, Input::Wake) if height >= from => {
                Progress::Runs(self.timer(n, self.setup.profile.work.train))
            }
            (Progress::Runs(token), Input::Timer(found)) if token == found => Progress::Ended,
            _ => return false,
        };
        let Some(miner) = self.miner(n) else { return false };
        let is_awaited = matches!(miner.doing, Doing::Await { .. });
        miner.training = miner.training.map(|training| Training { progress: next, ..training });
        if next == Progress::Ended && is_awaited {
            self.miner_step(n, MinerEvent::Trained);
        }
        next == Progress::Ended
    }

    fn drop_training(&mut self, n: usize) {
        if let Some(miner) = self.miner(n) {
            miner.training = None;
        }
    }

    fn await_training(&mut self, n: usize, before: Height) -> Option<MinerEvent<ObjectId>> {
        match self.miner(n)?.training.map(|training| training.progress) {
            Some(Progress::Ended) => return Some(MinerEvent::Trained),
            Some(Progress::Failed) | None => return Some(MinerEvent::GaveUp),
            Some(Progress::Waits | Progress::Runs(_)) => {}
        }
        self.set_miner(n, Doing::Await { before });
        self.wait_for(n, before);
        None
    }

    /// Writes the update to the journal.
    fn made(&mut self, n: usize, window: Window) -> MinerEvent<ObjectId> {
        let base = self.miner(n).and_then(|miner| miner.training.take()).map(|training| training.base);
        let object = self.objects.add(n, window, base, None);
        let train = self.setup.profile.work.train;
        if let Some(miner) = self.miner(n) {
            miner.kept.insert(window.0, object);
            miner.kept.retain(|kept, _| kept + 24 > window.0);
            miner.trained += train;
            miner.made += 1;
        }
        MinerEvent::Prepared(object)
    }

    fn claim(&mut self, n: usize, object: ObjectId, before: Height) {
        let (window, hash) = (Window(self.objects.get(object).window), self.objects.get(object).hash);
        let claim = Claim { run: self.setup.run, window, object: hash };
        let tx = self.submit(n, Record::Claim(claim));
        self.set_miner(n, Doing::Claim { before, object, tx });
        self.wait_for(n, before);
        if tx.is_none() {
            let next = self.view(n).next();
            self.wait_for(n, next);
        }
    }

    /// Goes on after work on the shared state.
    pub(crate) fn miner_shared(&mut self, n: usize, done: Option<Done>) {
        if let Some(event) = self.miner_done(n, done) {
            self.miner_step(n, event);
        }
    }

    /// Returns the machine's event for the end of work on the shared state.
    fn miner_done(&mut self, n: usize, done: Option<Done>) -> Option<MinerEvent<ObjectId>> {
        match done? {
            Done::Decided(decision) => {
                let window = self.decisions[decision as usize].decision.window;
                let own = self.miner(n)?.kept.get(&window.0).copied();
                let done = self.apply(n, decision, own.as_slice());
                self.miner_done(n, done)
            }
            Done::Collected(decision) => {
                self.miner(n)?.decided = Some(decision);
                Some(MinerEvent::Decided)
            }
            Done::Applied(_) | Done::Ready => {
                let state = self.nodes[n].state;
                Some(self.enter(n, state))
            }
            Done::Lost => Some(MinerEvent::Lost),
        }
    }

    /// Finds the upload for this state's window that was made before a restart.
    fn enter(&mut self, n: usize, state: StateId) -> MinerEvent<ObjectId> {
        let window = self.states.get(state).window;
        let kept = self.miner(n).and_then(|miner| miner.kept.get(&window.0).copied());
        let kept = kept.filter(|object| self.objects.get(*object).base == Some(self.base(state)));
        MinerEvent::State { window, kept }
    }
}
