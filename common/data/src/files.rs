//! Atomic writes of files, and the names of a dataset's files.

use crate::OutputError;
use protocol::dataset::{Manifest, Shard, ShardRole};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// The file name of the manifest: canonical bytes of [`protocol::dataset::Manifest`].
pub const MANIFEST: &str = "manifest";
/// The file name of the tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// The name of the folder for the journal, in a dataset's folder.
pub(crate) const NOTES: &str = ".prepare";

/// Returns the name of the file with a shard's tokens. The shards of a role are numbered from 0, in the
/// manifest's order.
#[must_use]
pub fn shard_name(role: ShardRole, number: u64) -> String {
    format!("{}-{number:05}.tokens", prefix(role))
}

/// Returns the name of the file with a shard's block table: canonical bytes of
/// [`protocol::dataset::BlockTable`].
#[must_use]
pub fn blocks_name(role: ShardRole, number: u64) -> String {
    format!("{}-{number:05}.blocks", prefix(role))
}

/// Iterates over the shards of a manifest, with the names of their token files.
pub fn shard_files(manifest: &Manifest) -> impl Iterator<Item = (String, &Shard)> {
    let named = |role| move |(number, shard)| (shard_name(role, number), shard);
    let training = (0..).zip(manifest.training()).map(named(ShardRole::Training));
    training.chain((0..).zip(manifest.held_out()).map(named(ShardRole::HeldOut)))
}

fn prefix(role: ShardRole) -> &'static str {
    match role {
        ShardRole::Training => "train",
        ShardRole::HeldOut => "held-out",
    }
}

/// Checks whether a preparation may have written a file of this name.
pub(crate) fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.strip_suffix(TEMPORARY).unwrap_or(&name);
    let numbered = |name: &str, role| {
        let rest = name.strip_prefix(prefix(role)).and_then(|rest| rest.strip_prefix('-'));
        let number = rest.and_then(|r| r.strip_suffix(".tokens").or_else(|| r.strip_suffix(".blocks")));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    name == MANIFEST
        || name == TOKENIZER
        || numbered(name, ShardRole::Training)
        || numbered(name, ShardRole::HeldOut)
}

/// The suffix of a file's name until the file is complete.
const TEMPORARY: &str = ".new";

/// Writes a file atomically: at every moment, also after a crash, either the old or the new file exists.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let mut new = path.as_os_str().to_owned();
    new.push(TEMPORARY);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&new, path)?;
        sync_folder(path.parent().unwrap_or(path))
    };
    write().map_err(|source| OutputError::new(path, source))
}

/// Syncs a folder, so that the names of its files survive a crash.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), OutputError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OutputError::new(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_files_are_known_by_their_names() {
        let ours = |name: &str| is_ours(OsStr::new(name));
        for role in [ShardRole::Training, ShardRole::HeldOut] {
            assert!(ours(&shard_name(role, 7)) && ours(&blocks_name(role, 123_456)));
        }
        assert!(ours("manifest") && ours("tokenizer.json") && ours("manifest.new"));
        for other in ["train-.tokens", "train-1.txt", "train.tokens", "held-out-1x.tokens", "notes", ""] {
            assert!(!ours(other), "{other}");
        }
    }
}
