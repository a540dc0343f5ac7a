//! A devchain in its own process.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};
use jsonrpsee::{
    core::client::ClientT,
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};

/// The process and its URL. Killed when dropped.
pub(super) struct Child {
    process: std::process::Child,
    pub(super) url: String,
}

impl Child {
    /// Starts this same program. Also returns the milliseconds until it was ready.
    pub(super) fn start(config: &Path, log: &Path) -> anyhow::Result<(Self, f64)> {
        let start = Instant::now();
        let mut process = Command::new(std::env::current_exe()?)
            .args(["run", "--json", "--listen", "127.0.0.1:0", "--pace", "outside"])
            .arg("--config")
            .arg(config)
            .arg("--log")
            .arg(log)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a chain process")?;
        let stdout = process.stdout.take().context("the process has no standard output")?;
        let mut child = Self { process, url: String::new() };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let time = super::report::ms(start.elapsed());
        let ready: serde_json::Value =
            serde_json::from_str(&line).context("the process did not become ready")?;
        child.url = ready["url"].as_str().context("the ready line has no url")?.to_owned();
        Ok((child, time))
    }

    pub(super) async fn fast_forward(&mut self, blocks: u32) -> anyhow::Result<()> {
        let _: serde_json::Value =
            client(&self.url).await?.request("dev_fastForward", rpc_params![blocks]).await?;
        Ok(())
    }

    /// Returns the resident memory of the process, in megabytes of 10^6 bytes.
    pub(super) fn resident_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))
            .context("cannot read the memory use from /proc (Linux only)")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is not a number")?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Stops the process with SIGTERM, as a user would.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let pid = self.process.id().to_string();
        ensure!(Command::new("kill").arg(pid).status()?.success(), "cannot stop the process");
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connects to the chain at `url`.
pub(super) async fn client(url: &str) -> anyhow::Result<WsClient> {
    let patience = std::time::Duration::from_secs(300);
    Ok(WsClientBuilder::default().request_timeout(patience).build(url).await?)
}
