//! Describes the rules of acceptance in a run spec.

use crate::announcement::MOST_CANDIDATES;
use base::{
    Hotkey, Millionths,
    wire::{Reader, WireError, Writer},
};
use serde::{Deserialize, Serialize};

/// The rules that choose the submissions of a window. They are the same for every node of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceSpec {
    /// Most submissions to apply in a window, `R` in the papers. There can be twice as many
    /// candidates.
    pub gather_peers: u16,
    /// Largest share of the `gather_peers` places that go to newcomers, without any incentive yet, 0 to 1. It
    /// limits fresh hotkeys. It applies once a candidate has an incentive.
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
    /// Blocks over which the weight of a hotkey that no longer votes falls to 0. At least
    /// 7 windows.
    pub electorate_blocks: u32,
    /// Windows between training and application, 0 or 1. At 0 the exchange of a window ends before the next
    /// one is trained. At 1 it goes on while the next window is trained, so an update is trained from the
    /// parameters at the start of the window before its own.
    pub staleness: u8,
    /// The hotkeys of the validators that begin the run, in rising order of their public keys, at most
    /// [`MOST_FOUNDERS`]. They count as if they had voted before the first window, so that no stranger's
    /// vote is a quorum before theirs. The list is empty in a run file that is not launched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub founders: Vec<Hotkey>,
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

/// Most [`AcceptanceSpec::founders`].
pub const MOST_FOUNDERS: usize = 64;
/// Least number of windows in [`AcceptanceSpec::electorate_blocks`]: one for each of its days.
const LEAST_ELECTORATE_WINDOWS: u64 = 7;
/// Largest [`AcceptanceSpec::screen_errors`]. With more, no update would ever pass.
const MOST_SCREEN_ERRORS: u8 = 10;

/// The reason why values are not valid rules of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptanceError {
    /// Room for no submission at all, or more candidates than a vote has bits.
    #[error("acceptance.gather_peers is {0}: it must be 1 to {most}, since a vote has {MOST_CANDIDATES} bits", most = MOST_CANDIDATES / 2)]
    Peers(u16),
    /// A share outside its range.
    #[error("acceptance.newcomer_share is {0}: it must be 0 to 1")]
    NewcomerShare(Millionths),
    /// A number of standard errors outside its range.
    #[error("acceptance.screen_errors is {0}: it must be 0 to {MOST_SCREEN_ERRORS}")]
    ScreenErrors(Millionths),
    /// An electorate that forgets its members too soon.
    #[error("acceptance.electorate_blocks is {found}: it must be at least {least} (7 x window.blocks)")]
    ElectorateBlocks {
        /// The value.
        found: u32,
        /// The smallest value that the run's windows allow.
        least: u64,
    },
    /// No founder, so the first stranger with stake and permit could decide the first windows alone.
    #[error(
        "acceptance.founders is empty: name the hotkeys of the validators that begin the run, at least one"
    )]
    NoFounders,
    /// More founders than allowed.
    #[error("acceptance.founders has {0} hotkeys: at most {MOST_FOUNDERS} are allowed")]
    Founders(usize),
    /// A founder that is listed twice.
    #[error("acceptance.founders lists {0} twice: list each hotkey once")]
    FounderTwice(Hotkey),
    /// A founder that is not in its place. One list has one order, so that it has one run hash.
    #[error("acceptance.founders lists {0} too late: sort the list by the bytes of the public keys")]
    FounderOrder(Hotkey),
    /// A staleness for which there are no rules.
    #[error("acceptance.staleness is {0}: it must be 0 or 1")]
    Staleness(u8),
}

impl AcceptanceSpec {
    /// Checks whether a window is trained while the one before it is exchanged.
    #[must_use]
    pub fn overlaps(&self) -> bool {
        self.staleness > 0
    }

    /// Returns the largest number of candidates of a window.
    #[must_use]
    pub fn most_candidates(&self) -> usize {
        2 * usize::from(self.gather_peers)
    }

    /// Returns the number of places that newcomers may take once other miners earn. It does not depend on the
    /// number of those: while few miners earn, updates of others are needed all the more.
    #[must_use]
    pub fn newcomer_places(&self) -> usize {
        let share = self.newcomer_share.0.clamp(0, Millionths::ONE.0).unsigned_abs();
        let places = u64::from(self.gather_peers) * share / Millionths::ONE.0.unsigned_abs();
        usize::try_from(places).unwrap_or(usize::MAX)
    }

    /// Checks the ranges, for a run with windows of `window_blocks` blocks. The founders may be missing:
    /// [`Self::check_founders`] checks a launched run.
    ///
    /// # Errors
    /// A value is outside its range. The error names the field.
    pub fn check(&self, window_blocks: u32) -> Result<(), AcceptanceError> {
        if self.gather_peers == 0 || self.most_candidates() > MOST_CANDIDATES {
            return Err(AcceptanceError::Peers(self.gather_peers));
        }
        if !(Millionths::ZERO..=Millionths::ONE).contains(&self.newcomer_share) {
            return Err(AcceptanceError::NewcomerShare(self.newcomer_share));
        }
        let most = Millionths(Millionths::ONE.0 * i64::from(MOST_SCREEN_ERRORS));
        if !(Millionths::ZERO..=most).contains(&self.screen_errors) {
            return Err(AcceptanceError::ScreenErrors(self.screen_errors));
        }
        let (found, least) = (self.electorate_blocks, LEAST_ELECTORATE_WINDOWS * u64::from(window_blocks));
        if u64::from(found) < least {
            return Err(AcceptanceError::ElectorateBlocks { found, least });
        }
        self.check_founder_list()?;
        match self.staleness {
            0 | 1 => Ok(()),
            other => Err(AcceptanceError::Staleness(other)),
        }
    }

    /// Checks that there are founders.
    ///
    /// # Errors
    /// The list is empty.
    pub fn check_founders(&self) -> Result<(), AcceptanceError> {
        if self.founders.is_empty() { Err(AcceptanceError::NoFounders) } else { Ok(()) }
    }

    /// Checks the number and the order of the founders.
    fn check_founder_list(&self) -> Result<(), AcceptanceError> {
        if self.founders.len() > MOST_FOUNDERS {
            return Err(AcceptanceError::Founders(self.founders.len()));
        }
        let wrong = self.founders.windows(2).find(|pair| pair[0] >= pair[1]);
        match wrong {
            Some([first, second]) if first == second => Err(AcceptanceError::FounderTwice(*second)),
            Some([_, late, ..]) => Err(AcceptanceError::FounderOrder(*late)),
            _ => Ok(()),
        }
    }

    /// Appends all values.
    ///
    /// # Panics
    /// There are more founders than [`Self::check`] allows.
    pub fn write(&self, to: &mut Writer) {
        to.u16(self.gather_peers).u64(self.newcomer_share.0.cast_unsigned());
        to.u8(self.screen as u8).u64(self.screen_errors.0.cast_unsigned()).u8(self.sealing.into());
        to.u32(self.electorate_blocks).u8(self.staleness);
        to.u8(u8::try_from(self.founders.len()).expect("a checked run has at most 64 founders"));
        for founder in &self.founders {
            to.raw(founder.as_bytes());
        }
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
            electorate_blocks: from.u32("acceptance.electorate_blocks")?,
            staleness: from.u8("acceptance.staleness")?,
            founders: read_founders(from)?,
        })
    }
}

/// Reads the number of founders and their hotkeys.
fn read_founders(from: &mut Reader<'_>) -> Result<Vec<Hotkey>, WireError> {
    let what = "the number of acceptance.founders";
    let offset = from.offset();
    let count = from.u8(what)?;
    if usize::from(count) > MOST_FOUNDERS {
        return Err(WireError::Value { what, offset, found: count.into(), expected: "at most 64" });
    }
    (0..count).map(|_| from.array("acceptance.founders").map(Hotkey)).collect()
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

    /// Rules with an electorate of 28 windows of 30 blocks, and no founders.
    pub(crate) fn twenty_peers() -> AcceptanceSpec {
        AcceptanceSpec {
            gather_peers: 20,
            newcomer_share: Millionths(250_000),
            screen: Screen::Loss,
            screen_errors: Millionths::ZERO,
            sealing: true,
            electorate_blocks: 840,
            staleness: 0,
            founders: Vec::new(),
        }
    }

    #[test]
    fn newcomers_have_their_share_of_the_places() {
        for (share, gather_peers, places) in [
            (250_000, 20, 5),
            (250_000, 8, 2),
            (250_000, 7, 1),
            (250_000, 3, 0),
            (1_000_000, 20, 20),
            (0, 20, 0),
        ] {
            let spec = AcceptanceSpec { newcomer_share: Millionths(share), gather_peers, ..twenty_peers() };
            assert_eq!(spec.newcomer_places(), places, "{share} of {gather_peers}");
        }
    }

    /// Returns the error for the rules after a change, with windows of 30 blocks.
    fn refuse(change: impl Fn(&mut AcceptanceSpec)) -> String {
        let mut spec = twenty_peers();
        change(&mut spec);
        spec.check(30).unwrap_err().to_string()
    }

    #[test]
    fn values_that_are_no_rules_are_named() {
        assert_eq!(twenty_peers().check(30), Ok(()));
        assert_eq!(
            refuse(|s| s.gather_peers = 33),
            "acceptance.gather_peers is 33: it must be 1 to 32, since a vote has 64 bits"
        );
        assert!(refuse(|s| s.gather_peers = 0).contains("is 0"));
        assert_eq!(
            refuse(|s| s.newcomer_share = Millionths(1_500_000)),
            "acceptance.newcomer_share is 1.5: it must be 0 to 1"
        );
        assert_eq!(
            refuse(|s| s.screen_errors = Millionths(10_000_001)),
            "acceptance.screen_errors is 10.000001: it must be 0 to 10"
        );
        assert_eq!(
            refuse(|s| s.electorate_blocks = 209),
            "acceptance.electorate_blocks is 209: it must be at least 210 (7 x window.blocks)"
        );
        assert_eq!(AcceptanceSpec { electorate_blocks: 210, ..twenty_peers() }.check(30), Ok(()));
        assert_eq!(AcceptanceSpec { staleness: 1, ..twenty_peers() }.check(30), Ok(()));
        assert_eq!(refuse(|s| s.staleness = 2), "acceptance.staleness is 2: it must be 0 or 1");
    }

    #[test]
    fn founders_are_few_and_sorted() {
        let founders = |names: &[u8]| names.iter().map(|&name| Hotkey([name; 32])).collect::<Vec<_>>();
        let refuse = |names: &[u8]| refuse(|spec| spec.founders = founders(names));
        let twice = format!("lists {} twice: list each hotkey once", Hotkey([4; 32]));
        assert!(refuse(&[1, 4, 4]).contains(&twice), "{}", refuse(&[1, 4, 4]));
        let late = format!("lists {} too late: sort the list", Hotkey([3; 32]));
        assert!(refuse(&[1, 4, 3]).contains(&late), "{}", refuse(&[1, 4, 3]));
        let many: Vec<u8> = (0..65).collect();
        assert_eq!(refuse(&many), "acceptance.founders has 65 hotkeys: at most 64 are allowed");
        let with = |names: &[u8]| AcceptanceSpec { founders: founders(names), ..twenty_peers() };
        assert_eq!(with(&many[..64]).check(30), Ok(()));
        assert_eq!(with(&[7]).check_founders(), Ok(()));
        assert_eq!(with(&[]).check_founders(), Err(AcceptanceError::NoFounders));
    }

    #[test]
    fn bytes_round_trip() {
        let founded = AcceptanceSpec { founders: vec![Hotkey([1; 32]), Hotkey([2; 32])], ..twenty_peers() };
        for (spec, length) in [(twenty_peers(), 26), (founded, 26 + 64)] {
            let mut writer = Writer::new();
            spec.write(&mut writer);
            let mut bytes = writer.into_bytes();
            assert_eq!(AcceptanceSpec::read(&mut Reader::new(&bytes)), Ok(spec));
            assert_eq!(bytes.len(), length);
            bytes[25] = 65;
            let error = AcceptanceSpec::read(&mut Reader::new(&bytes)).unwrap_err().to_string();
            assert_eq!(error, "the number of acceptance.founders at offset 25 is 65: at most 64");
        }
    }
}
