//! A run and its data, as they lie on this machine's disk.

use base::{
    Exit, NeuronId, Window,
    digest::{DatasetHash, RunHash, RunId, State, TokenizerHash},
    wire::WireError,
};
use codec::submission::{self, Expected, LayoutError};
use data::{MANIFEST, TOKENIZER, blocks_name, shard_name};
use engine::{ShardError, Shards};
use protocol::{
    clock::Clock,
    dataset::{BlockTable, Manifest, ManifestError, ShardRole},
    model::ParameterLayout,
    run_spec::{RunSpec, RunSpecError},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

/// Most bytes of a run's file, of a dataset's manifest or of a table of blocks.
const MOST_BYTES: u64 = 1 << 30;

/// A run and its data. Everything in it follows from the run's file and the dataset's folder.
#[derive(Debug)]
pub struct Run {
    /// The run.
    pub spec: RunSpec,
    /// Its name in objects.
    pub hash: RunHash,
    /// Its name in commitments.
    pub id: RunId,
    /// Its heights.
    pub clock: Clock,
    /// How its submissions are written.
    pub layout: Arc<submission::SubmissionLayout>,
    /// Where each tensor lies among the parameters.
    pub flat: ParameterLayout,
    /// What its dataset is.
    pub manifest: Manifest,
    /// What is trained on.
    pub training: Arc<Shards>,
    /// What is held out.
    pub held_out: Arc<Shards>,
}

/// Why a run or its data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run's file is none of a launched run.
    #[error("{}: {source}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<RunSpecError>,
    },
    /// The model's tensors cannot be compressed.
    #[error(transparent)]
    ParameterLayout(#[from] LayoutError),
    /// The folder's manifest is none.
    #[error("{}: {source}; prepare the data again with `miner data prepare`", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// It is another dataset.
    #[error("{}: this is dataset {found}, the run is trained on {expected}: fetch or prepare the run's", path.display())]
    OtherDataset {
        /// The folder.
        path: PathBuf,
        /// The run's.
        expected: DatasetHash,
        /// The folder's.
        found: DatasetHash,
    },
    /// It was made with another tokenizer.
    #[error("{}: this is tokenizer {found}, the run's is {expected}: fetch or prepare the run's data", path.display())]
    OtherTokenizer {
        /// The file.
        path: PathBuf,
        /// The run's.
        expected: TokenizerHash,
        /// The one found.
        found: TokenizerHash,
    },
    /// Its tokens or sequences are not those that the model is trained on.
    #[error("{}: its {what} is {found}, the run's is {expected}: the run spec does not fit its own dataset", path.display())]
    Unfit {
        /// The folder.
        path: PathBuf,
        /// Vocabulary or sequence.
        what: &'static str,
        /// The run's.
        expected: u32,
        /// The dataset's.
        found: u32,
    },
    /// A table of blocks is none, or not the manifest's.
    #[error("{}: not the dataset's table of blocks{}; fetch or prepare the data again", path.display(), .source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why, if it cannot be read at all.
        source: Option<WireError>,
    },
    /// Tokens cannot be read, or are not the dataset's.
    #[error(transparent)]
    Shards(#[from] ShardError),
}

impl RunError {
    /// How the program ends: what the operator named is not what it must be.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Run {
    /// Reads a launched run's file and opens its dataset. All tokens are compared with the manifest's hashes once:
    /// `verified` is the file that remembers for which ones that was done.
    ///
    /// # Errors
    /// A file is missing or malformed, or it is another dataset than the run's.
    pub fn open(file: &Path, folder: &Path, verified: &Path) -> Result<Self, RunError> {
        let spec = read_spec(file)?;
        let manifest = read_manifest(folder)?;
        check_dataset(&spec, &manifest, folder)?;
        let training = open_shards(&manifest, ShardRole::Training, folder)?;
        let held_out = open_shards(&manifest, ShardRole::HeldOut, folder)?;
        let stamp = stamp(&manifest, folder)?;
        if fs::read(verified).is_ok_and(|found| found == stamp) {
            tracing::debug!(target: telemetry::target::NODE, "the dataset was verified before");
        } else {
            verify(&training, &manifest, ShardRole::Training, folder)?;
            verify(&held_out, &manifest, ShardRole::HeldOut, folder)?;
            // Where it cannot be noted, the next start verifies again.
            let _ = fs::write(verified, &stamp);
        }
        Self::new(spec, file, manifest, training, held_out)
    }

    fn new(
        spec: RunSpec,
        file: &Path,
        manifest: Manifest,
        training: Shards,
        held_out: Shards,
    ) -> Result<Self, RunError> {
        let wrong = |error: RunSpecError| RunError::Spec { path: file.to_owned(), source: Box::new(error) };
        let clock = spec.clock().map_err(RunSpecError::from).map_err(wrong)?;
        let hash = spec.hash();
        Ok(Self {
            id: hash.id(),
            layout: Arc::new(submission::SubmissionLayout::new(&spec.model.tensors(), &spec.sparse)?),
            flat: ParameterLayout::new(&spec.model),
            training: Arc::new(training),
            held_out: Arc::new(held_out),
            hash,
            clock,
            manifest,
            spec,
        })
    }

    /// What a submission for a window must be, from a neuron that began with this state.
    #[must_use]
    pub fn expected(&self, neuron: NeuronId, window: Window, base: State) -> Expected {
        let least_samples = self.spec.train.samples();
        let sealed = self.spec.acceptance.sealing;
        Expected { run: self.hash, spec: self.hash, neuron, window, base, least_samples, sealed }
    }
}

/// Reads a launched run's file.
///
/// # Errors
/// It cannot be read, or is incomplete.
fn read_spec(path: &Path) -> Result<RunSpec, RunError> {
    let text = String::from_utf8(read(path)?)
        .map_err(|error| file(path)(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))?;
    RunSpec::parse(&text).map_err(|error| RunError::Spec { path: path.to_owned(), source: Box::new(error) })
}

fn read_manifest(folder: &Path) -> Result<Manifest, RunError> {
    let path = folder.join(MANIFEST);
    Manifest::read(&read(&path)?).map_err(|source| RunError::Manifest { path, source })
}

fn check_dataset(spec: &RunSpec, manifest: &Manifest, folder: &Path) -> Result<(), RunError> {
    let (expected, found) = (spec.data.tokenizer, manifest.tokenizer);
    if expected != found {
        return Err(RunError::OtherTokenizer { path: folder.join(MANIFEST), expected, found });
    }
    let (expected, found) = (spec.data.dataset, manifest.hash());
    if expected != found {
        return Err(RunError::OtherDataset { path: folder.to_owned(), expected, found });
    }
    check_tokenizer(spec, folder)?;
    let unfit = |what, expected, found| RunError::Unfit { path: folder.to_owned(), what, expected, found };
    if manifest.vocab > spec.model.vocab {
        return Err(unfit("vocabulary", spec.model.vocab, manifest.vocab));
    }
    match manifest.sequence == spec.train.sequence {
        true => Ok(()),
        false => Err(unfit("sequence", spec.train.sequence, manifest.sequence)),
    }
}

/// The tokenizer's file is for people who use the model; where it is there, it is the run's.
fn check_tokenizer(spec: &RunSpec, folder: &Path) -> Result<(), RunError> {
    let path = folder.join(TOKENIZER);
    if !path.exists() {
        return Ok(());
    }
    let (expected, found) = (spec.data.tokenizer, TokenizerHash::of(&[&read(&path)?]));
    match expected == found {
        true => Ok(()),
        false => Err(RunError::OtherTokenizer { path, expected, found }),
    }
}

/// The files of the shards of a role, in order.
fn files(manifest: &Manifest, role: ShardRole, folder: &Path) -> impl Iterator<Item = PathBuf> {
    let count = manifest.shards.iter().filter(|shard| shard.role == role).count();
    (0..count as u64).map(move |number| folder.join(shard_name(role, number)))
}

fn open_shards(manifest: &Manifest, role: ShardRole, folder: &Path) -> Result<Shards, RunError> {
    Ok(Shards::of(manifest, role, files(manifest, role, folder))?)
}

/// Compares all tokens of a role with the manifest.
fn verify(shards: &Shards, manifest: &Manifest, role: ShardRole, folder: &Path) -> Result<(), RunError> {
    let listed = manifest.shards.iter().filter(|shard| shard.role == role);
    for (number, shard) in (0..).zip(listed) {
        let path = folder.join(blocks_name(role, number));
        let table = BlockTable::read(&read(&path)?);
        let table = table.map_err(|source| RunError::Table { path: path.clone(), source: Some(source) })?;
        if table.hash() != shard.blocks {
            return Err(RunError::Table { path, source: None });
        }
        shards.verify(usize::try_from(number).expect("a manifest has at most 2^16 shards"), &table)?;
    }
    Ok(())
}

/// Changes with the dataset, and whenever one of its files is written.
fn stamp(manifest: &Manifest, folder: &Path) -> Result<Vec<u8>, RunError> {
    let mut text = manifest.hash().to_string();
    let training = files(manifest, ShardRole::Training, folder);
    for path in training.chain(files(manifest, ShardRole::HeldOut, folder)) {
        let metadata = fs::metadata(&path).map_err(file(&path))?;
        let written = metadata.modified().map_err(file(&path))?;
        let written = written.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        text.push_str(&format!("\n{} {} {written}", path.display(), metadata.len()));
    }
    Ok(text.into_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    let length = fs::metadata(path).map_err(file(path))?.len();
    match length > MOST_BYTES {
        true => Err(file(path)(io::Error::new(io::ErrorKind::FileTooLarge, "no such file is so large"))),
        false => fs::read(path).map_err(file(path)),
    }
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_owned();
    |source| RunError::File { path, source }
}
