//! Tests of the proxy with real connections of this process.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use link::Shaper;
use std::{net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Starts a server that sends back all bytes of a connection.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

/// Sends bytes to the server and returns its answer.
async fn exchange(address: SocketAddr, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let (mut from, mut to) = TcpStream::connect(address).await?.into_split();
    let writing = tokio::spawn(async move {
        to.write_all(&bytes).await?;
        to.shutdown().await
    });
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).await?;
    writing.await.unwrap()?;
    Ok(answer)
}

#[tokio::test]
async fn connections_share_the_link_of_their_process() {
    let shaper = Shaper::new("8/16mbit,20ms,1.0%".parse().unwrap(), 7);
    let address = shaper.listen_before(echo().await).await.unwrap();
    shaper.attach("node", std::process::id());
    let bytes: Vec<u8> = (0..900_000_u32).map(|number| number as u8).collect();
    let start = Instant::now();
    let (first, second) =
        tokio::try_join!(exchange(address, bytes.clone()), exchange(address, bytes.clone())).unwrap();
    assert!(first == bytes && second == bytes);
    // A slow machine only makes it longer: 1.8 MB need 1.8 s up at 8 Mbit/s.
    assert!(start.elapsed().as_secs_f64() > 1.8);
    let traffic = shaper.traffic()["node"];
    assert_eq!((traffic.up, traffic.down), (1_800_000, 1_800_000));
    assert!(traffic.most_up <= 1_000_000 && traffic.most_down <= 2_000_000, "{traffic:?}");
    assert!(traffic.lost > 0);
}

#[tokio::test]
async fn other_processes_are_refused_until_they_are_admitted() {
    let shaper = Shaper::new("1/1mbit".parse().unwrap(), 7);
    let address = shaper.listen_before(echo().await).await.unwrap();
    let refused = exchange(address, vec![1; 100]).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.is_empty()));
    shaper.admit_others();
    assert_eq!(exchange(address, vec![1; 100]).await.unwrap(), vec![1; 100]);
    assert!(shaper.traffic().is_empty());
}
