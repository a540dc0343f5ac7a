//! The append-only log on disk: one record for each sealed block, the first one for genesis.
//!
//! A block is appended before anybody is told of it. One record is one `write`, so a process killed at any instant
//! leaves whole records and at most one that is cut short, which the next start drops with a warning. What has been
//! handed to the kernel survives the process; what must survive a power cut as well needs [`Sync::EveryBlock`].
//!
//! The file starts with eight bytes of magic and a version, then come frames (see `frame`), each of one record.

mod frame;
mod record;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use codec::{DecodeAll, Encode};
use serde::{Deserialize, Serialize};

use self::frame::Frame;
pub(crate) use self::record::Record;
pub use self::record::{RuntimeId, StorageWrite};

/// The first bytes of a log.
const MAGIC: [u8; 8] = *b"devchain";

/// The version of the format, after the magic.
const VERSION: u32 = 1;

/// Bytes before the first frame.
const PREAMBLE_LEN: usize = MAGIC.len() + 4;

/// When the log's bytes are forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// At a clean shutdown and in snapshots. A killed process loses nothing; a power cut may lose the last blocks.
    #[default]
    AtClose,
    /// After each block. A power cut loses nothing; a block costs what the disk's flush costs.
    EveryBlock,
}

/// Why a log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("log {path}: cannot {action}: {source}")]
    Io {
        /// The log.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// The refusal.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("log {0} is in use by another devchain; stop that one, or give this one another --log")]
    InUse(PathBuf),
    /// The file is something else.
    #[error("{0} is not a devchain log and was left as it is; give another --log")]
    Foreign(PathBuf),
    /// The file is a log of another format version.
    #[error(
        "log {path} has format version {found}, this devchain reads version {VERSION}; use the devchain that wrote it, or give another --log"
    )]
    Version {
        /// The log.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A record that is not the last one is damaged.
    #[error(
        "log {path}: the record at byte {offset} (after block {after}) is damaged and others follow it; restore the file from a copy or a snapshot, or remove it to start anew"
    )]
    Damaged {
        /// The log.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// The last good height, or none before genesis.
        after: Height,
    },
    /// A record is whole and cannot follow those before it.
    #[error(
        "log {path}: the record at byte {offset} {problem}; restore the file from a copy or a snapshot, or remove it to start anew"
    )]
    Inconsistent {
        /// The log.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A record would be larger than a frame can hold.
    #[error(
        "log {path}: a record of {size} bytes is above the limit of {} bytes; seal smaller blocks",
        frame::MAX_PAYLOAD
    )]
    TooLarge {
        /// The log.
        path: PathBuf,
        /// The record's size, in bytes.
        size: usize,
    },
}

/// A height that may not exist yet, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Height(pub Option<u32>);

impl std::fmt::Display for Height {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(height) => write!(f, "{height}"),
            None => f.write_str("none"),
        }
    }
}

/// What dropping a torn tail took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where the last whole record ended, and the file ends now.
    pub offset: u64,
    /// How many bytes were dropped.
    pub dropped: u64,
}

/// A log open for appending. Holds the file's lock.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    end: u64,
    sync: Sync,
}

/// Takes the records of a log one by one; an error says what is wrong with the record.
pub(crate) type Visitor<'a> = &'a mut dyn FnMut(Record) -> Result<(), &'static str>;

impl Log {
    /// Opens the log at `path` and shows its records to `visit`, or makes a new one without records.
    ///
    /// A torn tail is cut off and returned.
    pub(crate) fn open(
        path: &Path,
        sync: Sync,
        visit: Visitor<'_>,
    ) -> Result<(Self, Option<TornTail>), LogError> {
        let io = |action| io_error(path, action);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(io("open it"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogError::InUse(path.into()),
            TryLockError::Error(source) => LogError::Io { path: path.into(), action: "lock it", source },
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read it"))?;

        let mut log = Self { path: path.into(), file, end: 0, sync };
        if !check_preamble(path, &bytes)? {
            log.start()?;
            return Ok((log, torn(0, bytes.len())));
        }
        let end = read_records(path, &bytes, visit)?;
        log.truncate(end as u64)?;
        Ok((log, torn(end, bytes.len())))
    }

    /// Makes a log at `path`, which must not exist.
    pub(crate) fn create(path: &Path, sync: Sync) -> Result<Self, LogError> {
        let options = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = options.map_err(io_error(path, "create it"))?;
        let mut log = Self { path: path.into(), file, end: 0, sync };
        log.start()?;
        Ok(log)
    }

    /// Appends one record. On an error the log is as it was before.
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), LogError> {
        let payload = record.encode();
        if payload.len() > frame::MAX_PAYLOAD {
            return Err(LogError::TooLarge { path: self.path.clone(), size: payload.len() });
        }
        self.write(&frame::encode(&payload))?;
        if self.sync == Sync::EveryBlock { self.flush() } else { Ok(()) }
    }

    /// Forces everything to the disk.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        self.file.sync_data().map_err(io_error(&self.path, "flush it to the disk"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn start(&mut self) -> Result<(), LogError> {
        self.truncate(0)?;
        self.write(&[&MAGIC[..], &VERSION.to_le_bytes()].concat())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        if let Err(source) = self.file.write_all(bytes) {
            self.truncate(self.end)?;
            return Err(LogError::Io { path: self.path.clone(), action: "append to it", source });
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn truncate(&mut self, end: u64) -> Result<(), LogError> {
        let io = |action| io_error(&self.path, action);
        self.file.set_len(end).map_err(io("truncate it"))?;
        self.file.seek(SeekFrom::Start(end)).map_err(io("seek in it"))?;
        self.end = end;
        Ok(())
    }
}

impl Drop for Log {
    /// Gives the lock back by itself: a process forked meanwhile may hold a copy of the file for a moment longer.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(target: "devchain::log", path = %self.path.display(), %error, "lock not given back");
        }
    }
}

fn io_error(path: &Path, action: &'static str) -> impl Fn(io::Error) -> LogError {
    move |source| LogError::Io { path: path.into(), action, source }
}

fn torn(end: usize, length: usize) -> Option<TornTail> {
    (end < length).then(|| TornTail { offset: end as u64, dropped: (length - end) as u64 })
}

/// Whether a whole preamble is there. A part of one is a log whose very first write was cut short.
fn check_preamble(path: &Path, bytes: &[u8]) -> Result<bool, LogError> {
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(LogError::Foreign(path.into()));
    }
    let Some(version) = bytes.get(MAGIC.len()..PREAMBLE_LEN) else { return Ok(false) };
    match u32::from_le_bytes([version[0], version[1], version[2], version[3]]) {
        VERSION => Ok(true),
        found => Err(LogError::Version { path: path.into(), found }),
    }
}

/// Shows all whole records to `visit`; where the last one ends.
fn read_records(path: &Path, bytes: &[u8], visit: Visitor<'_>) -> Result<usize, LogError> {
    let mut height = None;
    let mut at = PREAMBLE_LEN;
    while at < bytes.len() {
        let (path, offset) = (PathBuf::from(path), at as u64);
        let (payload, length) = match frame::decode(&bytes[at..]) {
            Frame::Whole(payload, length) => (payload, length),
            Frame::Torn => break,
            Frame::Damaged => return Err(LogError::Damaged { path, offset, after: Height(height) }),
        };
        let record = Record::decode_all(&mut &payload[..]).map_err(|_| "is of no known kind");
        height = record.as_ref().ok().and_then(Record::height).or(height);
        let visited = record.and_then(&mut *visit);
        visited.map_err(|problem| LogError::Inconsistent { path, offset, problem })?;
        at += length;
    }
    Ok(at)
}
