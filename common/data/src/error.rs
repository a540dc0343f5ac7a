//! Why text did not become shards: what failed, where, and what to do.

use crate::{Place, tokenizer::TokenizerError};
use base::Exit;
use protocol::dataset::ManifestError;
use std::{io, path::PathBuf};

/// Why a preparation ended early. What was written until then stays; the same command goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The options contradict each other.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An input cannot be read, or does not hold what it should.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The tokenizer cannot be loaded, trained or used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The shards cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Who watches asked for it.
    #[error("stopped: the same command goes on from here")]
    Stopped,
}

/// Options that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptionsError {
    /// Nothing to read.
    #[error("there is no input: name files, folders, patterns, or - for standard input")]
    NoInput,
    /// Not a share.
    #[error("the held-out part is {0}: it is a share of the documents, from 0 to below 1")]
    HeldOut(f64),
    /// A number outside its range.
    #[error("{what} is {found}: it lies between {least} and {most}")]
    Range {
        /// The option.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The smallest that works.
        least: u64,
        /// The largest that works.
        most: u64,
    },
    /// Documents cannot be separated by nothing.
    #[error("the separator is empty: leave it out to take each file as one document")]
    Separator,
    /// Training reads the text before it is tokenized.
    #[error(
        "standard input can be read only once, and training a tokenizer reads the text twice: \
         write it to a file first, or give a tokenizer"
    )]
    TrainOnStandardInput,
}

/// What is wrong with an input.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// No such file or folder.
    #[error("there is no {}: check the path", .0.display())]
    Missing(PathBuf),
    /// A pattern that names nothing.
    #[error("no file matches {0}")]
    NoMatch(String),
    /// A pattern that is none.
    #[error("{pattern} is no pattern: {reason}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A folder without text.
    #[error(
        "{} holds no .txt, .md, .jsonl, .ndjson or .parquet file (.gz and .zst may follow): \
         name the format to read other files", .0.display()
    )]
    NothingIn(PathBuf),
    /// A name that tells no format.
    #[error("{0} does not tell by its name what it holds: name the format (text, jsonl, parquet)")]
    Format(String),
    /// Parquet is read from its end.
    #[error("{0} cannot be read as Parquet: it must be an uncompressed file (Parquet compresses by itself)")]
    ParquetStream(String),
    /// The system refuses.
    #[error("{name} cannot be read{}: {source}", at_line(*.line))]
    Read {
        /// The file.
        name: String,
        /// The line, where lines are counted.
        line: Option<u64>,
        /// What the system says.
        source: io::Error,
    },
    /// Bytes that are no text.
    #[error(
        "{place}: byte {offset} of the input is not UTF-8: convert the file (`iconv -f ENCODING -t UTF-8`) or leave it out"
    )]
    NotUtf8 {
        /// Where.
        place: Place,
        /// Position of the byte in the (decompressed) input.
        offset: u64,
    },
    /// A line that is no JSON object.
    #[error("{place}: not a JSON object: {reason}: correct the line, or skip bad lines")]
    Json {
        /// Where.
        place: Place,
        /// What the parser says.
        reason: String,
    },
    /// An object without the text.
    #[error(
        "{place}: the object has no field {field:?}: name the field that holds the text, or skip bad lines"
    )]
    NoField {
        /// Where.
        place: Place,
        /// The field.
        field: String,
    },
    /// A field that holds no text.
    #[error("{place}: the field {field:?} is {found}, not a text: name another field, or skip bad lines")]
    NotText {
        /// Where.
        place: Place,
        /// The field.
        field: String,
        /// What it is.
        found: &'static str,
    },
    /// A line that would not fit into memory.
    #[error("{place}: the line is longer than {limit} bytes: is this JSON with one object a line?")]
    LongLine {
        /// Where.
        place: Place,
        /// The limit.
        limit: usize,
    },
    /// Not Parquet, or damaged.
    #[error("{name} is not a Parquet file that can be read{}: {reason}", at_row(*.row))]
    Parquet {
        /// The file.
        name: String,
        /// The row, once rows are read.
        row: Option<u64>,
        /// What the reader says.
        reason: String,
    },
    /// A file without the column.
    #[error("{name} has no column {column:?}; it has {has}: name the column that holds the text")]
    NoColumn {
        /// The file.
        name: String,
        /// The column.
        column: String,
        /// The columns there are.
        has: String,
    },
    /// A column of something else.
    #[error("column {column:?} of {name} is {found}, not one text a row: name another column")]
    NotTextColumn {
        /// The file.
        name: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// Nothing to tokenize.
    #[error("there is no text in {0}: every document is empty")]
    Empty(String),
    /// An input that is not what it was.
    #[error(
        "{0} has changed since the preparation began: going on would mix old and new text; \
         start over (--restart), or bring the old input back"
    )]
    Changed(String),
}

/// Why the output folder does not take the shards.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The disk is full.
    #[error("no space is left for {}: make room, then run the same command again; it goes on where it was", .0.display())]
    NoSpace(PathBuf),
    /// The system refuses.
    #[error("{} cannot be written: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Two at once.
    #[error("another preparation is writing to {}: wait for it, or choose another folder", .0.display())]
    Busy(PathBuf),
    /// Other options than those it began with.
    #[error(
        "{} was begun with {option} = {was}, now it is {now}: give the same options to go on, \
         choose another folder, or start over (--restart)", .folder.display()
    )]
    OtherOptions {
        /// The folder.
        folder: PathBuf,
        /// The option that differs.
        option: String,
        /// Its value then.
        was: String,
        /// Its value now.
        now: String,
    },
    /// Files of somebody else.
    #[error("{} is not empty and was not begun by this command: choose another folder", .0.display())]
    Foreign(PathBuf),
    /// The notes about the work are damaged.
    #[error("{} cannot be understood ({reason}): start over (--restart)", .path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Shards that are not as they were left.
    #[error("{} has {found} bytes, {expected} were written: it was changed or lost; start over (--restart)", .path.display())]
    Shard {
        /// The shard.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The length that was noted.
        expected: u64,
    },
    /// A dataset that its manifest cannot describe.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Less than a block.
    #[error(
        "the text gives {found} tokens to train on, a block of 64 sequences of {sequence} has {block}: \
         give more text, or a smaller sequence length"
    )]
    TooLittle {
        /// Tokens there are.
        found: u64,
        /// Tokens of a block.
        block: u64,
        /// Tokens of a sequence.
        sequence: u32,
    },
}

impl PrepareError {
    /// How a program ends that met this.
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
    /// What the system's refusal to write `path` means.
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
