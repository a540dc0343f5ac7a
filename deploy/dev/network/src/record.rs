//! What a run leaves behind for a replay: who took part, where the buckets were, and what it came to.

use crate::{
    cast::{Part, Player},
    facts::Facts,
    folder::Folder,
    network::Member,
};
use anyhow::Context;
use base::{Uid, Window, digest::State};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, net::SocketAddr};

/// The file `devnet.json` of a run folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// What the keys are made from.
    pub(crate) seed: u64,
    /// Where the announced buckets are.
    pub(crate) buckets: SocketAddr,
    /// Windows of the run.
    pub(crate) count: u32,
    /// Everybody, in the order of uids.
    pub(crate) players: Vec<RecordedPlayer>,
    /// What each window came to.
    pub(crate) windows: Vec<RecordedWindow>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedPlayer {
    name: String,
    part: String,
    uid: u16,
    stake: u64,
}

/// What a window came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedWindow {
    window: Window,
    state: Option<State>,
    accepted: Option<BTreeSet<String>>,
}

impl Record {
    /// Of a run that has ended.
    pub(crate) fn new(facts: &Facts, seed: u64, buckets: SocketAddr) -> Self {
        let players = facts.players.iter().map(|(player, _)| RecordedPlayer {
            name: player.name.clone(),
            part: player.part.to_string(),
            uid: player.uid.0,
            stake: player.stake,
        });
        let windows = facts.run().filter_map(|window| {
            let seen = facts.windows.get(&window)?;
            Some(RecordedWindow { window, state: seen.state, accepted: seen.accepted.clone()? })
        });
        Self { seed, buckets, count: facts.count, players: players.collect(), windows: windows.collect() }
    }

    /// Writes it into the run folder.
    pub(crate) fn write(&self, folder: &Folder) -> anyhow::Result<()> {
        let path = folder.record();
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Reads it from a run folder.
    pub(crate) fn read(folder: &Folder) -> anyhow::Result<Self> {
        let path = folder.record();
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "{} cannot be read: name the folder of a run that has ended and was kept with --keep",
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is no record of a run", path.display()))
    }

    /// Everybody.
    pub(crate) fn players(&self) -> anyhow::Result<Vec<Player>> {
        let player = |recorded: &RecordedPlayer| {
            let RecordedPlayer { name, part, uid, stake } = recorded;
            let part: Part = part.parse().ok().with_context(|| format!("`{part}` is nobody's part"))?;
            Ok(Player { name: name.clone(), part, uid: Uid(*uid), stake: *stake })
        };
        self.players.iter().map(player).collect()
    }

    /// What the run came to, as far as an auditor can tell.
    pub(crate) fn facts(&self, members: &[Member]) -> Facts {
        let players = members.iter().map(|member| (member.player.clone(), member.keys.hotkey())).collect();
        let mut facts = Facts { players, count: self.count, ..Facts::default() };
        for RecordedWindow { window, state, accepted } in &self.windows {
            let seen = facts.window(*window);
            (seen.state, seen.accepted) = (*state, Some(accepted.clone()));
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::members;
    use base::digest::StateRoot;

    #[test]
    fn a_record_brings_the_facts_back() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let players =
            [("validator-0", Part::Validator, 1), ("late-0", Part::Adversary(crate::cast::Kind::Late), 2)];
        let players: Vec<Player> = players
            .map(|(name, part, uid)| Player { name: name.into(), part, uid: Uid(uid), stake: 5 })
            .into();
        let members = members(players.clone(), 9);
        let keyed = members.iter().map(|member| (member.player.clone(), member.keys.hotkey())).collect();
        let mut facts = Facts { players: keyed, count: 2, ..Facts::default() };
        facts.window(Window(0)).state = Some(State([1; 32]));
        facts.window(Window(0)).accepted = Some(Some(["late-0".to_owned()].into()));
        facts.window(Window(1)).accepted = Some(None);
        facts
            .states
            .entry(Window(1))
            .or_default()
            .insert("validator-0".into(), (State([2; 32]), StateRoot([3; 32])));
        let record = Record::new(&facts, 9, ([127, 0, 0, 1], 1234).into());
        record.write(&folder).unwrap();
        let read = Record::read(&folder).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.players().unwrap(), players);
        let again = read.facts(&members);
        assert_eq!((again.players, again.windows), (facts.players, facts.windows));
    }
}
