//! A page of a list. Keys with a common prefix up to the delimiter are grouped.

use crate::store::{Object, Store, StoreError};

/// The number of objects that are read from the store at once.
const STEP: usize = 1000;

/// The content of one page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    /// The common prefixes: the beginnings of keys up to the first delimiter after the requested prefix.
    pub(super) prefixes: Vec<String>,
    /// The last key or common prefix of this page; `None` on the last page.
    pub(super) next: Option<String>,
}

impl Page {
    pub(super) fn read(
        store: &Store,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        after: Option<String>,
        most: usize,
    ) -> Result<Self, StoreError> {
        let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
        // If the last page ended with a common prefix, all keys with that prefix are skipped.
        let rolled =
            after.clone().filter(|after| delimiter.is_some_and(|delimiter| after.ends_with(delimiter)));
        let mut page = Self::default();
        let mut after = after;
        let mut last_rolled = rolled;
        loop {
            let step = store.list(bucket, prefix, after.as_deref(), STEP)?;
            let ended = step.len() < STEP;
            for (key, object) in step {
                after = Some(key.clone());
                let roll = delimiter.and_then(|delimiter| {
                    let at = key[prefix.len()..].find(delimiter)?;
                    Some(key[..prefix.len() + at + delimiter.len()].to_owned())
                });
                if roll.is_some() && roll == last_rolled {
                    continue;
                }
                if page.objects.len() + page.prefixes.len() == most {
                    page.next = page.last().cloned();
                    return Ok(page);
                }
                match roll {
                    Some(roll) => {
                        last_rolled = Some(roll.clone());
                        page.prefixes.push(roll);
                    }
                    None => page.objects.push((key, object)),
                }
            }
            if ended {
                return Ok(page);
            }
        }
    }

    fn last(&self) -> Option<&String> {
        self.objects.last().map(|(key, _)| key).max(self.prefixes.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Condition;
    use proptest::prelude::*;

    /// Reads all pages of up to `most` entries and joins them.
    fn all(store: &Store, prefix: &str, delimiter: Option<&str>, most: usize) -> (Vec<String>, Vec<String>) {
        let mut keys = Vec::new();
        let mut prefixes = Vec::new();
        let mut after = None;
        loop {
            let page = Page::read(store, "alice", prefix, delimiter, after, most).unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= most);
            keys.extend(page.objects.into_iter().map(|(key, _)| key));
            prefixes.extend(page.prefixes);
            let Some(next) = page.next else { return (keys, prefixes) };
            after = Some(next);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn pages_of_any_size_hold_the_same(keys in proptest::collection::btree_set("[ab/]{1,5}", 0..20), most in 1usize..8, prefix in "[ab/]{0,2}") {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), ["alice".to_owned()]).unwrap();
            for key in &keys {
                store.commit("alice", key, store.stage("alice", key).unwrap(), &Condition::None).unwrap();
            }
            let expected: Vec<String> = keys.iter().filter(|key| key.starts_with(&prefix)).cloned().collect();
            prop_assert_eq!(all(&store, &prefix, None, most).0, expected.clone());
            let (plain, rolled): (Vec<_>, Vec<_>) = expected.into_iter().partition(|key| !key[prefix.len()..].contains('/'));
            let cut = |key: String| key[..=prefix.len() + key[prefix.len()..].find('/').unwrap()].to_owned();
            let mut rolled: Vec<_> = rolled.into_iter().map(cut).collect();
            rolled.dedup();
            prop_assert_eq!(all(&store, &prefix, Some("/"), most), (plain, rolled));
        }
    }
}
