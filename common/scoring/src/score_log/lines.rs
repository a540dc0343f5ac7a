//! Encodes and decodes the chain of lines. Each line holds its number and the hash of the line before
//! it, so that any change is detected and located.

use super::{ChainBreak, ScoreLogError};
use crate::gauntlet::{FIELD_WINDOWS, MOST_STANDINGS};
use base::{
    digest::ScoreLogHead,
    signature::{SIGNATURE_BYTES, Signature},
    wire::{Reader, WireError, Writer},
};

/// Maximum number of lines of a log: six for each of the most standings, and two for each window that the
/// field remembers.
pub const MOST_LINES: usize = 6 * MOST_STANDINGS + 2 * FIELD_WINDOWS;
/// Number of bytes of a line before its payload: length, number, hash of the line before, kind.
const LINE_HEAD: usize = 2 + 4 + 32 + 1;
/// Maximum number of bytes of a line. The longest, of an evaluated miner, has 223.
pub(super) const MOST_LINE_BYTES: usize = 224;
/// Number of bytes after the last line: count, head, signature.
pub(super) const TRAILER_BYTES: usize = 4 + 32 + SIGNATURE_BYTES;

/// A decoded line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) index: u32,
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
    previous: ScoreLogHead,
    hash: ScoreLogHead,
}

/// The part of a log after its header.
#[derive(Debug)]
pub(super) struct Framed<'a> {
    pub(super) lines: Vec<Line<'a>>,
    pub(super) head: ScoreLogHead,
    pub(super) signature: Signature,
}

/// A writer of lines after a header.
#[derive(Debug)]
pub(super) struct LineWriter {
    out: Writer,
    head: ScoreLogHead,
    count: u32,
}

impl LineWriter {
    pub(super) fn new(header: &[u8]) -> Self {
        let mut out = Writer::new();
        out.raw(header);
        Self { out, head: ScoreLogHead::of(&[header]), count: 0 }
    }

    pub(super) fn push(&mut self, kind: u8, payload: impl FnOnce(&mut Writer)) {
        let mut body = Writer::new();
        body.u32(self.count).raw(&self.head.0).u8(kind);
        payload(&mut body);
        let body = body.into_bytes();
        self.out.u16(body.len() as u16).raw(&body);
        self.head = ScoreLogHead::of(&[&body]);
        self.count += 1;
    }

    /// Returns the written bytes, the head and the number of lines.
    pub(super) fn finish(self) -> (Writer, ScoreLogHead, u32) {
        (self.out, self.head, self.count)
    }
}

/// Reads the part after a header of `header` bytes, and checks that no line was changed. Does not check
/// the signature.
pub(super) fn read(bytes: &[u8], header: usize) -> Result<Framed<'_>, ScoreLogError> {
    let missing = WireError::Truncated {
        what: "the trailer of a score log",
        offset: header,
        needed: TRAILER_BYTES,
        left: bytes.len().saturating_sub(header),
    };
    let end = bytes.len().checked_sub(TRAILER_BYTES).filter(|&end| end >= header).ok_or(missing)?;
    let mut trailer = Reader::new(&bytes[end..]);
    let said = trailer.u32("the count of lines")?;
    let head = ScoreLogHead(trailer.array("the head")?);
    let signature = Signature(trailer.array("the signature")?);
    let lines = split(&bytes[..end], header)?;
    match chain_break(&lines, ScoreLogHead::of(&[&bytes[..header]]), said, head) {
        Some(found) => Err(found.into()),
        None => Ok(Framed { lines, head, signature }),
    }
}

fn split(bytes: &[u8], header: usize) -> Result<Vec<Line<'_>>, ScoreLogError> {
    let mut reader = Reader::new(bytes);
    reader.raw("the header", header)?;
    let mut lines = Vec::new();
    while reader.left() > 0 {
        if lines.len() == MOST_LINES {
            return Err(ScoreLogError::TooManyLines);
        }
        lines.push(line(&mut reader)?);
    }
    Ok(lines)
}

fn line<'a>(reader: &mut Reader<'a>) -> Result<Line<'a>, WireError> {
    let what = "the length of a line";
    let offset = reader.offset();
    let length = usize::from(reader.u16(what)?);
    if !(LINE_HEAD - 2..=MOST_LINE_BYTES - 2).contains(&length) {
        return Err(WireError::Value {
            what,
            offset,
            found: length as u64,
            expected: "lines have 37 to 222 bytes",
        });
    }
    let body = reader.raw("a line", length)?;
    let mut inner = Reader::new(body);
    Ok(Line {
        index: inner.u32("the number of a line")?,
        previous: ScoreLogHead(inner.array("the hash of the line before")?),
        kind: inner.u8("the kind of a line")?,
        payload: &body[inner.offset()..],
        hash: ScoreLogHead::of(&[body]),
    })
}

/// Returns the first break in the chain of lines, by their hashes and numbers.
fn chain_break(
    lines: &[Line<'_>],
    header: ScoreLogHead,
    said: u32,
    head: ScoreLogHead,
) -> Option<ChainBreak> {
    let before = |at: usize| at.checked_sub(1).map_or(header, |at| lines[at].hash);
    let out_of_place = |at: &usize| lines[*at].index != *at as u32 || lines[*at].previous != before(*at);
    match (0..lines.len()).find(out_of_place) {
        Some(at) => Some(break_at(lines, at, before(at), head)),
        None => break_after(lines.len() as u32, before(lines.len()) == head, said),
    }
}

/// Returns the break at index `at`, where a line follows one of hash `before`.
fn break_at(lines: &[Line<'_>], at: usize, before: ScoreLogHead, head: ScoreLogHead) -> ChainBreak {
    let line = &lines[at];
    let number = at as u32;
    if line.previous == before {
        return ChainBreak::Edited(number); // Its hash of the line before is right: its number is wrong.
    }
    if line.index == number {
        let carried_on = lines.get(at + 1).map_or(head, |next| next.previous) == line.hash;
        return match at.checked_sub(1) {
            _ if !carried_on => ChainBreak::Edited(number),
            Some(before) => ChainBreak::Edited(before as u32),
            None => ChainBreak::Header,
        };
    }
    if lines[..at].iter().any(|earlier| earlier.index == line.index) {
        return ChainBreak::Repeated(line.index);
    }
    if lines[at..].iter().any(|later| later.index == number) {
        ChainBreak::Reordered { line: number, found: line.index }
    } else {
        ChainBreak::Dropped(number)
    }
}

/// Returns the break after `found` lines in good order, or `None` if the chain is complete.
fn break_after(found: u32, ends_in_head: bool, said: u32) -> Option<ChainBreak> {
    match (ends_in_head, found.cmp(&said)) {
        (true, std::cmp::Ordering::Equal) => None,
        (true, _) => Some(ChainBreak::Count { said, found }),
        (false, std::cmp::Ordering::Less) => Some(ChainBreak::Dropped(found)),
        (false, std::cmp::Ordering::Greater) => Some(ChainBreak::Added(said)),
        (false, std::cmp::Ordering::Equal) => {
            Some(found.checked_sub(1).map_or(ChainBreak::Header, ChainBreak::Edited))
        }
    }
}
