//! Tests SIGKILL of the real binary while it seals blocks.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use devchain::Hash;
use jsonrpsee::{
    core::client::{ClientT, SubscriptionClientT},
    rpc_params,
    ws_client::WsClient,
};
use serde_json::Value;

use crate::support::*;

/// The number of kills.
const KILLS: u64 = 25;

/// A devchain process, killed when dropped.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Starts the binary on a log, with more flags. Returns the process and its ready line.
pub(crate) fn spawn(log: &Path, flags: &[&str]) -> (Process, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_devchain"))
        .args(["run", "--json", "--listen", "127.0.0.1:0", "--pace", "outside", "--log"])
        .arg(log)
        .args(flags)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Process(child), serde_json::from_str(&line).unwrap())
}

async fn hash_at(client: &WsClient, height: u64) -> Hash {
    ask(client, "chain_getBlockHash", rpc_params![height]).await
}

#[tokio::test]
async fn a_chain_killed_in_mid_block_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut genesis = None;
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    let mut nonce = 0;

    for round in 0..KILLS {
        let (process, ready) = spawn(&log, &[]);
        let url = ready["url"].as_str().unwrap();
        let client = connect(url).await;
        let at_start: Hash = serde_json::from_value(ready["genesis"].clone()).unwrap();
        assert_eq!(*genesis.get_or_insert(at_start), at_start);

        // All data that any client was told of is still there.
        let height = height(&client).await;
        assert!(height >= acknowledged.last().map_or(0, |(height, _)| *height), "round {round}");
        if let Some((height, hash)) = acknowledged.last() {
            assert_eq!(&format!("{:?}", hash_at(&client, *height).await), hash, "round {round}");
        }
        let stored: u32 =
            ask(&client, "system_accountNextIndex", rpc_params![account("//Alice").to_string()]).await;
        assert!(stored >= nonce, "round {round}: {stored} transactions stored, {nonce} acknowledged");

        // The chain continues: a transaction is sealed.
        submit_and_seal(&client, at_start, stored).await;
        nonce = stored + 1;

        // Then it is killed between many blocks, with a call still open. The number of heads seen
        // before differs each time.
        let mut heads: jsonrpsee::core::client::Subscription<Value> = client
            .subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads")
            .await
            .unwrap();
        let forward = client.request::<Value, _>("dev_fastForward", rpc_params![50_000]);
        let watch = async {
            let mut last = next(&mut heads).await;
            for _ in 0..(round * 7) % 40 {
                last = next(&mut heads).await;
            }
            last
        };
        let last = tokio::select! {
            last = watch => last,
            answer = forward => panic!("50,000 blocks were sealed before 40 were told: {answer:?}"),
        };
        drop(process);
        // A head names its parent, which is certainly sealed.
        let parent = last["parentHash"].as_str().unwrap().to_owned();
        acknowledged.push((number(&last["number"]) - 1, parent));
    }
}

async fn submit_and_seal(client: &WsClient, genesis: Hash, nonce: u32) {
    let _: Hash = ask(client, "author_submitExtrinsic", rpc_params![remark(genesis, nonce)]).await;
    let status: Value = ask(client, "dev_newBlock", rpc_params![1]).await;
    assert_eq!(status["ready"], Value::from(0));
}

#[tokio::test]
async fn a_signal_stops_it_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    for (signal, height) in [("-INT", 3), ("-TERM", 6)] {
        let (mut process, ready) = spawn(&log, &[]);
        assert_eq!(ready["height"], Value::from(height - 3));
        let client = connect(ready["url"].as_str().unwrap()).await;
        let _: Value = ask(&client, "dev_newBlock", rpc_params![3]).await;
        let pid = process.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(process.0.wait().unwrap().code(), Some(0), "{signal}");
        patiently(client.on_disconnect()).await;
    }
}

#[tokio::test]
async fn a_signal_ends_a_start_that_takes_long() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    drop(spawn(&log, &[]));
    // A file that was extended before a power cut ends in zeros. There are more of them than can be
    // read in minutes.
    let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(1 << 42).unwrap();
    for signal in ["-INT", "-TERM"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_devchain"))
            .args(["run", "--listen", "127.0.0.1:0", "--log"])
            .arg(&log)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let mut process = Process(child);
        assert!(line.contains("reading the log"), "{line}");
        let pid = process.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(process.0.wait().unwrap().code(), Some(0), "{signal}");
        assert_eq!(file.metadata().unwrap().len(), 1 << 42, "the log is as it was");
    }
}
