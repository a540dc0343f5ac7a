//! Measures reads of the client, and epochs of the development chain, with 256 neurons and full weights.
//!
//! `cargo run -p chain --example speed`. It prints three lines: the time of 1,000 blocks with an epoch every
//! 20, the time of a metagraph with all weights and commitments, and the time from connecting to the first
//! read. Chain and client share this machine.
#![allow(clippy::unwrap_used)] // A measurement that cannot go on should stop here.

use std::time::{Duration, Instant};

use base::{Netuid, Uid};
use chain::{Client, Options};
use devchain::{Config, Devchain, Genesis, Pace, StorageWrite};
use devchain_runtime::genesis::{Key, Neuron};
use parity_scale_codec::Encode;
use sp_crypto_hashing::twox_128;

const SUBNET: Netuid = Netuid(3);
const NEURONS: u16 = 256;
/// Neurons with a permit. Each sets weights on all others.
const VALIDATORS: u16 = 64;
const BLOCKS: u32 = 1000;
const TEMPO: u16 = 20;
/// The repetitions of a read. The median counts.
const READS: usize = 11;

/// Returns a subnet of 256 neurons.
fn genesis() -> Genesis {
    let mut genesis = Genesis::default();
    let key = |path: String| -> Key { path.parse().unwrap() };
    let neuron = |uid: u16| Neuron {
        hotkey: key(format!("//speed{uid}//hotkey")),
        coldkey: key(format!("//speed{uid}")),
        stake: if uid < VALIDATORS { 1_000_000_000_000 } else { 0 },
        permit: uid < VALIDATORS,
    };
    genesis.neurons = (0..NEURONS).map(neuron).collect();
    genesis.subnet.tempo = TEMPO - 1; // There are `tempo` blocks between two epochs.
    genesis.subnet.max_allowed_uids = NEURONS;
    genesis
}

/// Returns the weights of all validators as writes of `SubtensorModule.Weights`, and the block of their last
/// change. It lies in the future, so that the weights never become too old.
fn weights() -> Vec<StorageWrite> {
    let item = |name: &str| [twox_128(b"SubtensorModule"), twox_128(name.as_bytes())].concat();
    let row = |validator: u16| {
        let row: Vec<(u16, u16)> =
            (VALIDATORS..NEURONS).map(|uid| (uid, uid.wrapping_mul(validator + 1))).collect();
        // All keys have the identity as their hash.
        let key = [&item("Weights")[..], &SUBNET.0.to_le_bytes(), &validator.to_le_bytes()].concat();
        StorageWrite { key, value: Some(row.encode()) }
    };
    let updated = StorageWrite {
        key: [&item("LastUpdate")[..], &SUBNET.0.to_le_bytes()].concat(),
        value: Some(vec![u64::from(2 * BLOCKS); NEURONS.into()].encode()),
    };
    (0..VALIDATORS).map(row).chain([updated]).collect()
}

/// Returns the median of some times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        genesis: Some(genesis()),
        pace: Pace::Outside,
        ..Config::default()
    };
    let chain = Devchain::start(config).await.unwrap();
    chain.handle().set_storage(weights()).await.unwrap();

    let begun = Instant::now();
    chain.handle().fast_forward(BLOCKS).await.unwrap();
    println!("{BLOCKS} blocks of {NEURONS} neurons, an epoch every {TEMPO}: {:.2?}", begun.elapsed());

    let mut times = Vec::new();
    for _ in 0..READS {
        let begun = Instant::now();
        let client = Client::connect(Options::new([chain.url()])).await.unwrap();
        client.finalized().await.unwrap();
        times.push(begun.elapsed());
    }
    println!("from connecting to the first read: {:.1?} (median of {READS})", median(times));

    let client = Client::connect(Options::new([chain.url()])).await.unwrap();
    let head = client.finalized_hash().await.unwrap();
    let mut times = Vec::new();
    for _ in 0..READS {
        let begun = Instant::now();
        let view = client.at(head).subnet_view(SUBNET).await.unwrap();
        times.push(begun.elapsed());
        let incentives = view.metagraph.neurons.iter().filter(|neuron| neuron.incentive > 0).count();
        assert!(incentives > 0, "the epochs have paid no miner");
        assert_eq!(view.weights[usize::from(Uid(VALIDATORS - 1).0)].len(), usize::from(NEURONS - VALIDATORS));
    }
    println!(
        "metagraph of {NEURONS} with weights and commitments: {:.1?} (median of {READS})",
        median(times)
    );
}
