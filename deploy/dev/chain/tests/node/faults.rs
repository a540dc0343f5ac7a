//! Tests the faults from the side of a client.

use std::task::Poll;

use devchain::{Devchain, Drop, FaultChange, MAX_FAULT_MS, RefusedMethod, Stall};
use jsonrpsee::{
    core::{client::ClientT, params::BatchRequestBuilder},
    rpc_params,
    ws_client::WsClient,
};
use serde_json::{Value, json};

use crate::support::*;

async fn control(chain: &Devchain) -> WsClient {
    connect(&format!("{}/dev", chain.url())).await
}

async fn fault(client: &WsClient, change: Value) -> Value {
    ask(client, "dev_fault", rpc_params![change]).await
}

/// Checks that a normal client's request stays unanswered while `change` is active, and is
/// answered after `undo`.
async fn withholds_answers(change: Value, undo: Value) {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let control = control(&chain).await;
    fault(&control, change.clone()).await;

    let question = client.request::<String, _>("system_chain", rpc_params![]);
    tokio::pin!(question);
    assert!(futures_poll(&mut question).await.is_pending());
    // The control connection's answer arrives after the question was sent, and before its answer.
    let status: Value = ask(&control, "dev_newBlock", rpc_params![]).await;
    assert_eq!(status["height"], json!(1));
    assert!(futures_poll(&mut question).await.is_pending(), "{change} withholds the answer");

    fault(&control, undo).await;
    assert_eq!(patiently(question).await.unwrap(), "Muster devchain");
}

/// Polls a future once.
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
    let stall = FaultChange { stall: Some(Stall::Ms(1000)), ..Default::default() };
    assert!(chain.handle().fault(stall).unwrap().stalled, "it is on");
    assert_eq!(ask::<String>(&client, "system_chain", rpc_params![]).await, "Muster devchain");
    // Without the stall, the answer would arrive while the stall is still active.
    assert!(!chain.handle().status().await.unwrap().faults.stalled, "the answer came after its end");
}

#[tokio::test]
async fn a_short_delay_keeps_the_order() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let end = "chain_unsubscribeNewHeads";
    let mut heads = subscribe(&client, "chain_subscribeNewHeads", rpc_params![], end).await;
    assert_eq!(number(&next(&mut heads).await["number"]), 0);
    let delay = |ms| FaultChange { delay_ms: Some(ms), ..Default::default() };
    assert_eq!(chain.handle().fault(delay(MAX_FAULT_MS)).unwrap().delay_ms, MAX_FAULT_MS);
    chain.handle().fast_forward(50).await.unwrap();
    let control = control(&chain).await;
    {
        let head = heads.next();
        tokio::pin!(head);
        // The normal connection has been sent a block that others can read; its head is on the way.
        assert_eq!(height(&control).await, 50);
        assert!(futures_poll(&mut head).await.is_pending(), "the delay is on");
        // The shorter delay also applies to bytes on their way.
        assert_eq!(chain.handle().fault(delay(20)).unwrap().delay_ms, 20);
        assert_eq!(number(&patiently(head).await.unwrap().unwrap()["number"]), 1);
    }
    for height in 2..=50 {
        assert_eq!(number(&next(&mut heads).await["number"]), height);
    }
}

#[tokio::test]
async fn all_connections_are_dropped_and_may_come_back() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let control = control(&chain).await;
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
    assert_eq!(status["faults"], json!({ "delayMs": 0, "dropNext": 0, "stalled": false, "refused": [] }));
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
    assert!(!request.is_finished(), "the block is sealed, but its answer has not arrived");
    chain.handle().fault(FaultChange { clear: true, ..Default::default() }).unwrap();
    assert_eq!(patiently(request).await.unwrap()["height"], json!(1));
}

#[tokio::test]
async fn a_refused_method_is_answered_with_the_given_error_until_it_is_cleared() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let control = control(&chain).await;
    let busy = json!({ "method": "dev_newBlock", "code": -32009, "message": "server is busy" });
    let status = fault(&control, json!({ "refuse": [busy] })).await;
    assert_eq!(status["refused"], json!([busy]));

    let expected = (-32009, "server is busy".to_owned(), None);
    assert_eq!(refusal(&client, "dev_newBlock", rpc_params![]).await, expected);
    assert_eq!(height(&client).await, 0, "it was not executed, and other methods are answered");
    let sealed: Value = ask(&control, "dev_newBlock", rpc_params![]).await;
    assert_eq!(sealed["height"], json!(1), "nothing is refused on a control connection");

    fault(&control, json!({ "clear": true })).await;
    let sealed: Value = ask(&client, "dev_newBlock", rpc_params![]).await;
    assert_eq!((&sealed["height"], &sealed["faults"]["refused"]), (&json!(2), &Value::Null));
}

#[tokio::test]
async fn so_many_calls_are_refused_and_the_next_one_answered() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let (method, message) = ("chain_subscribeNewHeads".to_owned(), "rate limit exceeded".to_owned());
    let refused = RefusedMethod { method, code: -32029, message, times: Some(2) };
    let refuse = FaultChange { refuse: Some(vec![refused.clone()]), ..Default::default() };
    assert_eq!(chain.handle().fault(refuse).unwrap().refused, [refused]);
    for _ in 0..2 {
        let expected = (-32029, "rate limit exceeded".to_owned(), None);
        assert_eq!(refusal(&client, "chain_subscribeNewHeads", rpc_params![]).await, expected);
    }
    let end = "chain_unsubscribeNewHeads";
    let mut heads = subscribe(&client, "chain_subscribeNewHeads", rpc_params![], end).await;
    assert_eq!(number(&next(&mut heads).await["number"]), 0);
    assert_eq!(chain.handle().status().await.unwrap().faults.refused, []);
}

#[tokio::test]
async fn a_refused_method_is_refused_in_a_batch_too() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let refused = RefusedMethod {
        method: "system_chain".into(),
        code: 4003,
        message: "State already discarded".into(),
        times: None,
    };
    chain.handle().fault(FaultChange { refuse: Some(vec![refused]), ..Default::default() }).unwrap();
    let mut batch = BatchRequestBuilder::new();
    for method in ["system_name", "system_chain"] {
        batch.insert(method, rpc_params![]).unwrap();
    }
    let answers: Vec<_> =
        patiently(client.batch_request::<String>(batch)).await.unwrap().into_iter().collect();
    assert!(answers[0].is_ok(), "{answers:?}");
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!((error.code(), error.message()), (4003, "State already discarded"));
}

#[tokio::test]
async fn too_many_refusals_are_a_fault_that_cannot_be_set() {
    let chain = start(paced()).await;
    let refused = RefusedMethod { method: "a".into(), code: 1, message: String::new(), times: None };
    let change = FaultChange { refuse: Some(vec![refused; 65]), ..Default::default() };
    let message = chain.handle().fault(change).unwrap_err().to_string();
    assert_eq!(message, "cannot refuse 65 methods; refuse at most 64 at a time");
    assert_eq!(chain.handle().status().await.unwrap().faults.refused, []);
}
