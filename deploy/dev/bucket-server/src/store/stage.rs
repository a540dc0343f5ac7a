//! Temporary files for uploads.

use super::{Object, StoreError};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// The size of the write buffer, in bytes.
const BUFFER: usize = 256 << 10;

/// A temporary file. Dropping it removes the file, unless it has become an object.
pub(crate) struct Staged {
    path: PathBuf,
    file: BufWriter<File>,
    size: u64,
    hasher: blake3::Hasher,
    crc32: crc32fast::Hasher,
    /// The entity tag of a joined object; `None` if the tag is the hash of the content.
    tag: Option<String>,
}

/// Returns the entity tag of hashed content. It has the length of an MD5, which clients expect.
pub(super) fn tag(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex().as_str()[..32].to_owned()
}

impl Staged {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER, File::create(&path)?);
        let hasher = blake3::Hasher::new();
        let crc32 = crc32fast::Hasher::new();
        Ok(Self { path, file, size: 0, hasher, crc32, tag: None })
    }

    /// Appends bytes. Blocks while the system copies them.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.crc32.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn tag(&self) -> String {
        self.tag.clone().unwrap_or_else(|| tag(&self.hasher))
    }

    /// Returns the CRC-32 of the bytes in big-endian order, as in S3's headers (before base64).
    pub(crate) fn crc32(&self) -> [u8; 4] {
        self.crc32.clone().finalize().to_be_bytes()
    }

    /// Checks that the bytes have the expected CRC-32, if one is given.
    pub(crate) fn check(&self, expected: Option<[u8; 4]>) -> Result<(), StoreError> {
        match expected {
            Some(crc32) if crc32 != self.crc32() => Err(StoreError::Digest),
            _ => Ok(()),
        }
    }

    /// Appends the files of the parts, and derives the entity tag from their tags.
    pub(super) fn join(mut self, parts: &[Staged]) -> io::Result<Self> {
        let mut tags = blake3::Hasher::new();
        for part in parts {
            self.size += io::copy(&mut File::open(&part.path)?, self.file.get_mut())?;
            tags.update(part.tag().as_bytes());
        }
        self.tag = Some(format!("{}-{}", tag(&tags), parts.len()));
        Ok(self)
    }

    /// Flushes the buffer into the file, so that other readers of the file see all bytes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Renames the file to its final place.
    pub(super) fn become_file(mut self, place: &Path) -> io::Result<Object> {
        self.flush()?;
        let modified = self.file.get_ref().metadata()?.modified()?;
        fs::rename(&self.path, place)?;
        Ok(Object { size: self.size, tag: self.tag(), modified })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Fails if the file was renamed. The next start removes files that cannot be removed here.
        let _ = fs::remove_file(&self.path);
    }
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staged").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}
