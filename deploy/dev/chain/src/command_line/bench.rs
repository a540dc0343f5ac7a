//! The command `devchain bench`: measures the cost of a chain and prints each figure beside its aim. It
//! never fails because of a figure.

mod child;
mod connect;
mod network;
mod report;
mod throughput;

use std::{path::Path, time::Instant};

use anyhow::Context;
use devchain::{Config, Devchain, Genesis, Pace};

use self::{
    child::Child,
    report::{Figure, Report},
};

/// The number of empty blocks that are timed.
const IDLE_BLOCKS: usize = 1000;

/// The length of the chain whose memory and restart are measured, in blocks.
const BLOCKS: u32 = 2000;

/// The number of connections that are timed.
const CONNECTIONS: usize = 50;

/// Measures everything and returns the report.
pub(super) async fn run(json: bool) -> anyhow::Result<String> {
    let report = measure().await?;
    Ok(if json { report.to_json()? } else { report.to_text() })
}

async fn measure() -> anyhow::Result<Report> {
    let folder = Folder::new()?;
    let mut report = Report::default();
    report.add(idle_block(&folder.0.join("idle")).await.context("idle block")?);
    report.extend(process(&folder.0).await.context("process")?);
    report.extend(throughput::measure().await.context("throughput")?);
    Ok(report)
}

/// Measures the time from the request for an empty block to its answer, log included.
async fn idle_block(log: &Path) -> anyhow::Result<Figure> {
    let chain = start(Genesis::default(), Some(log)).await?;
    let mut times = Vec::new();
    for _ in 0..IDLE_BLOCKS {
        let start = Instant::now();
        chain.handle().fast_forward(1).await?;
        times.push(start.elapsed());
    }
    chain.shutdown().await;
    Ok(Figure::new("idle block, median of 1000", report::median_ms(times), "ms").aim(1.0))
}

/// Measures start, memory, restart and connections of a process with a full subnet.
async fn process(folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let (config, log) = (folder.join("config.toml"), folder.join("log"));
    network::write_config(&config)?;
    let (mut child, fresh) = Child::start(&config, &log)?;
    network::set_weights(&child.url).await?;
    child.fast_forward(BLOCKS).await?;
    let memory = child.resident_mb()?;
    child.stop()?;
    let (mut child, restarted) = Child::start(&config, &log)?;
    let memory_restarted = child.resident_mb()?;
    let connections = connect::measure(&child.url, CONNECTIONS).await?;
    child.stop()?;
    let log_mb = std::fs::metadata(&log)?.len() as f64 / 1e6;
    Ok(vec![
        Figure::new("memory, 256 neurons with weights, 2000 blocks", memory, "MB").aim(60.0),
        Figure::new("memory of the same after a restart", memory_restarted, "MB").aim(60.0),
        Figure::new("start, new chain", fresh, "ms").aim(1000.0),
        Figure::new("start, from a log of 2000 blocks", restarted, "ms").aim(1000.0),
        Figure::new("size of that log", log_mb, "MB"),
        Figure::new("connect, metadata and first read, undecoded: the first", connections.first, "ms")
            .aim(50.0),
        Figure::new("connect, metadata and first read, undecoded: median of 50", connections.median, "ms")
            .aim(50.0),
    ])
}

/// Starts a chain in this process that seals only on demand.
async fn start(genesis: Genesis, log: Option<&Path>) -> anyhow::Result<Devchain> {
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pace: Pace::Outside,
        log: log.map(Into::into),
        genesis: Some(genesis),
        ..Config::default()
    };
    Ok(Devchain::start(config).await?)
}

/// A temporary folder, removed when dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("devchain-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
