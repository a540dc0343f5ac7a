//! A run and its dataset, on this machine's disk.

use crate::{Config, NodeError};
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

/// The file that stores which data was verified.
const VERIFIED: &str = "verified";
/// The largest size of a run's file, of a dataset's manifest or of a table of blocks, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// A run and its data. Everything in it follows from the run's file and the dataset's folder.
#[derive(Debug)]
pub struct Run {
    /// The run spec.
    pub spec: RunSpec,
    /// The run's name in objects.
    pub hash: RunHash,
    /// The run's name in commitments.
    pub id: RunId,
    /// The run's heights.
    pub clock: Clock,
    /// The layout of its submissions.
    pub layout: Arc<submission::SubmissionLayout>,
    /// The place of each tensor among the parameters.
    pub flat: ParameterLayout,
    /// The manifest of its dataset.
    pub manifest: Manifest,
    /// The training data.
    pub training: Arc<Shards>,
    /// The held-out data.
    pub held_out: Arc<Shards>,
}

/// The error of a run or a dataset that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The run's file is not of a launched run.
    #[error("cannot use the run file {}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<RunSpecError>,
    },
    /// The model's tensors cannot be compressed.
    #[error(transparent)]
    ParameterLayout(#[from] LayoutError),
    /// The folder's manifest is not valid.
    #[error("cannot use the manifest {} (prepare the data again with `miner data prepare`)", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ManifestError,
    },
    /// The dataset is not the run's.
    #[error("{}: this is dataset {found}, the run is trained on {expected}: fetch or prepare the run's", path.display())]
    OtherDataset {
        /// The folder.
        path: PathBuf,
        /// The value of the run.
        expected: DatasetHash,
        /// The value of the folder.
        found: DatasetHash,
    },
    /// The dataset was made with another tokenizer than the run's.
    #[error("{}: this is tokenizer {found}, the run's is {expected}: fetch or prepare the run's data", path.display())]
    OtherTokenizer {
        /// The file.
        path: PathBuf,
        /// The value of the run.
        expected: TokenizerHash,
        /// The value of the file.
        found: TokenizerHash,
    },
    /// The dataset's vocabulary or sequence length does not fit the model.
    #[error("{}: its {what} is {found}, the run's is {expected}: the run spec does not fit its own dataset", path.display())]
    Unfit {
        /// The folder.
        path: PathBuf,
        /// The property: vocabulary or sequence.
        what: &'static str,
        /// The value of the run.
        expected: u32,
        /// The value of the dataset.
        found: u32,
    },
    /// A table of blocks is not valid, or not the manifest's.
    #[error("{} is not the dataset's table of blocks (fetch or prepare the data again)", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The cause, if it cannot be read at all.
        source: Option<WireError>,
    },
    /// Tokens cannot be read, or are not the dataset's.
    #[error(transparent)]
    Shards(#[from] ShardError),
}

impl RunError {
    /// Returns the exit code of the program: the operator named a wrong file or folder.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Run {
    /// Opens the run and the dataset that a configuration names, on a thread for blocking work: see
    /// [`Self::open`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn load(config: &Config) -> Result<Self, NodeError> {
        let (spec, data) = (config.run.clone(), config.data.clone());
        let verified = config.node.folder.join(VERIFIED);
        let opened = tokio::task::spawn_blocking(move || Self::open(&spec, &data, &verified)).await;
        Ok(opened.map_err(|_| NodeError::Shutdown)??)
    }

    /// Reads the spec of a launched run.
    ///
    /// # Errors
    /// The file cannot be read, or is incomplete.
    pub fn read_spec(path: &Path) -> Result<RunSpec, RunError> {
        let text = String::from_utf8(read(path)?)
            .map_err(|error| file(path)(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))?;
        RunSpec::parse(&text)
            .map_err(|error| RunError::Spec { path: path.to_owned(), source: Box::new(error) })
    }

    /// Reads a launched run's file and opens its dataset. Compares all tokens with the manifest's hashes
    /// once: the file `verified` stores for which files that was done.
    ///
    /// # Errors
    /// A file is missing or malformed, or it is another dataset than the run's.
    pub fn open(file: &Path, folder: &Path, verified: &Path) -> Result<Self, RunError> {
        let spec = Self::read_spec(file)?;
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
            // If this fails, the next start verifies again.
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

    /// Returns the required contents of a neuron's submission for a window that was trained from this state.
    #[must_use]
    pub fn expected(&self, neuron: NeuronId, window: Window, base: State) -> Expected {
        let least_samples = self.spec.train.least_samples();
        let sealed = self.spec.acceptance.sealing;
        Expected { run: self.hash, spec: self.hash, neuron, window, base, least_samples, sealed }
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest, RunError> {
    let path = folder.join(MANIFEST);
    Manifest::read(&read(&path)?).map_err(|source| RunError::Manifest { path, source })
}

fn check_dataset(spec: &RunSpec, manifest: &Manifest, folder: &Path) -> Result<(), RunError> {
    let expected = spec.data.tokenizer;
    let found = manifest.tokenizer;
    if expected != found {
        return Err(RunError::OtherTokenizer { path: folder.join(MANIFEST), expected, found });
    }
    let expected = spec.data.dataset;
    let found = manifest.hash();
    if expected != found {
        return Err(RunError::OtherDataset { path: folder.to_owned(), expected, found });
    }
    check_tokenizer(spec, folder)?;
    let unfit = |what, expected, found| RunError::Unfit { path: folder.to_owned(), what, expected, found };
    if manifest.vocab > spec.model.vocab {
        return Err(unfit("vocabulary", spec.model.vocab, manifest.vocab));
    }
    if manifest.sequence == spec.train.sequence {
        Ok(())
    } else {
        Err(unfit("sequence", spec.train.sequence, manifest.sequence))
    }
}

/// Checks that the tokenizer's file is the run's, if it exists. The file is for users of the model.
fn check_tokenizer(spec: &RunSpec, folder: &Path) -> Result<(), RunError> {
    let path = folder.join(TOKENIZER);
    if !path.exists() {
        return Ok(());
    }
    let expected = spec.data.tokenizer;
    let found = TokenizerHash::of(&[&read(&path)?]);
    if expected == found { Ok(()) } else { Err(RunError::OtherTokenizer { path, expected, found }) }
}

/// Returns the files of the shards of a role, in order.
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

/// Returns a text that changes with the dataset, and with each write to one of its files.
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
    if length > MOST_BYTES {
        Err(file(path)(io::Error::new(io::ErrorKind::FileTooLarge, "no such file is so large")))
    } else {
        fs::read(path).map_err(file(path))
    }
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_owned();
    |source| RunError::File { path, source }
}
