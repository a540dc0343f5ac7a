//! The events of the children, read while the children write them.

use crate::run_record::{FoundFault, Rating, RunRecord};
use base::Window;
use node::events::{Entry, NodeEvent};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

/// A reader of a growing file of events. Each read continues after the last complete line.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    /// The number of bytes read so far.
    read: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Follower {
    /// Creates a reader at the beginning of a file. The file may not exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read: 0, rest: Vec::new() }
    }

    /// Returns the events since the last call. Skips lines that are not events: a kill may have cut a line.
    pub(crate) fn new_events(&mut self) -> io::Result<Vec<NodeEvent>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        self.read += file.read_to_end(&mut self.rest)? as u64;
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..end).collect();
        // Parse into a `Value` first: numbers are then read in the same way with any features of
        // serde_json.
        let event = |line: &[u8]| {
            let entry: Entry = serde_json::from_value(serde_json::from_slice(line).ok()?).ok()?;
            Some(entry.event)
        };
        Ok(lines.split(|byte| *byte == b'\n').filter_map(event).collect())
    }
}

/// The progress of the nodes, from their events. The [`RunRecord`] holds the outcomes of the run.
#[derive(Debug, Default)]
pub(crate) struct NodeProgress {
    /// The nodes that hold the shared state.
    pub(crate) ready: BTreeSet<String>,
    /// The newest window for which each miner has published its key.
    pub(crate) revealed: BTreeMap<String, Window>,
    /// The newest window whose submissions each validator has collected.
    pub(crate) collected: BTreeMap<String, Window>,
    /// The newest window whose parameters each validator has measured. It has scored all windows before.
    pub(crate) measured: BTreeMap<String, Window>,
    /// The validators that have closed the score log of the last window.
    pub(crate) logged: BTreeSet<String>,
    /// The validators whose weights of the last window are on chain.
    pub(crate) weights_set: BTreeSet<String>,
    /// The validators that have published the score log of the last window.
    pub(crate) published: BTreeSet<String>,
}

impl NodeProgress {
    /// Records an event of a node. Returns a line if the event should be shown to the user.
    pub(crate) fn note(&mut self, record: &mut RunRecord, name: &str, event: &NodeEvent) -> Option<String> {
        let last = Window(u64::from(record.count) - 1);
        match event {
            NodeEvent::State { window, root, state, .. } => {
                self.ready.insert(name.to_owned());
                record.states.entry(*window).or_default().insert(name.to_owned(), (*state, *root));
            }
            NodeEvent::Applied { window, root, state, seconds } => {
                let next = Window(window.0 + 1);
                record.states.entry(next).or_default().insert(name.to_owned(), (*state, *root));
                record.seconds(*window, name).outer = Some(*seconds);
            }
            NodeEvent::Trained { window, tokens, seconds, .. } => {
                if record.is_honest_miner(name) {
                    record.window(*window).tokens.insert(name.to_owned(), *tokens);
                }
                record.seconds(*window, name).train = Some(*seconds);
            }
            NodeEvent::Compressed { window, bytes, seconds } => {
                if record.is_honest_miner(name) {
                    record.window(*window).bytes.insert(name.to_owned(), *bytes);
                }
                record.seconds(*window, name).compress = Some(*seconds);
            }
            NodeEvent::Revealed { window } => drop(self.revealed.insert(name.to_owned(), *window)),
            NodeEvent::Collected { window, .. } => drop(self.collected.insert(name.to_owned(), *window)),
            NodeEvent::Uploaded { window, seconds, .. } => {
                record.seconds(*window, name).upload = Some(*seconds)
            }
            NodeEvent::Decided { window, seconds_wait, .. } => {
                record.seconds(*window, name).wait = Some(*seconds_wait);
            }
            NodeEvent::Evaluated { window, seconds, miners } => {
                record.seconds(*window, name).evaluate = Some(*seconds);
                let rated = miners.iter().filter_map(|score| {
                    let miner = record.name_of(&score.hotkey)?.to_owned();
                    let (contribution, proof, credit) = (score.contribution, score.proof, score.credit);
                    let rated = Rating { contribution, proof, credit };
                    Some((miner, rated))
                });
                let rated = rated.collect();
                let found = miners.iter().filter_map(|score| {
                    let miner = record.name_of(&score.hotkey)?.to_owned();
                    Some(FoundFault { validator: name.to_owned(), miner, what: score.fault.clone()? })
                });
                let found: Vec<_> = found.collect();
                record.window(*window).faults.extend(found);
                record.window(*window).ratings.insert(name.to_owned(), rated);
            }
            NodeEvent::HeldOut { window, loss, .. } => {
                record.window(*window).heldout.insert(name.to_owned(), *loss);
                let measured = self.measured.entry(name.to_owned()).or_insert(*window);
                *measured = *window.max(measured);
            }
            NodeEvent::Logged { window, .. } if *window == last => {
                self.logged.insert(name.to_owned());
            }
            NodeEvent::Weights { window, .. } if *window == last => {
                self.weights_set.insert(name.to_owned());
            }
            NodeEvent::LogPublished { window } if *window == last => {
                self.published.insert(name.to_owned());
            }
            NodeEvent::Diverged { window, .. } => {
                return Some(format!("{name} has a different state than the majority in window {window}"));
            }
            NodeEvent::Resynced { window, .. } => {
                return Some(format!("{name} has resynced and continues with window {window}"));
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Height;
    use std::io::Write as _;

    #[test]
    fn events_are_read_while_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut follower = Follower::new(path.clone());
        assert_eq!(follower.new_events().unwrap(), []);
        let event = NodeEvent::Claimed { window: Window(1), block: Height(7) };
        let line = serde_json::to_string(&Entry { time: 1, event: event.clone() }).unwrap();
        let (first, second) = line.split_at(10);
        let mut file = File::create(&path).unwrap();
        file.write_all(first.as_bytes()).unwrap();
        assert_eq!(follower.new_events().unwrap(), []);
        writeln!(file, "{second}\nnot an event\n{line}").unwrap();
        assert_eq!(follower.new_events().unwrap(), [event.clone(), event]);
        assert_eq!(follower.new_events().unwrap(), []);
    }
}
