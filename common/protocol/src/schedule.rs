//! Learning rates of the inner steps: warm-up, decay, hold, anneal.
//!
//! Inner steps are counted over the whole run, from 0: step `s` of window `w` is `w x H + s`.
//! Windows without an outer step count as well, so every node knows the rate without a history.

use base::wire::{Reader, WireError, Writer};
use serde::{Deserialize, Serialize};

/// The learning rate of each inner step of a run.
///
/// It rises linearly over [`warmup_steps`](Self::warmup_steps) to [`peak`](Self::peak). Then it
/// falls over [`decay_steps`](Self::decay_steps) to [`floor`](Self::floor) of the peak, in the form
/// of [`decay`](Self::decay), and stays there. A [`hold`](Self::hold) stops the fall for a while.
/// An [`anneal`](Self::anneal) replaces all of it from its first step on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The largest learning rate.
    pub peak: f64,
    /// Inner steps of the warm-up. Its step `s` has the rate `(s + 1) / warmup_steps` of the peak.
    pub warmup_steps: u64,
    /// The form of the fall after the warm-up.
    pub decay: Decay,
    /// Inner steps of the fall. 0 for [`Decay::Constant`].
    #[serde(default)]
    pub decay_steps: u64,
    /// The end of the fall, as a share of the peak.
    pub floor: f64,
    /// A phase in which the fall stands still.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The last phase of a run.
    #[serde(default)]
    pub anneal: Option<Anneal>,
}

/// The form in which a learning rate falls from its peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// No fall.
    Constant,
    /// A linear fall.
    Linear,
    /// The first half of a cosine.
    Cosine,
}

/// A phase in which the fall stands still. After it, the fall goes on from the same rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its first inner step.
    pub start: u64,
    /// Its number of inner steps.
    pub steps: u64,
}

/// The last phase: a new warm-up to a lower peak, then a linear fall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anneal {
    /// Its first inner step.
    pub start: u64,
    /// Its peak, as a share of the schedule's peak.
    pub peak: f64,
    /// Inner steps until its peak.
    pub warmup_steps: u64,
    /// Inner steps from its peak to its floor.
    pub decay_steps: u64,
    /// Its end, as a share of the schedule's peak.
    pub floor: f64,
}

/// The reason why values do not describe a schedule.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A number outside its range.
    #[error("train.schedule.{what} is {found}: it must be {expected}")]
    Range {
        /// The field.
        what: &'static str,
        /// Its value.
        found: f64,
        /// The allowed range.
        expected: &'static str,
    },
    /// A count that does not fit the decay.
    #[error("train.schedule.decay_steps is {0}: a constant rate has 0, any other decay at least 1")]
    DecaySteps(u64),
    /// A constant rate with a floor below its peak.
    #[error("train.schedule.floor is {0}: a constant rate has floor 1")]
    ConstantFloor(f64),
    /// An anneal without an end.
    #[error("train.schedule.anneal.decay_steps is 0: it must be at least 1")]
    AnnealSteps,
}

impl Schedule {
    /// Returns the learning rate of an inner step, counted from 0 over the whole run.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        match self.anneal {
            Some(anneal) if step >= anneal.start => self.peak * anneal.factor(step - anneal.start),
            _ => self.peak * self.factor(step),
        }
    }

    /// Returns the sum of the learning rates of `steps` inner steps from `first` on, as if the rate never
    /// fell after the warm-up. It is the same on all machines: no function of a library is called.
    ///
    /// The first outer steps need it, to bound the norms of updates.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "steps beyond 2^53 do not occur, and would round")]
    pub fn travel(&self, first: u64, steps: u64) -> f64 {
        let rising = self.warmup_steps.saturating_sub(first).min(steps);
        // The shares of the peak are an arithmetic series: (first + 1 + ... + first + rising) / warmup_steps.
        let ends = first as f64 + 1.0 + first as f64 + rising as f64;
        let risen = if rising == 0 { 0.0 } else { ends * rising as f64 / 2.0 / self.warmup_steps as f64 };
        self.peak * (risen + (steps - rising) as f64)
    }

    /// Returns the share of the peak at a step, without the anneal.
    fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return share(step + 1, self.warmup_steps);
        }
        let held = self.hold.map_or(0, |hold| step.saturating_sub(hold.start).min(hold.steps));
        let progress = share((step - self.warmup_steps).saturating_sub(held), self.decay_steps);
        let fallen = match self.decay {
            Decay::Constant => return 1.0,
            Decay::Linear => progress,
            Decay::Cosine => 0.5 - 0.5 * (std::f64::consts::PI * progress).cos(),
        };
        1.0 - (1.0 - self.floor) * fallen
    }

    /// Checks that the values fit together.
    ///
    /// # Errors
    /// A value is wrong. The error names the field.
    pub fn check(&self) -> Result<(), ScheduleError> {
        range("peak", self.peak, self.peak > 0.0, "more than 0")?;
        range("floor", self.floor, is_share(self.floor), "0 to 1")?;
        if (self.decay == Decay::Constant) != (self.decay_steps == 0) {
            return Err(ScheduleError::DecaySteps(self.decay_steps));
        }
        if self.decay == Decay::Constant && self.floor != 1.0 {
            return Err(ScheduleError::ConstantFloor(self.floor));
        }
        let Some(anneal) = self.anneal else { return Ok(()) };
        range("anneal.peak", anneal.peak, anneal.peak > 0.0, "more than 0")?;
        range("anneal.floor", anneal.floor, is_share(anneal.floor), "0 to 1")?;
        match anneal.decay_steps {
            0 => Err(ScheduleError::AnnealSteps),
            _ => Ok(()),
        }
    }

    /// Appends all values.
    pub fn write(&self, to: &mut Writer) {
        to.f64(self.peak).u64(self.warmup_steps).u8(self.decay as u8).u64(self.decay_steps).f64(self.floor);
        to.u8(u8::from(self.hold.is_some()));
        if let Some(hold) = self.hold {
            to.u64(hold.start).u64(hold.steps);
        }
        to.u8(u8::from(self.anneal.is_some()));
        if let Some(anneal) = self.anneal {
            to.u64(anneal.start).f64(anneal.peak).u64(anneal.warmup_steps);
            to.u64(anneal.decay_steps).f64(anneal.floor);
        }
    }

    /// Reads all values, unchecked.
    ///
    /// # Errors
    /// The input ends too early, or contains an unknown choice.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            peak: from.f64("train.schedule.peak")?,
            warmup_steps: from.u64("train.schedule.warmup_steps")?,
            decay: Decay::read(from)?,
            decay_steps: from.u64("train.schedule.decay_steps")?,
            floor: from.f64("train.schedule.floor")?,
            hold: if is_present(from, "train.schedule.hold")? { Some(Hold::read(from)?) } else { None },
            anneal: if is_present(from, "train.schedule.anneal")? { Some(Anneal::read(from)?) } else { None },
        })
    }
}

impl Decay {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let what = "train.schedule.decay";
        let offset = from.offset();
        match from.u8(what)? {
            0 => Ok(Self::Constant),
            1 => Ok(Self::Linear),
            2 => Ok(Self::Cosine),
            found => {
                Err(WireError::Value { what, offset, found: found.into(), expected: "a known way to decay" })
            }
        }
    }
}

impl Hold {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let start = from.u64("train.schedule.hold.start")?;
        Ok(Self { start, steps: from.u64("train.schedule.hold.steps")? })
    }
}

impl Anneal {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            start: from.u64("train.schedule.anneal.start")?,
            peak: from.f64("train.schedule.anneal.peak")?,
            warmup_steps: from.u64("train.schedule.anneal.warmup_steps")?,
            decay_steps: from.u64("train.schedule.anneal.decay_steps")?,
            floor: from.f64("train.schedule.anneal.floor")?,
        })
    }

    /// Returns the share of the schedule's peak, `step` steps after the beginning.
    fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * share(step + 1, self.warmup_steps);
        }
        self.peak - (self.peak - self.floor) * share(step - self.warmup_steps, self.decay_steps)
    }
}

fn range(what: &'static str, found: f64, fine: bool, expected: &'static str) -> Result<(), ScheduleError> {
    if fine && found.is_finite() { Ok(()) } else { Err(ScheduleError::Range { what, found, expected }) }
}

/// Checks whether a number is in 0 to 1. There is only one zero: `-0.0` would give the same run another hash.
fn is_share(number: f64) -> bool {
    (0.0..=1.0).contains(&number) && number.is_sign_positive()
}

/// Returns the share `part` of `whole`, at most 1. It is 1 if `whole` is 0.
#[allow(clippy::cast_precision_loss)] // Steps beyond 2^53 do not occur, and would round.
fn share(part: u64, whole: u64) -> f64 {
    if part >= whole { 1.0 } else { part as f64 / whole as f64 }
}

/// Reads whether an optional part follows.
fn is_present(from: &mut Reader<'_>, what: &'static str) -> Result<bool, WireError> {
    let offset = from.offset();
    match from.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(WireError::Value { what, offset, found: found.into(), expected: "0 or 1" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{option, prelude::*};

    /// Returns the schedule of Covenant-72B, as its repository had it at the end.
    fn covenant() -> Schedule {
        Schedule {
            peak: 1.2e-4,
            warmup_steps: 1500,
            decay: Decay::Cosine,
            decay_steps: 140_000,
            floor: 0.1,
            hold: Some(Hold { start: 82_200, steps: 13_500 }),
            anneal: Some(Anneal {
                start: 183_000,
                peak: 0.25,
                warmup_steps: 100,
                decay_steps: 4500,
                floor: 0.0,
            }),
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * b.abs().max(1e-6)
    }

    #[test]
    fn the_rate_at_the_edges() {
        let schedule = covenant();
        assert_eq!(schedule.check(), Ok(()));
        for (step, factor) in [
            (0, 1.0 / 1500.0),
            (749, 0.5),
            (1499, 1.0),
            (1500, 1.0),
            (1500 + 70_000, 0.55),
            (1500 + 140_000 + 13_500, 0.1),
            (182_999, 0.1),
            (183_000, 0.25 / 100.0),
            (183_099, 0.25),
            (183_100, 0.25),
            (183_100 + 2250, 0.125),
            (183_100 + 4500, 0.0),
            (u64::MAX, 0.0),
        ] {
            let rate = schedule.rate(step);
            assert!(close(rate, 1.2e-4 * factor), "step {step}: {rate}");
        }
    }

    #[test]
    fn the_travel_is_the_sum_of_the_rates_until_the_rate_falls() {
        let schedule = Schedule { decay: Decay::Constant, decay_steps: 0, floor: 1.0, ..covenant() };
        let schedule = Schedule { hold: None, anneal: None, ..schedule };
        for (first, steps) in [(0, 1), (0, 30), (30, 30), (1490, 30), (1500, 30), (5000, 30), (0, 2000)] {
            let sum: f64 = (first..first + steps).map(|step| schedule.rate(step)).sum();
            let travel = schedule.travel(first, steps);
            assert!((travel - sum).abs() <= 1e-9 * sum, "{steps} steps from {first}: {travel}, not {sum}");
        }
        // The fall and the anneal do not count.
        assert_eq!(covenant().travel(183_000, 30), 30.0 * 1.2e-4);
    }

    #[test]
    fn a_hold_stands_still_and_goes_on() {
        let held = covenant();
        let free = Schedule { hold: None, ..covenant() };
        assert_eq!(held.rate(82_199), free.rate(82_199));
        assert_eq!(held.rate(82_200), held.rate(82_200 + 13_500));
        assert_eq!(held.rate(82_201 + 13_500), free.rate(82_201));
        assert!(held.rate(82_201 + 13_500) < held.rate(82_200));
    }

    #[test]
    fn a_constant_rate_stays() {
        let schedule = Schedule {
            decay: Decay::Constant,
            decay_steps: 0,
            floor: 1.0,
            hold: None,
            anneal: None,
            ..covenant()
        };
        assert_eq!(schedule.check(), Ok(()));
        assert_eq!(schedule.rate(1_000_000), schedule.peak);
    }

    #[test]
    fn values_that_are_no_schedule_are_named() {
        let refuse = |change: fn(&mut Schedule)| {
            let mut schedule = covenant();
            change(&mut schedule);
            schedule.check().unwrap_err().to_string()
        };
        assert_eq!(refuse(|s| s.peak = -1.0), "train.schedule.peak is -1: it must be more than 0");
        assert!(refuse(|s| s.peak = f64::INFINITY).contains("train.schedule.peak is inf"));
        assert_eq!(refuse(|s| s.floor = 1.5), "train.schedule.floor is 1.5: it must be 0 to 1");
        assert!(refuse(|s| s.decay_steps = 0).contains("train.schedule.decay_steps is 0"));
        assert!(refuse(|s| s.decay = Decay::Constant).contains("train.schedule.decay_steps is 140000"));
        assert!(
            refuse(|s| (s.decay, s.decay_steps) = (Decay::Constant, 0))
                .contains("train.schedule.floor is 0.1")
        );
        assert!(refuse(|s| s.anneal.as_mut().unwrap().peak = f64::NAN).contains("anneal.peak is NaN"));
        assert!(refuse(|s| s.anneal.as_mut().unwrap().decay_steps = 0).contains("anneal.decay_steps is 0"));
    }

    fn any_schedule() -> impl Strategy<Value = Schedule> {
        let number = || 0.0..=1.0f64;
        let decay = prop_oneof![Just(Decay::Constant), Just(Decay::Linear), Just(Decay::Cosine)];
        let hold = option::of((any::<u64>(), any::<u64>()).prop_map(|(start, steps)| Hold { start, steps }));
        let anneal = option::of((any::<u64>(), number(), 0u64..100, 1u64..100, number()).prop_map(
            |(start, peak, warmup_steps, decay_steps, floor)| Anneal {
                start,
                peak,
                warmup_steps,
                decay_steps,
                floor,
            },
        ));
        (number(), 0u64..100, decay, 0u64..100, number(), hold, anneal).prop_map(
            |(peak, warmup_steps, decay, decay_steps, floor, hold, anneal)| Schedule {
                peak,
                warmup_steps,
                decay,
                decay_steps,
                floor,
                hold,
                anneal,
            },
        )
    }

    proptest! {
        #[test]
        fn bytes_round_trip_and_rates_stay_below_the_peak(schedule in any_schedule(), step: u64) {
            let mut writer = Writer::new();
            schedule.write(&mut writer);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Schedule::read(&mut reader), Ok(schedule));
            prop_assert_eq!(reader.left(), 0);
            let rate = schedule.rate(step);
            prop_assert!((0.0..=schedule.peak).contains(&rate), "{}", rate);
        }
    }
}
