//! `miner launch` through the real binary: a run's file, completed, or why not.

use crate::network::Network;
use base::{Exit, Height};
use protocol::run_spec::RunSpec;
use std::{fs, path::Path, process::Command};
use testkit::{assert_ends, development, end, quiet, replaced};

/// Runs `launch` for a run that comes with Muster.
fn launch(network: &Network, run: &str, start_block: &str) -> Command {
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/runs");
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    quiet(&mut command);
    command.arg("launch").arg(runs.join(run)).args(["--chain", &network.chain.url(), "--block-time", "60"]);
    command
        .arg("--manifest")
        .arg(network.path("data/manifest"))
        .arg("--out")
        .arg(network.path("launched.toml"));
    command.args(["--start-block", start_block]);
    for founder in FOUNDERS {
        command.args(["--founder", &development(founder).hotkey().to_string()]);
    }
    command
}

/// Two validators, and a miner, which holds no permit.
const FOUNDERS: [&str; 3] = ["Bob", "Alice", "Dave"];

#[tokio::test(flavor = "multi_thread")]
async fn a_runs_file_is_completed_once() {
    let network = Network::start().await;
    let output = end(launch(&network, "tiny.toml", "1000")).await;
    assert_ends(&output, Exit::Good, "");
    let text = fs::read_to_string(network.path("launched.toml")).unwrap();
    let spec = RunSpec::parse(&text).unwrap();
    assert_eq!(spec.network.genesis, network.spec.network.genesis);
    assert_eq!((spec.network.start_block, spec.data), (Height(1000), network.spec.data));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("run tiny ({})", spec.id())));
    let mut founders = FOUNDERS.map(|name| development(name).hotkey());
    founders.sort_unstable();
    assert_eq!(spec.acceptance.founders, founders);
    let said = String::from_utf8_lossy(&output.stderr);
    let warned = said.lines().filter(|line| line.contains("holds no permit")).collect::<Vec<_>>();
    assert!(
        matches!(warned[..], [line] if line.contains(&development("Dave").hotkey().to_string())),
        "{said}"
    );
    let again = end(launch(&network, "tiny.toml", "1000")).await;
    assert_ends(&again, Exit::Usage, "launched.toml");
    assert_eq!(fs::read_to_string(network.path("launched.toml")).unwrap(), text);
}

/// Checks that offsets for instant finality are refused: with them, all windows of a real chain are null.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_without_time_for_finality_are_refused_and_right_ones_proposed() {
    let network = Network::start().await;
    let tiny = include_str!("../../../deploy/runs/tiny.toml");
    let old = replaced(&replaced(tiny, "seed = 12", "seed = 5"), "votes_close = 19", "votes_close = 8");
    let run = network.path("old.toml");
    fs::write(&run, &old).unwrap();
    let output = end(launch(&network, run.to_str().unwrap(), "1000")).await;
    assert_ends(&output, Exit::Usage, "window.seed is 5: it must be at least 12");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = "blocks = 30\nclaims_close = 3\nkeys_close = 8\nseed = 12\nvotes_close = 19\n";
    assert!(said.contains(lines), "{said}");
    assert!(!network.path("launched.toml").exists());
    fs::write(&run, tiny).unwrap();
    assert_ends(&end(launch(&network, run.to_str().unwrap(), "1000")).await, Exit::Good, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_is_compared_with_a_run_and_nothing_is_written() {
    let network = Network::start().await;
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/runs/tiny.toml");
    let check = |founder: &str, json: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
        quiet(&mut command);
        command.arg("launch").arg(&run).args(["--chain", &network.chain.url(), "--check"]);
        command.args(["--founder", &development(founder).hotkey().to_string()]);
        command.args(json.then_some("--json"));
        command
    };
    let output = end(check("Alice", false)).await;
    assert_ends(&output, Exit::Good, "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for setting in ["ok    epochs", "commitments", "ok    permits", "ok    founder"] {
        assert!(said.contains(setting), "{said}");
    }
    let output = end(check("Zoe", true)).await;
    assert_eq!(output.status.code(), Some(i32::from(u8::from(Exit::Failed))), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = answer["findings"].as_array().unwrap();
    let failed: Vec<_> = findings.iter().filter(|finding| finding["fit"] == "FAIL").collect();
    assert!(matches!(failed[..], [finding] if finding["setting"] == "founder"), "{answer}");
    assert!(!network.path("launched.toml").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_launched_is_named() {
    let network = Network::start().await;
    let ends = async |run: &str, start: &str, message: &str| {
        assert_ends(&end(launch(&network, run, start)).await, Exit::Usage, message);
        assert!(!network.path("launched.toml").exists());
    };
    ends("tiny.toml", "0", "start").await;
    ends("covenant-72b.toml", "1000", "covenant-72b").await;
    ends("no-such-run.toml", "1000", "no-such-run.toml").await;
    let mut twice = launch(&network, "tiny.toml", "1000");
    twice.args(["--founder", &development("Bob").hotkey().to_string()]);
    assert_ends(&end(twice).await, Exit::Usage, "twice: list each hotkey once");
    fs::write(network.path("data/manifest"), "nothing").unwrap();
    ends("tiny.toml", "1000", "manifest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_without_founders_is_refused() {
    let network = Network::start().await;
    let full = launch(&network, "tiny.toml", "1000");
    let mut command = Command::new(full.get_program());
    quiet(&mut command);
    command.args(full.get_args().take_while(|arg| *arg != "--founder"));
    assert_ends(
        &end(command).await,
        Exit::Usage,
        "--founder is missing: name the hotkey (SS58) of each validator",
    );
    assert!(!network.path("launched.toml").exists());
}
