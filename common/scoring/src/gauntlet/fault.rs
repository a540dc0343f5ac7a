//! What can be wrong with a submission, and what that costs its miner.

use base::wire::{Reader, WireError, Writer};

/// Why a miner's submission of a window was not evaluated, by its own fault.
///
/// What goes wrong at the validator, or in the network between the two without the miner being at fault, is none of these:
/// such a miner is cut from the window and comes first in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Fault {
    /// A rated miner that let the window pass.
    #[error("no claim was made in time")]
    Absent = 1,
    /// The claimed object is not in the miner's bucket, or the bucket does not answer.
    #[error("the claimed object is not to be had")]
    Missing = 2,
    /// The bucket gave the object too slowly.
    #[error("the object came below the least byte rate")]
    Slow = 3,
    /// The update starts from other parameters than the run's.
    #[error("the update was trained from another state")]
    WrongState = 4,
    /// The bytes are not those that were claimed.
    #[error("the object is not the claimed one")]
    Mismatch = 5,
    /// The object is longer than any submission of the run.
    #[error("the object is too large")]
    TooLarge = 6,
    /// The bytes are no submission, or one of another run, window or miner.
    #[error("the object is no valid submission")]
    Malformed = 7,
    /// The update leaves the parameters, or the losses, as they were.
    #[error("the update changes nothing")]
    ChangesNothing = 8,
    /// With the update applied, a loss is not a number.
    #[error("the update makes a loss infinite or not a number")]
    LossNotFinite = 9,
    /// With the update applied, the loss on unassigned data is not lower: such an update is not voted for either, and
    /// noise is never paid.
    #[error("the update does not lower the loss on data assigned to nobody")]
    RaisesLoss = 10,
}

/// What a [`Fault`] costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Penalty {
    /// A part of the credit; all of it when it happens too often in a row.
    Part,
    /// All credit: no honest node uploads this.
    All,
}

impl Fault {
    /// All faults.
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
        Self::RaisesLoss,
    ];

    /// What it costs: a part of the credit where bad luck can cause it, else all.
    #[must_use]
    pub fn penalty(self) -> Penalty {
        match self {
            Self::Absent | Self::Missing | Self::Slow | Self::WrongState | Self::RaisesLoss => Penalty::Part,
            Self::Mismatch
            | Self::TooLarge
            | Self::Malformed
            | Self::ChangesNothing
            | Self::LossNotFinite => Penalty::All,
        }
    }

    /// Appends its number.
    pub fn write(self, to: &mut Writer) {
        to.u8(self as u8);
    }

    /// Reads its number.
    ///
    /// # Errors
    /// The input ends, or no fault has the number.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (what, offset) = ("the fault of a submission", from.offset());
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
