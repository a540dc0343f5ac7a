//! `muster.json`: what a checkpoint was saved from, and the files that it consists of.

use super::{CheckpointError, MANIFEST, beside, file, json};
use common::{
    Window,
    digest::{Accumulator, RunHash, State, StateRoot},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    path::Path,
};

/// The version of the manifest that this program writes and reads.
const VERSION: u32 = 1;

/// What a checkpoint was saved from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The run.
    pub run: RunHash,
    /// The window that begins with these parameters.
    pub window: Window,
    /// The parameters' state root.
    pub root: StateRoot,
    /// The chain of the accepted sets that led to them.
    pub accumulator: Accumulator,
    /// What votes name: both together.
    pub state: State,
}

/// A checkpoint: what it was saved from, and its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of this file: 1.
    pub version: u32,
    /// What it was saved from.
    pub saved: Saved,
    /// Its files, in the order of their names.
    pub parts: Vec<Part>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name in the folder.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its bytes, in hex.
    pub blake3: String,
}

impl Manifest {
    /// Makes the manifest of files in a folder.
    pub(super) fn of(folder: &Path, saved: Saved, mut files: Vec<String>) -> Result<Self, CheckpointError> {
        files.sort_unstable();
        let parts = files.into_iter().map(|name| Part::of(&folder.join(MANIFEST), name));
        Ok(Self { version: VERSION, saved, parts: parts.collect::<Result<_, _>>()? })
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("texts and numbers are JSON")
    }

    /// Reads the manifest of a checkpoint and checks all files against it; `None` where there is no manifest.
    ///
    /// # Errors
    /// The manifest cannot be read, or a file is not the one that it names.
    pub fn check(folder: &Path) -> Result<Option<Self>, CheckpointError> {
        let path = folder.join(MANIFEST);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(file(&path))?;
        let manifest: Self = serde_json::from_slice(&text).map_err(json(&path))?;
        if manifest.version != VERSION {
            return Err(CheckpointError::Version { path, found: manifest.version, expected: VERSION });
        }
        for part in &manifest.parts {
            part.check(&path)?;
        }
        Ok(Some(manifest))
    }
}

impl Part {
    fn of(manifest: &Path, name: String) -> Result<Self, CheckpointError> {
        let path = beside(manifest, &name)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&path).map_err(file(&path))?).map_err(file(&path))?;
        Ok(Self { file: name, bytes: hasher.count(), blake3: hasher.finalize().to_hex().to_string() })
    }

    fn check(&self, manifest: &Path) -> Result<(), CheckpointError> {
        let path = beside(manifest, &self.file)?;
        let bytes = fs::metadata(&path).map_err(file(&path))?.len();
        if bytes != self.bytes {
            return Err(CheckpointError::Changed { path, what: "its length" });
        }
        match Self::of(manifest, self.file.clone())? == *self {
            true => Ok(()),
            false => Err(CheckpointError::Changed { path, what: "its hash" }),
        }
    }
}
