//! `miner data`: turns text into shards.

use cli::{Failure, Job};
use data::{Format, Meter, Options, TokenizerChoice};
use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
};

/// Commands about data.
#[derive(clap::Subcommand)]
pub(crate) enum Data {
    /// Turn text, JSONL and Parquet into token shards with a manifest.
    Prepare(Prepare),
}

/// Reads text and writes token shards, their block tables, the tokenizer and the manifest into a folder. The
/// same input and options give the same bytes. Run the same command again to continue an interrupted run.
#[derive(clap::Args)]
pub(crate) struct Prepare {
    /// Files, folders (read recursively, in the order of names), quoted patterns, or - for standard input.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Write to this folder. It must be new, or of an interrupted run.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Use this tokenizer: a tokenizer.json of Hugging Face's tokenizers.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "train_tokenizer",
        conflicts_with = "train_tokenizer"
    )]
    tokenizer: Option<PathBuf>,
    /// Train a byte-level BPE tokenizer with this number of entries on the text.
    #[arg(long, value_name = "VOCAB")]
    train_tokenizer: Option<u32>,
    /// Train the tokenizer on at most this number of bytes of text.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    tokenizer_sample: u64,
    /// Set the format of the inputs [default: by their names].
    #[arg(long, value_parser = format_parser())]
    format: Option<String>,
    /// Split text files into documents at this text, with \n, \t and \\ as escapes [default: one document
    /// a file].
    #[arg(long, value_name = "TEXT")]
    separator: Option<String>,
    /// Read the text from this field of JSONL objects.
    #[arg(long, value_name = "NAME", default_value = "text")]
    field: String,
    /// Read the text from this column of Parquet files.
    #[arg(long, value_name = "NAME", default_value = "text")]
    column: String,
    /// End each document with this token [default: `<|endoftext|>`, `</s>` or a similar one of the
    /// tokenizer].
    #[arg(long, value_name = "TOKEN")]
    end_of_text: Option<String>,
    /// Hold out this share of documents, to measure the run.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    held_out: f64,
    /// Select the held-out documents with this seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Set the number of tokens in a sequence, as in the run.
    #[arg(long, value_name = "TOKENS", default_value_t = 2048)]
    sequence: u32,
    /// Write at most this number of tokens to a shard.
    #[arg(long, value_name = "TOKENS", default_value_t = 1 << 26)]
    shard_tokens: u64,
    /// Tokenize longer documents in parts of this number of bytes, cut at the ends of lines.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 10)]
    max_document: usize,
    /// Skip lines of JSONL that are not an object with the text, instead of failing.
    #[arg(long)]
    skip_bad_lines: bool,
    /// Delete the files of an earlier run in the folder, and start again.
    #[arg(long)]
    restart: bool,
}

impl Data {
    /// Returns the command's job.
    pub(crate) fn job(self) -> Job {
        let Self::Prepare(prepare) = self;
        Job::command(async {
            let mut meter = Meter::new(stderr(), stderr().is_terminal());
            let result = data::prepare(&prepare.options(), &mut meter);
            meter.finish();
            let report = result.map_err(|error| Failure::new(error.exit(), error))?;
            Ok(report.to_string().into())
        })
    }
}

impl Prepare {
    fn options(self) -> Options {
        let tokenizer = match (self.tokenizer, self.train_tokenizer) {
            (Some(path), _) => TokenizerChoice::File(path),
            (None, vocab) => {
                TokenizerChoice::Train { vocab: vocab.unwrap_or_default(), sample: self.tokenizer_sample }
            }
        };
        Options {
            format: self.format.as_deref().and_then(format),
            separator: self.separator.as_deref().map(unescape),
            field: self.field,
            column: self.column,
            end_of_text: self.end_of_text,
            held_out: self.held_out,
            seed: self.seed,
            sequence: self.sequence,
            shard_tokens: self.shard_tokens,
            max_document: self.max_document,
            skip_bad_lines: self.skip_bad_lines,
            restart: self.restart,
            ..Options::new(self.inputs, self.out, tokenizer)
        }
    }
}

fn format_parser() -> clap::builder::PossibleValuesParser {
    ["text", "jsonl", "parquet"].into()
}

fn format(name: &str) -> Option<Format> {
    match name {
        "text" => Some(Format::Text),
        "jsonl" => Some(Format::Jsonl),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

/// Replaces the escapes of line breaks, tabs and backslashes.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let next = (character == '\\').then(|| characters.clone().next()).flatten();
        let meant = match next {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('\\') => '\\',
            _ => {
                plain.push(character);
                continue;
            }
        };
        characters.next();
        plain.push(meant);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_typed_with_escapes() {
        let pairs =
            [(r"\n\n", "\n\n"), (r"a\tb", "a\tb"), (r"\\n", r"\n"), (r"\x", r"\x"), ("\\", "\\"), ("é", "é")];
        pairs.into_iter().for_each(|(typed, meant)| assert_eq!(unescape(typed), meant));
    }
}
