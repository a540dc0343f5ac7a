//! Why a score log is refused, and why it does not replay.

use super::Difference;
use crate::gauntlet::RateError;
use base::{
    Height, Hotkey, NeuronId, Uid, Window,
    digest::{RunHash, ScoreLogHead, StandingsHash},
    signature::SignatureError,
    wire::WireError,
};

/// Why bytes are not the score log that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreLogError {
    /// More bytes than any log has.
    #[error("{length} bytes are no score log: it has at most {most}", most = super::MOST_BYTES)]
    TooLarge {
        /// How many there are.
        length: usize,
    },
    /// More lines than any log has.
    #[error("a score log has at most {} lines", super::MOST_LINES)]
    TooManyLines,
    /// Another kind of object.
    #[error("an object of kind {0:#04x} is no score log")]
    Kind(u8),
    /// A later format.
    #[error("the score log has version {0}, this program reads version {known}: update it", known = super::VERSION)]
    Version(u8),
    /// A log of another run.
    #[error("the score log is of run {found}, not of {expected}")]
    WrongRun {
        /// What was asked for.
        expected: RunHash,
        /// What the log says.
        found: RunHash,
    },
    /// A log of another validator.
    #[error("the score log is of {found}, not of {expected}")]
    WrongHotkey {
        /// What was asked for.
        expected: Hotkey,
        /// What the log says.
        found: Hotkey,
    },
    /// A log of the same hotkey's other registration.
    #[error("the score log is of a validator registered in block {found}, not in block {expected}")]
    WrongRegistration {
        /// What was asked for.
        expected: Height,
        /// What the log says.
        found: Height,
    },
    /// A log of another window.
    #[error("the score log is of window {found}, not of window {expected}")]
    WrongWindow {
        /// What was asked for.
        expected: Window,
        /// What the log says.
        found: Window,
    },
    /// The bytes do not divide into header, lines and trailer.
    #[error("the score log is malformed: {0}")]
    Malformed(#[from] WireError),
    /// The lines are not those that were written.
    #[error("the score log was changed: {0}")]
    Changed(#[from] ChainBreak),
    /// Not signed by the validator.
    #[error("the score log is not signed: {0}")]
    Signature(#[from] SignatureError),
    /// A line that no validator may write.
    #[error("line {line} of the score log is malformed: {error}")]
    Line {
        /// Which, from 0.
        line: u32,
        /// What is wrong with it.
        error: WireError,
    },
    /// A line of a kind that is not known.
    #[error("line {line} of the score log is of kind {kind}: kinds go from 1 to 5")]
    LineKind {
        /// Which, from 0.
        line: u32,
        /// Its kind.
        kind: u8,
    },
    /// The lines of a kind are in order, and so are the kinds.
    #[error("line {line} of the score log is out of order: kinds rise, and keys rise within a kind")]
    Order {
        /// Which, from 0.
        line: u32,
    },
}

/// Where a chain of lines breaks. Lines are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// The header is not the one that the first line carries on.
    #[error("its header was edited")]
    Header,
    /// A line is not the one that the next carries on.
    #[error("line {0} was edited")]
    Edited(u32),
    /// A line is not there.
    #[error("line {0} was dropped")]
    Dropped(u32),
    /// A line stands where another belongs that comes later.
    #[error("line {found} stands where line {line} belongs")]
    Reordered {
        /// The line that belongs there.
        line: u32,
        /// The line that stands there.
        found: u32,
    },
    /// A line stands in the log twice.
    #[error("line {0} is there twice")]
    Repeated(u32),
    /// Lines follow after the last.
    #[error("line {0} was added")]
    Added(u32),
    /// The trailer's count is not that of the lines.
    #[error("it has {found} lines, its trailer says {said}")]
    Count {
        /// What the trailer says.
        said: u32,
        /// How many there are.
        found: u32,
    },
}

/// Why a score log does not replay.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// The log has no snapshot, and no log before it was replayed.
    #[error("nothing is known of the time before window {0}: begin with a log that has a snapshot")]
    NoStandings(Window),
    /// The run spec asks for a snapshot that is not there.
    #[error("the log of window {0} must carry a snapshot, and does not")]
    NoSnapshot(Window),
    /// The run spec asks for no snapshot.
    #[error("the log of window {0} must not carry a snapshot, and does")]
    Snapshot(Window),
    /// The log does not carry on the one before it.
    #[error("the log of window {window} follows head {previous}, not {last}: a log between them is missing")]
    Gap {
        /// The window of the later log.
        window: Window,
        /// What it carries on.
        previous: ScoreLogHead,
        /// The head of the log that was replayed before.
        last: ScoreLogHead,
    },
    /// The log is of no later window than the one before it.
    #[error("the log of window {window} follows that of window {last}")]
    Past {
        /// Its window.
        window: Window,
        /// The window before.
        last: Window,
    },
    /// The log begins from other standings than the last one ended with, or than its snapshot holds.
    #[error("the log of window {window} begins from standings {stated}, replayed are {replayed}")]
    Standings {
        /// The window.
        window: Window,
        /// What the header says.
        stated: StandingsHash,
        /// What they are.
        replayed: StandingsHash,
    },
    /// The window cannot be rated.
    #[error("window {window}: {error}")]
    Rate {
        /// The window.
        window: Window,
        /// Why.
        error: RateError,
    },
    /// Two miners cannot have one uid.
    #[error("window {window}: uid {uid} is given to {first} and to {second}")]
    UidTwice {
        /// The window.
        window: Window,
        /// The uid.
        uid: Uid,
        /// One of them.
        first: NeuronId,
        /// The other.
        second: NeuronId,
    },
    /// Something else comes out than the validator says.
    #[error("window {window}: {difference}")]
    Differs {
        /// The window.
        window: Window,
        /// The first item that differs.
        difference: Box<Difference>,
    },
}
