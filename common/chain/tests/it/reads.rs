//! Tests of reading: the number of requests, and the errors for missing data.

use base::{BlockHash, Coldkey, Height, Hotkey, Netuid, Rao, Uid, UnixMillis};
use chain::{
    Client, Options,
    error::{ConnectError, ReadError},
};
use devchain::{Genesis, StorageWrite};
use devchain_runtime::genesis::{Key, Neuron};

use crate::{proxy::Proxy, support::*};

#[tokio::test]
async fn a_metagraph_takes_three_requests() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    let head = client.finalized_hash().await.unwrap();
    proxy.seen();
    let metagraph = client.at(head).metagraph(SUBNET).await.unwrap();
    assert_eq!(metagraph.neurons.len(), 4);
    assert_eq!(proxy.seen(), ["state_queryStorageAt"; 3]);
}

#[tokio::test]
async fn a_subnet_with_weights_and_commitments_takes_three_requests() {
    let mut genesis = Genesis::default();
    let key = |path: String| -> Key { path.parse().unwrap() };
    let miner = |uid: usize| Neuron {
        hotkey: key(format!("//{uid}//hotkey")),
        coldkey: key(format!("//{uid}")),
        stake: 0,
        permit: false,
    };
    genesis.neurons.extend((genesis.neurons.len()..256).map(miner));
    let chain = start(genesis).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    client.set_weights(SUBNET, &[(Uid(1), 1), (Uid(255), 2)], 0, &validator("Alice")).await.unwrap();
    let block = client.finalized().await.unwrap();
    let at = client.at(block.hash);
    proxy.seen();
    let begun = std::time::Instant::now();
    let view = at.subnet_view(SUBNET).await.unwrap();
    println!("256 neurons with weights and commitments: {:?}", begun.elapsed());
    assert_eq!(proxy.seen(), ["state_queryStorageAt"; 3]);

    // The same facts, read one by one.
    let metagraph = at.metagraph(SUBNET).await.unwrap();
    let uids: Vec<Uid> = (0..256).map(Uid).collect();
    assert_eq!((view.block, view.metagraph.neurons.len()), (block, 256));
    assert_eq!(view.weights, at.weights(SUBNET, &uids).await.unwrap());
    let set: Vec<_> = view.weights.iter().filter(|row| !row.is_empty()).collect();
    assert!(set.len() == 1 && set[0].iter().map(|(uid, _)| uid.0).eq([1, 255]), "{set:?}");
    assert_eq!(view.commitments, at.commitments_of(SUBNET, &metagraph.hotkeys()).await.unwrap());
    assert_eq!(view.metagraph, metagraph);
}

#[tokio::test]
async fn other_reads_take_one_request_each() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    let head = client.finalized_hash().await.unwrap();
    let at = client.at(head);
    proxy.seen();
    at.hyperparameters(SUBNET).await.unwrap();
    at.weights(SUBNET, &[Uid(0), Uid(1), Uid(2)]).await.unwrap();
    at.balance(&key("//Dave").coldkey()).await.unwrap();
    at.time().await.unwrap();
    at.uid(SUBNET, &validator("Alice").hotkey()).await.unwrap();
    at.commitment_space(SUBNET, &validator("Alice").hotkey()).await.unwrap();
    at.next_epoch(SUBNET).await.unwrap();
    assert_eq!(proxy.seen(), [["state_queryStorageAt"; 6].as_slice(), &["state_call"]].concat());
    at.commitments_of(SUBNET, &[validator("Alice").hotkey()]).await.unwrap();
    assert_eq!(proxy.seen(), ["state_queryStorageAt"]);
}

#[tokio::test]
async fn connecting_takes_three_requests() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    Client::connect(options(&proxy.url)).await.unwrap();
    let seen = proxy.seen();
    assert_eq!(seen[..2], ["chain_getBlockHash", "state_getRuntimeVersion"]);
    assert!(seen[2..].iter().all(|method| *method == "state_call") && seen.len() <= 4, "{seen:?}");
}

#[tokio::test]
async fn hyperparameters_and_balances_are_those_of_genesis() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let at = client.at(client.genesis());
    let rules = at.hyperparameters(SUBNET).await.unwrap();
    let subnet = Genesis::default().subnet;
    assert_eq!(
        (rules.tempo, rules.kappa, rules.max_uids),
        (subnet.tempo, subnet.kappa, subnet.max_allowed_uids)
    );
    assert_eq!((rules.price, rules.max_price), (Rao(subnet.burn), Rao(subnet.max_burn)));
    assert!(!rules.commit_reveal && rules.registration_open);
    assert_eq!(at.balance(&key("//Dave").coldkey()).await.unwrap(), "100000 TAO".parse().unwrap());
    assert_eq!(at.balance(&Coldkey([9; 32])).await.unwrap(), Rao(0));
    assert_eq!(at.time().await.unwrap(), UnixMillis(0));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let chain = start_paced(Genesis::default()).await;
    let client = connect(&chain).await;
    let at = client.at(client.genesis());
    assert_eq!(at.metagraph(Netuid(9)).await, Err(ReadError::NoSubnet(Netuid(9))));
    assert_eq!(at.hyperparameters(Netuid(9)).await, Err(ReadError::NoSubnet(Netuid(9))));
    assert_eq!(at.uid(SUBNET, &key("//Unregistered").hotkey()).await, Ok(None));
    assert_eq!(at.weights(SUBNET, &[Uid(99)]).await, Ok(vec![vec![]]));
    assert_eq!(client.block_hash(Height(1)).await, Err(ReadError::NoBlockYet(Height(1))));
    let nowhere = BlockHash([7; 32]);
    assert_eq!(client.at(nowhere).time().await, Err(ReadError::UnknownBlock(nowhere)));
    assert_eq!(client.block(nowhere).await, Err(ReadError::UnknownBlock(nowhere)));
}

#[tokio::test]
async fn a_state_that_the_node_has_dropped_is_told() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    proxy.rewrite("state_queryStorageAt", |_, _| {
        // The message of a Substrate node.
        let text = "Client error: UnknownBlock: State already discarded for 0x01";
        Err(jsonrpsee::types::ErrorObjectOwned::owned(4003, text, None::<()>))
    });
    let error = client.at(client.genesis()).time().await.unwrap_err();
    assert_eq!(error, ReadError::Pruned(client.genesis()));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    let answers = ["null", "[]", "7", "[{\"block\": \"0x00\", \"changes\": []}]", "\"0x\""];
    for answer in answers {
        let value: serde_json::Value = serde_json::from_str(answer).unwrap();
        proxy.rewrite("state_queryStorageAt", move |_, _| Ok(value.clone()));
        let error = client.at(client.genesis()).time().await.unwrap_err();
        assert!(matches!(error, ReadError::Request(_)) && !error.is_retryable(), "{answer}: {error}");
    }
}

/// Returns the key of an account in `Commitments.CommitmentOf`.
fn commitment_key(account: [u8; 32]) -> Vec<u8> {
    let mut key =
        [sp_crypto_hashing::twox_128(b"Commitments"), sp_crypto_hashing::twox_128(b"CommitmentOf")].concat();
    key.extend(SUBNET.0.to_le_bytes());
    key.extend(sp_crypto_hashing::twox_64(&account));
    key.extend(account);
    key
}

#[tokio::test]
async fn commitments_of_other_software_do_not_hinder_reading() {
    let chain = start_paced(Genesis::default()).await;
    let client = connect(&chain).await;
    // 5000 hotkeys (two requests) have a commitment. All are empty except one, which is of an unknown kind.
    let empty = [&[0u8; 12][..], &[0]].concat();
    let unknown = [&[0u8; 12][..], &[4, 200]].concat();
    let account = |number: u16| -> [u8; 32] {
        let mut account = [7; 32];
        account[..2].copy_from_slice(&number.to_be_bytes());
        account
    };
    let write = |number: u16| {
        let value = if number == 42 { unknown.clone() } else { empty.clone() };
        StorageWrite { key: commitment_key(account(number)), value: Some(value) }
    };
    let all = 0..5000;
    chain.handle().set_storage(all.clone().map(write).collect()).await.unwrap();
    chain.handle().new_block(1).await.unwrap();
    let head = client.finalized_hash().await.unwrap();
    let hotkeys: Vec<_> = all.map(|number| Hotkey(account(number))).collect();
    let commitments = client.at(head).commitments_of(SUBNET, &hotkeys).await.unwrap();
    assert_eq!(commitments.valid.len(), 4999);
    assert!(commitments.valid.is_sorted_by_key(|(hotkey, _)| *hotkey));
    let [(hotkey, error)] = &commitments.malformed[..] else { panic!("{:?}", commitments.malformed) };
    assert_eq!((hotkey.0, error.to_string().contains("malformed")), (account(42), true));
}

#[tokio::test]
async fn another_chain_is_refused_by_name() {
    let chain = start(Genesis::default()).await;
    let expected = BlockHash([1; 32]);
    let options = Options { genesis: Some(expected), ..options(&chain.url()) };
    let error = Client::connect(options).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ConnectError::WrongChain { .. }) && !error.is_retryable());
    assert!(
        text.contains(&expected.to_string()) && text.contains(&block_hash(chain.genesis()).to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn endpoints_that_do_not_answer_are_named_and_skipped() {
    let chain = start(Genesis::default()).await;
    let dead = "ws://127.0.0.1:1";
    let both = Options { endpoints: vec![dead.into(), chain.url()], ..options(dead) };
    assert!(Client::connect(both).await.is_ok());
    let error = Client::connect(options(dead)).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains(dead), "{error}");
    let error = Client::connect(options("not a url")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
    let none = Options { endpoints: vec![], ..options(dead) };
    assert!(matches!(Client::connect(none).await, Err(ConnectError::NoEndpoints)));
}
