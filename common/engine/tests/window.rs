//! One window of one miner, bit for bit: text to dataset, training, submission, bucket, and back.
#![allow(clippy::unwrap_used)] // A test that cannot continue stops here.

use base::{
    BlockHash, Height, NeuronId, Secret, Window,
    digest::{RunHash, StateRoot},
    signature::{SIGNATURE_BYTES, SigningKey},
};
use bucket_server::{BucketConfig, Config, Key, Server};
use codec::{
    aggregate::ClipBounds,
    feedback,
    sparse::compress,
    submission::{Expected, Header, Submission, SubmissionLayout, encode},
};
use data::{Options as DataOptions, Quiet, TokenizerChoice, prepare};
use engine::{Model, Options, Place, Shards};
use protocol::{
    announcement::{self, AddressPolicy, ReadCredentials},
    assignment::Assignments,
    dataset::{Manifest, ShardRole},
    history::History,
    model::ModelSpec,
    run_spec::RunFile,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use storage::{Bucket, Content, Floor, Limits, Put, Storage};

/// A limit that only a hanging test reaches.
const LONG: Duration = Duration::from_secs(300);
const FLOOR: Floor = Floor { bytes_per_second: 0, over: LONG };

/// Returns a signing key. Its secret is a multiple of 8 below 2^255, and a nonce.
fn signing_key() -> SigningKey {
    let mut secret = [8; 64];
    secret[31] = 1;
    SigningKey::from_bytes(&secret).unwrap()
}

/// Returns the tiny run with a smaller model and short sequences.
fn run() -> RunFile {
    let text = include_str!("../../../deploy/runs/tiny.toml");
    let mut run = RunFile::parse(text).unwrap();
    run.model = ModelSpec {
        vocab: 512,
        hidden: 64,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 32,
        ffn: 128,
        sequence: 16,
        ..run.model
    };
    (run.train.sequence, run.train.batch) = (16, 4);
    (run.train.inner_steps, run.train.least_steps) = (3, 3);
    run
}

/// Returns the paths of this repository's own pages and licence.
fn texts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    ["LICENSE-APACHE", "common/protocol/FORMATS.md", "README.md"].map(|page| root.join(page)).into()
}

fn shards(out: &Path, run: &RunFile) -> (Shards, u64) {
    let tokenizer = TokenizerChoice::Train { vocab: run.model.vocab, sample: 1 << 20 };
    let options = DataOptions::new(texts(), out.to_owned(), tokenizer);
    let format = Some(data::Format::Text);
    let options = DataOptions { sequence: run.train.sequence, held_out: 0.0, format, ..options };
    prepare(&options, &mut Quiet).unwrap();
    let manifest = Manifest::read(&std::fs::read(out.join(data::MANIFEST)).unwrap()).unwrap();
    let paths = [out.join(data::shard_name(ShardRole::Training, 0))];
    (Shards::of(&manifest, ShardRole::Training, paths).unwrap(), manifest.training_blocks())
}

/// Creates a node with the run's initial parameters.
fn node(run: &RunFile) -> Model {
    let options = Options { place: Place::Cpu, threads: 1, ..Options::default() };
    let mut model = Model::new(run.model, options).unwrap();
    model.initialize(&run.initial.seed.0).unwrap();
    model
}

/// Makes the object that a miner uploads for its first window.
fn make(run: &RunFile, layout: &SubmissionLayout, expected: &Expected, data: (&Shards, u64)) -> Vec<u8> {
    let (training, blocks) = data;
    let neurons = std::iter::once(expected.neuron);
    let samples = run.train.samples();
    let seed = BlockHash([7; 32]);
    let assigned = Assignments::new(&expected.run, expected.window, seed, neurons, samples, blocks).unwrap();
    let sequences: Vec<u64> = assigned.of(&expected.neuron).unwrap().sequences().collect();
    let batches = sequences.chunks(run.train.batch as usize).map(|batch| training.batch(batch));

    let mut model = node(run);
    let trained = model.train(&run.train, 0, batches, &AtomicBool::new(false)).unwrap();
    let mut error = vec![0.0; model.layout().len()];
    feedback::accumulate(&mut error, &trained.pseudo_gradient, run.sparse.beta);
    let tensors = layout.tensors().iter().zip(model.layout().iter());
    let sent: Vec<_> = tensors
        .map(|(tensor, (_, place))| compress(&error[place], tensor.geometry(), &run.sparse).unwrap())
        .collect();
    encode(layout, &Header::new(expected, samples, layout), &sent, &signing_key()).unwrap()
}

/// Returns the state root after the window, on a node that received the object.
fn apply(run: &RunFile, layout: &Arc<SubmissionLayout>, expected: &Expected, object: Vec<u8>) -> StateRoot {
    let accepted = Submission::open(object, Arc::clone(layout), expected).unwrap();
    let mut model = node(run);
    let bounds = ClipBounds { last: None, full: run.train.full_work(expected.window) };
    model.apply_outer_step(&[accepted], bounds).unwrap().1
}

/// Starts a server with one bucket. Returns the owner's access and the access of other nodes.
async fn bucket(folder: &Path) -> (Server, Bucket, Bucket) {
    let key = |kind: &str| Key { id: format!("miner-{kind}"), secret: format!("miner-{kind}-secret") };
    let config = BucketConfig { name: "miner".to_owned(), read: key("read"), write: key("write") };
    let server = Server::start(Config::local(folder, vec![config])).await.unwrap();
    let credentials = |kind: &str| {
        let Key { id, secret } = key(kind);
        ReadCredentials { access_key: Secret::new(id), secret: Secret::new(secret) }
    };
    let url = format!("http://{}", server.address());
    let announced = announcement::Bucket::s3(&url, "us-east-1", "miner", Some(credentials("read"))).unwrap();
    let storage = Storage::new(AddressPolicy::PublicOrLoopback);
    let owner = storage.own_bucket(&announced, &credentials("write")).unwrap();
    (server, owner, storage.bucket(&announced).unwrap())
}

#[tokio::test]
async fn a_window_goes_from_text_to_a_bucket_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = run();
    let layout = Arc::new(SubmissionLayout::new(&run.model.tensors(), &run.sparse).unwrap());
    let (training, blocks) = shards(&folder.path().join("data"), &run);
    let hash = RunHash::of(&[b"window"]);
    let start = node(&run).state_root().unwrap();
    let expected = Expected {
        run: hash,
        spec: hash,
        neuron: NeuronId { hotkey: signing_key().hotkey(), registered: Height(1) },
        window: Window(0),
        base: History::new(&hash).state(&start),
        least_samples: run.train.least_samples(),
        sealed: false,
    };

    let object = make(&run, &layout, &expected, (&training, blocks));
    let again = make(&run, &layout, &expected, (&training, blocks));
    let unsigned = object.len() - SIGNATURE_BYTES;
    assert_eq!(
        object[..unsigned],
        again[..unsigned],
        "the same state and data, other bytes before the signature"
    );
    assert!(object.len() as u64 <= layout.most_bytes());

    let (server, owner, reader) = bucket(&folder.path().join("bucket")).await;
    let put = Put { time: LONG, floor: FLOOR, only_if_absent: false };
    owner.put("window-0", Content::Bytes(object.clone().into()), &put).await.unwrap();
    let limits = Limits { bytes: layout.most_bytes(), time: LONG, floor: FLOOR };
    let (fetched, _) = reader.get("window-0", &limits).await.unwrap();
    server.stop().await;
    assert_eq!(fetched, object);

    let (here, there) = (apply(&run, &layout, &expected, object), apply(&run, &layout, &expected, fetched));
    assert_eq!(here, there);
    assert_ne!(here, start, "the window changed nothing");
}
