//! Who has yet to act before the chain may go on.

use crate::{
    cast::{Part, Player},
    follow::Told,
    pace::Stage,
    pool::Waiting,
};
use base::{Hotkey, Window, digest::RunId};
use protocol::announcement::{Claim, Record, Vote};
use std::collections::BTreeMap;

/// What is known at one moment.
pub(crate) struct Moment<'a> {
    /// Everybody.
    pub(crate) players: &'a [(Player, Hotkey)],
    /// The names of the children that run.
    pub(crate) running: &'a [String],
    /// What they have told.
    pub(crate) told: &'a Told,
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
        let expected = self.players.iter().filter(|(player, hotkey)| {
            self.running.contains(&player.name) && self.is_awaited(stage, player, hotkey)
        });
        expected.map(|(player, _)| player.name.clone()).collect()
    }

    /// How many transactions wait that are none of those that the stage is for.
    pub(crate) fn waiting(&self, stage: Stage) -> usize {
        self.pool
            .iter()
            .filter(|waiting| !waiting.record.is_some_and(|record| self.is_for(stage, &record)))
            .count()
    }

    fn is_awaited(&self, stage: Stage, player: &Player, hotkey: &Hotkey) -> bool {
        let is_ready = self.told.ready.contains(&player.name);
        match (stage, player.part) {
            (Stage::Start, Part::Joiner) => false,
            (Stage::Start, _) => !is_ready,
            // A joiner is not waited for while it is still catching up; adversaries come when they like.
            (Stage::Claims(_), Part::Miner) => !self.has_acted(stage, hotkey),
            (Stage::Claims(_), Part::Joiner) => is_ready && !self.has_acted(stage, hotkey),
            // Weights of the window before are set before claims close, or their epoch is missed.
            (Stage::Claims(window), Part::Validator) => self.told.begun.get(&player.name) < Some(&window),
            (Stage::Keys(window), Part::Miner | Part::Joiner) => {
                let has_claimed = self.has_acted(Stage::Claims(window), hotkey);
                self.sealed && has_claimed && self.told.revealed.get(&player.name) < Some(&window)
            }
            (Stage::Votes(_), Part::Validator) => !self.has_acted(stage, hotkey),
            (Stage::End, Part::Validator) => !self.told.logged.contains(&player.name),
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

    fn player(name: &str, part: Part, uid: u16) -> (Player, Hotkey) {
        (Player { name: name.into(), part, uid: Uid(uid), stake: 0 }, hotkey(uid))
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

    fn players() -> Vec<(Player, Hotkey)> {
        let adversary = Part::Adversary(crate::cast::Kind::Late);
        vec![
            player("validator-0", Part::Validator, 1),
            player("miner-0", Part::Miner, 2),
            player("miner-1", Part::Miner, 3),
            player("joiner", Part::Joiner, 4),
            player("late-0", adversary, 5),
        ]
    }

    struct World {
        players: Vec<(Player, Hotkey)>,
        running: Vec<String>,
        told: Told,
        standing: BTreeMap<Hotkey, Record>,
        pool: Vec<Waiting>,
    }

    impl World {
        fn new() -> Self {
            let players = players();
            let running = players.iter().map(|(player, _)| player.name.clone()).collect();
            let begun = [("validator-0".to_owned(), Window(9))].into();
            let told = Told { begun, ..Told::default() };
            Self { players, running, told, standing: BTreeMap::new(), pool: Vec::new() }
        }

        fn moment(&self) -> Moment<'_> {
            let Self { players, running, told, standing, pool } = self;
            Moment { players, running, told, run: RUN, sealed: true, standing, pool }
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
        world.told.ready.insert("joiner".into());
        assert_eq!(world.missing(Stage::Claims(Window(2))), ["miner-1", "joiner"]);
    }

    #[test]
    fn claims_do_not_close_before_validators_have_scored_the_window_before() {
        let mut world = World::new();
        let (first, second) = (Stage::Claims(Window(0)), Stage::Claims(Window(1)));
        world.told.begun.clear();
        assert!(world.missing(first).contains(&"validator-0".to_owned()));
        world.told.begun.insert("validator-0".into(), Window(0));
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
        world.told.revealed.insert("miner-0".into(), Window(1));
        assert_eq!(world.missing(stage), ["miner-0"]);
        assert_eq!(Moment { sealed: false, ..world.moment() }.missing(stage), [""; 0]);
        world.told.revealed.insert("miner-0".into(), Window(2));
        assert_eq!(world.missing(stage), [""; 0]);
    }

    #[test]
    fn each_stage_waits_for_its_own() {
        let mut world = World::new();
        assert_eq!(world.missing(Stage::Start), ["validator-0", "miner-0", "miner-1", "late-0"]);
        world.told.ready.extend(["validator-0", "miner-0", "miner-1", "late-0"].map(String::from));
        assert_eq!(world.missing(Stage::Start), [""; 0]);
        assert_eq!(world.missing(Stage::Votes(Window(1))), ["validator-0"]);
        world.pool.push(Waiting { signer: hotkey(1), record: Some(vote(1)) });
        assert_eq!(world.missing(Stage::Votes(Window(1))), [""; 0]);
        assert_eq!(world.missing(Stage::End), ["validator-0"]);
        world.told.logged.insert("validator-0".into());
        assert_eq!(world.missing(Stage::End), [""; 0]);
    }
}
