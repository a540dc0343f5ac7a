//! Tests with other runtimes than the pinned one, and with upgrades while the client runs.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base::{Rao, Uid};
use chain::{Client, Registration};
use devchain::Genesis;
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
    let status = at.neuron_status(SUBNET, &alice, head.height).await.unwrap().unwrap();
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
