//! Tests of bucket, claim and vote announcements on a development chain.

use crate::{
    chain_reader::{Chain, claim_of},
    support::*,
};
use base::{
    Height, Window,
    commitment::{Field, Fields},
};
use chain::CommitError;
use exchange::{AnnounceError, CommitmentWriter};
use protocol::announcement::{Announcement, Record};

const MINER: &str = "miner-0";

fn record(window: u64) -> Record {
    Record::Claim(claim_of(RUN.id(), window, 1))
}

/// Returns the miner's announcement on the chain.
async fn shown(chain: &Chain) -> Option<Announcement> {
    let head = chain.chain_reader.finalized().await.unwrap();
    chain.chain_reader.at(head).await.unwrap().reading(&wallet(MINER).hotkey())?.announcement.clone()
}

#[tokio::test]
async fn what_the_chain_shows_already_is_not_sent_again() {
    let chain = Chain::start().await;
    let commitment_writer = chain.commitment_writer(MINER);
    let bucket = announcer_bucket();
    assert_eq!(shown(&chain).await, None);
    let first = chain.sealing(commitment_writer.bucket()).await.unwrap();
    assert_eq!(shown(&chain).await, Some(Announcement { bucket: bucket.clone(), record: None }));
    chain.advance(3).await;
    assert_eq!(commitment_writer.bucket().await, Ok(first), "nothing was sent: no block was sealed");

    let claimed = chain.sealing(commitment_writer.record(record(0))).await.unwrap();
    assert!(claimed > first);
    let both = Announcement { bucket, record: Some(record(0)) };
    assert_eq!(shown(&chain).await, Some(both.clone()));
    chain.advance(2).await;
    assert_eq!(commitment_writer.record(record(0)).await, Ok(claimed));
    assert_eq!(commitment_writer.bucket().await, Ok(claimed), "the claim beside it stays");
    assert_eq!(shown(&chain).await, Some(both));

    let next = chain.sealing(commitment_writer.record(record(1))).await.unwrap();
    assert!(next > claimed);
    chain.stop().await;
}

/// Checks that a new bucket keeps the existing claim.
#[tokio::test]
async fn another_bucket_replaces_the_first_beside_the_claim() {
    let chain = Chain::start().await;
    let before = CommitmentWriter::new(chain.client.clone(), SUBNET, wallet(MINER), announced_at(1));
    chain.sealing(before.record(record(0))).await.unwrap();
    let commitment_writer = chain.commitment_writer(MINER);
    chain.sealing(commitment_writer.bucket()).await.unwrap();
    let both = Announcement { bucket: announcer_bucket(), record: Some(record(0)) };
    assert_eq!(shown(&chain).await, Some(both));
    chain.stop().await;
}

#[tokio::test]
async fn what_other_software_wrote_is_kept_unless_it_may_go() {
    let chain = Chain::start().await;
    let theirs = Fields::new(vec![Field::raw(*b"my service: 1.2.3.4").unwrap()]).unwrap();
    let key = wallet(MINER);
    chain.sealing(chain.client.set_commitment(SUBNET, theirs, &key)).await.unwrap();
    let commitment_writer = chain.commitment_writer(MINER);
    for error in [
        commitment_writer.bucket().await.unwrap_err(),
        commitment_writer.record(record(0)).await.unwrap_err(),
    ] {
        assert!(matches!(error, AnnounceError::Foreign(_)) && !error.is_retryable(), "{error}");
        assert!(
            base::ErrorChain(&error)
                .to_string()
                .contains("field 0 of the commitment is ignored: other software wrote it"),
            "{error}"
        );
    }
    let commitment_writer = commitment_writer.overwrite(true);
    chain.sealing(commitment_writer.record(record(0))).await.unwrap();
    assert_eq!(shown(&chain).await.unwrap().record, Some(record(0)));
    chain.stop().await;
}

#[tokio::test]
async fn a_used_up_budget_is_told_before_anything_is_sent() {
    let announcement = Announcement { bucket: announcer_bucket(), record: Some(record(0)) };
    let cost = u32::try_from(announcement.fields().unwrap().cost()).unwrap();
    let chain = Chain::start_with_space(2 * cost - 1).await;
    let commitment_writer = chain.commitment_writer(MINER);
    chain.sealing(commitment_writer.record(record(0))).await.unwrap();
    let error = commitment_writer.record(record(1)).await.unwrap_err();
    assert!(matches!(error, AnnounceError::Commit(CommitError::NoSpace { .. })), "{error}");
    assert!(error.is_retryable(), "the next epoch has space: {error}");
    assert_eq!(shown(&chain).await.unwrap().record, Some(record(0)));
    chain.stop().await;
}

#[tokio::test]
async fn who_is_not_registered_is_refused_by_the_chain() {
    let chain = Chain::start().await;
    let stranger = CommitmentWriter::new(chain.client.clone(), SUBNET, wallet("stranger"), announced_at(1));
    let error = chain.sealing(stranger.record(record(0))).await.unwrap_err();
    assert!(matches!(&error, AnnounceError::Commit(_)) && !error.is_retryable(), "{error}");
    let state = chain.chain_reader.at(Height(1)).await.unwrap();
    assert!(state.claims(RUN.id(), Window(0)).is_empty());
    chain.stop().await;
}

fn announced_at(port: u16) -> protocol::announcement::Bucket {
    announced(([127, 0, 0, 1], port).into(), MINER)
}

/// Returns the bucket that [`Chain::commitment_writer`] announces.
fn announcer_bucket() -> protocol::announcement::Bucket {
    announced_at(9000)
}
