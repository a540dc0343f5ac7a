//! Tests finality that lags and stalls, and blocks that are dropped before they are final.

use devchain::{
    Config, Devchain, Finality, Handle, Hash, MAX_DROP, Status, StorageWrite,
    sign::{self, Terms},
};
use jsonrpsee::{
    core::client::{ClientT, Subscription},
    rpc_params,
    ws_client::WsClient,
};
use serde_json::{Value, json};
use sp_runtime::generic::Era;
use tokio::sync::mpsc::Receiver;

use crate::{kill, rpc::NUMBER, support::*};

fn lagging(lag: u32) -> Config {
    Config { finality: Finality { lag, ..Finality::default() }, ..paced() }
}

/// Returns settings under which everything happens: jitter, stalls, and blocks dropped by chance.
fn stormy() -> Finality {
    Finality { lag: 3, jitter: 4, stall_every: 25, stall_blocks: 9, drop_every: 4, drop_depth: 3, seed: 7 }
}

async fn chain(config: Config) -> (Devchain, WsClient) {
    let chain = start(config).await;
    let client = connect(&chain.url()).await;
    (chain, client)
}

async fn hash_at(client: &WsClient, height: u64) -> Hash {
    ask(client, "chain_getBlockHash", rpc_params![height]).await
}

/// Returns height and hash of the finalized head.
async fn finalized(client: &WsClient) -> (u64, Hash) {
    let hash: Hash = ask(client, "chain_getFinalizedHead", rpc_params![]).await;
    let header: Value = ask(client, "chain_getHeader", rpc_params![hash]).await;
    (number(&header["number"]), hash)
}

async fn heads(client: &WsClient, kind: &str) -> Subscription<Value> {
    let (method, end) = (format!("chain_subscribe{kind}"), format!("chain_unsubscribe{kind}"));
    subscribe(client, &method, rpc_params![], &end).await
}

async fn next_number(heads: &mut Subscription<Value>) -> u64 {
    number(&next(heads).await["number"])
}

fn bytes(extrinsic: &str) -> Vec<u8> {
    hex::decode(&extrinsic[2..]).unwrap()
}

#[tokio::test]
async fn the_finalized_head_follows_at_the_lag() {
    for lag in [0, 2, 3, 10] {
        let (chain, client) = chain(lagging(lag)).await;
        for best in 1..=14 {
            let status = chain.handle().new_block(1).await.unwrap();
            let expected = best - best.min(lag);
            assert_eq!((status.height, status.finalized), (best, expected), "lag {lag}");
            let (final_height, final_hash) = finalized(&client).await;
            assert_eq!(final_height, u64::from(expected), "lag {lag}");
            assert_eq!(final_hash, hash_at(&client, final_height).await, "lag {lag}");
            assert_eq!(height(&client).await, u64::from(best), "lag {lag}");
            assert_eq!(ask::<Hash>(&client, "chain_getBlockHash", rpc_params![]).await, status.hash);
            assert_eq!(*chain.handle().finalized_heights().borrow(), expected);
        }
    }
}

#[tokio::test]
async fn the_state_is_read_at_the_best_and_at_the_finalized_block() {
    let (chain, client) = chain(lagging(3)).await;
    chain.handle().new_block(7).await.unwrap();
    let (_, hash) = finalized(&client).await;
    let read = async |params| ask::<Value>(&client, "state_getStorage", params).await;
    assert_eq!(read(rpc_params![NUMBER]).await, json!("0x07000000"));
    assert_eq!(read(rpc_params![NUMBER, hash]).await, json!("0x04000000"));
}

#[tokio::test]
async fn a_stall_ends_with_a_jump_and_no_finalized_head_is_left_out() {
    let (chain, client) = chain(lagging(2)).await;
    chain.handle().new_block(5).await.unwrap();
    let mut heads = heads(&client, "FinalizedHeads").await;
    assert_eq!(next_number(&mut heads).await, 3);
    assert_eq!(ask::<u32>(&client, "dev_stallFinality", rpc_params![4]).await, 3);
    for best in 6..=9 {
        let status = chain.handle().new_block(1).await.unwrap();
        assert_eq!((status.height, status.finalized), (best, 3));
    }
    assert_eq!(chain.handle().new_block(1).await.unwrap().finalized, 8);
    for expected in 4..=8 {
        assert_eq!(next_number(&mut heads).await, expected);
    }
    chain.handle().stall_finality(1000).await.unwrap();
    chain.handle().new_block(3).await.unwrap();
    chain.handle().stall_finality(0).await.unwrap();
    assert_eq!(chain.handle().new_block(1).await.unwrap().finalized, 12);
}

#[tokio::test]
async fn the_lag_changes_on_demand_and_finality_never_goes_back() {
    let (chain, client) = chain(lagging(2)).await;
    chain.handle().new_block(5).await.unwrap();
    assert_eq!(ask::<u32>(&client, "dev_lagFinality", rpc_params![4]).await, 3);
    for (best, expected) in [(6, 3), (7, 3), (8, 4), (9, 5)] {
        let status = chain.handle().new_block(1).await.unwrap();
        assert_eq!((status.height, status.finalized), (best, expected));
    }
    assert_eq!(chain.handle().lag_finality(0).await.unwrap(), 5);
    assert_eq!(chain.handle().new_block(1).await.unwrap().finalized, 10);
}

#[tokio::test]
async fn finalized_heads_are_one_chain_in_order_whatever_happens() {
    let (chain, client) = chain(Config { finality: stormy(), ..paced() }).await;
    let mut heads = heads(&client, "FinalizedHeads").await;
    assert_eq!(next_number(&mut heads).await, 0);
    let status = chain.handle().fast_forward(400).await.unwrap();
    assert!((1..=16).contains(&(status.height - status.finalized)), "{status:?}");
    let mut parent = chain.genesis();
    for expected in 1..=u64::from(status.finalized) {
        let header = next(&mut heads).await;
        assert_eq!((number(&header["number"]), &header["parentHash"]), (expected, &json!(parent)));
        parent = hash_at(&client, expected).await;
    }
}

#[tokio::test]
async fn dropped_blocks_give_way_to_a_longer_branch() {
    let (chain, client) = chain(lagging(3)).await;
    chain.handle().new_block(5).await.unwrap();
    let old = [hash_at(&client, 3).await, hash_at(&client, 4).await, hash_at(&client, 5).await];
    let mut best = heads(&client, "NewHeads").await;
    let mut all = heads(&client, "AllHeads").await;
    assert_eq!((next_number(&mut best).await, next_number(&mut all).await), (5, 5));

    let status: Value = ask(&client, "dev_dropBlocks", rpc_params![2]).await;
    assert_eq!((&status["height"], &status["finalized"]), (&json!(6), &json!(3)));
    let new = [hash_at(&client, 3).await, hash_at(&client, 4).await, hash_at(&client, 5).await];
    assert_eq!(new[0], old[0], "the parent of the branch stays");
    assert!(new[1] != old[1] && new[2] != old[2]);
    let head = next(&mut best).await;
    assert_eq!((number(&head["number"]), &head["parentHash"]), (6, &json!(new[2])));
    for (expected, parent) in [(4, old[0]), (5, new[1]), (6, new[2])] {
        let head = next(&mut all).await;
        assert_eq!((number(&head["number"]), &head["parentHash"]), (expected, &json!(parent)));
    }
    chain.handle().new_block(1).await.unwrap();
    assert_eq!((next_number(&mut best).await, next_number(&mut all).await), (7, 7));

    // A dropped block is still found by its hash, and so is its state.
    let header: Value = ask(&client, "chain_getHeader", rpc_params![old[2]]).await;
    assert_eq!(number(&header["number"]), 5);
    let stored: Value = ask(&client, "state_getStorage", rpc_params![NUMBER, old[2]]).await;
    assert_eq!(stored, json!("0x05000000"));
    let query =
        async |to: Hash| refusal(&client, "state_queryStorage", rpc_params![[NUMBER], old[1], to]).await;
    assert_eq!(query(new[2]).await.0, 4001, "no descendant");
    let sets: Value = ask(&client, "state_queryStorage", rpc_params![[NUMBER], old[1], old[2]]).await;
    assert_eq!(sets.as_array().unwrap().len(), 2, "on the dropped branch");
}

#[tokio::test]
async fn only_blocks_that_are_not_final_are_dropped() {
    let (chain, client) = chain(lagging(2)).await;
    chain.handle().new_block(6).await.unwrap();
    let (_, final_hash) = finalized(&client).await;
    let status = chain.handle().drop_blocks(MAX_DROP).await.unwrap();
    assert_eq!((status.height, status.finalized), (7, 5));
    assert_eq!(hash_at(&client, 4).await, final_hash);

    for count in [0, MAX_DROP + 1] {
        let (code, message, _) = refusal(&client, "dev_dropBlocks", rpc_params![count]).await;
        let expected = format!("cannot drop {count} blocks; ask for 1 to {MAX_DROP} at a time");
        assert_eq!((code, message), (-32602, expected));
    }
    let (chain, client) = self::chain(paced()).await;
    chain.handle().new_block(2).await.unwrap();
    let (code, message, _) = refusal(&client, "dev_dropBlocks", rpc_params![]).await;
    assert_eq!(code, 9000);
    assert!(message.starts_with("cannot drop a block: all blocks up to 2 are final"), "{message}");
}

#[tokio::test]
async fn a_dropped_transaction_comes_back_and_becomes_final() {
    let (chain, client) = chain(lagging(3)).await;
    chain.handle().new_block(1).await.unwrap();
    let (method, end) = ("author_submitAndWatchExtrinsic", "author_unwatchExtrinsic");
    let extrinsic = remark(chain.genesis(), 0);
    let mut updates = subscribe(&client, method, rpc_params![&extrinsic], end).await;
    assert_eq!(next(&mut updates).await, json!("ready"));
    let dropped = chain.handle().new_block(1).await.unwrap().hash;
    assert_eq!(next(&mut updates).await, json!({ "inBlock": dropped }));

    let status = chain.handle().drop_blocks(1).await.unwrap();
    assert_eq!((status.height, status.ready), (3, 1));
    assert_eq!(next(&mut updates).await, json!({ "retracted": dropped }));
    assert_eq!(next(&mut updates).await, json!("ready"));
    let pending: Vec<String> = ask(&client, "author_pendingExtrinsics", rpc_params![]).await;
    assert_eq!(pending, [extrinsic]);

    let block = chain.handle().new_block(1).await.unwrap().hash;
    assert_eq!(next(&mut updates).await, json!({ "inBlock": block }));
    chain.handle().new_block(2).await.unwrap();
    assert_eq!(finalized(&client).await.0, 3, "the block is 4");
    chain.handle().new_block(1).await.unwrap();
    assert_eq!(next(&mut updates).await, json!({ "finalized": block }));
}

#[tokio::test]
async fn an_accounts_dropped_transactions_come_back_before_its_later_ones() {
    let (chain, _client) = chain(lagging(5)).await;
    let handle = chain.handle();
    handle.new_block(1).await.unwrap();
    let remarks: Vec<Vec<u8>> = (0..4).map(|nonce| bytes(&remark(chain.genesis(), nonce))).collect();
    for extrinsic in &remarks[..3] {
        handle.submit(extrinsic.clone()).await.unwrap();
        handle.new_block(1).await.unwrap();
    }
    handle.submit(remarks[3].clone()).await.unwrap();
    let status = handle.drop_blocks(2).await.unwrap();
    assert_eq!((status.ready, status.future), (3, 0));
    assert_eq!(handle.pending().await.unwrap(), remarks[1..]);
    let height = handle.new_block(1).await.unwrap().height;
    assert_eq!(handle.block(height).await.unwrap().unwrap().body[1..], remarks[1..]);
}

#[tokio::test]
async fn a_dropped_transaction_expires_with_its_era() {
    let (chain, _client) = chain(lagging(10)).await;
    let handle = chain.handle();
    let era_start = handle.new_block(1).await.unwrap().hash;
    let terms = Terms { genesis: chain.genesis(), nonce: 0, era: Era::mortal(4, 1), era_start };
    let mortal = sign::sign(&sign::remark(b"mortal"), &pair("//Alice"), &terms);
    let (_, mut statuses) = handle.submit_and_watch(mortal).await.unwrap();
    let block = handle.new_block(1).await.unwrap().hash;
    handle.new_block(2).await.unwrap();
    let status = handle.drop_blocks(3).await.unwrap();
    assert_eq!((status.height, status.ready), (5, 0));
    for expected in [Status::Ready, Status::Included(block), Status::Retracted(block), Status::Invalid] {
        assert_eq!(statuses.recv().await, Some(expected));
    }
    assert_eq!(statuses.recv().await, None);
}

#[tokio::test]
async fn a_watcher_gives_up_on_finality_after_512_blocks() {
    let (chain, _client) = chain(paced()).await;
    let handle = chain.handle();
    handle.new_block(1).await.unwrap();
    handle.stall_finality(1000).await.unwrap();
    let (_, mut statuses) = handle.submit_and_watch(bytes(&remark(chain.genesis(), 0))).await.unwrap();
    let block = handle.new_block(1).await.unwrap().hash;
    handle.fast_forward(512).await.unwrap();
    for expected in [Status::Ready, Status::Included(block), Status::FinalityTimeout(block)] {
        assert_eq!(statuses.recv().await, Some(expected));
    }
    assert_eq!(statuses.recv().await, None);
}

/// Reads all statuses that are there, and counts retractions. Returns the final block, if there is one.
fn drain(statuses: &mut Receiver<Status>, retracted: &mut u32) -> Option<Hash> {
    while let Ok(status) = statuses.try_recv() {
        match status {
            Status::Retracted(_) => *retracted += 1,
            Status::Finalized(block) => return Some(block),
            Status::Ready | Status::Future | Status::Included(_) => {}
            other => panic!("{other:?}"),
        }
    }
    None
}

/// Checks whether a block is one of the newest final blocks.
async fn is_final(handle: &Handle, block: Hash) -> bool {
    let newest = handle.status().await.unwrap().node.finalized;
    for height in newest.saturating_sub(30)..=newest {
        if handle.block(height).await.unwrap().unwrap().hash == block {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn every_transaction_becomes_final_in_a_storm() {
    let (chain, _client) = chain(Config { finality: stormy(), ..paced() }).await;
    let handle = chain.handle();
    handle.new_block(1).await.unwrap();
    let (mut open, mut done, mut retracted) = (Vec::new(), 0, 0);
    for nonce in 0..600 {
        if nonce < 60 {
            let extrinsic = bytes(&remark(chain.genesis(), nonce));
            open.push(handle.submit_and_watch(extrinsic).await.unwrap().1);
        } else if open.is_empty() {
            break;
        }
        handle.new_block(1).await.unwrap();
        let mut still = Vec::new();
        for mut statuses in open {
            match drain(&mut statuses, &mut retracted) {
                Some(block) => {
                    assert!(is_final(&handle, block).await, "{block:?} is on the finalized chain");
                    done += 1;
                }
                None => still.push(statuses),
            }
        }
        open = still;
    }
    assert_eq!(done, 60);
    assert!(retracted > 5, "{retracted} were dropped");
}

#[tokio::test]
async fn raw_writes_outlive_their_block() {
    let (chain, _client) = chain(lagging(5)).await;
    let handle = chain.handle();
    handle.new_block(1).await.unwrap();
    let write = StorageWrite { key: b"muster".to_vec(), value: Some(vec![7]) };
    handle.set_storage(vec![write]).await.unwrap();
    handle.new_block(2).await.unwrap();
    for _ in 0..2 {
        handle.drop_blocks(3).await.unwrap();
        assert_eq!(handle.storage(b"muster".to_vec()).await.unwrap(), Some(vec![7]));
    }
}

#[tokio::test]
async fn equal_seeds_and_calls_make_equal_chains() {
    let mut hashes = Vec::new();
    for seed in [1, 1, 2] {
        let chain = start(Config { finality: Finality { seed, ..stormy() }, ..paced() }).await;
        hashes.push(chain.handle().fast_forward(60).await.unwrap().hash);
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

#[tokio::test]
async fn a_restart_keeps_what_was_final_and_what_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = Some(folder.path().join("log"));
    let config = Config { log, ..lagging(4) };
    let (chain, client) = chain(config.clone()).await;
    let write = StorageWrite { key: b"muster".to_vec(), value: Some(vec![7]) };
    chain.handle().new_block(9).await.unwrap();
    chain.handle().set_storage(vec![write.clone()]).await.unwrap();
    let dropped = chain.handle().new_block(1).await.unwrap().hash;
    let before = chain.handle().drop_blocks(2).await.unwrap();
    assert_eq!((before.height, before.finalized), (11, 7));
    drop(client);
    chain.shutdown().await;

    let (chain, client) = self::chain(config).await;
    assert_eq!(chain.handle().status().await.unwrap().node, before);
    let header: Value = ask(&client, "chain_getHeader", rpc_params![dropped]).await;
    assert_eq!(number(&header["number"]), 10, "dropped blocks are kept");
    let after = chain.handle().drop_blocks(3).await.unwrap();
    assert_eq!((after.height, after.finalized), (12, 8));
    assert_eq!(chain.handle().storage(b"muster".to_vec()).await.unwrap(), Some(vec![7]));

    // A chain that was never restarted has the same blocks.
    let (other, _client) = self::chain(lagging(4)).await;
    let other = other.handle();
    other.new_block(9).await.unwrap();
    other.set_storage(vec![write]).await.unwrap();
    other.new_block(1).await.unwrap();
    assert_eq!(other.drop_blocks(2).await.unwrap(), before);
    assert_eq!(other.drop_blocks(3).await.unwrap(), after);
}

#[tokio::test]
async fn a_log_goes_on_with_another_lag() {
    let folder = tempfile::tempdir().unwrap();
    let log = Some(folder.path().join("log"));
    // Each step: the lag, the finalized height after the start, and the one after three blocks more.
    for (lag, before, after) in [(3, 0, 0), (0, 0, 6), (5, 6, 6), (2, 6, 10), (0, 10, 15)] {
        let (chain, _client) = chain(Config { log: log.clone(), ..lagging(lag) }).await;
        assert_eq!(chain.handle().status().await.unwrap().node.finalized, before, "lag {lag}");
        assert_eq!(chain.handle().new_block(3).await.unwrap().finalized, after, "lag {lag}");
        chain.shutdown().await;
    }
}

#[tokio::test]
async fn a_snapshot_has_the_blocks_that_are_not_final() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshot");
    let (chain, _client) = chain(lagging(4)).await;
    chain.handle().new_block(9).await.unwrap();
    let status = chain.handle().drop_blocks(2).await.unwrap();
    chain.handle().snapshot(&snapshot).await.unwrap();
    let (copy, _client) = self::chain(Config { log: Some(snapshot), ..lagging(4) }).await;
    assert_eq!(copy.handle().status().await.unwrap().node, status);
    assert_eq!(copy.handle().drop_blocks(9).await.unwrap().height, 11);
}

#[tokio::test]
async fn a_chain_killed_amid_drops_keeps_its_finalized_blocks() {
    const KILLS: u64 = 10;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let flags = ["--finality-lag", "3", "--finality-jitter", "2", "--finality-drop-every", "3"];
    let flags = [&flags[..], &["--finality-drop-depth", "3"]].concat();
    let (mut told, mut told_best) = (None, 0);
    for round in 0..KILLS {
        let (process, ready) = kill::spawn(&log, &flags);
        let client = connect(ready["url"].as_str().unwrap()).await;
        let (final_height, _) = finalized(&client).await;
        if let Some((height, hash)) = told {
            assert!(final_height >= height, "round {round}: {final_height} is final, {height} was");
            assert_eq!(hash_at(&client, height).await, hash, "round {round}");
        }
        assert!(height(&client).await >= told_best, "round {round}: the best block went back");
        ask::<Value>(&client, "dev_newBlock", rpc_params![1]).await;

        let mut finals = heads(&client, "FinalizedHeads").await;
        let mut best = heads(&client, "NewHeads").await;
        let forward = client.request::<Value, _>("dev_fastForward", rpc_params![50_000]);
        let watch = async {
            let mut last = next(&mut finals).await;
            for _ in 0..20 + (round * 7) % 40 {
                last = next(&mut finals).await;
            }
            (last, next_number(&mut best).await)
        };
        let (last, best_height) = tokio::select! {
            told = watch => told,
            answer = forward => panic!("50,000 blocks were sealed before 60 were told: {answer:?}"),
        };
        drop(process);
        // A head names its parent, which was certainly final.
        let parent = serde_json::from_value(last["parentHash"].clone()).unwrap();
        told = Some((number(&last["number"]) - 1, parent));
        told_best = best_height;
    }
}
