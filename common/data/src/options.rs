//! The options of a preparation.

use crate::{OptionsError, tokenizer::TokenizerChoice};
use base::digest::TokenizerHash;
use protocol::dataset::{BLOCK, MOST_BLOCKS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The name of standard input among the inputs.
pub const STANDARD_INPUT: &str = "-";

/// The format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Plain text: a file is one document, or several documents with a separator between them.
    Text,
    /// JSONL: one JSON object per line.
    Jsonl,
    /// Parquet: one document per row.
    Parquet,
}

/// The options of a preparation. All of them affect the resulting bytes, except `pace`,
/// `skip_bad_lines` and `restart`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files, folders (read recursively, in the order of their names), patterns, or [`STANDARD_INPUT`].
    pub inputs: Vec<PathBuf>,
    /// The folder for shards, tokenizer and manifest.
    pub out: PathBuf,
    /// The format of the inputs; by default, the file names tell it.
    pub format: Option<Format>,
    /// The separator between documents of a text file; by default, a file is one document.
    pub separator: Option<String>,
    /// The field of JSON objects that holds the text.
    pub field: String,
    /// The column of Parquet files that holds the text.
    pub column: String,
    /// The source of the tokenizer.
    pub tokenizer: TokenizerChoice,
    /// The token that ends each document; by default, the first of [`crate::END_OF_TEXT`] that the
    /// tokenizer has.
    pub end_of_text: Option<String>,
    /// The share of documents that is held out: at least 0, less than 1.
    pub held_out: f64,
    /// The seed that draws the held-out documents, the documents that train a tokenizer, and the order
    /// of sequences.
    pub seed: u64,
    /// The length of a sequence, in tokens. Shards hold whole blocks of 64 sequences.
    pub sequence: u32,
    /// The maximum size of a shard in tokens, rounded down to whole blocks.
    pub shard_tokens: u64,
    /// The maximum bytes of a document that are tokenized at once. Longer documents are cut at the end
    /// of a line. This bounds memory, as the batch of [`Pace`] does: the tokenizer needs about 100
    /// bytes for each byte of text.
    pub max_document: usize,
    /// Whether to skip JSONL lines that are not an object with the text, instead of failing.
    pub skip_bad_lines: bool,
    /// Whether to remove the work of an earlier preparation in the folder first.
    pub restart: bool,
    /// The sizes of batches, and the interval of saves.
    pub pace: Pace,
}

/// The sizes of batches, and the interval of saves. They do not change the result.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The bytes of text that are tokenized together in parallel, and the bytes of sequences that are
    /// shuffled together.
    pub batch: usize,
    /// The bytes of text, or of shuffled sequences, between two saves.
    pub save: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { batch: 2 << 20, save: 16 << 20 }
    }
}

impl Options {
    /// Creates the default options: 1 % held out, sequences of 2048 tokens, shards of 2^26 tokens.
    #[must_use]
    pub fn new(inputs: Vec<PathBuf>, out: PathBuf, tokenizer: TokenizerChoice) -> Self {
        Self {
            inputs,
            out,
            format: None,
            separator: None,
            field: "text".into(),
            column: "text".into(),
            tokenizer,
            end_of_text: None,
            held_out: 0.01,
            seed: 0,
            sequence: 2048,
            shard_tokens: 1 << 26,
            max_document: 256 << 10,
            skip_bad_lines: false,
            restart: false,
            pace: Pace::default(),
        }
    }

    /// Checks the options before anything is read.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let range = |what, found, least, most| {
            if (least..=most).contains(&found) {
                Ok(())
            } else {
                Err(OptionsError::Range { what, found, least, most })
            }
        };
        if self.inputs.is_empty() {
            return Err(OptionsError::NoInput);
        }
        if !(0.0..1.0).contains(&self.held_out) {
            return Err(OptionsError::HeldOut(self.held_out));
        }
        if self.separator.as_ref().is_some_and(String::is_empty) {
            return Err(OptionsError::Separator);
        }
        range("the maximum size of a document part", self.max_document as u64, 64, 16 << 20)?;
        range("the sequence length", self.sequence.into(), 2, 1 << 20)?;
        let most = (MOST_BLOCKS * self.block_tokens()).min(1 << 32);
        range("the size of a shard in tokens", self.shard_tokens, self.block_tokens(), most)?;
        if let TokenizerChoice::Train { vocab, .. } = self.tokenizer {
            range("the vocabulary", vocab.into(), 257, 1 << 20)?;
            if self.inputs.iter().any(|input| input.as_os_str() == STANDARD_INPUT) {
                return Err(OptionsError::TrainOnStandardInput);
            }
        }
        Ok(())
    }

    /// Returns the number of tokens in a block, the unit of shards and hashes.
    pub(crate) fn block_tokens(&self) -> u64 {
        u64::from(self.sequence) * BLOCK
    }

    /// Returns the number of tokens in a full shard: whole blocks.
    pub(crate) fn full_shard(&self) -> u64 {
        self.shard_tokens - self.shard_tokens % self.block_tokens()
    }

    /// Returns the options that affect the result, by name. `tokenizer` is the hash of the given file,
    /// if any.
    pub(crate) fn identity(&self, tokenizer: Option<TokenizerHash>) -> Map<String, Value> {
        let tokenizer = match (&self.tokenizer, tokenizer) {
            (TokenizerChoice::Train { vocab, sample }, _) => {
                json!(format!("trained: {vocab} tokens from {sample} bytes"))
            }
            (_, hash) => json!(hash),
        };
        let pairs = [
            ("format", json!(self.format)),
            ("separator", json!(self.separator)),
            ("field", json!(self.field)),
            ("column", json!(self.column)),
            ("tokenizer", tokenizer),
            ("end of text", json!(self.end_of_text)),
            ("held out", json!(self.held_out)),
            ("seed", json!(self.seed)),
            ("sequence", json!(self.sequence)),
            ("shard tokens", json!(self.shard_tokens)),
            ("longest part", json!(self.max_document)),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
