//! Tests with nodes that answer badly: the client asks again after pauses, and invents nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base::Height;
use chain::{Client, error::ConnectError};
use devchain::Genesis;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use crate::{proxy::Proxy, support::*};

type Answer = Result<Value, ErrorObjectOwned>;

fn too_many_requests() -> Answer {
    Err(ErrorObjectOwned::owned(-32029, "Too many requests", None::<()>))
}

/// Refuses a method the first `times` times, as a rate limit does.
fn refuse(proxy: &Proxy, method: &'static str, times: usize) {
    let refused = AtomicUsize::new(0);
    proxy.rewrite(method, move |_, answer| {
        if refused.fetch_add(1, Ordering::SeqCst) < times { too_many_requests() } else { answer }
    });
}

#[tokio::test]
async fn a_node_that_lacks_what_it_has_finalized_is_left_after_a_few_blocks() {
    const MISSING: usize = 24;
    let chain = start(Genesis::default()).await;
    chain.handle().fast_forward(5).await.unwrap();
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    proxy.rewrite("chain_getBlockHash", move |params, answer| {
        // Each new connection asks for the genesis hash (block 0).
        let lacks = params[0] != 0 && counter.fetch_add(1, Ordering::SeqCst) < MISSING;
        if lacks { Ok(json!(null)) } else { answer }
    });
    let mut blocks = client.blocks_from(Height(1));
    in_time(async {
        for height in 1..4 {
            assert_eq!(blocks.next().await.unwrap().height, Height(height));
        }
    })
    .await;
    assert!(asked.load(Ordering::SeqCst) > MISSING);
    let subscribed = proxy.seen().iter().filter(|method| **method == "chain_subscribeFinalizedHeads").count();
    assert!(subscribed > MISSING / 4, "{subscribed} subscriptions for {MISSING} answers without a block");
}

#[tokio::test]
async fn a_rate_limit_ends_neither_a_read_nor_a_stream() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    refuse(&proxy, "chain_getFinalizedHead", 2);
    in_time(client.finalized_hash()).await.unwrap();
    refuse(&proxy, "state_queryStorageAt", 10);
    let mut blocks = client.blocks_from(Height(0));
    in_time(async {
        for height in 0..3 {
            assert_eq!(blocks.next().await.unwrap().height, Height(height));
        }
    })
    .await;
}

#[tokio::test]
async fn a_busy_node_is_not_taken_for_an_old_runtime() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let direct = connect(&chain).await;
    refuse(&proxy, "state_call", 2);
    let client = in_time(Client::connect(options(&proxy.url))).await.unwrap();
    assert_eq!(client.report(), direct.report());

    proxy.rewrite("state_call", |_, _| {
        let text = "Client error: UnknownBlock: State already discarded for 0x01";
        Err(ErrorObjectOwned::owned(4003, text, None::<()>))
    });
    let error = in_time(Client::connect(options(&proxy.url))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Runtime(_)), "{error}");
}

/// Simulates a node that keeps all blocks, but the states of its last blocks only.
#[tokio::test]
async fn blocks_whose_state_is_gone_still_come_with_their_time() {
    let chain = start(Genesis::default()).await;
    chain.handle().fast_forward(5).await.unwrap();
    let direct = connect(&chain).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    let newest = client.finalized().await.unwrap();
    let kept = json!(newest.hash.to_string());
    proxy.rewrite("state_queryStorageAt", move |params, answer| {
        if params.last() == Some(&kept) {
            answer
        } else {
            let text = "Client error: UnknownBlock: State already discarded for this block";
            Err(ErrorObjectOwned::owned(4003, text, None::<()>))
        }
    });
    let mut blocks = client.blocks_from(Height(1));
    in_time(async {
        for height in 1..=5 {
            let block = blocks.next().await.unwrap();
            assert_eq!(block, direct.block(block.hash).await.unwrap());
            assert_eq!(block.height, Height(height));
        }
    })
    .await;
}
