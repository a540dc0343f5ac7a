//! Searches logs for the secrets that this network generated.

use crate::wallets::GeneratedSecret;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A secret in a file that must not contain it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    /// The owner and the purpose of the secret.
    pub(crate) what: String,
    /// The file.
    pub(crate) file: PathBuf,
    /// The line number, from 1.
    pub(crate) line: usize,
}

/// Searches these files for secrets, ignoring case. Returns the first place of each secret in each file.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn scan(files: &[PathBuf], secrets: &[GeneratedSecret]) -> io::Result<Vec<Leak>> {
    let found = files.iter().map(|file| scan_file(file, secrets)).collect::<io::Result<Vec<_>>>()?;
    Ok(found.concat())
}

fn scan_file(file: &Path, secrets: &[GeneratedSecret]) -> io::Result<Vec<Leak>> {
    let bytes = fs::read(file)?;
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let leak = |secret: &GeneratedSecret| {
        let at = text.find(&secret.text.to_lowercase())?;
        let line = text[..at].matches('\n').count() + 1;
        Some(Leak { what: secret.what.clone(), file: file.to_owned(), line })
    };
    Ok(secrets.iter().filter_map(leak).collect())
}

/// Returns all files below a folder except configurations, which have to hold secrets.
pub(crate) fn files_to_search(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_to_search(&path)?);
        } else if path.file_name().is_none_or(|name| name != "config.toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_log_is_found_and_configurations_are_not_searched() {
        let folder = tempfile::tempdir().unwrap();
        let secret = GeneratedSecret {
            what: "the secret of miner-0's bucket".into(),
            text: "abcdef0123456789".into(),
        };
        let node = folder.path().join("miner-0");
        fs::create_dir(&node).unwrap();
        fs::write(node.join("config.toml"), "write_secret = 'abcdef0123456789'").unwrap();
        fs::write(node.join("log"), "fine\n").unwrap();
        let scan = || scan(&files_to_search(folder.path()).unwrap(), std::slice::from_ref(&secret)).unwrap();
        assert_eq!(scan(), []);
        fs::write(node.join("log"), "fine\nkey=ABCDEF0123456789\n").unwrap();
        let leak = Leak { what: secret.what.clone(), file: node.join("log"), line: 2 };
        assert_eq!(scan(), [leak]);
    }
}
