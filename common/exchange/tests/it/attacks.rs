//! Attacks on availability, named by their numbers: slow, trickling, breaking-off, lying and absent buckets
//! behind the real download paths. The limits are the defaults of nodes. No test asserts a time.

use crate::{checkpoint, support::*};
use base::{Height, Window, tensor::TensorRole, tensor::TensorSpec};
use bucket_server::{Fault as Broken, Plan, Rule};
use bytes::Bytes;
use codec::{
    sparse::{Quantizer, SparseSpec, compress},
    submission::{Expected, Header, KeyObject, SealKey, SubmissionLayout, encode_sealed},
};
use exchange::{AcceptedObject, FetchLimits, Fetcher, PrefetchPlan, Prefetched, Prefetcher, signing_key};
use protocol::{
    acceptance::{Accepted, Candidate},
    bucket_layout,
    downloads::{ClockReadings, PeerOutcome, PrefetchRules, TryFailure, faults},
    model::ParameterLayout,
};
use scoring::gauntlet::Fault;
use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};
use storage::{Content, Floor, Put};

const WINDOW: Window = Window(3);
const CLAIMS_CLOSE: Height = Height(102);
const KEYS_CLOSE: Height = Height(1000);
const HONEST: &str = "miner-0";
/// More hostile miners than downloads run at once. They come first in the order.
const HOSTILE: [&str; 9] =
    ["miner-1", "miner-2", "miner-3", "miner-4", "miner-5", "miner-6", "miner-7", "miner-8", "miner-9"];
/// The default limits of a node.
const DEFAULTS: FetchLimits = FetchLimits {
    time: Duration::from_secs(600),
    floor: Floor { bytes_per_second: 65_536, over: Duration::from_secs(10) },
};

fn fetcher(buckets: &Buckets, folder: &tempfile::TempDir) -> Fetcher {
    Fetcher::new(buckets.storage.clone(), DEFAULTS).with_folder(folder.path())
}

/// Sealed submissions in the buckets of their miners.
struct Sealed {
    layout: Arc<SubmissionLayout>,
    candidates: Vec<Candidate>,
    objects: BTreeMap<&'static str, Bytes>,
    keys: BTreeMap<&'static str, [u8; codec::submission::KEY_BYTES]>,
}

fn sealed(name: &str) -> Expected {
    Expected { sealed: true, ..expected(name) }
}

impl Sealed {
    /// Makes submissions of this layout. The first value of each differs.
    fn make(names: &[&'static str], layout: &Arc<SubmissionLayout>) -> Self {
        let (mut candidates, mut objects, mut keys) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (place, name) in names.iter().enumerate() {
            let tensors = layout.tensors().iter().map(|tensor| {
                let values: Vec<f32> = (0..tensor.geometry().len())
                    .map(|at| ((at * 37 % 101) as f32 - 50.0) * 1e-3 + place as f32 * 1e-5)
                    .collect();
                compress(&values, tensor.geometry(), layout.spec()).unwrap()
            });
            let tensors: Vec<_> = tensors.collect();
            let (expected, signer) = (sealed(name), signing_key(&wallet(name)));
            let key = SealKey::new([place as u8 + 1; 32]);
            let header = Header::new(&expected, 10, layout);
            let bytes = encode_sealed(layout, &header, &tensors, &signer, &key).unwrap();
            let object = claimed(&bytes);
            let Expected { run, neuron, window, .. } = expected;
            keys.insert(*name, KeyObject { run, neuron, window, object, key }.sign(&signer));
            objects.insert(*name, Bytes::from(bytes));
            candidates.push(Candidate { id: neuron, object, incentive: 0 });
        }
        Self { layout: Arc::clone(layout), candidates, objects, keys }
    }

    async fn upload(&self, buckets: &Buckets, from: &'static str, to: &str) {
        let object = claimed(&self.objects[from]);
        let own = buckets.own_bucket(to);
        own.put_submission(WINDOW, &object, self.objects[from].clone()).await.unwrap();
        own.put_key(WINDOW, &object, &self.keys[from]).await.unwrap();
    }

    async fn upload_all(&self, buckets: &Buckets) {
        for name in self.objects.keys() {
            self.upload(buckets, name, name).await;
        }
    }

    fn prefetch(&self, fetcher: &Fetcher, floor: u64) -> Prefetcher {
        let rules = PrefetchRules {
            claims_close: CLAIMS_CLOSE,
            keys_close: KEYS_CLOSE,
            last_keys: Some(KEYS_CLOSE.next()),
            sealed: true,
            floor,
            most_bytes: self.layout.most_bytes(),
            line: 0,
        };
        let plan = PrefetchPlan { rules, expected: sealed(HONEST), layout: Arc::clone(&self.layout) };
        Prefetcher::start(fetcher, plan).unwrap()
    }
}

/// Runs a prefetch until this many objects are there, then to `K_w`. Keys are asked for after it.
async fn play(buckets: &Buckets, made: &Sealed, fetcher: &Fetcher, floor: u64, objects: usize) -> Prefetched {
    let prefetcher = made.prefetch(fetcher, floor);
    prefetcher.update(Arc::new(buckets.quiet()), made.candidates.clone()).await;
    prefetcher.height(CLAIMS_CLOSE).await;
    prefetcher.arrived().wait_for(|arrived| arrived.len() >= objects).await.unwrap();
    prefetcher.height(KEYS_CLOSE).await;
    prefetcher.outcome().await.unwrap()
}

fn rules(names: &[&str], faults: &[Broken]) -> Vec<Rule> {
    let rule = |name: &&str, fault: &Broken| Rule::always("GET", &format!("/{name}/"), fault.clone());
    names.iter().flat_map(|name| faults.iter().map(move |fault| rule(name, fault))).collect()
}

/// Checks nine hostile buckets before an honest one in the order. Each holds its download as long as it can:
/// answers after 9 s and bytes again 9 s later, so that no 10 s pass without a sign of life; trickles just
/// above the floor; breaks off again and again.
#[tokio::test]
async fn a1_w6_slow_buckets_keep_no_other_peer_waiting() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let fetcher = fetcher(&buckets, &folder);
    let names: Vec<&'static str> = HOSTILE.into_iter().chain([HONEST]).collect();
    let made = Sealed::make(&names, &layout());
    made.upload_all(&buckets).await;
    let nine = [Broken::Delay { ms: 9000 }, Broken::Trickle { bytes: 1 << 20, ms: 9000 }];
    // Objects of the tests have few bytes, so a trickle above the floor needs a floor of few bytes.
    let trickle = [Broken::Trickle { bytes: 1, ms: 50 }];
    let broken = [Broken::Truncate { after: 20 }];
    for (faults, floor) in [(&nine[..], 65_536), (&trickle, 10), (&broken, 65_536)] {
        buckets.server.inject(Plan { seed: 1, rules: rules(&HOSTILE, faults) });
        let done = play(&buckets, &made, &fetcher, floor, 1).await;
        assert_eq!(done.outcomes[&id(HONEST)], PeerOutcome::Arrived, "{faults:?}");
        assert_eq!(done.submissions[&id(HONEST)].hash(), claimed(&made.objects[HONEST]));
        let arrived = done.outcomes.values().filter(|outcome| **outcome == PeerOutcome::Arrived).count();
        assert_eq!(arrived, 1, "{faults:?}: {:?}", done.outcomes);
        assert!(buckets.server.strikes().iter().any(|strikes| *strikes > 0));
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "the folder of each window is deleted: {left:?}");
}

#[tokio::test]
async fn a1_a_rewritten_claim_ends_the_download_of_the_old_one() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = Sealed::make(&[HONEST, "miner-1"], &layout());
    made.upload_all(&buckets).await;
    let prefetcher = made.prefetch(&fetcher(&buckets, &folder), 65_536);
    let state = Arc::new(buckets.quiet());
    let mut before = made.candidates.clone();
    before[0].object = base::digest::ObjectHash([9; 32]);
    prefetcher.update(Arc::clone(&state), before).await;
    prefetcher.update(state, made.candidates.clone()).await;
    prefetcher.height(CLAIMS_CLOSE).await;
    prefetcher.arrived().wait_for(|arrived| arrived.len() == 2).await.unwrap();
    prefetcher.height(KEYS_CLOSE).await;
    let done = prefetcher.outcome().await.unwrap();
    assert!(done.outcomes.values().all(|outcome| *outcome == PeerOutcome::Arrived), "{:?}", done.outcomes);
}

/// Checks a read key that may not list the bucket: absent objects and keys answer 403.
#[tokio::test]
async fn a15_forbidden_is_not_yet() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = Sealed::make(&[HONEST], &layout());
    made.upload_all(&buckets).await;
    let forbidden = |what: &str| {
        let path = format!("/{HONEST}/{}/{what}/", RUN.id());
        Rule::always("GET", &path, Broken::Status { code: 403 })
    };
    let rules = vec![forbidden("submission").times(2), forbidden("key").times(3)];
    buckets.server.inject(Plan { seed: 1, rules });
    let prefetcher = made.prefetch(&fetcher(&buckets, &folder), 65_536);
    prefetcher.update(Arc::new(buckets.quiet()), made.candidates.clone()).await;
    prefetcher.arrived().wait_for(|arrived| arrived.len() == 1).await.unwrap();
    for height in CLAIMS_CLOSE.0..KEYS_CLOSE.0 {
        if buckets.server.strikes() == [2, 3] {
            break;
        }
        // Each block brings one more ask for the key, if the one before has ended.
        prefetcher.height(Height(height)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The last ask comes when `K_w` is final.
    prefetcher.height(KEYS_CLOSE).await;
    let done = prefetcher.outcome().await.unwrap();
    assert_eq!(done.outcomes[&id(HONEST)], PeerOutcome::Arrived);
    assert_eq!(buckets.server.strikes(), [2, 3]);
}

/// Checks objects and keys that are forbidden until the end.
#[tokio::test]
async fn a15_forbidden_until_the_end_is_a_failure_and_a_key_can_be_missing() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = Sealed::make(&[HONEST, "miner-1", "miner-2"], &layout());
    made.upload_all(&buckets).await;
    let key = format!("/miner-1/{}/key/", RUN.id());
    let forbidden = Broken::Status { code: 403 };
    let rules =
        vec![Rule::always("GET", &key, forbidden.clone()), Rule::always("GET", "/miner-2/", forbidden)];
    buckets.server.inject(Plan { seed: 1, rules });
    let done = play(&buckets, &made, &fetcher(&buckets, &folder), 65_536, 2).await;
    assert_eq!(done.outcomes[&id(HONEST)], PeerOutcome::Arrived);
    assert_eq!(done.outcomes[&id("miner-1")], PeerOutcome::MissingKey);
    assert!(matches!(done.outcomes[&id("miner-2")], PeerOutcome::Failed(_) | PeerOutcome::Late { .. }));
    assert!(done.errors.contains_key(&id("miner-2")));
}

/// Checks a bucket that answers each reader that its clock is two hours off, and names such a date. If the
/// own bucket says that the clock is right, the miner is at fault, otherwise not.
#[tokio::test]
async fn a10_a_bucket_that_disputes_the_readers_clock_excuses_no_miner() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = Sealed::make(&[HONEST, "miner-1", "miner-2"], &layout());
    made.upload_all(&buckets).await;
    buckets.server.shift_clock_of("miner-1", 7200);
    let own = buckets.own("val-a");
    let reading = async || {
        let put = Put { time: DEFAULTS.time, floor: DEFAULTS.floor, only_if_absent: false };
        let _ = own.put("probe", Content::Bytes(Bytes::from_static(b"now")), &put).await;
        ClockReadings { bucket: own.clock_ahead(), chain: None }
    };
    let first = reading().await;
    let done = play(&buckets, &made, &fetcher(&buckets, &folder), 65_536, 2).await;
    assert_eq!(done.outcomes[&id("miner-1")], PeerOutcome::Failed(TryFailure::Clock));
    assert!(done.errors[&id("miner-1")].blames_clock(), "{}", done.errors[&id("miner-1")]);
    let found = faults(&done.outcomes, [first, reading().await]);
    assert_eq!(found, BTreeMap::from([(id("miner-1"), Fault::Missing)]));

    buckets.server.shift_clock_of("val-a", -7200);
    let found = faults(&done.outcomes, [first, reading().await]);
    assert!(found.is_empty(), "the own bucket disputes the clock, too: {found:?}");
}

/// Three of the validators, in the order in which they were drawn.
const CUSTODIANS: [&str; 3] = ["val-c", "val-a", "val-d"];

/// Downloads the accepted object of the honest miner, whose own bucket is hostile. All validators voted
/// for it.
async fn accepted(buckets: &Buckets, made: &Sealed, folder: &tempfile::TempDir) -> AcceptedObject {
    let accepted = Accepted { id: id(HONEST), object: claimed(&made.objects[HONEST]) };
    let voters = ["val-a", "val-b", "val-c", "val-d"].map(id).into();
    let (state, expected) = (buckets.quiet(), sealed(HONEST));
    let fetcher = fetcher(buckets, folder);
    let custodians = CUSTODIANS.map(id);
    fetcher.accepted(&state, &accepted, &expected, &made.layout, &custodians, &voters).await.unwrap()
}

#[tokio::test]
async fn a4_an_owner_that_withholds_its_accepted_object_stalls_no_node() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = Sealed::make(&[HONEST], &layout());
    made.upload(&buckets, HONEST, HONEST).await;
    made.upload(&buckets, HONEST, CUSTODIANS[2]).await;
    let plain = accepted(&buckets, &made, &folder).await;
    assert!(plain.by_owner, "nothing is wrong yet");
    let faults = [
        vec![Broken::Status { code: 404 }],
        vec![Broken::Delay { ms: 9000 }, Broken::Trickle { bytes: 1 << 20, ms: 9000 }],
        vec![Broken::Trickle { bytes: 1, ms: 100 }],
        vec![Broken::Truncate { after: 20 }],
        vec![Broken::Garbage],
    ];
    for faults in faults {
        buckets.server.inject(Plan { seed: 1, rules: rules(&[HONEST], &faults) });
        let found = accepted(&buckets, &made, &folder).await;
        assert_eq!(found.submission.bytes(), plain.submission.bytes(), "{faults:?}");
        assert!(!found.by_owner, "{faults:?}");
    }
}

#[tokio::test]
async fn a4_an_owner_that_lies_costs_one_more_download() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = Sealed::make(&[HONEST], &layout());
    made.upload(&buckets, HONEST, HONEST).await;
    made.upload(&buckets, HONEST, "val-d").await;
    let object = claimed(&made.objects[HONEST]);
    let key = bucket_layout::submission(RUN.id(), WINDOW, &object);
    let mut same_size = made.objects[HONEST].to_vec();
    same_size[500] ^= 1;
    for lie in [&same_size[..], &same_size[1..], b"", b"gone"] {
        buckets.put(HONEST, &key, lie).await;
        let found = accepted(&buckets, &made, &folder).await;
        assert_eq!(found.submission.hash(), object);
        assert!(!found.by_owner, "{} bytes", lie.len());
    }
}

/// Checks a checkpoint that three validators offer: one trickles, one has a changed file, one is honest.
#[tokio::test]
async fn a11_a_slow_and_a_lying_source_do_not_keep_a_checkpoint() {
    let buckets = Buckets::start().await;
    let local = tempfile::tempdir().unwrap();
    let (folder, manifest) = checkpoint::save(local.path(), 7);
    let mut pointer = None;
    for owner in ["val-a", "val-b", "val-c"] {
        pointer = Some(buckets.own_bucket(owner).put_checkpoint(&folder, &manifest).await.unwrap());
    }
    for part in &manifest.parts {
        let key = bucket_layout::checkpoint(RUN.id(), Window(7), &part.file);
        let mut wrong = fs::read(folder.join(&part.file)).unwrap();
        wrong[0] ^= 1;
        buckets.put("val-b", &key, &wrong).await;
    }
    buckets.inject("val-a", Broken::Trickle { bytes: 1, ms: 50 });
    let owners = ["val-a", "val-b", "val-c"].map(id);
    let into = local.path().join("downloaded");
    let layout = ParameterLayout::new(&model());
    let fetcher = fetcher(&buckets, &local);
    let (found, _) =
        fetcher.checkpoint(&buckets.quiet(), &owners, &pointer.unwrap(), &layout, &into).await.unwrap();
    assert_eq!(found, manifest);
    exchange::read_parameters(&into, &layout).unwrap();
}

/// Returns the anonymous memory of this process in bytes: heap and stacks, without mapped files.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Checks that held submissions cost page cache, not heap. 266 submissions of 2 MB stand for the 256 of
/// 154 MB of a large run: what is not mapped does not grow with their size.
#[tokio::test]
async fn a12_held_submissions_are_mapped() {
    let buckets = Buckets::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tensor = TensorSpec { name: "a".to_owned(), shape: vec![1024, 1024], role: TensorRole::Matrix };
    let spec = SparseSpec { topk: 2048, quantizer: Quantizer::F32, ..tiny().sparse };
    let layout = Arc::new(SubmissionLayout::new(&[tensor], &spec).unwrap());
    let made = Sealed::make(&NAMES, &layout);
    let total: u64 = made.objects.values().map(|bytes| bytes.len() as u64).sum();
    made.upload_all(&buckets).await;
    let before = anonymous();
    let (fetcher, mut held) = (fetcher(&buckets, &folder), Vec::new());
    while held.len() < 256 {
        held.extend(play(&buckets, &made, &fetcher, 65_536, NAMES.len()).await.submissions.into_values());
    }
    let grown = anonymous().saturating_sub(before);
    let bytes: u64 = held.iter().map(|submission| submission.bytes().len() as u64).sum();
    assert_eq!(bytes * NAMES.len() as u64, total * held.len() as u64);
    println!("{grown} bytes of heap for {} submissions of {bytes} bytes", held.len());
    assert!(grown < bytes / 8, "{grown} bytes of heap for {bytes} bytes of submissions");
}
