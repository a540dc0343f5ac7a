//! Tests of transactions: several at once, expired ones, and those whose outcome must be searched for.

use base::commitment::{Field, Fields};
use chain::{Call, Client, Options, TransactionError};
use devchain::{FaultChange, Genesis, Stall};

use crate::support::*;

fn commit(byte: u8) -> Call {
    let fields = Fields::new(vec![Field::raw([byte; 8]).unwrap()]).unwrap();
    Call::SetCommitment { netuid: SUBNET, fields }
}

#[tokio::test]
async fn many_of_one_account_at_once_take_effect_in_their_order() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let alice = validator("Alice");
    let calls: Vec<Call> = (0..20).map(commit).collect();
    let mut sent = tokio::task::JoinSet::new();
    for call in calls {
        let client = client.clone();
        let alice = alice.clone();
        sent.spawn(async move { client.submit(&call, &alice).await });
    }
    let mut places = in_time(async {
        let mut places = Vec::new();
        while let Some(included) = sent.join_next().await {
            let included = included.unwrap().unwrap();
            places.push((included.height, included.index));
        }
        places
    })
    .await;
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 20, "each is in a block, once");
}

#[tokio::test]
async fn one_that_no_block_takes_expires() {
    let chain = start_paced(Genesis::default()).await;
    let client = Client::connect(Options { era: 4, ..options(&chain.url()) }).await.unwrap();
    let handle = chain.handle();
    let alice = validator("Alice");
    let call = commit(1);
    let lose_it = async {
        while handle.status().await.unwrap().node.ready == 0 {
            tokio::task::yield_now().await;
        }
        // The node forgets the transaction each time that it arrives, and the chain goes on without it.
        for _ in 0..6 {
            forget_all(&chain).await;
            handle.new_block(1).await.unwrap();
        }
    };
    let (result, ()) = in_time(async { tokio::join!(client.submit(&call, &alice), lose_it) }).await;
    let error = result.unwrap_err();
    assert!(matches!(error, TransactionError::Expired { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn one_is_found_again_after_the_connection_broke() {
    let chain = start_paced(Genesis::default()).await;
    let client = connect(&chain).await;
    let handle = chain.handle();
    let alice = validator("Alice");
    let call = commit(1);
    let break_it = async {
        while handle.status().await.unwrap().node.ready == 0 {
            tokio::task::yield_now().await;
        }
        cut_all(&handle);
        // The transaction is in block 1 by the time that the client is back.
        handle.new_block(3).await.unwrap();
    };
    let (included, ()) = in_time(async { tokio::join!(client.submit(&call, &alice), break_it) }).await;
    let included = included.unwrap();
    assert_eq!(included.height.0, 1);
    let head = client.finalized_hash().await.unwrap();
    let space = client.at(head).commitment_space(SUBNET, &alice.hotkey()).await.unwrap();
    assert_eq!(space.used, 100, "it took effect once");
}

#[tokio::test]
async fn one_that_the_node_forgot_is_sent_again_once() {
    let chain = start_paced(Genesis::default()).await;
    let client = connect(&chain).await;
    let handle = chain.handle();
    let alice = validator("Alice");
    let call = commit(1);
    let forget_it = async {
        while handle.status().await.unwrap().node.ready == 0 {
            tokio::task::yield_now().await;
        }
        forget_all(&chain).await;
        seal_when_ready(&handle, 1).await;
    };
    let (included, ()) = in_time(async { tokio::join!(client.submit(&call, &alice), forget_it) }).await;
    assert_eq!(included.unwrap().height.0, 1);
}

#[tokio::test]
async fn one_is_found_although_the_node_stalls() {
    let chain = start(Genesis::default()).await;
    let client = connect(&chain).await;
    let handle = chain.handle();
    let alice = validator("Alice");
    let call = commit(1);
    let stall = async {
        while handle.status().await.unwrap().node.ready == 0
            && handle.status().await.unwrap().node.height < 500
        {
            tokio::task::yield_now().await;
        }
        handle.fault(FaultChange { stall: Some(Stall::On), ..FaultChange::default() }).unwrap();
        handle.fast_forward(5).await.unwrap();
        cut_all(&handle);
        handle.fault(FaultChange { clear: true, ..FaultChange::default() }).unwrap();
    };
    let (included, ()) = in_time(async { tokio::join!(client.submit(&call, &alice), stall) }).await;
    let included = included.unwrap();
    let commitments = client.at(included.block).commitments_of(SUBNET, &[alice.hotkey()]).await.unwrap();
    assert_eq!(u64::from(commitments.valid[0].1.block), included.height.0);
}

#[tokio::test]
async fn one_that_takes_too_long_is_told_with_its_last_block() {
    let chain = start_paced(Genesis::default()).await;
    let patience = std::time::Duration::from_millis(300);
    let client =
        Client::connect(Options { transaction_timeout: patience, ..options(&chain.url()) }).await.unwrap();
    let error = client.submit(&commit(1), &validator("Alice")).await.unwrap_err();
    let TransactionError::Unknown { last, .. } = error else { panic!("{error}") };
    assert_eq!(last.0, 1023);
    // The first transaction still waits in the pool. The next one takes the following nonce and times out.
    let next = client.submit(&commit(2), &validator("Alice")).await.unwrap_err();
    assert!(!next.is_retryable(), "{next}");
}

#[tokio::test]
async fn one_in_a_block_is_reported_with_its_events() {
    let chain = start_paced(Genesis::default()).await;
    let client = connect(&chain).await;
    let included =
        in_time(sealing(&chain.handle(), client.submit(&commit(1), &validator("Alice")))).await.unwrap();
    let names: Vec<_> =
        included.events.iter().map(|event| (event.pallet.as_str(), event.name.as_str())).collect();
    assert!(names.contains(&("Commitments", "Commitment")), "{names:?}");
    assert_eq!(included.height.0, 1);
    assert_eq!(included.parent, client.genesis());
}
