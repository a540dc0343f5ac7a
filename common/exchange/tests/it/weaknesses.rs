//! Attacks that stopped or misled whole networks, one test for each weakness of Templar that an
//! object can carry. Each object takes the usual path through a bucket and the fetcher. The state of
//! the honest nodes must stay the same as without the object. Slow buckets (w6) are in `attacks.rs`.

use crate::support::*;
use base::{
    Window,
    digest::{ObjectHash, StateRoot},
    signature::SigningKey,
    state_root::{TensorHash, root},
};
use bytes::Bytes;
use codec::{
    aggregate::{ClipBounds, FullWork, outer_step},
    submission::{
        Expected, HEADER_BYTES, Header, KeyObject, SIGNATURE_CONTEXT, SealKey, Submission, TRAILER_BYTES,
        encode_sealed,
    },
};
use exchange::{FetchError, Fetcher, signing_key};
use protocol::{announcement::Claim, bucket_layout};
use scoring::gauntlet::Fault;

const HONEST: &str = "miner-0";
const HOSTILE: &str = "miner-1";
/// Returns the offset of the first tensor's bytes, after the table.
fn body() -> usize {
    HEADER_BYTES + 16 * layout().tensors().len()
}

/// Returns the state root after the outer step with the accepted submissions.
fn state_after(accepted: &[Submission<Bytes>]) -> StateRoot {
    let specs = model().tensors();
    let mut tensors: Vec<Vec<f32>> =
        layout().tensors().iter().map(|tensor| vec![0.5; tensor.geometry().len()]).collect();
    let mut parameters: Vec<&mut [f32]> = tensors.iter_mut().map(|values| &mut values[..]).collect();
    let bounds = ClipBounds { last: None, full: FullWork { travel: 1e-3, samples: 1 } };
    outer_step(&mut parameters, accepted, bounds, 2).unwrap();
    let hashes: Vec<TensorHash> = tensors.iter().map(|values| TensorHash::of(values)).collect();
    root(specs.iter().zip(&hashes))
}

/// Signs a changed submission of the hostile miner again.
fn signed_again(mut bytes: Vec<u8>) -> Vec<u8> {
    let key: SigningKey = signing_key(&wallet(HOSTILE));
    bytes.truncate(bytes.len() - TRAILER_BYTES);
    let length = (bytes.len() + TRAILER_BYTES) as u64;
    bytes[HEADER_BYTES - 8..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    let digest = ObjectHash::of(&[&bytes]);
    bytes.extend(digest.0);
    bytes.extend(key.sign(SIGNATURE_CONTEXT, &digest.0).0);
    bytes
}

/// Returns a submission of the hostile miner, changed and signed again.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = make(HOSTILE, &expected(HOSTILE));
    change(&mut bytes);
    signed_again(bytes)
}

async fn fetch(
    buckets: &Buckets,
    fetcher: &Fetcher,
    name: &str,
    object: ObjectHash,
) -> Result<Submission<Bytes>, FetchError> {
    let claim = Claim { run: RUN.id(), window: Window(3), object };
    fetcher.submission(&buckets.quiet(), &claim, &expected(name), &layout()).await
}

async fn put(buckets: &Buckets, name: &str, object: &ObjectHash, bytes: &[u8]) {
    buckets.own_bucket(name).put_submission(Window(3), object, Bytes::copy_from_slice(bytes)).await.unwrap();
}

/// Checks that the object does not change the honest state, and returns the error that refuses it.
async fn refused(buckets: &Buckets, bytes: &[u8]) -> FetchError {
    let fine = make(HONEST, &expected(HONEST));
    put(buckets, HONEST, &claimed(&fine), &fine).await;
    let alone = state_after(&[fetch(buckets, &buckets.fetcher(), HONEST, claimed(&fine)).await.unwrap()]);

    put(buckets, HOSTILE, &claimed(bytes), bytes).await;
    // The hostile miner comes first, like a peer with a lower uid.
    let hostile = fetch(buckets, &buckets.fetcher(), HOSTILE, claimed(bytes)).await;
    let honest = fetch(buckets, &buckets.fetcher(), HONEST, claimed(&fine)).await;
    let accepted: Vec<_> = [hostile.as_ref().ok().cloned(), honest.ok()].into_iter().flatten().collect();
    assert_eq!(state_after(&accepted), alone);
    hostile.unwrap_err()
}

/// Checks codes that exceed their table.
#[tokio::test]
async fn w1_codes_are_within_their_table() {
    let buckets = Buckets::start().await;
    for at in [4, 5, 6, 7, 8, 10] {
        let error = refused(&buckets, &changed(|bytes| bytes[body() + at] ^= 0xff)).await;
        assert_eq!(error.fault(), Some(Fault::Malformed), "{error}");
    }
}

/// Checks values of another type than in all other submissions.
#[tokio::test]
async fn w2_values_have_one_type() {
    let buckets = Buckets::start().await;
    for quantizer in [0, 1, 3, 0xff] {
        let error = refused(&buckets, &changed(|bytes| bytes[3] = quantizer)).await;
        assert!(base::ErrorChain(&error).to_string().contains("quantizer is number"), "{error}");
    }
}

/// Checks bytes that are not a submission, before an honest submission of a higher uid.
#[tokio::test]
async fn w3_one_peers_garbage_costs_no_other_peer() {
    let buckets = Buckets::start().await;
    for garbage in [vec![], vec![0; 96], vec![0x80; 400], b"PK\x03\x04 archive/data.pkl".to_vec()] {
        let error = refused(&buckets, &garbage).await;
        assert_eq!(error.fault(), Some(Fault::Malformed), "{error}");
    }
}

/// Checks a submission with only a part of the model.
#[tokio::test]
async fn w4_a_submission_of_some_tensors_is_none() {
    let buckets = Buckets::start().await;
    let fewer = changed(|bytes| bytes[HEADER_BYTES - 12] -= 1);
    let error = refused(&buckets, &fewer).await;
    assert!(base::ErrorChain(&error).to_string().contains("the model has"), "{error}");
    let half = changed(|bytes| {
        let half = (body() + bytes.len() - TRAILER_BYTES) / 2;
        bytes.drain(half..bytes.len() - TRAILER_BYTES);
    });
    assert_eq!(refused(&buckets, &half).await.fault(), Some(Fault::Malformed));
}

/// Checks an object that is larger than any submission, and shapes that require much memory.
#[tokio::test]
async fn w5_sizes_are_known_before_anything_is_downloaded() {
    let buckets = Buckets::start().await;
    let huge = vec![1; usize::try_from(layout().most_bytes()).unwrap() + 1];
    assert_eq!(refused(&buckets, &huge).await.fault(), Some(Fault::TooLarge));
    let shape = changed(|bytes| bytes[HEADER_BYTES..HEADER_BYTES + 8].fill(0xff));
    let error = refused(&buckets, &shape).await;
    assert!(
        base::ErrorChain(&error).to_string().contains("has the shape [4294967295, 4294967295]"),
        "{error}"
    );
}

/// Checks another object for each reader, and a replay of an old object.
#[tokio::test]
async fn w7_one_claim_is_one_object_of_one_window() {
    let buckets = Buckets::start().await;
    let first = make(HOSTILE, &expected(HOSTILE));
    put(&buckets, HOSTILE, &claimed(&first), &first).await;
    let one = fetch(&buckets, &buckets.fetcher(), HOSTILE, claimed(&first)).await.unwrap();
    let second = changed(|bytes| bytes[HEADER_BYTES - 136] += 1); // One more sequence gives another object.
    put(&buckets, HOSTILE, &claimed(&first), &second).await;
    let error = fetch(&buckets, &buckets.fetcher(), HOSTILE, claimed(&first)).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Mismatch), "{error}");
    put(&buckets, HOSTILE, &claimed(&first), &first).await;
    let again = fetch(&buckets, &buckets.fetcher(), HOSTILE, claimed(&first)).await.unwrap();
    assert_eq!(state_after(&[again]), state_after(&[one]));
    let replayed = make(HOSTILE, &Expected { window: Window(2), ..expected(HOSTILE) });
    let error = refused(&buckets, &replayed).await;
    assert!(base::ErrorChain(&error).to_string().contains("is from window 2, not 3"), "{error}");
}

/// Checks a copy of another miner's upload.
#[tokio::test]
async fn w8_what_is_sealed_cannot_be_copied_in_time() {
    let buckets = Buckets::start().await;
    let layout = layout();
    let sealed = |name: &str| Expected { sealed: true, ..expected(name) };
    let key = SealKey::new([1; 32]);
    let header = Header::new(&sealed(HONEST), 10, &layout);
    let signer = signing_key(&wallet(HONEST));
    let bytes = encode_sealed(&layout, &header, &sent(), &signer, &key).unwrap();
    let Expected { run, neuron, window, .. } = sealed(HONEST);
    let opener = KeyObject { run, neuron, window, object: claimed(&bytes), key }.sign(&signer);
    put(&buckets, HONEST, &claimed(&bytes), &bytes).await;
    buckets.own_bucket(HONEST).put_key(Window(3), &claimed(&bytes), &opener).await.unwrap();
    let claim = |object| Claim { run: RUN.id(), window: Window(3), object };
    let get = async |name: &str, object: ObjectHash| {
        let expected = sealed(name);
        buckets.fetcher().submission(&buckets.quiet(), &claim(object), &expected, &layout).await
    };
    let alone = state_after(&[get(HONEST, claimed(&bytes)).await.unwrap()]);

    // The copycat uploads the ciphertext under its own name, with the key that the honest miner has
    // published since.
    let mut copied = bytes.clone();
    let mine = make(HOSTILE, &expected(HOSTILE));
    copied[72..112].copy_from_slice(&mine[72..112]); // The neuron.
    let copied = signed_again(copied);
    put(&buckets, HOSTILE, &claimed(&copied), &copied).await;
    buckets.put(HOSTILE, &bucket_layout::seal_key(RUN.id(), Window(3), &claimed(&copied)), &opener).await;
    let error = get(HOSTILE, claimed(&copied)).await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::Malformed), "{error}");
    assert_eq!(state_after(&[get(HONEST, claimed(&bytes)).await.unwrap()]), alone);
}

/// Checks positions of a chunk that repeat or are out of order: the format cannot express them,
/// whatever its bits.
#[tokio::test]
async fn w10_positions_rise_whatever_is_sent() {
    let buckets = Buckets::start().await;
    let valid = make(HOSTILE, &expected(HOSTILE));
    let mut taken = 0;
    for at in (body() + 16..body() + 200).step_by(7) {
        let bytes = changed(|bytes| bytes[at] ^= 0x55);
        put(&buckets, HOSTILE, &claimed(&bytes), &bytes).await;
        match fetch(&buckets, &buckets.fetcher(), HOSTILE, claimed(&bytes)).await {
            Err(error) => assert_eq!(error.fault(), Some(Fault::Malformed), "{error}"),
            Ok(submission) => {
                taken += 1;
                let tensor = submission.tensor(0).unwrap();
                let size = layout().tensors()[0].geometry().size() as u16;
                for chunk in 0..layout().tensors()[0].geometry().chunks() {
                    let positions = tensor.chunk_positions(chunk);
                    assert!(positions.is_sorted_by(|a, b| a < b) && positions.iter().all(|&at| at < size));
                }
            }
        }
    }
    assert!(valid.len() > body() + 200 && taken < 27, "most changes are no submission");
}

/// Checks a pickle in place of each object that a joining node reads.
#[tokio::test]
async fn w11_a_pickle_is_never_loaded() {
    const PICKLE: &[u8] = b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.";
    let buckets = Buckets::start().await;
    assert_eq!(refused(&buckets, PICKLE).await.fault(), Some(Fault::Malformed));
    let state = buckets.quiet();
    let validator = id("val-a");
    buckets.put("val-a", &bucket_layout::checkpoint_pointer(RUN.id()), PICKLE).await;
    let error = buckets.fetcher().checkpoint_pointer(&state, &validator, &RUN).await.unwrap_err();
    assert!(base::ErrorChain(&error).to_string().contains("another kind of object"), "{error}");
    buckets.put("val-a", &bucket_layout::record(RUN.id(), Window(3)), PICKLE).await;
    let error = buckets.fetcher().record(&state, &validator, &RUN, Window(3)).await.unwrap_err();
    assert!(base::ErrorChain(&error).to_string().contains("another kind of object"), "{error}");
}

/// Checks a measurement of a peer with the wrong length or type. Here it is a validator's log, the
/// only measurement that other nodes recompute.
#[tokio::test]
async fn w53_a_peers_own_statements_stop_no_other_node() {
    let buckets = Buckets::start().await;
    let state = buckets.quiet();
    let validator = id("val-a");
    for bytes in [&b""[..], b"[1, 2]", b"{\"avg_steps_behind\": []}", &[0xe5; 400]] {
        buckets.put("val-a", &bucket_layout::score_log(RUN.id(), Window(3)), bytes).await;
        let error = buckets.fetcher().score_log(&state, &validator, &RUN, Window(3)).await.unwrap_err();
        assert!(matches!(error, FetchError::ScoreLog { .. }) && error.fault().is_none(), "{error}");
    }
    let error = refused(&buckets, b"[1, 2]").await;
    assert_eq!(error.fault(), Some(Fault::Malformed), "{error}");
}

/// Checks quantizer parameters that are not finite. The whole object is refused before any node waits
/// for another.
#[tokio::test]
async fn w54_malformed_parameters_of_a_quantizer_are_refused_whole() {
    let buckets = Buckets::start().await;
    for scale in [f32::NAN, f32::INFINITY, -1.0, -0.0] {
        let bytes = changed(|bytes| bytes[body()..body() + 4].copy_from_slice(&scale.to_le_bytes()));
        let error = refused(&buckets, &bytes).await;
        assert!(
            base::ErrorChain(&error).to_string().contains("the scale of the tensor is not finite"),
            "{error}"
        );
    }
}
