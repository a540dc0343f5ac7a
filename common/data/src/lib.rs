//! Prepares datasets: tokenizes text, JSONL and Parquet into shards, block tables and a manifest.
//!
//! [`prepare`] does all of the work. Its memory does not grow with the input. It resumes where a killed
//! run ended. Until the sequences are shuffled, the disk holds all tokens twice. [`protocol::dataset`]
//! defines datasets; this crate reads and writes their files. It does not assign data, does not train,
//! and uses no network.
//!
//! ```
//! use data::{Options, Quiet, TokenizerChoice, prepare};
//! # let folder = tempfile::tempdir()?;
//! # let (texts, out) = (folder.path().join("texts"), folder.path().join("out"));
//! # std::fs::create_dir(&texts)?;
//! # std::fs::write(texts.join("a.txt"), "a text of some words\n".repeat(2000))?;
//! let tokenizer = TokenizerChoice::Train { vocab: 300, sample: 1 << 20 };
//! let options = Options { sequence: 16, held_out: 0.0, ..Options::new(vec![texts], out, tokenizer) };
//! let report = prepare(&options, &mut Quiet)?;
//! assert_eq!(report.counts.documents, 1);
//! assert!(prepare(&options, &mut Quiet)?.found_done);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Next: [`Options`], then the module `prepare` for the steps, `corpus` for documents, `shards` for
//! files, `shuffle` for the order of sequences.

pub mod cached;
mod corpus;
mod error;
mod files;
mod inputs;
mod journal;
mod jsonl;
mod meter;
mod options;
mod parquet;
mod prepare;
mod report;
mod sample;
mod shards;
mod shuffle;
mod stream;
mod text;
mod tokenizer;

pub use corpus::Counts;
pub use error::{InputError, OptionsError, OutputError, PrepareError};
pub use files::{MANIFEST, TOKENIZER, blocks_name, shard_files, shard_name};
pub use meter::Meter;
pub use options::{Format, Options, Pace, STANDARD_INPUT};
pub use prepare::prepare;
pub use report::{Phase, Progress, Quiet, Report, Warning, Watch};
pub use tokenizer::{END_OF_TEXT, TextTokenizer, TokenizerChoice, TokenizerError};

use std::fmt;

/// A place in the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or standard input.
    pub name: String,
    /// The line, or the row of a Parquet file. Both are counted from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.name, self.line)
    }
}

/// A document or a part of it.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) place: Place,
    pub(crate) text: String,
    /// Whether the document begins with this piece.
    pub(crate) first: bool,
    /// Whether the document ends with this piece.
    pub(crate) last: bool,
}
