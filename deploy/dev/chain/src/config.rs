//! The settings of a chain.

use std::{net::SocketAddr, path::PathBuf};

use devchain_runtime::genesis::Genesis;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    finality::{Finality, FinalityError},
    log::Sync,
    pool, server,
};

/// The longest block time in milliseconds: one day.
const MAX_BLOCK_TIME_MS: u64 = 86_400_000;

/// The trigger that seals blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// The block time: one block per interval.
    #[default]
    Fixed,
    /// Calls of `dev_newBlock` and `dev_fastForward` only; `dev_release` switches to the block time.
    Outside,
}

/// All settings of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address to listen on; port 0 picks a free one. Default: 127.0.0.1:9944.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines reach. Any machine that reaches it
    /// controls the chain. Default: no.
    pub allow_remote: bool,
    /// The block time in milliseconds, 1 to one day. Default: 1000.
    pub block_time_ms: u64,
    /// The trigger that seals blocks. Default: the block time.
    pub pace: Pace,
    /// The source of block timestamps. Default: the machine's clock.
    pub clock: Clock,
    /// The log's file, created if missing. Default: no log; the chain ends with the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// The time at which the log is flushed to the disk. Default: at a clean shutdown.
    pub sync: Sync,
    /// The lag of finality, its stalls, and blocks that are dropped before they are final. Default: each
    /// block is final at once.
    pub finality: Finality,
    /// The limits of the transaction pool.
    pub pool: pool::Limits,
    /// The limits of the JSON-RPC server, and the web pages that it admits.
    pub rpc: server::Limits,
    /// The genesis values. Default: those of the log if it holds a chain, otherwise
    /// [`Genesis::default`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis: Option<Genesis>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9944)),
            allow_remote: false,
            block_time_ms: 1000,
            pace: Pace::default(),
            clock: Clock::default(),
            log: None,
            sync: Sync::default(),
            finality: Finality::default(),
            pool: pool::Limits::default(),
            rpc: server::Limits::default(),
            genesis: None,
        }
    }
}

/// An invalid setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The block time is out of bounds.
    #[error("block_time_ms is {0}; give 1 to {MAX_BLOCK_TIME_MS} (one day)")]
    BlockTime(u64),
    /// The address is reachable from other machines, and `allow_remote` is off.
    #[error(
        "listen is {0}, which other machines can reach, and any of them could control the chain; give a loopback address, or set allow_remote = true"
    )]
    Remote(SocketAddr),
    /// The settings of finality do not fit together.
    #[error(transparent)]
    Finality(#[from] FinalityError),
    /// A limit is zero.
    #[error("{0} is 0; give at least 1")]
    Zero(&'static str),
    /// An entry of `rpc.origins` is not the origin of a web page.
    #[error(
        "rpc.origins has `{0}`, which is not an origin; give scheme, host and port only, as in https://polkadot.js.org"
    )]
    Origin(String),
}

impl Config {
    /// Checks all settings except the genesis values.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_BLOCK_TIME_MS).contains(&self.block_time_ms) {
            return Err(ConfigError::BlockTime(self.block_time_ms));
        }
        if !self.allow_remote && !self.listen.ip().is_loopback() {
            return Err(ConfigError::Remote(self.listen));
        }
        if let Some(text) = self.rpc.origins.iter().find(|text| !server::is_origin(text)) {
            return Err(ConfigError::Origin(text.clone()));
        }
        self.finality.check()?;
        let limits = [
            ("pool.count", self.pool.count),
            ("pool.bytes", self.pool.bytes),
            ("pool.per_account", self.pool.per_account),
            ("rpc.connections", self.rpc.connections as usize),
            ("rpc.request_bytes", self.rpc.request_bytes as usize),
            ("rpc.response_bytes", self.rpc.response_bytes as usize),
            ("rpc.buffered", self.rpc.buffered as usize),
        ];
        match limits.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(ConfigError::Zero(name)),
            None => Ok(()),
        }
    }
}
