//! Bad input through the real binary: how the program ends, and what it says.

use crate::network::Network;
use base::{Exit, Height};
use bucket_server::{Fault, Plan, Rule};
use std::{fs, process::Command};
use testkit::{assert_ends, end, quiet, replaced};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_wrote_wrongly_is_named() {
    let network = Network::start().await;
    let ends = async |change: &dyn Fn(String) -> String, message: &str| {
        network.configure(change);
        assert_ends(&end(network.command()).await, Exit::Usage, message);
    };
    ends(&|text| replaced(&text, "save_every", "save_evry"), "save_evry").await;
    ends(&|text| text + "[fetsh]\ndeadline = 3\n", "fetsh").await;
    ends(&|text| replaced(&text, "threads = 1", "threads = 0"), "threads").await;
    ends(&|text| replaced(&text, "device = \"cpu\"", "device = \"abacus\""), "abacus").await;
    ends(&|text| text + "= 3", "miner.toml").await;
    ends(&|text| replaced(&text, "write_access = \"writer-miner\"\n", ""), "write_access").await;
    ends(&|text| replaced(&text, "http://", "gopher://"), "gopher://").await;
    ends(&|text| replaced(&text, "ws://", "http://"), "ws://").await;
    network.configure(|text| text);
    let mut missing = network.command();
    missing.arg("--config").arg("nowhere.toml");
    let mut missing = Command::new(missing.get_program());
    quiet(&mut missing);
    missing.args(["run", "--config", "nowhere.toml"]);
    assert_ends(&end(missing).await, Exit::Usage, "nowhere.toml");
}

#[tokio::test(flavor = "multi_thread")]
async fn wallets_that_cannot_be_used_are_named() {
    let network = Network::start().await;
    let ends = async |message: &str| {
        assert_ends(&end(network.command()).await, Exit::Usage, message);
    };
    let key = network.path("wallets/default/hotkeys/trainer");
    fs::write(&key, "{\"secretSeed\": 7}").unwrap();
    ends("trainer").await;
    fs::remove_file(&key).unwrap();
    ends("trainer").await;
    fs::create_dir(&key).unwrap(); // No user can read it, not even root.
    ends("trainer").await;
    network.configure(|text| replaced(&text, "folder = \"wallets\"", "folder = \"purses\""));
    ends("purses").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_data_that_cannot_be_used_are_named() {
    let network = Network::start().await;
    let (run, data) = (network.path("run.toml"), network.path("data"));
    let good = fs::read_to_string(&run).unwrap();
    let ends = async |message: &str| {
        assert_ends(&end(network.command()).await, Exit::Usage, message);
    };
    let template = include_str!("../../../deploy/runs/tiny.toml");
    fs::write(&run, template).unwrap();
    ends("network.genesis").await;
    fs::write(&run, replaced(&good, "inner_steps", "outer_steps")).unwrap();
    ends("outer_steps").await;
    fs::write(&run, "a run").unwrap();
    ends("run.toml").await;
    fs::remove_file(&run).unwrap();
    ends("run.toml").await;
    let other_chain = "11".repeat(32);
    let genesis = network.spec.network.genesis.to_string();
    fs::write(&run, replaced(&good, &genesis, &format!("0x{other_chain}"))).unwrap();
    ends(&genesis).await;
    let dataset = network.spec.data.dataset.to_string();
    fs::write(&run, replaced(&good, &dataset, &other_chain)).unwrap();
    ends(&dataset).await;

    fs::write(&run, &good).unwrap();
    network.configure(|text| text + "[chain]\n");
    ends("miner.toml").await;
    let expected = format!("block_time = 60\ngenesis = \"0x{other_chain}\"");
    network.configure(|text| replaced(&text, "block_time = 60", &expected));
    ends(&other_chain).await;
    network.configure(|text| replaced(&text, "block_time = 60", "block_time = 60\nnetuid = 4"));
    ends("subnet").await;

    network.configure(|text| text);
    let tokens = data.join("train-00000.tokens");
    let mut bytes = fs::read(&tokens).unwrap();
    bytes[77] ^= 1;
    fs::write(&tokens, bytes).unwrap();
    ends("train-00000.tokens").await;
    fs::remove_file(&tokens).unwrap();
    ends("train-00000.tokens").await;
    fs::write(data.join(data::TOKENIZER), "{}").unwrap();
    ends("tokenizer").await;
    fs::remove_dir_all(&data).unwrap();
    ends("data").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_not_there_or_does_not_know_us() {
    let network = Network::with(&|genesis| drop(genesis.neurons.pop())).await;
    let output = end(network.command()).await;
    assert_ends(&output, Exit::NotPermitted, "is not registered on subnet 3");
    let url = network.chain.url();
    network.configure(|text| replaced(&text, &url, "ws://127.0.0.1:1"));
    assert_ends(&end(network.command()).await, Exit::Unreachable, "127.0.0.1:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_that_cannot_be_used_are_named() {
    let network = Network::start().await;
    let ends = async |rule: Option<Rule>, exit: Exit, message: &str| {
        network.buckets.inject(Plan { seed: 0, rules: rule.into_iter().collect() });
        assert_ends(&end(network.command()).await, exit, message);
    };
    let status = |method: &str, code| Some(Rule::always(method, "/", Fault::Status { code }));
    ends(status("PUT", 403), Exit::NotPermitted, "with the write key").await;
    ends(status("GET", 403), Exit::NotPermitted, "with the read key").await;
    ends(status("PUT", 404), Exit::Usage, "with the write key").await;
    ends(status("GET", 404), Exit::Usage, "with the read key").await;
    ends(status("PUT", 500), Exit::Unreachable, "with the write key").await;
    ends(status("GET", 500), Exit::Unreachable, "with the read key").await;
    ends(Some(Rule::always("GET", "/", Fault::Garbage)), Exit::Failed, "other bytes came back").await;
    network.configure(|text| {
        replaced(&text, "write_access = \"writer-miner\"", "write_access = \"key-unknown\"")
    });
    ends(None, Exit::NotPermitted, "with the write key").await;
    network.configure(|text| replaced(&text, "name = \"miner\"", "name = \"unknown\""));
    ends(None, Exit::NotPermitted, "unknown").await;
    network.configure(|text| replaced(&text, "allow_loopback = true", ""));
    ends(None, Exit::Usage, "127.0.0.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named() {
    let network = Network::start().await;
    network.release_final(Height(31));
    // The largest file may have 64 KiB: writing more fails as on a full disk, since the signal is ignored.
    let mut command = Command::new("sh");
    quiet(&mut command);
    let script = r#"trap '' XFSZ; ulimit -f 128; exec "$0" run --config "$1""#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_miner")]).arg(network.path("miner.toml"));
    let output = end(command).await;
    assert_ends(&output, Exit::Failed, "make room");
    // With room again it goes on.
    let miner = network.spawn();
    network.event("claimed", 1).await;
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_miners_do_not_share_a_folder() {
    let network = Network::start().await;
    let miner = network.spawn();
    network.event("started", 1).await;
    assert_ends(&end(network.command()).await, Exit::Failed, "another process uses this folder");
    miner.ask_to_end();
    assert_eq!(miner.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_without_secrets() {
    let network = Network::start().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    quiet(&mut command);
    command.args(["config", "show", "--threads", "3", "--config"]).arg(network.path("miner.toml"));
    command.env("MUSTER_HOTKEY", "other");
    let output = end(command).await;
    for shown in ["--threads", "MUSTER_HOTKEY", "miner.toml:2", "default", "set"] {
        assert_ends(&output, Exit::Good, shown);
    }
}

/// Checks that the system's loader names the missing library, and ends with its own code. The program
/// itself does not start then.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_libtorch_is_told_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("miner");
    fs::copy(env!("CARGO_BIN_EXE_miner"), &program).unwrap();
    let mut bytes = fs::read(&program).unwrap();
    // Where the program looks for libtorch: a list of paths that ends with a zero.
    let path = b"/torch/lib\0";
    let name = "/torch/".len();
    let places: Vec<_> = (0..bytes.len() - path.len()).filter(|&at| bytes[at..].starts_with(path)).collect();
    assert!(!places.is_empty(), "the program does not say where libtorch is");
    places.iter().for_each(|at| bytes[at + name..][..3].copy_from_slice(b"off"));
    fs::write(&program, bytes).unwrap();
    let mut command = Command::new(&program);
    quiet(&mut command);
    let output = tokio::task::spawn_blocking(move || command.arg("--help").output().unwrap()).await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(127), "{error}");
    assert!(error.contains("libtorch_cpu.so"), "{error}");
}
