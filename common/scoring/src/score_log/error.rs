//! The errors of decoding and of replaying score logs.

use super::Difference;
use crate::gauntlet::RateError;
use base::{
    Height, Hotkey, Uid, Window,
    digest::{RunHash, ScoreLogHead, StandingsHash},
    signature::SignatureError,
    wire::WireError,
};

/// An error in decoding a score log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreLogError {
    /// More bytes than any log has.
    #[error("{length} bytes are no score log: a score log has at most {most}", most = super::MOST_BYTES)]
    TooLarge {
        /// The number of bytes.
        length: usize,
    },
    /// More lines than any log has.
    #[error("a score log has at most {} lines", super::MOST_LINES)]
    TooManyLines,
    /// Another kind of object.
    #[error("an object of kind {0:#04x} is no score log")]
    Kind(u8),
    /// A version that is not supported.
    #[error("the score log has version {0}, this program reads version {known}: update it", known = super::VERSION)]
    Version(u8),
    /// A log of another run.
    #[error("the score log is of run {found}, not of {expected}")]
    WrongRun {
        /// The expected value.
        expected: RunHash,
        /// The value in the log.
        found: RunHash,
    },
    /// A log of another validator.
    #[error("the score log is of {found}, not of {expected}")]
    WrongHotkey {
        /// The expected value.
        expected: Hotkey,
        /// The value in the log.
        found: Hotkey,
    },
    /// A log of another registration of the same hotkey.
    #[error("the score log is of a validator registered in block {found}, not in block {expected}")]
    WrongRegistration {
        /// The expected value.
        expected: Height,
        /// The value in the log.
        found: Height,
    },
    /// A log of another window.
    #[error("the score log is of window {found}, not of window {expected}")]
    WrongWindow {
        /// The expected value.
        expected: Window,
        /// The value in the log.
        found: Window,
    },
    /// Bytes that do not split into header, lines and trailer.
    #[error("the score log is malformed")]
    Malformed(#[from] WireError),
    /// A break in the chain of lines.
    #[error("the score log was changed")]
    Changed(#[from] ChainBreak),
    /// A signature that is not the validator's.
    #[error("the score log is not signed by its validator")]
    Signature(#[from] SignatureError),
    /// A line with invalid contents.
    #[error("line {line} of the score log is malformed")]
    Line {
        /// The line, counted from 0.
        line: u32,
        /// The defect.
        #[source]
        error: WireError,
    },
    /// A line of an unknown kind.
    #[error("line {line} of the score log is of kind {kind}: kinds go from 1 to 7")]
    LineKind {
        /// The line, counted from 0.
        line: u32,
        /// Its kind.
        kind: u8,
    },
    /// A line out of order: kinds must rise, and keys must rise within a kind.
    #[error("line {line} of the score log is out of order: kinds rise, and keys rise within a kind")]
    Order {
        /// The line, counted from 0.
        line: u32,
    },
}

/// A break in the chain of lines. Lines are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// The header does not have the hash that the first line holds.
    #[error("its header was edited")]
    Header,
    /// A line does not have the hash that the next line holds.
    #[error("line {0} was edited")]
    Edited(u32),
    /// A line is missing.
    #[error("line {0} was dropped")]
    Dropped(u32),
    /// A line stands in the place of another, which comes later.
    #[error("line {found} stands in the place of line {line}")]
    Reordered {
        /// The line that belongs there.
        line: u32,
        /// The line that was found there.
        found: u32,
    },
    /// A line appears twice.
    #[error("line {0} appears twice")]
    Repeated(u32),
    /// Lines follow the last line.
    #[error("line {0} was added")]
    Added(u32),
    /// The trailer states another number of lines.
    #[error("it has {found} lines, its trailer says {said}")]
    Count {
        /// The number in the trailer.
        said: u32,
        /// The number of lines.
        found: u32,
    },
}

/// An error in replaying a score log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log has no snapshot, and no log before it was replayed.
    #[error("the standings before window {0} are unknown: begin with a log that has a snapshot")]
    NoStandings(Window),
    /// The run spec asks for a snapshot, and the log has no snapshot.
    #[error("the log of window {0} must carry a snapshot, but has none")]
    NoSnapshot(Window),
    /// The run spec asks for no snapshot, and the log has one.
    #[error("the log of window {0} must not carry a snapshot, but has one")]
    Snapshot(Window),
    /// The first log of a validator has standings, and does not say from which log it adopted them.
    #[error("the first log, of window {0}, begins from standings and does not name the log that states them")]
    Unfounded(Window),
    /// The log does not follow the log that was replayed before it.
    #[error("the log of window {window} follows head {previous}, not {last}: a log between them is missing")]
    Gap {
        /// The window of the later log.
        window: Window,
        /// The head that it names as the one before it.
        previous: ScoreLogHead,
        /// The head of the log that was replayed before.
        last: ScoreLogHead,
    },
    /// The window of the log is not later than that of the log before it.
    #[error("the log of window {window} cannot follow the log of window {last}: the windows must rise")]
    Past {
        /// The window of the log.
        window: Window,
        /// The window of the log before it.
        last: Window,
    },
    /// The log begins from other standings than the previous log ended with, or than its snapshot holds.
    #[error("the log of window {window} begins from standings {stated}, the replay has {replayed}")]
    Standings {
        /// The window.
        window: Window,
        /// The hash in the header.
        stated: StandingsHash,
        /// The hash of the replayed standings, or of the snapshot.
        replayed: StandingsHash,
    },
    /// The window cannot be rated.
    #[error("cannot rate window {window}")]
    Rate {
        /// The window.
        window: Window,
        /// The reason.
        #[source]
        error: RateError,
    },
    /// Two miners with the same uid.
    #[error("window {window}: uid {uid} is given to {first} and to {second}")]
    UidTwice {
        /// The window.
        window: Window,
        /// The uid.
        uid: Uid,
        /// The first miner.
        first: Hotkey,
        /// The second miner.
        second: Hotkey,
    },
    /// A replayed result that differs from the stated one.
    #[error("window {window}: {difference}")]
    Differs {
        /// The window.
        window: Window,
        /// The first item that differs.
        difference: Box<Difference>,
    },
}
