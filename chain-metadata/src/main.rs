//! `chain-metadata`: compares a live runtime with the pinned one, and makes the pinned file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base::Exit;
use chain_metadata::decode::{self, DecodeError};
use chain_metadata::fetch::{self, FetchError};
use chain_metadata::pin::{self, PinError};
use chain_metadata::report::Report;
use chain_metadata::strip::{self, StripError};
use chain_metadata::table;
use clap::{ArgGroup, Parser, Subcommand};
use cli::{Answer, EXIT_CODES, Job};

/// Check a live Subtensor runtime against the pinned metadata, or make the pinned metadata
#[derive(Parser)]
#[command(name = "chain-metadata", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare each call, storage item and runtime API that Muster uses with a live runtime
    #[command(group(ArgGroup::new("source").required(true)), after_help = EXIT_CODES)]
    Check {
        /// Ask this node, for example ws://127.0.0.1:9944
        #[arg(long, group = "source")]
        url: Option<String>,
        /// Read this metadata file instead of asking a node (SCALE, with its `meta` prefix; V14, V15 or V16)
        #[arg(long, value_name = "PATH", group = "source")]
        file: Option<PathBuf>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        /// Give up after this many seconds, from connecting to the last byte
        #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        timeout: u64,
    },
    /// Make the pinned metadata and its facts anew from a live node, and print the differences
    #[command(after_help = EXIT_CODES)]
    Refresh {
        /// Ask this node, for example ws://127.0.0.1:9944
        #[arg(long)]
        url: String,
        /// Write into this folder: that of this program's source, in a checkout
        #[arg(long, value_name = "PATH", default_value = "chain-metadata")]
        folder: PathBuf,
        /// Give up after this many seconds, from connecting to the last byte
        #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        timeout: u64,
    },
    /// Cut metadata V15 down to the items that Muster uses
    #[command(after_help = EXIT_CODES)]
    Strip {
        /// Read this metadata file (SCALE V15, with its `meta` prefix)
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Write this file
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot decode {}", path.display())]
    Decode { path: PathBuf, source: DecodeError },
    #[error("cannot strip {}", path.display())]
    Strip { path: PathBuf, source: StripError },
    #[error("cannot print the report as JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Fetch(error) | Self::Pin(PinError::Fetch(error)) => fetch_exit(error),
            Self::Read { .. } | Self::Pin(PinError::Folder(_)) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

fn fetch_exit(error: &FetchError) -> Exit {
    match error {
        FetchError::BadUrl { .. } => Exit::Usage,
        FetchError::Unreachable { .. } | FetchError::TimedOut { .. } | FetchError::Request { .. } => {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    }
}

fn main() -> ExitCode {
    cli::run_program(|arguments: Arguments, _| Ok(Job::command(run(arguments.command))))
}

async fn run(command: Command) -> Result<Answer, cli::Failure> {
    let result = match command {
        Command::Check { url: Some(url), json, timeout, .. } => check_url(&url, timeout, json).await,
        Command::Check { file, json, .. } => check_file(&file.unwrap_or_default(), json),
        Command::Refresh { url, folder, timeout } => refresh(&url, &folder, timeout).await,
        Command::Strip { from, to } => strip_file(&from, &to),
    };
    result.map_err(|failure| cli::Failure::new(failure.exit(), failure))
}

async fn check_url(url: &str, timeout: u64, json: bool) -> Result<Answer, Failure> {
    let fetched = fetch::fetch(url, Duration::from_secs(timeout)).await?;
    answer(&Report::new(&fetched.metadata), &format!("metadata V{} of {url}", fetched.version), json)
}

fn check_file(path: &Path, json: bool) -> Result<Answer, Failure> {
    let (metadata, version) = decode::decode_with_version(&read(path)?)
        .map_err(|source| Failure::Decode { path: path.into(), source })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    answer(&Report::new(&metadata), &format!("metadata V{version} of {name}"), json)
}

fn answer(report: &Report, source: &str, json: bool) -> Result<Answer, Failure> {
    let text = if json { serde_json::to_string_pretty(report)? } else { table::render(report, source) };
    let exit = if report.unusable().next().is_some() { Exit::Disagreement } else { Exit::Good };
    Ok(Answer::new(text, exit))
}

async fn refresh(url: &str, folder: &Path, timeout: u64) -> Result<Answer, Failure> {
    let renewed = pin::refresh(url, Duration::from_secs(timeout), folder).await?;
    Ok(renewed.to_text().into())
}

fn strip_file(from: &Path, to: &Path) -> Result<Answer, Failure> {
    let full = read(from)?;
    let stripped = strip::strip(&full).map_err(|source| Failure::Strip { path: from.into(), source })?;
    std::fs::write(to, &stripped).map_err(|source| Failure::Write { path: to.into(), source })?;
    Ok(format!("{}: {} of {} bytes", to.display(), stripped.len(), full.len()).into())
}

/// Reads a file, up to one byte more than the maximum size of metadata.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let limit = decode::MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    result.map_err(|source| Failure::Read { path: path.into(), source })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_what_the_code_says() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
        cli::check_reference(&<Arguments as clap::CommandFactory>::command(), &page).unwrap();
    }
}
