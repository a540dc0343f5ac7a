//! Test fixtures: neurons with buckets, a small run, and its objects.

use base::{
    BlockHash, Coldkey, Height, Hotkey, Netuid, NeuronId, Rao, Secret, Uid, Window,
    commitment::Commitment,
    digest::{ObjectHash, RunHash, State},
};
use bucket_server::{BucketConfig, Config, Fault, Key, Plan, Rule, Server};
use bytes::Bytes;
use chain::{Commitments, Metagraph, Neuron, wallet::KeyPair};
use codec::{
    sparse::{Quantizer, SparseSpec, SparseTensor, compress},
    submission::{Expected, Header, SubmissionLayout, encode},
};
use exchange::{BlockState, FetchLimits, Fetcher, OwnBucket, signing_key};
use protocol::{
    announcement::{self, AddressPolicy, Announcement, ReadCredentials, Record},
    model::ModelSpec,
    run_spec::RunFile,
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use storage::{Bucket, Content, Floor, Put, Retry, Storage};

/// A limit that only a hanging test reaches.
pub(crate) const LONG: Duration = Duration::from_secs(300);
pub(crate) const FLOOR: Floor = Floor { bytes_per_second: 0, over: LONG };
pub(crate) const LIMITS: FetchLimits = FetchLimits { time: LONG, floor: FLOOR };

pub(crate) const RUN: RunHash = RunHash([9; 32]);
pub(crate) const SUBNET: Netuid = Netuid(3);

/// All owners of a bucket.
pub(crate) const NAMES: [&str; 14] = [
    "miner-0", "miner-1", "miner-2", "miner-3", "miner-4", "miner-5", "miner-6", "miner-7", "miner-8",
    "miner-9", "val-a", "val-b", "val-c", "val-d",
];

pub(crate) fn wallet(name: &str) -> KeyPair {
    KeyPair::development(&format!("//{name}")).unwrap()
}

pub(crate) fn id(name: &str) -> NeuronId {
    NeuronId { hotkey: wallet(name).hotkey(), registered: Height(7) }
}

/// Returns a model of two thousand parameters.
pub(crate) fn model() -> ModelSpec {
    ModelSpec {
        vocab: 40,
        hidden: 16,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        ffn: 24,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: true,
        sequence: 32,
    }
}

pub(crate) fn tiny() -> RunFile {
    RunFile::parse(include_str!("../../../../deploy/runs/tiny.toml")).unwrap()
}

/// Returns a spec with all parts of a body: scales, a table of codes, codes.
fn sparse() -> SparseSpec {
    SparseSpec { topk: 16, quantizer: Quantizer::SignCentroid, ..tiny().sparse }
}

pub(crate) fn layout() -> Arc<SubmissionLayout> {
    Arc::new(SubmissionLayout::new(&model().tensors(), &sparse()).unwrap())
}

/// Returns the requirements on a miner's submission.
pub(crate) fn expected(name: &str) -> Expected {
    Expected {
        run: RUN,
        spec: RUN,
        neuron: id(name),
        window: Window(3),
        base: State([5; 32]),
        least_samples: 10,
        sealed: false,
    }
}

/// Returns the tensors of each submission in these tests.
pub(crate) fn sent() -> Vec<SparseTensor> {
    let layout = layout();
    let values = |len: usize| (0..len).map(|at| ((at * 37 % 101) as f32 - 50.0) * 1e-3).collect::<Vec<_>>();
    let tensors = layout.tensors().iter();
    tensors
        .map(|tensor| compress(&values(tensor.geometry().len()), tensor.geometry(), layout.spec()).unwrap())
        .collect()
}

/// Makes a submission with the key of `name`, as `expected` requires.
pub(crate) fn make(name: &str, expected: &Expected) -> Vec<u8> {
    let layout = layout();
    encode(&layout, &Header::new(expected, 10, &layout), &sent(), &signing_key(&wallet(name))).unwrap()
}

/// Returns the hash that the claim for these bytes must name.
pub(crate) fn claimed(bytes: &[u8]) -> ObjectHash {
    ObjectHash::of(&[&bytes[..bytes.len().saturating_sub(96)]])
}

/// A bucket server with a bucket for each name.
pub(crate) struct Buckets {
    pub(crate) server: Server,
    pub(crate) storage: Storage,
    _folder: tempfile::TempDir,
}

fn key(name: &str, kind: &str) -> ReadCredentials {
    let secret = format!("{name}-{kind}-secret");
    ReadCredentials { access_key: Secret::new(format!("{name}-{kind}")), secret: Secret::new(secret) }
}

pub(crate) fn announced(address: SocketAddr, name: &str) -> announcement::Bucket {
    let read = Some(key(name, "reads"));
    announcement::Bucket::s3(&format!("http://{address}"), "us-east-1", name, read).unwrap()
}

impl Buckets {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key_of = |name: &str, kind: &str| Key {
            id: format!("{name}-{kind}"),
            secret: format!("{name}-{kind}-secret"),
        };
        let bucket = |name: &&str| BucketConfig {
            name: (*name).to_owned(),
            read: key_of(name, "reads"),
            write: key_of(name, "writes"),
        };
        let config = Config::local(&folder.path().join("data"), NAMES.iter().map(bucket).collect());
        let server = Server::start(config).await.unwrap();
        let retry =
            Retry { attempts: 2, base: Duration::ZERO, most: Duration::ZERO, most_asked: Duration::ZERO };
        let storage = Storage::new(AddressPolicy::PublicOrLoopback).with_retry(retry);
        Self { server, storage, _folder: folder }
    }

    pub(crate) fn announced(&self, name: &str) -> announcement::Bucket {
        announced(self.server.address(), name)
    }

    /// Returns a bucket with its owner's access.
    pub(crate) fn own(&self, name: &str) -> Bucket {
        self.storage.own_bucket(&self.announced(name), &key(name, "writes")).unwrap()
    }

    pub(crate) fn own_bucket(&self, name: &str) -> OwnBucket {
        OwnBucket::new(self.own(name), RUN)
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.storage.clone(), LIMITS)
    }

    pub(crate) async fn put(&self, name: &str, key: &str, bytes: &[u8]) {
        let put = Put { time: LONG, floor: FLOOR, only_if_absent: false };
        self.own(name).put(key, Content::Bytes(Bytes::copy_from_slice(bytes)), &put).await.unwrap();
    }

    /// Lists the keys in a bucket below a prefix.
    pub(crate) async fn keys(&self, name: &str, prefix: &str) -> Vec<String> {
        let listed = self.own(name).list(prefix, None, 1000, LONG).await.unwrap();
        listed.into_iter().map(|listed| listed.key).collect()
    }

    /// Injects a fault into all reads from a bucket.
    pub(crate) fn inject(&self, name: &str, fault: Fault) {
        let rules = vec![Rule::always("GET", &format!("/{name}/"), fault)];
        self.server.inject(Plan { seed: 1, rules });
    }

    /// Returns a subnet state in which these names announce their buckets and `records`.
    pub(crate) fn state(&self, names: &[&str], records: &BTreeMap<&str, Record>) -> BlockState {
        let commitment = |name: &str| {
            let announcement =
                Announcement { bucket: self.announced(name), record: records.get(name).copied() };
            let fields = announcement.fields().unwrap();
            (wallet(name).hotkey(), Commitment { deposit: 0, block: 50, fields })
        };
        let mut valid: Vec<_> = names.iter().map(|name| commitment(name)).collect();
        valid.sort_by_key(|(hotkey, _)| *hotkey);
        let neurons = NAMES.iter().enumerate().map(|(uid, name)| neuron(uid, name)).collect();
        let metagraph = Metagraph {
            netuid: SUBNET,
            block: BlockHash([1; 32]),
            owner: Coldkey([0; 32]),
            owner_hotkey: Hotkey([0; 32]),
            neurons,
        };
        let commitments = Commitments { valid, malformed: Vec::new() };
        BlockState::new(Height(60), BlockHash([1; 32]), metagraph, &commitments).unwrap()
    }

    /// Returns the state in which all names announce only their buckets.
    pub(crate) fn quiet(&self) -> BlockState {
        self.state(&NAMES, &BTreeMap::new())
    }
}

fn neuron(uid: usize, name: &str) -> Neuron {
    let validates = name.starts_with("val");
    Neuron {
        uid: Uid(uid as u16),
        hotkey: wallet(name).hotkey(),
        coldkey: Coldkey([1; 32]),
        registered: Height(7),
        stake_weight: if validates { 20_000 } else { 0 },
        alpha: Rao(0),
        permit: validates,
        active: true,
        incentive: 0,
        consensus: 0,
        dividends: 0,
        validator_trust: 0,
        emission: Rao(0),
        last_update: Height(7),
    }
}
