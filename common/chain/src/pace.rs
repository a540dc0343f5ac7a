//! The pace of requests to one node: it slows down when the node limits them.
//!
//! Public endpoints allow one or a few requests per second, and do not tell how many. A session begins
//! without pauses. Refusals make the time between two requests longer by half, and each run of answers makes
//! it a tenth shorter. All requests of the session wait in one queue. A single refusal may come from a
//! request that does not: the websocket library itself ends subscriptions.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::Options;

/// The growth of the interval after a refusal.
const SLOWER: f64 = 1.5;
/// The growth of the interval after [`ANSWERS`] answers.
const FASTER: f64 = 0.9;
/// Answers in a row after which the interval becomes shorter.
const ANSWERS: u32 = 10;
/// Refusals without such a run between them after which the interval becomes longer.
const REFUSALS: u32 = 2;
/// The first interval, as a share of the options' `first_pause`.
const FIRST: u32 = 4;
/// The longest interval, as a share of the options' `patience`. A read must have several attempts.
const LONGEST: u32 = 16;

/// The time between two requests to a node.
#[derive(Debug)]
pub(crate) struct Pace {
    state: Mutex<State>,
    first: Duration,
    longest: Duration,
}

#[derive(Debug)]
struct State {
    /// Zero without a limit.
    interval: Duration,
    /// The time of the next request.
    next: Instant,
    /// The time of the last refusal. Refusals of earlier requests say nothing new.
    slowed: Instant,
    /// Answers since the last refusal or change.
    answers: u32,
    /// Refusals since the last change.
    refusals: u32,
}

impl Pace {
    /// Creates a pace without pauses.
    pub(crate) fn new(options: &Options) -> Self {
        let first = options.first_pause / FIRST;
        let now = Instant::now();
        let state = State { interval: Duration::ZERO, next: now, slowed: now, answers: 0, refusals: 0 };
        Self { state: Mutex::new(state), first, longest: first.max(options.patience / LONGEST) }
    }

    /// Waits for the next free time to send a request. Returns this time.
    pub(crate) async fn turn(&self) -> Instant {
        let now = Instant::now();
        let at = {
            let mut state = self.state();
            let at = state.next.max(now);
            state.next = at + state.interval;
            at
        };
        if at > now {
            sleep_until(at).await;
        }
        at
    }

    /// Notes an answer that is no refusal because of a limit.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        if state.interval.is_zero() {
            return;
        }
        state.answers += 1;
        if state.answers == ANSWERS {
            let shorter = state.interval.mul_f64(FASTER);
            state.interval = if shorter < self.first { Duration::ZERO } else { shorter };
            (state.answers, state.refusals) = (0, 0);
        }
    }

    /// Notes that a request was refused because of a limit. `sent` is the time that [`Self::turn`] returned.
    pub(crate) fn refused(&self, sent: Instant) {
        let now = Instant::now();
        let mut state = self.state();
        if sent < state.slowed {
            return;
        }
        (state.slowed, state.answers) = (now, 0);
        state.refusals += 1;
        if state.interval.is_zero() || state.refusals == REFUSALS {
            state.interval = state.interval.mul_f64(SLOWER).clamp(self.first, self.longest);
            state.refusals = 0;
        }
        state.next = state.next.max(now + state.interval);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            first_pause: Duration::from_millis(400),
            patience: Duration::from_secs(64),
            ..Options::new(["ws://127.0.0.1:9944"])
        }
    }

    /// Sends requests to a node that allows one in each `limit`. Returns how many are refused and answered.
    async fn send(pace: &Pace, limit: Duration, requests: u32) -> (u32, u32) {
        let (mut refused, mut answered, mut allowed) = (0, 0, Instant::now());
        for _ in 0..requests {
            let sent = pace.turn().await;
            if sent < allowed {
                refused += 1;
                pace.refused(sent);
            } else {
                answered += 1;
                allowed = sent + limit;
                pace.answered();
            }
        }
        (refused, answered)
    }

    #[tokio::test(start_paused = true)]
    async fn requests_to_a_node_without_a_limit_never_wait() {
        let pace = Pace::new(&options());
        let begun = Instant::now();
        assert_eq!(send(&pace, Duration::ZERO, 1000).await, (0, 1000));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_follow_the_limit_of_a_node() {
        let pace = Pace::new(&options());
        let begun = Instant::now();
        let (refused, answered) = send(&pace, Duration::from_secs(1), 300).await;
        assert!(refused < 40, "{refused}");
        let spent = begun.elapsed().as_secs_f64();
        assert!(spent < 1.4 * f64::from(answered), "{answered} answers in {spent} s");
        // The limit is lifted.
        send(&pace, Duration::ZERO, 500).await;
        assert_eq!(pace.state().interval, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_refusals_counts_once() {
        let pace = Pace::new(&options());
        let sent = pace.turn().await;
        tokio::time::advance(Duration::from_millis(10)).await;
        (0..50).for_each(|_| pace.refused(sent));
        assert_eq!(pace.state().interval, Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_refuses_everything_is_asked_now_and_then() {
        let pace = Pace::new(&options());
        for _ in 0..100 {
            let sent = pace.turn().await;
            pace.refused(sent);
        }
        assert_eq!(pace.state().interval, Duration::from_secs(4));
    }
}
