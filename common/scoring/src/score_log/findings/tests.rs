use super::*;
use crate::{
    gauntlet::{Field, Standing},
    score_log::{Stated, tests::log},
    testing,
};
use base::Height;

fn miner(name: u8) -> NeuronId {
    NeuronId { hotkey: Hotkey([name; 32]), registered: Height(1) }
}

/// Registrations in which a neuron has the uid of its name, unless it is gone.
struct Without(BTreeSet<Hotkey>);

impl Registrations for Without {
    fn seeded(&self, miner: &Hotkey) -> Option<(NeuronId, Uid)> {
        self.at_claims(miner).filter(|_| !self.0.contains(miner))
    }

    fn at_claims(&self, hotkey: &Hotkey) -> Option<(NeuronId, Uid)> {
        Some((miner(hotkey.0[0]), Uid(hotkey.0[0].into())))
    }
}

/// Returns standings of these miners.
fn standings(rated: &[u8]) -> Standings {
    let standing = |name: &u8| (miner(*name).hotkey, Standing::default());
    Standings::new(Field::default(), rated.iter().map(standing).collect())
}

/// Returns a log in which these miners have lines.
fn last(rated: &[u8]) -> ScoreLog {
    let line = |name: &u8| {
        let uid = Uid(100 + u16::from(*name));
        let (object, outcome) = (ObjectHash::default(), Outcome::Skipped);
        let line = MinerLine { uid, registered: Height(1), object, outcome };
        (miner(*name).hotkey, line)
    };
    ScoreLog { miners: rated.iter().map(line).collect(), stated: Stated::default(), ..log() }
}

fn findings(availability: Availability) -> Findings {
    Findings {
        claims: (1..=5).map(|name| (miner(name), ObjectHash([name; 32]))).collect(),
        evaluations: [(miner(1), testing::evaluation(0.01, 2.0))].into(),
        faults: [(2, Fault::Missing), (3, Fault::Slow), (4, Fault::Mismatch)]
            .map(|(name, fault)| (miner(name), fault))
            .into(),
        availability,
    }
}

#[test]
fn each_claimant_and_each_miner_with_a_standing_has_a_line() {
    let registered = Without([miner(7).hotkey].into());
    let findings = findings(Availability::Counts);
    let lines = findings.lines(&standings(&[1, 6, 7]), Some(&last(&[1, 6, 7])), &registered);
    let outcome = |name: u8| lines[&miner(name).hotkey].outcome;
    assert!(matches!(outcome(1), Outcome::Evaluated(_)));
    assert_eq!(outcome(2), Outcome::Failed(Fault::Missing));
    assert_eq!(outcome(3), Outcome::Failed(Fault::Slow));
    assert_eq!(outcome(4), Outcome::Failed(Fault::Mismatch));
    assert_eq!(outcome(5), Outcome::Skipped, "no evaluation and no fault");
    assert_eq!(outcome(6), Outcome::Failed(Fault::Absent));
    assert_eq!(
        lines[&miner(7).hotkey],
        MinerLine {
            uid: Uid(107),
            registered: Height(1),
            object: ObjectHash::default(),
            outcome: Outcome::Gone
        }
    );
    assert_eq!((lines.len(), lines[&miner(2).hotkey].object), (7, ObjectHash([2; 32])));
}

#[test]
fn a4_an_excuse_covers_availability_and_nothing_else() {
    let lines = findings(Availability::Excused).lines(&standings(&[6]), None, &Without(BTreeSet::new()));
    let outcome = |name: u8| lines[&miner(name).hotkey].outcome;
    for name in [2, 3, 5, 6] {
        assert_eq!(outcome(name), Outcome::Skipped, "{name}");
    }
    assert!(matches!(outcome(1), Outcome::Evaluated(_)));
    assert_eq!(outcome(4), Outcome::Failed(Fault::Mismatch), "other bytes are not an absence");
}
