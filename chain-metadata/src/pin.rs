//! The pin: the stripped metadata of one runtime, with the facts about its source, and its renewal.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use blake2::{Blake2b, Digest, digest::consts::U32};
use serde::{Deserialize, Serialize};

use crate::{
    check::{self, ItemReport, Status},
    decode::{self, DecodeError},
    fetch::{self, FetchError},
    runtime::{self, RuntimeId},
    strip::{self, StripError},
};

/// The pinned metadata, in the folder of this crate.
pub const FILE: &str = "metadata/subtensor.scale";
/// The facts about the pinned metadata, in the folder of this crate.
pub const FACTS: &str = "metadata/subtensor.json";

/// The facts about a pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The chain's own name for its runtime.
    pub spec_name: String,
    /// The spec version of the runtime.
    pub spec_version: u32,
    /// The genesis hash of the chain of the node, in hex with 0x; `None` if the metadata came without one.
    pub genesis: Option<String>,
    /// The size of the pinned metadata, in bytes.
    pub bytes: usize,
    /// The BLAKE2b-256 hash of the pinned metadata, in hex.
    pub blake2b: String,
    /// The file with the whole metadata, from which the pin was cut; in the folder of this crate.
    pub source: String,
}

/// An error of renewing the pin. Files are written only after all checks.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The node's metadata cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The metadata cannot be cut down.
    #[error("cannot make the pin from the metadata of {url}")]
    Strip {
        /// The address of the node.
        url: String,
        /// The reason.
        source: StripError,
    },
    /// The stripped metadata cannot be read back.
    #[error("cannot read the new pin back")]
    Decode(#[from] DecodeError),
    /// The metadata does not name its runtime.
    #[error("the metadata of {url} does not name its runtime (System.Version)")]
    Unnamed {
        /// The address of the node.
        url: String,
    },
    /// The folder is not that of this crate.
    #[error("{} has no {FILE}: name the folder chain-metadata of a checkout", .0.display())]
    Folder(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// A renewed pin.
#[derive(Debug)]
pub struct Renewed {
    /// The facts about the new pin.
    pub facts: Facts,
    /// The items that differ from the pin that this program was built with.
    pub changed: Vec<ItemReport>,
}

/// Makes the pin from the metadata V15 of a live node, and writes it with its facts into this folder.
pub async fn refresh(url: &str, limit: Duration, folder: &Path) -> Result<Renewed, PinError> {
    if !folder.join(FILE).is_file() {
        return Err(PinError::Folder(folder.to_owned()));
    }
    let node = fetch::fetch_v15(url, limit).await?;
    let pinned =
        strip::strip(&node.bytes).map_err(|source| PinError::Strip { url: url.to_owned(), source })?;
    let metadata = decode::decode(&pinned)?;
    let id = RuntimeId::of(&metadata).ok_or_else(|| PinError::Unnamed { url: url.to_owned() })?;
    let facts = Facts {
        // Only the number: the name comes from the node.
        source: format!("tests/data/subtensor-{}-v15.scale", id.spec_version),
        spec_name: id.name,
        spec_version: id.spec_version,
        genesis: Some(node.genesis),
        bytes: pinned.len(),
        blake2b: hash(&pinned),
    };
    let mut text = serde_json::to_string_pretty(&facts).expect("text and numbers are JSON");
    text.push('\n');
    for (name, bytes) in [(facts.source.as_str(), &node.bytes[..]), (FILE, &pinned), (FACTS, text.as_bytes())]
    {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| PinError::Write { path, source })?;
    }
    let changed = check::check_against(runtime::pinned(), &metadata);
    let changed = changed.into_iter().filter(|report| report.status != Status::Equal).collect();
    Ok(Renewed { facts, changed })
}

/// Returns the BLAKE2b-256 hash of some bytes, in hex.
pub fn hash(bytes: &[u8]) -> String {
    hex::encode(Blake2b::<U32>::digest(bytes))
}

impl Renewed {
    /// Returns the text for a terminal: the old and the new runtime, and each difference.
    pub fn to_text(&self) -> String {
        let Facts { spec_name, spec_version, genesis, bytes, blake2b, source } = &self.facts;
        let mut lines = vec![
            format!("old  {}", RuntimeId::pinned()),
            format!("new  {spec_name} {spec_version}, genesis {}", genesis.as_deref().unwrap_or("unknown")),
            format!("{FILE}: {bytes} bytes, {blake2b}"),
            format!("{source}: the whole metadata"),
        ];
        if self.changed.is_empty() {
            lines.push("all items are equal".into());
        }
        for report in &self.changed {
            lines.push(format!("{} {}: {}", report.item.kind, report.item, report.status));
            lines.extend(report.status.differences().iter().map(|difference| format!("    {difference}")));
        }
        lines.push(
            "next: PROVENANCE.md, and UPDATE_GOLDEN=1 cargo test -p chain-metadata --test check".into(),
        );
        crate::table::printable(&lines.join("\n"))
    }
}
