//! Tests of each refusal that our calls can meet, by the chain itself.

use base::{
    Hotkey, Mechanism, Netuid, Rao, Uid,
    commitment::{Field, Fields},
};
use chain::{
    Call, Client, CommitError, RegisterError, TransactionStage, WeightsError, refusal::Refusal,
    wallet::KeyPair,
};
use devchain::{Devchain, Genesis, StorageWrite};
use sp_crypto_hashing::twox_128;

use crate::support::*;

/// Returns the default genesis after `change`.
fn subnet(change: impl FnOnce(&mut Genesis)) -> Genesis {
    let mut genesis = Genesis::default();
    change(&mut genesis);
    genesis
}

async fn begin(genesis: Genesis) -> (Devchain, Client) {
    let chain = start(genesis).await;
    let client = connect(&chain).await;
    (chain, client)
}

/// Sends a call as it is, and returns the chain's refusal.
async fn refusal(client: &Client, call: Call, key: &KeyPair) -> (Refusal, TransactionStage) {
    match in_time(client.submit(&call, key)).await {
        Err(chain::TransactionError::Refused { refusal, stage }) => (refusal, stage),
        other => panic!("{call:?}: {other:?}"),
    }
}

async fn refused_in_block(client: &Client, call: Call, key: &KeyPair, expected: Refusal) {
    let (found, stage) = refusal(client, call, key).await;
    assert_eq!(found, expected);
    assert!(matches!(stage, TransactionStage::Block { .. }), "{stage:?}");
}

async fn refused_by_pool(client: &Client, call: Call, key: &KeyPair, expected: Refusal) {
    assert_eq!(refusal(client, call, key).await, (expected, TransactionStage::Pool));
}

fn weights(uids: &[u16], weights: &[u16]) -> Call {
    Call::SetWeights {
        netuid: SUBNET,
        mechanism: Mechanism::MAIN,
        uids: uids.into(),
        weights: weights.into(),
        version_key: 0,
    }
}

fn register(netuid: Netuid, hotkey: Hotkey) -> Call {
    Call::BurnedRegister { netuid, hotkey }
}

fn commit(fields: usize, length: usize) -> Call {
    let field = Field::big_raw(vec![7; length]).unwrap();
    Call::SetCommitment { netuid: SUBNET, fields: Fields::new(vec![field; fields]).unwrap() }
}

/// Returns the key of `SubtensorModule.CommitRevealWeightsEnabled`.
fn commit_reveal_key(netuid: u16) -> Vec<u8> {
    let names = [&b"SubtensorModule"[..], b"CommitRevealWeightsEnabled"].map(sp_crypto_hashing::twox_128);
    [names.concat(), netuid.to_le_bytes().into()].concat()
}

#[tokio::test]
async fn weights_that_are_wrong_in_themselves() {
    let (chain, client) = begin(Genesis::default()).await;
    // If nothing is stored, commit-reveal is on, and its refusal comes first.
    let plain = |netuid: u16| StorageWrite { key: commit_reveal_key(netuid), value: Some(vec![0]) };
    chain.handle().set_storage(vec![plain(0), plain(9)]).await.unwrap();
    let alice = validator("Alice");
    let on = |netuid| Call::SetWeights {
        netuid,
        mechanism: Mechanism::MAIN,
        uids: vec![0],
        weights: vec![1],
        version_key: 0,
    };
    refused_in_block(&client, on(Netuid(0)), &alice, Refusal::RootWeights).await;
    refused_in_block(&client, on(Netuid(9)), &alice, Refusal::NoSuchMechanism).await;
    refused_in_block(&client, weights(&[0, 1], &[1]), &alice, Refusal::WeightsAndUidsDiffer).await;
    refused_in_block(&client, weights(&[0; 5], &[1; 5]), &alice, Refusal::MoreWeightsThanNeurons).await;
    refused_in_block(&client, weights(&[0, 0], &[1, 2]), &alice, Refusal::DuplicateUids).await;
    refused_in_block(&client, weights(&[0, 4], &[1, 2]), &alice, Refusal::UnknownUid).await;
    refused_in_block(&client, weights(&[0], &[1]), &key("//Unregistered"), Refusal::NotRegistered).await;
}

#[tokio::test]
async fn weights_against_the_subnets_rules() {
    let genesis = subnet(|genesis| {
        genesis.subnet.min_allowed_weights = 2;
        genesis.subnet.max_weights_limit = 40_000;
        genesis.subnet.weights_version_key = 5;
        genesis.neurons[3].permit = false;
    });
    let (_chain, client) = begin(genesis).await;
    let with_key = |call: Call, key| match call {
        Call::SetWeights { netuid, mechanism: Mechanism::MAIN, uids, weights, .. } => {
            Call::SetWeights { netuid, mechanism: Mechanism::MAIN, uids, weights, version_key: key }
        }
        other => other,
    };
    let alice = validator("Alice");
    let good = weights(&[0, 2], &[1, 1]);
    refused_in_block(&client, with_key(good.clone(), 4), &alice, Refusal::VersionKeyTooOld).await;
    refused_in_block(&client, with_key(good, 5), &validator("Charlie"), Refusal::NoValidatorPermit).await;
    refused_in_block(&client, with_key(weights(&[0], &[1]), 5), &alice, Refusal::TooFewWeights).await;
    refused_in_block(&client, with_key(weights(&[0, 2], &[9, 1]), 5), &alice, Refusal::WeightTooLarge).await;
}

#[tokio::test]
async fn weights_of_too_little_stake_are_refused_by_the_pool() {
    let (_chain, client) = begin(subnet(|genesis| genesis.stake_threshold = u64::MAX)).await;
    refused_by_pool(&client, weights(&[0], &[1]), &validator("Alice"), Refusal::StakeTooLow).await;
}

#[tokio::test]
async fn weights_too_soon_are_refused_by_the_pool_and_foreseen() {
    let (_chain, client) = begin(subnet(|genesis| genesis.subnet.weights_set_rate_limit = 100_000)).await;
    let alice = validator("Alice");
    let first = in_time(client.set_weights(SUBNET, &[(Uid(0), 1)], 0, &alice)).await.unwrap();
    refused_by_pool(&client, weights(&[0], &[1]), &alice, Refusal::RateLimited).await;
    let error = client.set_weights(SUBNET, &[(Uid(0), 1)], 0, &alice).await.unwrap_err();
    let next = base::Height(first.height.0 + 100_000);
    assert_eq!(error, WeightsError::TooSoon { last: first.height, next });
    assert_eq!(client.next_weights(SUBNET, &alice.hotkey()).await, Ok(next));
}

#[tokio::test]
async fn weights_under_commit_reveal() {
    let (chain, client) = begin(subnet(|genesis| genesis.subnet.commit_reveal_weights_enabled = true)).await;
    let alice = validator("Alice");
    let key_of_round = [twox_128(b"Drand"), twox_128(b"LastStoredRound")].concat();
    let write = StorageWrite { key: key_of_round, value: Some(10u64.to_le_bytes().into()) };
    chain.handle().set_storage(vec![write]).await.unwrap();
    refused_in_block(&client, weights(&[0], &[1]), &alice, Refusal::CommitRevealOn).await;
    let timelocked = |round, version| Call::CommitTimelocked {
        netuid: SUBNET,
        mechanism: Mechanism::MAIN,
        commit: vec![7; 20],
        round,
        version,
    };
    refused_by_pool(&client, timelocked(1, 4), &alice, Refusal::RevealRoundOver).await;
    refused_in_block(&client, timelocked(u64::MAX, 3), &alice, Refusal::CommitVersion).await;
    let unregistered = key("//Unregistered");
    refused_in_block(&client, timelocked(u64::MAX, 4), &unregistered, Refusal::NotRegistered).await;
    let reveal = Call::RevealWeights {
        netuid: SUBNET,
        mechanism: Mechanism::MAIN,
        uids: vec![0],
        weights: vec![1],
        salt: vec![2],
        version_key: 0,
    };
    refused_by_pool(&client, reveal, &alice, Refusal::NoCommit).await;
    let hash = Call::CommitHash { netuid: SUBNET, mechanism: Mechanism(1), hash: [7; 32] };
    refused_in_block(&client, hash, &alice, Refusal::NoSuchMechanism).await;
}

#[tokio::test]
async fn commits_without_commit_reveal_and_more_than_ten() {
    let (_chain, client) = begin(Genesis::default()).await;
    let alice = validator("Alice");
    let hash = |hash| Call::CommitHash { netuid: SUBNET, mechanism: Mechanism::MAIN, hash: [hash; 32] };
    refused_in_block(&client, hash(1), &alice, Refusal::CommitRevealOff).await;

    let genesis = subnet(|genesis| {
        genesis.subnet.commit_reveal_weights_enabled = true;
        genesis.subnet.tempo = 5000;
    });
    let (_chain, client) = begin(genesis).await;
    for number in 0..10 {
        in_time(client.submit(&hash(number), &alice)).await.unwrap();
    }
    refused_in_block(&client, hash(10), &alice, Refusal::TooManyCommits).await;
}

#[tokio::test]
async fn registrations_that_the_chain_refuses() {
    let (_chain, client) = begin(Genesis::default()).await;
    let (dave, new) = (key("//Dave"), key("//New").hotkey());
    refused_in_block(&client, register(Netuid(0), new), &dave, Refusal::RootRegistration).await;
    refused_in_block(&client, register(Netuid(9), new), &dave, Refusal::NoSuchSubnet).await;
    let alice = validator("Alice").hotkey();
    refused_in_block(&client, register(SUBNET, alice), &key("//Alice"), Refusal::AlreadyRegistered).await;
    let limited = Call::RegisterLimit { netuid: SUBNET, hotkey: new, limit: Rao(1) };
    refused_in_block(&client, limited, &dave, Refusal::PriceAboveCap).await;
    refused_by_pool(&client, register(SUBNET, new), &key("//Poor"), Refusal::CannotPayFee).await;
}

#[tokio::test]
async fn registrations_that_need_money_room_or_an_open_door() {
    let dave_is_poor = subnet(|genesis| {
        genesis.balances[4].rao = 50_000_000;
        genesis.subnet.burn_half_life = 0;
    });
    let (_chain, client) = begin(dave_is_poor).await;
    let (dave, new) = (key("//Dave"), key("//New").hotkey());
    refused_in_block(&client, register(SUBNET, new), &dave, Refusal::BalanceTooLow).await;
    let poor = client.register(SUBNET, &new, &dave, "1 TAO".parse().unwrap()).await.unwrap_err();
    let text = poor.to_string();
    assert!(
        text.contains("has 0.0") && text.ends_with("and registration costs 0.1 TAO: send TAO to it"),
        "{text}"
    );

    let (_chain, client) = begin(subnet(|genesis| genesis.subnet.network_registration_allowed = false)).await;
    refused_in_block(&client, register(SUBNET, new), &dave, Refusal::RegistrationClosed).await;

    let only_the_owner = subnet(|genesis| {
        genesis.neurons.truncate(1);
        genesis.subnet.max_allowed_uids = 1;
    });
    let (_chain, client) = begin(only_the_owner).await;
    refused_in_block(&client, register(SUBNET, new), &dave, Refusal::SubnetFull).await;
}

#[tokio::test]
async fn a_hotkey_of_another_coldkey() {
    // There are two uids: the owner's, and one that the newest hotkey takes.
    let genesis = subnet(|genesis| {
        genesis.neurons.truncate(1);
        genesis.subnet.max_allowed_uids = 2;
    });
    let (_chain, client) = begin(genesis).await;
    let (dave, eve) = (key("//Dave"), key("//Eve"));
    let cap = "10 TAO".parse().unwrap();
    in_time(client.register(SUBNET, &key("//First").hotkey(), &dave, cap)).await.unwrap();
    in_time(client.register(SUBNET, &key("//Second").hotkey(), &dave, cap)).await.unwrap();
    refused_in_block(&client, register(SUBNET, key("//First").hotkey()), &eve, Refusal::ForeignHotkey).await;
    let foreseen = client.register(SUBNET, &key("//First").hotkey(), &eve, cap).await;
    assert_eq!(foreseen, Err(RegisterError::Foreseen(Refusal::ForeignHotkey)));
}

#[tokio::test]
async fn a_price_above_the_cap_is_foreseen() {
    let (_chain, client) = begin(subnet(|genesis| genesis.subnet.burn_half_life = 0)).await;
    let error = client.register(SUBNET, &key("//New").hotkey(), &key("//Dave"), Rao(5)).await.unwrap_err();
    let text = error.to_string();
    let expected = "registration on subnet 3 costs 0.1 TAO, above the cap of 0.000000005 TAO: \
                    raise the cap, or wait until the price decays";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn commitments_that_the_chain_refuses() {
    let (_chain, client) = begin(subnet(|genesis| genesis.subnet.tempo = 5000)).await;
    refused_in_block(&client, commit(1, 10), &key("//Unregistered"), Refusal::CommitNotAllowed).await;
    let alice = validator("Alice");
    for _ in 0..2 {
        in_time(client.submit(&commit(3, 500), &alice)).await.unwrap();
    }
    refused_in_block(&client, commit(2, 100), &alice, Refusal::SpaceUsedUp).await;
    let fields = Fields::new(vec![Field::big_raw([7; 101]).unwrap()]).unwrap();
    let error = client.set_commitment(SUBNET, fields, &alice).await.unwrap_err();
    assert_eq!(error, CommitError::NoSpace { cost: 101, left: 100, granted: 3100 });
    assert!(error.is_retryable());
    in_time(client.submit(&commit(1, 100), &alice)).await.unwrap();
}
