//! The append-only log on disk: one record for each sealed block, the first one for genesis.
//!
//! A block is appended before any client learns of it, final or not (a Substrate node, too, writes
//! blocks to its disk before they are final). Each record is written with one `write`. A change of
//! branch is one record: it holds the whole new branch, and says up to which height blocks are final
//! after it. The dropped blocks stay in the file, before that record. So a process that is killed at any
//! instant leaves whole records, followed by at most one record that is cut short. No record is ever
//! half of a change, and no client knew of one that was cut. The next start drops that record with a
//! warning. A last record that has its full length but is damaged is dropped too; its bytes are kept in
//! a file beside the log. Bytes handed to the kernel survive the process. To survive a power cut as
//! well, use [`Sync::EveryBlock`].
//!
//! The file starts with eight bytes of magic and a version. Frames follow (see `frame`); each of them
//! holds one record.

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
pub(crate) use self::record::{Record, Sealed};
pub use self::record::{RuntimeId, StorageWrite};

/// The first bytes of a log.
const MAGIC: [u8; 8] = *b"devchain";

/// The version of the format; it follows the magic.
const VERSION: u32 = 1;

/// The number of bytes before the first frame.
const PREAMBLE_LEN: usize = MAGIC.len() + 4;

/// The time at which the log is flushed to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// At a clean shutdown and in snapshots. A killed process loses nothing; a power cut may lose the
    /// last blocks.
    #[default]
    AtClose,
    /// After each block. A power cut loses nothing; each block takes as long as a flush of the disk.
    EveryBlock,
}

/// The reason why a log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system returned an error.
    #[error("log {path}: cannot {action}")]
    Io {
        /// The log.
        path: PathBuf,
        /// The action that was tried, as a verb phrase.
        action: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another process has the log open.
    #[error("log {0} is in use by another devchain; stop it, or give another --log")]
    InUse(PathBuf),
    /// The path is a folder, a device or a pipe.
    #[error("{0} is not a regular file and was left unchanged; give another --log")]
    NoFile(PathBuf),
    /// The file is not a log.
    #[error("{0} is not a devchain log and was left unchanged; give another --log")]
    Foreign(PathBuf),
    /// The file is a log of another format version.
    #[error(
        "log {path} has format version {found}, this devchain reads version {VERSION}; use the devchain that wrote it, or give another --log"
    )]
    Version {
        /// The log.
        path: PathBuf,
        /// The version in the file.
        found: u32,
    },
    /// A record that is not the last one is damaged.
    #[error(
        "log {path}: the record at byte {offset} (after block {after}) is damaged and more follows it; restore the file from a copy or a snapshot, or remove it to start a new chain"
    )]
    Damaged {
        /// The log.
        path: PathBuf,
        /// The byte at which the record starts.
        offset: u64,
        /// The height of the last good block; `None` before genesis.
        after: Height,
    },
    /// A record is whole but does not fit those before it.
    #[error(
        "log {path}: the record at byte {offset} {problem}; restore the file from a copy or a snapshot, or remove it to start a new chain"
    )]
    Inconsistent {
        /// The log.
        path: PathBuf,
        /// The byte at which the record starts.
        offset: u64,
        /// The problem, as the predicate of the message.
        problem: &'static str,
    },
    /// A record is larger than a frame can hold.
    #[error(
        "log {path}: cannot append a record of {size} bytes, the limit is {} bytes; seal smaller blocks",
        frame::MAX_PAYLOAD
    )]
    TooLarge {
        /// The log.
        path: PathBuf,
        /// The record's size, in bytes.
        size: usize,
    },
}

/// A height that may be absent, for messages.
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

/// A torn tail that was dropped from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The end of the last whole record, which is the new end of the file.
    pub offset: u64,
    /// The number of dropped bytes.
    pub dropped: u64,
    /// The file that keeps the dropped bytes. Set only for a complete record that is damaged, not for
    /// one that was cut short.
    pub kept: Option<PathBuf>,
}

/// A log open for appending. Holds the file's lock.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    end: u64,
    sync: Sync,
}

/// A callback that receives the records of a log one by one. Its error is the problem with the record.
pub(crate) type Visitor<'a> = &'a mut dyn FnMut(Record) -> Result<(), &'static str>;

impl Log {
    /// Opens the log at `path` and passes its records to `visit`, or creates a new log without records.
    ///
    /// A torn tail is cut off and returned. A last record that is complete but damaged is kept in a
    /// file beside the log.
    pub(crate) fn open(
        path: &Path,
        sync: Sync,
        visit: Visitor<'_>,
    ) -> Result<(Self, Option<TornTail>), LogError> {
        // Opening a device or a pipe may have side effects, or block forever.
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

    /// Creates a log at `path`, which must not exist.
    pub(crate) fn create(path: &Path, sync: Sync) -> Result<Self, LogError> {
        let options = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = options.map_err(io_error(path, "create it"))?;
        let mut log = Self { path: path.into(), file, end: 0, sync };
        log.start()?;
        Ok(log)
    }

    /// Appends one record. After an error the log is as it was before.
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), LogError> {
        let payload = record.encode();
        if payload.len() > frame::MAX_PAYLOAD {
            return Err(LogError::TooLarge { path: self.path.clone(), size: payload.len() });
        }
        self.write(&frame::encode(&payload))?;
        if self.sync == Sync::EveryBlock { self.flush() } else { Ok(()) }
    }

    /// Flushes the file to the disk.
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
    /// Releases the lock explicitly. A process forked meanwhile may hold a copy of the file a moment
    /// longer, and the lock with it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(target: "devchain::log", path = %self.path.display(), error = %base::ErrorChain(&error), "cannot release the lock");
        }
    }
}

fn io_error(path: &Path, action: &'static str) -> impl Fn(io::Error) -> LogError {
    move |source| LogError::Io { path: path.into(), action, source }
}

/// Copies the bytes after `offset` to a new file beside the log. Returns its path.
fn keep_tail(log: &Path, file: &mut File, offset: u64) -> Result<PathBuf, LogError> {
    file.seek(SeekFrom::Start(offset)).map_err(io_error(log, "seek in it"))?;
    let (path, mut copy) = new_file_beside(log)?;
    let copied = io::copy(file, &mut copy).and_then(|_| copy.sync_all());
    copied.map_err(io_error(&path, "keep the damaged record in it"))?;
    Ok(path)
}

/// Creates the first of `LOG.damaged-1`, `LOG.damaged-2`, … that does not exist yet.
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
