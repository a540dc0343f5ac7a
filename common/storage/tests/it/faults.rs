//! Tests of every fault that the local server can inject.

use crate::support::{LIMITS, LONG, Network, PUT, announced, key, noise};
use bucket_server::{Fault, Plan, Rule};
use bytes::Bytes;
use std::time::Duration;
use storage::{Content, Floor, Limits, MULTIPART_FROM, Partial, Put, Retry, StorageError};

const SIZE: usize = 1 << 20;

async fn with_object() -> (Network, Vec<u8>) {
    let network = Network::start().await;
    let bytes = noise(SIZE);
    network.put("k", &bytes).await;
    (network, bytes)
}

#[tokio::test]
async fn passing_failures_are_retried() {
    let (network, bytes) = with_object().await;
    for fault in [Fault::Status { code: 500 }, Fault::Status { code: 503 }, Fault::Reset, Fault::Lose] {
        network.inject("GET", fault.clone(), 2);
        assert!(network.reader.get("k", &LIMITS).await.unwrap().0 == bytes, "{fault:?}");
        assert_eq!(network.server.strikes(), [2], "{fault:?}");
    }
    assert_eq!(network.storage.metrics().retries.get(), 8);
}

#[tokio::test]
async fn lasting_failures_are_unavailable() {
    let (network, _) = with_object().await;
    network.inject("GET", Fault::Status { code: 500 }, 1000);
    let error = network.reader.get("k", &LIMITS).await.unwrap_err();
    let text = base::ErrorChain(&error).to_string();
    assert_eq!(text, "alice/k is unavailable (try again later): HTTP status 500");
    assert!(error.is_retryable());
    assert_eq!(network.server.strikes(), [3], "as many attempts as the policy allows");
    let listed = network.reader.list("", None, 10, LONG).await.unwrap_err();
    assert!(matches!(listed, StorageError::Unavailable { .. }), "{listed}");
}

#[tokio::test]
async fn a_service_that_limits_requests_is_asked_again_after_the_pause_that_it_names() {
    let (network, bytes) = with_object().await;
    for code in [429, 503] {
        network.inject("GET", Fault::Busy { code, seconds: 0 }, 2);
        assert!(network.reader.get("k", &LIMITS).await.unwrap().0 == bytes, "{code}");
    }
    let metrics = network.storage.metrics();
    assert_eq!((metrics.retries.get(), metrics.busy.get()), (4, 4));
    // A longer pause than asked for is not waited for: the time limit ends the download.
    let patient = Retry { attempts: 3, base: Duration::ZERO, most: Duration::ZERO, most_asked: LONG };
    let at = announced(network.server.address(), Some(key("reads")));
    let reader = network.storage.clone().with_retry(patient).bucket(&at).unwrap();
    network.inject("GET", Fault::Busy { code: 503, seconds: 300 }, 1);
    let limits = Limits { time: Duration::from_millis(300), ..LIMITS };
    let error = reader.get("k", &limits).await.map(|(_, fetched)| fetched).unwrap_err();
    assert!(matches!(error, StorageError::Expired { .. }), "{error}");
    assert_eq!(network.server.strikes(), [1], "the pause was not cut short");
}

#[tokio::test]
async fn each_request_is_counted_by_its_operation() {
    let network = Network::start().await;
    let metrics = network.storage.metrics();
    network.put("k", b"bytes").await;
    network.inject("GET", Fault::Status { code: 500 }, 1);
    network.reader.get("k", &LIMITS).await.unwrap();
    network.reader.list("", None, 10, LONG).await.unwrap();
    network.owner.delete("k", LONG).await.unwrap();
    let counts = ["PutObject", "GetObject", "DeleteObject"].map(|name| metrics.requests.with(name).get());
    assert_eq!(counts, [1, 2, 1]);
    assert_eq!(metrics.requests.total(), 5);
}

/// Checks the answer of S3 for an absent object to a key that may not list: 403.
#[tokio::test]
async fn an_absent_object_of_a_bucket_that_the_reader_may_not_list_may_be_absent() {
    let (network, bytes) = with_object().await;
    let absent = async || network.reader.get("later", &LIMITS).await.map(|(_, fetched)| fetched).unwrap_err();
    assert!(matches!(absent().await, StorageError::NotFound { .. }));
    network.server.let_readers_list(false);
    let error = absent().await;
    assert!(matches!(error, StorageError::Forbidden { .. }) && error.may_be_absent(), "{error}");
    assert!(network.reader.get("k", &LIMITS).await.unwrap().0 == bytes, "objects that exist are read");
    assert!(matches!(network.reader.list("", None, 10, LONG).await, Err(StorageError::Forbidden { .. })));
    let owned = network.owner.get("later", &LIMITS).await.map(|(_, fetched)| fetched).unwrap_err();
    assert!(matches!(owned, StorageError::NotFound { .. }), "{owned}");
    network.put("later", b"now").await;
    assert_eq!(network.reader.get("later", &LIMITS).await.unwrap().0, b"now");
}

/// Seconds that two reads of a clock may differ on a busy machine.
const BUSY: i64 = 120;

#[tokio::test]
async fn a10_a_clock_that_is_off_by_hours_is_this_machines_trouble() {
    let (network, bytes) = with_object().await;
    assert!(network.owner.clock_ahead().unwrap().abs() < BUSY);
    assert_eq!(network.reader.clock_ahead(), None, "this handle had no answer yet");
    for shift in [7200, -7200, 1000, -1000] {
        network.server.shift_clock(shift);
        let error = network.reader.get("k", &LIMITS).await.map(|(_, fetched)| fetched).unwrap_err();
        let StorageError::Clock { ahead: Some(ahead), .. } = error else { panic!("{shift}: {error}") };
        assert!((ahead + shift).abs() < BUSY, "{shift}: {ahead}");
        assert_eq!(network.reader.clock_ahead(), Some(ahead));
        assert!(!error.may_be_absent() && !error.is_retryable());
    }
    // A new handle: the SDK adapts its signatures to the clock of the last refusal.
    network.server.shift_clock(60);
    let at = announced(network.server.address(), Some(key("reads")));
    let reader = network.storage.bucket(&at).unwrap();
    assert!(reader.get("k", &LIMITS).await.unwrap().0 == bytes, "S3 allows 15 minutes");
    assert!((reader.clock_ahead().unwrap() + 60).abs() < BUSY);
}

#[tokio::test]
async fn broken_reads_go_on_where_they_were() {
    let (network, bytes) = with_object().await;
    network.inject("GET", Fault::Truncate { after: 300_000 }, 2);
    let (back, fetched) = network.reader.get("k", &LIMITS).await.unwrap();
    assert!(back == bytes);
    assert_eq!(fetched.bytes, SIZE as u64);
    let received = network.storage.metrics().received_bytes.get();
    assert_eq!(received, SIZE as u64, "no byte is fetched twice");

    network.inject("GET", Fault::Truncate { after: 1000 }, 2);
    let range = network.range("k", 5000..9000, &LIMITS).await.unwrap();
    assert_eq!(range, bytes[5000..9000]);

    network.inject("GET", Fault::Truncate { after: 1000 }, 1000);
    let error = network.reader.get("k", &LIMITS).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn attempts_continue_where_the_last_one_broke_off() {
    let (network, bytes) = with_object().await;
    assert_eq!(network.reader.size("k", &LIMITS).await.unwrap(), SIZE as u64);
    network.inject("GET", Fault::Truncate { after: 300_000 }, 2);
    let (mut partial, mut back) = (Partial::default(), Vec::new());
    for broken in 1..3 {
        let error =
            network.reader.attempt_into("k", None, &mut partial, &LIMITS, &mut back).await.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
        assert_eq!((partial.bytes, back.len()), (broken * 300_000, broken as usize * 300_000));
    }
    network.reader.attempt_into("k", None, &mut partial, &LIMITS, &mut back).await.unwrap();
    assert!(back == bytes, "no byte is lost or repeated");
    assert_eq!(network.storage.metrics().retries.get(), 0, "an attempt does not retry");

    let (mut partial, mut range) = (Partial::default(), Vec::new());
    network.reader.attempt_into("k", Some(500..900), &mut partial, &LIMITS, &mut range).await.unwrap();
    assert_eq!((&range[..], partial.bytes), (&bytes[500..900], 400));
    let mut partial = Partial { bytes: 10, tag: Some("\"another\"".to_owned()) };
    let error = network.reader.attempt_into("k", None, &mut partial, &LIMITS, &mut range).await.unwrap_err();
    assert!(matches!(error, StorageError::Changed { .. }), "{error}");
    let small = Limits { bytes: SIZE as u64 - 1, ..LIMITS };
    let error = network.reader.size("k", &small).await.unwrap_err();
    assert!(matches!(error, StorageError::TooLarge { .. }), "{error}");
    let error = network.reader.size("absent", &LIMITS).await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn an_object_that_is_swapped_under_a_reader_has_changed() {
    let (network, _) = with_object().await;
    let rules =
        [Fault::Truncate { after: 300_000 }, Fault::Swap].map(|fault| Rule::always("GET", "/alice/k", fault));
    network.server.inject(Plan { seed: 0, rules: rules.into() });
    // After a break before the first byte, the reader has no entity tag to compare. It needs enough
    // attempts to get one.
    let retry =
        Retry { attempts: 1000, base: Duration::ZERO, most: Duration::ZERO, most_asked: Duration::ZERO };
    let at = announced(network.server.address(), Some(key("reads")));
    let reader = network.storage.clone().with_retry(retry).bucket(&at).unwrap();
    let error = reader.get("k", &LIMITS).await.map(|(_, fetched)| fetched).unwrap_err();
    assert_eq!(
        error.to_string(),
        "alice/k changed during the download: its owner replaced it, download it again from the start"
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn two_reads_of_a_swapped_object_differ_by_tag() {
    let (network, bytes) = with_object().await;
    network.inject("GET", Fault::Swap, 1);
    let (first, second) =
        (network.reader.get("k", &LIMITS).await.unwrap(), network.reader.get("k", &LIMITS).await.unwrap());
    assert!(first.0 == bytes && second.0.iter().zip(&bytes).all(|(a, b)| *a == !*b));
    assert_ne!(first.1.tag, second.1.tag);
}

#[tokio::test]
async fn bytes_drop_by_drop_are_too_slow() {
    let (network, _) = with_object().await;
    network.inject("GET", Fault::Trickle { bytes: 1, ms: 1 }, 1000);
    let floor = Floor { bytes_per_second: 1 << 30, over: Duration::from_millis(50) };
    let error = network.reader.get("k", &Limits { floor, ..LIMITS }).await.unwrap_err();
    assert!(matches!(error, StorageError::Slow { floor: 1_073_741_824, .. }), "{error}");
    assert!(error.to_string().contains("the minimum is 1073741824 bytes/s"), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_too_slow() {
    let (network, _) = with_object().await;
    network.inject("GET", Fault::Delay { ms: 600_000 }, 1000);
    let floor = Floor { bytes_per_second: 0, over: Duration::from_millis(20) };
    let error = network.reader.get("k", &Limits { floor, ..LIMITS }).await.unwrap_err();
    assert!(matches!(error, StorageError::Slow { bytes: 0, .. }), "{error}");
}

#[tokio::test]
async fn time_runs_out_whatever_happens() {
    let (network, _) = with_object().await;
    network.inject("GET", Fault::Trickle { bytes: 1, ms: 1 }, 1000);
    let time = Duration::from_millis(50);
    let error = network.reader.get("k", &Limits { time, ..LIMITS }).await.unwrap_err();
    assert_eq!(error.to_string(), "alice/k took longer than 0.05 s: allow more time, or try another source");
    network.inject("GET", Fault::Delay { ms: 600_000 }, 1000);
    assert!(matches!(network.reader.list("", None, 10, time).await, Err(StorageError::Expired { .. })));
    network.inject("PUT", Fault::Delay { ms: 600_000 }, 1000);
    let put = network.owner.put("k", Content::Bytes(Bytes::new()), &Put { time, ..PUT }).await;
    assert!(matches!(put, Err(StorageError::Expired { .. })));
    assert_eq!(network.storage.metrics().gets.get(), 0.0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (network, _) = with_object().await;
    let elsewhere = format!("http://{}/alice/other", network.server.address());
    network.put("other", b"secret of the inside").await;
    network.inject("GET", Fault::Redirect { to: elsewhere }, 1000);
    let error = network.reader.get("k", &LIMITS).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "alice/k answers with a redirect (307): correct the bucket's endpoint or region"
    );
    assert_eq!(network.server.strikes(), [1], "no second request");
}

#[tokio::test]
async fn answers_that_are_no_xml_are_malformed() {
    let (network, bytes) = with_object().await;
    network.inject("GET", Fault::Garbage, 1000);
    let error = network.reader.list("", None, 10, LONG).await.unwrap_err();
    assert!(matches!(error, StorageError::Malformed { .. }), "{error}");
    // An object may consist of any bytes. Only its hash reveals the fault, which the caller checks.
    assert!(network.reader.get("k", &LIMITS).await.unwrap().0 != bytes);
}

#[tokio::test]
async fn answers_without_end_are_cut_off() {
    let (network, _) = with_object().await;
    network.inject("GET", Fault::Endless, 1000);
    let error = network.reader.get("k", &Limits { bytes: 2 << 20, ..LIMITS }).await.unwrap_err();
    assert!(matches!(error, StorageError::TooLarge { cap: 2_097_152, .. }), "{error}");
    assert!(network.storage.metrics().received_bytes.get() <= 2 << 20);
    let error = network.reader.list("", None, 10, LONG).await.unwrap_err();
    assert!(error.to_string().contains("(the answer is too long)"), "{error}");
}

#[tokio::test]
async fn puts_survive_lost_answers_and_broken_connections() {
    let network = Network::start().await;
    let bytes = noise(SIZE);
    for fault in [Fault::Lose, Fault::Reset, Fault::Status { code: 500 }] {
        network.inject("PUT", fault.clone(), 2);
        network.put("k", &bytes).await;
        assert!(network.reader.get("k", &LIMITS).await.unwrap().0 == bytes, "{fault:?}");
    }
    network.inject("PUT", Fault::Delay { ms: 600_000 }, 1000);
    let floor = Floor { bytes_per_second: 1 << 30, over: Duration::from_millis(20) };
    let slow = network.owner.put("k", Content::Bytes(bytes.into()), &Put { floor, ..PUT }).await;
    assert!(matches!(slow, Err(StorageError::Slow { .. })), "{slow:?}");
}

#[tokio::test]
async fn parts_are_retried_and_given_up_uploads_leave_nothing() {
    let network = Network::start().await;
    let bytes = Bytes::from(noise(usize::try_from(MULTIPART_FROM).unwrap()));
    network.inject("PUT", Fault::Status { code: 503 }, 2);
    network.owner.put("large", Content::Bytes(bytes.clone()), &PUT).await.unwrap();
    assert!(network.reader.get("large", &LIMITS).await.unwrap().0 == bytes);

    network.inject("PUT", Fault::Status { code: 503 }, 1000);
    let error = network.owner.put("gone", Content::Bytes(bytes), &PUT).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
    let staged = network.folder.path().join("data/alice/staged");
    assert_eq!(std::fs::read_dir(staged).unwrap().count(), 0, "the upload was aborted");
}

/// Checks that all objects arrive, given enough attempts, although half of all requests fail.
#[tokio::test]
async fn everything_arrives_through_a_bad_network() {
    let network = Network::start().await;
    let share = |fault| Rule { share: 0.25, ..Rule::always("GET", "/", fault) };
    let put = Rule { method: None, share: 0.25, ..Rule::always("", "/", Fault::Reset) };
    let faults = [Fault::Truncate { after: 20_000 }, Fault::Status { code: 500 }];
    network.server.inject(Plan { seed: 11, rules: faults.map(share).into_iter().chain([put]).collect() });
    let retry =
        Retry { attempts: 40, base: Duration::ZERO, most: Duration::ZERO, most_asked: Duration::ZERO };
    let patient = network.storage.clone().with_retry(retry);
    let at = announced(network.server.address(), None);
    let bucket = patient.own_bucket(&at, &key("writes")).unwrap();
    for i in 0..10 {
        let name = format!("k{i}");
        let bytes = noise(50_000 + i);
        bucket.put(&name, Content::Bytes(bytes.clone().into()), &PUT).await.unwrap();
        assert!(bucket.get(&name, &LIMITS).await.unwrap().0 == bytes);
    }
    assert!(network.server.strikes().iter().all(|strikes| *strikes > 0), "{:?}", network.server.strikes());
}
