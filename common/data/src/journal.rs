//! The journal: files that let a preparation resume where an earlier one ended.

use crate::{
    Format, InputError, OutputError, PrepareError, Report,
    corpus::{Counts, Position},
    files::{NOTES, is_ours, remove, shard_name, sync_folder, write_atomically},
    inputs::Input,
    shards::Totals,
};
use protocol::dataset::ShardRole;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

/// The progress of the work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) position: Position,
    pub(crate) counts: Counts,
    /// The number of tokens in the order of the text.
    pub(crate) tokenized: Totals,
    /// Whether all text is tokenized. Then the numbers of tokens are those of whole blocks and sequences.
    pub(crate) complete: bool,
    /// The number of tokens in the shards.
    pub(crate) shuffled: Totals,
    /// The number of tokens after the last whole block or sequence.
    pub(crate) dropped: u64,
    /// The result, once the preparation is finished.
    pub(crate) report: Option<Report>,
}

/// The locked output folder, and the journal in it.
pub(crate) struct Work {
    folder: PathBuf,
    notes: PathBuf,
    _lock: File,
}

impl Work {
    /// Opens and locks the folder. With `restart`, removes the work of an earlier preparation.
    pub(crate) fn open(folder: &Path, restart: bool) -> Result<Self, OutputError> {
        let fail = |source| OutputError::new(folder, source);
        let notes = folder.join(NOTES);
        fs::create_dir_all(folder).map_err(fail)?;
        let empty = fs::read_dir(folder).map_err(fail)?.next().is_none();
        if !empty && !notes.is_dir() {
            return Err(OutputError::Foreign(folder.into()));
        }
        fs::create_dir_all(&notes).map_err(fail)?;
        let lock = File::create(notes.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutputError::Busy(folder.into())),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let this = Self { folder: folder.into(), notes, _lock: lock };
        if restart {
            this.clear()?;
        }
        Ok(this)
    }

    /// Removes the files of an earlier preparation. Its inputs and options are removed last. The lock stays.
    fn clear(&self) -> Result<(), OutputError> {
        let fail = |source| OutputError::new(&self.folder, source);
        remove(&self.journal())?;
        for entry in fs::read_dir(&self.folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if is_ours(&entry.file_name()) {
                remove(&entry.path())?;
            }
        }
        self.clear_tokenized()?;
        remove(&self.notes.join("inputs"))?;
        remove(&self.notes.join("options"))?;
        sync_folder(&self.folder).map_err(fail)
    }

    /// Returns the folder that holds the tokens in the order of the text until they are shuffled.
    pub(crate) fn tokenized(&self) -> &Path {
        &self.notes
    }

    /// Removes the tokens in the order of the text.
    pub(crate) fn clear_tokenized(&self) -> Result<(), OutputError> {
        let mut roles = [ShardRole::Training, ShardRole::HeldOut].into_iter();
        roles.try_for_each(|role| remove(&self.notes.join(shard_name(role, 0))))
    }

    /// Checks that the options and inputs are those of the work that was begun here. Stores them if no
    /// work was begun. Inputs after `until` are not read yet and may have changed. If `until` is
    /// `None`, no input may have changed.
    pub(crate) fn agree(
        &self,
        options: &Map<String, Value>,
        inputs: &[Input],
        until: Option<&Position>,
    ) -> Result<(), PrepareError> {
        if let Some(before) = self.read::<Map<String, Value>>("options")? {
            self.same_options(&before, options)?;
            let noted: Vec<Input> = self.read("inputs")?.unwrap_or_default();
            if noted == inputs {
                return Ok(());
            }
            same_inputs(&noted, inputs, until)?;
        }
        self.write("inputs", &inputs)?;
        Ok(self.write("options", options)?)
    }

    fn same_options(&self, before: &Map<String, Value>, now: &Map<String, Value>) -> Result<(), OutputError> {
        let differs = before.keys().chain(now.keys()).find(|name| before.get(*name) != now.get(*name));
        let show = |value: Option<&Value>| match value {
            None | Some(Value::Null) => "not given".into(),
            Some(value) => value.to_string(),
        };
        differs.map_or(Ok(()), |name| {
            let (was, now) = (show(before.get(name)), show(now.get(name)));
            Err(OutputError::OtherOptions { folder: self.folder.clone(), option: name.clone(), was, now })
        })
    }

    /// Loads the progress. Returns the initial state if no work was begun.
    pub(crate) fn load(&self) -> Result<Journal, OutputError> {
        Ok(self.read("journal")?.unwrap_or_default())
    }

    /// Saves the progress. The caller has saved the shards before.
    pub(crate) fn save(&self, journal: &Journal) -> Result<(), OutputError> {
        self.write("journal", journal)
    }

    fn journal(&self) -> PathBuf {
        self.notes.join("journal")
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, OutputError> {
        let path = self.notes.join(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| OutputError::Journal { path, reason: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OutputError::new(path, error)),
        }
    }

    fn write<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), OutputError> {
        let path = self.notes.join(name);
        let bytes = serde_json::to_vec(value)
            .map_err(|error| OutputError::Journal { path: path.clone(), reason: error.to_string() })?;
        write_atomically(&path, &bytes)
    }
}

fn same_inputs(before: &[Input], now: &[Input], until: Option<&Position>) -> Result<(), InputError> {
    let same = |at: usize| match (before.get(at), now.get(at), until) {
        // The input in progress. Its bytes up to the position are compared when it is opened.
        (Some(before), Some(now), Some(until)) if at == until.input && now.format != Format::Parquet => {
            until.offset == 0 || before.is_place_of(now)
        }
        (before, now, Some(until)) if at == until.input => until.offset == 0 || before == now,
        (before, now, _) => before == now,
    };
    let done = until.map_or(before.len().max(now.len()), |until| until.input + 1);
    let differs = (0..done).find(|&at| !same(at));
    let named = differs.and_then(|at| now.get(at).or_else(|| before.get(at)));
    named.map_or(Ok(()), |input| Err(InputError::Changed(input.to_string())))
}
