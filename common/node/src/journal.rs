//! The journal: the shared state at the start of the last two windows, on the node's own disk.
//!
//! A file holds a [`Progress`] and the parameters that belong to it:
//! ```text
//! "mstrst" 0 1 | length of the progress, u32 | progress | BLAKE3 of all before | parameters
//! ```
//! The parameters are f32, little endian. A file gets its name when all of it is on the disk, so a kill
//! at any time leaves the earlier states. A file with a damaged beginning is ignored. The reader computes
//! the state root of the parameters, and so detects damage there. The node then uses the other file, and
//! after that the network.
//!
//! States that the majority contradicts are moved to a folder `diverged-WINDOW-STATE` beside the others,
//! and never read again: they may be the only copy of what the node held, and show where it went another
//! way. The two newest of these folders stay.

use crate::files::{FileError, at, remove, replace, sync_folder};
use base::{
    Window,
    digest::{RunHash, StateRoot},
};
use bytemuck::{cast_slice, cast_slice_mut};
use protocol::progress::{self, Progress};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// The prefix of the files' names. The window's number follows.
const PREFIX: &str = "state-";
/// The number of stored states.
const KEPT: usize = 2;
/// The prefix of folders with diverged states. Window and state follow.
const DIVERGED: &str = "diverged-";
/// The number of these folders.
const DIVERGED_KEPT: usize = 2;
/// The first bytes of a file: its kind, and the version of the format.
const MAGIC: &[u8; 8] = b"mstrst\0\x01";
/// The length of the hash, in bytes.
const HASH: usize = 32;

/// A folder that one process at a time owns.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    /// Released with the process, in all cases.
    _lock: File,
}

/// The error of a journal that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process uses the folder.
    #[error("{}: another process uses this folder; each node needs a node.folder of its own", .0.display())]
    InUse(PathBuf),
}

/// A state in the journal.
#[derive(Debug)]
pub struct Kept {
    /// The progress, if the parameters are undamaged.
    pub progress: Progress,
    path: PathBuf,
    parameters: File,
}

impl Journal {
    /// Opens a folder and checks that it can be written to. Creates it if it does not exist.
    ///
    /// # Errors
    /// The folder cannot be written to, or another process uses it.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(at(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(&path)(error).into()),
        }
        replace(&folder.join("probe"), |file| file.write_all(&[0; 4096]))?;
        remove(&folder.join("probe"))?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the stored states of a run, newest first. Leaves out files that are damaged or of another run.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn states(&self, run: &RunHash) -> Result<Vec<Kept>, FileError> {
        let mut states: Vec<_> = self.files()?.into_iter().filter_map(|(_, path)| open(path)).collect();
        states.retain(|kept| kept.progress.run == *run);
        states.sort_by_key(|kept| std::cmp::Reverse(kept.progress.window()));
        Ok(states)
    }

    /// Stores a state, and deletes all others but the one before it.
    ///
    /// # Errors
    /// The state cannot be written. The earlier states are still there.
    pub fn keep(&self, progress: &Progress, parameters: &[f32]) -> Result<(), FileError> {
        let window = progress.window();
        let path = self.folder.join(format!("{PREFIX}{:010}", window.0));
        replace(&path, |file| write(file, progress, parameters))?;
        // Newer states are of a history that was given up. Of the older ones, the newest stays.
        let mut others = self.files()?;
        others.retain(|(other, _)| *other != window);
        others.sort_by_key(|(other, _)| std::cmp::Reverse(*other));
        let newer = others.iter().filter(|(other, _)| *other > window);
        let older = others.iter().filter(|(other, _)| *other < window).skip(KEPT - 1);
        newer.chain(older).try_for_each(|(_, path)| remove(path))
    }

    /// Moves the states from window `from` on to the folder of a diverged state, and returns the folder,
    /// if there are such states. Of earlier folders of this kind, only the one of the latest window stays.
    ///
    /// # Errors
    /// A file or folder cannot be moved or removed.
    pub fn set_aside(&self, from: Window, diverged: &Progress) -> Result<Option<PathBuf>, FileError> {
        let mut states = self.files()?;
        states.retain(|(window, _)| *window >= from);
        if states.is_empty() {
            return Ok(None);
        }
        let name = format!("{DIVERGED}{:010}-{}", diverged.window().0, diverged.state());
        let folder = self.folder.join(&name);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        for (_, path) in &states {
            fs::rename(path, folder.join(path.file_name().unwrap_or_default())).map_err(at(path))?;
        }
        sync_folder(&folder)?;
        sync_folder(&self.folder)?;
        // The names begin with the window's digits, so their order is that of windows.
        let mut others = self.diverged()?;
        others.retain(|other| *other != folder);
        let mut old = others.iter().rev().skip(DIVERGED_KEPT - 1);
        old.try_for_each(|old| fs::remove_dir_all(old).map_err(at(old)))?;
        Ok(Some(folder))
    }

    /// Returns the folders of diverged states, in the order of windows.
    fn diverged(&self) -> Result<Vec<PathBuf>, FileError> {
        let is_diverged = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DIVERGED))
        };
        let mut folders: Vec<_> = entries(&self.folder)?.iter().map(fs::DirEntry::path).collect();
        folders.retain(is_diverged);
        folders.sort();
        Ok(folders)
    }

    fn files(&self) -> Result<Vec<(Window, PathBuf)>, FileError> {
        files(&self.folder)
    }
}

impl Kept {
    /// Reads the parameters into `values`. Returns whether their number is right and `root` gives the root of
    /// the progress.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(
        mut self,
        values: &mut [f32],
        root: impl FnOnce(&[f32]) -> StateRoot,
    ) -> Result<bool, FileError> {
        let length = self.parameters.metadata().map_err(at(&self.path))?.len();
        let expected = header(&self.progress).len() as u64 + size_of_val(values) as u64;
        if length != expected {
            return Ok(false);
        }
        self.parameters.read_exact(cast_slice_mut(values)).map_err(at(&self.path))?;
        to_native(values);
        Ok(root(values) == self.progress.root)
    }
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, FileError> {
    fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(folder))
}

fn files(folder: &Path) -> Result<Vec<(Window, PathBuf)>, FileError> {
    let named = entries(folder)?.into_iter().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let window = name.strip_prefix(PREFIX)?.parse().ok().map(Window)?;
        Some((window, entry.path()))
    });
    Ok(named.collect())
}

/// Returns all bytes before the parameters.
fn header(progress: &Progress) -> Vec<u8> {
    let progress = progress.to_bytes();
    let length = u32::try_from(progress.len()).expect("a progress is bounded");
    let mut bytes = [MAGIC.as_slice(), &length.to_le_bytes(), &progress].concat();
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

fn write(to: &mut dyn Write, progress: &Progress, parameters: &[f32]) -> io::Result<()> {
    to.write_all(&header(progress))?;
    if cfg!(target_endian = "little") {
        return to.write_all(cast_slice(parameters));
    }
    parameters.iter().try_for_each(|value| to.write_all(&value.to_le_bytes()))
}

fn to_native(values: &mut [f32]) {
    if cfg!(target_endian = "big") {
        values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().swap_bytes()));
    }
}

/// Opens a state, if the file's beginning is undamaged.
fn open(path: PathBuf) -> Option<Kept> {
    let mut file = File::open(&path).ok()?;
    let mut start = [0; MAGIC.len() + 4];
    file.read_exact(&mut start).ok()?;
    let (magic, length) = start.split_at(MAGIC.len());
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    if magic != MAGIC || length > progress::MOST_BYTES {
        return None;
    }
    let mut rest = vec![0; length + HASH];
    file.read_exact(&mut rest).ok()?;
    let (progress, hash) = rest.split_at(length);
    let found = *blake3::Hasher::new().update(&start).update(progress).finalize().as_bytes();
    let progress = Progress::read(progress).ok().filter(|_| found == *hash)?;
    Some(Kept { progress, path, parameters: file })
}

#[cfg(test)]
mod tests;
