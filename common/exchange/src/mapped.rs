//! All unsafe code of this crate: downloaded files used as bytes.
#![allow(unsafe_code)]

use bytes::Bytes;
use memmap2::Mmap;
use std::{fs::File, io};

/// Maps a file into memory as bytes. They cost page cache, not heap, and stay valid after the file's name is
/// deleted.
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new()); // The system maps no empty file.
    }
    // SAFETY: if another process writes to the file, the bytes change while they are used as a slice, and if
    // it cuts the file, the process ends by a signal. The file is in the node's own folder. It was created
    // for this download, is complete, and its name is deleted next. All bytes are read as plain numbers, for
    // which any value is valid.
    let map = unsafe { Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
