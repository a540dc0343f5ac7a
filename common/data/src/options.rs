//! What a preparation is asked to do.

use crate::{OptionsError, tokenizer::TokenizerChoice};
use base::digest::TokenizerHash;
use protocol::dataset::{BLOCK, MOST_BLOCKS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The name of standard input among the inputs.
pub const STANDARD_INPUT: &str = "-";

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Plain text: a file is one document, or several with a separator.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// Parquet: one document a row.
    Parquet,
}

/// What to read, how to tokenize it, and where to put it. All but the fields of [`Pace`], `skip_bad_lines` and
/// `restart` decide about the bytes that come out.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files, folders (read recursively, in the order of their names), patterns, or [`STANDARD_INPUT`].
    pub inputs: Vec<PathBuf>,
    /// The folder for shards, tokenizer and manifest.
    pub out: PathBuf,
    /// What the inputs hold; by default their names tell.
    pub format: Option<Format>,
    /// What stands between documents of a text file; by default a file is one document.
    pub separator: Option<String>,
    /// The field of JSON objects that holds the text.
    pub field: String,
    /// The column of Parquet files that holds the text.
    pub column: String,
    /// Where the tokenizer comes from.
    pub tokenizer: TokenizerChoice,
    /// The token that ends each document; by default the first of [`crate::END_OF_TEXT`] that the tokenizer has.
    pub end_of_text: Option<String>,
    /// The share of documents kept aside, from 0 to below 1.
    pub held_out: f64,
    /// Chooses which documents are kept aside, which ones a tokenizer is trained on, and the order of the sequences.
    pub seed: u64,
    /// Tokens of a sequence: shards hold whole blocks of 64 sequences.
    pub sequence: u32,
    /// The most tokens of a shard, rounded down to whole blocks.
    pub shard_tokens: u64,
    /// Bytes of a document that are tokenized at once; longer ones are cut at a line's end. Bounds memory, as the batch
    /// of [`Pace`] does: the tokenizer holds some 100 bytes for each byte of text that it works on.
    pub max_document: usize,
    /// Leave out lines of JSONL that are no object with the text, instead of ending.
    pub skip_bad_lines: bool,
    /// Remove what an earlier preparation left in the folder.
    pub restart: bool,
    /// How often progress is saved.
    pub pace: Pace,
}

/// How much is done between two looks at the world. Does not change the result.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes of text that are tokenized together, in parallel; bytes of sequences that are shuffled together.
    pub batch: usize,
    /// Bytes of text, or of shuffled sequences, between two saved positions.
    pub save: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { batch: 2 << 20, save: 16 << 20 }
    }
}

impl Options {
    /// Usual options for these inputs: 1 % held out, sequences of 2048 tokens, shards of 2^26 tokens.
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

    /// Refuses what cannot work, before anything is read.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let range = |what, found, least, most| match (least..=most).contains(&found) {
            true => Ok(()),
            false => Err(OptionsError::Range { what, found, least, most }),
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
        range("the longest part of a document", self.max_document as u64, 64, 16 << 20)?;
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

    /// Tokens of a block, the unit of shards and hashes.
    pub(crate) fn block_tokens(&self) -> u64 {
        u64::from(self.sequence) * BLOCK
    }

    /// Tokens of a full shard: whole blocks.
    pub(crate) fn full_shard(&self) -> u64 {
        self.shard_tokens - self.shard_tokens % self.block_tokens()
    }

    /// The options that decide about the result, by name. `tokenizer` is the hash of the file, if there is one.
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
