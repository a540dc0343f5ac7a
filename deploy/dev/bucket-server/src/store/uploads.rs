//! Multipart uploads.

use super::{Condition, Object, Staged, Store, StoreError, lock};
use std::{collections::BTreeMap, time::SystemTime};

/// The minimum size of a part in bytes, except the last part (S3's limit).
const SMALLEST_PART: u64 = 5 << 20;

/// An unfinished multipart upload. It is lost when the server ends.
#[derive(Debug)]
pub(crate) struct Upload {
    key: String,
    started: SystemTime,
    /// Whether the completion must repeat the CRC-32 of each part, as some providers require.
    checked: bool,
    parts: BTreeMap<i32, Staged>,
}

/// A part in the client's request to complete an upload.
#[derive(Clone, Debug)]
pub(crate) struct PartName {
    pub(crate) number: i32,
    pub(crate) tag: String,
    pub(crate) crc32: Option<[u8; 4]>,
}

impl Store {
    /// Begins an upload. Returns its id, which cannot be guessed.
    pub(crate) fn begin_upload(&self, bucket: &str, key: &str, checked: bool) -> Result<String, StoreError> {
        let bucket = self.bucket(bucket)?;
        bucket.path_of(key)?;
        let id = format!("{:032x}", rand::random::<u128>());
        let upload =
            Upload { key: key.to_owned(), started: SystemTime::now(), checked, parts: BTreeMap::new() };
        lock(&bucket.uploads).insert(id.clone(), upload);
        Ok(id)
    }

    /// Adds a part to an upload. Replaces an earlier part with the same number. Returns the tag of the part.
    pub(crate) fn add_part(
        &self,
        bucket: &str,
        (key, id): (&str, &str),
        number: i32,
        mut part: Staged,
    ) -> Result<String, StoreError> {
        part.flush()?;
        let tag = part.tag();
        let mut uploads = lock(&self.bucket(bucket)?.uploads);
        let upload = uploads.get_mut(id).filter(|upload| upload.key == key).ok_or(StoreError::NoUpload)?;
        upload.parts.insert(number, part);
        Ok(tag)
    }

    /// Joins the named parts into the object. If the parts do not match the names, the upload stays open.
    pub(crate) fn complete_upload(
        &self,
        bucket: &str,
        (key, id): (&str, &str),
        names: &[PartName],
        condition: &Condition,
    ) -> Result<Object, StoreError> {
        let upload = {
            let mut uploads = lock(&self.bucket(bucket)?.uploads);
            uploads.get(id).filter(|upload| upload.key == key).ok_or(StoreError::NoUpload)?.check(names)?;
            uploads.remove(id).ok_or(StoreError::NoUpload)?
        };
        let mut parts = upload.parts;
        let parts: Vec<Staged> = names.iter().filter_map(|name| parts.remove(&name.number)).collect();
        let joined = self.stage(bucket, key)?.join(&parts)?;
        self.commit(bucket, key, joined, condition)
    }

    /// Removes an upload and its parts.
    pub(crate) fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<(), StoreError> {
        let mut uploads = lock(&self.bucket(bucket)?.uploads);
        uploads.get(id).filter(|upload| upload.key == key).ok_or(StoreError::NoUpload)?;
        uploads.remove(id);
        Ok(())
    }

    /// Lists the unfinished uploads: key, id and start, ordered by key and start.
    pub(crate) fn uploads(&self, bucket: &str) -> Result<Vec<(String, String, SystemTime)>, StoreError> {
        let uploads = lock(&self.bucket(bucket)?.uploads);
        let mut list: Vec<_> =
            uploads.iter().map(|(id, upload)| (upload.key.clone(), id.clone(), upload.started)).collect();
        list.sort_by(|(a, x, t), (b, y, u)| (a, t, x).cmp(&(b, u, y)));
        Ok(list)
    }
}

impl Upload {
    fn check(&self, names: &[PartName]) -> Result<(), StoreError> {
        if names.is_empty() || !names.is_sorted_by(|a, b| a.number < b.number) {
            return Err(StoreError::Part(names.first().map_or(0, |name| name.number)));
        }
        for (i, name) in names.iter().enumerate() {
            let wrong = StoreError::Part(name.number);
            let Some(part) = self.parts.get(&name.number) else { return Err(wrong) };
            let crc32 = name.crc32.map_or(!self.checked, |crc32| crc32 == part.crc32());
            if part.tag() != name.tag || !crc32 {
                return Err(wrong);
            }
            if part.size() < SMALLEST_PART && i + 1 < names.len() {
                return Err(StoreError::SmallPart(name.number));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = SMALLEST_PART as usize;

    fn part(store: &Store, id: &str, number: i32, bytes: &[u8]) -> PartName {
        let mut staged = store.stage("alice", "k").unwrap();
        staged.write(bytes).unwrap();
        let crc32 = Some(staged.crc32());
        let tag = store.add_part("alice", ("k", id), number, staged).unwrap();
        PartName { number, tag, crc32 }
    }

    #[test]
    fn parts_become_one_object_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), ["alice".to_owned()]).unwrap();
        let id = store.begin_upload("alice", "k", true).unwrap();
        assert_eq!(store.uploads("alice").unwrap().len(), 1);
        let last = part(&store, &id, 2, b"end");
        let first = part(&store, &id, 1, &[7; SIZE]);
        let complete =
            |names: &[PartName]| store.complete_upload("alice", ("k", &id), names, &Condition::None);
        assert!(matches!(complete(&[last.clone(), first.clone()]), Err(StoreError::Part(2))));
        assert!(matches!(complete(&[]), Err(StoreError::Part(0))));
        let nameless = PartName { crc32: None, ..first.clone() };
        assert!(
            matches!(complete(&[nameless, last.clone()]), Err(StoreError::Part(1))),
            "the checksum is required"
        );
        let object = complete(&[first, last]).unwrap();
        assert_eq!((object.size, object.tag.ends_with("-2")), (SIZE as u64 + 3, true));
        let bytes = std::fs::read(folder.path().join("alice/objects/k")).unwrap();
        assert!(bytes[..SIZE].iter().all(|byte| *byte == 7) && bytes.ends_with(b"end"));
        assert_eq!(std::fs::read_dir(folder.path().join("alice/staged")).unwrap().count(), 0);
    }

    #[test]
    fn small_parts_belong_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), ["alice".to_owned()]).unwrap();
        let id = store.begin_upload("alice", "k", false).unwrap();
        let names = [part(&store, &id, 1, b"small"), part(&store, &id, 2, b"last")];
        let refused = store.complete_upload("alice", ("k", &id), &names, &Condition::None);
        assert!(matches!(refused, Err(StoreError::SmallPart(1))));
        assert!(matches!(store.abort_upload("alice", "other", &id), Err(StoreError::NoUpload)));
        store.abort_upload("alice", "k", &id).unwrap();
        assert!(matches!(store.abort_upload("alice", "k", &id), Err(StoreError::NoUpload)));
        assert_eq!(std::fs::read_dir(folder.path().join("alice/staged")).unwrap().count(), 0);
    }
}
