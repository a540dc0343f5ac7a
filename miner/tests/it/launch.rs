//! `miner launch` through the real binary: a run's file, completed, or why not.

use crate::network::Network;
use base::{Exit, Height};
use protocol::run_spec::RunSpec;
use std::{fs, path::Path, process::Command};
use testkit::{assert_ends, end, quiet};

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
    command
}

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
    let again = end(launch(&network, "tiny.toml", "1000")).await;
    assert_ends(&again, Exit::Usage, "launched.toml");
    assert_eq!(fs::read_to_string(network.path("launched.toml")).unwrap(), text);
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
    fs::write(network.path("data/manifest"), "nothing").unwrap();
    ends("tiny.toml", "1000", "manifest").await;
}
