//! Tests of whole networks of real processes, with a small model: a run with kills, copycats, each
//! fault, the ways to end.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// The maximum wait of these tests. No step takes that long: the limit only prevents a hang.
const PATIENCE: Duration = Duration::from_secs(600);

/// Locks out the other tests: one network at a time, since each has a dozen processes.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the folder of the training text. It outlives the tests, so the text is tokenized once.
fn text() -> &'static Path {
    static TEXT: OnceLock<PathBuf> = OnceLock::new();
    TEXT.get_or_init(|| {
        build();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("text");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("text.txt");
        let text = sentences();
        if fs::read_to_string(&file).ok().as_ref() != Some(&text) {
            fs::write(file, text).unwrap();
        }
        folder
    })
}

/// Builds the programs of a network. `cargo test` of this package alone does not build all of them. After
/// that of the whole workspace, which `deploy/test` says, another build would only take minutes: it has other
/// features.
fn build() {
    if std::env::var_os("MUSTER_PROGRAMS_BUILT").is_some() {
        return;
    }
    let packages = ["miner", "validator", "auditor", "devnet"].iter().flat_map(|name| ["--package", name]);
    let status =
        Command::new(env!("CARGO")).args(["build", "--locked", "--bins", "--quiet"]).args(packages).status();
    assert!(status.unwrap().success(), "cannot build the programs");
}

/// Generates sentences with a small grammar: 400 documents, always the same.
fn sentences() -> String {
    const SUBJECTS: [&str; 8] =
        ["the king", "a fool", "my lady", "the ghost", "our friend", "the fox", "a child", "the night"];
    const VERBS: [&str; 8] = ["sees", "loves", "fears", "calls", "follows", "forgets", "carries", "hides"];
    const ENDS: [&str; 4] = ["at dawn", "in the garden", "without a word", "by the sea"];
    let mut state = 1_u64;
    let mut draw = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most
    };
    let mut text = String::new();
    for document in 0..400 {
        write!(text, "\n\n### scene {document}\n").unwrap();
        for _ in 0..30 {
            let subject = SUBJECTS[draw(8)];
            let verb = VERBS[draw(8)];
            let object = SUBJECTS[draw(8)];
            let end = ENDS[draw(4)];
            writeln!(text, "{subject} {verb} {object} {end}.").unwrap();
        }
    }
    text
}

/// A network in a temporary folder.
struct Network {
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Network {
    fn new() -> Self {
        let alone = alone();
        text();
        Self { folder: tempfile::tempdir().unwrap(), _alone: alone }
    }

    fn run_folder(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/small.toml");
        self.command_with(&spec, "100", arguments)
    }

    /// Returns the command with this run spec and this block time in milliseconds.
    fn command_with(&self, spec: &Path, block_ms: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_devnet"));
        command.args(["up", "--block-ms", block_ms, "--patience", "120", "--keep"]).args(arguments);
        command.arg("--data").arg(text()).arg("--spec").arg(spec);
        command.arg("--dir").arg(self.run_folder()).arg("--report").arg(self.report_file());
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
        command
    }

    fn report_file(&self) -> PathBuf {
        self.folder.path().join("report.json")
    }

    /// Runs to the end. Returns the exit code and the report.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        self.finish(self.command(arguments))
    }

    fn finish(&self, mut command: Command) -> (Option<i32>, Value) {
        let output = command.output().unwrap();
        let report =
            fs::read(self.report_file()).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
        (output.status.code(), serde_json::from_slice(&report).unwrap())
    }

    fn replay(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_devnet")).arg("replay").arg(self.run_folder()).output().unwrap()
    }

    fn start(&self) -> Child {
        self.command(&["--windows", "3"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Counts the processes that have this network's folder on their command lines.
    fn children(&self) -> usize {
        let folder = self.run_folder().display().to_string();
        let own = env!("CARGO_BIN_EXE_devnet");
        let lines = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
        lines.filter(|line| line.contains(&folder) && !line.starts_with(own)).count()
    }

    fn wait_for_children(&self, test: impl Fn(usize) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !test(self.children()) {
            assert!(Instant::now() < deadline, "there are {} children", self.children());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Returns whether an assertion holds, and its detail.
fn assertion<'a>(report: &'a Value, name: &str) -> (bool, &'a str) {
    let assertions = report["assertions"].as_array().unwrap();
    let found = assertions.iter().find(|assertion| assertion["name"] == name).unwrap();
    (found["ok"].as_bool().unwrap(), found["detail"].as_str().unwrap())
}

/// Checks all assertions except `incentives`, which needs a model large enough to remember its training
/// data.
fn assert_sound(report: &Value) {
    for name in ["loss", "states", "deadlines", "weights", "audit", "secrets", "processes"] {
        let (ok, detail) = assertion(report, name);
        assert!(ok, "{name}: {detail}");
    }
}

#[test]
fn a_network_with_adversaries_a_joiner_and_kills_is_sound_and_can_be_replayed() {
    let network = Network::new();
    let arguments =
        "--windows 8 --kill 3 --join-at 2 --adversary noise=1 --adversary lazy=1 --adversary keyless=1";
    let (code, report) = network.run(&arguments.split(' ').collect::<Vec<_>>());
    assert_sound(&report);
    assert_eq!(code, Some(0));
    for kind in ["lazy", "keyless"] {
        let miner = report["miners"].as_array().unwrap().iter().find(|miner| miner["kind"] == kind).unwrap();
        assert_eq!(miner["incentive"], 0.0, "{miner}");
    }
    assert_eq!(report["windows"].as_array().unwrap().len(), 8);
    assert_eq!(report["miners"].as_array().unwrap().len(), 7);
    let replayed = network.replay();
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    assert!(
        said(&replayed).contains("all 8 windows come to the same sets and states"),
        "{}",
        said(&replayed)
    );
}

/// Runs windows that are trained while the ones before them are exchanged. A lower outer rate keeps that
/// stable.
#[test]
fn a_network_with_staleness_1_is_sound_and_can_be_replayed() {
    let network = Network::new();
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/small.toml");
    let mut run = fs::read_to_string(small).unwrap();
    for (from, to) in [("staleness = 0", "staleness = 1"), ("outer_lr = 1.0", "outer_lr = 0.5")] {
        assert!(run.contains(from), "{from}");
        run = run.replacen(from, to, 1);
    }
    let spec = network.folder.path().join("overlap.toml");
    fs::write(&spec, run).unwrap();
    let (code, report) =
        network.finish(network.command_with(&spec, "20", &["--windows", "6", "--weights", "hash"]));
    assert_sound(&report);
    assert_eq!(code, Some(0));
    let windows = report["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 6);
    assert!(windows.iter().all(|window| window["accepted"].as_u64() > Some(0)), "{windows:?}");
    let replayed = network.replay();
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
}

#[test]
fn a_network_is_sound_at_each_finality_lag_with_each_form_of_weights() {
    for (lag, weights) in [("0", "open"), ("2", "hash"), ("3", "timelocked"), ("10", "timelocked")] {
        let network = Network::new();
        let (code, report) = network.run(&["--windows", "2", "--finality-lag", lag, "--weights", weights]);
        assert_sound(&report);
        assert_eq!(code, Some(0), "lag {lag}, weights {weights}");
        let run = fs::read_to_string(network.run_folder().join("run.toml")).unwrap();
        assert!(run.contains(&format!("finality_lag = {lag}\n")), "{run}");
    }
}

#[test]
fn finality_that_lags_and_stalls_costs_only_the_windows_that_it_strikes() {
    let network = Network::new();
    let (code, report) = network.run(&["--windows", "6", "--fault", "lagging-finality"]);
    assert_sound(&report);
    let (ok, detail) = assertion(&report, "lagging-finality");
    assert!(ok, "{detail}");
    assert_eq!(code, Some(0));
    assert_eq!(report["windows"][1]["accepted"], 0, "the votes on window 1 came too late");
    assert_eq!(report["windows"][1]["lost"].as_array().unwrap().len(), 3);
    let replayed = network.replay();
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
}

/// Runs with these faults of the network. Checks that the run bears them, and that it can be replayed.
fn bears(windows: &str, faults: &[&str]) {
    let network = Network::new();
    let options = faults.iter().flat_map(|fault| ["--fault", fault]);
    let arguments: Vec<&str> = ["--windows", windows].into_iter().chain(options).collect();
    let (code, report) = network.run(&arguments);
    for fault in faults {
        let (ok, detail) = assertion(&report, fault);
        assert!(ok, "{fault}: {detail}");
    }
    assert_sound(&report);
    assert_eq!(code, Some(0));
    let replayed = network.replay();
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
}

#[test]
fn a_slow_bucket_harms_only_its_miner() {
    bears("5", &["slow-bucket"]);
}

#[test]
fn a_miner_that_withholds_gains_nothing_and_an_endpoint_that_goes_silent_costs_nothing() {
    bears("5", &["withhold", "silent-chain"]);
}

/// Runs in real time. With blocks of 12 s, the limit would be one request a second.
#[test]
fn a_miner_and_a_validator_need_one_request_a_second() {
    let network = Network::new();
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/small.toml");
    let arguments = ["--windows", "8", "--fault", "request-limit", "--real-time"];
    let (code, report) = network.finish(network.command_with(&spec, "600", &arguments));
    let (ok, detail) = assertion(&report, "request-limit");
    assert!(ok, "{detail}");
    assert_sound(&report);
    assert_eq!(code, Some(0));
}

#[test]
fn a_majority_that_ends_costs_the_windows_that_the_rule_says() {
    bears("8", &["majority-gone"]);
}

#[test]
fn wrong_clocks_of_two_buckets_harm_no_other_node() {
    bears("6", &["clock"]);
}

#[test]
fn each_node_keeps_to_its_link_and_the_run_bears_it() {
    let network = Network::new();
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/small.toml");
    let arguments = ["--windows", "2", "--link", "20/50mbit,20ms,0.5%", "--kill", "2"];
    // The blocks are long enough for the round trips of a node.
    let (code, report) = network.finish(network.command_with(&spec, "300", &arguments));
    assert_sound(&report);
    let (ok, detail) = assertion(&report, "link");
    assert!(ok, "{detail}");
    assert_eq!(code, Some(0));
    let links = report["links"].as_object().unwrap();
    assert_eq!(links.len(), 6);
    let lost: u64 = links.values().map(|link| link["lost_packets"].as_u64().unwrap()).sum();
    assert!(lost > 0, "{links:?}");
    // Objects cross the links: each validator downloads all submissions.
    let bytes: u64 = report["windows"][0]["submission_bytes"].as_u64().unwrap();
    assert!(links["validator-0"]["down_bytes"].as_u64().unwrap() > 3 * bytes, "{links:?}");
    let replayed = network.replay();
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
}

#[test]
fn a_run_in_real_time_that_is_too_fast_names_the_late_nodes_and_a_remedy() {
    let network = Network::new();
    // A window of 30 short blocks, with training that takes many times as long.
    let mut spec = include_str!("small.toml").to_owned();
    for (small, large) in [
        ("inner_steps = 16", "inner_steps = 50"),
        ("hidden = 32", "hidden = 128"),
        ("head_dim = 16", "head_dim = 64"),
        ("ffn = 64", "ffn = 512"),
    ] {
        assert!(spec.contains(small), "{small}");
        spec = spec.replace(small, large);
    }
    let file = network.folder.path().join("run.toml");
    fs::write(&file, spec).unwrap();
    let command = network.command_with(&file, "1", &["--windows", "1", "--real-time", "--assert"]);
    let (code, report) = network.finish(command);
    assert_eq!(code, Some(1), "late nodes do not disagree: {report:#}");
    let (ok, detail) = assertion(&report, "deadlines");
    assert!(!ok && detail.contains("window 0: the claim of miner-0"), "{detail}");
    assert!(detail.contains("this machine is too slow for blocks of 1 ms: give longer ones (--block-ms "));
    let lost = report["windows"][0]["lost"].as_array().unwrap();
    assert!(lost.iter().all(|lost| lost["had_seconds"].is_number()), "{lost:?}");
}

/// Runs three miners and two that try to copy them, with or without sealing. Returns the maximum number
/// of claims in a window.
fn most_claims_beside_copycats(sealing: bool) -> u64 {
    let network = Network::new();
    let spec = include_str!("small.toml").replace("sealing = true", &format!("sealing = {sealing}"));
    let file = network.folder.path().join("run.toml");
    fs::write(&file, spec).unwrap();
    let arguments = ["--windows", "3", "--adversary", "copycat=1", "--adversary", "mixcopy=1"];
    // The blocks are slow enough to copy between the first claims and the last block for claims.
    let (code, report) = network.finish(network.command_with(&file, "150", &arguments));
    assert_sound(&report);
    assert_eq!(code, Some(0));
    report["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| window["claimed"].as_u64().unwrap())
        .max()
        .unwrap()
}

#[test]
fn copycats_find_nothing_where_submissions_are_sealed() {
    assert_eq!(most_claims_beside_copycats(true), 3);
}

#[test]
fn copycats_copy_where_submissions_are_open() {
    assert!(most_claims_beside_copycats(false) > 3);
}

/// Checks that these assertions fail in a run with this fault, and that they name the culprit.
fn turns_red(fault: &str, expected: &[(&str, &str)]) {
    let network = Network::new();
    let (code, report) = network.run(&["--assert", "--windows", "3", "--fault", fault]);
    assert_eq!(code, Some(5), "{report:#}");
    for (name, culprit) in expected {
        let (ok, detail) = assertion(&report, name);
        assert!(!ok && detail.contains(culprit), "{name}: {detail}");
    }
}

#[test]
fn a_flipped_bit_turns_the_run_red() {
    turns_red("flip-bit", &[("audit", "miner-")]);
}

#[test]
fn wrong_weights_turn_the_run_red() {
    turns_red("wrong-weights", &[("audit", "validator-2's weights")]);
}

#[test]
fn an_edited_log_turns_the_run_red() {
    turns_red("edit-log", &[("audit", "validator-0's log")]);
}

#[test]
fn a_skipped_vote_turns_the_run_red() {
    turns_red("skip-vote", &[("deadlines", "window 1: the vote of validator-2 does not count")]);
}

#[test]
fn a_wrong_state_turns_the_run_red() {
    turns_red("wrong-state", &[("states", "window 1: validator-2 voted for state fafafafa")]);
}

#[test]
fn ctrl_c_ends_all_children() {
    let network = Network::new();
    let mut devnet = network.start();
    network.wait_for_children(|children| children >= 6);
    kill_process(Pid::from_child(&devnet), Signal::INT).unwrap();
    assert_eq!(devnet.wait().unwrap().code(), Some(1));
    assert_eq!(network.children(), 0);
}

#[test]
fn children_do_not_outlive_a_killed_devnet() {
    let network = Network::new();
    let mut devnet = network.start();
    network.wait_for_children(|children| children >= 6);
    devnet.kill().unwrap();
    devnet.wait().unwrap();
    network.wait_for_children(|children| children == 0);
}

#[test]
fn wrong_options_say_what_is_wrong() {
    for (arguments, code, message) in [
        (&["--windows", "2", "--join-at", "2"][..], 2, "--join-at 2 is not one of the windows 0 to 1"),
        (
            &["--adversary", "nice=1"],
            2,
            "KIND is noise, lazy, late, huge, stale, garbage, copycat, mixcopy, keyless",
        ),
        (&["--data", "/no/such/text"], 1, "/no/such/text"),
        (&["--spec", "/no/such/spec"], 1, "--spec: cannot read /no/such/spec"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_devnet"));
        command.arg("up").args(arguments).arg("--dir").arg(folder.path().join("run"));
        if !arguments.contains(&"--data") {
            command.arg("--data").arg(folder.path());
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(message), "{}", said(&output));
    }
}
