//! Errors of a preparation. Each names the failure, its place and the remedy.

use crate::{Place, tokenizer::TokenizerError};
use base::Exit;
use protocol::dataset::ManifestError;
use std::{io, path::PathBuf};

/// The error of a preparation. Finished work is kept, and the same command resumes it.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The options are invalid.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An input cannot be read, or has invalid content.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The tokenizer cannot be loaded, trained or used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The shards cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The [`Watch`](crate::Watch) stopped the preparation.
    #[error("stopped: run the same command again to continue")]
    Stopped,
}

/// The error of invalid options.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptionsError {
    /// No input was given.
    #[error("no input: give files, folders, patterns, or - for standard input")]
    NoInput,
    /// The held-out share is out of range.
    #[error("the held-out share is {0}: it must be at least 0 and less than 1")]
    HeldOut(f64),
    /// A number is out of range.
    #[error("{what} is {found}: it must be between {least} and {most}")]
    Range {
        /// The option.
        what: &'static str,
        /// The value.
        found: u64,
        /// The minimum.
        least: u64,
        /// The maximum.
        most: u64,
    },
    /// The separator is empty.
    #[error("the separator is empty: leave it out to take each file as one document")]
    Separator,
    /// Training a tokenizer needs standard input twice.
    #[error(
        "standard input can be read only once, but training a tokenizer reads the text twice: \
         write it to a file first, or give a tokenizer"
    )]
    TrainOnStandardInput,
}

/// The error of an input.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder does not exist.
    #[error("{} does not exist: check the path", .0.display())]
    Missing(PathBuf),
    /// No file matches a pattern.
    #[error("no file matches {0}")]
    NoMatch(String),
    /// A pattern is invalid.
    #[error("{pattern} is not a valid pattern: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        reason: &'static str,
    },
    /// A folder contains no text.
    #[error(
        "{} contains no .txt, .md, .jsonl, .ndjson or .parquet file (.gz and .zst may follow): \
         give the format to read other files", .0.display()
    )]
    NothingIn(PathBuf),
    /// A file name does not tell the format.
    #[error("unknown format of {0}: give the format (text, jsonl, parquet)")]
    Format(String),
    /// Parquet needs a seekable file, since it is read from its end.
    #[error("cannot read {0} as Parquet: it must be an uncompressed file (Parquet compresses by itself)")]
    ParquetStream(String),
    /// The system cannot read a file.
    #[error("cannot read {name}{}", at_line(*.line))]
    Read {
        /// The file.
        name: String,
        /// The line, where lines are counted.
        line: Option<u64>,
        /// The error of the system.
        source: io::Error,
    },
    /// A text is not UTF-8.
    #[error(
        "{place}: byte {offset} of the input is not UTF-8: convert the file (`iconv -f ENCODING -t UTF-8`) or leave it out"
    )]
    NotUtf8 {
        /// The place of the byte.
        place: Place,
        /// The position of the byte in the (decompressed) input.
        offset: u64,
    },
    /// A line is not a JSON object.
    #[error("{place}: not a JSON object: {reason}: correct the line, or skip bad lines")]
    Json {
        /// The place of the line.
        place: Place,
        /// The error of the parser.
        reason: String,
    },
    /// An object does not have the text field.
    #[error(
        "{place}: the object has no field {field:?}: name the field that holds the text, or skip bad lines"
    )]
    NoField {
        /// The place of the object.
        place: Place,
        /// The field.
        field: String,
    },
    /// The text field is not a string.
    #[error("{place}: the field {field:?} is {found}, not a string: name another field, or skip bad lines")]
    NotText {
        /// The place of the object.
        place: Place,
        /// The field.
        field: String,
        /// The kind of value in the field.
        found: &'static str,
    },
    /// A line is too long for memory.
    #[error("{place}: the line is longer than {limit} bytes: is this JSON with one object per line?")]
    LongLine {
        /// The place of the line.
        place: Place,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A file is not Parquet, or it is damaged.
    #[error("cannot read the Parquet file {name}{}: {reason}", at_row(*.row))]
    Parquet {
        /// The file.
        name: String,
        /// The row, if reading of rows has begun.
        row: Option<u64>,
        /// The error of the reader.
        reason: String,
    },
    /// A Parquet file does not have the text column.
    #[error("{name} has no column {column:?}; it has {has}: name the column that holds the text")]
    NoColumn {
        /// The file.
        name: String,
        /// The column.
        column: String,
        /// The columns that the file has.
        has: String,
    },
    /// The text column does not hold strings.
    #[error("column {column:?} of {name} is {found}, not one string per row: name another column")]
    NotTextColumn {
        /// The file.
        name: String,
        /// The column.
        column: String,
        /// The type of the column.
        found: String,
    },
    /// All documents are empty.
    #[error("no text in {0}: every document is empty")]
    Empty(String),
    /// An input has changed since the preparation began.
    #[error(
        "{0} has changed since the preparation began: to continue would mix old and new text; \
         start over (--restart), or restore the old input"
    )]
    Changed(String),
}

/// The error of the output folder.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The disk is full.
    #[error("no space left for {}: free some space, then run the same command again to continue", .0.display())]
    NoSpace(PathBuf),
    /// The system cannot write a file or folder.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another preparation uses the folder.
    #[error("another preparation is writing to {}: wait for it, or choose another folder", .0.display())]
    Busy(PathBuf),
    /// The options differ from those of the begun preparation.
    #[error(
        "{} was begun with {option} = {was}, now it is {now}: give the same options to continue, \
         choose another folder, or start over (--restart)", .folder.display()
    )]
    OtherOptions {
        /// The folder.
        folder: PathBuf,
        /// The option that differs.
        option: String,
        /// The value of the begun preparation.
        was: String,
        /// The value now.
        now: String,
    },
    /// The folder holds files of other origin.
    #[error("{} is not empty and was not begun by this command: choose another folder", .0.display())]
    Foreign(PathBuf),
    /// A file of the journal, or the manifest, is damaged.
    #[error("{} is damaged ({reason}): start over (--restart)", .path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A shard has another length than the journal says.
    #[error("{} has {found} bytes instead of {expected}: it was changed or lost; start over (--restart)", .path.display())]
    Shard {
        /// The shard.
        path: PathBuf,
        /// The length, in bytes.
        found: u64,
        /// The expected length, in bytes.
        expected: u64,
    },
    /// A manifest is invalid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The text does not fill a block.
    #[error(
        "the text gives {found} training tokens, but a block of 64 sequences of {sequence} tokens has {block}: \
         give more text, or a smaller sequence length"
    )]
    TooLittle {
        /// The number of training tokens.
        found: u64,
        /// The number of tokens in a block.
        block: u64,
        /// The number of tokens in a sequence.
        sequence: u32,
    },
}

impl PrepareError {
    /// Returns the exit code of a program that ends with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Output(OutputError::Write { .. } | OutputError::NoSpace(_) | OutputError::Busy(_))
            | Self::Input(InputError::Read { .. })
            | Self::Stopped => Exit::Failed,
            _ => Exit::Usage,
        }
    }
}

impl OutputError {
    /// Converts an error of the system about `path`.
    pub(crate) fn new(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(path),
            _ => Self::Write { path, source },
        }
    }
}

fn at_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" at line {line}"))
}

fn at_row(row: Option<u64>) -> String {
    row.map_or_else(String::new, |row| format!(" at row {row}"))
}
