//! Compares the printed reports with golden files. With `MUSTER_BLESS=1` the test rewrites the files.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use auditor::{
    Adoption, Finding, Item, LeftOut, LogPay, LogWhy, Reason, Report, Scores, Subject, Verdict, Why,
    WindowReport,
};
use base::{
    BlockHash, Coldkey, Height, Hotkey, Millionths, Netuid, NeuronId, Rao, Secret, Uid, UnixMillis, Window,
    digest::{ObjectHash, RunHash, RunId, ScoreLogHead, State, StateRoot},
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
use scoring::{
    explanation::{Explanation, Measured, OutcomeKind, Overlapping, ProofPart, StandingPart, VerdictName},
    gauntlet::{
        Fault,
        proof::{NextVerdict, Outlook},
    },
    score_log::Adopted,
    uniqueness::Class,
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
        let (window, decision, burnt) = (Window(window), Some(decision), Some(0.0));
        let (pay, adoptions) = (vec![], vec![]);
        WindowReport { window, decision, root, state, burnt, findings, pay, adoptions }
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
    let adopted = Adopted { validator: id(0).hotkey, window: Window(3), head: ScoreLogHead([6; 32]) };
    second.findings.push(finding(validators[1], Item::Adopted, Verdict::Agree));
    second.adoptions.push(Adoption { subject: validators[1], adopted });
    let why = "the state of block 0x01 has been dropped: ask an archive node".to_owned();
    let lost = finding(Subject::Network, Item::Decision, Verdict::Unknown { why });
    let third = WindowReport {
        window: Window(5),
        decision: None,
        root: None,
        state: None,
        burnt: None,
        findings: vec![lost],
        pay: vec![],
        adoptions: vec![],
    };
    let windows = vec![agreed(3), second, third];
    Report { name: "tiny".to_owned(), run: RunHash([8; 32]), windows, gone: None }
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

/// Returns the explanation of a judged miner with an undecided proof, an overlap and a failure behind it.
fn judged_miner() -> Explanation {
    let proof = ProofPart {
        verdict: VerdictName::Undecided,
        favoured: Some(true),
        factor: Millionths(500_000),
        evidence: Millionths(1_250_000),
        outlook: Outlook { next: NextVerdict::Passed, missing: Millionths(3_355_170), windows: Some(12) },
        field_margin: Millionths(1_000_000),
        margin: Some(1.125),
        margin_error: Some(0.5),
    };
    let measured = Measured {
        place: 2,
        places: 3,
        improvement: 0.0125,
        relative: Millionths(707_106),
        difference: 0.003,
        error: 0.002,
        margin: 1.5,
        share: Millionths::ONE,
        uniqueness: Millionths(500_000),
    };
    let class = Class::SameWindow;
    let overlap = Overlapping { hotkey: Some(id(3).hotkey), class, cosine: Millionths(930_000) };
    let outer = Overlapping { hotkey: None, class: Class::OuterStep, cosine: Millionths(620_000) };
    Explanation {
        hotkey: id(2).hotkey,
        uid: Uid(2),
        outcome: OutcomeKind::Judged,
        fault: None,
        measured: Some(measured),
        overlaps: vec![overlap, outer],
        standing: Some(StandingPart {
            rating: Millionths(21_000_000),
            proof,
            credit: Millionths(850_000),
            failures: 0,
            judged: 9,
            contribution: Millionths(318_000),
        }),
        score: 0.04298,
        weight: Some(21_845),
        weight_share: Some(0.25),
        incentive: Some(13_107),
        advice: vec!["Your credit is 0.85: 2 judged windows bring it back to 1.".to_owned()],
    }
}

/// Returns the explanation of a miner without a standing, whose submission failed.
fn failed_miner() -> Explanation {
    Explanation {
        hotkey: id(3).hotkey,
        uid: Uid(3),
        outcome: OutcomeKind::Failed,
        fault: Some(Fault::Slow),
        measured: None,
        overlaps: vec![],
        standing: None,
        score: 0.0,
        weight: Some(0),
        weight_share: Some(0.0),
        incentive: None,
        advice: vec!["The hotkey is not registered any more: register it with `miner register`.".to_owned()],
    }
}

#[test]
fn an_audit_of_one_window_shows_all_pay() {
    let mut report = report();
    report.windows.truncate(1);
    let (validator, head) = (id(0).hotkey, ScoreLogHead([6; 32]));
    let miners = vec![judged_miner(), failed_miner()];
    report.windows[0].pay = vec![LogPay { validator, uid: Some(Uid(0)), head, miners }];
    check("window.txt", &report.to_text());
    check("window.json", &serde_json::to_string_pretty(&report.to_json()).unwrap());
}

#[test]
fn an_explanation_names_each_validator_and_what_would_change_the_pay() {
    let log = |number: u8, named_in| LogWhy {
        validator: id(number).hotkey,
        uid: Some(Uid(number.into())),
        head: ScoreLogHead([number; 32]),
        named_in,
        pay: judged_miner(),
    };
    let left_out = |number: u8, reason| LeftOut { validator: id(number).hotkey, uid: None, reason };
    let differs = Verdict::Differ {
        what: "the score of a miner".to_owned(),
        stated: "7".to_owned(),
        computed: "8".to_owned(),
    };
    let mut why = Why {
        name: "tiny".to_owned(),
        run: RunHash([8; 32]),
        hotkey: id(2).hotkey,
        window: Window(3),
        is_newest: true,
        block: Height(300),
        logs: vec![log(0, Some(Window(4))), log(1, None)],
        left_out: vec![left_out(4, Reason::Unnamed), left_out(5, Reason::Unusable(differs))],
    };
    check("why.txt", &why.to_text());
    check("why.json", &serde_json::to_string_pretty(&why.to_json()).unwrap());
    assert_eq!(u8::from(why.exit()), 5, "a log does not replay");
    why.left_out.pop();
    assert_eq!(u8::from(why.exit()), 0, "a log that does not name the miner is no fault");
}
