//! Events for programs: one JSON object a line in `events.jsonl`, in the order of time.
//!
//! A line has `time` (ms since 1970), `event` (its kind) and the kind's own fields. Each line is written
//! with one call, so that a kill at any time cuts at most the last line. [`read`] leaves out lines that
//! are no event.

use crate::NodeRole;
use base::{
    Height, Hotkey, Uid, Window,
    digest::{ObjectHash, ScoreLogHead, State, StateRoot},
};
use protocol::acceptance::NamedState;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// The file's name in a node's folder.
pub const FILE: &str = "events.jsonl";

/// An event. Times are in seconds, losses in nats per token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum NodeEvent {
    /// The node is checked and connected.
    Started {
        /// The kind of the node.
        role: NodeRole,
        /// The hotkey.
        hotkey: Hotkey,
        /// Its uid now.
        uid: Uid,
    },
    /// The shared state at the start of a window is known, from another source than an outer step.
    State {
        /// The window.
        window: Window,
        /// The hash of the parameters.
        root: StateRoot,
        /// The state that votes on the window name.
        state: State,
        /// The source of the state.
        source: Source,
    },
    /// The inner steps are made.
    Trained {
        /// The window.
        window: Window,
        /// The mean loss over the inner steps.
        loss: f64,
        /// Tokens trained on.
        tokens: u64,
        /// The duration.
        seconds: f64,
    },
    /// A submission is made.
    Compressed {
        /// The window.
        window: Window,
        /// The size of the submission.
        bytes: u64,
        /// The duration.
        seconds: f64,
    },
    /// A submission is in the bucket.
    Uploaded {
        /// The window.
        window: Window,
        /// The submission.
        object: ObjectHash,
        /// The duration.
        seconds: f64,
    },
    /// A claim is in a block.
    Claimed {
        /// The window.
        window: Window,
        /// The block.
        block: Height,
    },
    /// The key of a sealed submission is in the bucket.
    Revealed {
        /// The window.
        window: Window,
    },
    /// The submission of a candidate has arrived. If it is sealed, its key may still be missing.
    Fetched {
        /// The window.
        window: Window,
        /// The miner of the submission.
        miner: Hotkey,
    },
    /// The downloads of a window's candidates have ended.
    Collected {
        /// The window.
        window: Window,
        /// The number of valid submissions, with their keys.
        valid: usize,
    },
    /// A submission was screened.
    Screened {
        /// The window.
        window: Window,
        /// The miner of the submission.
        miner: Hotkey,
        /// Whether the vote is for it.
        good: bool,
        /// The reason if it is not.
        why: Option<String>,
    },
    /// A vote is in a block.
    Voted {
        /// The window.
        window: Window,
        /// The miners that the vote is for.
        good: Vec<Hotkey>,
        /// The block.
        block: Height,
        /// The duration of the downloads.
        seconds_fetch: f64,
    },
    /// A window is decided.
    Decided {
        /// The window.
        window: Window,
        /// The miners that claimed, in the order of a vote's bits.
        candidates: Vec<Hotkey>,
        /// The miners whose submissions are applied.
        accepted: Vec<Hotkey>,
        /// The reason for a null window.
        null: Option<String>,
        /// The state at the window's start that a quorum named.
        state: Option<State>,
        /// The time that the node waited for the decision.
        seconds_wait: f64,
    },
    /// A window's outer step is made.
    Applied {
        /// The window.
        window: Window,
        /// The hash of the parameters after it.
        root: StateRoot,
        /// The state that votes on the next window name.
        state: State,
        /// The duration, with the downloads.
        seconds: f64,
    },
    /// The node's state is not the majority's.
    Diverged {
        /// The window.
        window: Window,
        /// The node's state at its start.
        ours: State,
        /// The majority's state.
        majority: State,
        /// The last window in which a quorum named the node's state. The states differ after it.
        agreed: Option<Window>,
        /// The states that the votes name, the one with the most stake first.
        named: Vec<NamedState>,
    },
    /// Most votes on a window name another state than the node's, but they are no quorum.
    Contradicted {
        /// The window.
        window: Window,
        /// The node's state at its start.
        ours: State,
        /// The last window in which a quorum named the node's state.
        agreed: Option<Window>,
        /// The states that the votes name, the one with the most stake first.
        named: Vec<NamedState>,
    },
    /// The node has got the shared state from elsewhere.
    Resynced {
        /// The window that it continues with.
        window: Window,
        /// The source of the state.
        source: Source,
    },
    /// The Gauntlet of a window has run.
    Evaluated {
        /// The window.
        window: Window,
        /// The duration.
        seconds: f64,
        /// The scores of all miners after it.
        miners: Vec<MinerScore>,
    },
    /// The Gauntlet has run. The score log is closed after the decision.
    Measured {
        /// The window.
        window: Window,
        /// The number of miners that were evaluated.
        miners: usize,
        /// The duration.
        seconds: f64,
    },
    /// The shared model was measured on held-out data, with the parameters at the window's start.
    HeldOut {
        /// The window.
        window: Window,
        /// The loss.
        loss: f64,
        /// The duration.
        seconds: f64,
    },
    /// The validator has no score log of its own, and begins from the standings of another validator.
    Adopted {
        /// The validator whose standings they are.
        validator: Hotkey,
        /// The window of its log.
        window: Window,
        /// The head of its log.
        head: ScoreLogHead,
    },
    /// A score log is closed.
    Logged {
        /// The window.
        window: Window,
        /// Its head.
        head: ScoreLogHead,
    },
    /// A score log is in the bucket.
    LogPublished {
        /// The window.
        window: Window,
    },
    /// Weights are on chain.
    Weights {
        /// The window whose scores the weights follow from.
        window: Window,
        /// The block.
        block: Height,
        /// Uids with their weights.
        weights: Vec<(Uid, u16)>,
    },
    /// A checkpoint is published.
    Checkpoint {
        /// The window whose initial parameters it holds.
        window: Window,
    },
    /// The node ends.
    Stopped {
        /// Its exit code.
        exit: u8,
    },
}

/// The source of a shared state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The node's own journal.
    Journal,
    /// A validator's checkpoint.
    Checkpoint,
    /// The run's initial parameters.
    Initial,
}

/// A miner's score with a validator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinerScore {
    /// The hotkey.
    pub hotkey: Hotkey,
    /// Its uid.
    pub uid: Uid,
    /// The rating's mean.
    pub mu: f64,
    /// The rating's standard deviation.
    pub sigma: f64,
    /// The mean improvement of the last 20 windows, relative to the field's, 0 to 2.
    pub contribution: f64,
    /// The factor of the proof of computation: 0, 0.5 or 1.
    pub proof: f64,
    /// The credit that is left after penalties, 0 to 1.
    pub credit: f64,
    /// The score that weights are made from.
    pub score: f64,
    /// The fault in this window, if there is one.
    pub fault: Option<String>,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The time, in ms since 1970.
    pub time: u64,
    /// The event.
    #[serde(flatten)]
    pub event: NodeEvent,
}

/// The error of an events file that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct EventsError {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// Writes events to a file. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Events {
    path: Arc<Path>,
    file: Arc<Mutex<File>>,
}

impl Events {
    /// Opens a folder's file, to write at its end. Creates it if it does not exist.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, EventsError> {
        let path = folder.join(FILE);
        let open = || {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            if file.metadata()?.len() > 0 {
                file.write_all(b"\n")?; // Ends a line that a kill has cut; empty lines are no events.
            }
            Ok(file)
        };
        let file = open().map_err(|source| EventsError { path: path.clone(), source })?;
        Ok(Self { path: path.into(), file: Arc::new(Mutex::new(file)) })
    }

    /// Writes an event. If the disk is full, it logs that and drops the event, since training can continue.
    pub fn emit(&self, event: NodeEvent) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut line = serde_json::to_vec(&Entry { time, event }).expect("an event is JSON");
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&line) {
            tracing::warn!(target: telemetry::target::NODE, path = %self.path.display(), error = %base::ErrorChain(&error), "an event is lost");
        }
    }
}

/// Reads the events of a file, oldest first. Leaves out lines that are no event.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let lines = BufReader::new(File::open(path)?).split(b'\n');
    let lines = lines.collect::<io::Result<Vec<_>>>()?;
    // Through a value: so events read numbers with every build of serde_json, also with arbitrary precision.
    let event = |line: &Vec<u8>| serde_json::from_value(serde_json::from_slice(line).ok()?).ok();
    Ok(lines.iter().filter_map(event).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn events_outlive_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let claimed = |window| NodeEvent::Claimed { window: Window(window), block: Height(7) };
        Events::open(folder.path()).unwrap().emit(claimed(0));
        let mut cut = fs::read(&path).unwrap();
        cut.extend_from_slice(br#"{"time":1,"event":"claim"#);
        fs::write(&path, cut).unwrap();
        Events::open(folder.path()).unwrap().emit(claimed(1));
        let events: Vec<_> = read(&path).unwrap().into_iter().map(|entry| entry.event).collect();
        assert_eq!(events, [claimed(0), claimed(1)]);
    }

    #[test]
    fn an_event_is_a_line_of_json() {
        let (ours, majority) = (State([1; 32]), State([2; 32]));
        let voters = vec![Hotkey([3; 32])];
        let named = vec![NamedState { state: majority, stake: 9, voters }];
        let event = NodeEvent::Diverged { window: Window(3), ours, majority, agreed: Some(Window(2)), named };
        let line = serde_json::to_string(&Entry { time: 5, event }).unwrap();
        let named = format!(r#"{{"state":"{majority}","stake":9,"voters":["{}"]}}"#, Hotkey([3; 32]));
        let expected = format!(
            r#"{{"time":5,"event":"diverged","window":3,"ours":"{ours}","majority":"{majority}","agreed":2,"named":[{named}]}}"#
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn losses_that_are_no_numbers_do_not_hurt() {
        let folder = tempfile::tempdir().unwrap();
        let events = Events::open(folder.path()).unwrap();
        events.emit(NodeEvent::HeldOut { window: Window(0), loss: f64::NAN, seconds: 1.0 });
        events.emit(NodeEvent::Stopped { exit: 0 });
        let read = read(&folder.path().join(FILE)).unwrap();
        assert_eq!(read.last().map(|entry| &entry.event), Some(&NodeEvent::Stopped { exit: 0 }));
    }
}
