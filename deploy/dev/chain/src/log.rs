//! The append-only log on disk: one record for each sealed block, the first one for genesis.
//!
//! A block is appended before anybody is told of it. One record is one `write`, so a process killed at any instant
//! leaves whole records and at most one that is cut short, which the next start drops with a warning (if it has its whole
//! length and is damaged, its bytes are kept in a file beside the log). What has been
//! handed to the kernel survives the process; what must survive a power cut as well needs [`Sync::EveryBlock`].
//!
//! The file starts with eight bytes of magic and a version, then come frames (see `frame`), each of one record.

mod frame;
mod read;
mod record;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use parity_scale_codec::Encode;
use serde::{Deserialize, Serialize};

use self::read::Contents;
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
    /// A folder, a device or a pipe.
    #[error("{0} is no regular file and was left as it is; give another --log")]
    NoFile(PathBuf),
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
        "log {path}: the record at byte {offset} (after block {after}) is damaged and more follows it; restore the file from a copy or a snapshot, or remove it to start anew"
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where the last whole record ended, and the file ends now.
    pub offset: u64,
    /// How many bytes were dropped.
    pub dropped: u64,
    /// Where they were kept: only if they are a complete record that is damaged, not one that was cut short.
    pub kept: Option<PathBuf>,
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
    /// A torn tail is cut off and returned; a last record that is complete and damaged is kept beside the log.
    pub(crate) fn open(
        path: &Path,
        sync: Sync,
        visit: Visitor<'_>,
    ) -> Result<(Self, Option<TornTail>), LogError> {
        // Opening a device or a pipe may by itself have effects, or never end.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(LogError::NoFile(path.into()));
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(io_error(path, "open it"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogError::InUse(path.into()),
            TryLockError::Error(source) => LogError::Io { path: path.into(), action: "lock it", source },
        })?;
        let Contents { end, length, is_damaged } = read::contents(path, &file, visit)?;
        let kept = if is_damaged { Some(keep_tail(path, &mut file, end)?) } else { None };
        let mut log = Self { path: path.into(), file, end: 0, sync };
        if end == 0 {
            log.start()?;
        } else {
            log.truncate(end)?;
        }
        Ok((log, (end < length).then(|| TornTail { offset: end, dropped: length - end, kept })))
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

/// Copies what follows `offset` to a new file beside the log; its path.
fn keep_tail(log: &Path, file: &mut File, offset: u64) -> Result<PathBuf, LogError> {
    file.seek(SeekFrom::Start(offset)).map_err(io_error(log, "seek in it"))?;
    let (path, mut copy) = new_file_beside(log)?;
    let copied = io::copy(file, &mut copy).and_then(|_| copy.sync_all());
    copied.map_err(io_error(&path, "keep the damaged record in it"))?;
    Ok(path)
}

/// The first of `LOG.damaged-1`, `LOG.damaged-2`, … that does not exist yet.
fn new_file_beside(log: &Path) -> Result<(PathBuf, File), LogError> {
    let mut number = 1_u32;
    loop {
        let mut path = log.as_os_str().to_owned();
        path.push(format!(".damaged-{number}"));
        let path = PathBuf::from(path);
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(io_error(&path, "create it")(error)),
        }
    }
}
