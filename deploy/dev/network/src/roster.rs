//! The participants of a network: names, roles, uids, stakes.

use crate::options::Up;
use base::Uid;
use std::{fmt, str::FromStr};

/// One TAO (or alpha) in rao.
const TAO: u64 = 1_000_000_000;
/// The stake of the last validator, in rao. Each validator before it has [`STAKE_STEP`] more.
/// With three validators, no single one has a majority of the stake.
const LEAST_STAKE: u64 = 30_000 * TAO;
/// The difference in stake between two successive validators, in rao.
const STAKE_STEP: u64 = 10_000 * TAO;

/// A kind of adversary: the way in which it mines dishonestly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Random values in a plausible form.
    Noise,
    /// An update without training.
    Lazy,
    /// Honest work, claimed too late.
    Late,
    /// An object larger than the run allows.
    Huge,
    /// An update of an old state.
    Stale,
    /// Random bytes.
    Garbage,
    /// Another miner's update of the same window, if it can be read in time.
    Copycat,
    /// The mean of two other miners' updates of the same window, if they can be read in time.
    Mixcopy,
    /// Honest work, sealed, whose key is never published.
    Keyless,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Noise,
        Self::Lazy,
        Self::Late,
        Self::Huge,
        Self::Stale,
        Self::Garbage,
        Self::Copycat,
        Self::Mixcopy,
        Self::Keyless,
    ];

    /// Returns the name on command lines and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Lazy => "lazy",
            Self::Late => "late",
            Self::Huge => "huge",
            Self::Stale => "stale",
            Self::Garbage => "garbage",
            Self::Copycat => "copycat",
            Self::Mixcopy => "mixcopy",
            Self::Keyless => "keyless",
        }
    }

    /// Returns all names in one text, for messages.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(())
    }
}

/// The role of a participant in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The owner of the subnet, with uid 0. It runs no process.
    Owner,
    /// A node that evaluates, votes and sets weights.
    Validator,
    /// An honest miner from the start.
    Miner,
    /// An honest miner that starts at a later window.
    Joiner,
    /// A dishonest miner.
    Adversary(Kind),
}

impl Role {
    /// Returns whether the participant is a miner, honest or dishonest.
    #[must_use]
    pub fn mines(self) -> bool {
        matches!(self, Self::Miner | Self::Joiner | Self::Adversary(_))
    }

    /// Returns whether the participant follows the protocol and holds the shared state.
    #[must_use]
    pub fn is_honest(self) -> bool {
        matches!(self, Self::Validator | Self::Miner | Self::Joiner)
    }

    /// Returns whether the participant is an honest miner, from the start or later.
    #[must_use]
    pub fn is_honest_miner(self) -> bool {
        matches!(self, Self::Miner | Self::Joiner)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Owner => "owner",
            Self::Validator => "validator",
            Self::Miner => "miner",
            Self::Joiner => "joiner",
            Self::Adversary(kind) => kind.name(),
        })
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = [Self::Owner, Self::Validator, Self::Miner, Self::Joiner];
        let known = plain.into_iter().find(|role| role.to_string() == text);
        known.map_or_else(|| text.parse().map(Self::Adversary), Ok)
    }
}

/// A participant of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The unique name. It also names the participant's wallet, bucket and folder.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The uid from genesis on.
    pub uid: Uid,
    /// The stake from genesis on, in rao.
    pub stake: u64,
}

/// Returns all participants, in the order of uids.
#[must_use]
pub fn roster(up: &Up) -> Vec<Participant> {
    let validators = up.validators;
    let numbered = |role: Role, count: u16| (0..count).map(move |number| (role, Some(number)));
    let roles = [(Role::Owner, None)]
        .into_iter()
        .chain(numbered(Role::Validator, validators))
        .chain(numbered(Role::Miner, up.miners))
        .chain(up.join_at.map(|_| (Role::Joiner, None)))
        .chain(bands(up).flat_map(|(kind, count)| numbered(Role::Adversary(kind), count)));
    let participant = |(uid, (role, number)): (u16, (Role, Option<u16>))| Participant {
        name: number.map_or_else(|| role.to_string(), |number| format!("{role}-{number}")),
        role,
        uid: Uid(uid),
        stake: match role {
            Role::Validator => LEAST_STAKE + STAKE_STEP * u64::from(validators - uid),
            _ => 0,
        },
    };
    (0..).zip(roles).map(participant).collect()
}

/// Returns the number of adversaries of each kind, summed over all options that name it.
fn bands(up: &Up) -> impl Iterator<Item = (Kind, u16)> {
    let count = |kind| up.adversary.iter().filter(|band| band.kind == kind).map(|band| band.count).sum();
    Kind::ALL.into_iter().map(move |kind| (kind, count(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        up: Up,
    }

    #[test]
    fn each_participant_has_a_name_and_a_uid_and_validators_have_a_stake() {
        let line = "devnet --data x --miners 2 --join-at 3 --adversary noise=1 --adversary late=1 --adversary noise=1";
        let participants = roster(&Program::parse_from(line.split(' ')).up);
        let rows: Vec<_> = participants.iter().map(|p| (p.uid.0, p.name.as_str(), p.stake / TAO)).collect();
        let expected = [
            (0, "owner", 0),
            (1, "validator-0", 50_000),
            (2, "validator-1", 40_000),
            (3, "validator-2", 30_000),
            (4, "miner-0", 0),
            (5, "miner-1", 0),
            (6, "joiner", 0),
            (7, "noise-0", 0),
            (8, "noise-1", 0),
            (9, "late-0", 0),
        ];
        assert_eq!(rows, expected);
    }
}
