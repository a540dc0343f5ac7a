//! The store of objects in a folder: one file per object, written to a temporary file and renamed.
//!
//! `DATA/BUCKET/objects/` holds the objects under their percent-encoded keys. `DATA/BUCKET/staged/`
//! holds unfinished files; it is emptied at start. Sizes, times and entity tags are kept in memory, and
//! read from the files at start.

mod stage;
mod uploads;

pub(crate) use stage::Staged;
pub(crate) use uploads::PartName;

use crate::names;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};
use thiserror::Error;
use uploads::Upload;

/// The error of an operation on the store.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("no such bucket")]
    NoBucket,
    #[error("no such object")]
    NoObject,
    #[error("no such upload")]
    NoUpload,
    #[error("the key is empty or too long for a file name")]
    KeyTooLong,
    #[error("the object does not meet the condition")]
    Condition,
    #[error("the bytes do not match the checksum")]
    Digest,
    #[error("part {0} is missing, out of order, or does not match the uploaded part")]
    Part(i32),
    #[error("part {0} is smaller than 5 MiB, but not the last part")]
    SmallPart(i32),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The metadata of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) size: u64,
    /// The entity tag: the first half of the content's BLAKE3 hash, as hex. After a multipart upload,
    /// it is the hash of the parts' tags, `-`, and the number of parts. A restart replaces the second
    /// form by the first.
    pub(crate) tag: String,
    pub(crate) modified: SystemTime,
}

/// The condition of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    None,
    /// The object must not exist.
    Absent,
    /// The current object must have this tag.
    Is(String),
}

/// All buckets. A single lock of the bucket protects the check of a condition and the rename of the
/// file. So if several clients race to create an object, exactly one wins.
#[derive(Debug)]
pub(crate) struct Store {
    buckets: BTreeMap<String, Bucket>,
    staged: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    folder: PathBuf,
    objects: Mutex<BTreeMap<String, Object>>,
    uploads: Mutex<HashMap<String, Upload>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the buckets below `data`. Creates missing folders.
    pub(crate) fn open(data: &Path, buckets: impl IntoIterator<Item = String>) -> io::Result<Self> {
        let open = |name: String| Ok((name.clone(), Bucket::open(data.join(name))?));
        let buckets = buckets.into_iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { buckets, staged: AtomicU64::new(0) })
    }

    fn bucket(&self, name: &str) -> Result<&Bucket, StoreError> {
        self.buckets.get(name).ok_or(StoreError::NoBucket)
    }

    pub(crate) fn check_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.bucket(name).map(|_| ())
    }

    /// Creates a temporary file for an upload. Fails if the key does not fit into a file name.
    pub(crate) fn stage(&self, bucket: &str, key: &str) -> Result<Staged, StoreError> {
        let bucket = self.bucket(bucket)?;
        names::file_of(key).ok_or(StoreError::KeyTooLong)?;
        let number = self.staged.fetch_add(1, Relaxed);
        Ok(Staged::create(bucket.folder.join("staged").join(number.to_string()))?)
    }

    /// Makes the temporary file the object, atomically, if the condition holds.
    pub(crate) fn commit(
        &self,
        bucket: &str,
        key: &str,
        staged: Staged,
        condition: &Condition,
    ) -> Result<Object, StoreError> {
        let bucket = self.bucket(bucket)?;
        let path = bucket.path_of(key)?;
        let mut objects = lock(&bucket.objects);
        let holds = match (condition, objects.get(key)) {
            (Condition::None, _) | (Condition::Absent, None) => true,
            (Condition::Is(tag), Some(object)) => *tag == object.tag,
            _ => false,
        };
        if !holds {
            return Err(StoreError::Condition);
        }
        let object = staged.become_file(&path)?;
        objects.insert(key.to_owned(), object.clone());
        Ok(object)
    }

    /// Returns the object and its open file. The file keeps its content even if the object is replaced.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Result<(Object, File), StoreError> {
        let bucket = self.bucket(bucket)?;
        let objects = lock(&bucket.objects);
        let object = objects.get(key).ok_or(StoreError::NoObject)?;
        Ok((object.clone(), File::open(bucket.path_of(key)?)?))
    }

    pub(crate) fn head(&self, bucket: &str, key: &str) -> Result<Object, StoreError> {
        lock(&self.bucket(bucket)?.objects).get(key).cloned().ok_or(StoreError::NoObject)
    }

    /// Lists up to `most` objects whose keys are above `after` and begin with `prefix`, in the order of keys.
    pub(crate) fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Object)>, StoreError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let from = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let objects = lock(&self.bucket(bucket)?.objects);
        let range = objects.range::<str, _>((from, Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(range.take(most).map(|(key, object)| (key.clone(), object.clone())).collect())
    }

    /// Removes an object. An object that does not exist counts as removed.
    pub(crate) fn delete(&self, bucket: &str, key: &str) -> Result<(), StoreError> {
        let bucket = self.bucket(bucket)?;
        let mut objects = lock(&bucket.objects);
        if objects.contains_key(key) {
            fs::remove_file(bucket.path_of(key)?)?;
            objects.remove(key);
        }
        Ok(())
    }
}

impl Bucket {
    fn open(folder: PathBuf) -> io::Result<Self> {
        let (objects, staged) = (folder.join("objects"), folder.join("staged"));
        if staged.exists() {
            fs::remove_dir_all(&staged)?;
        }
        fs::create_dir_all(&objects)?;
        fs::create_dir_all(&staged)?;
        let known = read_objects(&objects)?;
        Ok(Self { folder, objects: Mutex::new(known), uploads: Mutex::default() })
    }

    fn path_of(&self, key: &str) -> Result<PathBuf, StoreError> {
        Ok(self.folder.join("objects").join(names::file_of(key).ok_or(StoreError::KeyTooLong)?))
    }
}

/// Reads the metadata of all objects in a folder. Skips other files, such as backups of an editor.
fn read_objects(folder: &Path) -> io::Result<BTreeMap<String, Object>> {
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(key) = entry.file_name().to_str().and_then(names::key_of) {
            let meta = entry.metadata()?;
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(entry.path())?)?;
            let tag = stage::tag(&hasher);
            objects.insert(key, Object { size: meta.len(), tag, modified: meta.modified()? });
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: &str = "alice";

    fn store(folder: &Path) -> Store {
        Store::open(folder, [BUCKET.to_owned()]).unwrap()
    }

    fn put(store: &Store, key: &str, bytes: &[u8], condition: &Condition) -> Result<Object, StoreError> {
        let mut staged = store.stage(BUCKET, key)?;
        staged.write(bytes)?;
        store.commit(BUCKET, key, staged, condition)
    }

    #[test]
    fn objects_are_plain_files_that_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path());
        let object = put(&first, "run/1", b"hello", &Condition::None).unwrap();
        assert_eq!(fs::read(folder.path().join("alice/objects/run%2F1")).unwrap(), b"hello");
        let unfinished = first.stage(BUCKET, "run/2").unwrap();
        std::mem::forget(unfinished); // Simulates a killed process.
        let again = store(folder.path());
        assert_eq!(again.head(BUCKET, "run/1").unwrap(), object);
        assert_eq!(fs::read_dir(folder.path().join("alice/staged")).unwrap().count(), 0);
    }

    #[test]
    fn conditions_see_the_present_object() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let object = put(&store, "k", b"1", &Condition::Absent).unwrap();
        assert!(matches!(put(&store, "k", b"2", &Condition::Absent), Err(StoreError::Condition)));
        assert!(matches!(
            put(&store, "k", b"2", &Condition::Is("other".to_owned())),
            Err(StoreError::Condition)
        ));
        put(&store, "k", b"2", &Condition::Is(object.tag)).unwrap();
        assert!(matches!(
            put(&store, "none", b"2", &Condition::Is(String::new())),
            Err(StoreError::Condition)
        ));
        assert_eq!(
            fs::read_dir(folder.path().join("alice/staged")).unwrap().count(),
            0,
            "refused bytes are removed"
        );
    }

    #[test]
    fn one_of_many_racing_creators_wins() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        for round in 0..20 {
            let key = format!("k{round}");
            let race = |i: u8| put(&store, &key, &[i], &Condition::Absent).is_ok();
            let won = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..8).map(|i| scope.spawn(move || race(i))).collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).filter(|won| *won).count()
            });
            assert_eq!(won, 1);
        }
    }

    #[test]
    fn lists_are_ordered_pages() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        for key in ["b/2", "a", "b/1", "c", "b/3"] {
            put(&store, key, b"", &Condition::None).unwrap();
        }
        let keys = |prefix: &str, after: Option<&str>, most| -> Vec<String> {
            store.list(BUCKET, prefix, after, most).unwrap().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys("", None, 10), ["a", "b/1", "b/2", "b/3", "c"]);
        assert_eq!(keys("b/", None, 2), ["b/1", "b/2"]);
        assert_eq!(keys("b/", Some("b/2"), 2), ["b/3"]);
        assert_eq!(
            keys("b/", Some("a"), 1),
            ["b/1"],
            "with 'after' below the prefix, the list begins at the prefix"
        );
        assert!(keys("x", None, 10).is_empty());
    }

    #[test]
    fn a_reader_keeps_what_it_opened() {
        use std::io::Read as _;
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        put(&store, "k", b"old", &Condition::None).unwrap();
        let (_, mut file) = store.get(BUCKET, "k").unwrap();
        put(&store, "k", b"new", &Condition::None).unwrap();
        store.delete(BUCKET, "k").unwrap();
        store.delete(BUCKET, "k").unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "old");
        assert!(matches!(store.get(BUCKET, "k"), Err(StoreError::NoObject)));
        assert!(matches!(store.get("bob", "k"), Err(StoreError::NoBucket)));
    }
}
