//! Tests of submission downloads: good ones arrive, and each bad one has a fault.

use crate::support::*;
use base::{
    Height, NeuronId, Window,
    digest::{ObjectHash, RunHash, State},
};
use bucket_server::Fault as Broken;
use bytes::Bytes;
use codec::submission::{Expected, Submission};
use exchange::{FetchError, FetchLimits, Fetcher};
use protocol::{acceptance::Accepted, announcement::Claim, bucket_layout};
use scoring::gauntlet::Fault;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use storage::{Floor, StorageError};

const MINER: &str = "miner-0";

fn claim(object: ObjectHash) -> Claim {
    Claim { run: RUN.id(), window: Window(3), object }
}

/// Uploads bytes under the claimed name, and downloads them as a validator does.
async fn exchange(
    buckets: &Buckets,
    object: ObjectHash,
    bytes: &[u8],
) -> Result<Submission<Bytes>, FetchError> {
    let own_bucket = buckets.own_bucket(MINER);
    own_bucket.put_submission(Window(3), &object, Bytes::copy_from_slice(bytes)).await.unwrap();
    fetch(buckets, &buckets.fetcher(), object).await
}

async fn fetch(
    buckets: &Buckets,
    fetcher: &Fetcher,
    object: ObjectHash,
) -> Result<Submission<Bytes>, FetchError> {
    fetcher.submission(&buckets.quiet(), &claim(object), &expected(MINER), &layout()).await
}

/// Returns the fault of bytes that are claimed by their own hash.
async fn fault(buckets: &Buckets, bytes: &[u8]) -> (Fault, String) {
    let error = exchange(buckets, claimed(bytes), bytes).await.unwrap_err();
    (error.fault().unwrap(), base::ErrorChain(&error).to_string())
}

#[tokio::test]
async fn a_claimed_object_comes_as_it_was_put() {
    let buckets = Buckets::start().await;
    let bytes = make(MINER, &expected(MINER));
    let submission = exchange(&buckets, claimed(&bytes), &bytes).await.unwrap();
    assert_eq!(submission.bytes(), bytes);
    assert_eq!(submission.hash(), claimed(&bytes));
    assert_eq!(submission.object(), &Bytes::from(bytes));
    let key = bucket_layout::submission(RUN.id(), Window(3), &submission.hash());
    assert_eq!(buckets.keys(MINER, "").await, [key]);
}

#[tokio::test]
async fn objects_of_elsewhere_are_malformed_and_of_another_state_wrong() {
    let buckets = Buckets::start().await;
    let fine = expected(MINER);
    let again = NeuronId { registered: Height(8), ..fine.neuron };
    let others = [
        (Expected { run: RunHash([8; 32]), ..fine }, "is from run"),
        (Expected { spec: RunHash([8; 32]), ..fine }, "was made under spec"),
        (Expected { window: Window(4), ..fine }, "is from window 4, not 3"),
        (Expected { neuron: again, ..fine }, "registered in block 8), not"),
    ];
    for (other, says) in others {
        let (fault, error) = fault(&buckets, &make(MINER, &other)).await;
        assert!(fault == Fault::Malformed && error.contains(says), "{fault:?} {error}");
    }
    let stolen = make("miner-1", &expected("miner-1"));
    assert_eq!(fault(&buckets, &stolen).await.0, Fault::Malformed, "another miner's, under one's own claim");
    let stale = make(MINER, &Expected { base: State([6; 32]), ..fine });
    assert_eq!(fault(&buckets, &stale).await.0, Fault::WrongState);
}

#[tokio::test]
async fn what_is_no_submission_is_malformed() {
    let buckets = Buckets::start().await;
    let fine = make(MINER, &expected(MINER));
    for garbage in [vec![], vec![7; 10], vec![7; 300], vec![0xff; fine.len()]] {
        assert_eq!(fault(&buckets, &garbage).await.0, Fault::Malformed, "{} bytes", garbage.len());
    }
    let mut forged = fine.clone();
    *forged.last_mut().unwrap() ^= 1;
    let (fault_of_forged, error) = fault(&buckets, &forged).await;
    assert_eq!(fault_of_forged, Fault::Malformed);
    assert!(error.contains("signature"), "{error}");

    // A later version has a cost: otherwise a miner with a rating could upload nothing else.
    let mut later = fine;
    later[1] = 2;
    assert_eq!(fault(&buckets, &later).await.0, Fault::Missing);
}

#[tokio::test]
async fn bytes_that_were_not_claimed_are_a_mismatch_whatever_they_are() {
    let buckets = Buckets::start().await;
    let fine = make(MINER, &expected(MINER));
    let mut changed = fine.clone();
    changed[400] ^= 1;
    let other = make(MINER, &Expected { least_samples: 0, base: State([6; 32]), ..expected(MINER) });
    for bytes in [&changed[..], &other, b"nothing of it", b""] {
        let error = exchange(&buckets, claimed(&fine), bytes).await.unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Mismatch), "{error}");
        assert!(!error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn larger_than_any_submission_is_not_downloaded() {
    let buckets = Buckets::start().await;
    let huge = vec![1; usize::try_from(layout().most_bytes()).unwrap() + 1];
    let (fault, error) = fault(&buckets, &huge).await;
    assert_eq!(fault, Fault::TooLarge, "{error}");
    assert_eq!(buckets.storage.metrics().received_bytes.get(), 0);
}

#[tokio::test]
async fn what_the_bucket_does_not_give_is_missing() {
    let buckets = Buckets::start().await;
    let bytes = make(MINER, &expected(MINER));
    let error = fetch(&buckets, &buckets.fetcher(), claimed(&bytes)).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Missing), "404: {error}");
    assert!(error.is_retryable(), "it may be uploaded yet: {error}");

    exchange(&buckets, claimed(&bytes), &bytes).await.unwrap();
    let elsewhere = Broken::Redirect { to: "http://169.254.169.254/".to_owned() };
    for broken in [
        Broken::Status { code: 403 },
        Broken::Status { code: 404 },
        Broken::Status { code: 418 },
        elsewhere,
        Broken::Status { code: 500 },
        Broken::Reset,
    ] {
        let name = format!("{broken:?}");
        buckets.inject(MINER, broken);
        let error = fetch(&buckets, &buckets.fetcher(), claimed(&bytes)).await.unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Missing), "{name}: {error}");
    }
    buckets.server.inject(bucket_server::Plan::default());
    assert!(fetch(&buckets, &buckets.fetcher(), claimed(&bytes)).await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_gone_is_missing() {
    let buckets = Buckets::start().await;
    let (fetcher, state) = (buckets.fetcher(), buckets.quiet());
    let claim = claim(ObjectHash([1; 32]));
    buckets.server.stop().await;
    let error = fetcher.submission(&state, &claim, &expected(MINER), &layout()).await.unwrap_err();
    assert_eq!((error.fault(), error.is_retryable()), (Some(Fault::Missing), true));
}

#[tokio::test]
async fn who_announces_no_bucket_misses() {
    let buckets = Buckets::start().await;
    let state = buckets.state(&["val-a"], &BTreeMap::new());
    let claim = claim(ObjectHash([1; 32]));
    let error = buckets.fetcher().submission(&state, &claim, &expected(MINER), &layout()).await.unwrap_err();
    assert!(matches!(error, FetchError::NoBucket { .. }), "{error}");
    assert_eq!(error.fault(), Some(Fault::Missing));
}

/// Checks that bytes which change in transit are never accepted. The fault lies with the bucket, not
/// with the claim.
#[tokio::test]
async fn bytes_that_change_on_the_way_do_not_pass() {
    let buckets = Buckets::start().await;
    let bytes = make(MINER, &expected(MINER));
    exchange(&buckets, claimed(&bytes), &bytes).await.unwrap();
    for broken in [Broken::Garbage, Broken::Endless, Broken::Truncate { after: 100 }] {
        let name = format!("{broken:?}");
        buckets.inject(MINER, broken);
        let error = fetch(&buckets, &buckets.fetcher(), claimed(&bytes)).await.unwrap_err();
        assert!(error.fault().is_some(), "{name}: {error}");
    }
}

#[tokio::test]
async fn below_the_floor_and_beyond_the_deadline_are_slow() {
    let buckets = Buckets::start().await;
    let bytes = make(MINER, &expected(MINER));
    exchange(&buckets, claimed(&bytes), &bytes).await.unwrap();

    buckets.inject(MINER, Broken::Trickle { bytes: 1, ms: 20 });
    let floor = Floor { bytes_per_second: 1 << 30, over: Duration::from_millis(50) };
    let fetcher = Fetcher::new(buckets.storage.clone(), FetchLimits { floor, ..LIMITS });
    let error = fetch(&buckets, &fetcher, claimed(&bytes)).await.unwrap_err();
    assert!(matches!(error, FetchError::Storage { source: StorageError::Slow { .. }, .. }), "{error}");
    assert_eq!(error.fault(), Some(Fault::Slow));

    buckets.inject(MINER, Broken::Delay { ms: 3_600_000 });
    let limits = FetchLimits { time: Duration::from_millis(50), ..LIMITS };
    let fetcher = Fetcher::new(buckets.storage.clone(), limits);
    let error = fetch(&buckets, &fetcher, claimed(&bytes)).await.unwrap_err();
    assert!(matches!(error, FetchError::Storage { source: StorageError::Expired { .. }, .. }), "{error}");
    assert_eq!(error.fault(), Some(Fault::Slow));
}

/// Downloads the accepted object of the miner, for which all four validators voted.
async fn accepted(buckets: &Buckets, object: ObjectHash) -> Result<Submission<Bytes>, FetchError> {
    let accepted = Accepted { id: id(MINER), object };
    let state = buckets.quiet();
    let expected = expected(MINER);
    let layout = layout();
    let custodians = CUSTODIANS.map(id);
    let found =
        buckets.fetcher().accepted(&state, &accepted, &expected, &layout, &custodians, &voters()).await?;
    Ok(found.submission)
}

/// Three of the validators, in the order in which they were drawn.
const CUSTODIANS: [&str; 3] = ["val-c", "val-a", "val-d"];

fn voters() -> BTreeSet<NeuronId> {
    ["val-a", "val-b", "val-c", "val-d"].map(id).into()
}

fn name_of(id: &NeuronId) -> &'static str {
    NAMES.into_iter().find(|name| crate::support::id(name) == *id).unwrap()
}

#[tokio::test]
async fn an_accepted_object_comes_from_any_node_that_has_it() {
    let buckets = Buckets::start().await;
    let bytes = make(MINER, &expected(MINER));
    let object = claimed(&bytes);
    let custodians = CUSTODIANS;
    let other = "val-b";

    let error = accepted(&buckets, object).await.unwrap_err();
    let FetchError::Nowhere { object: of, failures } = &error else { panic!("{error}") };
    let asked: Vec<_> = failures.iter().map(|(owner, _)| name_of(owner)).collect();
    assert_eq!((*of, asked), (object, vec![MINER, custodians[0], custodians[1], custodians[2], other]));
    assert!(error.is_retryable() && error.fault().is_none(), "{error}");

    // Store it in one bucket at a time, from the last source to the first.
    for owner in [other, custodians[2], custodians[0], MINER] {
        buckets.own_bucket(owner).put_submission(Window(3), &object, bytes.clone().into()).await.unwrap();
        assert_eq!(accepted(&buckets, object).await.unwrap().bytes(), bytes, "{owner}");
        buckets
            .own(owner)
            .delete(&bucket_layout::submission(RUN.id(), Window(3), &object), LONG)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_custodian_cannot_slip_in_something_else() {
    let buckets = Buckets::start().await;
    let bytes = make(MINER, &expected(MINER));
    let object = claimed(&bytes);
    let forged = make(MINER, &Expected { base: State([6; 32]), ..expected(MINER) });
    let put = async |owner: &str, bytes: &[u8]| {
        let own_bucket = buckets.own_bucket(owner);
        own_bucket.put_submission(Window(3), &object, Bytes::copy_from_slice(bytes)).await.unwrap();
    };
    put(MINER, b"gone").await;
    put(CUSTODIANS[0], &forged).await;
    put(CUSTODIANS[1], &bytes).await;
    assert_eq!(accepted(&buckets, object).await.unwrap().bytes(), bytes);
}
