//! Another miner whose bucket withholds its accepted object.

use crate::network::{Network, before_claims_close};
use base::{NeuronId, Window, digest::ObjectHash};
use bucket_server::{Fault, Plan, Rule};
use codec::{
    sparse::compress,
    submission::{Expected, Header, KeyObject, SealKey, SubmissionLayout, encode_sealed},
};
use miner::Upload;
use protocol::{
    announcement::{Announcement, Bits, Claim, Record},
    history::History,
    model::ParameterLayout,
};
use testkit::development;

/// The hotkey of the stranger.
const STRANGER: &str = "Dave";

/// Makes the stranger's submission for window 0, and its key object.
fn submission(network: &Network, neuron: NeuronId) -> (Upload, Vec<u8>) {
    let spec = &network.spec;
    let layout = SubmissionLayout::new(&spec.model.tensors(), &spec.sparse).unwrap();
    let expected = Expected {
        run: spec.hash(),
        spec: spec.hash(),
        neuron,
        window: Window(0),
        base: History::new(&spec.hash()).state(&spec.initial.root),
        least_samples: spec.train.least_samples(),
        sealed: true,
    };
    let flat = ParameterLayout::new(&spec.model);
    let value = |at: usize| ((at * 37 % 101) as f32 - 50.0) * 1e-5;
    let values: Vec<f32> = (0..flat.len()).map(value).collect();
    let sent: Vec<_> = (flat.iter().zip(layout.tensors()))
        .map(|((_, place), tensor)| compress(&values[place], tensor.geometry(), layout.spec()).unwrap())
        .collect();
    let key = exchange::signing_key(&development(STRANGER));
    let seal = SealKey::new([7; 32]);
    let header = Header::new(&expected, expected.least_samples, &layout);
    let upload = Upload::of_bytes(encode_sealed(&layout, &header, &sent, &key, &seal).unwrap());
    let window = Window(0);
    let opener = KeyObject { run: spec.hash(), neuron, window, object: upload.hash, key: seal };
    (upload, opener.sign(&key).to_vec())
}

/// Uploads an object and its key to a bucket.
async fn upload(network: &Network, bucket: &str, object: &ObjectHash, bytes: &Upload, key: &[u8]) {
    let own_bucket = network.own_bucket(bucket);
    own_bucket.put_key(Window(0), object, key.try_into().unwrap()).await.unwrap();
    own_bucket.put_submission(Window(0), object, bytes.bytes.clone()).await.unwrap();
}

/// Checks that A4 is mended: an accepted miner that served only the validators made all other miners late.
#[tokio::test(flavor = "multi_thread")]
async fn a4_an_object_that_its_miner_withholds_comes_from_the_custodians() {
    let network = Network::with(&|genesis| {
        let mut stranger = genesis.neurons[1].clone();
        stranger.hotkey = development(STRANGER).hotkey().to_string().parse().unwrap();
        (stranger.stake, stranger.permit) = (0, false);
        genesis.neurons.push(stranger);
    });
    let network = network.await;
    let heights = network.spec.clock().unwrap().heights(Window(0)).unwrap();
    let neuron = network.neuron(STRANGER).await;
    let (bytes, key) = submission(&network, neuron);
    let object = bytes.hash;
    upload(&network, "stranger", &object, &bytes, &key).await;
    upload(&network, "custodian", &object, &bytes, &key).await;
    let path = format!("/stranger/{}/submission/", network.spec.id());
    network.buckets.inject(Plan {
        seed: 0,
        rules: vec![Rule { skip: 3, ..Rule::always("GET", &path, Fault::Status { code: 404 }) }],
    });
    // The validators take it: three times.
    let reader = network.own_bucket("stranger");
    let name = protocol::bucket_layout::submission(network.spec.id(), Window(0), &object);
    for _ in 0..3 {
        let floor = storage::Floor { bytes_per_second: 0, over: testkit::HANGS };
        let limits = storage::Limits { bytes: 1 << 30, time: testkit::HANGS, floor };
        reader.bucket().get(&name, &limits).await.unwrap();
    }

    let miner = network.spawn();
    let claim = Claim { run: network.spec.id(), window: Window(0), object };
    let record = Some(Record::Claim(claim));
    network.release(before_claims_close(&heights, 3));
    network.event("claimed", 1).await;
    network.announce(STRANGER, Announcement { bucket: network.bucket("stranger"), record }).await;
    network.reach_final(heights.claims_close).await;
    network.event("revealed", 1).await;
    let state = History::new(&network.spec.hash()).state(&network.spec.initial.root);
    network.vote_for(Window(0), Bits::of([0, 1]), state, network.bucket("custodian")).await;
    network.release_final(heights.votes_close);
    let applied = network.event("applied", 1).await;
    let decided = network.event("decided", 1).await;
    assert_eq!(decided["accepted"].as_array().unwrap().len(), 2, "{decided}");
    assert_ne!(applied["root"], network.spec.initial.root.to_string());
    network.strikes(1).await;

    // It trains in the next window.
    let next = network.spec.clock().unwrap().heights(Window(1)).unwrap();
    network.release(before_claims_close(&next, 2));
    network.event("claimed", 2).await;
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
}
