//! The documents of all inputs in order, in pieces of bounded size.

use crate::{
    Format, InputError, Options, Piece, Warning,
    inputs::Input,
    jsonl::Jsonl,
    parquet::Parquet,
    stream::Stream,
    text::{self, Text},
};
use protocol::dataset::ShardRole;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The BLAKE3 `derive_key` context of a document's lot.
const LOT_CONTEXT: &str = "muster v1 document lot";

/// A reading position: a place between two pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The index in the list of inputs.
    pub(crate) input: usize,
    /// The number of finished bytes (after decompression) or rows of that input.
    pub(crate) offset: u64,
    /// The lot of the document that continues here, if any.
    pub(crate) open: Option<Lot>,
    /// The hash of the finished bytes.
    pub(crate) prefix: Option<[u8; 32]>,
}

/// The counts of documents, lines and bytes that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Documents with text.
    pub documents: u64,
    /// Documents with text that are held out.
    pub held_out: u64,
    /// Documents without text, which were skipped.
    pub empty: u64,
    /// Documents that were longer than a piece.
    pub cut: u64,
    /// Lines that were skipped because they are not an object with the text.
    pub bad_lines: u64,
    /// Bytes of text.
    pub bytes: u64,
}

/// The random numbers of a document, drawn from the seed and its first piece. The same document always
/// has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lot {
    /// The number that decides whether the document is held out.
    aside: u64,
    /// The number that decides whether the document trains the tokenizer.
    sample: u64,
}

/// A piece with its role: training or held out.
#[derive(Debug)]
pub(crate) struct Fated {
    pub(crate) text: String,
    pub(crate) role: ShardRole,
    pub(crate) lot: Lot,
    pub(crate) last: bool,
}

/// The reader of all inputs.
pub(crate) struct Corpus<'a> {
    inputs: &'a [Input],
    options: &'a Options,
    position: Position,
    source: Option<Source>,
    pending: VecDeque<Piece>,
    /// The bytes of the finished inputs.
    done: u64,
    pub(crate) counts: Counts,
    pub(crate) warnings: Vec<Warning>,
}

enum Source {
    Text(Box<Text>),
    Jsonl(Box<Jsonl>),
    Parquet(Box<Parquet>),
}

impl<'a> Corpus<'a> {
    /// Creates a reader that starts at `position`.
    pub(crate) fn new(inputs: &'a [Input], options: &'a Options, position: Position, counts: Counts) -> Self {
        let done = inputs.iter().take(position.input).map(|input| input.length).sum();
        let source = None;
        let pending = VecDeque::new();
        let warnings = Vec::new();
        Self { inputs, options, position, source, pending, done, counts, warnings }
    }

    /// Returns the options of the preparation.
    pub(crate) fn options(&self) -> &Options {
        self.options
    }

    /// Returns the reading position. Between two batches it is the complete state of the reader.
    pub(crate) fn position(&self) -> Position {
        let mut position = self.position.clone();
        match &self.source {
            Some(Source::Text(text)) => note(&mut position, &text.stream),
            Some(Source::Jsonl(jsonl)) => note(&mut position, &jsonl.stream),
            Some(Source::Parquet(parquet)) => position.offset = parquet.row(),
            None => {}
        }
        position
    }

    /// Returns the number of bytes read from the inputs, before decompression.
    pub(crate) fn taken(&self) -> u64 {
        let length = self.inputs.get(self.position.input).map_or(0, |input| input.length);
        self.done
            + match &self.source {
                Some(Source::Text(text)) => text.stream.taken(),
                Some(Source::Jsonl(jsonl)) => jsonl.stream.taken(),
                Some(Source::Parquet(p)) => share(length, p.row(), p.rows()),
                None => 0,
            }
    }

    /// Reads pieces with about `bytes` of text in total. Returns an empty list at the end.
    pub(crate) fn batch(&mut self, bytes: usize) -> Result<Vec<Fated>, InputError> {
        let mut batch = Vec::new();
        let mut length = 0;
        // Pending pieces are finished first: reading can resume only between two pieces of the source.
        while length < bytes || !self.pending.is_empty() {
            let Some(piece) = self.next()? else { break };
            length += piece.text.len();
            batch.push(piece);
        }
        Ok(batch)
    }

    fn next(&mut self) -> Result<Option<Fated>, InputError> {
        while let Some(piece) = self.next_piece()? {
            if let Some(fated) = self.decide(piece) {
                return Ok(Some(fated));
            }
        }
        Ok(None)
    }

    /// Counts a piece and decides its role. Returns `None` for a document without text.
    fn decide(&mut self, piece: Piece) -> Option<Fated> {
        let Piece { place, text, first, last } = piece;
        if first && last && text.is_empty() {
            self.counts.empty += 1;
            return None;
        }
        let new = || Lot::draw(self.options.seed, &text);
        let lot = if first { new() } else { self.position.open.unwrap_or_else(new) };
        let role = if lot.is_below(lot.aside, self.options.held_out) {
            ShardRole::HeldOut
        } else {
            ShardRole::Training
        };
        self.counts.documents += u64::from(first);
        self.counts.held_out += u64::from(first && role == ShardRole::HeldOut);
        self.counts.bytes += text.len() as u64;
        if first && !last {
            self.counts.cut += 1;
            self.warnings.push(Warning::Cut { place, most: self.options.max_document });
        }
        self.position.open = (!last).then_some(lot);
        Some(Fated { text, role, lot, last })
    }

    /// Returns the next piece, from the next input if necessary.
    fn next_piece(&mut self) -> Result<Option<Piece>, InputError> {
        loop {
            if let Some(piece) = self.pending.pop_front() {
                return Ok(Some(piece));
            }
            let Some(input) = self.inputs.get(self.position.input) else { return Ok(None) };
            if self.source.is_none() {
                self.source = Some(Source::open(input, self.options, &self.position)?);
            }
            let next = self.source.as_mut().map_or(Ok(None), Source::next);
            match next {
                Ok(Some(piece)) => self.pending = pieces(piece, self.options.max_document),
                Ok(None) => {
                    self.done += input.length;
                    self.source = None;
                    self.position = Position { input: self.position.input + 1, ..Position::default() };
                }
                Err(error) if self.options.skip_bad_lines && error.is_bad_line(input.format) => {
                    self.counts.bad_lines += 1;
                    self.warnings.push(Warning::BadLine(base::ErrorChain(&error).to_string()));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Source {
    fn open(input: &Input, options: &Options, at: &Position) -> Result<Self, InputError> {
        if input.format == Format::Parquet {
            return Parquet::open(input, &options.column, at.offset).map(Box::new).map(Self::Parquet);
        }
        let stream = Stream::open(input, at.offset, at.prefix)?;
        Ok(match input.format {
            Format::Jsonl => Self::Jsonl(Box::new(Jsonl::new(input, stream, &options.field))),
            _ => {
                let separator = options.separator.as_deref();
                let text = Text::new(input, stream, separator, options.max_document, at.open.is_some());
                Self::Text(Box::new(text))
            }
        })
    }

    fn next(&mut self) -> Result<Option<Piece>, InputError> {
        match self {
            Self::Text(text) => text.next(),
            Self::Jsonl(jsonl) => jsonl.next(),
            Self::Parquet(parquet) => parquet.next(),
        }
    }
}

impl Lot {
    fn draw(seed: u64, text: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(LOT_CONTEXT);
        hasher.update(&seed.to_le_bytes()).update(text.as_bytes());
        let mut xof = hasher.finalize_xof();
        let mut number = || {
            let mut bytes = [0; 8];
            xof.fill(&mut bytes);
            u64::from_le_bytes(bytes)
        };
        Self { aside: number(), sample: number() }
    }

    /// Checks whether the document belongs to the sample that trains a tokenizer on this share of the text.
    pub(crate) fn is_sampled(self, share: f64) -> bool {
        share >= 1.0 || self.is_below(self.sample, share)
    }

    /// Checks whether a uniform 64-bit number is below `share` of its range. Compares 53 bits, which an
    /// f64 holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    fn is_below(self, number: u64, share: f64) -> bool {
        ((number >> 11) as f64) < share * (1u64 << 53) as f64
    }
}

impl InputError {
    /// Checks whether the error concerns a single line, so that reading can continue after it.
    fn is_bad_line(&self, format: Format) -> bool {
        let line = matches!(
            self,
            Self::Json { .. } | Self::NoField { .. } | Self::NotText { .. } | Self::NotUtf8 { .. }
        );
        format == Format::Jsonl && line
    }
}

/// Splits a piece into pieces of at most `most` bytes.
fn pieces(piece: Piece, most: usize) -> VecDeque<Piece> {
    if piece.text.len() <= most {
        return [piece].into();
    }
    let mut pieces = VecDeque::new();
    let mut rest = piece.text.as_str();
    while !rest.is_empty() {
        let end = if rest.len() > most { text::cut(&rest.as_bytes()[..most]) } else { rest.len() };
        let (head, tail) = rest.split_at(end);
        let first = piece.first && pieces.is_empty();
        let last = piece.last && tail.is_empty();
        pieces.push_back(Piece { place: piece.place.clone(), text: head.to_owned(), first, last });
        rest = tail;
    }
    pieces
}

fn note(position: &mut Position, stream: &Stream) {
    (position.offset, position.prefix) = (stream.offset(), Some(stream.prefix()));
}

fn share(length: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(length) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_the_document(text in "[a-zé\n ]{0,400}", most in 64usize..100) {
            let place = Place { name: "x".into(), line: 1 };
            let pieces = pieces(Piece { place, text: text.clone(), first: true, last: true }, most);
            let (firsts, lasts): (Vec<_>, Vec<_>) = pieces.iter().map(|p| (p.first, p.last)).unzip();
            prop_assert_eq!(firsts.iter().filter(|&&f| f).count(), 1);
            prop_assert!(firsts[0] && lasts[lasts.len() - 1] && lasts.iter().filter(|&&l| l).count() == 1);
            prop_assert!(pieces.iter().all(|piece| piece.text.len() <= most));
            prop_assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), text);
        }
    }

    #[test]
    fn lots_are_uniform_and_stay() {
        let aside = |share: f64| {
            let lots = (0..10_000).map(|n| Lot::draw(7, &format!("document {n}")));
            lots.filter(|lot| lot.is_below(lot.aside, share)).count()
        };
        assert_eq!(aside(0.0), 0);
        assert!((60..140).contains(&aside(0.01)), "{}", aside(0.01));
        assert!((4800..5200).contains(&aside(0.5)), "{}", aside(0.5));
        assert_eq!(Lot::draw(1, "a"), Lot::draw(1, "a"));
        assert_ne!(Lot::draw(1, "a"), Lot::draw(2, "a"));
    }
}
