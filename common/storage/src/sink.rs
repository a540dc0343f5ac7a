//! Destinations of downloaded bytes.

use std::{future::Future, io};

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
