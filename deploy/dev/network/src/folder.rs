//! The run folder, which holds all files of one network.
//!
//! ```text
//! RUN/run.toml            the launched run spec
//!     devnet.json         participants, bucket address and outcome of the run, for a replay
//!     audit.json          the auditor's answer
//!     report.json         the report
//!     chain.log           the blocks of the chain
//!     buckets/            the buckets of all participants
//!     wallets/            the keys of all participants
//!     nodes/NAME/         configuration, journal, events and log of a child
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// A missing cache folder: no environment variable names one.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot find a cache folder: neither XDG_CACHE_HOME nor HOME is set; set one of them, or give --dir FOLDER"
)]
pub(crate) struct NoCache;

/// The paths of the files in a run folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Creates the paths of a run folder. The folder may not exist yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Returns a new run folder in the user's cache, named by the time and the process id.
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

    pub(crate) fn saved_run(&self) -> PathBuf {
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

    /// Returns the folder of a child.
    pub(crate) fn node(&self, name: &str) -> PathBuf {
        self.nodes().join(name)
    }

    /// Returns the path of a child's configuration.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.node(name).join("config.toml")
    }

    /// Returns the path of a child's log: its standard output and error.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.node(name).join("log")
    }

    /// Returns the path of a child's events, one JSON object per line.
    pub(crate) fn events(&self, name: &str) -> PathBuf {
        self.node(name).join("events.jsonl")
    }
}

/// Returns devnet's folder in the user's cache, for files that can be created again.
pub(crate) fn cache() -> Result<PathBuf, NoCache> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(cache.ok_or(NoCache)?.join("muster").join("devnet"))
}

/// Creates a folder and all its parents.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}
