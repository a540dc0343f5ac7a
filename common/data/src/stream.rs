//! Bytes of an input, from a position, a window at a time.

use crate::{
    InputError,
    inputs::{Compression, Input},
};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes that are asked of the system at once.
const CHUNK: usize = 64 << 10;

/// A window that moves over the (decompressed) bytes of a file or of standard input.
pub(crate) struct Stream {
    name: String,
    inner: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Where the window begins in `buffer`.
    start: usize,
    /// Position of the window in the input.
    offset: u64,
    /// Line of the window's first byte, from 1.
    line: u64,
    ended: bool,
    /// Bytes of the file that were read, before decompression.
    taken: Arc<AtomicU64>,
    /// Of all bytes before the window, where the input cannot be recognised otherwise.
    prefix: Option<blake3::Hasher>,
}

/// Counts what passes.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Stream {
    /// The input from `offset` on, which is in line `line`. `prefix` is the hash of what was read of standard input
    /// before.
    pub(crate) fn open(
        input: &Input,
        offset: u64,
        line: u64,
        prefix: Option<[u8; 32]>,
    ) -> Result<Self, InputError> {
        let taken = Arc::new(AtomicU64::new(0));
        let inner = open(input, offset, &taken).map_err(|source| read_error(&input.to_string(), source))?;
        let mut stream = Self {
            name: input.to_string(),
            inner,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            line: 1,
            ended: false,
            taken,
            prefix: input.path.is_none().then(blake3::Hasher::new),
        };
        if seekable(input) {
            stream.taken.store(offset, Ordering::Relaxed);
            (stream.offset, stream.line) = (offset, line);
        } else {
            stream.skip_to(offset)?;
        }
        match (prefix, stream.prefix()) {
            (Some(before), Some(now)) if before != now => Err(InputError::Changed(stream.name)),
            _ => Ok(stream),
        }
    }

    fn skip_to(&mut self, offset: u64) -> Result<(), InputError> {
        while self.offset < offset {
            if !self.fill()? && self.window().is_empty() {
                return Err(InputError::Changed(self.name.clone()));
            }
            let left = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
            self.advance(self.window().len().min(left));
        }
        Ok(())
    }

    /// What is in the window.
    pub(crate) fn window(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Position of the window in the input.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Line of the window's first byte, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Whether the window reaches the end of the input.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes of the file that were read, before decompression.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The hash of all bytes before the window; for standard input only.
    pub(crate) fn prefix(&self) -> Option<[u8; 32]> {
        self.prefix.as_ref().map(|hasher| *hasher.finalize().as_bytes())
    }

    /// Widens the window at its end; `false` if the input has ended.
    pub(crate) fn fill(&mut self) -> Result<bool, InputError> {
        if self.ended {
            return Ok(false);
        }
        // What has been passed makes room as soon as it is the larger part, so each byte moves at most once.
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let read = loop {
            match self.inner.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        let read = read.map_err(|source| InputError::Read {
            name: self.name.clone(),
            line: Some(self.line),
            source,
        })?;
        self.ended = read == 0;
        Ok(!self.ended)
    }

    /// Moves the window's beginning.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let passed = &self.buffer[self.start..self.start + bytes];
        self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        if let Some(prefix) = &mut self.prefix {
            prefix.update(passed);
        }
        self.start += bytes;
        self.offset += bytes as u64;
    }
}

/// Whether a position of the input can be reached without reading what comes before.
fn seekable(input: &Input) -> bool {
    input.path.is_some() && input.compression == Compression::None
}

fn open(input: &Input, offset: u64, taken: &Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let Some(path) = &input.path else {
        return Ok(Box::new(Counted(io::stdin(), taken.clone())));
    };
    let mut file = File::open(path)?;
    if seekable(input) {
        file.seek(SeekFrom::Start(offset))?;
    }
    let counted = Counted(file, taken.clone());
    Ok(match input.compression {
        Compression::None => Box::new(counted),
        Compression::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(CHUNK, counted)))
        }
        Compression::Zstd => Box::new(zstd::Decoder::new(counted)?),
    })
}

fn read_error(name: &str, source: io::Error) -> InputError {
    InputError::Read { name: name.into(), line: None, source }
}
