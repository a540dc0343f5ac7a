//! Files of downloads. They are held by open files and mappings, so their names disappear early.

use super::FetchError;
use crate::mapped;
use bytes::Bytes;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use storage::Sink;
use tokio::task::spawn_blocking;

/// The size of the write buffer of a download, in bytes.
const BUFFER: usize = 1 << 20;

/// The folder for downloads. Clones name the same folder.
#[derive(Clone, Debug)]
pub(crate) struct Incoming(Arc<Path>);

impl Incoming {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.into())
    }

    /// Deletes what a killed process left.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Creates a folder for the downloads of one purpose.
    pub(crate) fn folder(&self, purpose: &str) -> Result<IncomingFolder, FetchError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let path = self.0.join(format!("{purpose}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(local(&path))?;
        Ok(IncomingFolder(path))
    }
}

/// A folder that is deleted when it is dropped. Mappings of its files stay valid.
#[derive(Debug)]
pub(crate) struct IncomingFolder(PathBuf);

impl IncomingFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for IncomingFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // The next start deletes what is left.
    }
}

/// A file that is being downloaded. Its name is deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct IncomingFile {
    path: PathBuf,
    file: Arc<File>,
}

impl IncomingFile {
    pub(crate) fn create(path: PathBuf) -> Result<Self, FetchError> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path);
        let file = Arc::new(file.map_err(local(&path))?);
        Ok(Self { path, file })
    }

    /// Writes bytes at a place.
    pub(crate) async fn write_at(&self, at: u64, bytes: Bytes) -> Result<(), FetchError> {
        write_at(Arc::clone(&self.file), at, bytes).await.map_err(local(&self.path))
    }

    /// Writes bytes at a place, on a thread for blocking work.
    pub(crate) fn write_now(&self, at: u64, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all_at(bytes, at).map_err(local(&self.path))
    }

    /// Returns the contents, if the file has this size.
    pub(crate) fn map(&self, bytes: u64) -> Result<Bytes, FetchError> {
        let mapped = || {
            if self.file.metadata()?.len() != bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the file has another size"));
            }
            mapped::map(&self.file)
        };
        mapped().map_err(local(&self.path))
    }

    /// Waits until the contents are on the disk, and gives the file its name.
    pub(crate) async fn keep(mut self, name: &Path) -> Result<(), FetchError> {
        let from = std::mem::take(&mut self.path);
        let (file, to) = (Arc::clone(&self.file), name.to_owned());
        let kept = spawn_blocking(move || file.sync_data().and_then(|()| fs::rename(&from, &to)));
        kept.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(local(name))
    }

    /// Returns a sink that writes from the first byte on.
    pub(crate) fn sink(&self, received: Arc<AtomicU64>) -> FileSink {
        FileSink { file: Arc::clone(&self.file), buffer: Vec::new(), at: 0, received }
    }
}

impl Drop for IncomingFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // The folder is deleted later in any case.
    }
}

/// A sink that writes to a file and counts. It may take the bytes of several tries.
#[derive(Debug)]
pub(crate) struct FileSink {
    file: Arc<File>,
    buffer: Vec<u8>,
    at: u64,
    received: Arc<AtomicU64>,
}

impl FileSink {
    /// Writes the buffered bytes.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let buffer = Bytes::from(std::mem::take(&mut self.buffer));
        let length = buffer.len() as u64;
        write_at(Arc::clone(&self.file), self.at, buffer).await?;
        self.at += length;
        Ok(())
    }
}

impl Sink for FileSink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.received.fetch_add(bytes.len() as u64, Relaxed);
        if self.buffer.len() < BUFFER { Ok(()) } else { self.flush().await }
    }
}

async fn write_at(file: Arc<File>, at: u64, bytes: Bytes) -> io::Result<()> {
    let written = spawn_blocking(move || file.write_all_at(&bytes, at)).await;
    written.unwrap_or_else(|error| Err(io::Error::other(error)))
}

pub(crate) fn local(path: &Path) -> impl Fn(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Local { path: path.clone(), source }
}
