//! Tests the run specs that ship with Muster, and the refusal of invalid ones.

use super::*;
use crate::clock::LEAD;
use base::{Hotkey, Millionths, Window};
use codec::submission::SubmissionLayout;

const TINY: &str = include_str!("../../../../deploy/runs/tiny.toml");
const SHIPPED: [(&str, &str, u64); 5] = [
    ("tiny", TINY, 1_574_016),
    ("150m", include_str!("../../../../deploy/runs/150m.toml"), 214_983_680),
    ("1b", include_str!("../../../../deploy/runs/1b.toml"), 1_204_881_408),
    ("8b", include_str!("../../../../deploy/runs/8b.toml"), 8_030_261_248),
    ("covenant-72b", include_str!("../../../../deploy/runs/covenant-72b.toml"), 72_747_327_488),
];

/// Launches a file on a network that does not exist.
fn launched(text: &str) -> RunFile {
    let mut file = RunFile::parse(text).unwrap();
    file.network.genesis = Some(BlockHash([0x11; 32]));
    file.network.start_block = Some(Height(1000));
    file.data.tokenizer = Some(TokenizerHash([0x22; 32]));
    file.data.dataset = Some(DatasetHash([0x33; 32]));
    file.initial.root = Some(StateRoot([0x44; 32]));
    file.acceptance.founders = vec![Hotkey([0x55; 32]), Hotkey([0x66; 32])];
    file
}

fn tiny() -> RunSpec {
    launched(TINY).complete().unwrap()
}

#[test]
fn tiny_has_known_bytes() {
    assert_eq!(
        hex::encode(tiny().to_bytes()),
        include_str!("tiny.hex").split_whitespace().collect::<String>()
    );
    assert_eq!(tiny().hash().to_string(), "9591c491dc6e75521674b22f21bdbf69153435e2caee192f7bf4346118a38d95");
    assert_eq!(tiny().id().to_string(), tiny().hash().to_string()[..16]);
}

#[test]
fn a_launched_run_is_complete() {
    let launch = |seed| {
        let mut file = RunFile::parse(TINY).unwrap();
        file.initial.seed = RunSeed([seed; 32]);
        let data = (TokenizerHash([2; 32]), DatasetHash([1; 32]));
        let founders = [Hotkey([9; 32]), Hotkey([8; 32])];
        file.launch(BlockHash([3; 32]), Height(26), data.0, data.1, &founders).unwrap()
    };
    let spec = launch(7);
    assert_eq!(spec.acceptance.founders, [Hotkey([8; 32]), Hotkey([9; 32])]);
    assert_eq!(spec.network.start_block, Height(26));
    assert_eq!((spec.check(), launch(7).hash()), (Ok(()), spec.hash()));
    assert_ne!(launch(8).initial.root, spec.initial.root);
    let plan = RunFile::parse(SHIPPED[4].1).unwrap();
    let refused = plan.launch(BlockHash([3; 32]), Height(26), spec.data.tokenizer, spec.data.dataset, &[]);
    assert!(matches!(refused, Err(RunSpecError::Plan { .. })), "{refused:?}");
}

#[test]
fn each_shipped_run_is_whole() {
    for (name, text, parameters) in SHIPPED {
        let file = launched(text);
        assert_eq!((file.name.as_str(), file.model.parameters()), (name, parameters));
        assert_eq!(file.scoring.weights.burn, Millionths::ZERO, "{name} burns weight");
        let is_plan = ["8b", "covenant-72b"].contains(&name);
        assert_eq!(file.plan.is_some(), is_plan, "{name}");
        let refused = file.clone().complete();
        assert_eq!(matches!(refused, Err(RunSpecError::Plan { .. })), is_plan, "{name}");
        let spec = RunFile { plan: None, ..file }.complete().unwrap();
        assert_eq!(RunSpec::read(&spec.to_bytes()), Ok(spec.clone()), "{name}");
        let again = RunSpec::parse(&RunFile::from(&spec).to_toml().unwrap()).unwrap();
        assert_eq!((again.hash(), again), (spec.hash(), spec));
    }
}

#[test]
fn covenant_has_the_figures_of_its_report() {
    let spec = RunFile { plan: None, ..launched(SHIPPED[4].1) }.complete().unwrap();
    assert_eq!(spec.train.samples() * u64::from(spec.train.sequence), 11_796_480);
    let clock = spec.clock().unwrap();
    let heights = clock.heights(Window(6099)).unwrap();
    assert_eq!(heights.assignment_seed.0 + LEAD, heights.first.0);
    let rate = |step| (spec.train.schedule.rate(step) * 1e9).round();
    assert_eq!([rate(1499), rate(82_200), rate(95_700)], [120_000.0, rate(82_200), rate(82_200)]);
    assert_eq!([rate(183_099), rate(187_600)], [30_000.0, 0.0]);
}

/// Checks that all candidates' objects arrive before keys close, over the line that each file names. The last
/// claims are known when `D_w` is final, and what is incomplete when `K_w` is final is late.
#[test]
fn each_shipped_run_leaves_time_for_all_downloads() {
    let lines = [62_500_000, 62_500_000, 62_500_000, 62_500_000, 125_000_000]; // Bytes per second.
    for ((name, text, _), line) in SHIPPED.into_iter().zip(lines) {
        let spec = RunFile { plan: None, ..launched(text) }.complete().unwrap();
        let layout = SubmissionLayout::new(&spec.model.tensors(), &spec.sparse).unwrap();
        let bytes = layout.most_bytes() * 2 * u64::from(spec.acceptance.gather_peers);
        let blocks = u64::from(spec.window.keys_close - spec.window.claims_close);
        let block_time = if name == "tiny" { 1 } else { 12 };
        assert!(bytes <= blocks * block_time * line, "{name}: {bytes} bytes in {blocks} blocks");
    }
}

#[test]
fn a_wrong_file_names_the_field() {
    let refuse = |from: &str, to: &str| {
        assert!(TINY.contains(from), "{from}");
        RunFile::parse(&TINY.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let unknown = refuse("hidden = 128", "hiden = 128");
    assert!(unknown.contains("unknown field `hiden`, expected one of `vocab`, `hidden`"), "{unknown}");
    assert!(refuse("topk = 72", "").contains("missing field `topk`"));
    assert!(refuse("finality_lag = 3", "").contains("missing field `finality_lag`"));
    assert!(refuse("batch = 8", "batch = \"8\"").contains("invalid type: string \"8\", expected u32"));
    assert!(refuse("batch = 8", "batch = -8").contains("invalid value: integer `-8`, expected u32"));
    assert!(refuse("quantizer = \"sign\"", "quantizer = \"3-bit\"").contains("unknown variant `3-bit`"));
    assert!(refuse("[network]", "[network").contains("TOML parse error at line 11"));
    assert_eq!(
        refuse("name = \"tiny\"", "name = \"Tiny run\""),
        "name is `Tiny run`: it must be 1 to 64 of a-z, 0-9, `-` and `.`"
    );
    for (from, to, message) in [
        (
            "blocks = 30",
            "blocks = 23",
            "window.blocks is 23: it must be at least 24 (blocks > votes_close + finality_lag + 1)",
        ),
        (
            "finality_lag = 3",
            "finality_lag = 4",
            "window.keys_close is 8: it must be at least 9 (keys_close >= claims_close + finality_lag + 1 + publishing)",
        ),
        ("vocab = 4096", "vocab = 0", "model.vocab is 0: it must be 1 to 16777216"),
        ("inner_steps = 20", "inner_steps = 0", "train.inner_steps is 0: it must be at least 1"),
        ("peak = 2e-3", "peak = nan", "train.schedule.peak is NaN: it must be more than 0"),
        ("topk = 72", "topk = 0", "sparse.topk is 0: it must be 1 to 4096 (sparse.chunk, and at most 4096)"),
        (
            "gather_peers = 8",
            "gather_peers = 40",
            "acceptance.gather_peers is 40: it must be 1 to 32, since a vote has 64 bits",
        ),
        ("staleness = 0", "staleness = 2", "acceptance.staleness is 2: it must be 0 or 1"),
        (
            "electorate_blocks = 840",
            "electorate_blocks = 209",
            "acceptance.electorate_blocks is 209: it must be at least 210 (7 x window.blocks)",
        ),
        ("fraction = 0.25", "fraction = 1.0", "scoring.proof.fraction is 1: it must be above 0 and below 1"),
        (
            "batch = 8",
            "batch = 3",
            "scoring.assigned_sequences is 128: a miner trains on at least 48 in a window (least_steps x batch)",
        ),
    ] {
        assert_eq!(refuse(from, to), message);
    }
    let again = tiny().acceptance.founders[0];
    let twice = format!("staleness = 0\nfounders = [\"{again}\", \"{again}\"]");
    assert!(refuse("staleness = 0", &twice).contains("twice: list each hotkey once"));
    let sequence = TINY.replace("sequence = 128\n# Largest", "sequence = 256\n# Largest");
    let error = RunFile::parse(&sequence).unwrap_err().to_string();
    assert_eq!(error, "train.sequence is 256: the model takes at most model.sequence, 128");
}

#[test]
fn a_run_that_is_not_complete_or_a_plan_says_so() {
    let mut file = launched(TINY);
    file.network.start_block = Some(Height(9));
    assert!(file.clone().complete().unwrap_err().to_string().starts_with("the run starts at block 9"));
    file.data.dataset = None;
    file.acceptance.founders.clear();
    assert_eq!(
        file.complete().unwrap_err().to_string(),
        "run `tiny` is not complete: fill in data.dataset, acceptance.founders"
    );
    assert_eq!(
        RunSpec::parse(SHIPPED[4].1).unwrap_err().to_string(),
        "run `covenant-72b` is a plan: the engine trains on one device; 72B needs parameters, gradients and optimizer \
         sharded over several"
    );
}

#[test]
fn bytes_of_something_else_are_refused() {
    let bytes = tiny().to_bytes();
    let change = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        RunSpec::read(&bytes).unwrap_err().to_string()
    };
    assert_eq!(change(0, 0xe2), "the run spec at offset 0 is 226: another kind of object");
    assert_eq!(change(1, 1), "the run spec at offset 1 is 1: a version that is not known");
    assert!(change(2, 255).starts_with("the run's name at offset 2 is 255"));
    assert!(change(4, b'T').contains("name is `Tiny`"));
    assert!(change(bytes.len() - 1, 1).contains("the reserved bytes"));
    for cut in 0..bytes.len() {
        assert!(matches!(RunSpec::read(&bytes[..cut]), Err(RunSpecError::Wire(_))), "{cut}");
    }
    assert!(RunSpec::read(&[&bytes[..], &[0]].concat()).unwrap_err().to_string().contains("1 bytes follow"));
}

#[test]
fn every_flipped_bit_is_another_run_or_none() {
    let (bytes, hash) = (tiny().to_bytes(), tiny().hash());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = RunSpec::read(&flipped) {
            assert_ne!(other.hash(), hash, "bit {bit}");
            assert_eq!(other.to_bytes(), flipped, "bit {bit}");
        }
    }
}

#[test]
fn the_live_subnet_must_fit() {
    let ours = tiny().id();
    let live = LiveSubnet {
        genesis: BlockHash([0x11; 32]),
        netuid: Netuid(3),
        height: Height(900),
        rules: LiveRules { tempo: 99, commitment_space: 3100, version_key: 0 },
        permits: 2,
        runs: vec![(ours, 10), (RunId([9; 8]), 10)],
    };
    assert_eq!(tiny().problems(&live), []);
    let problem = |change: fn(&mut LiveSubnet)| {
        let mut live = live.clone();
        change(&mut live);
        let problems: Vec<_> = tiny().problems(&live).iter().map(ToString::to_string).collect();
        problems.join("\n")
    };
    assert!(
        problem(|l| l.genesis = BlockHash([1; 32]))
            .starts_with("the run is on the chain with genesis 0x1111")
    );
    assert_eq!(
        problem(|l| l.rules.version_key = 7),
        "the run's version key is 0, and the owner of subnet 3 requires 7: update this program and its run file"
    );
    assert_eq!(problem(|l| l.netuid = Netuid(4)), "the run is on subnet 3, not 4: set the netuid of the run");
    assert_eq!(
        problem(|l| l.rules.tempo = 360),
        "windows of 30 blocks need 3500 bytes of commitments an epoch (tempo 360), but the chain grants 3100: use longer \
         windows or a shorter tempo"
    );
    assert!(problem(|l| l.permits = 0).contains("no vote counts"));
    // The last window has blocks 1210 to 1239; its votes close at 1259.
    assert_eq!(problem(|l| l.height = Height(1259)), "");
    assert_eq!(problem(|l| l.height = Height(1260)), "the run ended with block 1239; the chain is at 1260");
    let other = problem(|l| l.runs.push((RunId([9; 8]), 1)));
    assert_eq!(
        other,
        format!("this is run {ours}, but 11 of 21 voting stake is in run 0909090909090909: use its run spec")
    );
    assert_eq!(problem(|l| (l.netuid, l.permits) = (Netuid(4), 0)).lines().count(), 2);
}
