//! A reader of an input's bytes that shows them as a moving window.

use crate::{
    InputError,
    inputs::{Compression, Input},
};
use std::{
    fs::File,
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The number of bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// A window that moves over the (decompressed) bytes of a file or of standard input.
pub(crate) struct Stream {
    name: String,
    inner: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The start of the window in `buffer`.
    start: usize,
    /// The position of the window in the input.
    offset: u64,
    /// The line of the window's first byte, counted from 1.
    line: u64,
    ended: bool,
    /// The number of bytes read from the file, before decompression.
    taken: Arc<AtomicU64>,
    /// The hash of all bytes before the window.
    prefix: blake3::Hasher,
}

/// A reader that counts the bytes read.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Stream {
    /// Opens an input at `offset`. The bytes before it are read again and must have the hash `prefix`:
    /// a file may have changed after the offset, but not before.
    pub(crate) fn open(input: &Input, offset: u64, prefix: Option<[u8; 32]>) -> Result<Self, InputError> {
        let taken = Arc::new(AtomicU64::new(0));
        let inner = open(input, &taken).map_err(|source| read_error(&input.to_string(), source))?;
        let mut stream = Self {
            name: input.to_string(),
            inner,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            line: 1,
            ended: false,
            taken,
            prefix: blake3::Hasher::new(),
        };
        stream.skip_to(offset)?;
        if prefix.is_some_and(|before| before != stream.prefix()) {
            Err(InputError::Changed(stream.name))
        } else {
            Ok(stream)
        }
    }

    fn skip_to(&mut self, offset: u64) -> Result<(), InputError> {
        while self.offset < offset {
            if self.window().is_empty() && !self.fill()? {
                return Err(InputError::Changed(self.name.clone()));
            }
            let left = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
            self.advance(self.window().len().min(left));
        }
        Ok(())
    }

    /// Returns the bytes in the window.
    pub(crate) fn window(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Returns the position of the window in the input.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the line of the window's first byte, counted from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Checks whether the window reaches the end of the input.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Returns the number of bytes read from the file, before decompression.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns the hash of all bytes before the window.
    pub(crate) fn prefix(&self) -> [u8; 32] {
        *self.prefix.finalize().as_bytes()
    }

    /// Extends the window at its end. Returns `false` if the input has ended.
    pub(crate) fn fill(&mut self) -> Result<bool, InputError> {
        if self.ended {
            return Ok(false);
        }
        // Passed bytes are removed once they are more than half of the buffer, so each byte moves at
        // most once.
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

    /// Moves the start of the window forward.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let passed = &self.buffer[self.start..self.start + bytes];
        self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.prefix.update(passed);
        self.start += bytes;
        self.offset += bytes as u64;
    }
}

fn open(input: &Input, taken: &Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let Some(path) = &input.path else {
        return Ok(Box::new(Counted(io::stdin(), taken.clone())));
    };
    let counted = Counted(File::open(path)?, taken.clone());
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
