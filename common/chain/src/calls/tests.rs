//! Compares transactions with the bytes of Bittensor's own SDK at spec 461.

use base::commitment::Field;
use sp_core::{Pair, sr25519};

use super::*;
use crate::{
    golden::{self, bytes},
    wallet::KeyPair,
};

const BIRTH: &str = "0xd9f2d5c7e6b387e32b3f41d7808094cc966fbbbbd4709d96471c52d9b1a2b2aa";

/// Returns the terms of the SDK's second transaction: nonce 11, valid for 64 blocks from block 66.
fn terms() -> Terms {
    Terms { nonce: 11, era: 64, anchor: (Height(66), BIRTH.parse().unwrap()) }
}

fn alice() -> KeyPair {
    KeyPair::development("//Alice").unwrap()
}

fn golden_call(name: &str) -> Vec<u8> {
    let call = golden::list("calls").into_iter().find(|call| call["function"] == name).unwrap();
    bytes(&call["data_hex"])
}

fn register(netuid: u16) -> Call {
    let hotkey = "5G6Fyo6U2fDhJXDJGp4Dr6XViVCdPcryiyLBDsusguSRcYvJ".parse().unwrap();
    Call::BurnedRegister { netuid: Netuid(netuid), hotkey }
}

fn weights() -> Call {
    Call::SetWeights {
        netuid: Netuid(1),
        mechanism: Mechanism::MAIN,
        uids: vec![0, 1],
        weights: vec![100, 200],
        version_key: 0,
    }
}

/// Splits a signed transaction into account, signature, and extensions with the call.
fn take_apart(signed: &[u8]) -> ([u8; 32], [u8; 64], Vec<u8>) {
    use parity_scale_codec::Decode;
    let body = Vec::<u8>::decode(&mut &signed[..]).unwrap();
    assert_eq!(body[..2], [0x84, 0], "version 4, signed, by an account id");
    assert_eq!(body[34], 1, "an sr25519 signature");
    (body[2..34].try_into().unwrap(), body[35..99].try_into().unwrap(), body[99..].to_vec())
}

#[test]
fn transactions_are_laid_out_as_the_sdk_does() {
    let theirs = bytes(&golden::list("extrinsics")[1]["extrinsic_hex"]);
    let transfer = bytes(&golden::list("extrinsics")[1]["call_data_hex"]);
    let (account, _, extensions) = take_apart(&theirs);
    let extensions = extensions.strip_suffix(&transfer[..]).unwrap();
    for (call, name) in [(weights(), "set_weights"), (register(1), "burned_register")] {
        let signed = call.sign(&golden::runtime_461(), &alice(), terms()).unwrap();
        let (ours, _, tail) = take_apart(&signed);
        assert_eq!(ours, account);
        assert_eq!(tail, [extensions, &golden_call(name)].concat(), "{name}");
    }
}

#[test]
fn the_signature_covers_what_the_sdk_signs() {
    let theirs = &golden::list("signature_payloads")[1];
    let call = bytes(&theirs["call_data_hex"]);
    let payload = bytes(&theirs["payload_hex"]);
    let signed_with_call = payload.strip_prefix(&call[..]).unwrap();
    let terms = Terms { nonce: 3, ..terms() };
    let signed = weights().sign(&golden::runtime_461(), &alice(), terms).unwrap();
    let (account, signature, _) = take_apart(&signed);
    let payload = [&golden_call("set_weights")[..], signed_with_call].concat();
    let signature = sr25519::Signature::from(signature);
    assert!(sr25519::Pair::verify(&signature, payload, &sr25519::Public::from(account)));
}

#[test]
fn older_runtimes_take_the_same_bytes() {
    for call in [weights(), register(3)] {
        let sign = |runtime| take_apart(&call.sign(runtime, &alice(), terms()).unwrap()).2;
        assert_eq!(sign(&golden::runtime_365()), sign(&golden::runtime_461()));
    }
}

#[test]
fn a_call_that_the_runtime_lacks_is_named() {
    let call = Call::RegisterLimit { netuid: Netuid(3), hotkey: Hotkey([7; 32]), limit: Rao(5) };
    assert!(call.sign(&golden::runtime_461(), &alice(), terms()).is_ok());
    let error = call.sign(&golden::runtime_365(), &alice(), terms()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("call SubtensorModule.register_limit cannot be used"), "{text}");
}

/// Checks each kind of field that Muster may write: the runtime's own types read it back.
#[test]
fn commitments_are_written_as_the_runtime_reads_them() {
    let runtime = golden::runtime_461();
    let kinds: Vec<(Field, &str)> = vec![
        (Field::None, "None"),
        (Field::raw([]).unwrap(), "Raw0"),
        (Field::raw([1; 37]).unwrap(), "Raw37"),
        (Field::raw([1; 128]).unwrap(), "Raw128"),
        (Field::BlakeTwo256([2; 32]), "BlakeTwo256"),
        (Field::Sha256([3; 32]), "Sha256"),
        (Field::Keccak256([4; 32]), "Keccak256"),
        (Field::ShaThree256([5; 32]), "ShaThree256"),
        (Field::timelock_encrypted([6; 1024], 9).unwrap(), "TimelockEncrypted"),
        (Field::ResetBondsFlag, "ResetBondsFlag"),
        (Field::big_raw([7; 512]).unwrap(), "BigRaw"),
    ];
    for (field, kind) in kinds {
        let fields = Fields::new(vec![field.clone(), Field::None, field]).unwrap();
        let call = Call::SetCommitment { netuid: Netuid(3), fields };
        let signed = call.sign(&runtime, &alice(), terms()).unwrap();
        // Era (2 bytes), nonce, tip and mode of CheckMetadataHash come before the call.
        let call_bytes = &take_apart(&signed).2[5..];
        let transactions = runtime.offline.tx();
        let read = transactions.from_call_data_bytes(call_bytes).unwrap();
        assert_eq!((read.pallet_name(), read.call_name()), ("Commitments", "set_commitment"));
        assert!(read.call_data().to_string().contains(kind), "{kind} in {}", read.call_data());
        assert_eq!(transactions.call_data(&read).unwrap(), call_bytes, "{kind}");
    }
}
