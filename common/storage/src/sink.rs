//! Where the bytes of an object go while they arrive.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
};
use tokio::{fs::File, io::AsyncWriteExt as _};

/// Takes the bytes of an object in their order. It is never asked to go back: an interrupted get goes on where it was.
pub trait Sink: Send {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

impl Sink for Vec<u8> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Bytes are handed to the system in pieces of this size.
const BUFFER: usize = 1 << 20;

/// A file that appears under its name only when it is whole.
#[derive(Debug)]
pub(crate) struct FileSink {
    to: PathBuf,
    partial: PathBuf,
    file: tokio::io::BufWriter<File>,
    whole: bool,
}

impl FileSink {
    /// Begins a file beside `to`, named like it with a random end.
    pub(crate) async fn create(to: &Path) -> io::Result<Self> {
        let mut name = to.file_name().ok_or_else(|| io::Error::other("the path names no file"))?.to_owned();
        name.push(format!(".{:016x}.partial", rand::random::<u64>()));
        let partial = to.with_file_name(name);
        let file = tokio::io::BufWriter::with_capacity(BUFFER, File::create_new(&partial).await?);
        Ok(Self { to: to.to_owned(), partial, file, whole: false })
    }

    /// Gives the file its name. Its bytes reach the disk first, so that a crash leaves all of it or nothing.
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
            // What cannot be removed keeps its name, which nobody reads.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
