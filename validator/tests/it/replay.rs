//! Losses, measured again.

use crate::windows::{log, whole_run};
use base::{Exit, signature::SigningKey};
use protocol::bucket_layout;
use scoring::gauntlet::Outcome;
use std::time::Duration;
use storage::{Content, Floor, Put};

#[tokio::test(flavor = "multi_thread")]
async fn losses_replay_bit_for_bit_and_an_edited_one_is_named() {
    let (network, _miners) = whole_run().await;
    for window in ["0", "1"] {
        let same = network.end(&["replay", window]).await;
        let (out, error) = (String::from_utf8_lossy(&same.stdout), String::from_utf8_lossy(&same.stderr));
        assert_eq!(same.status.code(), Some(0), "{out}{error}");
        assert!(out.contains("the losses of 2 updates are the same, bit for bit"), "{out}");
    }

    // A log in which one measurement is another in its last bit, signed by the validator itself.
    let mut edited = log(&network, 1).await;
    let line = edited.miners.values_mut().find_map(|line| match &mut line.outcome {
        Outcome::Evaluated(evaluation) => Some(evaluation),
        _ => None,
    });
    let sum = &mut line.unwrap().assigned.sum;
    *sum = f64::from_bits(sum.to_bits() ^ 1);
    let key = chain::wallet::KeyPair::development("//Bob").unwrap(); // As in the wallet.
    let key: SigningKey = exchange::signing_key(&key);
    let bytes = edited.sign(&key).unwrap();
    let floor = Floor { bytes_per_second: 0, over: Duration::from_secs(60) };
    let how = Put { time: Duration::from_secs(60), floor, only_if_absent: false };
    let name = bucket_layout::score_log(network.spec.id(), base::Window(1));
    network.own_bucket("validator").put(&name, Content::Bytes(bytes.into()), &how).await.unwrap();
    let other = network.end(&["replay", "1"]).await;
    let error = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(i32::from(u8::from(Exit::Disagreement))), "{error}");
    assert!(error.contains("the sum of improvements on assigned data, of "), "{error}");

    let missing = network.end(&["replay", "7"]).await;
    assert_eq!(missing.status.code(), Some(i32::from(u8::from(Exit::Unreachable))));
}
