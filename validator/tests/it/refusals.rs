//! Bad input through the real binary: how the program ends, and what it says.

use crate::network::Network;
use base::Exit;
use bucket_server::{Fault, Plan, Rule};
use std::{fs, os::unix::fs::PermissionsExt as _};
use testkit::{assert_ends, replaced};

/// A network whose validator is configured wrongly in turn.
struct Case {
    network: Network,
    good: String,
}

impl Case {
    async fn new() -> Self {
        let network = Network::start(&[]).await;
        let good = fs::read_to_string(network.path("validator.toml")).unwrap();
        Self { network, good }
    }

    /// Checks exit code and message of a start with `from` replaced by `to` in the configuration.
    async fn ends(&self, from: &str, to: &str, exit: Exit, message: &str) {
        fs::write(self.network.path("validator.toml"), replaced(&self.good, from, to)).unwrap();
        assert_ends(&self.network.end(&["run"]).await, exit, message);
        fs::write(self.network.path("validator.toml"), &self.good).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_wrote_wrongly_is_named() {
    let case = Case::new().await;
    case.ends("checkpoint_every", "checkpoint_evry", Exit::Usage, "checkpoint_evry").await;
    case.ends("threads = 1", "threads = 0", Exit::Usage, "threads").await;
    case.ends("hotkey = \"trainer\"", "hotkey = \"unknown\"", Exit::Usage, "unknown").await;
    case.ends("folder = \"wallets\"", "folder = \"purses\"", Exit::Usage, "purses").await;
    case.ends("run.toml", "no-run.toml", Exit::Usage, "no-run.toml").await;
    case.ends("allow_loopback = true", "", Exit::Usage, "127.0.0.1").await;
    let other = format!("block_time = 60\ngenesis = \"0x{}\"", "11".repeat(32));
    case.ends("block_time = 60", &other, Exit::Usage, &"11".repeat(32)).await;
    let url = case.network.chain.url();
    case.ends(&url, "ws://127.0.0.1:1", Exit::Unreachable, "127.0.0.1:1").await;
    case.ends("\"writer-validator\"", "\"key-unknown\"", Exit::NotPermitted, "with the write key").await;
    let run = fs::read_to_string(case.network.path("run.toml")).unwrap();
    fs::write(case.network.path("run.toml"), replaced(&run, "inner_steps", "outer_steps")).unwrap();
    case.ends("run.toml", "run.toml", Exit::Usage, "outer_steps").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_that_cannot_be_used_are_named() {
    let case = Case::new().await;
    let ends = async |method: &str, fault: Fault, exit: Exit, message: &str| {
        let rules = vec![Rule::always(method, "/", fault)];
        case.network.buckets.inject(Plan { seed: 0, rules });
        assert_ends(&case.network.end(&["run"]).await, exit, message);
    };
    ends("PUT", Fault::Status { code: 403 }, Exit::NotPermitted, "with the write key").await;
    ends("PUT", Fault::Status { code: 404 }, Exit::Usage, "with the write key").await;
    ends("GET", Fault::Status { code: 500 }, Exit::Unreachable, "with the read key").await;
    ends("GET", Fault::Garbage, Exit::Failed, "other bytes came back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_registered_cannot_validate() {
    let case = Case::new().await;
    let wallets = case.network.path("wallets/default/hotkeys");
    let key = fs::read_to_string(wallets.join("trainer")).unwrap();
    let stranger = format!("0x{}", "37".repeat(32));
    let path = wallets.join("stranger");
    fs::write(&path, format!(r#"{{"secretSeed":"{stranger}","cryptoType":1}}"#)).unwrap();
    assert!(!key.contains(&stranger));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    case.ends("hotkey = \"trainer\"", "hotkey = \"stranger\"", Exit::Usage, "can be read by other users")
        .await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    case.ends(
        "hotkey = \"trainer\"",
        "hotkey = \"stranger\"",
        Exit::NotPermitted,
        "is not registered on subnet 3",
    )
    .await;
}
