//! Prepares the dataset of a run from text, for development. A dataset is kept in a cache, so each
//! combination of text, shape and seed is prepared once.

use crate::{InputError, Options, OutputError, PrepareError, Report, TokenizerChoice, Watch};
use protocol::run_spec::RunFile;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The separator between documents: the headings of scenes in the default corpus.
const SEPARATOR: &str = "\n\n### ";
/// The held-out share of the documents. No miner trains on them.
const HELD_OUT: f64 = 0.05;
/// The maximum amount of text that the tokenizer is trained on, in bytes.
const SAMPLE: u64 = 8 << 20;

/// A training text that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the text {}", .path.display())]
pub struct TextError {
    path: PathBuf,
    source: io::Error,
}

/// Returns the options that turn the text at `texts` into the dataset of a run, in a folder below `cache`.
/// The folder is named by the hash of the text, the shape and the seed.
///
/// # Errors
/// The text cannot be read.
pub fn options(texts: &Path, cache: &Path, file: &RunFile, seed: u64) -> Result<Options, TextError> {
    let shape = (file.model.vocab, file.train.sequence);
    let content = content(texts).map_err(|source| TextError { path: texts.to_owned(), source })?;
    let name = hash(&[&format!("{shape:?} {seed} {HELD_OUT} {SAMPLE} {SEPARATOR}").into_bytes(), &content]);
    let tokenizer = TokenizerChoice::Train { vocab: shape.0, sample: SAMPLE };
    let out = cache.join("data").join(&hex::encode(name)[..16]);
    Ok(Options {
        separator: Some(SEPARATOR.into()),
        held_out: HELD_OUT,
        seed,
        sequence: shape.1,
        ..Options::new(vec![texts.to_owned()], out, tokenizer)
    })
}

/// Prepares the dataset, or finds it complete. An unfinished dataset that cannot be continued is
/// prepared from the start: its folder belongs to the cache and is named by the text.
///
/// # Errors
/// The dataset cannot be prepared.
pub fn prepare(options: &Options, watch: &mut dyn Watch) -> Result<Report, PrepareError> {
    match crate::prepare(options, watch) {
        Err(error) if cannot_resume(&error) => {
            crate::prepare(&Options { restart: true, ..options.clone() }, watch)
        }
        result => result,
    }
}

fn cannot_resume(error: &PrepareError) -> bool {
    matches!(
        error,
        PrepareError::Input(InputError::Changed(_))
            | PrepareError::Output(
                OutputError::OtherOptions { .. } | OutputError::Journal { .. } | OutputError::Shard { .. }
            )
    )
}

/// Hashes the paths and bytes of all files, in the order of their paths.
fn content(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    for file in files(path)? {
        hasher.update(file.to_string_lossy().as_bytes()).update(&[0]);
        hasher.update_reader(fs::File::open(&file)?)?;
    }
    Ok(*hasher.finalize().as_bytes())
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let nested = entries.iter().map(|entry| files(entry)).collect::<io::Result<Vec<_>>>()?;
    Ok(nested.concat())
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("muster devnet data");
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = include_str!("../../../deploy/runs/tiny.toml");

    #[test]
    fn each_text_has_its_own_folder() {
        let texts = tempfile::tempdir().unwrap();
        let file = RunFile::parse(TINY).unwrap();
        let place = || options(texts.path(), Path::new("cache"), &file, 1).unwrap().out;
        fs::write(texts.path().join("a.txt"), "a text").unwrap();
        let first = place();
        assert_eq!(place(), first);
        fs::create_dir(texts.path().join("more")).unwrap();
        fs::write(texts.path().join("more/b.txt"), "another").unwrap();
        assert_ne!(place(), first);
    }

    #[test]
    fn an_unfinished_dataset_that_cannot_be_continued_is_prepared_from_the_start() {
        struct Stop;
        impl Watch for Stop {
            fn progress(&mut self, _: &crate::Progress) -> std::ops::ControlFlow<()> {
                std::ops::ControlFlow::Break(())
            }
            fn warning(&mut self, _: &crate::Warning) {}
        }
        let (texts, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut file = RunFile::parse(TINY).unwrap();
        (file.model.vocab, file.train.sequence) = (300, 16);
        let text = texts.path().join("a.txt");
        let scenes =
            (0..200).map(|n| format!("\n\n### scene {n}\n{}", "the fox sees the ghost. ".repeat(40)));
        let scenes: String = scenes.collect();
        fs::write(&text, &scenes).unwrap();
        let options = options(texts.path(), cache.path(), &file, 1).unwrap();
        let stopped = prepare(&options, &mut Stop).unwrap_err();
        assert!(matches!(stopped, PrepareError::Stopped), "{stopped}");
        // The same text with a later modification time.
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        fs::File::options().write(true).open(&text).unwrap().set_modified(later).unwrap();
        let refused = crate::prepare(&options, &mut crate::Quiet).unwrap_err();
        assert!(cannot_resume(&refused), "{refused}");
        assert!(prepare(&options, &mut crate::Quiet).is_ok());
    }

    #[test]
    fn a_missing_text_is_named() {
        let file = RunFile::parse(TINY).unwrap();
        let error = options(Path::new("/no/such/text"), Path::new("cache"), &file, 1).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the text /no/such/text"), "{error}");
    }
}
