//! Valid objects of every kind that comes from outside, and functions that repair changed ones.

use base::{
    BlockHash, Height, Hotkey, Millionths, Netuid, NeuronId, Secret, Uid, Window,
    commitment::Commitment,
    digest::{
        BlockTableHash, DataBlockHash, DatasetHash, ObjectHash, PlaintextHash, RunId, ScoreLogHead, State,
        StateRoot, TokenizerHash,
    },
};
use codec::{
    sparse::Quantizer,
    submission::{
        HEADER_BYTES, Header, KeyObject, SealKey, Sealed, Submission, SubmissionLayout, TRAILER_BYTES,
        encode_sealed,
    },
};
use protocol::{
    acceptance::Accepted,
    announcement::{Announcement, Bits, Bucket, Claim, Possession, ReadCredentials, Record, Vote},
    checkpoint::{self, Part, Pointer},
    dataset::{self, BlockTable, Shard, ShardRole, TokenType},
    history::{History, WindowRecord},
    progress::Progress,
    run_spec::{RunFile, RunSpec},
};
use scoring::{
    gauntlet::{Evaluation, Improvements, Outcome, ScoringSpec, Standings},
    score_log::{self, MinerLine, ScoreLog},
    uniqueness::{Baselines, Overlap},
    weights::Subnet,
};
use std::sync::{Arc, LazyLock};

#[path = "submissions.rs"] // Other tests include this file by its path.
mod submissions;

pub(crate) use submissions::*;

/// The run's file in `deploy/runs`.
pub(crate) const TOML: &str = include_str!("../../../../deploy/runs/tiny.toml");

/// Number of [`LAYOUTS`].
pub(crate) const LAYOUT_COUNT: usize = 6;

/// The layouts of the tested submissions.
///
/// * Each quantizer, on a matrix of several chunks, a vector, a small vector, and a tensor without values.
/// * A tensor of enough values for a table of its symbols.
/// * Chunks as large as those of runs, and small chunks of which most values are sent.
pub(crate) static LAYOUTS: LazyLock<[Arc<SubmissionLayout>; LAYOUT_COUNT]> = LazyLock::new(|| {
    let small: [&[usize]; 4] = [&[16, 24], &[10], &[3], &[0, 8]];
    [
        layout(Quantizer::Templar, [6, 64], &small),
        layout(Quantizer::SignCentroid, [6, 64], &small),
        layout(Quantizer::F32, [6, 64], &small),
        layout(Quantizer::SignCentroid, [64, 64], &[&[256, 128], &[8, 8]]),
        layout(Quantizer::Sign, [6, 64], &small),
        layout(Quantizer::Sign, [40, 4096], &[&[64, 128], &[44], &[64, 30]]),
    ]
});

/// Two submissions of a layout.
pub(crate) struct Valid {
    /// The sender's submission.
    pub(crate) bytes: Vec<u8>,
    /// Another miner's submission, opened.
    pub(crate) honest: Submission<Vec<u8>>,
}

/// The submissions of each layout.
pub(crate) static VALID: LazyLock<Vec<Valid>> = LazyLock::new(|| {
    let other = key(8);
    let valid = |layout: &Arc<SubmissionLayout>| {
        let honest = submission(layout, &other);
        let honest = Submission::open(honest, Arc::clone(layout), &expected(&other, false)).unwrap();
        Valid { bytes: submission(layout, &SENDER), honest }
    };
    LAYOUTS.iter().map(valid).collect()
});

/// Corrects the length in the header, the digest and the signature.
pub(crate) fn repaired(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(TRAILER_BYTES));
    let length = (bytes.len() + TRAILER_BYTES) as u64;
    if let Some(field) = bytes.get_mut(HEADER_BYTES - 8..HEADER_BYTES) {
        field.copy_from_slice(&length.to_le_bytes());
    }
    sign(&bytes)
}

/// A sealed submission, its key object, and its table and body before encryption.
pub(crate) struct Upload {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sealed: Sealed,
    pub(crate) opener: KeyObject,
    pub(crate) plain: Vec<u8>,
}

pub(crate) static UPLOAD: LazyLock<Upload> = LazyLock::new(|| {
    let layout = &LAYOUTS[1];
    let header = Header::new(&expected(&SENDER, true), 160, layout);
    let key = SealKey::new([9; 32]);
    let bytes = encode_sealed(layout, &header, &sent(layout), &SENDER, &key).unwrap();
    let opener =
        KeyObject { run: RUN, neuron: neuron(&SENDER), window: WINDOW, object: claimed(&bytes), key };
    let open = submission(layout, &SENDER);
    let plain = open[HEADER_BYTES..open.len() - TRAILER_BYTES].to_vec();
    let sealed = Sealed::open(bytes.clone(), Arc::clone(layout), &expected(&SENDER, true)).unwrap();
    Upload { bytes, sealed, opener, plain }
});

impl Upload {
    /// Returns this sealed submission with another plaintext, and its key object.
    ///
    /// The header commits to the new plaintext, and the submission is signed. A plaintext longer than
    /// the own one is cut.
    pub(crate) fn with(&self, content: &[u8]) -> (Vec<u8>, KeyObject) {
        const PLAINTEXT: usize = 224;
        let content = &content[..content.len().min(self.plain.len())];
        let mut bytes = self.bytes[..HEADER_BYTES].to_vec();
        bytes[PLAINTEXT..PLAINTEXT + 32].copy_from_slice(&PlaintextHash::of(&[content]).0);
        let hidden = &self.bytes[HEADER_BYTES..];
        bytes.extend(
            content.iter().zip(hidden).zip(&self.plain).map(|((new, hidden), old)| new ^ hidden ^ old),
        );
        bytes.extend([0; TRAILER_BYTES]);
        let bytes = repaired(bytes);
        let opener = KeyObject { object: claimed(&bytes), ..self.opener.clone() };
        (bytes, opener)
    }
}

pub(crate) fn claim() -> Claim {
    Claim { run: RunId([1; 8]), window: WINDOW, object: ObjectHash([2; 32]) }
}

pub(crate) fn vote() -> Vote {
    Vote {
        run: RunId([1; 8]),
        window: WINDOW,
        good: Bits::of([0, 3]),
        state: State([3; 32]),
        score_log: ScoreLogHead([4; 32]),
        possession: Possession([5; 32]),
    }
}

/// Returns a bucket of another provider than R2.
pub(crate) fn s3() -> Bucket {
    let keys = ReadCredentials { access_key: Secret::new("AKIA"), secret: Secret::new("abc/def+") };
    Bucket::s3("https://s3.eu-central-1.amazonaws.com", "eu-central-1", "muster-7", Some(keys)).unwrap()
}

pub(crate) fn r2() -> Bucket {
    Bucket::r2(&"a".repeat(32), &"b".repeat(32), &"c".repeat(64)).unwrap()
}

/// Returns a hotkey's file as Bittensor writes it, with a publicly known secret.
pub(crate) fn key_file() -> Vec<u8> {
    let seed = hex::encode([7; 32]);
    let key = hex::encode(
        schnorrkel::MiniSecretKey::from_bytes(&[7; 32])
            .unwrap()
            .expand(schnorrkel::ExpansionMode::Ed25519)
            .to_bytes(),
    );
    let account = hex::encode(SENDER.hotkey().0);
    let file = serde_json::json!({
        "accountId": format!("0x{account}"),
        "publicKey": format!("0x{account}"),
        "privateKey": format!("0x{key}"),
        "secretPhrase": "bottom drive obey lake curtain smoke basket hold race lonely fit walk",
        "secretSeed": format!("0x{seed}"),
        "ss58Address": SENDER.hotkey().to_string(),
        "cryptoType": 1,
    });
    file.to_string().into_bytes()
}

/// Returns a commitment as the chain stores it.
pub(crate) fn commitment(bucket: Bucket, record: Option<Record>) -> Commitment {
    Commitment { deposit: 0, block: 7, fields: Announcement { bucket, record }.fields().unwrap() }
}

pub(crate) fn scoring() -> ScoringSpec {
    ScoringSpec {
        assigned_sequences: 4,
        common_sequences: 2,
        own_sequences: 2,
        snapshot_every: 4,
        ..ScoringSpec::default()
    }
}

pub(crate) fn expected_log() -> score_log::Expected {
    score_log::Expected { run: RUN, validator: neuron(&SENDER), window: WINDOW }
}

/// Returns a validator's first log.
pub(crate) fn score_log() -> ScoreLog {
    let expected = expected_log();
    let header = score_log::Header {
        run: expected.run,
        validator: expected.validator,
        window: expected.window,
        state: State([3; 32]),
        seed: BlockHash([4; 32]),
        previous: ScoreLogHead::default(),
        standings: base::digest::StandingsHash::default(),
        adopted: None,
        unassigned_before: 4.125,
        baselines: Baselines::default(),
        subnet: Subnet { owner: Some(Uid(0)), uids: 16, min_allowed: 2, max_limit: 65535 },
    };
    let improvements = |sequences: usize, after: f64| {
        let after: Vec<_> = (0..sequences).map(|index| after + 0.01 * index as f64).collect();
        Improvements::between(&vec![4.25; sequences], &after).unwrap()
    };
    let evaluated = |after| {
        Outcome::Evaluated(Evaluation {
            assigned: improvements(4, after),
            common: improvements(2, after + 0.125),
            own: improvements(2, after + 0.125),
            share: Millionths::ONE,
            overlap: Overlap::default(),
        })
    };
    let outcomes = [
        evaluated(3.5),
        evaluated(3.75),
        Outcome::Failed(scoring::gauntlet::Fault::Missing),
        Outcome::Skipped,
    ];
    let miners = outcomes.into_iter().zip(1u8..).map(|(outcome, uid)| {
        let (hotkey, object) = (Hotkey([uid; 32]), ObjectHash([uid; 32]));
        (hotkey, MinerLine { uid: Uid(uid.into()), registered: Height(1000), object, outcome })
    });
    ScoreLog::close(&scoring(), &Standings::default(), header, miners.collect()).unwrap().0
}

/// Number of bytes of a score log before its lines. After them follow [`LOG_TRAILER`] bytes.
pub(crate) const LOG_HEADER: usize = 331;
pub(crate) const LOG_TRAILER: usize = 4 + 32 + 64;

/// Numbers and chains the lines of a log again, up to the first malformed one. Appends count, head and
/// signature.
pub(crate) fn chained(unsigned: &[u8]) -> Vec<u8> {
    let mut bytes = unsigned.to_vec();
    let header = bytes.len().min(LOG_HEADER);
    let mut head = ScoreLogHead::of(&[&bytes[..header]]);
    let mut count = 0u32;
    let mut at = header;
    while let Some(length) =
        bytes.get(at..at + 2).map(|length| usize::from(u16::from_le_bytes([length[0], length[1]])))
    {
        let Some(line) = bytes.get_mut(at + 2..at + 2 + length).filter(|line| line.len() >= 37) else {
            break;
        };
        line[..4].copy_from_slice(&count.to_le_bytes());
        line[4..36].copy_from_slice(&head.0);
        head = ScoreLogHead::of(&[line]);
        (count, at) = (count + 1, at + 2 + length);
    }
    let signature = SENDER.sign(score_log::SIGNATURE_CONTEXT, &head.0);
    [&bytes[..], &count.to_le_bytes(), &head.0, &signature.0].concat()
}

/// Returns a log without its trailer.
pub(crate) fn unsigned_log() -> Vec<u8> {
    let mut bytes = score_log().sign(&SENDER).unwrap();
    bytes.truncate(bytes.len() - LOG_TRAILER);
    bytes
}

/// Returns the run's file, completed with the values that are known at its launch.
pub(crate) fn launched() -> RunFile {
    let mut file = RunFile::parse(TOML).unwrap();
    file.network.genesis = Some(BlockHash([0x11; 32]));
    file.network.netuid = Netuid(3);
    file.network.start_block = Some(Height(1000));
    file.data.tokenizer = Some(TokenizerHash([0x22; 32]));
    file.data.dataset = Some(DatasetHash([0x33; 32]));
    file.initial.root = Some(StateRoot([0x44; 32]));
    file.acceptance.founders = vec![Hotkey([0x55; 32]), Hotkey([0x66; 32])];
    file
}

pub(crate) fn run_spec() -> RunSpec {
    launched().complete().unwrap()
}

pub(crate) fn dataset() -> dataset::Manifest {
    let shard = |role, sequences| Shard { role, sequences, blocks: BlockTableHash([7; 32]) };
    dataset::Manifest {
        tokenizer: TokenizerHash([1; 32]),
        vocab: 4096,
        tokens: TokenType::U16,
        sequence: 128,
        shards: vec![
            shard(ShardRole::Training, 128),
            shard(ShardRole::Training, 64),
            shard(ShardRole::HeldOut, 5),
        ],
    }
}

pub(crate) fn block_table() -> BlockTable {
    BlockTable::new((1..4).map(|block| DataBlockHash([block; 32])).collect())
}

/// Returns the progress after two windows. In each, one miner was accepted and two validators voted.
pub(crate) fn progress() -> Progress {
    let mut history = History::new(&RUN);
    (0..2).for_each(|window| history.push_record(record(Window(window))).unwrap());
    Progress {
        run: RUN,
        history,
        root: StateRoot([3; 32]),
        norms: Some(codec::aggregate::StepNorms { medians: vec![0.5, 2.0], references: vec![0.5, 1.5] }),
    }
}

pub(crate) fn record(window: Window) -> WindowRecord {
    let id = |name| NeuronId { hotkey: Hotkey([name; 32]), registered: Height(7) };
    let accepted = vec![Accepted { id: id(1), object: ObjectHash([4; 32]) }];
    WindowRecord { window, state: State([8; 32]), accepted, voters: vec![id(4), id(5)] }
}

pub(crate) fn checkpoint() -> checkpoint::Manifest {
    let part = |file: &str| Part { file: file.to_owned(), bytes: 10, blake3: [7; 32] };
    let files = ["config.json", "model-00001-of-00001.safetensors", checkpoint::PROGRESS];
    checkpoint::Manifest::new(&progress(), files.map(part).to_vec()).unwrap()
}

pub(crate) fn pointer() -> Pointer {
    Pointer::of(&checkpoint())
}
