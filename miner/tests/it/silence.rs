//! A chain that goes silent, seen by the real binary: the node is not ready, and ends with exit code 3.

use crate::network::Network;
use devchain::{Proxy, ProxyFault};
use std::time::Duration;
use testkit::{HANGS, replaced};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// Returns the status line and the body of a health page, or `None` if the program serves none.
async fn ready(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = "GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// Returns the address of the metrics, from the log.
async fn address(network: &Network) -> String {
    let look = async {
        loop {
            let log = network.log();
            let after = log.split("address=").nth(1);
            if let Some(address) = after.and_then(|rest| rest.split_whitespace().next()) {
                return address.trim_matches('"').to_owned();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(HANGS, look).await.expect("the log names no address")
}

/// Lets the chain go silent by this fault, and follows the miner to its end.
async fn silent(fault: ProxyFault) {
    let network = Network::start().await;
    let proxy = Proxy::start(network.chain.address()).await.unwrap();
    network.configure(|text| {
        let text = replaced(&text, &network.chain.url(), &proxy.url());
        // A short block time makes all time limits short.
        replaced(&text, "block_time = 60", "block_time = 1") + "metrics = \"127.0.0.1:0\"\n"
    });
    let miner = network.spawn();
    network.event("started", 1).await;
    let address = address(&network).await;

    proxy.set(fault);
    let mut red = None;
    let look = async {
        while let Some(answer) = ready(&address).await {
            if answer.starts_with("HTTP/1.1 503") && answer.contains("\"chain\":") {
                red = Some(answer);
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HANGS, look).await.expect("the miner does not end");
    let log = network.log();
    assert!(red.is_some(), "the health was never red: {log}");
    assert_eq!(miner.ended().await, Some(3), "{log}");
    assert!(log.contains("no node of the chain gave a sign of life"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_goes_silent_ends_the_miner_with_exit_code_3() {
    silent(ProxyFault::Silent).await;
}
