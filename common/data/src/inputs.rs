//! Finds the input files, their order, and their formats.

use crate::{Format, InputError, STANDARD_INPUT};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// The compression of a whole input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// An input, with the properties that identify it when a preparation resumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    /// The absolute path of the file; `None` for standard input.
    pub(crate) path: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// The length of the file in bytes; 0 for standard input.
    pub(crate) length: u64,
    /// The time of the last change, in nanoseconds since 1970; 0 for standard input.
    pub(crate) modified: u64,
}

/// All inputs, and the files that were skipped in folders.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) inputs: Vec<Input>,
    /// The number of files of unknown format in folders.
    pub(crate) passed_over: u64,
    /// One of those files.
    pub(crate) example: Option<PathBuf>,
}

impl Input {
    /// Checks whether the path, format and compression are the same. The content may differ.
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

/// Finds the inputs in the order in which they are read: the given order, and within folders the order
/// of names. A file that is given twice is read once.
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
    /// The number of files of known format, including repeated ones.
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
        // Hidden files are skipped, as in folders.
        paths.iter().filter(|path| !is_hidden(path)).try_for_each(|path| self.named(path))
    }

    /// Adds a file or a folder that was given by name or by pattern.
    fn named(&mut self, path: &Path) -> Result<(), InputError> {
        if !path.is_dir() {
            let (format, compression) = kind(path, self.format);
            let format = format.ok_or_else(|| InputError::Format(path.display().to_string()))?;
            return self.file(path, format, compression);
        }
        let before = self.named;
        self.folder(path)?;
        if self.named == before { Err(InputError::NothingIn(path.into())) } else { Ok(()) }
    }

    /// Adds the files of a folder, in the order of names. Skips hidden files, and links to folders.
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

/// Returns the format and the compression of a file by its name. The format that the options give has
/// precedence.
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
