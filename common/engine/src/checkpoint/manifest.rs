//! The files `muster.json` and `muster.progress`.

use super::{CheckpointError, beside, file};
use protocol::{
    checkpoint::{MANIFEST, MOST_MANIFEST_BYTES, Manifest, PROGRESS, Part},
    progress::{self, Progress},
};
use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

/// Creates the manifest of files in a folder.
pub(super) fn make(
    folder: &Path,
    progress: &Progress,
    files: Vec<String>,
) -> Result<Manifest, CheckpointError> {
    let path = folder.join(MANIFEST);
    let parts = files.into_iter().map(|name| part(&path, name)).collect::<Result<_, _>>()?;
    Manifest::new(progress, parts).map_err(|source| CheckpointError::Manifest { path, source })
}

/// Reads the manifest and the progress of a checkpoint and checks all files against them. Returns
/// `None` if there is no manifest.
///
/// # Errors
/// The manifest cannot be read, or a file differs from it.
pub fn check(folder: &Path) -> Result<Option<(Manifest, Progress)>, CheckpointError> {
    let path = folder.join(MANIFEST);
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |source| CheckpointError::Manifest { path: path.clone(), source };
    let manifest = Manifest::read(&read(&path, MOST_MANIFEST_BYTES)?).map_err(wrong)?;
    for part in &manifest.parts {
        check_part(part, &path)?;
    }
    let progress = read_progress(&folder.join(PROGRESS))?;
    manifest.check_progress(&progress).map_err(wrong)?;
    Ok(Some((manifest, progress)))
}

fn read_progress(path: &Path) -> Result<Progress, CheckpointError> {
    let wrong = |source| CheckpointError::Progress { path: path.to_owned(), source };
    Progress::read(&read(path, progress::MOST_BYTES)?).map_err(wrong)
}

/// Reads a file, at most `most` + 1 bytes. The parser refuses a file that is longer than `most`.
fn read(path: &Path, most: usize) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(file(path))?;
    opened.take(most as u64 + 1).read_to_end(&mut bytes).map_err(file(path))?;
    Ok(bytes)
}

fn part(manifest: &Path, name: String) -> Result<Part, CheckpointError> {
    let path = beside(manifest, &name)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(&path).map_err(file(&path))?).map_err(file(&path))?;
    Ok(Part { file: name, bytes: hasher.count(), blake3: *hasher.finalize().as_bytes() })
}

fn check_part(expected: &Part, manifest: &Path) -> Result<(), CheckpointError> {
    let path = beside(manifest, &expected.file)?;
    let bytes = fs::metadata(&path).map_err(file(&path))?.len();
    if bytes != expected.bytes {
        return Err(CheckpointError::Changed { path, what: "its length" });
    }
    if part(manifest, expected.file.clone())? == *expected {
        Ok(())
    } else {
        Err(CheckpointError::Changed { path, what: "its hash" })
    }
}
