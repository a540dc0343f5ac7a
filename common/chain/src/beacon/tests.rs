//! Compares timelock encryption and reveal rounds with Bittensor's own library. `tests/data/timelock.json`
//! holds a ciphertext of bittensor-core 0.1.5 for drand's round 1000, the signature of that round, and the
//! reveal rounds that the library chose.

use ark_ec::PrimeGroup;
use ark_ff::PrimeField;
use serde::Deserialize;
use std::{fs, path::Path};
use timelock::tlock::{TLECiphertext, tld};

use super::*;
use crate::{golden, weights::Payload};

#[derive(Deserialize)]
struct Golden {
    signature: String,
    round: u64,
    ciphertext: String,
    hotkey: String,
    uids: Vec<u16>,
    values: Vec<u16>,
    version_key: u64,
    rounds: Vec<Round>,
}

/// The arguments of the library, and the round that it chose.
#[derive(Deserialize)]
struct Round {
    last_epoch_block: u64,
    pending_epoch_at: u64,
    subnet_epoch_index: u64,
    tempo: u64,
    blocks_since_last_step: u64,
    current_block: u64,
    subnet_reveal_period_epochs: u64,
    block_time: f64,
    now: f64,
    round: u64,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/timelock.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn quicknet() -> Beacon {
    Beacon {
        key: hex::decode(QUICKNET).unwrap(),
        genesis: UnixMillis(1_692_803_367_000),
        period: Duration::from_secs(3),
    }
}

/// Decrypts as the chain does. `None` if the ciphertext is not in the chain's form.
fn decrypt(ciphertext: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let (point, rest) = ciphertext.split_at_checked(POINT)?;
    let (first, rest) = rest.strip_prefix(&PREFIX)?.split_at_checked(HASH)?;
    let plain = [point, first, rest.strip_prefix(&PREFIX)?].concat();
    let ciphertext = TLECiphertext::<TinyBLS381>::deserialize_compressed(&plain[..]).ok()?;
    let signature = <TinyBLS381 as EngineBLS>::SignatureGroup::deserialize_compressed(signature).ok()?;
    tld::<TinyBLS381, AESGCMBlockCipherProvider>(ciphertext, signature).ok()
}

#[test]
fn what_the_library_encrypted_is_our_payload() {
    let golden = golden();
    let bytes = |text: &str| hex::decode(text).unwrap();
    let hotkey = base::Hotkey(bytes(&golden.hotkey).try_into().unwrap());
    let payload = Payload::new(&hotkey, golden.uids, golden.values, golden.version_key).encoded();
    let found = decrypt(&bytes(&golden.ciphertext), &bytes(&golden.signature)).unwrap();
    assert_eq!(found, payload);
    // The other way: the beacon's own signature decrypts ours, and only that of the round.
    let ours = quicknet().encrypt(golden.round, &payload).unwrap();
    assert_eq!(ours.len(), bytes(&golden.ciphertext).len());
    assert_eq!(decrypt(&ours, &bytes(&golden.signature)), Some(payload.clone()));
    let other = quicknet().encrypt(golden.round + 1, &payload).unwrap();
    assert_eq!(decrypt(&other, &bytes(&golden.signature)), None);
    assert_ne!(quicknet().encrypt(golden.round, &payload).unwrap(), ours, "each has a secret of its own");
}

#[test]
fn a_beacon_with_a_known_key_decrypts_what_is_encrypted_to_it() {
    type Scalar = <TinyBLS381 as EngineBLS>::Scalar;
    let secret = Scalar::from_be_bytes_mod_order(&[7; 32]);
    let mut key = Vec::new();
    let public = <TinyBLS381 as EngineBLS>::PublicKeyGroup::generator() * secret;
    public.serialize_compressed(&mut key).unwrap();
    let beacon = Beacon { key, ..quicknet() };
    assert!(quicknet().is_quicknet() && !beacon.is_quicknet());
    let sign = |round: u64| {
        let identity = Identity::new(b"", &sp_crypto_hashing::sha2_256(&round.to_be_bytes()));
        let mut signature = Vec::new();
        identity.extract::<TinyBLS381>(secret).0.serialize_compressed(&mut signature).unwrap();
        signature
    };
    let row: Vec<u16> = (0..256).collect();
    let payload = Payload::new(&base::Hotkey([9; 32]), row.clone(), row, 3).encoded();
    let ciphertext = beacon.encrypt(77, &payload).unwrap();
    assert_eq!(ciphertext.len(), 1313, "256 uids fit into the chain's 5000 bytes");
    assert_eq!(decrypt(&ciphertext, &sign(77)), Some(payload));
    assert_eq!(decrypt(&ciphertext, &sign(78)), None);
}

#[test]
fn a_damaged_key_is_an_error() {
    let damaged = Beacon { key: vec![0; 96], ..quicknet() };
    assert_eq!(damaged.encrypt(5, b"weights"), Err(TimelockError::Key));
    assert_eq!(Beacon { key: Vec::new(), ..damaged }.encrypt(5, b""), Err(TimelockError::Key));
}

#[test]
fn the_pinned_default_is_quicknet() {
    use parity_scale_codec::Decode;
    let runtime = golden::runtime_461();
    let entry = runtime.metadata.pallet_by_name("Drand").unwrap().storage().unwrap();
    let default = entry.entry_by_name("BeaconConfig").unwrap().default_value().unwrap();
    let key = Vec::<u8>::decode(&mut &default[..]).unwrap();
    assert_eq!(hex::encode(key), QUICKNET);
}

#[test]
fn on_a_fast_chain_the_round_is_never_over() {
    let schedule = EpochSchedule {
        block: Height(100),
        tempo: 20,
        last: Height(99),
        pending: None,
        index: 4,
        since_step: 1,
    };
    // Round 5 is signed 12 seconds after the first. At this time rounds 1 to 5 are signed.
    let now = UnixMillis(quicknet().genesis.0 + 12_500);
    for (block_time, round, block) in [(1, 6, 2600), (100, 6, 125), (250, 6, 122), (1000, 11, 122)] {
        let time = (now, Duration::from_millis(block_time));
        let found = reveal_round(&quicknet(), &schedule, Height(119), time);
        assert_eq!(found, (round, Height(block)), "{block_time} ms");
    }
}

#[test]
fn reveal_rounds_are_those_of_the_library() {
    for case in golden().rounds {
        let schedule = EpochSchedule {
            block: Height(case.current_block),
            tempo: case.tempo,
            last: Height(case.last_epoch_block),
            pending: Some(case.pending_epoch_at).filter(|pending| *pending > 0).map(Height),
            index: case.subnet_epoch_index,
            since_step: case.blocks_since_last_step,
        };
        let epoch = schedule.epoch_of(schedule.block.next());
        let first = schedule.first_block(epoch + case.subnet_reveal_period_epochs).unwrap();
        let now = UnixMillis((case.now * 1000.0) as u64);
        let time = (now, Duration::from_secs_f64(case.block_time));
        let (round, _) = reveal_round(&quicknet(), &schedule, first, time);
        assert_eq!(round, case.round, "{schedule:?}");
    }
}
