//! Tests with other runtimes than the pinned one, and with upgrades while the client runs.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base::{
    Rao, Uid,
    commitment::{Field, Fields},
};
use chain::{Client, Registration, error::ReadError};
use chain_metadata::pin;
use devchain::{Devchain, Genesis};
use jsonrpsee::{core::client::ClientT, rpc_params, ws_client::WsClientBuilder};
use parity_scale_codec::{Decode, Encode};
use serde_json::{Value, json};

use crate::{proxy::Proxy, support::*};

fn metadata(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../chain-metadata/tests/data");
    fs::read(folder.join(file)).unwrap()
}

/// Encodes the answer of `Metadata_metadata_at_version`: an option of a list of bytes, in SCALE.
fn offered(metadata: &[u8]) -> Value {
    let length = u32::try_from(metadata.len()).unwrap();
    // Compact, four-byte mode: the length times 4, plus 2.
    let mut answer = vec![1];
    answer.extend((length << 2 | 2).to_le_bytes());
    answer.extend(metadata);
    json!(format!("0x{}", hex::encode(answer)))
}

/// Makes the node offer this metadata with this spec version while the switch is on.
fn pretend(proxy: &Proxy, file: &str, spec: u32, on: &Arc<AtomicBool>) {
    let offered = offered(&metadata(file));
    let switch = on.clone();
    proxy.rewrite("state_call", move |params, answer| {
        if params[0] == "Metadata_metadata_at_version" && switch.load(Ordering::SeqCst) {
            Ok(offered.clone())
        } else {
            answer
        }
    });
    let switch = on.clone();
    proxy.rewrite("state_getRuntimeVersion", move |_, answer| {
        let mut version = answer?;
        if switch.load(Ordering::SeqCst) {
            version["specVersion"] = json!(spec);
        }
        Ok(version)
    });
    let switch = on.clone();
    proxy.rewrite("state_queryStorageAt", move |_, answer| {
        let mut changes = answer?;
        if switch.load(Ordering::SeqCst) {
            set_last_upgrade(&mut changes, spec);
        }
        Ok(changes)
    });
}

/// Replaces the spec version in each answer for `System.LastRuntimeUpgrade`.
fn set_last_upgrade(changes: &mut Value, spec: u32) {
    let key =
        [sp_crypto_hashing::twox_128(b"System"), sp_crypto_hashing::twox_128(b"LastRuntimeUpgrade")].concat();
    let key = format!("0x{}", hex::encode(key));
    // Compact, two-byte mode.
    let spec = u16::try_from(spec << 2 | 1).unwrap().to_le_bytes();
    for change in changes[0]["changes"].as_array_mut().unwrap() {
        if change[0] == key.as_str() {
            change[1] = json!(format!("0x{}00", hex::encode(spec)));
        }
    }
}

#[tokio::test]
async fn an_upgrade_is_noticed_while_reading() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let upgraded = Arc::new(AtomicBool::new(false));
    pretend(&proxy, "subtensor-461-v15.scale", 462, &upgraded);
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    let before = client.spec_version();
    let mut blocks = client.blocks().await.unwrap();
    in_time(async {
        blocks.next().await.unwrap();
        assert_eq!(client.spec_version(), before);
        upgraded.store(true, Ordering::SeqCst);
        blocks.next().await.unwrap();
        assert_eq!(client.spec_version(), 462);
        proxy.seen();
        let head = client.finalized_hash().await.unwrap();
        assert_eq!(client.at(head).metagraph(SUBNET).await.unwrap().neurons.len(), 4);
        let fetched = proxy.seen().iter().filter(|method| **method == "state_call").count();
        assert_eq!(fetched, 0, "the new metadata is fetched once");
    })
    .await;
}

#[tokio::test]
async fn what_an_older_runtime_lacks_disables_what_needs_it_and_no_more() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let older = Arc::new(AtomicBool::new(true));
    pretend(&proxy, "finney-365-v16.scale", 365, &older);
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    assert_eq!(client.spec_version(), 365);
    assert!(client.report().unusable().any(|item| item.item.name == "register_limit"));

    let head = client.finalized().await.unwrap();
    let at = client.at(head.hash);
    assert_eq!(at.metagraph(SUBNET).await.unwrap().neurons.len(), 4);
    assert_eq!(at.hyperparameters(SUBNET).await.unwrap().tempo, 20);
    // Both are computed by the older rule: epochs are where (block + netuid + 1) mod (tempo + 1) is 0.
    let epoch = at.next_epoch(SUBNET).await.unwrap().unwrap();
    assert_eq!((epoch.0 + 4) % 21, 0);
    let alice = validator("Alice").hotkey();
    let status = at.neuron_status(SUBNET, &alice).await.unwrap().unwrap();
    assert_eq!((status.neurons, status.permit, status.next_epoch), (Some(4), Some(true), Some(Some(epoch))));
    let space = at.commitment_space(SUBNET, &validator("Alice").hotkey()).await.unwrap();
    assert_eq!(space.left(), 3100);

    let limit = chain::Call::RegisterLimit { netuid: SUBNET, hotkey: key("//New").hotkey(), limit: Rao(1) };
    let error = client.submit(&limit, &key("//Dave")).await.unwrap_err();
    let text = base::ErrorChain(&error).to_string();
    assert!(
        text.starts_with("nothing was sent: call SubtensorModule.register_limit cannot be used"),
        "{text}"
    );
}

#[tokio::test]
async fn registration_does_without_the_price_limit_where_there_is_none() {
    let mut genesis = Genesis::default();
    genesis.subnet.burn_half_life = 0;
    let chain = start(genesis).await;
    let proxy = Proxy::start(&chain.url()).await;
    proxy.rewrite("state_call", |_, answer| {
        // The node's own metadata, but with another name for the call.
        let [ours, other] = ["register_limit", "register_bound"].map(hex::encode);
        Ok(json!(answer?.as_str().unwrap().replace(&ours, &other)))
    });
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    assert!(client.report().unusable().any(|item| item.item.name == "register_limit"));
    let registration =
        in_time(client.register(SUBNET, &key("//New").hotkey(), &key("//Dave"), "1 TAO".parse().unwrap()))
            .await
            .unwrap();
    let Registration::New { uid, paid, .. } = registration else { panic!("{registration:?}") };
    assert_eq!((uid, paid), (Uid(4), Rao(100_000_000)));
    let dear = client.register(SUBNET, &key("//Other").hotkey(), &key("//Dave"), Rao(1)).await.unwrap_err();
    assert!(matches!(dear, chain::RegisterError::PriceAboveCap { .. }), "{dear}");
}

/// Returns the node's metadata V15 with other names in place of some: items that are missing in it.
async fn metadata_with(chain: &Devchain, renamed: &[(&str, &str)]) -> Vec<u8> {
    let node = WsClientBuilder::default().max_response_size(64 << 20).build(chain.url()).await.unwrap();
    let version = format!("0x{}", hex::encode(15u32.encode()));
    let asked = rpc_params!["Metadata_metadata_at_version", version];
    let answer: String = node.request("state_call", asked).await.unwrap();
    let answer = hex::decode(answer.trim_start_matches("0x")).unwrap();
    let mut metadata = Option::<Vec<u8>>::decode(&mut &answer[..]).unwrap().unwrap();
    for (ours, other) in renamed {
        // With the length before the name, no part of a longer name is taken for it.
        let [ours, other] = [ours, other].map(|name| name.encode());
        assert_eq!(ours.len(), other.len(), "lengths are part of the metadata");
        let found = (0..metadata.len()).filter(|start| metadata[*start..].starts_with(&ours));
        let places: Vec<usize> = found.collect();
        assert!(!places.is_empty(), "the metadata lacks the name");
        places.into_iter().for_each(|start| metadata[start..start + other.len()].copy_from_slice(&other));
    }
    metadata
}

fn commitment(byte: u8) -> Fields {
    Fields::new(vec![Field::raw([byte; 8]).unwrap()]).unwrap()
}

#[tokio::test]
async fn an_upgrade_loses_nothing_that_can_be_kept() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let alice = validator("Alice");
    let mut blocks = client.blocks().await.unwrap();
    in_time(async {
        let first = blocks.next().await.unwrap();
        client.set_commitment(SUBNET, commitment(1), &alice).await.unwrap();
        let before = client.at(first.hash).metagraph(SUBNET).await.unwrap();

        let renamed = [("ValidatorTrust", "ValidatorFaith"), ("register_limit", "register_bound")];
        let changed = metadata_with(&chain, &renamed).await;
        let height = u64::from(chain.handle().upgrade(470, Some(changed)).await.unwrap());

        // Signatures must cover the new version from that block on. The same client goes on.
        let mut last = first;
        while last.height.0 <= height {
            let block = blocks.next().await.unwrap();
            assert_eq!(block.parent, last.hash);
            last = block;
        }
        let included = client.set_commitment(SUBNET, commitment(2), &alice).await.unwrap();
        assert_eq!(client.spec_version(), 470);
        let at = client.at(included.block);
        let commitments = at.commitments_of(SUBNET, &[alice.hotkey()]).await.unwrap();
        assert_eq!(commitments.of(&alice.hotkey()).unwrap().fields, commitment(2));
        let after = at.metagraph(SUBNET).await.unwrap();
        assert_eq!(after.hotkeys(), before.hotkeys());
        assert!(after.neurons.iter().all(|neuron| neuron.validator_trust == 0));
        let lost: Vec<_> = client.report().unusable().map(|report| report.item.name).collect();
        assert_eq!(lost, ["register_limit", "ValidatorTrust"]);

        // A block from before the upgrade is read with its own runtime.
        assert_eq!(client.at(first.hash).metagraph(SUBNET).await.unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn what_a_runtime_lacks_is_told_by_name_and_works_again_after_the_next_upgrade() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let changed = metadata_with(&chain, &[("StakeWeight", "StakeHeight"), ("Now", "Who")]).await;
    let mut blocks = client.blocks().await.unwrap();
    let after = async |blocks: &mut chain::Blocks, height: u32| loop {
        let block = blocks.next().await.unwrap();
        if block.height.0 > u64::from(height) {
            return block;
        }
    };
    in_time(async {
        let height = chain.handle().upgrade(470, Some(changed)).await.unwrap();
        // The stream of blocks goes on: the time is read from their transactions.
        let block = after(&mut blocks, height).await;
        let error = client.at(block.hash).metagraph(SUBNET).await.unwrap_err();
        assert!(matches!(error, ReadError::Unusable(_)) && error.is_retryable(), "{error}");
        assert!(
            error.to_string().starts_with("storage SubtensorModule.StakeWeight cannot be used"),
            "{error}"
        );
        client.set_commitment(SUBNET, commitment(1), &validator("Alice")).await.unwrap();

        let height = chain.handle().upgrade(471, None).await.unwrap();
        let block = after(&mut blocks, height).await;
        assert_eq!(client.at(block.hash).metagraph(SUBNET).await.unwrap().neurons.len(), 4);
        assert_eq!(client.report().unusable().count(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_an_upgrade_overtakes_is_signed_again() {
    let chain = start(Genesis::default()).await;
    let proxy = Proxy::start(&chain.url()).await;
    let client = Client::connect(options(&proxy.url)).await.unwrap();
    // The node tells an older version once, as it does just before an upgrade.
    let first = AtomicBool::new(true);
    proxy.rewrite("state_getRuntimeVersion", move |_, answer| {
        let mut version = answer?;
        if first.swap(false, Ordering::SeqCst) {
            version["specVersion"] = json!(460);
        }
        Ok(version)
    });
    proxy.seen();
    in_time(client.set_commitment(SUBNET, commitment(1), &validator("Alice"))).await.unwrap();
    let sent = proxy.seen().iter().filter(|method| **method == "author_submitAndWatchExtrinsic").count();
    assert_eq!(sent, 2);
}

#[tokio::test]
async fn a_pin_is_made_from_a_live_node() {
    let chain = start(Genesis::default()).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["metadata", "tests/data"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join(pin::FILE), b"old").unwrap();
    let limit = std::time::Duration::from_secs(60);
    let renewed = in_time(pin::refresh(&chain.url(), limit, folder.path())).await.unwrap();
    assert_eq!(renewed.facts.genesis, Some(block_hash(chain.genesis()).to_string()));
    assert_eq!((renewed.facts.spec_name.as_str(), renewed.facts.spec_version), ("node-subtensor", 461));
    let pinned = fs::read(folder.path().join(pin::FILE)).unwrap();
    assert_eq!((renewed.facts.bytes, renewed.facts.blake2b.clone()), (pinned.len(), pin::hash(&pinned)));
    let facts: pin::Facts =
        serde_json::from_slice(&fs::read(folder.path().join(pin::FACTS)).unwrap()).unwrap();
    assert_eq!(facts, renewed.facts);
    assert!(renewed.to_text().starts_with("old  node-subtensor 461\nnew  node-subtensor 461"));
}
