//! The description of a history: everything that follows from the command line and the seed.

use crate::{
    faults::{self, Fault, Group, Kind},
    profile::ProfileName,
    random::Random,
};
use link::Link;
use std::fmt;

/// The description of a history. One description gives one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of windows.
    pub windows: u32,
    /// The number of validators, at least 1.
    pub validators: u32,
    /// The number of miners, at least 1.
    pub miners: u32,
    /// The run.
    pub profile: ProfileName,
    /// The staleness, if it is not the run's.
    pub staleness: Option<u8>,
    /// The blocks of a window, if they are not the run's.
    pub blocks: Option<u32>,
    /// The line of a miner.
    pub link: Link,
    /// The faults.
    pub faults: Vec<Fault>,
}

/// The most miners of a drawn 72B network: with more, a history takes minutes.
const MOST_72B_MINERS: u64 = 40;

/// The least rate of a validator's line in megabits per second, up and down.
pub(crate) const VALIDATOR_LINE: u32 = 1000;

impl Scenario {
    /// Draws the description that belongs to a seed: mostly small networks of the tiny run.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let (validators, miners, windows) = match random.below(100) {
            0..60 => (random.within(2, 5), random.within(1, 6), random.within(8, 24)),
            60..90 => (random.within(3, 9), random.within(4, 14), random.within(8, 20)),
            90..98 => (random.within(6, 20), random.within(8, 40), random.within(6, 12)),
            _ => (random.within(20, 64), random.within(40, 256), 4),
        };
        let small = |number: u64| u32::try_from(number).unwrap_or(1);
        let profile = match random.below(100) {
            0..60 => ProfileName::Tiny,
            60..76 => ProfileName::M150,
            76..88 => ProfileName::B1,
            88..99 => ProfileName::B8,
            _ => ProfileName::B72,
        };
        Self {
            seed,
            windows: small(windows),
            validators: small(validators),
            miners: small(if profile == ProfileName::B72 { miners.min(MOST_72B_MINERS) } else { miners }),
            profile,
            // Of a random sequence of its own: so the rest of a seed does not change with it.
            staleness: (Random::new(seed, 2).below(4) == 0).then_some(1),
            blocks: None,
            link: Link::USUAL,
            faults: faults::draw(&mut random),
        }
    }

    /// Returns the share of a fault in thousandths: 0 without it.
    pub(crate) fn share(&self, kind: Kind) -> u64 {
        self.faults.iter().find(|fault| fault.kind == kind).map_or(0, |fault| fault.share.into())
    }

    /// Returns the faults of a group.
    pub(crate) fn of_group(&self, group: Group) -> impl Iterator<Item = Fault> {
        self.faults.iter().copied().filter(move |fault| fault.kind.group() == group)
    }
}

/// Prints the flags that give the same history.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, windows, validators, miners, profile, staleness, blocks, link, faults } = self;
        write!(f, "--seed {seed} --windows {windows} --validators {validators} --miners {miners}")?;
        write!(f, " --profile {} --link {link}", profile.name())?;
        if let Some(staleness) = staleness {
            write!(f, " --staleness {staleness}")?;
        }
        if let Some(blocks) = blocks {
            write!(f, " --blocks {blocks}")?;
        }
        if faults.is_empty() {
            return f.write_str(" --fault none");
        }
        faults.iter().try_for_each(|fault| write!(f, " --fault {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_description() {
        assert_eq!(Scenario::draw(5), Scenario::draw(5));
        assert!((0..100).any(|seed| !Scenario::draw(seed).faults.is_empty()));
    }
}
