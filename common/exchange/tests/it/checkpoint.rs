//! Tests of checkpoints: upload, download, and attacks by a bucket's owner.

use crate::support::*;
use base::{
    Window,
    digest::{RunHash, RunSeed, StateRoot},
};
use codec::aggregate::StepNorms;
use exchange::{FetchError, ParametersError, read_parameters};
use protocol::{
    bucket_layout,
    checkpoint::{MANIFEST, Manifest, ManifestError, PROGRESS, Part, Pointer, most_bytes},
    history::{History, WindowRecord},
    model::ParameterLayout,
    progress::Progress,
};
use safetensors::{Dtype, tensor::TensorView};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use storage::StorageError;

const OWNER: &str = "val-a";
const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

fn flat() -> ParameterLayout {
    ParameterLayout::new(&model())
}

fn values() -> Vec<f32> {
    flat().initial(&RunSeed([3; 32]))
}

fn progress(window: u64) -> Progress {
    let mut history = History::new(&RUN);
    for window in (0..window).map(Window) {
        let state = history.state(&StateRoot([2; 32]));
        history.push_record(WindowRecord { window, state, accepted: vec![], voters: vec![] }).unwrap();
    }
    let norms = vec![1.0; flat().iter().len()];
    let norms = Some(StepNorms { medians: norms.clone(), references: norms });
    Progress { run: RUN, history, root: flat().state_root(&values(), 1), norms }
}

/// Tensors in order, as bytes.
type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn tensors() -> Tensors {
    let layout = flat();
    let values = values();
    let tensor = |(tensor, place): (&base::tensor::TensorSpec, std::ops::Range<usize>)| {
        let bytes = values[place].iter().flat_map(|value| value.to_le_bytes()).collect();
        (tensor.name.clone(), Dtype::F32, tensor.shape.clone(), bytes)
    };
    layout.iter().map(tensor).collect()
}

fn write_tensors(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn part(folder: &Path, file: &str) -> Part {
    let bytes = fs::read(folder.join(file)).unwrap();
    Part { file: file.to_owned(), bytes: bytes.len() as u64, blake3: *blake3::hash(&bytes).as_bytes() }
}

/// Writes progress and manifest of a folder. The manifest names all files.
fn seal(folder: &Path, progress: &Progress) -> Manifest {
    fs::write(folder.join(PROGRESS), progress.to_bytes()).unwrap();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let parts = files.filter(|file| file != MANIFEST).map(|file| part(folder, &file)).collect();
    let manifest = Manifest::new(progress, parts).unwrap();
    fs::write(folder.join(MANIFEST), manifest.to_bytes()).unwrap();
    manifest
}

/// Saves a checkpoint of the start of a window, in two files.
pub(crate) fn save(folder: &Path, window: u64) -> (PathBuf, Manifest) {
    let folder = folder.join(format!("window-{window}"));
    fs::create_dir(&folder).unwrap();
    let mut first = tensors();
    let second = first.split_off(4);
    write_tensors(&folder.join(FIRST), &first);
    write_tensors(&folder.join(SECOND), &second);
    fs::write(folder.join("config.json"), "{}").unwrap();
    let manifest = seal(&folder, &progress(window));
    (folder, manifest)
}

/// An uploaded checkpoint, and a folder for the download.
struct Uploaded {
    buckets: Buckets,
    local: tempfile::TempDir,
    folder: PathBuf,
    manifest: Manifest,
    pointer: Pointer,
}

impl Uploaded {
    async fn start() -> Self {
        let buckets = Buckets::start().await;
        let local = tempfile::tempdir().unwrap();
        let (folder, manifest) = save(local.path(), 7);
        let pointer = buckets.own_bucket(OWNER).put_checkpoint(&folder, &manifest).await.unwrap();
        Self { buckets, local, folder, manifest, pointer }
    }

    fn target(&self) -> PathBuf {
        self.local.path().join("downloaded")
    }

    async fn download_to(&self, into: &Path) -> Result<(Manifest, Progress), FetchError> {
        let (fetcher, state) = (self.buckets.fetcher(), self.buckets.quiet());
        let pointer = fetcher.checkpoint_pointer(&state, &id(OWNER), &RUN).await?;
        fetcher.checkpoint(&state, &[id(OWNER)], &pointer, &flat(), into).await
    }

    /// Returns the error of the download, and checks that it leaves nothing behind.
    async fn refused(&self) -> FetchError {
        let error = self.download_to(&self.target()).await.unwrap_err();
        let left: Vec<_> =
            fs::read_dir(self.local.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["window-7"], "{error}");
        error
    }

    async fn replace(&self, file: &str, bytes: &[u8]) {
        self.buckets.put(OWNER, &bucket_layout::checkpoint(RUN.id(), Window(7), file), bytes).await;
    }

    /// Uploads another manifest, with a pointer to it.
    async fn replace_manifest(&self, manifest: &Manifest) {
        self.replace(MANIFEST, &manifest.to_bytes()).await;
        let key = bucket_layout::checkpoint_pointer(RUN.id());
        self.buckets.put(OWNER, &key, &Pointer::of(manifest).to_bytes()).await;
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[tokio::test]
async fn a_checkpoint_comes_back_file_by_file() {
    let there = Uploaded::start().await;
    there.replace("more.safetensors", b"what the manifest does not name").await;
    let (manifest, progress) = there.download_to(&there.target()).await.unwrap();
    assert_eq!((&manifest, &progress), (&there.manifest, &self::progress(7)));
    assert_eq!(contents(&there.target()), contents(&there.folder));
    assert_eq!(read_parameters(&there.target(), &flat()).unwrap(), values());
    let expected = Pointer { run: RUN, window: Window(7), state: progress.state(), ..there.pointer };
    assert_eq!(there.pointer, expected);
}

#[tokio::test]
async fn a_changed_byte_in_any_file_is_noticed() {
    let there = Uploaded::start().await;
    for (file, bytes) in contents(&there.folder) {
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        for wrong in [&changed[..], &bytes[..bytes.len() - 1]] {
            there.replace(&file, wrong).await;
            let error = there.refused().await;
            let fine = match &error {
                FetchError::OtherManifest { .. } => file == MANIFEST,
                FetchError::WrongFile { file: found } => *found == file && wrong.len() == bytes.len(),
                FetchError::Storage { source, .. } => matches!(source, StorageError::OutOfRange { .. }),
                _ => false,
            };
            assert!(fine, "{file}: {error}");
        }
        there.replace(&file, &bytes).await;
    }
    there.download_to(&there.target()).await.unwrap();
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let there = Uploaded::start().await;
    for name in ["../x.json", "../../etc/x.json", "/tmp/x.json", "sub/x.json", "..", "run.sh", ".x.json"] {
        let mut manifest = there.manifest.clone();
        manifest.parts[0].file = name.to_owned();
        there.replace(name.trim_start_matches(['.', '/']), b"{}").await;
        there.replace_manifest(&manifest).await;
        let error = there.refused().await;
        assert!(
            matches!(&error, FetchError::Manifest { source: ManifestError::Name(found), .. } if found == name),
            "{error}"
        );
    }
}

#[tokio::test]
async fn more_than_the_model_is_refused_before_it_comes() {
    let there = Uploaded::start().await;
    let mut manifest = there.manifest.clone();
    manifest.parts[1].bytes = most_bytes(flat().len() as u64);
    there.replace_manifest(&manifest).await;
    let error = there.refused().await;
    assert!(matches!(&error, FetchError::Manifest { source: ManifestError::TooLarge { .. }, .. }), "{error}");
}

#[tokio::test]
async fn progress_of_another_state_is_refused() {
    let there = Uploaded::start().await;
    let other = Progress { root: StateRoot([1; 32]), ..progress(7) };
    let mut manifest = there.manifest.clone();
    let bytes = other.to_bytes();
    let own = manifest.parts.iter_mut().find(|part| part.file == PROGRESS).unwrap();
    own.blake3 = *blake3::hash(&bytes).as_bytes();
    there.replace(PROGRESS, &bytes).await;
    there.replace_manifest(&manifest).await;
    let error = there.refused().await;
    let of = |error: &FetchError| {
        matches!(error, FetchError::Manifest { source: ManifestError::OtherProgress { .. }, .. })
    };
    assert!(of(&error), "{error}");

    let own = manifest.parts.iter_mut().find(|part| part.file == PROGRESS).unwrap();
    own.blake3 = *blake3::hash(&[7; 20]).as_bytes();
    own.bytes = 20;
    there.replace(PROGRESS, &[7; 20]).await;
    there.replace_manifest(&manifest).await;
    let error = there.refused().await;
    assert!(matches!(&error, FetchError::Progress { .. }), "{error}");
}

#[tokio::test]
async fn pointers_lead_to_what_they_name_or_nowhere() {
    let there = Uploaded::start().await;
    let key = bucket_layout::checkpoint_pointer(RUN.id());
    let other_run = Pointer { run: RunHash([1; 32]), ..there.pointer };
    there.buckets.put(OWNER, &key, &other_run.to_bytes()).await;
    let error = there.refused().await;
    assert!(matches!(error, FetchError::OtherRun { .. }), "{error}");

    let other_state = Pointer { state: progress(6).state(), ..there.pointer };
    there.buckets.put(OWNER, &key, &other_state.to_bytes()).await;
    let error = there.refused().await;
    let of = |error: &FetchError| {
        matches!(error, FetchError::Manifest { source: ManifestError::OtherPointer { .. }, .. })
    };
    assert!(of(&error), "{error}");

    there.buckets.put(OWNER, &key, b"latest").await;
    let error = there.refused().await;
    assert!(matches!(error, FetchError::Pointer { .. }), "{error}");

    let elsewhere = Pointer { window: Window(8), ..there.pointer };
    there.buckets.put(OWNER, &key, &elsewhere.to_bytes()).await;
    let error = there.refused().await;
    assert!(matches!(&error, FetchError::Storage { source: StorageError::NotFound { .. }, .. }), "{error}");

    there.buckets.own(OWNER).delete(&key, LONG).await.unwrap();
    let error = there.refused().await;
    assert!(matches!(&error, FetchError::Storage { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn the_pointer_moves_when_all_is_there() {
    let there = Uploaded::start().await;
    let (folder, manifest) = save(there.local.path(), 8);
    fs::rename(folder.join(SECOND), there.local.path().join("away")).unwrap();
    let own_bucket = there.buckets.own_bucket(OWNER);
    assert!(own_bucket.put_checkpoint(&folder, &manifest).await.is_err(), "a file is missing");
    assert_eq!(there.download_to(&there.target()).await.unwrap().0, there.manifest);
    fs::rename(there.local.path().join("away"), folder.join(SECOND)).unwrap();
    own_bucket.put_checkpoint(&folder, &manifest).await.unwrap();
    let newer = there.local.path().join("newer");
    assert_eq!(there.download_to(&newer).await.unwrap(), (manifest, progress(8)));
}

#[tokio::test]
async fn nothing_is_written_over_and_leftovers_are_replaced() {
    let there = Uploaded::start().await;
    let partial = there.local.path().join("downloaded.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("left.safetensors"), "half").unwrap();
    there.download_to(&there.target()).await.unwrap();
    assert!(!partial.exists() && !there.target().join("left.safetensors").exists());
    let error = there.download_to(&there.target()).await.unwrap_err();
    assert!(
        base::ErrorChain(&error).to_string().contains("a checkpoint never overwrites another"),
        "{error}"
    );
    assert_eq!(read_parameters(&there.target(), &flat()).unwrap(), values());
}

/// Reads a checkpoint whose tensors were changed before its manifest was written.
fn changed(change: impl FnOnce(&mut Tensors)) -> Result<Vec<f32>, ParametersError> {
    let folder = tempfile::tempdir().unwrap();
    let mut all = tensors();
    change(&mut all);
    write_tensors(&folder.path().join("model.safetensors"), &all);
    seal(folder.path(), &progress(7));
    read_parameters(folder.path(), &flat())
}

#[test]
fn parameters_are_those_of_the_progress_or_an_error() {
    assert_eq!(changed(|_| {}).unwrap(), values());
    let error = changed(|tensors| tensors[0].3[0] ^= 1).unwrap_err();
    assert!(matches!(error, ParametersError::OtherRoot { .. }), "{error}");
    let error = changed(|tensors| drop(tensors.remove(2))).unwrap_err();
    assert!(matches!(&error, ParametersError::Missing { name, .. } if *name == tensors()[2].0), "{error}");
    let error = changed(|tensors| tensors[0].2.reverse()).unwrap_err();
    assert!(matches!(error, ParametersError::Shape { .. }), "{error}");
    let error = changed(|tensors| tensors[0].0.push('x')).unwrap_err();
    assert!(matches!(error, ParametersError::Shape { .. }), "a tensor that the model does not have: {error}");
    let error = changed(|tensors| tensors[0].1 = Dtype::I32).unwrap_err();
    assert!(base::ErrorChain(&error).to_string().contains("the parameters of a run are F32"), "{error}");
}

#[test]
fn files_that_are_none_are_named() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, _) = save(parent.path(), 7);
    let refused = || base::ErrorChain(&read_parameters(&folder, &flat()).unwrap_err()).to_string();
    let whole = fs::read(folder.join(SECOND)).unwrap();
    for length in [0, 4, 60, whole.len() - 1] {
        fs::write(folder.join(SECOND), &whole[..length]).unwrap();
        assert!(refused().contains("not a complete safetensors file"), "{length}: {}", refused());
    }
    fs::copy(folder.join(FIRST), folder.join(SECOND)).unwrap();
    assert!(refused().contains("or occurs twice"), "{}", refused());
    fs::write(folder.join(PROGRESS), "x").unwrap();
    assert!(refused().contains("muster.progress: the progress is malformed"), "{}", refused());
    fs::write(folder.join(MANIFEST), "x").unwrap();
    assert!(refused().contains("muster.json: the manifest cannot be read"), "{}", refused());
}
