//! One peer of a prefetch: its object, its key, its budget, and the time for which it answers.

use super::{PrefetchRules, TRIES};
use crate::downloads::{INTERVAL, PeerOutcome, TryFailure, TryId, back_off, meter::Meter};
use base::{Height, NeuronId, digest::ObjectHash};
use scoring::gauntlet::Fault;
use std::time::Duration;

/// The most pauses of a peer's downloads for others. Each one costs at most a quarter of the object: that
/// much is downloaded again, within the budget.
const PAUSES: u32 = 2;

/// A peer that is or was a candidate.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) id: NeuronId,
    /// Its rank in the order of the candidates, while it is a candidate.
    pub(super) rank: Option<usize>,
    pub(super) object: ObjectHash,
    pub(super) progress: Progress,
    pub(super) key: Key,
    pub(super) invalid: Option<Fault>,
    /// The bytes of all its objects.
    pub(super) bytes: u64,
    /// The bytes of all its keys.
    pub(super) key_bytes: u64,
    pub(super) failures: u32,
    last_failure: Option<TryFailure>,
    /// The tries that broke off after some bytes.
    broken: u32,
    /// The pauses for others.
    pauses: u32,
    /// The time for which the peer answers: its download was open or paused after a failure, and the own line
    /// was not full.
    answers_for: Duration,
    /// The bytes that arrived in that time.
    answered: u64,
}

/// The progress of the object.
#[derive(Clone, Debug)]
pub(super) enum Progress {
    /// No try is open. The next one may begin at this time.
    Waiting(Duration),
    Open(Open),
    Arrived,
    /// The budget is spent.
    Spent,
}

/// An open try of an object.
#[derive(Clone, Debug)]
pub(super) struct Open {
    id: TryId,
    since: Duration,
    meter: Meter,
    bytes: u64,
}

/// The progress of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Absent,
    Open {
        id: TryId,
        asked: Height,
    },
    Arrived,
    /// This node could not ask for it when block `K_w` was final.
    NotAsked,
}

impl Open {
    pub(super) fn new(id: TryId, since: Duration) -> Self {
        Self { id, since, meter: Meter::default(), bytes: 0 }
    }

    /// Checks whether the try is young, or not slower than a rate.
    pub(super) fn takes_slot(&self, now: Duration, least: u64) -> bool {
        now.saturating_sub(self.since) < INTERVAL || self.meter.rate(now) >= least
    }
}

impl Peer {
    pub(super) fn new(id: NeuronId, object: ObjectHash) -> Self {
        Self {
            id,
            rank: None,
            object,
            progress: Progress::Waiting(Duration::ZERO),
            key: Key::Absent,
            invalid: None,
            bytes: 0,
            key_bytes: 0,
            failures: 0,
            last_failure: None,
            broken: 0,
            pauses: 0,
            answers_for: Duration::ZERO,
            answered: 0,
        }
    }

    pub(super) fn open(&self) -> Option<&Open> {
        if let Progress::Open(open) = &self.progress { Some(open) } else { None }
    }

    pub(super) fn may_start(&self, now: Duration) -> bool {
        self.waits_until().is_some_and(|until| until <= now)
    }

    /// Returns the time from which on the next try may begin.
    pub(super) fn waits_until(&self) -> Option<Duration> {
        match self.progress {
            Progress::Waiting(until) if self.invalid.is_none() => Some(until),
            _ => None,
        }
    }

    /// Takes another object. What was spent stays spent. Returns the tries that end.
    pub(super) fn claim(&mut self, object: ObjectHash) -> Vec<TryId> {
        let stopped = self.interrupt();
        if !matches!(self.progress, Progress::Spent) {
            self.progress = Progress::Waiting(Duration::ZERO);
        }
        (self.object, self.key, self.invalid) = (object, Key::Absent, None);
        stopped
    }

    /// Ends the open try of the object, so that others are earlier, if its bytes are few. Returns it.
    pub(super) fn pause(&mut self, rules: &PrefetchRules) -> Option<TryId> {
        let is_cheap = |open: &Open| self.pauses < PAUSES && open.bytes <= rules.most_bytes / 4;
        self.open().filter(|open| is_cheap(open))?;
        self.pauses += 1;
        self.end_object()
    }

    /// Ends the open try of the object. A later one may follow. Returns it.
    fn end_object(&mut self) -> Option<TryId> {
        let open = self.open()?.id;
        self.progress = Progress::Waiting(Duration::ZERO);
        Some(open)
    }

    /// Ends the open tries. Later ones may follow. Returns them.
    pub(super) fn interrupt(&mut self) -> Vec<TryId> {
        let mut stopped = Vec::from_iter(self.end_object());
        if let Key::Open { id, .. } = self.key {
            stopped.push(id);
            self.key = Key::Absent;
        }
        stopped
    }

    /// Ends the object's download at `K_w`, and the key's if the object is incomplete. Returns the tries that
    /// end.
    pub(super) fn close(&mut self) -> Vec<TryId> {
        if matches!(self.progress, Progress::Arrived) { Vec::new() } else { self.interrupt() }
    }

    /// Ends the ask for the key, since the seed may be known. With `was_due`, one was due when block `K_w`
    /// was final, and did not begin. Returns the try that ends.
    pub(super) fn end_key(&mut self, was_due: bool) -> Option<TryId> {
        let open = if let Key::Open { id, .. } = self.key { Some(id) } else { None };
        if open.is_some() || (was_due && self.key == Key::Absent) {
            self.key = Key::NotAsked;
        }
        open
    }

    /// Checks whether the key should be asked for.
    pub(super) fn needs_key(&self, is_closed: bool) -> bool {
        let is_useful = match self.progress {
            Progress::Arrived => true,
            Progress::Waiting(_) | Progress::Open(_) => !is_closed,
            Progress::Spent => false,
        };
        is_useful && self.key == Key::Absent && self.invalid.is_none()
    }

    pub(super) fn answer_for(&mut self, passed: Duration) {
        let has_begun = self.failures > 0 || matches!(self.progress, Progress::Open(_));
        if has_begun && matches!(self.progress, Progress::Open(_) | Progress::Waiting(_)) {
            self.answers_for = self.answers_for.saturating_add(passed);
        }
    }

    pub(super) fn receive(&mut self, now: Duration, bytes: u64, is_full: bool) {
        self.bytes = self.bytes.saturating_add(bytes);
        if !is_full {
            self.answered = self.answered.saturating_add(bytes);
        }
        if let Progress::Open(open) = &mut self.progress {
            open.meter.add(now, bytes);
            open.bytes = open.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn object_done(
        &mut self,
        now: Duration,
        result: Result<(), TryFailure>,
        rules: &PrefetchRules,
    ) {
        let Progress::Open(open) = &self.progress else { return };
        let Err(failure) = result else {
            self.progress = Progress::Arrived;
            return;
        };
        self.broken += u32::from(open.bytes > 0 && failure != TryFailure::Own);
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(failure);
        let is_spent =
            failure == TryFailure::Budget || self.broken >= TRIES || self.bytes >= rules.object_budget();
        self.progress =
            if is_spent { Progress::Spent } else { Progress::Waiting(now + back_off(self.failures)) };
    }

    /// Ends the key's try. Returns the height at which it began, if it failed.
    pub(super) fn key_done(&mut self, has_arrived: bool) -> Option<Height> {
        let Key::Open { asked, .. } = self.key else { return None };
        self.key = if has_arrived { Key::Arrived } else { Key::Absent };
        (!has_arrived).then_some(asked)
    }

    pub(super) fn outcome(&self, rules: &PrefetchRules) -> PeerOutcome {
        match (self.invalid, &self.progress, self.last_failure) {
            (Some(fault), ..) => PeerOutcome::Invalid(fault),
            (None, Progress::Arrived, _) if rules.sealed => match self.key {
                Key::Arrived => PeerOutcome::Arrived,
                Key::NotAsked => PeerOutcome::KeyNotAsked,
                Key::Absent | Key::Open { .. } => PeerOutcome::MissingKey,
            },
            (None, Progress::Arrived, _) => PeerOutcome::Arrived,
            (None, Progress::Spent, _) => PeerOutcome::Late { at_fault: true },
            (None, _, Some(failure)) if self.bytes == 0 => PeerOutcome::Failed(failure),
            _ => PeerOutcome::Late { at_fault: self.was_slow(rules.floor) },
        }
    }

    /// Checks whether the peer was slower than the floor in the time for which it answers. A peer whose
    /// download began less than 3 s before the end is not measured.
    ///
    /// Another node cannot bring a peer below the floor here: time counts only while at least a fifth of the
    /// line was free. The peer itself can only raise its rate by sending what it owes.
    fn was_slow(&self, floor: u64) -> bool {
        let owed = u128::from(floor) * self.answers_for.as_millis();
        self.answers_for >= INTERVAL && u128::from(self.answered) * 1000 < owed
    }
}
