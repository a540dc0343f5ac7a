//! Measures the start of a client: connect, read metadata and version, read a value. The answers are
//! received but not decoded, since the cost of decoding depends on the client.

use std::time::Instant;

use jsonrpsee::{core::client::ClientT, rpc_params};
use serde_json::Value;

use super::report;

/// The time of one such start, in milliseconds.
pub(super) struct Connections {
    /// The first start; the chain has to generate its metadata for it.
    pub(super) first: f64,
    /// The median of all starts.
    pub(super) median: f64,
}

/// Connects `count` times, one after the other. The calls are those of subxt.
pub(super) async fn measure(url: &str, count: usize) -> anyhow::Result<Connections> {
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let client = super::child::client(url).await?;
        let _: Value = client.request("rpc_methods", rpc_params![]).await?;
        let _: Value = client.request("chain_getBlockHash", rpc_params![0]).await?;
        let head: Value = client.request("chain_getFinalizedHead", rpc_params![]).await?;
        let _: Value = client.request("state_call", rpc_params!["Core_version", "0x", &head]).await?;
        let versions = ("Metadata_metadata_versions", "0x");
        let _: Value = client.request("state_call", rpc_params![versions.0, versions.1, &head]).await?;
        let version_15 = ("Metadata_metadata_at_version", "0x0f000000");
        let _: Value = client.request("state_call", rpc_params![version_15.0, version_15.1, &head]).await?;
        let _: Value = client.request("state_getStorage", rpc_params!["0x3a636f6465", &head]).await?;
        times.push(start.elapsed());
    }
    let first = times.first().copied().map_or(0.0, report::ms);
    Ok(Connections { first, median: report::median_ms(times) })
}
