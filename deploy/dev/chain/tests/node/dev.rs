//! Tests the `dev_*` operations, over JSON-RPC and by handle.

use devchain::{Config, ControlError, Devchain, LOGICAL_START_MS, MAX_BLOCKS, Pace, StorageWrite};
use jsonrpsee::{core::client::ClientT, rpc_params};
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn a_chain_paced_from_outside_seals_when_told_to() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let status: Value = ask(&client, "dev_status", rpc_params![]).await;
    assert_eq!((&status["height"], &status["held"]), (&json!(0), &json!(true)));
    let status: Value = ask(&client, "dev_newBlock", rpc_params![]).await;
    assert_eq!(status["height"], json!(1));
    let status: Value = ask(&client, "dev_newBlock", rpc_params![4]).await;
    assert_eq!(status["height"], json!(5));
    assert_eq!(height(&client).await, 5);
}

#[tokio::test]
async fn released_it_seals_by_the_block_time_until_it_is_held() {
    let chain = start(Config { block_time_ms: 1, ..paced() }).await;
    let client = connect(&chain.url()).await;
    let mut heights = chain.handle().heights();
    ask::<u32>(&client, "dev_release", rpc_params![]).await;
    patiently(heights.wait_for(|height| *height >= 5)).await.unwrap();
    let held_at: u64 = ask(&client, "dev_hold", rpc_params![]).await;
    assert!(held_at >= 5);
    assert_eq!(height(&client).await, held_at);
    let status: Value = ask(&client, "dev_newBlock", rpc_params![]).await;
    assert_eq!(status["height"], json!(held_at + 1), "no other block came in between");
}

#[tokio::test]
async fn fast_forward_moves_the_clock_by_the_block_time() {
    for (config, name) in [(paced(), "logical"), (Config { clock: Default::default(), ..paced() }, "wall")] {
        let chain = start(Config { block_time_ms: 12_000, ..config }).await;
        let first = chain.handle().new_block(1).await.unwrap().timestamp_ms;
        let status = chain.handle().fast_forward(100).await.unwrap();
        assert_eq!((status.height, status.timestamp_ms), (101, first + 100 * 12_000), "{name} clock");
        // The clock is now ahead of any wall clock, and still advances.
        let next = chain.handle().new_block(1).await.unwrap().timestamp_ms;
        assert_eq!(next, first + 101 * 12_000, "{name} clock");
    }
}

#[tokio::test]
async fn a_logical_clock_makes_equal_chains() {
    let (one, two) = (start(paced()).await, start(paced()).await);
    // Sign only once: two signatures of the same call differ.
    let transaction = hex::decode(&remark(one.genesis(), 0)[2..]).unwrap();
    let mut hashes = Vec::new();
    for handle in [one.handle(), two.handle()] {
        assert_eq!(handle.new_block(1).await.unwrap().timestamp_ms, LOGICAL_START_MS);
        handle.submit(transaction.clone()).await.unwrap();
        hashes.push(handle.fast_forward(30).await.unwrap().hash);
    }
    assert_eq!(hashes[0], hashes[1]);
}

#[tokio::test]
async fn two_chains_live_in_one_process() {
    let (mut one, mut two) = (paced(), paced());
    one.genesis = Some(Default::default());
    two.genesis = Some(devchain::Genesis { stake_threshold: 1, ..Default::default() });
    let (one, two) = (start(one).await, start(two).await);
    assert_ne!(one.genesis(), two.genesis());
    let handle_one = one.handle();
    let handle_two = two.handle();
    let (left, right) = tokio::join!(handle_one.fast_forward(50), handle_two.fast_forward(70));
    assert_eq!((left.unwrap().height, right.unwrap().height), (50, 70));
    let (left, right) = (connect(&one.url()).await, connect(&two.url()).await);
    assert_eq!((height(&left).await, height(&right).await), (50, 70));
    one.shutdown().await;
    assert_eq!(handle_two.new_block(1).await.unwrap().height, 71, "the other goes on");
    assert!(matches!(handle_one.new_block(1).await, Err(ControlError::Stopped)));
}

#[tokio::test]
async fn storage_is_written_by_the_next_block() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let writes = json!([["0x6d7573746572", "0x0102"], ["0x676f6e65", null]]);
    assert_eq!(ask::<u32>(&client, "dev_setStorage", rpc_params![writes]).await, 1);
    let read = async || ask::<Value>(&client, "state_getStorage", rpc_params!["0x6d7573746572"]).await;
    assert_eq!(read().await, Value::Null, "not before the block");
    chain.handle().new_block(1).await.unwrap();
    assert_eq!(read().await, json!("0x0102"));
    let removed = vec![StorageWrite { key: b"muster".to_vec(), value: None }];
    assert_eq!(chain.handle().set_storage(removed).await.unwrap(), 2);
    chain.handle().new_block(1).await.unwrap();
    assert_eq!(read().await, Value::Null);
    chain.handle().fast_forward(5).await.unwrap();
}

#[tokio::test]
async fn writes_that_the_runtime_cannot_live_with_are_dropped_with_their_block() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let names: [&[u8]; 2] = [b"Timestamp", b"DidUpdate"];
    let key = hex(&names.map(sp_crypto_hashing::twox_128).concat());
    ask::<u32>(&client, "dev_setStorage", rpc_params![[[key, "0x01".to_owned()]]]).await;
    let (code, message, _) = refusal(&client, "dev_newBlock", rpc_params![]).await;
    assert_eq!(code, 9000);
    assert!(message.starts_with("cannot build block 1: Execution failed: "), "{message}");
    let status: Value = ask(&client, "dev_newBlock", rpc_params![]).await;
    assert_eq!(status["height"], json!(1));
}

#[tokio::test]
async fn another_chain_starts_from_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshot");
    // The chain is in memory only, since a snapshot needs no log.
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    chain.handle().submit(hex::decode(&remark(chain.genesis(), 0)[2..]).unwrap()).await.unwrap();
    let status = chain.handle().fast_forward(45).await.unwrap();
    ask::<Value>(&client, "dev_snapshot", rpc_params![snapshot.to_str().unwrap()]).await;
    let (code, message, _) = refusal(&client, "dev_snapshot", rpc_params![snapshot.to_str().unwrap()]).await;
    assert_eq!(code, 9000);
    assert!(message.contains("cannot create the snapshot"), "{message}");

    let copy = start(Config { log: Some(snapshot), ..paced() }).await;
    let copied = copy.handle().status().await.unwrap().node;
    assert_eq!((copied.genesis, copied.height, copied.hash), (status.genesis, status.height, status.hash));
    let old = copy.handle().block(1).await.unwrap();
    assert_eq!(old, chain.handle().block(1).await.unwrap());
    let left = chain.handle();
    let right = copy.handle();
    let left = left.new_block(3).await.unwrap();
    let right = right.new_block(3).await.unwrap();
    assert_eq!(left.hash, right.hash, "both go on alike");
}

#[tokio::test]
async fn readers_are_served_during_a_long_fast_forward() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let handle = chain.handle();
    let forward = tokio::spawn(async move { handle.fast_forward(3000).await });
    let mut heights = chain.handle().heights();
    patiently(heights.wait_for(|height| *height > 0)).await.unwrap();
    let seen = height(&client).await;
    assert!((1..3000).contains(&seen), "answered at {seen}, before the end");
    assert_eq!(forward.await.unwrap().unwrap().height, 3000);
}

#[tokio::test]
async fn senseless_requests_are_refused() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let cases = [
        (
            "dev_newBlock",
            rpc_params![0],
            format!("cannot seal 0 blocks; ask for 1 to {MAX_BLOCKS} at a time"),
        ),
        (
            "dev_fastForward",
            rpc_params![MAX_BLOCKS + 1],
            format!("cannot seal {} blocks; ask for 1 to {MAX_BLOCKS} at a time", MAX_BLOCKS + 1),
        ),
        (
            "dev_setStorage",
            rpc_params![[["0x", "0x00"]]],
            "invalid storage key of 0 bytes; keys have 1 to 1024 bytes".into(),
        ),
        (
            "dev_fault",
            rpc_params![json!({ "delayMs": 3_600_001 })],
            "delayMs of 3600001 ms is above the limit of 3600000 ms (one hour)".into(),
        ),
    ];
    for (method, params, expected) in cases {
        let (code, message, _) = refusal(&client, method, params).await;
        assert_eq!((code, message), (-32602, expected), "{method}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let chain = start(paced()).await;
    let taken = Config { listen: chain.address(), pace: Pace::Outside, ..Config::default() };
    let error = Devchain::start(taken).await.err().unwrap();
    let message = base::ErrorChain(&error).to_string();
    assert!(
        message.starts_with(&format!("cannot listen on {} (is another devchain", chain.address())),
        "{message}"
    );
}

#[tokio::test]
async fn an_upgrade_changes_version_and_metadata_from_its_block_on() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    chain.handle().new_block(1).await.unwrap();
    let before: String = ask(&client, "chain_getBlockHash", rpc_params![1]).await;
    let metadata = format!("0x{}", hex::encode(b"meta\x0fall of it"));
    assert_eq!(ask::<u32>(&client, "dev_upgrade", rpc_params![462, &metadata]).await, 2);
    let version = async |at: Option<&str>| -> Value {
        ask::<Value>(&client, "state_getRuntimeVersion", rpc_params![at]).await["specVersion"].clone()
    };
    assert_eq!(version(None).await, json!(461), "not before the next block");
    chain.handle().new_block(1).await.unwrap();
    assert_eq!((version(None).await, version(Some(&before)).await), (json!(462), json!(461)));
    let served: String = ask(&client, "state_getMetadata", rpc_params![]).await;
    assert_eq!(served, metadata);
    let older: String = ask(&client, "state_getMetadata", rpc_params![&before]).await;
    assert!(older.len() > 10_000);

    for wrong in [rpc_params![462], rpc_params![463, "0x00"]] {
        let error = client.request::<Value, _>("dev_upgrade", wrong).await.unwrap_err();
        assert!(error.to_string().contains("give "), "{error}");
    }
    ask::<u32>(&client, "dev_upgrade", rpc_params![463, Value::Null]).await;
    chain.handle().new_block(1).await.unwrap();
    let own: String = ask(&client, "state_getMetadata", rpc_params![]).await;
    assert!(own.len() > 10_000 && version(None).await == json!(463));
}
