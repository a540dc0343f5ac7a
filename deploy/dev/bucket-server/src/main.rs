//! The program `bucket-server`: a small S3 server for development networks.

use base::Exit;
use bucket_server::{BucketConfig, Config, Plan, Server, StartError};
use clap::Parser;
use serde::{Deserialize, de::DeserializeOwned};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};
use telemetry::{Endpoint, Format, Health, Logs, Registry, Shutdown};

/// The time limit for running requests after the first signal.
const DEADLINE: Duration = Duration::from_secs(15);

/// A small S3 server for development networks and tests.
///
/// Exit codes: 0 normal end; 1 failure; 2 wrong flags or files.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Store all buckets in this folder (created if necessary).
    #[arg(long, env = "BUCKET_SERVER_DATA")]
    data: PathBuf,

    /// Read the buckets from this TOML file: `[[bucket]]` with `name`, and `read` and `write`, each
    /// with `id` and `secret`.
    #[arg(long, env = "BUCKET_SERVER_BUCKETS")]
    buckets: PathBuf,

    /// Listen on this address and port. There is no TLS: use loopback, or a TLS proxy in front.
    #[arg(long, default_value = "127.0.0.1:9000", env = "BUCKET_SERVER_LISTEN")]
    listen: SocketAddr,

    /// Inject the faults in this TOML file: `seed`, and `[[rule]]` with `fault` and optionally
    /// `method`, `path`, `skip`, `times`, `share`.
    #[arg(long, env = "BUCKET_SERVER_FAULTS")]
    faults: Option<PathBuf>,

    /// Serve metrics and health on this address and port; by default they are not served.
    #[arg(long, env = "BUCKET_SERVER_METRICS")]
    metrics: Option<SocketAddr>,

    /// Filter the log: a level, or `target=level` pairs separated by commas.
    #[arg(long)]
    log: Option<String>,

    /// Format the log lines: `human` or `json`.
    #[arg(long, default_value_t = Format::Human)]
    log_format: Format,
}

/// The content of the `--buckets` file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Buckets {
    bucket: Vec<BucketConfig>,
}

/// An error with its exit code.
struct Failure(Exit, anyhow::Error);

fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure(Exit::Usage, error.into())
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure(Exit::Failed, error.into())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Flags::parse()).await {
        Ok(()) => Exit::Good.into(),
        Err(Failure(exit, error)) => {
            eprintln!("bucket-server: {error:#}");
            exit.into()
        }
    }
}

async fn run(flags: Flags) -> Result<(), Failure> {
    Logs { format: flags.log_format, filter: flags.log.clone() }.start().map_err(usage)?;
    let config = configure(&flags)?;
    let shutdown = Shutdown::default();
    shutdown.on_signals().map_err(failed)?;

    let server = Server::start(config).await.map_err(|error| match error {
        StartError::Keys(_) => usage(error),
        StartError::Folder { .. } | StartError::Listen { .. } => failed(error),
    })?;
    let _endpoint = observe(&flags, &server).await?;
    // Scripts that use port 0 read the address from the first line on stdout.
    println!("http://{}", server.address());

    shutdown.requested().await;
    let ended = tokio::time::timeout(DEADLINE, server.stop()).await;
    ended.map_err(|_| failed(anyhow::anyhow!("requests did not finish within {} s", DEADLINE.as_secs())))
}

fn configure(flags: &Flags) -> Result<Config, Failure> {
    let Buckets { bucket: buckets } = read(&flags.buckets)?;
    for bucket in &buckets {
        telemetry::hide(&bucket.read.secret);
        telemetry::hide(&bucket.write.secret);
    }
    let faults = flags.faults.as_ref().map(read::<Plan>).transpose()?.unwrap_or_default();
    Ok(Config { data: flags.data.clone(), listen: flags.listen, buckets, faults })
}

fn read<T: DeserializeOwned>(path: &PathBuf) -> Result<T, Failure> {
    use anyhow::Context as _;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    // The parser's full message quotes the line, and a line may hold a secret.
    let parse = |text: String| {
        toml::from_str(&text).map_err(|e| anyhow::anyhow!("{}: {}", path.display(), e.message()))
    };
    text.and_then(parse).map_err(usage)
}

/// Serves metrics and health if the flag is given.
async fn observe(flags: &Flags, server: &Server) -> Result<Option<Endpoint>, Failure> {
    let Some(address) = flags.metrics else { return Ok(None) };
    let registry = Registry::default();
    registry.add(server.metrics());
    let endpoint = Endpoint::open(address, registry, Health::default()).await.map_err(failed)?;
    Ok(Some(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_what_the_code_says() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
        cli::check_reference(&<Flags as clap::CommandFactory>::command(), &page).unwrap();
    }
}
