//! The driver of a validator in the model: carries out the actions of the shipped state machine.

use crate::{
    background::{Background, Sending},
    node::{Input, Role},
    prefetch::Collected,
    profile::Work,
    setup::place,
    shared::Done,
    store::DecisionId,
    world::World,
};
use base::{Height, Window, digest::ScoreLogHead};
use protocol::{
    acceptance::Agreement,
    announcement::{Bits, Possession, Record, Vote},
    downloads,
    machine::validator::{
        Past, SettledWeights, ValidatorAction, ValidatorEvent, ValidatorMachine, ValidatorRules, WindowValues,
    },
};
use scoring::gauntlet::{Availability, Outcome};
use std::{collections::BTreeSet, sync::Arc};

/// Windows between two checkpoints.
const CHECKPOINT_EVERY: u64 = 4;
/// The time budget of the evaluations, in milliseconds (`validator.time_budget`).
const TIME_BUDGET: u64 = 600_000;

/// The values of a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values;

impl WindowValues for Values {
    type Fetched = Arc<Collected>;
    type Good = Bits;
    type Measured = ();
    type Decision = DecisionId;
    type Applied = DecisionId;
}

type Action = ValidatorAction<Values>;
pub(crate) type Event = ValidatorEvent<Values>;

/// A validator.
#[derive(Debug)]
pub(crate) struct Validator {
    machine: Option<ValidatorMachine<Values>>,
    doing: Doing,
    /// The newest window with a log in the journal, and the windows whose logs are not in the bucket.
    logged: Option<Window>,
    unpublished: BTreeSet<Window>,
    /// The newest weights on chain.
    weighed: Option<SettledWeights>,
    /// The window in which failures of availability are excused.
    excused: Option<Window>,
    pub(crate) background: Background,
}

/// The action that is carried out.
#[derive(Clone, Debug)]
enum Doing {
    Nothing,
    Wait(Height),
    Collect,
    /// The trial of the candidates: begun at a time, until a block.
    Screen {
        fetched: Arc<Collected>,
        began: u64,
        until: Height,
        token: u32,
    },
    /// The evaluations, until a block.
    Measure {
        until: Height,
        token: u32,
    },
    Work(u32, Box<Event>),
    Shared,
    /// Waits for the work in the background.
    Publish,
    Finished,
}

impl Validator {
    pub(crate) fn new() -> Self {
        Self {
            machine: None,
            doing: Doing::Nothing,
            logged: None,
            unpublished: BTreeSet::new(),
            weighed: None,
            excused: None,
            background: Background::default(),
        }
    }
}

impl World {
    pub(crate) fn validator(&mut self, n: usize) -> Option<&mut Validator> {
        match &mut self.nodes[n].role {
            Role::Validator(validator) => Some(validator),
            _ => None,
        }
    }

    fn set_validator(&mut self, n: usize, doing: Doing) {
        if let Some(validator) = self.validator(n) {
            validator.doing = doing;
        }
    }

    /// Starts the process of a validator. Only the journal is left of an earlier one.
    pub(crate) fn start_validator(&mut self, n: usize) {
        let Some(validator) = self.validator(n) else { return };
        (validator.machine, validator.doing) = (None, Doing::Shared);
        validator.background = Background::default();
        let done = self.catch_up(n);
        self.validator_shared(n, done);
    }

    /// Resumes the state machine from the journal and the chain.
    fn resume(&mut self, n: usize) {
        let (window, clock) = (self.states.get(self.nodes[n].state).window, self.setup.clock);
        let opens = self.view(n);
        let voted = match self.chain.records[n] {
            Some((_, Record::Vote(vote))) => Some(vote.window),
            _ => None,
        };
        let Some(validator) = self.validator(n) else { return };
        let (logged, weighed) = (validator.logged, validator.weighed.into_iter().collect());
        let past = Past { voted, logged, unpublished: validator.unpublished.clone(), weighed, opens };
        let rules = ValidatorRules { clock, checkpoint_every: CHECKPOINT_EVERY };
        validator.machine = Some(ValidatorMachine::resume(rules, window, past));
    }

    /// Gives a validator what it waits for.
    pub(crate) fn validator_input(&mut self, n: usize, input: Input) {
        self.background(n, input);
        let Some(validator) = self.validator(n) else { return };
        let doing = validator.doing.clone();
        let height = self.view(n);
        let event = match (doing, input) {
            (Doing::Shared, input) => {
                let done = self.shared_input(n, input);
                return self.validator_shared(n, done);
            }
            (Doing::Wait(until), Input::Wake) if height >= until => Some(Event::Height),
            (Doing::Collect, _) => self.try_collect(n),
            (Doing::Screen { fetched, token, .. }, Input::Timer(found)) if token == found => {
                Some(Event::Screened(self.good(&fetched, u64::MAX)))
            }
            (Doing::Screen { fetched, began, until, .. }, Input::Wake) if height >= until => {
                let each = self.setup.profile.work.screen * self.nodes[n].slowness;
                let tried = (self.now - began) / each.max(1);
                Some(Event::Screened(self.good(&fetched, tried)))
            }
            (Doing::Measure { token, .. }, Input::Timer(found)) if token == found => {
                Some(Event::Measured(()))
            }
            (Doing::Measure { until, .. }, Input::Wake) if height >= until => Some(Event::Measured(())),
            (Doing::Work(token, event), Input::Timer(found)) if token == found => Some(*event),
            (Doing::Publish, _) => self.published(n),
            _ => None,
        };
        if let Some(event) = event {
            self.validator_step(n, event);
        }
    }

    /// Gives the machine events until an action takes time.
    fn validator_step(&mut self, n: usize, event: Event) {
        let mut event = Some(event);
        while let Some(next) = event {
            let height = self.view(n);
            let Some(validator) = self.validator(n) else { return };
            let Some(machine) = &mut validator.machine else { return };
            let action = machine.step(next, height);
            event = self.validator_act(n, action);
        }
    }

    fn validator_act(&mut self, n: usize, action: Action) -> Option<Event> {
        let Work { screen, evaluate, .. } = self.setup.profile.work;
        let (screen, evaluate) = (screen * self.nodes[n].slowness, evaluate * self.nodes[n].slowness);
        match action {
            Action::Wait(height) => {
                self.set_validator(n, Doing::Wait(height));
                self.wait_for(n, height);
            }
            Action::HeldOut { .. } => return Some(Event::HeldOut),
            Action::Prefetch { window, until, last_keys } => {
                self.begin_prefetch(n, window, until, last_keys);
                return Some(Event::Prefetching { until });
            }
            Action::Collect { .. } => {
                self.set_validator(n, Doing::Collect);
                return self.try_collect(n);
            }
            Action::Screen { fetched, until, .. } => {
                let count =
                    fetched.candidates.iter().filter(|candidate| fetched.has_arrived(candidate)).count();
                let token = self.timer(n, screen * count as u64);
                self.set_validator(n, Doing::Screen { fetched, began: self.now, until, token });
                self.wait_for(n, until);
            }
            Action::Vote { window, good, .. } => return Some(self.begin_vote(n, window, good)),
            Action::Custody { window, fetched, good } => {
                return Some(self.begin_custody(n, window, &fetched, good));
            }
            Action::Measure { fetched, until, .. } => {
                let count = fetched.valid(self).count() as u64;
                let token = self.timer(n, (evaluate * count).min(TIME_BUDGET));
                self.set_validator(n, Doing::Measure { until, token });
                self.wait_for(n, until);
            }
            Action::Decide { window } => {
                self.set_validator(n, Doing::Shared);
                let done = self.decide(n, window);
                return self.validator_done(n, done);
            }
            Action::CloseLog { window, fetched, .. } => return Some(self.close_log(n, window, &fetched)),
            Action::Apply { decision, fetched, .. } => {
                if let Some(fetched) = fetched {
                    self.keep_accepted(n, &fetched, decision);
                }
                self.set_validator(n, Doing::Shared);
                let done = self.apply(n, decision, &[]);
                return self.validator_done(n, done);
            }
            Action::Publish { .. } => {
                self.set_validator(n, Doing::Publish);
                return self.published(n);
            }
            Action::PublishLogs { windows } => {
                let validator = self.validator(n)?;
                validator.unpublished.retain(|window| !windows.contains(window));
                return Some(Event::LogsPublished { attempted: windows.clone(), uploaded: windows });
            }
            Action::Checkpoint { .. } => {
                self.begin_checkpoint(n);
                return Some(Event::Checkpointed);
            }
            Action::SetWeights { window } => {
                let height = self.view(n);
                let (weights, opens) = (SettledWeights { window, public: height }, Height(height.0 + 100));
                if let Some(validator) = self.validator(n) {
                    validator.weighed = Some(weights);
                }
                self.work(n, 2 * self.setup.profile.block, Event::WeightsSettled { weights, opens });
            }
            Action::Resync => {
                self.set_validator(n, Doing::Shared);
                let done = self.resync(n);
                return self.validator_done(n, done);
            }
            Action::Finish => self.set_validator(n, Doing::Finished),
        }
        None
    }

    /// Works for a time, then reports an event.
    fn work(&mut self, n: usize, time: u64, event: Event) {
        let token = self.timer(n, time);
        self.set_validator(n, Doing::Work(token, Box::new(event)));
    }

    /// Takes what has arrived, if the downloads have ended.
    fn try_collect(&mut self, n: usize) -> Option<Event> {
        if self.nodes[n].prefetch.is_none() {
            return Some(Event::Missed);
        }
        let collected = self.collect_prefetch(n)?;
        Some(Event::Collected(Arc::new(collected)))
    }

    /// Lets a node look whether its downloads have ended.
    pub(crate) fn collected(&mut self, n: usize) {
        if !matches!(self.validator(n).map(|validator| &validator.doing), Some(Doing::Collect)) {
            return;
        }
        if let Some(event) = self.try_collect(n) {
            self.validator_step(n, event);
        }
    }

    /// Returns the good ones of the first `tried` candidates that have arrived.
    fn good(&self, fetched: &Collected, tried: u64) -> Bits {
        let arrived =
            fetched.candidates.iter().enumerate().filter(|(_, candidate)| fetched.has_arrived(candidate));
        let tried = usize::try_from(tried).unwrap_or(usize::MAX);
        Bits::of(arrived.take(tried).map(|(place, _)| place))
    }

    fn begin_vote(&mut self, n: usize, window: Window, good: Bits) -> Event {
        let state = self.states.get(self.nodes[n].state).state;
        let (score_log, possession) = (ScoreLogHead::default(), Possession::default());
        let vote = Vote { run: self.setup.run, window, good, state, score_log, possession };
        let closes = self.setup.heights(window).map_or(Height(0), |heights| heights.votes_close);
        self.story.tell(self.now, || format!("validator {n} votes on window {window}: {good:?}"));
        self.send(n, Sending { vote, tx: None, closes });
        Event::Voted
    }

    fn close_log(&mut self, n: usize, window: Window, fetched: &Collected) -> Event {
        let Some(validator) = self.validator(n) else { return Event::NotLogged };
        validator.logged = Some(window);
        validator.unpublished.insert(window);
        let is_excused = validator.excused == Some(window);
        let availability = if is_excused { Availability::Excused } else { Availability::Counts };
        let faults = downloads::faults(&fetched.outcomes, fetched.clock);
        if !is_excused {
            self.check_excused(n, window, &fetched.candidates, &faults);
        }
        for (miner, fault) in faults {
            if let Outcome::Failed(fault) = Outcome::of(None, Some(fault), availability) {
                self.check_blame(n, place(&miner) as usize, window, fault);
            }
        }
        Event::Logged
    }

    /// Goes on after work on the shared state.
    pub(crate) fn validator_shared(&mut self, n: usize, done: Option<Done>) {
        if let Some(event) = self.validator_done(n, done) {
            self.validator_step(n, event);
        }
    }

    /// Returns the machine's event for the end of work on the shared state.
    fn validator_done(&mut self, n: usize, done: Option<Done>) -> Option<Event> {
        let done = done?;
        if self.validator(n)?.machine.is_none() {
            self.resume(n);
            return Some(Event::Height);
        }
        match done {
            Done::Decided(decision) => {
                let ours = self.states.get(self.nodes[n].state).state;
                let standing = self.decisions[decision as usize].decision.standing(ours);
                if matches!(standing, Agreement::Diverged { .. }) {
                    let done = self.apply(n, decision, &[]);
                    return self.validator_done(n, done);
                }
                Some(Event::Decided(decision))
            }
            Done::Collected(_) => None, // Only of a miner.
            Done::Applied(decision) => {
                let window = self.states.get(self.nodes[n].state).window;
                let needed_custodians = self.nodes[n].shared.needed_custodians;
                let validator = self.validator(n)?;
                validator.excused = needed_custodians.then_some(window).or(validator.excused);
                Some(Event::Applied(decision))
            }
            Done::Lost => Some(Event::Lost),
            Done::Ready => Some(Event::State { window: self.states.get(self.nodes[n].state).window }),
        }
    }
}
