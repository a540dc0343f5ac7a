//! The Rust sources of the checkout, for tests that read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Reads all Rust files of the checkout. Leaves out build folders and hidden folders.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap(), &mut found);
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

fn read(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            read(&path, found);
        } else if name.ends_with(".rs") {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
}
