//! The submissions of this miner, in files: they survive a kill, so that a restart uploads them again.

use crate::Upload;
use base::{
    NeuronId, Window,
    digest::{RunHash, State},
    wire::Reader,
};
use bytes::Bytes;
use codec::submission::{Expected, Header, Submission, SubmissionLayout};
use node::{FileError, replace};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The prefix of the files' names. The window's number follows.
const PREFIX: &str = "submission-";

/// A folder with one file per window.
#[derive(Clone, Debug)]
pub struct Submissions {
    folder: PathBuf,
    run: RunHash,
    neuron: NeuronId,
    layout: Arc<SubmissionLayout>,
    /// Whether the run's submissions are sealed.
    sealed: bool,
}

impl Submissions {
    /// Opens the submissions of a neuron in a run. Creates the folder if it does not exist.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn open(
        folder: &Path,
        run: RunHash,
        neuron: NeuronId,
        layout: Arc<SubmissionLayout>,
        sealed: bool,
    ) -> Result<Self, FileError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(Self { folder: folder.to_owned(), run, neuron, layout, sealed })
    }

    /// Stores the upload of a window.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, window: Window, upload: &Upload) -> Result<(), FileError> {
        replace(&self.path(window), |file| file.write_all(&upload.to_file()))
    }

    /// Returns the submission of a window that was made from a state, if there is one. A file that is
    /// damaged or of another run is ignored.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(&self, window: Window, base: State) -> Result<Option<Submission<Bytes>>, FileError> {
        Ok(self.read(window)?.filter(|found| found.header().base == base))
    }

    /// Returns the submissions of `first` and later windows, in order.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn since(&self, first: Window) -> Result<Vec<Submission<Bytes>>, FileError> {
        let mut windows: Vec<_> = self.windows()?.into_iter().filter(|window| *window >= first).collect();
        windows.sort_unstable();
        let read = windows.into_iter().map(|window| self.read(window));
        read.filter_map(Result::transpose).collect()
    }

    /// Deletes the submissions of earlier windows.
    ///
    /// # Errors
    /// A file cannot be deleted.
    pub fn forget_before(&self, window: Window) -> Result<(), FileError> {
        for path in self.windows()?.into_iter().filter(|found| *found < window).map(|found| self.path(found))
        {
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    fn path(&self, window: Window) -> PathBuf {
        self.folder.join(format!("{PREFIX}{:010}", window.0))
    }

    fn windows(&self) -> Result<Vec<Window>, FileError> {
        let entries = fs::read_dir(&self.folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let names = entries.map_err(at(&self.folder))?.into_iter().map(|entry| entry.file_name());
        let window = |name: std::ffi::OsString| name.to_str()?.strip_prefix(PREFIX)?.parse().ok().map(Window);
        Ok(names.filter_map(window).collect())
    }

    /// Reads the file of a window, and checks all of its bytes.
    fn read(&self, window: Window) -> Result<Option<Submission<Bytes>>, FileError> {
        let path = self.path(window);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(at(&path))?,
        };
        let Some(upload) = Upload::from_file(bytes, self.sealed) else { return Ok(None) };
        let length = upload.bytes.len() as u64;
        let Ok(header) = Header::read(&mut Reader::new(&upload.bytes), length) else { return Ok(None) };
        let expected = Expected {
            run: self.run,
            spec: self.run,
            neuron: self.neuron,
            window,
            base: header.base,
            least_samples: 0,
            sealed: self.sealed,
        };
        Ok(upload.open(&self.layout, &expected).ok())
    }
}

/// Adds the file to an error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    |source| FileError { path: path.to_owned(), source }
}
