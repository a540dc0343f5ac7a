//! The findings of a validator about the claims of a window, and the lines that follow from them.

use super::{MinerLine, ScoreLog};
use crate::gauntlet::{Availability, Evaluation, Fault, Outcome};
use base::{NeuronId, Uid, digest::ObjectHash};
use std::collections::BTreeMap;

/// The findings of a validator about the claims of a window.
///
/// A miner without an evaluation and without a fault was skipped: this validator had no time for it, or
/// could not download its submission, by no fault of the miner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The claimed objects.
    pub claims: BTreeMap<NeuronId, ObjectHash>,
    /// The evaluated miners.
    pub evaluations: BTreeMap<NeuronId, Evaluation>,
    /// The miners whose submissions failed by their own fault.
    pub faults: BTreeMap<NeuronId, Fault>,
    /// Whether failures of availability count.
    pub availability: Availability,
}

/// The registrations of the subnet as a line needs them.
pub trait Registrations {
    /// Returns the uid of a neuron whose registration stands after the block that seeded the evaluations.
    fn uid(&self, neuron: &NeuronId) -> Option<Uid>;

    /// Returns the uid of a claimant after the block with which the claims closed.
    fn uid_at_claims(&self, neuron: &NeuronId) -> Option<Uid>;
}

impl Findings {
    /// Returns the line of each miner with a claim, and of each rated miner. `last` is the previous log.
    #[must_use]
    pub fn lines(
        &self,
        last: Option<&ScoreLog>,
        registrations: &impl Registrations,
    ) -> BTreeMap<NeuronId, MinerLine> {
        let claimed = self.claims.iter().map(|(miner, object)| {
            let evaluation = self.evaluations.get(miner).copied();
            let outcome = Outcome::of(evaluation, self.faults.get(miner).copied(), self.availability);
            (*miner, registrations.uid_at_claims(miner), *object, outcome)
        });
        let rated = last.into_iter().flat_map(|last| last.stated.standings.iter());
        let absent = rated.filter(|(miner, _)| !self.claims.contains_key(miner)).map(|(miner, _)| {
            let known = last.and_then(|last| last.miners.get(miner)).map(|line| line.uid);
            let outcome = Outcome::of(None, Some(Fault::Absent), self.availability);
            (*miner, known, ObjectHash::default(), outcome)
        });
        let line = |(miner, known, object, outcome): (NeuronId, Option<Uid>, ObjectHash, Outcome)| {
            let line = match registrations.uid(&miner) {
                Some(uid) => MinerLine { uid, object, outcome },
                None => MinerLine { uid: known.unwrap_or_default(), object, outcome: Outcome::Gone },
            };
            (miner, line)
        };
        claimed.chain(absent).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gauntlet::{Losses, ScoringSpec, Standing, Standings},
        score_log::{Header, Stated},
        weights::Subnet,
    };
    use base::{
        BlockHash, Height, Hotkey, Window,
        digest::{RunHash, ScoreLogHead, State},
    };
    use std::collections::BTreeSet;

    fn miner(name: u8) -> NeuronId {
        NeuronId { hotkey: Hotkey([name; 32]), registered: Height(1) }
    }

    /// Registrations in which a neuron has the uid of its name, unless it is gone.
    struct Without(BTreeSet<NeuronId>);

    impl Registrations for Without {
        fn uid(&self, neuron: &NeuronId) -> Option<Uid> {
            self.uid_at_claims(neuron).filter(|_| !self.0.contains(neuron))
        }

        fn uid_at_claims(&self, neuron: &NeuronId) -> Option<Uid> {
            Some(Uid(neuron.hotkey.0[0].into()))
        }
    }

    /// Returns a log that rates these miners.
    fn last(rated: &[u8]) -> ScoreLog {
        let standing = |name: &u8| (miner(*name), Standing::new(&ScoringSpec::default()));
        let standings: Standings = rated.iter().map(standing).collect();
        let header = Header {
            run: RunHash([7; 32]),
            validator: miner(99),
            window: Window(1),
            state: State([2; 32]),
            seed: BlockHash([3; 32]),
            previous: ScoreLogHead::default(),
            standings: standings.hash(),
            unassigned_before: 4.0,
            subnet: Subnet { owner: None, uids: 9, min_allowed: 1, max_limit: 65535 },
        };
        let stated = Stated { standings, ..Stated::default() };
        let line = |name: &u8| {
            let uid = Uid(100 + u16::from(*name));
            (miner(*name), MinerLine { uid, object: ObjectHash::default(), outcome: Outcome::Skipped })
        };
        ScoreLog { header, snapshot: None, miners: rated.iter().map(line).collect(), stated }
    }

    fn findings(availability: Availability) -> Findings {
        let losses = Losses { before: 4.0, after: 3.9 };
        Findings {
            claims: (1..=5).map(|name| (miner(name), ObjectHash([name; 32]))).collect(),
            evaluations: [(miner(1), Evaluation { assigned: losses, unassigned_after: 3.9 })].into(),
            faults: [(2, Fault::Missing), (3, Fault::Slow), (4, Fault::Mismatch)]
                .map(|(name, fault)| (miner(name), fault))
                .into(),
            availability,
        }
    }

    #[test]
    fn each_claimant_and_each_rated_miner_has_a_line() {
        let lines =
            findings(Availability::Counts).lines(Some(&last(&[1, 6, 7])), &Without([miner(7)].into()));
        let outcome = |name: u8| lines[&miner(name)].outcome;
        assert!(matches!(outcome(1), Outcome::Evaluated(_)));
        assert_eq!(outcome(2), Outcome::Failed(Fault::Missing));
        assert_eq!(outcome(3), Outcome::Failed(Fault::Slow));
        assert_eq!(outcome(4), Outcome::Failed(Fault::Mismatch));
        assert_eq!(outcome(5), Outcome::Skipped, "no evaluation and no fault");
        assert_eq!(outcome(6), Outcome::Failed(Fault::Absent));
        assert_eq!(
            lines[&miner(7)],
            MinerLine { uid: Uid(107), object: ObjectHash::default(), outcome: Outcome::Gone }
        );
        assert_eq!((lines.len(), lines[&miner(2)].object), (7, ObjectHash([2; 32])));
    }

    #[test]
    fn a4_an_excuse_covers_availability_and_nothing_else() {
        let lines = findings(Availability::Excused).lines(Some(&last(&[6])), &Without(BTreeSet::new()));
        let outcome = |name: u8| lines[&miner(name)].outcome;
        for name in [2, 3, 5, 6] {
            assert_eq!(outcome(name), Outcome::Skipped, "{name}");
        }
        assert!(matches!(outcome(1), Outcome::Evaluated(_)));
        assert_eq!(outcome(4), Outcome::Failed(Fault::Mismatch), "other bytes are not an absence");
    }
}
