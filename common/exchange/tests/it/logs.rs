//! Tests of score logs and window records.

use crate::support::*;
use base::{
    BlockHash, Uid, Window,
    digest::{ObjectHash, RunHash, ScoreLogHead, StandingsHash, State},
};
use exchange::{FetchError, signing_key};
use protocol::{
    acceptance::Accepted,
    bucket_layout,
    history::{RecordError, WindowRecord},
};
use scoring::{
    gauntlet::Standings,
    score_log::{Header, ScoreLog, ScoreLogError},
    weights::Subnet,
};
use std::collections::BTreeMap;

const VALIDATOR: &str = "val-a";

fn log(window: u64) -> ScoreLog {
    let header = Header {
        run: RUN,
        validator: id(VALIDATOR),
        window: Window(window),
        state: State([1; 32]),
        seed: BlockHash([2; 32]),
        previous: ScoreLogHead::default(),
        standings: StandingsHash::default(),
        adopted: None,
        unassigned_before: 4.0,
        baselines: Default::default(),
        subnet: Subnet { owner: Some(Uid(0)), uids: 6, min_allowed: 1, max_limit: 65535 },
    };
    let spec = tiny().scoring;
    ScoreLog::close(&spec, &Standings::default(), header, BTreeMap::new()).unwrap().0
}

async fn fetch(buckets: &Buckets, window: u64) -> Result<ScoreLog, FetchError> {
    buckets.fetcher().score_log(&buckets.quiet(), &id(VALIDATOR), &RUN, Window(window)).await
}

#[tokio::test]
async fn a_score_log_comes_as_it_was_signed() {
    let buckets = Buckets::start().await;
    let bytes = log(3).sign(&signing_key(&wallet(VALIDATOR))).unwrap();
    buckets.own_bucket(VALIDATOR).put_score_log(Window(3), bytes.into()).await.unwrap();
    assert_eq!(fetch(&buckets, 3).await.unwrap(), log(3));
    assert_eq!(buckets.keys(VALIDATOR, "").await, [bucket_layout::score_log(RUN.id(), Window(3))]);
    let error = fetch(&buckets, 4).await.unwrap_err();
    assert!(matches!(error, FetchError::Storage { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn edited_logs_and_those_of_other_windows_are_refused() {
    let buckets = Buckets::start().await;
    let bytes = log(3).sign(&signing_key(&wallet(VALIDATOR))).unwrap();
    buckets.own_bucket(VALIDATOR).put_score_log(Window(4), bytes.clone().into()).await.unwrap();
    let error = fetch(&buckets, 4).await.unwrap_err();
    assert!(
        matches!(&error, FetchError::ScoreLog { source: ScoreLogError::WrongWindow { .. }, .. }),
        "{error}"
    );
    let mut edited = bytes;
    edited[210] ^= 1;
    buckets.own_bucket(VALIDATOR).put_score_log(Window(3), edited.into()).await.unwrap();
    let error = fetch(&buckets, 3).await.unwrap_err();
    assert!(matches!(error, FetchError::ScoreLog { .. }) && !error.is_retryable(), "{error}");

    let huge = vec![0; usize::try_from(bucket_layout::LARGEST_SCORE_LOG).unwrap() + 1];
    buckets.put(VALIDATOR, &bucket_layout::score_log(RUN.id(), Window(3)), &huge).await;
    let error = fetch(&buckets, 3).await.unwrap_err();
    assert!(matches!(error, FetchError::Storage { .. }) && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn records_of_windows_come_or_are_refused() {
    let buckets = Buckets::start().await;
    let accepted = vec![Accepted { id: id("miner-0"), object: ObjectHash([1; 32]) }];
    let (window, state, voters) = (Window(3), State([2; 32]), vec![id(VALIDATOR)]);
    let record = WindowRecord { window, state, accepted, voters };
    buckets.own_bucket(VALIDATOR).put_record(&record).await.unwrap();
    let fetcher = buckets.fetcher();
    let state = buckets.quiet();
    let validator = id(VALIDATOR);
    assert_eq!(fetcher.record(&state, &validator, &RUN, Window(3)).await.unwrap(), record);

    let other = RunHash([8; 32]);
    for (window, bytes) in [(3, record.to_bytes(&other)), (4, record.to_bytes(&RUN)), (5, vec![1; 40])] {
        buckets.put(VALIDATOR, &bucket_layout::record(RUN.id(), Window(window)), &bytes).await;
        let error = fetcher.record(&state, &validator, &RUN, Window(window)).await.unwrap_err();
        let FetchError::Record { source, .. } = &error else { panic!("{error}") };
        let expected = match window {
            3 => matches!(source, RecordError::Run { .. }),
            4 => matches!(source, RecordError::Window { .. }),
            _ => matches!(source, RecordError::Wire(_)),
        };
        assert!(expected, "{error}");
    }
}
