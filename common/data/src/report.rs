//! Progress, warnings and the final report of a preparation.

use crate::{Counts, Place};
use base::digest::{DatasetHash, TokenizerHash};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::ControlFlow, path::PathBuf};

/// An observer of a preparation.
pub trait Watch: Send {
    /// Receives the progress after each batch and block. `Break` stops the preparation; the same
    /// options resume it.
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()>;

    /// Receives a warning that does not stop the work.
    fn warning(&mut self, warning: &Warning);
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Watch for Quiet {
    fn progress(&mut self, _: &Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn warning(&mut self, _: &Warning) {}
}

/// The progress of a preparation.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The current phase.
    pub phase: Phase,
    /// The bytes that are done in this phase: of the inputs before decompression, or of the shards
    /// while shuffling and hashing.
    pub done: u64,
    /// The total of those bytes; unknown while standard input is read.
    pub total: Option<u64>,
    /// The counts of documents, lines and bytes that were read.
    pub counts: Counts,
    /// The number of tokens so far.
    pub tokens: u64,
}

/// A phase of a preparation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The reading of text that trains the tokenizer.
    Training,
    /// The tokenization of the text.
    Tokenizing,
    /// The copy of the sequences into the shards, in the drawn order.
    Shuffling,
    /// The hashing of the shards' blocks.
    Hashing,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Training => "training the tokenizer",
            Self::Tokenizing => "tokenizing",
            Self::Shuffling => "shuffling",
            Self::Hashing => "hashing",
        })
    }
}

/// A warning for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// Files in folders were skipped.
    PassedOver {
        /// The number of skipped files.
        files: u64,
        /// One of the files.
        example: PathBuf,
    },
    /// A document is tokenized in parts.
    Cut {
        /// The start of the document.
        place: Place,
        /// The maximum bytes of a part.
        most: usize,
    },
    /// A line was skipped, for this reason.
    BadLine(String),
    /// The trained tokenizer has fewer entries than requested.
    SmallVocabulary {
        /// The number of requested entries.
        asked: u32,
        /// The number of entries of the tokenizer.
        got: u32,
    },
    /// No sequence was held out, although the held-out share is above 0.
    NothingHeldOut {
        /// The number of documents.
        documents: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PassedOver { files, example } => {
                let example = example.display();
                write!(
                    f,
                    "skipped {files} files of unknown format, such as {example}: give the format to read them"
                )
            }
            Self::Cut { place, most } => {
                write!(f, "{place}: the document is longer than {most} bytes: it is tokenized in parts")
            }
            Self::BadLine(error) => write!(f, "skipped: {error}"),
            Self::SmallVocabulary { asked, got } => {
                write!(
                    f,
                    "the text is too small for a vocabulary of {asked}: the tokenizer has {got} entries"
                )
            }
            Self::NothingHeldOut { documents } => write!(
                f,
                "no whole sequence of the {documents} documents is held out: raise the held-out share, change the \
                 seed, or give a separator so that there are more documents"
            ),
        }
    }
}

/// The result of a preparation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The hash of the dataset, for the run spec.
    pub dataset: DatasetHash,
    /// The hash of the tokenizer.
    pub tokenizer: TokenizerHash,
    /// The size of the vocabulary: all tokens are below it.
    pub vocab: u32,
    /// The token that ends each document.
    pub end_of_text: u32,
    /// The number of shards of both roles.
    pub shards: u64,
    /// The number of training blocks, of 64 sequences each.
    pub blocks: u64,
    /// The number of training tokens.
    pub training: u64,
    /// The number of held-out tokens.
    pub held_out: u64,
    /// The number of tokens after the last whole block or sequence. They are in no shard.
    pub dropped: u64,
    /// The counts of documents, lines and bytes that were read.
    pub counts: Counts,
    /// Whether an earlier preparation with the same options and inputs had finished already.
    pub found_done: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { documents, held_out, empty, cut, bad_lines, bytes } = self.counts;
        writeln!(
            f,
            "dataset    {}{}",
            self.dataset,
            if self.found_done { " (already complete)" } else { "" }
        )?;
        writeln!(
            f,
            "tokenizer  {} (vocabulary {}, end of text {})",
            self.tokenizer, self.vocab, self.end_of_text
        )?;
        writeln!(
            f,
            "documents  {documents} ({held_out} held out; {empty} empty and {bad_lines} bad lines skipped; {cut} cut)"
        )?;
        writeln!(f, "text       {bytes} bytes")?;
        writeln!(
            f,
            "tokens     {} for training, {} held out, {} dropped at the ends",
            self.training, self.held_out, self.dropped
        )?;
        write!(f, "shards     {} with {} training blocks", self.shards, self.blocks)
    }
}
