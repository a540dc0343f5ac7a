//! Which files are read, in which order, and as what.

use crate::{Format, InputError, STANDARD_INPUT};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// How an input is compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// One input, and by what we know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    /// The file, absolute; none is standard input.
    pub(crate) path: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// Bytes of the file; 0 for standard input.
    pub(crate) length: u64,
    /// Nanoseconds since 1970 of its last change; 0 for standard input.
    pub(crate) modified: u64,
}

/// All inputs, and what was passed over in folders.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) inputs: Vec<Input>,
    /// Files of a kind that we do not read, in folders.
    pub(crate) passed_over: u64,
    /// One of them.
    pub(crate) example: Option<PathBuf>,
}

impl Input {
    /// Whether the other is read in the same way from the same place, whatever it holds.
    pub(crate) fn is_place_of(&self, other: &Self) -> bool {
        let place = |input: &Self| (input.path.clone(), input.format, input.compression);
        place(self) == place(other)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}", path.display()),
            None => write!(f, "standard input"),
        }
    }
}

/// Finds the inputs in the order in which they are read: as they are named, folders in the order of their names. A
/// file that is named twice is read once.
pub(crate) fn find(names: &[PathBuf], format: Option<Format>) -> Result<Found, InputError> {
    let mut search = Search {
        format,
        named: 0,
        seen: BTreeSet::new(),
        found: Found { inputs: vec![], passed_over: 0, example: None },
    };
    names.iter().try_for_each(|name| search.name(name))?;
    Ok(search.found)
}

struct Search {
    format: Option<Format>,
    /// Files of a kind that we read, repeated ones included.
    named: u64,
    seen: BTreeSet<PathBuf>,
    found: Found,
}

impl Search {
    fn name(&mut self, name: &Path) -> Result<(), InputError> {
        if name.as_os_str() == STANDARD_INPUT {
            return self.standard_input();
        }
        if name.exists() {
            return self.named(name);
        }
        match name.to_str() {
            Some(pattern) if pattern.contains(['*', '?', '[']) => self.pattern(pattern),
            _ => Err(InputError::Missing(name.into())),
        }
    }

    fn standard_input(&mut self) -> Result<(), InputError> {
        let format = self.format.ok_or_else(|| InputError::Format("standard input".into()))?;
        if format == Format::Parquet {
            return Err(InputError::ParquetStream("standard input".into()));
        }
        if self.seen.insert(STANDARD_INPUT.into()) {
            let compression = Compression::None;
            self.found.inputs.push(Input { path: None, format, compression, length: 0, modified: 0 });
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), InputError> {
        let paths = glob::glob(pattern)
            .map_err(|e| InputError::Pattern { pattern: pattern.into(), reason: e.msg })?;
        let paths = paths.collect::<Result<Vec<_>, _>>().map_err(|error| {
            let name = error.path().display().to_string();
            InputError::Read { name, line: None, source: error.into() }
        })?;
        if paths.is_empty() {
            return Err(InputError::NoMatch(pattern.into()));
        }
        // As in folders, hidden files are passed by.
        paths.iter().filter(|path| !is_hidden(path)).try_for_each(|path| self.named(path))
    }

    /// A file or folder that was asked for by its name.
    fn named(&mut self, path: &Path) -> Result<(), InputError> {
        if !path.is_dir() {
            let (format, compression) = kind(path, self.format);
            let format = format.ok_or_else(|| InputError::Format(path.display().to_string()))?;
            return self.file(path, format, compression);
        }
        let before = self.named;
        self.folder(path)?;
        match self.named == before {
            true => Err(InputError::NothingIn(path.into())),
            false => Ok(()),
        }
    }

    /// What lies in a folder, in the order of names. Hidden files, and links to folders, are passed by.
    fn folder(&mut self, folder: &Path) -> Result<(), InputError> {
        let read = |source| read_error(folder, source);
        let entries = fs::read_dir(folder).map_err(read)?.collect::<Result<Vec<_>, _>>().map_err(read)?;
        let mut entries: Vec<_> = entries.into_iter().map(|entry| (entry.file_name(), entry)).collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (_, entry) in entries {
            let path = entry.path();
            let linked = entry.file_type().map_err(|e| read_error(&path, e))?.is_symlink();
            match (path.is_dir(), kind(&path, self.format)) {
                _ if is_hidden(&path) => {}
                (true, _) if linked => {}
                (true, _) => self.folder(&path)?,
                (false, (Some(format), compression)) => self.file(&path, format, compression)?,
                (false, (None, _)) => self.pass_over(path),
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, path: PathBuf) {
        self.found.passed_over += 1;
        self.found.example.get_or_insert(path);
    }

    fn file(&mut self, path: &Path, format: Format, compression: Compression) -> Result<(), InputError> {
        if format == Format::Parquet && compression != Compression::None {
            return Err(InputError::ParquetStream(path.display().to_string()));
        }
        let read = |source| read_error(path, source);
        let absolute = fs::canonicalize(path).map_err(read)?;
        let metadata = fs::metadata(&absolute).map_err(read)?;
        let modified = metadata.modified().map_err(read)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.named += 1;
        if self.seen.insert(absolute.clone()) {
            self.found.inputs.push(Input {
                path: Some(absolute),
                format,
                compression,
                length: metadata.len(),
                modified: u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX),
            });
        }
        Ok(())
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn read_error(path: &Path, source: io::Error) -> InputError {
    InputError::Read { name: path.display().to_string(), line: None, source }
}

/// What a file's name says about it; a format that was asked for overrules the name.
fn kind(path: &Path, asked: Option<Format>) -> (Option<Format>, Compression) {
    let extension = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let (inner, compression) = match extension(path).as_deref() {
        Some("gz") => (path.with_extension(""), Compression::Gzip),
        Some("zst") => (path.with_extension(""), Compression::Zstd),
        _ => (path.to_owned(), Compression::None),
    };
    let told = match extension(&inner).as_deref() {
        Some("txt" | "text" | "md") => Some(Format::Text),
        Some("jsonl" | "ndjson") => Some(Format::Jsonl),
        Some("parquet") => Some(Format::Parquet),
        _ => None,
    };
    (asked.or(told), compression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_format() {
        let told = |name: &str| kind(Path::new(name), None);
        assert_eq!(told("a/b.TXT"), (Some(Format::Text), Compression::None));
        assert_eq!(told("b.jsonl.zst"), (Some(Format::Jsonl), Compression::Zstd));
        assert_eq!(told("b.md.gz"), (Some(Format::Text), Compression::Gzip));
        assert_eq!(told("b.parquet"), (Some(Format::Parquet), Compression::None));
        assert_eq!(told("b.html"), (None, Compression::None));
        assert_eq!(kind(Path::new("b.html"), Some(Format::Text)), (Some(Format::Text), Compression::None));
    }
}
