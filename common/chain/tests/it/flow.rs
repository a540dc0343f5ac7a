//! A whole round on a subnet: register, commit, set weights, wait for the epoch, read back.

use base::{
    Rao, Uid,
    commitment::{Field, Fields},
};
use chain::{Client, Registration};
use devchain::{Devchain, Genesis};

use crate::support::*;

const TAO: u64 = base::RAO_PER_TAO;

async fn story(client: &Client, between: impl Fn()) {
    let (miner, coldkey) = (key("//Miner"), key("//Dave"));

    // Register, and pay the price.
    let before = client.at(client.finalized_hash().await.unwrap());
    let price = before.hyperparameters(SUBNET).await.unwrap().price;
    assert_eq!(price, Rao(TAO / 10));
    between();
    let registration = client.register(SUBNET, &miner.hotkey(), &coldkey, Rao(TAO)).await.unwrap();
    let Registration::New { uid, paid, height, block } = registration else { panic!("{registration:?}") };
    assert_eq!((uid, paid), (Uid(4), price));
    let balance = client.at(block).balance(&coldkey.coldkey()).await.unwrap();
    let spent = 100_000 * TAO - balance.0;
    assert!(spent >= price.0 && spent < price.0 + TAO / 100, "price and fee: {spent}");
    between();
    let again = client.register(SUBNET, &miner.hotkey(), &coldkey, Rao(TAO)).await.unwrap();
    assert_eq!(again, Registration::Already { uid, since: height });

    // Commit.
    between();
    let fields =
        Fields::new(vec![Field::raw(*b"bucket").unwrap(), Field::big_raw([7; 300]).unwrap()]).unwrap();
    let included = client.set_commitment(SUBNET, fields.clone(), &miner).await.unwrap();
    let commitments = client.at(included.block).commitments_of(SUBNET, &[miner.hotkey()]).await.unwrap();
    let commitment = commitments.of(&miner.hotkey()).unwrap();
    assert_eq!((u64::from(commitment.block), &commitment.fields), (included.height.0, &fields));
    let space = client.at(included.block).commitment_space(SUBNET, &miner.hotkey()).await.unwrap();
    assert_eq!((space.used, space.left()), (306, 2794));

    // Set weights.
    for validator in ["Alice", "Bob"].map(validator) {
        between();
        let weights = [(uid, 3), (Uid(0), 1)];
        let included = client.set_weights(SUBNET, &weights, 0, &validator).await.unwrap();
        let at = client.at(included.block);
        let own = at.uid(SUBNET, &validator.hotkey()).await.unwrap().unwrap();
        let rows = at.weights(SUBNET, &[own]).await.unwrap();
        assert_eq!(rows, [vec![(uid, 65535), (Uid(0), 21845)]]);
    }

    // The epoch turns weights into scores.
    between();
    let head = client.finalized().await.unwrap();
    let epoch = client.at(head.hash).next_epoch(SUBNET).await.unwrap().unwrap();
    assert!(epoch > head.height && epoch.0 <= head.height.0 + 21, "{epoch} after {}", head.height);
    let mut blocks = client.blocks_from(epoch);
    let block = blocks.next().await.unwrap();
    between();
    let metagraph = client.at(block.hash).metagraph(SUBNET).await.unwrap();
    assert_eq!(metagraph.neurons.len(), 5);
    let scored = metagraph.by_hotkey(&miner.hotkey()).unwrap();
    assert_eq!((scored.uid, scored.coldkey, scored.registered), (uid, coldkey.coldkey(), height));
    assert!(scored.incentive > 40_000 && scored.emission > Rao(0) && scored.consensus > 0, "{scored:?}");
    assert!(!scored.permit && scored.dividends == 0 && scored.alpha > Rao(0), "{scored:?}");
    let alice = metagraph.by_hotkey(&validator("Alice").hotkey()).unwrap();
    assert!(alice.permit && alice.dividends > 0 && alice.validator_trust > 60_000, "{alice:?}");
    assert!(alice.stake_weight > 20_000 && alice.alpha >= Rao(50_000 * TAO), "{alice:?}");
    assert_eq!(metagraph.owner_uid(), Some(Uid(0)));
    let bonds = client.at(block.hash).bonds(SUBNET, &[alice.uid]).await.unwrap();
    assert!(bonds[0].iter().any(|(to, bond)| *to == uid && *bond > 0), "{bonds:?}");
}

async fn begin() -> (Devchain, Client) {
    let mut genesis = Genesis::default();
    // With a price that does not fall from block to block, the test knows the price beforehand.
    genesis.subnet.burn_half_life = 0;
    // Otherwise the miner's first earnings would give it a permit, if one more epoch passes.
    genesis.subnet.max_allowed_validators = 3;
    let chain = start(genesis).await;
    let client = connect(&chain).await;
    (chain, client)
}

#[tokio::test]
async fn register_commit_weigh_and_read_back() {
    let (chain, client) = begin().await;
    assert_eq!(client.genesis(), block_hash(chain.genesis()));
    assert_eq!(client.report().unusable().count(), 0);
    in_time(story(&client, || {})).await;
    chain.shutdown().await;
}

#[tokio::test]
async fn the_same_while_the_connection_breaks_before_each_step() {
    let (chain, client) = begin().await;
    let handle = chain.handle();
    in_time(story(&client, || cut_all(&handle))).await;
    chain.shutdown().await;
}
