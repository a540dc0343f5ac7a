//! Tests of this node's own bucket: the objects that stay, and the objects that are deleted.

use crate::{checkpoint::save, support::*};
use base::{
    Window,
    digest::{ObjectHash, State},
};
use codec::submission::KEY_BYTES;
use protocol::{bucket_layout, history::WindowRecord};

const NAME: &str = "val-a";

#[tokio::test]
async fn old_submissions_and_checkpoints_go_logs_and_records_stay() {
    let buckets = Buckets::start().await;
    let own_bucket = buckets.own_bucket(NAME);
    let folder = tempfile::tempdir().unwrap();
    for window in (0..4).map(Window) {
        own_bucket.put_submission(window, &ObjectHash([1; 32]), vec![1].into()).await.unwrap();
        own_bucket.put_key(window, &ObjectHash([1; 32]), &[3; KEY_BYTES]).await.unwrap();
        own_bucket.put_score_log(window, vec![2].into()).await.unwrap();
        let record = WindowRecord { window, state: State([2; 32]), accepted: vec![], voters: vec![] };
        own_bucket.put_record(&record).await.unwrap();
    }
    for window in [0, 2] {
        let (at, manifest) = save(folder.path(), window);
        own_bucket.put_checkpoint(&at, &manifest).await.unwrap();
    }
    let id = RUN.id();
    let files = 5;
    assert_eq!(buckets.keys(NAME, &bucket_layout::checkpoints(id)).await.len(), 2 * files + 1);

    assert_eq!(own_bucket.delete_before(Window(2)).await.unwrap(), 4 + files);
    assert_eq!(own_bucket.delete_before(Window(2)).await.unwrap(), 0);
    let left = buckets.keys(NAME, &bucket_layout::submissions(id)).await;
    assert_eq!(left, [2, 3].map(|w| bucket_layout::submission(id, Window(w), &ObjectHash([1; 32]))));
    assert_eq!(buckets.keys(NAME, &bucket_layout::seal_keys(id)).await.len(), 2);
    let left = buckets.keys(NAME, &bucket_layout::checkpoints(id)).await;
    assert_eq!(left.len(), files + 1);
    let of_two = |key: &String| {
        *key == bucket_layout::checkpoint_pointer(id)
            || bucket_layout::window(key, &bucket_layout::checkpoints(id)) == Some(Window(2))
    };
    assert!(left.iter().all(of_two), "{left:?}");

    // The newest checkpoint stays, regardless of its age.
    assert_eq!(own_bucket.delete_before(Window(100)).await.unwrap(), 4);
    assert_eq!(buckets.keys(NAME, &bucket_layout::checkpoints(id)).await, left);
    assert_eq!(buckets.keys(NAME, &format!("{id}/scores/")).await.len(), 4);
    assert_eq!(buckets.keys(NAME, &format!("{id}/record/")).await.len(), 4);
}

#[tokio::test]
async fn nothing_of_other_runs_is_deleted() {
    let buckets = Buckets::start().await;
    let others = ["0000000000000000/submission/0000000000/x", "submission/0000000000/x", "notes.txt"];
    for key in others {
        buckets.put(NAME, key, b"mine").await;
    }
    let strange = format!("{}not-a-window/x", bucket_layout::submissions(RUN.id()));
    buckets.put(NAME, &strange, b"mine").await;
    assert_eq!(buckets.own_bucket(NAME).delete_before(Window(100)).await.unwrap(), 0);
    assert_eq!(buckets.keys(NAME, "").await.len(), 4);
}

#[tokio::test]
async fn more_than_a_page_is_deleted() {
    let buckets = Buckets::start().await;
    let own_bucket = buckets.own_bucket(NAME);
    for name in 0..1010u32 {
        let mut object = ObjectHash::default();
        object.0[..4].copy_from_slice(&name.to_be_bytes());
        own_bucket.put_submission(Window(1), &object, vec![1].into()).await.unwrap();
    }
    assert_eq!(own_bucket.delete_before(Window(2)).await.unwrap(), 1010);
    assert!(buckets.keys(NAME, "").await.is_empty());
}

#[tokio::test]
async fn a_reader_may_not_write() {
    let buckets = Buckets::start().await;
    let reader = buckets.storage.bucket(&buckets.announced(NAME)).unwrap();
    let error =
        exchange::OwnBucket::new(reader, RUN).put_score_log(Window(1), vec![1].into()).await.unwrap_err();
    assert!(
        !error.is_retryable() && base::ErrorChain(&error).to_string().contains("is forbidden (AccessDenied)"),
        "{error}"
    );
    assert!(matches!(error.storage(), storage::StorageError::Forbidden { .. }));
}
