//! Finds the nodes that have yet to act before the next block may be sealed.

use crate::{
    follow::NodeProgress,
    pace::PaceStage,
    pool::Waiting,
    roster::{Participant, Role},
};
use base::{Hotkey, Window, digest::RunId};
use protocol::announcement::{Claim, Record, Vote};
use std::collections::BTreeMap;

/// A snapshot of the network at one moment.
pub(crate) struct NetworkSnapshot<'a> {
    /// All participants with their hotkeys.
    pub(crate) participants: &'a [(Participant, Hotkey)],
    /// The names of the running children.
    pub(crate) running: &'a [String],
    /// The progress of the nodes, from their events.
    pub(crate) progress: &'a NodeProgress,
    /// The run.
    pub(crate) run: RunId,
    /// Whether the run's submissions are sealed.
    pub(crate) sealed: bool,
    /// The claims and votes on chain.
    pub(crate) standing: &'a BTreeMap<Hotkey, Record>,
    /// The transactions in the pool.
    pub(crate) pool: &'a [Waiting],
}

impl NetworkSnapshot<'_> {
    /// Returns the names of the nodes that the chain is held for.
    pub(crate) fn missing(&self, stage: PaceStage) -> Vec<String> {
        let expected = self.participants.iter().filter(|(participant, hotkey)| {
            self.running.contains(&participant.name) && self.is_awaited(stage, participant, hotkey)
        });
        expected.map(|(participant, _)| participant.name.clone()).collect()
    }

    /// Returns the number of transactions in the pool, without those that the stage waits for.
    pub(crate) fn waiting(&self, stage: PaceStage) -> usize {
        self.pool
            .iter()
            .filter(|waiting| !waiting.record.is_some_and(|record| self.is_for(stage, &record)))
            .count()
    }

    fn is_awaited(&self, stage: PaceStage, participant: &Participant, hotkey: &Hotkey) -> bool {
        let is_ready = self.progress.ready.contains(&participant.name);
        match (stage, participant.role) {
            (PaceStage::Start, Role::Joiner) => false,
            (PaceStage::Start, _) => !is_ready,
            // The chain does not wait for a joiner that is still catching up, nor for adversaries.
            (PaceStage::Claims(_), Role::Miner) => !self.has_acted(stage, hotkey),
            (PaceStage::Claims(_), Role::Joiner) => is_ready && !self.has_acted(stage, hotkey),
            // Validators set the weights of the previous window before claims close, or they miss the
            // epoch.
            (PaceStage::Claims(window), Role::Validator) => {
                self.progress.measured.get(&participant.name) < Some(&window)
            }
            (PaceStage::Keys(window), Role::Miner | Role::Joiner) => {
                let has_claimed = self.has_acted(PaceStage::Claims(window), hotkey);
                self.sealed && has_claimed && self.progress.revealed.get(&participant.name) < Some(&window)
            }
            (PaceStage::Collected(window), Role::Validator) => {
                self.progress.collected.get(&participant.name) < Some(&window)
            }
            (PaceStage::Votes(_), Role::Validator) => !self.has_acted(stage, hotkey),
            (PaceStage::End, Role::Validator) => !self.progress.logged.contains(&participant.name),
            _ => false,
        }
    }

    fn has_acted(&self, stage: PaceStage, hotkey: &Hotkey) -> bool {
        let standing = self.standing.get(hotkey).copied();
        let waiting = self.pool.iter().filter(|waiting| waiting.signer == *hotkey);
        standing.into_iter().chain(waiting.filter_map(|w| w.record)).any(|record| self.is_for(stage, &record))
    }

    fn is_for(&self, stage: PaceStage, record: &Record) -> bool {
        let named: (RunId, Window) = match (stage, record) {
            (PaceStage::Claims(awaited), Record::Claim(Claim { run, window, .. }))
            | (PaceStage::Votes(awaited), Record::Vote(Vote { run, window, .. }))
                if *window == awaited =>
            {
                (*run, *window)
            }
            _ => return false,
        };
        named.0 == self.run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{
        Uid,
        digest::{ObjectHash, ScoreLogHead, State},
    };
    use protocol::announcement::{Bits, Possession};

    const RUN: RunId = RunId([1; 8]);

    fn participant(name: &str, role: Role, uid: u16) -> (Participant, Hotkey) {
        (Participant { name: name.into(), role, uid: Uid(uid), stake: 0 }, hotkey(uid))
    }

    fn hotkey(uid: u16) -> Hotkey {
        Hotkey([uid as u8; 32])
    }

    fn claim(run: RunId, window: u64) -> Record {
        Record::Claim(Claim { run, window: Window(window), object: ObjectHash([0; 32]) })
    }

    fn vote(window: u64) -> Record {
        Record::Vote(Vote {
            run: RUN,
            window: Window(window),
            good: Bits(0),
            state: State([0; 32]),
            score_log: ScoreLogHead([0; 32]),
            possession: Possession([0; 32]),
        })
    }

    fn participants() -> Vec<(Participant, Hotkey)> {
        let adversary = Role::Adversary(crate::roster::Kind::Late);
        vec![
            participant("validator-0", Role::Validator, 1),
            participant("miner-0", Role::Miner, 2),
            participant("miner-1", Role::Miner, 3),
            participant("joiner", Role::Joiner, 4),
            participant("late-0", adversary, 5),
        ]
    }

    struct Fixture {
        participants: Vec<(Participant, Hotkey)>,
        running: Vec<String>,
        progress: NodeProgress,
        standing: BTreeMap<Hotkey, Record>,
        pool: Vec<Waiting>,
    }

    impl Fixture {
        fn new() -> Self {
            let participants = participants();
            let running = participants.iter().map(|(participant, _)| participant.name.clone()).collect();
            let measured = [("validator-0".to_owned(), Window(9))].into();
            let progress = NodeProgress { measured, ..NodeProgress::default() };
            Self { participants, running, progress, standing: BTreeMap::new(), pool: Vec::new() }
        }

        fn snapshot(&self) -> NetworkSnapshot<'_> {
            let Self { participants, running, progress, standing, pool } = self;
            NetworkSnapshot { participants, running, progress, run: RUN, sealed: true, standing, pool }
        }

        fn missing(&self, stage: PaceStage) -> Vec<String> {
            self.snapshot().missing(stage)
        }
    }

    #[test]
    fn claims_count_on_chain_and_in_the_pool() {
        let mut fixture = Fixture::new();
        let stage = PaceStage::Claims(Window(2));
        assert_eq!(fixture.missing(stage), ["miner-0", "miner-1"]);
        fixture.standing.insert(hotkey(2), claim(RUN, 2));
        fixture.pool.push(Waiting { signer: hotkey(3), record: Some(claim(RUN, 2)) });
        assert_eq!(fixture.missing(stage), [""; 0]);
        assert_eq!(fixture.snapshot().waiting(stage), 0);
        assert_eq!(fixture.missing(PaceStage::Claims(Window(3))), ["miner-0", "miner-1"]);
        assert_eq!(
            fixture.snapshot().waiting(PaceStage::Claims(Window(3))),
            1,
            "an old claim is sealed like anything else"
        );
        fixture.standing.insert(hotkey(2), claim(RunId([9; 8]), 2));
        assert_eq!(fixture.missing(stage), ["miner-0"], "a claim of another run does not count");
    }

    #[test]
    fn stopped_nodes_and_joiners_that_are_not_ready_are_not_awaited() {
        let mut fixture = Fixture::new();
        fixture.running.retain(|name| name != "miner-0");
        assert_eq!(fixture.missing(PaceStage::Claims(Window(2))), ["miner-1"]);
        fixture.progress.ready.insert("joiner".into());
        assert_eq!(fixture.missing(PaceStage::Claims(Window(2))), ["miner-1", "joiner"]);
    }

    #[test]
    fn claims_do_not_close_before_validators_have_scored_the_window_before() {
        let mut fixture = Fixture::new();
        let (first, second) = (PaceStage::Claims(Window(0)), PaceStage::Claims(Window(1)));
        fixture.progress.measured.clear();
        assert!(fixture.missing(first).contains(&"validator-0".to_owned()));
        fixture.progress.measured.insert("validator-0".into(), Window(0));
        assert!(!fixture.missing(first).contains(&"validator-0".to_owned()));
        assert!(fixture.missing(second).contains(&"validator-0".to_owned()));
    }

    #[test]
    fn only_keys_of_miners_with_a_claim_are_awaited() {
        let mut fixture = Fixture::new();
        let stage = PaceStage::Keys(Window(2));
        assert_eq!(fixture.missing(stage), [""; 0]);
        fixture.standing.insert(hotkey(2), claim(RUN, 2));
        fixture.standing.insert(hotkey(3), claim(RUN, 1));
        assert_eq!(fixture.missing(stage), ["miner-0"]);
        fixture.progress.revealed.insert("miner-0".into(), Window(1));
        assert_eq!(fixture.missing(stage), ["miner-0"]);
        assert_eq!(NetworkSnapshot { sealed: false, ..fixture.snapshot() }.missing(stage), [""; 0]);
        fixture.progress.revealed.insert("miner-0".into(), Window(2));
        assert_eq!(fixture.missing(stage), [""; 0]);
    }

    #[test]
    fn each_stage_waits_for_its_own_nodes() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.missing(PaceStage::Start), ["validator-0", "miner-0", "miner-1", "late-0"]);
        fixture.progress.ready.extend(["validator-0", "miner-0", "miner-1", "late-0"].map(String::from));
        assert_eq!(fixture.missing(PaceStage::Start), [""; 0]);
        assert_eq!(fixture.missing(PaceStage::Collected(Window(1))), ["validator-0"]);
        fixture.progress.collected.insert("validator-0".into(), Window(1));
        assert_eq!(fixture.missing(PaceStage::Collected(Window(1))), [""; 0]);
        assert_eq!(fixture.missing(PaceStage::Votes(Window(1))), ["validator-0"]);
        fixture.pool.push(Waiting { signer: hotkey(1), record: Some(vote(1)) });
        assert_eq!(fixture.missing(PaceStage::Votes(Window(1))), [""; 0]);
        assert_eq!(fixture.missing(PaceStage::End), ["validator-0"]);
        fixture.progress.logged.insert("validator-0".into());
        assert_eq!(fixture.missing(PaceStage::End), [""; 0]);
    }
}
