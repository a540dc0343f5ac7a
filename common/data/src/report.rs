//! What a preparation tells while it works, and at its end.

use crate::{Counts, Place};
use base::digest::{DatasetHash, TokenizerHash};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::ControlFlow, path::PathBuf};

/// Who watches a preparation.
pub trait Watch: Send {
    /// Hears how far it is, after each batch and block. `Break` ends it; the same options go on from there later.
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()>;

    /// Hears of what a person should know, but need not end the work.
    fn warning(&mut self, warning: &Warning);
}

/// Watches without a word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Watch for Quiet {
    fn progress(&mut self, _: &Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn warning(&mut self, _: &Warning) {}
}

/// How far a preparation is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Bytes of the inputs that are done in this phase, as they lie on the disk (of the shards, while shuffling and hashing).
    pub done: u64,
    /// All of them; unknown while standard input is read.
    pub total: Option<u64>,
    /// What was read.
    pub counts: Counts,
    /// Tokens in the shards.
    pub tokens: u64,
}

/// What a preparation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading text to train the tokenizer on.
    Training,
    /// Tokenizing.
    Tokenizing,
    /// Writing the sequences into the shards, in the order that is drawn for them.
    Shuffling,
    /// Hashing the shards' blocks.
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

/// What a person should know.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// Files in folders that were left out.
    PassedOver {
        /// How many.
        files: u64,
        /// One of them.
        example: PathBuf,
    },
    /// A document that is tokenized in parts.
    Cut {
        /// Where it begins.
        place: Place,
        /// Bytes of a part.
        most: usize,
    },
    /// A line that was left out, and why.
    BadLine(String),
    /// A trained tokenizer with fewer entries than were asked for.
    SmallVocabulary {
        /// The entries asked for.
        asked: u32,
        /// The entries it has.
        got: u32,
    },
    /// No sequence was kept aside, though some should have been.
    NothingHeldOut {
        /// Documents there were.
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
                    "{files} files of other kinds are left out, {example} among them: name the format to read them"
                )
            }
            Self::Cut { place, most } => {
                write!(f, "{place}: a document longer than {most} bytes is tokenized in parts")
            }
            Self::BadLine(error) => write!(f, "left out: {error}"),
            Self::SmallVocabulary { asked, got } => {
                write!(
                    f,
                    "the text is too small for a vocabulary of {asked}: the tokenizer has {got} entries"
                )
            }
            Self::NothingHeldOut { documents } => write!(
                f,
                "no whole sequence of the {documents} documents is kept aside: raise the held-out share, change the \
                 seed, or name a separator so that there are more documents"
            ),
        }
    }
}

/// What a preparation made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Names the dataset: what a run spec holds.
    pub dataset: DatasetHash,
    /// Names the tokenizer.
    pub tokenizer: TokenizerHash,
    /// Tokens are less than this.
    pub vocab: u32,
    /// The token that ends each document.
    pub end_of_text: u32,
    /// Shards, of both kinds.
    pub shards: u64,
    /// Blocks of 64 sequences that can be assigned.
    pub blocks: u64,
    /// Tokens to train on.
    pub training: u64,
    /// Tokens kept aside.
    pub held_out: u64,
    /// Tokens after the last whole block or sequence, which are in no shard.
    pub dropped: u64,
    /// What was read.
    pub counts: Counts,
    /// It was made by an earlier preparation with the same options and inputs.
    pub found_done: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { documents, held_out, empty, cut, bad_lines, bytes } = self.counts;
        writeln!(
            f,
            "dataset    {}{}",
            self.dataset,
            if self.found_done { " (was there already)" } else { "" }
        )?;
        writeln!(
            f,
            "tokenizer  {} (vocabulary {}, {} ends a document)",
            self.tokenizer, self.vocab, self.end_of_text
        )?;
        writeln!(
            f,
            "documents  {documents} ({held_out} held out; {empty} empty, {bad_lines} bad lines left out; {cut} cut)"
        )?;
        writeln!(f, "text       {bytes} bytes")?;
        writeln!(
            f,
            "tokens     {} to train on, {} held out, {} dropped at the ends",
            self.training, self.held_out, self.dropped
        )?;
        write!(f, "shards     {} with {} blocks to assign", self.shards, self.blocks)
    }
}
