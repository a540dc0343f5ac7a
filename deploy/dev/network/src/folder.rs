//! The run folder: where everything of one network lies.
//!
//! ```text
//! RUN/run.toml            the launched run spec
//!     devnet.json         who took part, where, and what the run came to: what a replay needs
//!     chain.log           the chain, block by block
//!     buckets/            everybody's bucket
//!     wallets/            everybody's keys
//!     data/               the dataset
//!     nodes/NAME/         a child's configuration, journal, events, log
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// The user's cache has no place.
#[derive(Debug, thiserror::Error)]
#[error("neither XDG_CACHE_HOME nor HOME is set, so that there is no place for the run: give --dir FOLDER")]
pub(crate) struct NoCache;

/// The paths of a run.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The run in this folder, which may not be there yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A new folder in the user's cache.
    pub(crate) fn in_cache() -> Result<Self, NoCache> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Ok(Self(cache()?.join("runs").join(format!("{seconds}-{}", std::process::id()))))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn spec(&self) -> PathBuf {
        self.0.join("run.toml")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("devnet.json")
    }

    pub(crate) fn chain_log(&self) -> PathBuf {
        self.0.join("chain.log")
    }

    pub(crate) fn buckets(&self) -> PathBuf {
        self.0.join("buckets")
    }

    pub(crate) fn wallets(&self) -> PathBuf {
        self.0.join("wallets")
    }

    pub(crate) fn nodes(&self) -> PathBuf {
        self.0.join("nodes")
    }

    /// What belongs to one child.
    pub(crate) fn node(&self, name: &str) -> PathBuf {
        self.nodes().join(name)
    }

    /// A child's configuration.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.node(name).join("config.toml")
    }

    /// What a child printed.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.node(name).join("log")
    }

    /// What a child says happened, one JSON object a line.
    pub(crate) fn events(&self, name: &str) -> PathBuf {
        self.node(name).join("events.jsonl")
    }
}

/// The place for what can be made again.
pub(crate) fn cache() -> Result<PathBuf, NoCache> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(cache.ok_or(NoCache)?.join("muster").join("devnet"))
}

/// Makes a folder with all above it.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}
