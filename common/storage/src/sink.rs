//! Destinations of downloaded bytes.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
};
use tokio::{fs::File, io::AsyncWriteExt as _};

/// A destination of an object's bytes. It receives them in order and only once: an interrupted download
/// resumes at the next missing byte.
pub trait Sink: Send {
    /// Writes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

impl Sink for Vec<u8> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// The size of the write buffer, in bytes.
const BUFFER: usize = 1 << 20;

/// A file that appears under its name only when it is complete.
#[derive(Debug)]
pub(crate) struct FileSink {
    to: PathBuf,
    partial: PathBuf,
    file: tokio::io::BufWriter<File>,
    whole: bool,
}

impl FileSink {
    /// Creates a temporary file beside `to`: the same name with a random suffix.
    pub(crate) async fn create(to: &Path) -> io::Result<Self> {
        let mut name =
            to.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?.to_owned();
        name.push(format!(".{:016x}.partial", rand::random::<u64>()));
        let partial = to.with_file_name(name);
        let file = tokio::io::BufWriter::with_capacity(BUFFER, File::create_new(&partial).await?);
        Ok(Self { to: to.to_owned(), partial, file, whole: false })
    }

    /// Renames the file to its final name. Syncs its bytes to the disk first, so that a crash leaves
    /// all of it or nothing.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.get_ref().sync_data().await?;
        tokio::fs::rename(&self.partial, &self.to).await?;
        self.whole = true;
        Ok(())
    }
}

impl Sink for FileSink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if !self.whole {
            // A file that cannot be removed keeps its temporary name, which no node reads.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
