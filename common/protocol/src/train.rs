//! Training within a window: the inner steps, their optimizer and its learning rate.

use crate::schedule::{Schedule, ScheduleError};
use base::{
    Window,
    wire::{Reader, WireError, Writer},
};
use codec::aggregate::FullWork;
use serde::{Deserialize, Serialize};

/// The rules of training within a window. They are the same for all miners.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Inner steps in a window, `H`: the optimizer steps between two exchanges.
    pub inner_steps: u32,
    /// Fewest inner steps of a window that a miner may make: at most `inner_steps`. An update has the weight
    /// of its share of the steps.
    pub least_steps: u32,
    /// Sequences in a batch, over which one inner step averages. A miner may use more, never fewer.
    pub batch: u32,
    /// Tokens in a sequence. The last one has no target, as in Templar.
    pub sequence: u32,
    /// Largest norm of a gradient over all parameters. A longer gradient is scaled down to it.
    pub clip: f64,
    /// The inner optimizer.
    pub optimizer: AdamW,
    /// The learning rate of each inner step.
    pub schedule: Schedule,
}

/// AdamW (Loshchilov, Hutter 2019), with decay decoupled from the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// Decay of the gradient's moving average: at least 0, less than 1.
    pub beta1: f64,
    /// Decay of the squared gradient's moving average: at least 0, less than 1.
    pub beta2: f64,
    /// The number added to the root of the second average, against division by zero.
    pub epsilon: f64,
    /// Share of a parameter that a step at learning rate 1 removes.
    pub weight_decay: f64,
}

/// The reason why values do not describe a way to train.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A count that must not be 0.
    #[error("train.{0} is 0: it must be at least 1")]
    Zero(&'static str),
    /// Fewest steps above the steps of a window.
    #[error("train.least_steps is {least}: it must be at most train.inner_steps, which is {most}")]
    LeastSteps {
        /// The fewest steps.
        least: u32,
        /// The steps of a window.
        most: u32,
    },
    /// A sequence without a target.
    #[error("train.sequence is {0}: a sequence has at least 2 tokens, since the last one has no target")]
    Sequence(u32),
    /// A window of more samples than an object can name.
    #[error("train.inner_steps x train.batch is {0} sequences a window: at most {MOST_SAMPLES}")]
    TooMany(u64),
    /// A number outside its range.
    #[error("train.{what} is {found}: it must be {expected}")]
    Range {
        /// The field.
        what: &'static str,
        /// Its value.
        found: f64,
        /// The allowed range.
        expected: &'static str,
    },
    /// Learning rates that do not fit together.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Most sequences that a miner must train on in a window: a limit for the allocations of parsers.
pub const MOST_SAMPLES: u64 = 1 << 32;

impl TrainSpec {
    /// Returns the number of sequences of a whole window's training. They are assigned to a miner in
    /// advance.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples_of(self.inner_steps)
    }

    /// Returns the number of sequences that a miner must train on in a window.
    #[must_use]
    pub fn least_samples(&self) -> u64 {
        self.samples_of(self.least_steps)
    }

    /// Returns the number of sequences of some inner steps.
    #[must_use]
    pub fn samples_of(&self, steps: u32) -> u64 {
        u64::from(steps) * u64::from(self.batch)
    }

    /// Returns the work of a whole training of a window: a bound of the sum of its learning rates
    /// ([`Schedule::travel`]), and its sequences.
    #[must_use]
    pub fn full_work(&self, window: Window) -> FullWork {
        let steps = u64::from(self.inner_steps);
        let travel = self.schedule.travel(window.0.saturating_mul(steps), steps);
        FullWork { travel, samples: self.samples() }
    }

    /// Checks that every value can be used for training.
    ///
    /// # Errors
    /// A value is wrong. The error names the field.
    pub fn check(&self) -> Result<(), TrainError> {
        let counts =
            [("inner_steps", self.inner_steps), ("least_steps", self.least_steps), ("batch", self.batch)];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(TrainError::Zero(what));
        }
        if self.least_steps > self.inner_steps {
            return Err(TrainError::LeastSteps { least: self.least_steps, most: self.inner_steps });
        }
        if self.sequence < 2 {
            return Err(TrainError::Sequence(self.sequence));
        }
        if self.samples() > MOST_SAMPLES {
            return Err(TrainError::TooMany(self.samples()));
        }
        let range = |what, found: f64, fine: bool, expected| {
            if fine && found.is_finite() { Ok(()) } else { Err(TrainError::Range { what, found, expected }) }
        };
        let AdamW { beta1, beta2, epsilon, weight_decay } = self.optimizer;
        range("clip", self.clip, self.clip > 0.0, "more than 0")?;
        range("optimizer.beta1", beta1, is_share(beta1), "at least 0 and less than 1")?;
        range("optimizer.beta2", beta2, is_share(beta2), "at least 0 and less than 1")?;
        range("optimizer.epsilon", epsilon, epsilon > 0.0, "more than 0")?;
        let decay = weight_decay >= 0.0 && weight_decay.is_sign_positive();
        range("optimizer.weight_decay", weight_decay, decay, "at least 0")?;
        Ok(self.schedule.check()?)
    }

    /// Appends all values.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.inner_steps).u32(self.least_steps).u32(self.batch).u32(self.sequence).f64(self.clip);
        let AdamW { beta1, beta2, epsilon, weight_decay } = self.optimizer;
        to.f64(beta1).f64(beta2).f64(epsilon).f64(weight_decay);
        self.schedule.write(to);
    }

    /// Reads all values, unchecked.
    ///
    /// # Errors
    /// The input ends too early, or contains an unknown choice.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            inner_steps: from.u32("train.inner_steps")?,
            least_steps: from.u32("train.least_steps")?,
            batch: from.u32("train.batch")?,
            sequence: from.u32("train.sequence")?,
            clip: from.f64("train.clip")?,
            optimizer: AdamW {
                beta1: from.f64("train.optimizer.beta1")?,
                beta2: from.f64("train.optimizer.beta2")?,
                epsilon: from.f64("train.optimizer.epsilon")?,
                weight_decay: from.f64("train.optimizer.weight_decay")?,
            },
            schedule: Schedule::read(from)?,
        })
    }
}

/// Checks whether a number is at least 0 and less than 1.
///
/// There is only one zero: `-0.0` would give the same run another hash.
fn is_share(number: f64) -> bool {
    (0.0..1.0).contains(&number) && number.is_sign_positive()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Decay;

    pub(crate) fn tiny() -> TrainSpec {
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
    fn values_that_cannot_be_trained_with_are_named() {
        assert_eq!(tiny().check(), Ok(()));
        let refuse = |change: fn(&mut TrainSpec)| {
            let mut spec = tiny();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert_eq!(refuse(|s| s.inner_steps = 0), "train.inner_steps is 0: it must be at least 1");
        assert_eq!(refuse(|s| s.least_steps = 0), "train.least_steps is 0: it must be at least 1");
        let more = "train.least_steps is 21: it must be at most train.inner_steps, which is 20";
        assert_eq!(refuse(|s| s.least_steps = 21), more);
        assert_eq!(refuse(|s| s.batch = 0), "train.batch is 0: it must be at least 1");
        assert!(refuse(|s| s.sequence = 1).contains("train.sequence is 1"));
        assert!(refuse(|s| (s.inner_steps, s.batch) = (1 << 20, 1 << 13)).contains("8589934592 sequences"));
        assert_eq!(refuse(|s| s.clip = f64::NAN), "train.clip is NaN: it must be more than 0");
        assert!(refuse(|s| s.clip = f64::INFINITY).contains("train.clip is inf"));
        assert!(refuse(|s| s.optimizer.beta1 = 1.0).contains("train.optimizer.beta1 is 1"));
        assert!(refuse(|s| s.optimizer.beta2 = -0.0).contains("train.optimizer.beta2 is -0"));
        assert!(refuse(|s| s.optimizer.epsilon = 0.0).contains("train.optimizer.epsilon is 0"));
        assert!(refuse(|s| s.optimizer.weight_decay = -1.0).contains("train.optimizer.weight_decay is -1"));
        assert!(refuse(|s| s.schedule.peak = 0.0).contains("train.schedule.peak is 0"));
    }

    #[test]
    fn bytes_round_trip() {
        let mut writer = Writer::new();
        tiny().write(&mut writer);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(TrainSpec::read(&mut reader), Ok(tiny()));
        assert_eq!(reader.finish("the training"), Ok(()));
    }
}
