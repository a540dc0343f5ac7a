//! Checkpoints: folders in Hugging Face's layout, with a manifest of our own beside.
//!
//! ```text
//! config.json                        the model, as `transformers` reads it
//! model-00001-of-00002.safetensors   parameters, f32, in the order of their names
//! model.safetensors.index.json       which tensor is in which file
//! muster.progress                    what belongs to the parameters: run, history, state root, last medians
//! muster.json                        which run, window and state this is; size and hash of each file
//! ```
//!
//! Our checkpoints load in `transformers`; a checkpoint made by `transformers` loads here, without a manifest, from
//! f32, bf16 or f16, in one file or several. A folder appears under its name when all of it is on the disk.

mod config;
mod manifest;
mod optimizer;
mod read;
mod write;

pub use manifest::check;

use protocol::{checkpoint::ManifestError, model::ModelError, progress::ProgressError};
use safetensors::{Dtype, SafeTensorError};
use std::{
    io,
    path::{Path, PathBuf},
};
use tch::TchError;

const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is there already.
    #[error("{}: a checkpoint is never written over another; remove it or choose another folder", .0.display())]
    Exists(PathBuf),
    /// A file that is not JSON of the form that it should have.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A file that is not safetensors: cut off, most often.
    #[error("{}: not a whole safetensors file ({source})", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },
    /// A model that this engine cannot compute.
    #[error("{}: {what} is {found}: this engine computes {expected}", path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Values that are no model.
    #[error("{}: {source}", path.display())]
    Model {
        /// The configuration.
        path: PathBuf,
        /// Why.
        source: ModelError,
    },
    /// A checkpoint of another model.
    #[error("{}: model.{what} is {found}, the run's is {expected}: this is a checkpoint of another model", path.display())]
    OtherModel {
        /// The configuration.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// Its value in the checkpoint.
        found: String,
        /// Its value in the run.
        expected: String,
    },
    /// A tensor that is in no file.
    #[error("{}: the tensor {name} is missing", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the model's.
    #[error("{}: the tensor {name} has shape {found:?}, the model's has {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// Its shape in the model.
        expected: Vec<usize>,
    },
    /// A tensor of numbers that are not read.
    #[error("{}: the tensor {name} is of {found:?}: F32, BF16 and F16 are read", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its kind.
        found: Dtype,
    },
    /// A file name that leads out of the folder.
    #[error("{}: {name:?} is no name of a file beside it", path.display())]
    Name {
        /// The file that names it.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A manifest that is none, or not that of these files.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// What belongs to the parameters cannot be read.
    #[error("{}: {source}", path.display())]
    Progress {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ProgressError,
    },
    /// A file that is not the one that the manifest names.
    #[error("{}: the file differs from what the manifest says ({what}): fetch the checkpoint again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// libtorch could not copy the values.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// Makes an error of a file.
fn file(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::File { path, source }
}

/// Makes an error of a JSON file.
fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::Json { path, source }
}

/// Makes an error of a safetensors file.
fn safetensors(path: &Path) -> impl FnOnce(SafeTensorError) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::Safetensors { path, source }
}

/// The path of a file that another file names: it lies beside it.
fn beside(path: &Path, name: &str) -> Result<PathBuf, CheckpointError> {
    let plain = Path::new(name).file_name().is_some_and(|last| last == name);
    match plain {
        true => Ok(path.with_file_name(name)),
        false => Err(CheckpointError::Name { path: path.to_owned(), name: name.to_owned() }),
    }
}
