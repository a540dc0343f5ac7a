//! Reader of plain text: a file is one document, or several documents with a separator between them.

use crate::{InputError, Piece, Place, inputs::Input, stream::Stream};
use memchr::memmem::Finder;

/// The UTF-8 byte order mark, which some editors write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The documents of a text file, in pieces.
pub(crate) struct Text {
    name: String,
    pub(crate) stream: Stream,
    separator: Option<Finder<'static>>,
    most: usize,
    /// Whether the next piece begins a document.
    first: bool,
}

impl Text {
    /// Creates a reader at the position of `stream`. `open` says that a document is unfinished at this
    /// position.
    pub(crate) fn new(
        input: &Input,
        stream: Stream,
        separator: Option<&str>,
        most: usize,
        open: bool,
    ) -> Self {
        let separator = separator.map(|separator| Finder::new(separator.as_bytes()).into_owned());
        Self { name: input.to_string(), stream, separator, most, first: !open }
    }

    /// Reads the next piece of a document, of at most `most` bytes.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, InputError> {
        if self.stream.offset() == 0 {
            self.skip_mark()?;
        }
        let (length, gap, last) = self.find_end()?;
        if length == 0 && gap == 0 && self.stream.ended() && self.first {
            return Ok(None);
        }
        let place = Place { name: self.name.clone(), line: self.stream.line() };
        let text = self.text(length, &place)?.to_owned();
        self.stream.advance(length + gap);
        let first = std::mem::replace(&mut self.first, last);
        Ok(Some(Piece { place, text, first, last }))
    }

    fn skip_mark(&mut self) -> Result<(), InputError> {
        while self.stream.window().len() < BYTE_ORDER_MARK.len() && self.stream.fill()? {}
        if self.stream.window().starts_with(BYTE_ORDER_MARK) {
            self.stream.advance(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// Returns the length of the next piece, the length of the separator after it, and whether the
    /// document ends there.
    fn find_end(&mut self) -> Result<(usize, usize, bool), InputError> {
        let gap = self.separator.as_ref().map_or(0, |separator| separator.needle().len());
        let mut searched = 0;
        loop {
            let window = self.stream.window();
            let separator = self.separator.as_ref().and_then(|s| s.find(&window[searched..]));
            match separator.map(|at| at + searched) {
                Some(at) if at <= self.most => return Ok((at, gap, true)),
                Some(_) => return Ok((cut(&window[..self.most]), 0, false)),
                // A separator that begins within the piece would have been found.
                None if window.len() >= self.most + gap.max(1) => {
                    return Ok((cut(&window[..self.most]), 0, false));
                }
                None => searched = window.len().saturating_sub(gap.saturating_sub(1)),
            }
            if !self.stream.fill()? {
                return Ok((self.stream.window().len(), 0, true));
            }
        }
    }

    fn text(&self, length: usize, place: &Place) -> Result<&str, InputError> {
        let bytes = &self.stream.window()[..length];
        std::str::from_utf8(bytes).map_err(|error| {
            let good = error.valid_up_to();
            let lines = memchr::memchr_iter(b'\n', &bytes[..good]).count() as u64;
            let place = Place { line: place.line + lines, ..place.clone() };
            InputError::NotUtf8 { place, offset: self.stream.offset() + good as u64 }
        })
    }
}

/// Returns the place to cut a text that is too long: after its last newline if that keeps at least half
/// of the text, otherwise between two characters.
pub(crate) fn cut(bytes: &[u8]) -> usize {
    let half = bytes.len() / 2;
    if let Some(line) = memchr::memrchr(b'\n', &bytes[half..]) {
        return half + line + 1;
    }
    // A continuation byte of a character looks like 10xxxxxx. A character has at most three of them.
    let tail = bytes.len().saturating_sub(4);
    let start = (tail..bytes.len()).rev().find(|&at| bytes[at] & 0xc0 != 0x80).unwrap_or(bytes.len());
    let whole = std::str::from_utf8(&bytes[start..]).is_ok();
    if whole || start == 0 { bytes.len() } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_follow_lines_and_characters() {
        assert_eq!(cut(b"one\ntwo\nthr"), 8);
        assert_eq!(cut(b"a\nlonger line"), 13);
        assert_eq!(cut("abcdé".as_bytes()), 6);
        assert_eq!(cut(&"abcdé".as_bytes()[..5]), 4);
        assert_eq!(cut(&"abc\u{1f600}".as_bytes()[..6]), 3);
    }
}
