//! Tests the answers that clients get, and the refusals.

use devchain::{Block, Config, Hash};
use jsonrpsee::{
    core::{ClientError, client::ClientT},
    http_client::HttpClientBuilder,
    rpc_params,
};
use serde_json::{Value, json};

use crate::support::*;

/// The storage key of `System.Number`, which changes with each block.
pub(crate) const NUMBER: &str = "0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac";

/// The storage key prefix of `System.Account`.
const ACCOUNTS: &str = "0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9";

#[tokio::test]
async fn a_client_connects_and_reads() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let genesis: Hash = ask(&client, "chain_getBlockHash", rpc_params![0]).await;
    assert_eq!(genesis, chain.genesis());

    let version: Value = ask(&client, "state_getRuntimeVersion", rpc_params![]).await;
    assert_eq!((&version["specName"], &version["specVersion"]), (&json!("node-subtensor"), &json!(461)));
    assert!(
        version["apis"].as_array().unwrap().iter().any(|api| api[0] == "0xdf6acb689907609b"),
        "Core is listed"
    );

    let metadata: String = ask(&client, "state_getMetadata", rpc_params![]).await;
    assert!(metadata.starts_with("0x6d657461"), "starts with `meta`: {}", &metadata[..20]);
    let properties: Value = ask(&client, "system_properties", rpc_params![]).await;
    assert_eq!(properties, json!({ "ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO" }));
    chain.shutdown().await;
}

#[tokio::test]
async fn the_metadata_tells_the_block_time() {
    for block_time_ms in [250, 12_000] {
        let chain = start(Config { block_time_ms, ..paced() }).await;
        let client = connect(&chain.url()).await;
        let metadata: String = ask(&client, "state_getMetadata", rpc_params![]).await;
        // The value follows its name and its type: eight bytes with their length before them.
        let name = hex::encode("SlotDuration");
        let value = metadata.split_once(&name).expect("the constant is there").1;
        let expected = format!("20{}", hex::encode(block_time_ms.to_le_bytes()));
        assert!(value[..30].contains(&expected), "{block_time_ms}: {}", &value[..30]);
        chain.shutdown().await;
    }
}

#[tokio::test]
async fn http_posts_are_answered_too() {
    let chain = start(paced()).await;
    let client = HttpClientBuilder::default().build(format!("http://{}", chain.address())).unwrap();
    let name: String = client.request("system_chain", rpc_params![]).await.unwrap();
    assert_eq!(name, "Muster devchain");
}

#[tokio::test]
async fn every_listed_method_exists_and_no_name_of_the_new_specification_is_listed() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let listed: Value = ask(&client, "rpc_methods", rpc_params![]).await;
    let names: Vec<&str> =
        listed["methods"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.contains(&"author_submitAndWatchExtrinsic") && names.contains(&"rpc_methods"));
    for name in names {
        for new in ["chainHead", "chainSpec", "archive_", "transaction_"] {
            assert!(!name.starts_with(new), "{name} makes subxt leave its legacy backend");
        }
        // The arguments are wrong on purpose: no method may be unknown, whatever its answer is.
        let answer: Result<Value, _> =
            patiently(client.request(name, rpc_params![json!({ "no": "such" })])).await;
        if let Err(ClientError::Call(error)) = answer {
            assert_ne!(error.code(), -32601, "{name} is listed but does not exist");
        }
    }
}

#[tokio::test]
async fn block_hashes_by_number_hexadecimal_list_and_none() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    chain.handle().new_block(3).await.unwrap();
    let mut hashes = Vec::new();
    for height in 0..4 {
        hashes.push(chain.handle().block(height).await.unwrap().unwrap().hash);
    }
    let ask_hash = async |params| ask::<Value>(&client, "chain_getBlockHash", params).await;
    assert_eq!(ask_hash(rpc_params![2]).await, json!(hashes[2]));
    assert_eq!(ask_hash(rpc_params!["0x2"]).await, json!(hashes[2]));
    assert_eq!(ask_hash(rpc_params![json!([0, 1, "0x3"])]).await, json!([hashes[0], hashes[1], hashes[3]]));
    assert_eq!(ask_hash(rpc_params![]).await, json!(hashes[3]));
    assert_eq!(ask_hash(rpc_params![Value::Null]).await, json!(hashes[3]));
    assert_eq!(ask_hash(rpc_params![4]).await, Value::Null);
    assert_eq!(ask_hash(rpc_params![[2, 99]]).await, json!([hashes[2], null]));
    assert_eq!(ask_hash(rpc_params!["0xffffffffff"]).await, Value::Null);
    let (code, message, _) = refusal(&client, "chain_getBlockHash", rpc_params!["zwei"]).await;
    assert_eq!((code, message.as_str()), (3000, "`zwei` is not a block height"));
}

#[tokio::test]
async fn blocks_and_headers_by_hash() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    chain.handle().new_block(1).await.unwrap();
    let Block { hash, header, body } = chain.handle().block(1).await.unwrap().unwrap();

    let block: Value = ask(&client, "chain_getBlock", rpc_params![hash]).await;
    let extrinsics: Vec<String> = body.iter().map(|extrinsic| hex(extrinsic)).collect();
    assert_eq!(block["block"]["extrinsics"], json!(extrinsics));
    assert_eq!(block["block"]["header"], json!(header));
    assert_eq!(block["justifications"], Value::Null);
    assert_eq!(body.len(), 1, "the timestamp");
    for method in ["chain_getBlock", "chain_getHeader"] {
        let unknown: Value = ask(&client, method, rpc_params![Hash::repeat_byte(9)]).await;
        assert_eq!(unknown, Value::Null, "{method}");
    }
}

#[tokio::test]
async fn unknown_blocks_are_refused_in_substrates_words() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let unknown = Hash::repeat_byte(9);
    let message = format!("Client error: UnknownBlock: Header was not found in the database: {unknown:?}");
    let calls = [
        ("state_getStorage", rpc_params![NUMBER, unknown]),
        ("state_getMetadata", rpc_params![unknown]),
        ("state_call", rpc_params!["Core_version", "0x", unknown]),
        ("state_getKeysPaged", rpc_params!["0x", 10, Value::Null, unknown]),
        ("state_queryStorageAt", rpc_params![[NUMBER], unknown]),
        ("state_getRuntimeVersion", rpc_params![unknown]),
    ];
    for (method, params) in calls {
        assert_eq!(refusal(&client, method, params).await, (4003, message.clone(), None), "{method}");
    }
}

#[tokio::test]
async fn runtime_calls_that_fail_leave_the_chain_alive() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let (code, message, _) = refusal(&client, "state_call", rpc_params!["Core_dance", "0x"]).await;
    assert_eq!((code, message.as_str()), (4003, "Client error: Exported method Core_dance is not found"));
    let (code, message, _) =
        refusal(&client, "state_call", rpc_params!["AccountNonceApi_account_nonce", "0x01"]).await;
    assert_eq!(code, 4003);
    assert!(
        message.starts_with("Client error: Execution failed: AccountNonceApi_account_nonce panicked"),
        "{message}"
    );
    assert_eq!(chain.handle().new_block(1).await.unwrap().height, 1);
}

#[tokio::test]
async fn storage_is_read_at_any_block() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    chain.handle().new_block(3).await.unwrap();
    let at = async |height| ask::<Hash>(&client, "chain_getBlockHash", rpc_params![height]).await;
    let (first, third) = (at(1).await, at(3).await);

    let read = async |params| ask::<Value>(&client, "state_getStorage", params).await;
    assert_eq!(read(rpc_params![NUMBER]).await, json!("0x03000000"));
    assert_eq!(read(rpc_params![NUMBER, first]).await, json!("0x01000000"));
    assert_eq!(read(rpc_params!["0x00"]).await, Value::Null);
    assert_eq!(ask::<u64>(&client, "state_getStorageSize", rpc_params![NUMBER]).await, 4);
    let hash: String = ask(&client, "state_getStorageHash", rpc_params![NUMBER]).await;
    assert_eq!(hash, hex(&sp_crypto_hashing::blake2_256(&[3, 0, 0, 0])));

    let sets: Value = ask(&client, "state_queryStorage", rpc_params![[NUMBER, "0x00"], first, third]).await;
    let values: Vec<&Value> = sets.as_array().unwrap().iter().map(|set| &set["changes"][0][1]).collect();
    assert_eq!(values, ["0x01000000", "0x02000000", "0x03000000"]);
    assert_eq!(sets[0]["changes"][1], json!(["0x00", null]), "what is absent is part of the first set");
    assert_eq!(sets[1]["changes"].as_array().unwrap().len(), 1, "and not of the next");
    let (code, message, _) =
        refusal(&client, "state_queryStorage", rpc_params![[NUMBER], third, first]).await;
    assert_eq!(code, 4001);
    assert!(message.ends_with("from number > to number"), "{message}");
}

#[tokio::test]
async fn keys_come_in_pages() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let all: Vec<String> = ask(&client, "state_getKeys", rpc_params![ACCOUNTS]).await;
    assert!(all.len() >= 8, "the funded coldkeys");
    assert!(all.is_sorted());

    let mut paged: Vec<String> = Vec::new();
    loop {
        let start = paged.last().cloned();
        let page: Vec<String> = ask(&client, "state_getKeysPaged", rpc_params![ACCOUNTS, 3, start]).await;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        paged.extend(page);
    }
    assert_eq!(paged, all);
    let pairs: Vec<(String, String)> = ask(&client, "state_getPairs", rpc_params![ACCOUNTS]).await;
    assert_eq!(pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), all);
    // A start key outside of the prefix must not stop the chain. It returns the keys after it that
    // have the prefix.
    let page = async |start: &str| {
        ask::<Vec<String>>(&client, "state_getKeysPaged", rpc_params![ACCOUNTS, 1000, start]).await
    };
    assert_eq!(page("0x00").await, all);
    assert_eq!(page("0xff").await, [""; 0]);
    let (code, message, _) = refusal(&client, "state_getKeysPaged", rpc_params![ACCOUNTS, 1001]).await;
    assert_eq!((code, message.as_str()), (4002, "count exceeds maximum value. value: 1001, max: 1000"));
}

#[tokio::test]
async fn heads_come_without_gaps() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let kinds = [
        ("chain_subscribeNewHeads", "chain_unsubscribeNewHeads"),
        ("chain_subscribeAllHeads", "chain_unsubscribeAllHeads"),
        ("chain_subscribeFinalizedHeads", "chain_unsubscribeFinalizedHeads"),
        ("subscribe_newHead", "unsubscribe_newHead"),
    ];
    for (method, end) in kinds {
        let before = height(&client).await;
        let mut heads = subscribe(&client, method, rpc_params![], end).await;
        assert_eq!(number(&next(&mut heads).await["number"]), before, "{method} starts with the newest");
        chain.handle().fast_forward(200).await.unwrap();
        for expected in before + 1..=before + 200 {
            assert_eq!(number(&next(&mut heads).await["number"]), expected, "{method}");
        }
        patiently(heads.unsubscribe()).await.unwrap();
    }
}

#[tokio::test]
async fn storage_subscriptions_tell_changes_only() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let end = "state_unsubscribeStorage";
    let mut changes = subscribe(&client, "state_subscribeStorage", rpc_params![[NUMBER, "0x00"]], end).await;
    let first = next(&mut changes).await;
    assert_eq!(first["block"], json!(chain.genesis()));
    assert_eq!(first["changes"].as_array().unwrap().len(), 2);
    chain.handle().new_block(2).await.unwrap();
    for value in ["0x01000000", "0x02000000"] {
        assert_eq!(next(&mut changes).await["changes"], json!([[NUMBER, value]]));
    }
    let (code, message, _) = refusal(&client, "state_subscribeStorage", rpc_params![]).await;
    assert_eq!((code, message.as_str()), (-32602, "cannot watch 0 keys; name 1 to 4096"));
}

#[tokio::test]
async fn the_runtime_version_is_told_once() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    let end = "state_unsubscribeRuntimeVersion";
    let mut versions = subscribe(&client, "state_subscribeRuntimeVersion", rpc_params![], end).await;
    assert_eq!(next(&mut versions).await["specVersion"], json!(461));
}

#[tokio::test]
async fn fees_are_told_before_they_are_paid() {
    let chain = start(paced()).await;
    let client = connect(&chain.url()).await;
    chain.handle().new_block(1).await.unwrap();
    let transaction = remark(chain.genesis(), 0);
    let info: Value = ask(&client, "payment_queryInfo", rpc_params![&transaction]).await;
    assert_eq!(info["class"], json!("normal"));
    let fee: u64 = info["partialFee"].as_str().unwrap().parse().unwrap();
    let details: Value = ask(&client, "payment_queryFeeDetails", rpc_params![&transaction]).await;
    let inclusion = &details["inclusionFee"];
    let parts = ["baseFee", "lenFee", "adjustedWeightFee"].map(|part| number(&inclusion[part]));
    assert_eq!(parts.iter().sum::<u64>(), fee);
    assert!(fee > 0);
}

#[tokio::test]
async fn too_large_a_request_is_refused_and_the_next_one_answered() {
    let mut config = paced();
    config.rpc.request_bytes = 10_000;
    let chain = start(config).await;
    let client = connect(&chain.url()).await;
    let huge = "0".repeat(20_000);
    let answer: Result<Value, _> =
        patiently(client.request("system_accountNextIndex", rpc_params![huge])).await;
    assert!(answer.is_err());
    let client = connect(&chain.url()).await;
    assert_eq!(height(&client).await, 0);
}
