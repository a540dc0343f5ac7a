//! Tests that the client goes on after a chain was killed with SIGKILL while sealing, and started again.

use std::{net::SocketAddr, path::Path, process::Stdio};

use base::commitment::{Field, Fields};
use chain::Client;
use devchain::{Config, Devchain, Genesis};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::support::*;

/// Environment variables that make this test program run a chain: the path of its log, and the address to
/// listen on.
const LOG: &str = "MUSTER_TEST_CHAIN_LOG";
const LISTEN: &str = "MUSTER_TEST_CHAIN_LISTEN";
/// Start of the line that such a program prints when it listens.
const READY: &str = "listening on ";

/// Runs a chain from a log: in a child process until it is killed, or in this test for a moment.
#[tokio::test]
async fn a_chain_keeps_its_log() {
    let Ok(log) = std::env::var(LOG) else {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let chain = run(&log, "127.0.0.1:0").await;
        let genesis = chain.genesis();
        chain.handle().fast_forward(3).await.unwrap();
        chain.shutdown().await;
        let again = run(&log, "127.0.0.1:0").await;
        assert_eq!(again.genesis(), genesis);
        assert!(again.handle().block(3).await.unwrap().is_some());
        return;
    };
    let chain = run(Path::new(&log), &std::env::var(LISTEN).unwrap()).await;
    println!("\n{READY}{}", chain.address());
    std::future::pending::<()>().await;
}

async fn run(log: &Path, listen: &str) -> Devchain {
    let listen = listen.parse().unwrap();
    let config = Config { log: Some(log.into()), listen, block_time_ms: 2, ..config(Genesis::default()) };
    Devchain::start(config).await.unwrap()
}

/// Starts a child process that runs the chain of this log. Returns it with its address.
async fn child(log: &Path, listen: &str) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restart::a_chain_keeps_its_log", "--nocapture", "--test-threads", "1"])
        .env(LOG, log)
        .env(LISTEN, listen)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("the chain says where it listens");
        if let Some(address) = line.strip_prefix(READY) {
            break address.parse().unwrap();
        }
    };
    (child, address)
}

#[tokio::test]
async fn a_chain_killed_while_it_seals_is_picked_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    in_time(async {
        let (mut process, address) = child(&log, "127.0.0.1:0").await;
        let client = Client::connect(options(&format!("ws://{address}"))).await.unwrap();
        let mut blocks = client.blocks().await.unwrap();
        let mut last = blocks.next().await.unwrap();
        for round in 0..3u8 {
            process.start_kill().unwrap();
            process.wait().await.unwrap();
            (process, _) = child(&log, &address.to_string()).await;
            let fields = Fields::new(vec![Field::raw([round; 4]).unwrap()]).unwrap();
            let included = client.set_commitment(SUBNET, fields.clone(), &validator("Alice")).await.unwrap();
            while last.height < included.height {
                let block = blocks.next().await.unwrap();
                assert_eq!((block.height, block.parent), (last.height.next(), last.hash));
                last = block;
            }
            assert_eq!(last.hash, included.block);
            let alice = validator("Alice").hotkey();
            let commitments = client.at(last.hash).commitments_of(SUBNET, &[alice]).await.unwrap();
            assert_eq!(commitments.of(&alice).unwrap().fields, fields);
        }
    })
    .await;
}
