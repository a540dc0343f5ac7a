//! Chooses the number of inner steps of a window by this machine's speed.
//!
//! A machine that is too slow for all steps of a window makes fewer, so that its update is in time. The
//! update then has less weight and earns less.

use base::Height;
use protocol::{
    clock::{Clock, Heights},
    machine::validator::VOTE_BLOCKS,
    train::TrainSpec,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The part of the time until claims close that is kept for compression, upload, and slower steps.
const RESERVE: f64 = 0.15;
/// The time of an inner step, as a multiple of the forward pass over its batch: the backward pass takes twice
/// as long.
pub(crate) const FORWARD_PASSES: f64 = 3.0;

/// The time of an inner step on this machine, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Speed {
    seconds: Option<f64>,
}

impl Speed {
    /// Returns whether the time of a step is known.
    pub(crate) fn is_known(self) -> bool {
        self.seconds.is_some()
    }

    /// Notes the time of some steps.
    pub(crate) fn measured(&mut self, steps: f64, seconds: f64) {
        if steps > 0.0 && seconds.is_finite() {
            self.seconds = Some(seconds / steps);
        }
    }

    /// Returns the number of inner steps for a window, if its training can take `time`.
    pub(crate) fn plan(self, train: &TrainSpec, time: Duration) -> Plan {
        let most = train.inner_steps;
        let Some(seconds) = self.seconds.filter(|seconds| *seconds > 0.0) else {
            return Plan { steps: most, possible: f64::from(most) };
        };
        let possible = time.as_secs_f64() * (1.0 - RESERVE) / seconds;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to `most`")]
        let fitting = possible.min(f64::from(most)) as u32;
        Plan { steps: fitting.max(train.least_steps), possible }
    }
}

/// The time of an inner step on this machine, measured by each training. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StepTime(Arc<Mutex<Speed>>);

impl StepTime {
    /// Locks the speed. A panic elsewhere does not spoil it.
    pub(crate) fn speed(&self) -> MutexGuard<'_, Speed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of inner steps to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The steps: at least the fewest that the run allows.
    pub(crate) steps: u32,
    /// The steps for which there is time.
    pub(crate) possible: f64,
}

impl Plan {
    /// Returns whether the machine is too slow for the fewest steps that the run allows.
    pub(crate) fn is_too_slow(self) -> bool {
        self.possible < f64::from(self.steps)
    }
}

/// Returns the time from a final block until the best block in which a claim of the window should be sent.
pub(crate) fn time_left(
    clock: &Clock,
    heights: &Heights,
    finalized: Height,
    block_time: Duration,
) -> Duration {
    let best = finalized.0.saturating_add(clock.spec().finality_lag.into());
    let blocks = heights.claims_close.0.saturating_sub(VOTE_BLOCKS).saturating_sub(best);
    block_time.saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{
        clock::WindowSpec,
        schedule::{Decay, Schedule},
        train::AdamW,
    };

    fn train() -> TrainSpec {
        TrainSpec {
            inner_steps: 20,
            least_steps: 10,
            batch: 8,
            sequence: 128,
            clip: 1.0,
            optimizer: AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 },
            schedule: Schedule {
                peak: 2e-3,
                warmup_steps: 20,
                decay: Decay::Constant,
                decay_steps: 0,
                floor: 1.0,
                hold: None,
                anneal: None,
            },
        }
    }

    #[test]
    fn a_machine_makes_the_steps_that_fit() {
        let mut speed = Speed::default();
        let plan = |speed: Speed| speed.plan(&train(), Duration::from_secs(100));
        assert_eq!(plan(speed).steps, 20, "the speed is not known");
        for (seconds, steps, is_too_slow) in
            [(1.0, 20, false), (4.25, 20, false), (5.0, 17, false), (8.5, 10, false), (9.0, 10, true)]
        {
            speed.measured(20.0, 20.0 * seconds);
            assert_eq!((plan(speed).steps, plan(speed).is_too_slow()), (steps, is_too_slow), "{seconds}");
        }
        assert_eq!(speed.plan(&train(), Duration::ZERO).steps, 10);
        speed.measured(20.0, 0.0);
        assert_eq!(plan(speed).steps, 20);
    }

    #[test]
    fn the_time_ends_before_claims_close() {
        let spec = WindowSpec {
            blocks: 30,
            count: 8,
            finality_lag: 3,
            publishing: 1,
            screening: 3,
            claims_close: 3,
            keys_close: 8,
            seed: 12,
            votes_close: 19,
        };
        let clock = Clock::new(Height(100), spec).unwrap();
        let heights = clock.heights(base::Window(0)).unwrap();
        let left = |finalized| time_left(&clock, &heights, Height(finalized), Duration::from_secs(12));
        assert_eq!(heights.claims_close, Height(133));
        // The best block is 113. A claim that is sent at block 131 is in block 132 or 133.
        assert_eq!(left(110), Duration::from_secs(18 * 12));
        assert_eq!(left(128), Duration::ZERO);
        assert_eq!(left(200), Duration::ZERO);
    }
}
