//! The faults of submissions, and their penalties.

use base::wire::{Reader, WireError, Writer};

/// A reason, by the miner's own fault, why its submission of a window was not evaluated.
///
/// A failure of the validator, or of the network between the two, is not a fault. Then the miner is cut
/// from the window and comes first in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Fault {
    /// A rated miner made no claim for the window.
    #[error("no claim was made in time")]
    Absent = 1,
    /// The claimed object or its key is not in the miner's bucket by `K_w`, or the bucket does not answer.
    #[error("cannot download the claimed object")]
    Missing = 2,
    /// The object was incomplete at `K_w`, and arrived below the minimum byte rate.
    #[error("the object was late and arrived below the minimum byte rate")]
    Slow = 3,
    /// The update was trained from other parameters than the run's.
    #[error("the update was trained from another state")]
    WrongState = 4,
    /// The bytes do not have the claimed hash.
    #[error("the object is not the claimed one")]
    Mismatch = 5,
    /// The object is longer than any submission of the run.
    #[error("the object is too large")]
    TooLarge = 6,
    /// The bytes are no submission, or a submission of another run, window or miner.
    #[error("the object is no valid submission")]
    Malformed = 7,
    /// The update does not change the parameters or the losses.
    #[error("the update changes nothing")]
    ChangesNothing = 8,
    /// A loss is infinite or not a number with the update applied.
    #[error("the update makes a loss infinite or not a number")]
    LossNotFinite = 9,
    /// The loss on unassigned data is not lower with the update applied. Validators do not vote for
    /// such an update either, and noise is never paid.
    #[error("the update does not lower the loss on unassigned data")]
    NoImprovement = 10,
}

/// The cost of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Penalty {
    /// A part of the credit; all credit after too many failures in a row.
    Part,
    /// All credit, since no honest node uploads this.
    All,
}

impl Fault {
    /// All faults, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Absent,
        Self::Missing,
        Self::Slow,
        Self::WrongState,
        Self::Mismatch,
        Self::TooLarge,
        Self::Malformed,
        Self::ChangesNothing,
        Self::LossNotFinite,
        Self::NoImprovement,
    ];

    /// Returns its penalty: a part of the credit where bad luck can cause the fault, otherwise all credit.
    #[must_use]
    pub fn penalty(self) -> Penalty {
        match self {
            Self::Absent | Self::Missing | Self::Slow | Self::WrongState | Self::NoImprovement => {
                Penalty::Part
            }
            Self::Mismatch
            | Self::TooLarge
            | Self::Malformed
            | Self::ChangesNothing
            | Self::LossNotFinite => Penalty::All,
        }
    }

    /// Checks whether it is a failure to make the submission available in time. These are excused where the
    /// validator's own line may be the cause.
    #[must_use]
    pub fn is_unavailable(self) -> bool {
        matches!(self, Self::Absent | Self::Missing | Self::Slow)
    }

    /// Appends its number.
    pub fn write(self, to: &mut Writer) {
        to.u8(self as u8);
    }

    /// Reads its number.
    ///
    /// # Errors
    /// The input ends, or the number is unknown.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let what = "the fault of a submission";
        let offset = from.offset();
        let found = from.u8(what)?;
        let fault = Self::ALL.into_iter().find(|&fault| fault as u8 == found);
        fault.ok_or(WireError::Value {
            what,
            offset,
            found: found.into(),
            expected: "faults go from 1 to 10",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_numbered_without_gaps() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            let mut writer = Writer::new();
            fault.write(&mut writer);
            let bytes = writer.into_bytes();
            assert_eq!(bytes, [index as u8 + 1]);
            assert_eq!(Fault::read(&mut Reader::new(&bytes)), Ok(fault));
        }
        assert!(
            Fault::read(&mut Reader::new(&[0])).is_err() && Fault::read(&mut Reader::new(&[11])).is_err()
        );
    }

    #[test]
    fn only_what_an_honest_node_never_uploads_costs_all() {
        let all = Fault::ALL.into_iter().filter(|fault| fault.penalty() == Penalty::All);
        assert_eq!(
            all.collect::<Vec<_>>(),
            [Fault::Mismatch, Fault::TooLarge, Fault::Malformed, Fault::ChangesNothing, Fault::LossNotFinite]
        );
    }
}
