//! The program `bucket-server`: a small S3 server for development networks.

use base::Exit;
use bucket_server::{BucketConfig, Config, Plan, Server, StartError};
use clap::Parser;
use cli::{Answer, Failure, Job};
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

fn main() -> ExitCode {
    cli::run_program(|flags: Flags, _| {
        let logs = Logs { format: flags.log_format, filter: flags.log.clone() };
        Ok(Job::service(|shutdown| run(flags, shutdown)).with_logs(logs).on_threads(None))
    })
}

async fn run(flags: Flags, shutdown: Shutdown) -> Result<Answer, Failure> {
    let config = configure(&flags)?;
    let server = Server::start(config).await.map_err(|error| match error {
        StartError::Keys(_) => Failure::usage(error),
        StartError::Folder { .. } | StartError::Listen { .. } => Failure::failed(error),
    })?;
    let _endpoint = observe(&flags, &server).await?;
    // Scripts that use port 0 read the address from the first line on stdout.
    println!("http://{}", server.address());

    shutdown.requested().await;
    let ended = tokio::time::timeout(DEADLINE, server.stop()).await;
    let overdue = || Failure::failed(format!("requests did not finish within {} s", DEADLINE.as_secs()));
    ended.map_err(|_| overdue())?;
    Ok(Exit::Good.into())
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
    text.and_then(parse).map_err(Failure::usage)
}

/// Serves metrics and health if the flag is given.
async fn observe(flags: &Flags, server: &Server) -> Result<Option<Endpoint>, Failure> {
    let Some(address) = flags.metrics else { return Ok(None) };
    let registry = Registry::default();
    registry.add(server.metrics());
    let endpoint = Endpoint::open(address, registry, Health::default()).await.map_err(Failure::failed)?;
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
