//! Reads the parameters of a Muster checkpoint, without libtorch.

use base::digest::StateRoot;
use protocol::{
    checkpoint::{MANIFEST, MOST_MANIFEST_BYTES, Manifest, ManifestError, PARAMETERS, PROGRESS, most_bytes},
    model::ParameterLayout,
    progress::{self, Progress, ProgressError},
};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use std::{
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    thread,
};

/// The reason why the parameters of a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file that is too large for this model.
    #[error("{}: the file has more than {most} bytes, the limit for this model's checkpoint", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest allowed size in bytes.
        most: u64,
    },
    /// A manifest that is not valid.
    #[error("cannot use the manifest {}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ManifestError,
    },
    /// A progress file that is not valid.
    #[error("cannot read {}", path.display())]
    Progress {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ProgressError,
    },
    /// A file that is not complete safetensors.
    #[error("{} is not a complete safetensors file", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SafeTensorError,
    },
    /// A tensor whose number type is not f32: other software made the checkpoint.
    #[error("{}: the tensor {name} has type {found:?}: the parameters of a run are F32", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its number type.
        found: Dtype,
    },
    /// A tensor that the model does not have, or that has another shape, or that occurs twice.
    #[error("{}: the tensor {name} of shape {found:?} is not in the run's model, or occurs twice", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor that no file contains.
    #[error("{}: the tensor {name} is missing", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// Parameters whose state root differs from the checkpoint's progress.
    #[error("{}: the parameters have the state root {found}, the checkpoint's progress says {expected}", path.display())]
    OtherRoot {
        /// The folder.
        path: PathBuf,
        /// The state root in the progress.
        expected: StateRoot,
        /// The state root of the parameters.
        found: StateRoot,
    },
}

/// Reads the parameters of a checkpoint, and checks that they have the state root in its progress.
///
/// # Errors
/// A file is missing, malformed or of another model, or the parameters have another state root.
pub fn read_parameters(folder: &Path, layout: &ParameterLayout) -> Result<Vec<f32>, ParametersError> {
    let manifest = read_manifest(folder)?;
    let progress = read_progress(folder)?;
    let wrong = |source| ParametersError::Manifest { path: folder.join(MANIFEST), source };
    manifest.check_progress(&progress).map_err(wrong)?;
    let mut values = Values::new(layout);
    for part in manifest.parts.iter().filter(|part| part.file.ends_with(PARAMETERS)) {
        values.add(&folder.join(&part.file))?;
    }
    let values = values.finish(folder)?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    match layout.state_root(&values, threads) {
        found if found == progress.root => Ok(values),
        found => Err(ParametersError::OtherRoot { path: folder.to_owned(), expected: progress.root, found }),
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest, ParametersError> {
    let path = folder.join(MANIFEST);
    let bytes = read(&path, MOST_MANIFEST_BYTES as u64)?;
    Manifest::read(&bytes).map_err(|source| ParametersError::Manifest { path, source })
}

fn read_progress(folder: &Path) -> Result<Progress, ParametersError> {
    let path = folder.join(PROGRESS);
    let bytes = read(&path, progress::MOST_BYTES as u64)?;
    Progress::read(&bytes).map_err(|source| ParametersError::Progress { path, source })
}

/// Reads a file of at most `most` bytes.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, ParametersError> {
    let fail = |source| ParametersError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(fail)?;
    if bytes.len() as u64 > most {
        Err(ParametersError::TooLarge { path: path.to_owned(), most })
    } else {
        Ok(bytes)
    }
}

/// Parameters during reading, tensor by tensor.
struct Values<'a> {
    layout: &'a ParameterLayout,
    values: Vec<f32>,
    is_read: Vec<bool>,
}

impl<'a> Values<'a> {
    fn new(layout: &'a ParameterLayout) -> Self {
        Self { layout, values: vec![0.0; layout.len()], is_read: vec![false; layout.iter().len()] }
    }

    /// Copies all tensors of a file.
    fn add(&mut self, path: &Path) -> Result<(), ParametersError> {
        let bytes = read(path, most_bytes(self.layout.len() as u64))?;
        let fail = |source| ParametersError::Safetensors { path: path.to_owned(), source };
        for (name, tensor) in SafeTensors::deserialize(&bytes).map_err(fail)?.tensors() {
            let place = self.place(path, name, &tensor)?;
            let (chunks, _) = tensor.data().as_chunks();
            for (value, &bytes) in self.values[place].iter_mut().zip(chunks) {
                *value = f32::from_le_bytes(bytes);
            }
        }
        Ok(())
    }

    /// Returns the place of a tensor, and marks the tensor as read. A second call for the same tensor
    /// fails.
    fn place(
        &mut self,
        path: &Path,
        name: String,
        tensor: &TensorView<'_>,
    ) -> Result<Range<usize>, ParametersError> {
        let path = path.to_owned();
        if tensor.dtype() != Dtype::F32 {
            return Err(ParametersError::Kind { path, name, found: tensor.dtype() });
        }
        let place = self.layout.position(&name).filter(|&number| !self.is_read[number]).and_then(|number| {
            let (wanted, place) = self.layout.iter().nth(number)?;
            (wanted.shape == tensor.shape()).then_some((number, place))
        });
        match place {
            Some((number, place)) => {
                self.is_read[number] = true;
                Ok(place)
            }
            None => Err(ParametersError::Shape { path, name, found: tensor.shape().to_vec() }),
        }
    }

    fn finish(self, folder: &Path) -> Result<Vec<f32>, ParametersError> {
        match self.layout.iter().zip(&self.is_read).find(|(_, is_read)| !**is_read) {
            None => Ok(self.values),
            Some(((tensor, _), _)) => {
                Err(ParametersError::Missing { path: folder.to_owned(), name: tensor.name.clone() })
            }
        }
    }
}
