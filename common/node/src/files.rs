//! Files that are replaced in one step: a reader sees the whole old file or the whole new one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The error of a file of the node's own that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot read or write {}{}", path.display(), advice(source))]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// The error of the system.
    pub source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            " (make room on its disk, or name another folder as node.folder)"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (node.folder must be a folder that this user may write to)"
        }
        _ => "",
    }
}

/// Adds the file to an error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    |source| FileError { path: path.to_owned(), source }
}

/// Writes a file in one step. After a kill at any time the old content is there or the new one, and it lasts.
///
/// # Errors
/// The file cannot be written. It still has its old content.
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = File::create(&partial).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all()
    });
    // A partial file would only take space on a full disk.
    written.map_err(at(&partial)).inspect_err(|_| drop(fs::remove_file(&partial)))?;
    fs::rename(&partial, path).map_err(at(path))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Syncs the names in a folder to the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Removes a file, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
