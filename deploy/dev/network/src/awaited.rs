//! Who has yet to act before the chain may go on.

use crate::{
    follow::NodeProgress,
    pace::Stage,
    pool::Waiting,
    roster::{Participant, Role},
};
use base::{Hotkey, Window, digest::RunId};
use protocol::announcement::{Claim, Record, Vote};
use std::collections::BTreeMap;

/// What is known at one moment.
pub(crate) struct Moment<'a> {
    /// Everybody.
    pub(crate) participants: &'a [(Participant, Hotkey)],
    /// The names of the children that run.
    pub(crate) running: &'a [String],
    /// What they have told.
    pub(crate) progress: &'a NodeProgress,
    /// The run.
    pub(crate) run: RunId,
    /// Whether its submissions are sealed.
    pub(crate) sealed: bool,
    /// The claims and votes that stand on chain.
    pub(crate) standing: &'a BTreeMap<Hotkey, Record>,
    /// What waits in the pool.
    pub(crate) pool: &'a [Waiting],
}

impl Moment<'_> {
    /// The names of those whom the chain is held for.
    pub(crate) fn missing(&self, stage: Stage) -> Vec<String> {
        let expected = self.participants.iter().filter(|(participant, hotkey)| {
            self.running.contains(&participant.name) && self.is_awaited(stage, participant, hotkey)
        });
        expected.map(|(participant, _)| participant.name.clone()).collect()
    }

    /// How many transactions wait that are none of those that the stage is for.
    pub(crate) fn waiting(&self, stage: Stage) -> usize {
        self.pool
            .iter()
            .filter(|waiting| !waiting.record.is_some_and(|record| self.is_for(stage, &record)))
            .count()
    }

    fn is_awaited(&self, stage: Stage, participant: &Participant, hotkey: &Hotkey) -> bool {
        let is_ready = self.progress.ready.contains(&participant.name);
        match (stage, participant.part) {
            (Stage::Start, Role::Joiner) => false,
            (Stage::Start, _) => !is_ready,
            // A joiner is not waited for while it is still catching up; adversaries come when they like.
            (Stage::Claims(_), Role::Miner) => !self.has_acted(stage, hotkey),
            (Stage::Claims(_), Role::Joiner) => is_ready && !self.has_acted(stage, hotkey),
            // Weights of the window before are set before claims close, or their epoch is missed.
            (Stage::Claims(window), Role::Validator) => {
                self.progress.begun.get(&participant.name) < Some(&window)
            }
            (Stage::Keys(window), Role::Miner | Role::Joiner) => {
                let has_claimed = self.has_acted(Stage::Claims(window), hotkey);
                self.sealed && has_claimed && self.progress.revealed.get(&participant.name) < Some(&window)
            }
            (Stage::Votes(_), Role::Validator) => !self.has_acted(stage, hotkey),
            (Stage::End, Role::Validator) => !self.progress.logged.contains(&participant.name),
            _ => false,
        }
    }

    fn has_acted(&self, stage: Stage, hotkey: &Hotkey) -> bool {
        let standing = self.standing.get(hotkey).copied();
        let waiting = self.pool.iter().filter(|waiting| waiting.signer == *hotkey);
        standing.into_iter().chain(waiting.filter_map(|w| w.record)).any(|record| self.is_for(stage, &record))
    }

    fn is_for(&self, stage: Stage, record: &Record) -> bool {
        let named: (RunId, Window) = match (stage, record) {
            (Stage::Claims(awaited), Record::Claim(Claim { run, window, .. }))
            | (Stage::Votes(awaited), Record::Vote(Vote { run, window, .. }))
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

    fn participant(name: &str, part: Role, uid: u16) -> (Participant, Hotkey) {
        (Participant { name: name.into(), part, uid: Uid(uid), stake: 0 }, hotkey(uid))
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

    struct World {
        participants: Vec<(Participant, Hotkey)>,
        running: Vec<String>,
        progress: NodeProgress,
        standing: BTreeMap<Hotkey, Record>,
        pool: Vec<Waiting>,
    }

    impl World {
        fn new() -> Self {
            let participants = participants();
            let running = participants.iter().map(|(participant, _)| participant.name.clone()).collect();
            let begun = [("validator-0".to_owned(), Window(9))].into();
            let progress = NodeProgress { begun, ..NodeProgress::default() };
            Self { participants, running, progress, standing: BTreeMap::new(), pool: Vec::new() }
        }

        fn moment(&self) -> Moment<'_> {
            let Self { participants, running, progress, standing, pool } = self;
            Moment { participants, running, progress, run: RUN, sealed: true, standing, pool }
        }

        fn missing(&self, stage: Stage) -> Vec<String> {
            self.moment().missing(stage)
        }
    }

    #[test]
    fn claims_count_where_they_stand_and_where_they_wait() {
        let mut world = World::new();
        let stage = Stage::Claims(Window(2));
        assert_eq!(world.missing(stage), ["miner-0", "miner-1"]);
        world.standing.insert(hotkey(2), claim(RUN, 2));
        world.pool.push(Waiting { signer: hotkey(3), record: Some(claim(RUN, 2)) });
        assert_eq!(world.missing(stage), [""; 0]);
        assert_eq!(world.moment().waiting(stage), 0);
        assert_eq!(world.missing(Stage::Claims(Window(3))), ["miner-0", "miner-1"]);
        assert_eq!(
            world.moment().waiting(Stage::Claims(Window(3))),
            1,
            "an old claim is sealed like anything else"
        );
        world.standing.insert(hotkey(2), claim(RunId([9; 8]), 2));
        assert_eq!(world.missing(stage), ["miner-0"], "another run's claim is none");
    }

    #[test]
    fn who_does_not_run_or_is_not_ready_to_claim_is_not_waited_for() {
        let mut world = World::new();
        world.running.retain(|name| name != "miner-0");
        assert_eq!(world.missing(Stage::Claims(Window(2))), ["miner-1"]);
        world.progress.ready.insert("joiner".into());
        assert_eq!(world.missing(Stage::Claims(Window(2))), ["miner-1", "joiner"]);
    }

    #[test]
    fn claims_do_not_close_before_validators_have_scored_the_window_before() {
        let mut world = World::new();
        let (first, second) = (Stage::Claims(Window(0)), Stage::Claims(Window(1)));
        world.progress.begun.clear();
        assert!(world.missing(first).contains(&"validator-0".to_owned()));
        world.progress.begun.insert("validator-0".into(), Window(0));
        assert!(!world.missing(first).contains(&"validator-0".to_owned()));
        assert!(world.missing(second).contains(&"validator-0".to_owned()));
    }

    #[test]
    fn keys_are_waited_for_from_who_has_claimed() {
        let mut world = World::new();
        let stage = Stage::Keys(Window(2));
        assert_eq!(world.missing(stage), [""; 0]);
        world.standing.insert(hotkey(2), claim(RUN, 2));
        world.standing.insert(hotkey(3), claim(RUN, 1));
        assert_eq!(world.missing(stage), ["miner-0"]);
        world.progress.revealed.insert("miner-0".into(), Window(1));
        assert_eq!(world.missing(stage), ["miner-0"]);
        assert_eq!(Moment { sealed: false, ..world.moment() }.missing(stage), [""; 0]);
        world.progress.revealed.insert("miner-0".into(), Window(2));
        assert_eq!(world.missing(stage), [""; 0]);
    }

    #[test]
    fn each_stage_waits_for_its_own() {
        let mut world = World::new();
        assert_eq!(world.missing(Stage::Start), ["validator-0", "miner-0", "miner-1", "late-0"]);
        world.progress.ready.extend(["validator-0", "miner-0", "miner-1", "late-0"].map(String::from));
        assert_eq!(world.missing(Stage::Start), [""; 0]);
        assert_eq!(world.missing(Stage::Votes(Window(1))), ["validator-0"]);
        world.pool.push(Waiting { signer: hotkey(1), record: Some(vote(1)) });
        assert_eq!(world.missing(Stage::Votes(Window(1))), [""; 0]);
        assert_eq!(world.missing(Stage::End), ["validator-0"]);
        world.progress.logged.insert("validator-0".into());
        assert_eq!(world.missing(Stage::End), [""; 0]);
    }
}
