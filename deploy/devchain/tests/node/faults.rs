//! Faults, as a client meets them.

use std::task::Poll;

use devchain::{Devchain, Drop, FaultChange, MAX_FAULT_MS, Stall};
use jsonrpsee::{core::client::ClientT, rpc_params, ws_client::WsClient};
use serde_json::{Value, json};

use crate::support::*;

async fn control(chain: &Devchain) -> WsClient {
    connect(&format!("{}/dev", chain.url())).await
}

async fn fault(client: &WsClient, change: Value) -> Value {
    ask(client, "dev_fault", rpc_params![change]).await
}

/// An ordinary client's question stays open while `change` is on, and is answered once it is undone.
async fn withholds_answers(change: Value, undo: Value) {
    let chain = start(paced()).await;
    let (client, control) = (connect(&chain.url()).await, control(&chain).await);
    fault(&control, change.clone()).await;

    let question = client.request::<String, _>("system_chain", rpc_params![]);
    tokio::pin!(question);
    assert!(futures_poll(&mut question).await.is_pending());
    // The control connection's answer comes after the question was sent, and before its answer.
    let status: Value = ask(&control, "dev_newBlock", rpc_params![]).await;
    assert_eq!(status["height"], json!(1));
    assert!(futures_poll(&mut question).await.is_pending(), "{change} withholds the answer");

    fault(&control, undo).await;
    assert_eq!(patiently(question).await.unwrap(), "Muster devchain");
}

/// Polls once.
async fn futures_poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn a_delay_makes_answers_late() {
    withholds_answers(json!({ "delayMs": MAX_FAULT_MS }), json!({ "delayMs": 0 })).await;
}

#[tokio::test]
async fn a_stall_withholds_answers_until_it_is_off() {
    withholds_answers(json!({ "stall": "on" }), json!({ "stall": "off" })).await;
}

#[tokio::test]
async fn clear_ends_every_fault() {
    let all = json!({ "stall": { "ms": MAX_FAULT_MS }, "delayMs": MAX_FAULT_MS, "drop": { "next": 3 } });
    withholds_answers(all, json!({ "clear": true })).await;
}

#[tokio::test]
async fn a_timed_stall_ends_by_itself() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    chain.handle().fault(FaultChange { stall: Some(Stall::Ms(300)), ..Default::default() }).unwrap();
    assert_eq!(ask::<String>(&client, "system_chain", rpc_params![]).await, "Muster devchain");
}

#[tokio::test]
async fn a_short_delay_keeps_the_order() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let end = "chain_unsubscribeNewHeads";
    let mut heads = subscribe(&client, "chain_subscribeNewHeads", rpc_params![], end).await;
    chain.handle().fault(FaultChange { delay_ms: Some(20), ..Default::default() }).unwrap();
    chain.handle().fast_forward(50).await.unwrap();
    for height in 0..=50 {
        assert_eq!(number(&next(&mut heads).await["number"]), height);
    }
}

#[tokio::test]
async fn all_connections_are_dropped_and_may_come_back() {
    let chain = start(paced()).await;
    let (client, control) = (connect(&chain.url()).await, control(&chain).await);
    fault(&control, json!({ "drop": "all" })).await;
    patiently(client.on_disconnect()).await;
    assert!(control.is_connected());
    let client = connect(&chain.url()).await;
    assert_eq!(height(&client).await, 0);
}

#[tokio::test]
async fn the_next_connections_are_dropped() {
    let chain = start(paced()).await;
    let control = control(&chain).await;
    let status = fault(&control, json!({ "drop": { "next": 2 } })).await;
    assert_eq!(status["dropNext"], json!(2));
    for attempt in 1..=2 {
        assert!(patiently(try_connect(&chain.url())).await.is_err(), "attempt {attempt}");
    }
    assert_eq!(height(&connect(&chain.url()).await).await, 0);
    let status: Value = ask(&control, "dev_status", rpc_params![]).await;
    assert_eq!(status["faults"], json!({ "delayMs": 0, "dropNext": 0, "stalled": false }));
}

#[tokio::test]
async fn the_handle_works_whatever_faults_are_on() {
    let chain = start(paced()).await;
    let handle = chain.handle();
    let all = FaultChange {
        delay_ms: Some(MAX_FAULT_MS),
        stall: Some(Stall::On),
        drop: Some(Drop::Next(5)),
        ..Default::default()
    };
    let status = handle.fault(all).unwrap();
    assert_eq!((status.delay_ms, status.stalled, status.drop_next), (MAX_FAULT_MS, true, 5));
    assert_eq!(handle.new_block(1).await.unwrap().height, 1);
    let status = handle.fault(FaultChange { clear: true, ..Default::default() }).unwrap();
    assert_eq!((status.delay_ms, status.stalled, status.drop_next), (0, false, 0));
    assert_eq!(height(&connect(&chain.url()).await).await, 1);
}

#[tokio::test]
async fn what_is_sent_into_a_stall_is_carried_out() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let mut heights = chain.handle().heights();
    chain.handle().fault(FaultChange { stall: Some(Stall::On), ..Default::default() }).unwrap();
    let request =
        tokio::spawn(async move { client.request::<Value, _>("dev_newBlock", rpc_params![]).await.unwrap() });
    patiently(heights.wait_for(|height| *height == 1)).await.unwrap();
    assert!(!request.is_finished(), "the block is sealed, its answer is not there");
    chain.handle().fault(FaultChange { clear: true, ..Default::default() }).unwrap();
    assert_eq!(patiently(request).await.unwrap()["height"], json!(1));
}
