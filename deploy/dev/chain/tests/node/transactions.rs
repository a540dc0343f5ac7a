//! Tests transactions on their way through the pool into blocks.

use devchain::{
    Config, Devchain, Hash, Status,
    sign::{self, Terms},
};
use jsonrpsee::{rpc_params, ws_client::WsClient};
use serde_json::{Value, json};
use sp_runtime::generic::Era;

use crate::support::*;

/// Starts a chain with one block, so that transactions have a timestamp to run at.
async fn chain(config: Config) -> (Devchain, WsClient) {
    let chain = start(config).await;
    chain.handle().new_block(1).await.unwrap();
    let client = connect(&chain.url()).await;
    (chain, client)
}

async fn submit(client: &WsClient, extrinsic: &str) -> Hash {
    ask(client, "author_submitExtrinsic", rpc_params![extrinsic]).await
}

async fn next_nonce(client: &WsClient, path: &str) -> u32 {
    ask(client, "system_accountNextIndex", rpc_params![account(path).to_string()]).await
}

#[tokio::test]
async fn a_watched_transaction_is_ready_included_and_final() {
    let (chain, client) = chain(paced()).await;
    let (method, end) = ("author_submitAndWatchExtrinsic", "author_unwatchExtrinsic");
    let extrinsic = remark(chain.genesis(), 0);
    let mut updates = subscribe(&client, method, rpc_params![&extrinsic], end).await;
    assert_eq!(next(&mut updates).await, json!("ready"));
    let block = chain.handle().new_block(1).await.unwrap().hash;
    assert_eq!(next(&mut updates).await, json!({ "inBlock": block }));
    assert_eq!(next(&mut updates).await, json!({ "finalized": block }));
    let sealed: Value = ask(&client, "chain_getBlock", rpc_params![block]).await;
    assert_eq!(sealed["block"]["extrinsics"][1], json!(extrinsic));
}

#[tokio::test]
async fn transactions_in_any_order_go_by_nonce() {
    let (chain, client) = chain(paced()).await;
    let extrinsics: Vec<String> = (0..4).map(|nonce| remark(chain.genesis(), nonce)).collect();
    for nonce in [3, 1, 0, 2] {
        submit(&client, &extrinsics[nonce]).await;
    }
    assert_eq!(next_nonce(&client, "//Alice").await, 4);
    let pending: Vec<String> = ask(&client, "author_pendingExtrinsics", rpc_params![]).await;
    assert_eq!(pending, extrinsics);
    let hash = chain.handle().new_block(1).await.unwrap().hash;
    let sealed: Value = ask(&client, "chain_getBlock", rpc_params![hash]).await;
    assert_eq!(sealed["block"]["extrinsics"].as_array().unwrap()[1..], extrinsics);
    assert_eq!(next_nonce(&client, "//Alice").await, 4);
}

#[tokio::test]
async fn a_gap_waits_in_the_pool() {
    let (chain, client) = chain(paced()).await;
    let handle = chain.handle();
    let late = hex_bytes(&remark(chain.genesis(), 1));
    let (_, mut statuses) = handle.submit_and_watch(late).await.unwrap();
    assert_eq!(statuses.recv().await, Some(Status::Future));
    let status = handle.new_block(1).await.unwrap();
    assert_eq!((status.ready, status.future), (0, 1));
    assert_eq!(next_nonce(&client, "//Alice").await, 0);

    submit(&client, &remark(chain.genesis(), 0)).await;
    assert_eq!(statuses.recv().await, Some(Status::Ready));
    let block = handle.new_block(1).await.unwrap().hash;
    assert_eq!(statuses.recv().await, Some(Status::Included(block)));
    assert_eq!(statuses.recv().await, Some(Status::Finalized(block)));
    assert_eq!(statuses.recv().await, None, "the last status closes the channel");
}

fn hex_bytes(text: &str) -> Vec<u8> {
    hex::decode(text.strip_prefix("0x").unwrap()).unwrap()
}

#[tokio::test]
async fn a_mortal_transaction_expires() {
    // The transaction waits behind a gap that is never filled.
    let (chain, _client) = chain(paced()).await;
    let handle = chain.handle();
    let era_start = handle.status().await.unwrap().node.hash;
    let terms = Terms { genesis: chain.genesis(), nonce: 1, era: Era::mortal(4, 1), era_start };
    let mortal = sign::sign(&sign::remark(b"mortal"), &pair("//Alice"), &terms);
    let (_, mut statuses) = handle.submit_and_watch(mortal.clone()).await.unwrap();
    assert_eq!(statuses.recv().await, Some(Status::Future));
    handle.new_block(3).await.unwrap();
    assert_eq!(statuses.recv().await, Some(Status::Invalid));
    assert_eq!(statuses.recv().await, None);
    assert_eq!(handle.status().await.unwrap().node.future, 0);
}

#[tokio::test]
async fn refusals_have_substrates_codes_and_texts() {
    let (chain, client) = chain(paced()).await;
    let genesis = chain.genesis();
    let invalid = |data: &str| (1010, "Invalid Transaction".to_owned(), Some(data.to_owned()));
    let refuse =
        async |extrinsic: &str| refusal(&client, "author_submitExtrinsic", rpc_params![extrinsic]).await;

    let first = remark(genesis, 0);
    let hash = submit(&client, &first).await;
    let known = (1013, "Transaction Already Imported".to_owned(), Some(format!("{hash:?}")));
    assert_eq!(refuse(&first).await, known);
    let other = signed("//Alice", &sign::remark(b"another"), genesis, 0);
    let (code, message, _) = refuse(&other).await;
    assert_eq!(code, 1014);
    assert!(message.starts_with("Priority is too low: ("), "{message}");

    chain.handle().new_block(1).await.unwrap();
    assert_eq!(refuse(&first).await, (1012, "Transaction is temporarily banned".to_owned(), None));
    assert_eq!(refuse(&other).await, invalid("Transaction is outdated"));
    let foreign = remark(Hash::repeat_byte(7), 1);
    assert_eq!(refuse(&foreign).await, invalid("Transaction has a bad signature"));
    let poor = signed("//Unfunded", &sign::remark(b"poor"), genesis, 0);
    let unpaid = "Inability to pay some fees (e.g. account balance too low)";
    assert_eq!(refuse(&poor).await, invalid(unpaid));

    let (code, message, _) = refuse("0x0102").await;
    assert_eq!(code, 1001);
    assert!(message.starts_with("Extrinsic has invalid format: "), "{message}");
    let watched = refusal(&client, "author_submitAndWatchExtrinsic", rpc_params![&other]).await;
    assert_eq!(watched, invalid("Transaction is outdated"));
}

#[tokio::test]
async fn a_full_pool_refuses() {
    let mut config = paced();
    config.pool.count = 1;
    let (chain, client) = chain(config).await;
    submit(&client, &remark(chain.genesis(), 0)).await;
    let second = remark(chain.genesis(), 1);
    let (code, message, data) = refusal(&client, "author_submitExtrinsic", rpc_params![second]).await;
    assert_eq!((code, message.as_str()), (1016, "Immediately Dropped"));
    assert_eq!(data.as_deref(), Some("The transaction couldn't enter the pool because of the limit"));
}

#[tokio::test]
async fn a_removed_transaction_is_not_sealed() {
    let (chain, client) = chain(paced()).await;
    let (first, second) = (remark(chain.genesis(), 0), remark(chain.genesis(), 1));
    let hash = submit(&client, &first).await;
    submit(&client, &second).await;
    let removed: Vec<Hash> =
        ask(&client, "author_removeExtrinsic", rpc_params![[json!({ "hash": hash })]]).await;
    assert_eq!(removed, [hash]);
    let again: Vec<Hash> =
        ask(&client, "author_removeExtrinsic", rpc_params![[json!({ "extrinsic": first })]]).await;
    assert_eq!(again, []);
    let status = chain.handle().new_block(1).await.unwrap();
    assert_eq!((status.ready, status.future), (0, 1));
}

#[tokio::test]
async fn a_miner_registers_commits_and_a_validator_sets_weights() {
    let (chain, client) = chain(paced()).await;
    let genesis = chain.genesis();
    submit(&client, &signed("//Dave", &sign::burned_register(3, &account("//miner")), genesis, 0)).await;
    let status = chain.handle().new_block(1).await.unwrap();
    assert_eq!((status.ready, status.future), (0, 0));

    // The miner's hotkey has no balance: commitments and weights are free.
    submit(&client, &signed("//miner", &sign::set_commitment(3, b"bucket"), genesis, 0)).await;
    submit(&client, &signed("//Alice//hotkey", &sign::set_weights(3, &[4], &[65535], 0), genesis, 0)).await;
    chain.handle().new_block(1).await.unwrap();
    let block = chain.handle().block(status.height + 1).await.unwrap().unwrap();
    assert_eq!(block.body.len(), 3);

    let weights = [
        sp_crypto_hashing::twox_128(b"SubtensorModule").to_vec(),
        sp_crypto_hashing::twox_128(b"Weights").to_vec(),
        vec![3, 0, 1, 0],
    ];
    let stored = chain.handle().storage(weights.concat()).await.unwrap();
    assert_eq!(stored, Some(vec![4, 4, 0, 255, 255]), "one pair: uid 4, weight 65535");
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let (chain, client) = chain(paced()).await;
    let outcome: String = ask(&client, "system_dryRun", rpc_params![remark(chain.genesis(), 0)]).await;
    assert_eq!(outcome, "0x0000");
    assert_eq!(next_nonce(&client, "//Alice").await, 0);
}
