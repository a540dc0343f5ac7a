//! Describes the rules of acceptance in a run spec.

use crate::announcement::MOST_CANDIDATES;
use base::{
    Millionths,
    wire::{Reader, WireError, Writer},
};
use serde::{Deserialize, Serialize};

/// The rules that choose the submissions of a window. They are the same for every node of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceSpec {
    /// Most submissions to apply in a window, `R` in the papers. There can be twice as many
    /// candidates.
    pub gather_peers: u16,
    /// Largest share of the accepted that may be newcomers, without any incentive yet, 0 to 1. It
    /// limits fresh hotkeys.
    pub newcomer_share: Millionths,
    /// The checks of a validator before it votes for a submission.
    pub screen: Screen,
    /// The number of standard errors by which the loss on the screened batch must drop, at least 0.
    /// At 0 any drop is enough, and a mere fluctuation passes every second time. At 2 it passes
    /// once in 40 times, and an update that helps a little may be refused.
    pub screen_errors: Millionths,
    /// Sealing of submissions: they are encrypted until claims are closed, so that no miner can
    /// copy another's update.
    pub sealing: bool,
    /// Least share of all stake with a permit that must vote, 0 to 1. It stops a small group from
    /// going on alone.
    pub vote_floor: Millionths,
    /// Windows between training and application. At 0 the exchange ends before the next window is
    /// trained. 1 is not supported.
    pub staleness: u8,
}

/// The checks of a validator before it votes for a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Screen {
    /// The submission matches its claim, is well-formed and was trained from the right state.
    Structure,
    /// In addition, it lowers the loss on a small seeded batch: by
    /// [`AcceptanceSpec::screen_errors`], and by [`LEAST_SHARE`](super::LEAST_SHARE) of the
    /// candidates' mean.
    Loss,
}

/// Largest [`AcceptanceSpec::screen_errors`]. With more, no update would ever pass.
const MOST_SCREEN_ERRORS: u8 = 10;

/// The reason why values are not valid rules of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptanceError {
    /// Room for no submission at all, or more candidates than a vote has bits.
    #[error("acceptance.gather_peers is {0}: it must be 1 to {most}, since a vote has {MOST_CANDIDATES} bits", most = MOST_CANDIDATES / 2)]
    Peers(u16),
    /// A share outside its range.
    #[error("acceptance.{what} is {found}: it must be 0 to 1")]
    Share {
        /// The field.
        what: &'static str,
        /// Its value.
        found: Millionths,
    },
    /// A number of standard errors outside its range.
    #[error("acceptance.screen_errors is {0}: it must be 0 to {MOST_SCREEN_ERRORS}")]
    ScreenErrors(Millionths),
    /// Overlapped windows, which are not supported.
    #[error("acceptance.staleness is {0}: only 0 is supported")]
    Staleness(u8),
}

impl AcceptanceSpec {
    /// Returns the largest number of candidates of a window.
    #[must_use]
    pub fn most_candidates(&self) -> usize {
        2 * usize::from(self.gather_peers)
    }

    /// Returns how many newcomers may be accepted beside `proven` others, so that they are at most
    /// their share of all.
    #[must_use]
    pub fn newcomers_beside(&self, proven: usize) -> usize {
        let share = self.newcomer_share.0.clamp(0, Millionths::ONE.0).unsigned_abs();
        match Millionths::ONE.0.unsigned_abs() - share {
            0 => usize::MAX,
            rest => usize::try_from(proven as u64 * share / rest).unwrap_or(usize::MAX),
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// A value is outside its range. The error names the field.
    pub fn check(&self) -> Result<(), AcceptanceError> {
        if self.gather_peers == 0 || self.most_candidates() > MOST_CANDIDATES {
            return Err(AcceptanceError::Peers(self.gather_peers));
        }
        for (what, found) in [("newcomer_share", self.newcomer_share), ("vote_floor", self.vote_floor)] {
            if !(Millionths::ZERO..=Millionths::ONE).contains(&found) {
                return Err(AcceptanceError::Share { what, found });
            }
        }
        let most = Millionths(Millionths::ONE.0 * i64::from(MOST_SCREEN_ERRORS));
        if !(Millionths::ZERO..=most).contains(&self.screen_errors) {
            return Err(AcceptanceError::ScreenErrors(self.screen_errors));
        }
        match self.staleness {
            0 => Ok(()),
            other => Err(AcceptanceError::Staleness(other)),
        }
    }

    /// Appends all values.
    pub fn write(&self, to: &mut Writer) {
        to.u16(self.gather_peers).u64(self.newcomer_share.0.cast_unsigned());
        to.u8(self.screen as u8).u64(self.screen_errors.0.cast_unsigned()).u8(self.sealing.into());
        to.u64(self.vote_floor.0.cast_unsigned()).u8(self.staleness);
    }

    /// Reads all values, unchecked.
    ///
    /// # Errors
    /// The input ends too early, or contains an unknown choice.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            gather_peers: from.u16("acceptance.gather_peers")?,
            newcomer_share: Millionths(from.u64("acceptance.newcomer_share")?.cast_signed()),
            screen: Screen::read(from)?,
            screen_errors: Millionths(from.u64("acceptance.screen_errors")?.cast_signed()),
            sealing: from.flag("acceptance.sealing")?,
            vote_floor: Millionths(from.u64("acceptance.vote_floor")?.cast_signed()),
            staleness: from.u8("acceptance.staleness")?,
        })
    }
}

impl Screen {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let what = "acceptance.screen";
        let offset = from.offset();
        match from.u8(what)? {
            0 => Ok(Self::Structure),
            1 => Ok(Self::Loss),
            found => Err(WireError::Value { what, offset, found: found.into(), expected: "a known screen" }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn twenty_peers() -> AcceptanceSpec {
        AcceptanceSpec {
            gather_peers: 20,
            newcomer_share: Millionths(250_000),
            screen: Screen::Loss,
            screen_errors: Millionths::ZERO,
            sealing: true,
            vote_floor: Millionths(100_000),
            staleness: 0,
        }
    }

    #[test]
    fn newcomers_are_at_most_their_share() {
        let spec = twenty_peers();
        for (proven, newcomers) in [(0, 0), (2, 0), (3, 1), (5, 1), (6, 2), (15, 5), (20, 6)] {
            assert_eq!(spec.newcomers_beside(proven), newcomers, "{proven}");
        }
        assert_eq!(
            AcceptanceSpec { newcomer_share: Millionths::ONE, ..spec }.newcomers_beside(0),
            usize::MAX
        );
        assert_eq!(AcceptanceSpec { newcomer_share: Millionths::ZERO, ..spec }.newcomers_beside(20), 0);
    }

    #[test]
    fn values_that_are_no_rules_are_named() {
        let refuse = |change: fn(&mut AcceptanceSpec)| {
            let mut spec = twenty_peers();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert_eq!(twenty_peers().check(), Ok(()));
        assert_eq!(
            refuse(|s| s.gather_peers = 33),
            "acceptance.gather_peers is 33: it must be 1 to 32, since a vote has 64 bits"
        );
        assert!(refuse(|s| s.gather_peers = 0).contains("is 0"));
        assert_eq!(
            refuse(|s| s.newcomer_share = Millionths(1_500_000)),
            "acceptance.newcomer_share is 1.5: it must be 0 to 1"
        );
        assert!(refuse(|s| s.vote_floor = Millionths(-1)).contains("acceptance.vote_floor is -0.000001"));
        assert_eq!(
            refuse(|s| s.screen_errors = Millionths(10_000_001)),
            "acceptance.screen_errors is 10.000001: it must be 0 to 10"
        );
        assert_eq!(refuse(|s| s.staleness = 1), "acceptance.staleness is 1: only 0 is supported");
    }

    #[test]
    fn bytes_round_trip() {
        let mut writer = Writer::new();
        twenty_peers().write(&mut writer);
        let bytes = writer.into_bytes();
        assert_eq!(AcceptanceSpec::read(&mut Reader::new(&bytes)), Ok(twenty_peers()));
        assert_eq!(bytes.len(), 29);
    }
}
