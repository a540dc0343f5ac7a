//! The faults that a history may have: troubles of nodes and of the chain, and attacks.

use crate::random::Random;
use std::{fmt, str::FromStr};

/// Declares the kinds of faults with their names and descriptions.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal),* $(,)?) => {
        /// A kind of fault. A share says how many nodes have it, or how often it happens in a window.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])* $kind),*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// Returns the name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name),*
                }
            }
        }
    };
}

kinds! {
    /// Miners whose buckets answer each read late.
    Stalling = "stalling",
    /// Miners whose buckets send a little more than the rate floor.
    Trickling = "trickling",
    /// Miners whose buckets send less than the rate floor.
    Slow = "slow",
    /// Miners whose buckets break each transfer off.
    Breaking = "breaking",
    /// Miners that claim objects that are nowhere.
    Missing = "missing",
    /// Miners whose buckets send other bytes.
    Swapped = "swapped",
    /// Miners whose buckets serve each object a few times, and then say that it is not there.
    Withholding = "withholding",
    /// Miners whose buckets serve some of the nodes only.
    Selective = "selective",
    /// Miners whose buckets answer each reader that its clock is wrong.
    Skewed = "skewed",
    /// Miners that never publish their keys.
    Keyless = "keyless",
    /// Miners that publish their keys once they know the seed, if they like it.
    Choosing = "choosing",
    /// Miners that claim one object after the other.
    Rewriting = "rewriting",
    /// Miners that claim copies of others' updates as soon as they can read them.
    Copying = "copying",
    /// Miners that take part in some windows only.
    Irregular = "irregular",
    /// Validators that vote for a false state and their own miners.
    FalseVote = "false-vote",
    /// Validators that copy the bits of the vote with the most stake.
    CopiedVote = "copied-vote",
    /// Validators that vote before claims are closed.
    EarlyVote = "early-vote",
    /// Validators that are no founders, and vote for the true state and for hostile miners only.
    Stranger = "stranger",
    /// Validators whose votes come after the deadline.
    LateVote = "late-vote",
    /// Validators that never vote.
    Silent = "silent",
    /// Validators that leave for good after a third of the windows.
    Leaving = "leaving",
    /// Validators that leave for a day and come back.
    Away = "away",
    /// One validator with this share of all stake.
    Whale = "whale",
    /// Nodes that are cut off from the chain and from the buckets now and then.
    Partition = "partition",
    /// Nodes that see blocks late.
    Lag = "lag",
    /// Nodes whose clocks are wrong for a day, so that all buckets refuse them.
    Clock = "clock",
    /// Nodes with a tenth of the others' line.
    SlowLine = "slow-line",
    /// Validators whose computations take twenty times as long.
    SlowWork = "slow-work",
    /// Stops of finality.
    Stall = "stall",
    /// Blocks that are dropped before they are final.
    Drop = "drop",
    /// Transactions that are lost with dropped blocks.
    Lost = "lost",
    /// Transactions that wait for a later block.
    Delay = "delay",
    /// Kills of processes at any event.
    Kill = "kill",
}

/// The group of nodes that a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// A share of the miners, which are hostile.
    Miners,
    /// Validators with a share of the stake, which are hostile.
    HostileValidators,
    /// Validators with a share of the stake, which are honest.
    Validators,
    /// A share of all honest nodes.
    Nodes,
    /// The chain.
    Chain,
}

impl Kind {
    /// Returns the group that the fault hits.
    pub(crate) fn group(self) -> Group {
        use Kind as K;
        match self {
            K::Stalling | K::Trickling | K::Slow | K::Breaking | K::Missing | K::Swapped | K::Withholding => {
                Group::Miners
            }
            K::Selective
            | K::Skewed
            | K::Keyless
            | K::Choosing
            | K::Rewriting
            | K::Copying
            | K::Irregular => Group::Miners,
            K::FalseVote | K::CopiedVote | K::EarlyVote | K::Stranger | K::LateVote | K::Silent => {
                Group::HostileValidators
            }
            K::Leaving | K::Away | K::Whale => Group::Validators,
            K::Partition | K::Lag | K::Clock | K::SlowLine | K::SlowWork | K::Kill => Group::Nodes,
            K::Stall | K::Drop | K::Lost | K::Delay => Group::Chain,
        }
    }

    /// Returns the share of a fault that is given without one, in thousandths.
    fn usual(self) -> u32 {
        match self {
            Self::Leaving => 400,
            Self::Whale => 600,
            Self::Delay => 300,
            _ => match self.group() {
                Group::Miners | Group::HostileValidators => 250,
                _ => 150,
            },
        }
    }
}

/// A fault with its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The kind.
    pub kind: Kind,
    /// The share, in thousandths.
    pub share: u32,
}

/// The reason why a text is not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFaultError {
    /// A kind that does not exist.
    #[error("`{0}` is not a fault: use one of {list}", list = names())]
    Kind(String),
    /// A share that is not a number from 0 to 1.
    #[error("`{0}` is not a share: it must be a number from 0 to 1 with at most three decimals")]
    Share(String),
}

fn names() -> String {
    Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, share) = text.split_once('=').map_or((text, None), |(name, share)| (name, Some(share)));
        let kind = Kind::ALL.iter().copied().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| ParseFaultError::Kind(name.to_owned()))?;
        let share = share.map_or(Some(kind.usual()), thousandths);
        let share = share.ok_or_else(|| ParseFaultError::Share(text.to_owned()))?;
        Ok(Self { kind, share })
    }
}

/// Reads a decimal from 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
    let found = digits(whole)?.checked_mul(1000)?;
    if decimals.len() > 3 {
        return None;
    }
    let found = found.checked_add(digits(&format!("{decimals:0<3}"))?)?;
    (found <= 1000).then_some(found)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}.{:03}", self.kind.name(), self.share / 1000, self.share % 1000)
    }
}

/// Draws up to five faults. Hostile validators have less than half of the stake, all together.
pub(crate) fn draw(random: &mut Random) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut hostile = 0;
    for _ in 0..random.below(6) {
        let Some(place) = random.pick(Kind::ALL.len()) else { continue };
        let kind = Kind::ALL[place];
        if faults.iter().any(|fault| fault.kind == kind) {
            continue;
        }
        let most = match kind.group() {
            Group::Miners => 500,
            Group::HostileValidators => 400 - hostile,
            Group::Validators => 900,
            Group::Nodes | Group::Chain => 300,
        };
        let share = u32::try_from(random.within(10, u64::from(most).max(10))).unwrap_or(10);
        if kind.group() == Group::HostileValidators {
            hostile = (hostile + share).min(390);
        }
        faults.push(Fault { kind, share });
    }
    faults.sort_unstable();
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_printed() {
        for kind in Kind::ALL {
            let fault: Fault = kind.name().parse().unwrap();
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!("slow=0.25".parse(), Ok(Fault { kind: Kind::Slow, share: 250 }));
        assert_eq!("slow=1".parse(), Ok(Fault { kind: Kind::Slow, share: 1000 }));
        for wrong in ["slow=1.1", "slow=-1", "slow=0.1234", "slow=", "slow=x"] {
            assert!(matches!(wrong.parse::<Fault>(), Err(ParseFaultError::Share(_))), "{wrong}");
        }
        let error = "fast".parse::<Fault>().unwrap_err().to_string();
        assert!(error.starts_with("`fast` is not a fault: use one of stalling, "), "{error}");
    }
}
