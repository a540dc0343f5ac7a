//! Compares the printed reports with golden files. With `MUSTER_BLESS=1` the test rewrites the files.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use auditor::{Finding, Item, Report, Scores, Subject, Verdict, WindowReport};
use base::{
    BlockHash, Coldkey, Height, Hotkey, Netuid, NeuronId, Rao, Secret, Uid, UnixMillis, Window,
    digest::{ObjectHash, RunHash, RunId, State, StateRoot},
};
use chain::{Block, Metagraph, Neuron};
use protocol::{
    acceptance::{
        AcceptanceSpec, Accepted, Candidate, Decision, Electorate, NeuronState, NullWindow, Snapshot,
    },
    announcement::{Bucket, ReadCredentials, Record, Vote},
    clock::Clock,
    run_spec::RunFile,
};

#[track_caller]
fn check(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os(cli::BLESS).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{text}\n")).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden.trim_end_matches('\n'), "{name} differs");
}

fn id(name: u8) -> NeuronId {
    NeuronId { hotkey: Hotkey([name; 32]), registered: Height(7) }
}

fn neuron(uid: u16) -> Neuron {
    let validator = uid < 2;
    Neuron {
        uid: Uid(uid),
        hotkey: id(uid as u8).hotkey,
        coldkey: Coldkey([100; 32]),
        registered: Height(7),
        stake_weight: if validator { 65535 / (uid + 1) } else { 0 },
        alpha: Rao(0),
        permit: validator,
        active: true,
        incentive: if validator { 0 } else { 30_000 / uid },
        consensus: 0,
        dividends: if validator { 32768 } else { 0 },
        validator_trust: 0,
        emission: Rao(u64::from(uid) * 1_250_000_000),
        last_update: Height(if uid == 0 { 90 } else { 7 }),
    }
}

fn scores() -> Scores {
    let neurons: Vec<Neuron> = (0..4).map(neuron).collect();
    let block = BlockHash([5; 32]);
    let netuid = Netuid(3);
    let owner = Coldkey([100; 32]);
    let owner_hotkey = id(0).hotkey;
    let key = |text: &str| Secret::new(text.to_owned());
    let read = ReadCredentials { access_key: key("the-access-key"), secret: key("the-secret") };
    let bucket = Bucket::s3("https://s3.example.com", "eu-central-1", "miner-2", Some(read)).unwrap();
    Scores {
        block: Block { height: Height(100), hash: block, parent: BlockHash([4; 32]), time: UnixMillis(0) },
        metagraph: Metagraph { netuid, block, owner, owner_hotkey, neurons },
        buckets: [(id(2).hotkey, bucket)].into(),
        weights: [(Uid(0), vec![(Uid(2), 65535), (Uid(3), 21845)]), (Uid(1), vec![(Uid(3), 65535)])].into(),
    }
}

#[test]
fn scores_fit_into_a_terminal() {
    let text = scores().to_text(false, 100);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    check("scores.txt", &text);
    let narrow = scores().to_text(false, 80);
    assert!(narrow.ends_with("weights of 2 more validators: use --wide"), "{narrow}");
}

#[test]
fn wide_scores_show_all_but_keys() {
    let text = scores().to_text(true, 80);
    check("scores-wide.txt", &text);
    let json = scores().to_json();
    check("scores.json", &serde_json::to_string_pretty(&json).unwrap());
    for shown in [text, json.to_string()] {
        assert!(!shown.contains("the-access-key") && !shown.contains("the-secret"), "{shown}");
    }
}

/// Returns the electorate of a window: two voters with equal stake, and a founder that is silent.
fn electorate(window: u64) -> Electorate {
    let file = RunFile::parse(include_str!("../../../deploy/runs/tiny.toml")).unwrap();
    let spec = AcceptanceSpec { founders: vec![id(3).hotkey], ..file.acceptance };
    let heights = Clock::new(Height(100), file.window).unwrap().heights(Window(window)).unwrap();
    let state =
        |name: u8| NeuronState { id: id(name), incentive: 0, stake: 30_000 + u16::from(name), permit: true };
    let run = RunId([8; 8]);
    let vote = |name: u8| {
        let (good, state, score_log, possession) = Default::default();
        let vote = Vote { run, window: heights.window, good, state, score_log, possession };
        (id(name).hotkey, heights.votes_close, Record::Vote(vote))
    };
    let neurons = [0, 1, 3, 4].map(state);
    let at = heights.votes_close;
    let snapshot = Snapshot::new(at, BlockHash([5; 32]), neurons, [0, 1].map(vote)).unwrap();
    Electorate::new(run, &spec, &heights, &snapshot)
}

/// Returns a report. All agrees in window 3. Window 4 has a difference and a bucket that cannot be
/// read. Window 5 is unknown.
fn report() -> Report {
    let validators = [0, 1].map(|uid| Subject::Validator(id(uid), Uid(uid.into())));
    let miner = Subject::Miner(id(2), Uid(2));
    let finding = |subject, item, verdict| Finding { subject, item, verdict };
    let agreed = |window| {
        let mut findings = vec![
            finding(Subject::Network, Item::State, Verdict::Agree),
            finding(miner, Item::Object, Verdict::Agree),
        ];
        for validator in validators {
            let items = [Item::Vote, Item::VotedState, Item::Good, Item::Possession, Item::Head, Item::Log];
            findings.extend(items.map(|item| finding(validator, item, Verdict::Agree)));
        }
        let candidate = Candidate { id: id(2), object: ObjectHash([9; 32]), incentive: 1 };
        let decision = Decision {
            window: Window(window),
            accepted: Ok(vec![Accepted { id: id(2), object: ObjectHash([9; 32]) }]),
            state: Some(State([3; 32])),
            candidates: vec![candidate],
            turnout: [id(0), id(1)].into(),
            electorate: electorate(window),
        };
        let root = Some(StateRoot([4; 32]));
        let state = decision.state;
        let burnt = Some(0.0);
        WindowReport { window: Window(window), decision: Some(decision), root, state, burnt, findings }
    };
    let mut second = agreed(4);
    second.decision.as_mut().unwrap().accepted = Err(NullWindow::NothingAccepted);
    second.findings[3].verdict = Verdict::Differ {
        what: "the state that the vote names".to_owned(),
        stated: State([1; 32]).to_string(),
        computed: State([3; 32]).to_string(),
    };
    let why = "cannot download from the bucket of validator 1: HTTP status 503, try again later".to_owned();
    second.findings[13].verdict = Verdict::Unknown { why };
    second.findings.push(finding(validators[0], Item::Weights, Verdict::Agree));
    second.findings.extend(validators.map(|validator| finding(validator, Item::OwnData, Verdict::Agree)));
    second.findings.push(finding(validators[0], Item::Dividends, Verdict::Agree));
    second.burnt = Some(0.125);
    let why = "the state of block 0x01 has been dropped: ask an archive node".to_owned();
    let lost = finding(Subject::Network, Item::Decision, Verdict::Unknown { why });
    let (window, findings) = (Window(5), vec![lost]);
    let third = WindowReport { window, decision: None, root: None, state: None, burnt: None, findings };
    let windows = vec![agreed(3), second, third];
    Report { name: "tiny".to_owned(), run: RunHash([8; 32]), windows }
}

#[test]
fn a_report_names_every_difference() {
    check("report.txt", &report().to_text());
    check("report.json", &serde_json::to_string_pretty(&report().to_json()).unwrap());
}

#[test]
fn a_report_ends_the_program_as_it_should() {
    let exit = |report: &Report| u8::from(report.exit());
    let mut report = report();
    assert_eq!(exit(&report), 5);
    report.windows.remove(1);
    assert_eq!(exit(&report), 1, "an unknown item does not agree");
    report.windows.pop();
    assert_eq!(exit(&report), 0);
}
