//! The manifest and the pointer of a checkpoint, without its other files.
//!
//! A checkpoint is a folder in Hugging Face's layout with two extra files. `muster.json` is the
//! [`Manifest`], which names every other file with its size and hash. `muster.progress` is the
//! [`Progress`] of the saved parameters. In a bucket, a [`Pointer`] to the checkpoint is written
//! after all of its files.

use crate::progress::Progress;
use base::{
    Window,
    digest::{RunHash, State},
    object::{kind, open},
    wire::{Reader, WireError, Writer},
};
use serde::{Deserialize, Serialize};

/// Name of the manifest in a checkpoint's folder.
pub const MANIFEST: &str = "muster.json";
/// Name of the file that holds the [`Progress`].
pub const PROGRESS: &str = "muster.progress";
/// Suffix of the files that hold parameters.
pub const PARAMETERS: &str = ".safetensors";

/// Most bytes of a manifest.
pub const MOST_MANIFEST_BYTES: usize = 1 << 20;
/// Most files of a checkpoint: 4 TB in files of a gigabyte.
pub const MOST_PARTS: usize = 4096;
/// Most bytes of a file's name.
pub const MOST_NAME: usize = 128;
/// Bytes of a [`Pointer`].
pub const POINTER_BYTES: usize = 2 + 32 + 8 + 32 + 32;

/// Allowance for the bytes beside the values of the parameters: names, shapes, configuration, progress.
const BESIDE_VALUES: u64 = 32 << 20;

/// The version of the manifest that this program writes and reads.
const VERSION: u32 = 1;
/// The version of the pointer.
const POINTER_VERSION: u8 = 1;

/// The description of a checkpoint: its run, window and state, and its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this file's form: 1.
    pub version: u32,
    /// The run.
    pub run: RunHash,
    /// The window that begins with these parameters.
    pub window: Window,
    /// The state that votes on that window name.
    pub state: State,
    /// The files, in the order of their names.
    pub parts: Vec<Part>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The file's name in the folder, without a path.
    pub file: String,
    /// The file's length.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    #[serde(with = "hex::serde")]
    pub blake3: [u8; 32],
}

/// The pointer to the newest checkpoint of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The run.
    pub run: RunHash,
    /// The window that begins with its parameters.
    pub window: Window,
    /// The state that votes on that window name.
    pub state: State,
    /// BLAKE3 of the manifest's bytes.
    pub manifest: [u8; 32],
}

/// The reason why a manifest is invalid or does not belong to its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A text longer than any manifest.
    #[error("the manifest has {0} bytes: at most {MOST_MANIFEST_BYTES} are read")]
    TooLong(usize),
    /// A text that is not JSON of the right form.
    #[error("the manifest cannot be read: {0}")]
    Json(String),
    /// A manifest of another version.
    #[error("version {0} of the manifest: this program knows version {VERSION}")]
    Version(u32),
    /// A manifest with too many files.
    #[error("the manifest names {0} files: at most {MOST_PARTS}")]
    TooManyParts(usize),
    /// A file name that leads out of the folder, or that no file of a checkpoint has.
    #[error("{0:?} is not a valid name of a checkpoint's file")]
    Name(String),
    /// Names that are out of order, or a name that is listed twice.
    #[error("{0:?} is out of order or listed twice")]
    Order(String),
    /// A manifest without a file that every checkpoint has.
    #[error("the manifest does not name {0}")]
    Missing(&'static str),
    /// Files larger than those of the model can be.
    #[error("the files have {found} bytes: a checkpoint of this model has at most {most}")]
    TooLarge {
        /// The size of all files together.
        found: u64,
        /// The largest allowed size.
        most: u64,
    },
    /// A progress of another state.
    #[error(
        "the manifest is of window {window}, state {state}: its progress is of window {found}, state {of}"
    )]
    OtherProgress {
        /// The manifest's window.
        window: Window,
        /// The manifest's state.
        state: State,
        /// The progress's window.
        found: Window,
        /// The progress's state.
        of: State,
    },
    /// Another manifest than the one that the pointer names.
    #[error("the manifest is of window {found}, but its pointer names window {expected}")]
    OtherPointer {
        /// The pointer's window.
        expected: Window,
        /// The manifest's window.
        found: Window,
    },
}

/// Returns the largest size in bytes of all files of a checkpoint with this number of parameters.
#[must_use]
pub fn most_bytes(parameters: u64) -> u64 {
    parameters.saturating_mul(4).saturating_add(BESIDE_VALUES)
}

impl Manifest {
    /// Creates the manifest of a checkpoint from its files, in any order.
    ///
    /// # Errors
    /// The files do not form a checkpoint.
    pub fn new(progress: &Progress, mut parts: Vec<Part>) -> Result<Self, ManifestError> {
        parts.sort_unstable_by(|a, b| a.file.cmp(&b.file));
        let (run, window, state) = (progress.run, progress.window(), progress.state());
        let manifest = Self { version: VERSION, run, window, state, parts };
        manifest.check()?;
        Ok(manifest)
    }

    /// Encodes the bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("texts and numbers are JSON")
    }

    /// Decodes a manifest and checks it.
    ///
    /// # Errors
    /// The bytes are not a manifest, or one of another version, or it names a file that no checkpoint has.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MOST_MANIFEST_BYTES {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| ManifestError::Json(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.version != VERSION {
            return Err(ManifestError::Version(self.version));
        }
        if self.parts.len() > MOST_PARTS {
            return Err(ManifestError::TooManyParts(self.parts.len()));
        }
        if let Some(part) = self.parts.iter().find(|part| !is_plain(&part.file) || part.file == MANIFEST) {
            return Err(ManifestError::Name(part.file.clone()));
        }
        if let Some(pair) = self.parts.windows(2).find(|pair| pair[0].file >= pair[1].file) {
            return Err(ManifestError::Order(pair[1].file.clone()));
        }
        self.part(PROGRESS).map(|_| ()).ok_or(ManifestError::Missing(PROGRESS))
    }

    /// Returns the file of this name.
    #[must_use]
    pub fn part(&self, file: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.file == file)
    }

    /// Checks that all files together are no larger than those of a model with this number of
    /// parameters can be.
    ///
    /// # Errors
    /// The files are larger.
    pub fn check_size(&self, parameters: u64) -> Result<(), ManifestError> {
        let most = most_bytes(parameters);
        let found = self.parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes));
        if found <= most { Ok(()) } else { Err(ManifestError::TooLarge { found, most }) }
    }

    /// Checks that the files were saved with this progress.
    ///
    /// # Errors
    /// The progress is another one.
    pub fn check_progress(&self, progress: &Progress) -> Result<(), ManifestError> {
        let (window, state) = (self.window, self.state);
        let (found, of) = (progress.window(), progress.state());
        if self.run == progress.run && window == found && state == of {
            Ok(())
        } else {
            Err(ManifestError::OtherProgress { window, state, found, of })
        }
    }
}

/// Checks whether a name is that of a file beside the manifest.
///
/// It must consist of letters, digits, `-`, `_` and `.`, and not begin with `.`. So it is the same
/// name on every system and in every bucket. It must also be of a known kind that no system
/// executes.
fn is_plain(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let known = name == PROGRESS || name.ends_with(".json") || name.ends_with(PARAMETERS);
    name.len() <= MOST_NAME && name.bytes().all(fine) && !name.starts_with('.') && known
}

impl Pointer {
    /// Creates the pointer to the checkpoint with this manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let hash = *blake3::hash(&manifest.to_bytes()).as_bytes();
        Self { run: manifest.run, window: manifest.window, state: manifest.state, manifest: hash }
    }

    /// Encodes the canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.u8(kind::POINTER).u8(POINTER_VERSION).raw(&self.run.0).u64(self.window.0);
        to.raw(&self.state.0).raw(&self.manifest);
        to.into_bytes()
    }

    /// Decodes canonical bytes, all of them.
    ///
    /// # Errors
    /// The bytes are not a pointer.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        open(&mut from, "the pointer to a checkpoint", kind::POINTER, POINTER_VERSION)?;
        let run = RunHash(from.array("the run")?);
        let window = Window(from.u64("the window")?);
        let state = State(from.array("the state")?);
        let manifest = from.array("the manifest's hash")?;
        from.finish("the pointer to a checkpoint")?;
        Ok(Self { run, window, state, manifest })
    }

    /// Checks that this pointer names a manifest. The reader must check the manifest's hash.
    ///
    /// # Errors
    /// The pointer names another manifest.
    pub fn check(&self, manifest: &Manifest) -> Result<(), ManifestError> {
        if (manifest.run, manifest.window, manifest.state) == (self.run, self.window, self.state) {
            Ok(())
        } else {
            Err(ManifestError::OtherPointer { expected: self.window, found: manifest.window })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;
    use base::digest::StateRoot;
    use codec::aggregate::StepNorms;
    use proptest::{collection::vec, prelude::*};

    fn progress() -> Progress {
        let run = RunHash([9; 32]);
        Progress {
            run,
            history: History::new(&run),
            root: StateRoot([3; 32]),
            norms: Some(StepNorms::default()),
        }
    }

    fn part(file: &str) -> Part {
        Part { file: file.to_owned(), bytes: 10, blake3: [7; 32] }
    }

    fn manifest(files: &[&str]) -> Result<Manifest, ManifestError> {
        Manifest::new(&progress(), files.iter().map(|file| part(file)).collect())
    }

    fn fine() -> Manifest {
        manifest(&[PROGRESS, "config.json", "model-00001-of-00001.safetensors"]).unwrap()
    }

    #[test]
    fn a_manifest_comes_back_in_the_order_of_names() {
        let files: Vec<_> = fine().parts.into_iter().map(|part| part.file).collect();
        assert_eq!(files, ["config.json", "model-00001-of-00001.safetensors", PROGRESS]);
        assert_eq!(Manifest::read(&fine().to_bytes()), Ok(fine()));
        assert_eq!(fine().check_progress(&progress()), Ok(()));
        let other = Progress { root: StateRoot([4; 32]), ..progress() };
        assert!(matches!(fine().check_progress(&other), Err(ManifestError::OtherProgress { .. })));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "../x.json",
            "a/b.json",
            "/etc/passwd",
            "a\\b.json",
            ".hidden.json",
            "C:x.json",
            "run.sh",
            "pytorch_model.bin",
            "ä.json",
            "nul\0.json",
            MANIFEST,
            &format!("{}.json", "x".repeat(MOST_NAME)),
        ] {
            assert_eq!(manifest(&[PROGRESS, name]), Err(ManifestError::Name(name.to_owned())), "{name}");
            let mut written = fine();
            written.parts[0].file = name.to_owned();
            assert_eq!(Manifest::read(&written.to_bytes()), Err(ManifestError::Name(name.to_owned())));
        }
    }

    #[test]
    fn lists_that_no_checkpoint_has_are_refused() {
        assert_eq!(manifest(&["config.json"]), Err(ManifestError::Missing(PROGRESS)));
        let twice = manifest(&[PROGRESS, "config.json", "config.json"]);
        assert_eq!(twice, Err(ManifestError::Order("config.json".to_owned())));
        let mut moved = fine();
        moved.parts.swap(0, 1);
        assert!(matches!(Manifest::read(&moved.to_bytes()), Err(ManifestError::Order(_))));
        let many: Vec<_> = (0..=MOST_PARTS).map(|number| format!("{number}.json")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(manifest(&many), Err(ManifestError::TooManyParts(MOST_PARTS + 1)));
        let later = Manifest { version: 2, ..fine() };
        assert_eq!(Manifest::read(&later.to_bytes()), Err(ManifestError::Version(2)));
        assert_eq!(
            Manifest::read(&vec![b' '; MOST_MANIFEST_BYTES + 1]),
            Err(ManifestError::TooLong(MOST_MANIFEST_BYTES + 1))
        );
        for text in ["", "{", "[]", "{\"version\": 1}", "null"] {
            assert!(matches!(Manifest::read(text.as_bytes()), Err(ManifestError::Json(_))), "{text}");
        }
        let unknown =
            String::from_utf8(fine().to_bytes()).unwrap().replacen("\"run\"", "\"code\": \"x\", \"run\"", 1);
        assert!(matches!(Manifest::read(unknown.as_bytes()), Err(ManifestError::Json(_))));
    }

    /// Checks that the largest manifest that can be written can be read.
    #[test]
    fn as_many_files_as_may_be_fit() {
        let names = (1..MOST_PARTS).map(|number| format!("model-{number:05}-of-{MOST_PARTS:05}.safetensors"));
        let names: Vec<_> = names.chain([PROGRESS.to_owned()]).collect();
        let files: Vec<_> = names.iter().map(String::as_str).collect();
        let manifest = manifest(&files).unwrap();
        assert_eq!(Manifest::read(&manifest.to_bytes()), Ok(manifest));
    }

    #[test]
    fn files_are_no_larger_than_the_model() {
        assert_eq!(fine().check_size(1_574_016), Ok(()));
        let mut large = fine();
        large.parts[1].bytes = most_bytes(1000) - 20;
        assert_eq!(large.check_size(1000), Ok(()));
        large.parts[1].bytes += 1;
        let most = most_bytes(1000);
        assert_eq!(large.check_size(1000), Err(ManifestError::TooLarge { found: most + 1, most }));
        large.parts[0].bytes = u64::MAX;
        assert!(large.check_size(u64::MAX).is_ok(), "sizes are added without overflow");
        assert!(large.check_size(1000).is_err());
    }

    #[test]
    fn a_pointer_names_one_manifest() {
        let pointer = Pointer::of(&fine());
        assert_eq!(pointer.manifest, *blake3::hash(&fine().to_bytes()).as_bytes());
        assert_eq!(pointer.check(&fine()), Ok(()));
        let other = Manifest { window: Window(3), ..fine() };
        assert_eq!(
            pointer.check(&other),
            Err(ManifestError::OtherPointer { expected: Window(0), found: Window(3) })
        );
        assert_eq!(pointer.to_bytes().len(), POINTER_BYTES);
        let known =
            Pointer { run: RunHash([1; 32]), window: Window(7), state: State([2; 32]), manifest: [3; 32] };
        let hex = format!("e801{}0700000000000000{}{}", "01".repeat(32), "02".repeat(32), "03".repeat(32));
        assert_eq!(hex::encode(known.to_bytes()), hex);
    }

    proptest! {
        #[test]
        fn pointers_round_trip_and_every_cut_is_noticed(run: [u8; 32], window: u64, state: [u8; 32], manifest: [u8; 32]) {
            let pointer = Pointer { run: RunHash(run), window: Window(window), state: State(state), manifest };
            let bytes = pointer.to_bytes();
            prop_assert_eq!(Pointer::read(&bytes), Ok(pointer));
            for cut in 0..bytes.len() {
                prop_assert!(Pointer::read(&bytes[..cut]).is_err());
            }
            prop_assert!(Pointer::read(&[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn any_text_is_refused_or_a_manifest(bytes in vec(any::<u8>(), 0..200)) {
            prop_assert!(Manifest::read(&bytes).is_err());
        }

        #[test]
        fn a_changed_manifest_is_refused_or_names_files_only(at: prop::sample::Index, to in 32u8..127) {
            let mut bytes = fine().to_bytes();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(read) = Manifest::read(&bytes) {
                prop_assert!(read.parts.iter().all(|part| !part.file.contains('/')), "{:?}", read);
            }
        }
    }
}
