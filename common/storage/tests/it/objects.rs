//! Tests of successful operations and of refusals.

use crate::support::{LIMITS, LONG, NAME, Network, PUT, announced, key, noise, storage};
use base::Secret;
use bytes::Bytes;
use protocol::announcement::{AddressPolicy, ReadCredentials};
use std::time::SystemTime;
use storage::{Content, Limits, MULTIPART_FROM, Put, Storage, StorageError};

#[tokio::test]
async fn what_is_put_comes_back() {
    let network = Network::start().await;
    let bytes = noise(300_000);
    network.put("run/7/a b+c%ä", &bytes).await;
    let (back, fetched) = network.reader.get("run/7/a b+c%ä", &LIMITS).await.unwrap();
    assert_eq!(back, bytes);
    assert_eq!(fetched.bytes, 300_000);
    network.put("empty", b"").await;
    assert_eq!(network.reader.get("empty", &LIMITS).await.unwrap().0, b"");
    let metrics = network.storage.metrics();
    assert_eq!(
        (metrics.received_bytes.get(), metrics.sent_bytes.get(), metrics.gets.get()),
        (300_000, 300_000, 0.0)
    );
}

#[tokio::test]
async fn large_files_go_in_parts() {
    let network = Network::start().await;
    let bytes = noise(usize::try_from(MULTIPART_FROM).unwrap() + 12_345);
    let source = network.folder.path().join("source");
    std::fs::write(&source, &bytes).unwrap();
    let stored = network.owner.put("large", Content::File(&source), &PUT).await.unwrap();
    assert_eq!(stored.bytes, bytes.len() as u64);
    assert!(stored.tag.unwrap().ends_with("-5\""), "five parts");
    let (back, fetched) = network.reader.get("large", &LIMITS).await.unwrap();
    assert_eq!(fetched.bytes, stored.bytes);
    assert!(back == bytes);
    let range = network.range("large", 16_777_000..16_778_000, &LIMITS).await.unwrap();
    assert_eq!(range, bytes[16_777_000..16_778_000]);
}

#[tokio::test]
async fn ranges_are_exact_or_an_error() {
    let network = Network::start().await;
    let bytes = noise(1000);
    network.put("k", &bytes).await;
    assert_eq!(network.range("k", 10..20, &LIMITS).await.unwrap(), bytes[10..20]);
    assert_eq!(network.range("k", 0..1000, &LIMITS).await.unwrap(), bytes);
    assert_eq!(network.range("k", 5..5, &LIMITS).await.unwrap(), b"");
    for range in [990..1001, 1000..1001, 5000..6000] {
        let error = network.range("k", range.clone(), &LIMITS).await.unwrap_err();
        assert!(matches!(error, StorageError::OutOfRange { .. }), "{range:?}: {error}");
    }
    let small = Limits { bytes: 9, ..LIMITS };
    let error = network.range("k", 0..10, &small).await.unwrap_err();
    assert!(matches!(error, StorageError::TooLarge { cap: 9, .. }), "{error}");
}

#[tokio::test]
async fn lists_are_paged_and_bounded() {
    let network = Network::start().await;
    for i in 0..12 {
        network.put(&format!("run/{i:02}"), &[0; 3]).await;
    }
    network.put("other", b"").await;
    let all = network.reader.list("run/", None, 100, LONG).await.unwrap();
    assert_eq!(all.len(), 12);
    assert_eq!((all[3].key.as_str(), all[3].bytes), ("run/03", 3));
    let age = SystemTime::now().duration_since(all[3].modified.unwrap()).unwrap();
    assert!(age < LONG, "{age:?}");
    let some = network.reader.list("run/", Some("run/03"), 2, LONG).await.unwrap();
    assert_eq!(some.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(), ["run/04", "run/05"]);
    assert!(network.reader.list("run/", None, 0, LONG).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_delete_may_be_repeated() {
    let network = Network::start().await;
    network.put("keep", b"x").await;
    network.owner.delete("keep", LONG).await.unwrap();
    network.owner.delete("keep", LONG).await.unwrap();
    assert!(network.reader.list("", None, 10, LONG).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let network = Network::start().await;
    let error = network.reader.get("none", &LIMITS).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "alice/none does not exist: check the bucket and the key, or wait until it is uploaded"
    );
    assert!(!error.is_retryable());
    assert_eq!(network.storage.metrics().failures.with("not-found").get(), 1);
}

#[tokio::test]
async fn each_key_does_only_what_it_may() {
    let network = Network::start().await;
    let put = network.reader.put("k", Content::Bytes(Bytes::from_static(b"x")), &PUT).await.unwrap_err();
    assert_eq!(
        put.to_string(),
        "alice/k is forbidden (AccessDenied): check the access key and its permissions"
    );
    assert!(matches!(network.reader.delete("k", LONG).await, Err(StorageError::Forbidden { .. })));

    let forged = ReadCredentials { secret: Secret::new("not-the-secret"), ..key("reads") };
    let unknown = ReadCredentials { access_key: Secret::new("unknown-key"), ..key("reads") };
    for (key, word) in [
        (Some(forged), "SignatureDoesNotMatch"),
        (Some(unknown), "InvalidAccessKeyId"),
        (None, "AccessDenied"),
    ] {
        let stranger = storage().bucket(&announced(network.server.address(), key)).unwrap();
        let error = stranger.get("k", &LIMITS).await.unwrap_err();
        assert!(matches!(&error, StorageError::Forbidden { code, .. } if code == word), "{word}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn objects_above_the_cap_are_refused_before_their_bytes() {
    let network = Network::start().await;
    network.put("k", &noise(1000)).await;
    let cap = |bytes| Limits { bytes, ..LIMITS };
    let error = network.reader.get("k", &cap(999)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "alice/k is larger than 999 bytes: it is not the expected object, do not use it"
    );
    assert_eq!(network.storage.metrics().received_bytes.get(), 0);
    assert!(network.reader.get("k", &cap(1000)).await.is_ok());
}

#[tokio::test]
async fn puts_can_be_for_new_objects_only() {
    let network = Network::start().await;
    let only = Put { only_if_absent: true, ..PUT };
    let put = |bytes: &'static [u8]| network.owner.put("k", Content::Bytes(Bytes::from_static(bytes)), &only);
    put(b"first").await.unwrap();
    let error = put(b"second").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "alice/k exists already: choose another key, or allow the upload to replace it"
    );
    assert_eq!(network.reader.get("k", &LIMITS).await.unwrap().0, b"first");
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named() {
    let network = Network::start().await;
    let folder = network.folder.path();
    let nowhere = folder.join("no/such/folder/k");
    let error = network.owner.put("k", Content::File(&nowhere), &PUT).await.unwrap_err();
    assert!(matches!(&error, StorageError::Local { path, .. } if *path == nowhere), "{error}");
    let error = network.owner.put("k", Content::File(folder), &PUT).await.unwrap_err();
    assert!(matches!(error, StorageError::Local { .. }), "a folder is not a file");
}

#[tokio::test]
async fn endpoints_inside_are_refused() {
    let network = Network::start().await;
    let address = network.server.address();
    let error = Storage::new(AddressPolicy::Public).bucket(&announced(address, None)).unwrap_err();
    let expected = "cannot use the bucket alice: 127.0.0.1 is this machine: buckets on it are for development networks only";
    assert_eq!(base::ErrorChain(&error).to_string(), expected);

    // A host name is resolved at connection time, and the resolved address is checked.
    let name = format!("https://localhost:{}", address.port());
    let hidden = protocol::announcement::Bucket::s3(&name, "us-east-1", NAME, Some(key("reads"))).unwrap();
    let error =
        Storage::new(AddressPolicy::Public).bucket(&hidden).unwrap().get("k", &LIMITS).await.unwrap_err();
    assert!(matches!(error, StorageError::Address { .. }), "{error}");
    assert!(
        base::ErrorChain(&error)
            .to_string()
            .starts_with("cannot use alice/k: its endpoint resolves to a forbidden address: "),
        "{error}"
    );
    assert!(!error.is_retryable());
}
