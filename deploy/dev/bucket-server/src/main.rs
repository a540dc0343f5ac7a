//! `bucket-server`: the small S3 server of development networks, as a program.

use base::Exit;
use bucket_server::{BucketConfig, Config, Plan, Server, StartError};
use clap::Parser;
use serde::{Deserialize, de::DeserializeOwned};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};
use telemetry::{Endpoint, Format, Health, Logs, Registry, Shutdown};

/// How long requests under way may take after the first signal.
const DEADLINE: Duration = Duration::from_secs(15);

/// A small S3 server for development networks and tests.
///
/// Exit codes: 0 it ended as asked; 1 it failed; 2 the flags or files are wrong.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Folder that holds all buckets; made if it is not there.
    #[arg(long, env = "BUCKET_SERVER_DATA")]
    data: PathBuf,

    /// TOML file with the buckets: `[[bucket]]` with `name`, and `read` and `write`, each with `id` and `secret`.
    #[arg(long, env = "BUCKET_SERVER_BUCKETS")]
    buckets: PathBuf,

    /// Address and port to listen on. There is no TLS: stay on loopback, or behind something that has it.
    #[arg(long, default_value = "127.0.0.1:9000", env = "BUCKET_SERVER_LISTEN")]
    listen: SocketAddr,

    /// TOML file with faults to inject: `seed`, and `[[rule]]` with `fault` and, at will, `method`, `path`, `skip`,
    /// `times`, `share`.
    #[arg(long, env = "BUCKET_SERVER_FAULTS")]
    faults: Option<PathBuf>,

    /// Address and port to serve metrics and health on; none if it is not given.
    #[arg(long, env = "BUCKET_SERVER_METRICS")]
    metrics: Option<SocketAddr>,

    /// What to log: a level, or `target=level`, separated by commas.
    #[arg(long)]
    log: Option<String>,

    /// How log lines look: `human` or `json`.
    #[arg(long, default_value_t = Format::Human)]
    log_format: Format,
}

/// The file that `--buckets` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Buckets {
    bucket: Vec<BucketConfig>,
}

/// An error with the exit code that it deserves.
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
    // The first line on stdout is for scripts that asked for port 0.
    println!("http://{}", server.address());

    shutdown.requested().await;
    let ended = tokio::time::timeout(DEADLINE, server.stop()).await;
    ended.map_err(|_| failed(anyhow::anyhow!("requests did not end within {} s", DEADLINE.as_secs())))
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
    // The parser's own message would quote the line, and a line may hold a secret.
    let parse = |text: String| {
        toml::from_str(&text).map_err(|e| anyhow::anyhow!("{}: {}", path.display(), e.message()))
    };
    text.and_then(parse).map_err(usage)
}

/// Serves metrics and health where a flag says so.
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
