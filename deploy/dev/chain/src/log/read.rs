//! Reads a log, one record at a time. At most one frame is in memory, whatever the size of the file.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use parity_scale_codec::DecodeAll;

use super::{
    Height, LogError, MAGIC, PREAMBLE_LEN, Record, VERSION, Visitor,
    frame::{self, Frame},
    io_error,
};

/// The size of the read buffer, in bytes.
const BUFFER: usize = 64 << 10;

/// The result of reading a log's file.
pub(super) struct Contents {
    /// The end of the last whole record; 0 if the preamble is incomplete.
    pub(super) end: u64,
    /// The file's length.
    pub(super) length: u64,
    /// Whether the bytes after `end` are one complete record with a damaged payload.
    pub(super) is_damaged: bool,
}

/// Passes all whole records of `file` to `visit`. The file must be at its start.
pub(super) fn contents(path: &Path, file: &File, visit: Visitor<'_>) -> Result<Contents, LogError> {
    let length = file.metadata().map_err(io_error(path, "read it"))?.len();
    let mut input = BufReader::with_capacity(BUFFER, file);
    let mut found = Contents { end: 0, length, is_damaged: false };
    if !preamble(path, &mut input)? {
        return Ok(found);
    }
    tracing::info!(target: "devchain::log", path = %path.display(), bytes = length, "reading the log");
    found.end = PREAMBLE_LEN as u64;
    let mut height = None;
    while found.end < length {
        let offset = found.end;
        let frame = frame::read(&mut input, length - offset).map_err(io_error(path, "read it"))?;
        let payload = match frame {
            Frame::Whole(payload) => payload,
            Frame::Torn => break,
            Frame::LastDamaged => {
                found.is_damaged = true;
                break;
            }
            Frame::Damaged => {
                return Err(LogError::Damaged { path: path.into(), offset, after: Height(height) });
            }
        };
        found.end += (frame::HEAD_LEN + payload.len()) as u64;
        let record = Record::decode_all(&mut &payload[..]).map_err(|_| "is of an unknown kind");
        height = record.as_ref().ok().and_then(Record::height).or(height);
        let visited = record.and_then(&mut *visit);
        visited.map_err(|problem| LogError::Inconsistent { path: path.into(), offset, problem })?;
    }
    Ok(found)
}

/// Checks whether a whole preamble is there. A partial one belongs to a log whose first write was cut
/// short.
fn preamble(path: &Path, input: &mut impl Read) -> Result<bool, LogError> {
    let mut bytes = Vec::with_capacity(PREAMBLE_LEN);
    input.take(PREAMBLE_LEN as u64).read_to_end(&mut bytes).map_err(io_error(path, "read it"))?;
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(LogError::Foreign(path.into()));
    }
    let Some(version) = bytes.get(MAGIC.len()..PREAMBLE_LEN) else { return Ok(false) };
    match u32::from_le_bytes([version[0], version[1], version[2], version[3]]) {
        VERSION => Ok(true),
        found => Err(LogError::Version { path: path.into(), found }),
    }
}
