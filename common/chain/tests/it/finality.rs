//! Tests with finality that lags behind, stalls, and drops blocks before it.

use base::{
    Height,
    commitment::{Field, Fields},
};
use chain::{Call, Client, Included, Options, TransactionError};
use devchain::{Config, Devchain, Finality, Genesis, Handle, Pace};

use crate::support::*;

fn commit(byte: u8) -> Call {
    let fields = Fields::new(vec![Field::raw([byte; 8]).unwrap()]).unwrap();
    Call::SetCommitment { netuid: SUBNET, fields }
}

/// Starts a chain that seals on command, with finality this many blocks behind.
async fn lagging(lag: u32) -> Devchain {
    let finality = Finality { lag, ..Finality::default() };
    let config = Config { pace: Pace::Outside, finality, ..config(Genesis::default()) };
    Devchain::start(config).await.unwrap()
}

/// Returns the default era, with short pauses.
fn with_default_era(chain: &Devchain) -> Options {
    let era = Options::new([""]).era;
    Options { era, ..options(&chain.url()) }
}

/// Submits a call while blocks go on, one for each look.
async fn submit_while_sealing(
    client: &Client,
    handle: &Handle,
    byte: u8,
) -> Result<Included, TransactionError> {
    let alice = validator("Alice");
    let call = commit(byte);
    let sealing = async {
        seal_when_ready(handle, 1).await;
        loop {
            handle.new_block(1).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        included = client.submit(&call, &alice) => included,
        () = sealing => unreachable!("sealing goes on"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_arrive_however_far_finality_lags() {
    for lag in [0, 1, 10, 63, 70, 200] {
        let chain = lagging(lag).await;
        let handle = chain.handle();
        handle.fast_forward(lag + 20).await.unwrap();
        let client = Client::connect(with_default_era(&chain)).await.unwrap();
        for byte in 1..=2 {
            let best = handle.status().await.unwrap().node.height;
            let included = in_time(submit_while_sealing(&client, &handle, byte)).await;
            let included = included.unwrap_or_else(|error| panic!("lag {lag}: {error}"));
            assert_eq!(included.height, Height(u64::from(best) + 1), "lag {lag}");
        }
    }
}

/// Checks an era that is anchored at the finalized block and as short as the lag is over when it begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_lives_as_long_as_its_era_beyond_the_best_block() {
    let chain = lagging(63).await;
    chain.handle().fast_forward(100).await.unwrap();
    let options =
        Options { transaction_timeout: std::time::Duration::from_millis(500), ..with_default_era(&chain) };
    let client = Client::connect(options.clone()).await.unwrap();
    let error = in_time(client.submit(&commit(1), &validator("Alice"))).await.unwrap_err();
    let TransactionError::Unknown { last, .. } = error else { panic!("{error}") };
    assert!(last.0 >= 100 + options.era, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_block_gives_its_transaction_back() {
    let chain = lagging(5).await;
    let handle = chain.handle();
    handle.fast_forward(20).await.unwrap();
    let client = Client::connect(with_default_era(&chain)).await.unwrap();
    let alice = validator("Alice");
    let dropping = async {
        seal_when_ready(&handle, 1).await;
        handle.drop_blocks(1).await.unwrap();
        handle.new_block(10).await.unwrap();
    };
    let call = commit(1);
    let (included, ()) = in_time(async { tokio::join!(client.submit(&call, &alice), dropping) }).await;
    let included = included.unwrap();
    let commitments = client.at(included.block).commitments_of(SUBNET, &[alice.hotkey()]).await.unwrap();
    assert_eq!(u64::from(commitments.valid[0].1.block), included.height.0);
}

/// Checks a transaction whose block is dropped, and the pool loses the transaction, as a node does that is
/// started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_lost_with_its_block_is_sent_again() {
    let chain = lagging(5).await;
    let handle = chain.handle();
    handle.fast_forward(20).await.unwrap();
    let options = Options { stall_blocks: 10, ..with_default_era(&chain) };
    let client = Client::connect(options).await.unwrap();
    let alice = validator("Alice");
    let losing = async {
        seal_when_ready(&handle, 1).await;
        cut_all(&handle); // The node that comes back knows nothing of the watcher.
        handle.drop_blocks(1).await.unwrap();
        forget_all(&chain).await;
        while handle.status().await.unwrap().node.ready == 0 {
            handle.new_block(1).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        handle.new_block(10).await.unwrap();
    };
    let call = commit(1);
    let (included, ()) = in_time(async { tokio::join!(client.submit(&call, &alice), losing) }).await;
    included.unwrap();
}

/// Checks that blocks that are not final yet keep a stream alive, and its heads tell the lag.
#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_finality_is_told_and_passes() {
    let chain = lagging(3).await;
    let handle = chain.handle();
    handle.fast_forward(10).await.unwrap();
    let options = Options { stall_blocks: 20, ..with_default_era(&chain) };
    let silence = options.silence();
    let client = Client::connect(options).await.unwrap();
    let mut blocks = client.blocks().await.unwrap();
    let mut heads = blocks.heads();
    handle.stall_finality(70).await.unwrap();
    let begun = tokio::time::Instant::now();
    let sealing = async {
        // The stall lasts longer than any silence may last.
        for _ in 0..70 {
            handle.new_block(1).await.unwrap();
            tokio::time::sleep(silence / 50).await;
        }
        assert!(begun.elapsed() > silence);
    };
    let behind = async {
        heads.wait_for(|heads| heads.lag().is_some_and(|lag| lag >= 70)).await.unwrap();
    };
    in_time(async { tokio::join!(sealing, behind) }).await;
    assert_eq!(blocks.next_height(), Height(8));
    handle.new_block(1).await.unwrap();
    for height in 8..=78 {
        assert_eq!(in_time(blocks.next()).await.unwrap().height, Height(height));
    }
    // The best block may be told after the final one.
    in_time(heads.wait_for(|heads| heads.lag() == Some(3))).await.unwrap();
}
