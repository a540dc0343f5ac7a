//! Tests of the stream of blocks: it has no gap when the connection fails.

use std::time::Duration;

use base::Height;
use chain::{Block, Client, Options};
use devchain::{Drop, FaultChange, Genesis, Stall};

use crate::support::*;

/// Reads `count` blocks and checks that each is the child of the one before.
async fn read_chain(blocks: &mut chain::Blocks, count: usize) -> Vec<Block> {
    let mut read: Vec<Block> = Vec::new();
    while read.len() < count {
        let block = blocks.next().await.unwrap();
        if let Some(last) = read.last() {
            assert_eq!((block.height, block.parent), (last.height.next(), last.hash));
            assert!(block.time > last.time);
        }
        read.push(block);
    }
    read
}

#[tokio::test]
async fn blocks_come_in_order_from_any_height() {
    let chain = start_paced(Genesis::default()).await;
    let client = connect(&chain).await;
    chain.handle().fast_forward(10).await.unwrap();
    let mut from_the_start = client.blocks_from(Height(0));
    let read = in_time(read_chain(&mut from_the_start, 11)).await;
    assert_eq!(read[0].hash, client.genesis());
    for block in &read {
        let sealed = chain.handle().block(u32::try_from(block.height.0).unwrap()).await.unwrap().unwrap();
        assert_eq!(block.hash, block_hash(sealed.hash));
        assert_eq!(client.block_hash(block.height).await, Ok(block.hash));
    }
    let mut new_ones = client.blocks().await.unwrap();
    assert_eq!(new_ones.next_height(), Height(11));
    let handle = chain.handle();
    let (block, sealed) = in_time(async { tokio::join!(new_ones.next(), handle.new_block(1)) }).await;
    sealed.unwrap();
    assert_eq!(block.unwrap().height, Height(11));
}

#[tokio::test]
async fn no_height_is_missed_when_connections_are_cut() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let mut blocks = client.blocks().await.unwrap();
    in_time(async {
        for _ in 0..5 {
            read_chain(&mut blocks, 5).await;
            cut_all(&chain.handle());
            chain.handle().fast_forward(7).await.unwrap();
        }
        let from = blocks.next_height();
        let read = read_chain(&mut blocks, 20).await;
        assert_eq!(read[0].height, from);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_cuts_the_next_connections_is_tried_again() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let mut blocks = client.blocks().await.unwrap();
    in_time(async {
        read_chain(&mut blocks, 2).await;
        chain.handle().fault(FaultChange { drop: Some(Drop::Next(5)), ..FaultChange::default() }).unwrap();
        cut_all(&chain.handle());
        chain.handle().fault(FaultChange { drop: Some(Drop::Next(5)), ..FaultChange::default() }).unwrap();
        read_chain(&mut blocks, 10).await;
        assert_eq!(chain.handle().status().await.unwrap().faults.drop_next, 0);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stalls_is_left_for_the_next() {
    let stalling = start(Genesis::default()).await;
    let healthy = {
        // The same chain from the same log on another port acts as a second node of the network.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        stalling.handle().hold().await.unwrap();
        stalling.handle().snapshot(&copy).await.unwrap();
        let config = devchain::Config { log: Some(copy), genesis: None, ..config(Genesis::default()) };
        (devchain::Devchain::start(config).await.unwrap(), folder)
    };
    let endpoints = vec![stalling.url(), healthy.0.url()];
    let options = Options { endpoints, stall_blocks: 50, ..options(&stalling.url()) };
    let client = Client::connect(options).await.unwrap();
    let mut blocks = client.blocks().await.unwrap();
    stalling.handle().fault(FaultChange { stall: Some(Stall::On), ..FaultChange::default() }).unwrap();
    in_time(read_chain(&mut blocks, 5)).await;
}

#[tokio::test]
async fn late_answers_are_waited_for() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    chain.handle().fault(FaultChange { delay_ms: Some(200), ..FaultChange::default() }).unwrap();
    let mut blocks = client.blocks().await.unwrap();
    in_time(read_chain(&mut blocks, 3)).await;
}

#[tokio::test]
async fn a_request_to_a_node_that_never_answers_fails_in_time() {
    let chain = start(Genesis::default()).await;
    let impatient = Options {
        request_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(200),
        patience: Duration::from_millis(500),
        ..options(&chain.url())
    };
    let client = Client::connect(impatient).await.unwrap();
    chain.handle().fault(FaultChange { stall: Some(Stall::On), ..FaultChange::default() }).unwrap();
    let error = in_time(client.finalized()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    chain.handle().fault(FaultChange { clear: true, ..FaultChange::default() }).unwrap();
    in_time(async { while client.finalized().await.is_err() {} }).await;
}

#[tokio::test]
async fn a_reader_that_stops_waiting_loses_nothing() {
    let chain = start_paced(Genesis::default()).await;
    let client = connect(&chain).await;
    let mut blocks = client.blocks().await.unwrap();
    in_time(async {
        for height in 1..50 {
            chain.handle().new_block(1).await.unwrap();
            loop {
                tokio::select! {
                    biased;
                    block = blocks.next() => {
                        assert_eq!(block.unwrap().height, Height(height));
                        break;
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
        }
    })
    .await;
}
