//! Tests of sealed submissions in buckets: only the right key opens them.

use crate::support::*;
use base::{Window, digest::ObjectHash};
use bytes::Bytes;
use codec::submission::{Expected, Header, KEY_BYTES, KeyObject, SealKey, Submission, encode_sealed};
use exchange::{FetchError, signing_key};
use protocol::{announcement::Claim, bucket_layout};
use scoring::gauntlet::Fault;

const MINER: &str = "miner-0";
const WINDOW: Window = Window(3);

fn expected_sealed() -> Expected {
    Expected { sealed: true, ..expected(MINER) }
}

/// A sealed submission of the miner, and its key object.
struct SealedUpload {
    bytes: Vec<u8>,
    opener: KeyObject,
}

impl SealedUpload {
    fn new(random: u8) -> Self {
        let expected = expected_sealed();
        let layout = layout();
        let header = Header::new(&expected, 10, &layout);
        let key = SealKey::new([random; 32]);
        let signer = signing_key(&wallet(MINER));
        let bytes = encode_sealed(&layout, &header, &sent(), &signer, &key).unwrap();
        let (run, neuron, window) = (expected.run, expected.neuron, expected.window);
        let opener = KeyObject { run, neuron, window, object: claimed(&bytes), key };
        Self { bytes, opener }
    }

    fn hash(&self) -> ObjectHash {
        self.opener.object
    }

    async fn upload(&self, buckets: &Buckets, owner: &str) {
        let bytes = Bytes::copy_from_slice(&self.bytes);
        buckets.own_bucket(owner).put_submission(WINDOW, &self.hash(), bytes).await.unwrap();
    }

    async fn reveal(&self, buckets: &Buckets, owner: &str, key: &[u8; KEY_BYTES]) {
        buckets.own_bucket(owner).put_key(WINDOW, &self.hash(), key).await.unwrap();
    }

    fn key(&self) -> [u8; KEY_BYTES] {
        self.signed(&self.opener)
    }

    fn signed(&self, opener: &KeyObject) -> [u8; KEY_BYTES] {
        opener.sign(&signing_key(&wallet(MINER)))
    }
}

async fn fetch(buckets: &Buckets, object: ObjectHash) -> Result<Submission<Bytes>, FetchError> {
    let claim = Claim { run: RUN.id(), window: WINDOW, object };
    buckets.fetcher().submission(&buckets.quiet(), &claim, &expected_sealed(), &layout()).await
}

#[tokio::test]
async fn a_sealed_object_opens_with_its_key_and_is_missing_without() {
    let buckets = Buckets::start().await;
    let sealed = SealedUpload::new(1);
    sealed.upload(&buckets, MINER).await;
    let error = fetch(&buckets, sealed.hash()).await.unwrap_err();
    assert!(error.is_retryable() && error.fault() == Some(Fault::Missing), "{error}");
    assert!(base::ErrorChain(&error).to_string().contains("/key/0000000003/"), "{error}");

    let key = sealed.key(); // Signatures are random, so make it once.
    sealed.reveal(&buckets, MINER, &key).await;
    let opened = fetch(&buckets, sealed.hash()).await.unwrap();
    let tensors = (0..opened.layout().tensors().len()).map(|number| opened.tensor(number).unwrap());
    assert_eq!(tensors.collect::<Vec<_>>(), sent());
    // A custodian stores it unchanged.
    assert_eq!(opened.stored(), (sealed.bytes.clone(), Some(&key)));
    assert_ne!(opened.bytes(), sealed.bytes);
}

#[tokio::test]
async fn keys_that_do_not_belong_to_it_are_refused_by_name() {
    let buckets = Buckets::start().await;
    let (sealed, other) = (SealedUpload::new(1), SealedUpload::new(2));
    sealed.upload(&buckets, MINER).await;
    let opener = &sealed.opener;
    let foreign = opener.sign(&signing_key(&wallet("miner-1")));
    let second = KeyObject { key: SealKey::new([3; 32]), ..opener.clone() };
    let keys = [
        (sealed.signed(&second), "the submission was sealed with the key of hash"),
        (
            sealed.signed(&KeyObject { key: other.opener.key.clone(), ..opener.clone() }),
            "was sealed with the key",
        ),
        (sealed.signed(&KeyObject { window: Window(4), ..opener.clone() }), "is for window 4, not 3"),
        (sealed.signed(&other.opener), "is for submission"),
        (foreign, "signature is invalid"),
    ];
    for (key, says) in keys {
        sealed.reveal(&buckets, MINER, &key).await;
        let error = fetch(&buckets, sealed.hash()).await.unwrap_err();
        assert!(base::ErrorChain(&error).to_string().contains(says), "{error}");
        assert_eq!(error.fault(), Some(Fault::Malformed), "{error}");
    }
    for (bytes, says) in [(&[][..], "has 0 bytes: it must have 210"), (&[7; 210], "another kind of object")] {
        buckets.put(MINER, &bucket_layout::seal_key(RUN.id(), WINDOW, &sealed.hash()), bytes).await;
        let error = base::ErrorChain(&fetch(&buckets, sealed.hash()).await.unwrap_err()).to_string();
        assert!(error.contains(says), "{error}");
    }
    buckets.put(MINER, &bucket_layout::seal_key(RUN.id(), WINDOW, &sealed.hash()), &[7; 211]).await;
    let error = fetch(&buckets, sealed.hash()).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::TooLarge), "{error}");
    sealed.reveal(&buckets, MINER, &sealed.key()).await;
    assert!(fetch(&buckets, sealed.hash()).await.is_ok());
}

#[tokio::test]
async fn open_objects_are_refused_where_sealed_ones_are_expected() {
    let buckets = Buckets::start().await;
    let bytes = make(MINER, &expected(MINER));
    let object = claimed(&bytes);
    buckets.own_bucket(MINER).put_submission(WINDOW, &object, bytes.into()).await.unwrap();
    let error = fetch(&buckets, object).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Malformed));
    assert!(
        base::ErrorChain(&error).to_string().contains("the submission is open: this run's are sealed"),
        "{error}"
    );
}
