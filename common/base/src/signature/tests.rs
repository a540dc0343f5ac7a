use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

#[test]
fn a_seed_gives_the_key_that_its_expansion_gives() {
    let secret = MiniSecretKey::from_bytes(&[7; 32]).unwrap().expand(ExpansionMode::Ed25519);
    let same = SigningKey::from_bytes(&secret.to_bytes()).unwrap();
    assert_eq!(same.hotkey(), key(7).hotkey());
}

#[test]
fn only_the_same_key_context_and_digest_verify() {
    let (ours, other) = (key(1), key(2));
    let signature = ours.sign("kind a", &[7; 32]);
    let hotkey = ours.hotkey();
    assert_eq!(signature.verify(hotkey, "kind a", &[7; 32]), Ok(()));
    assert_eq!(signature.verify(hotkey, "kind b", &[7; 32]), Err(SignatureError::Wrong(hotkey)));
    assert_eq!(signature.verify(hotkey, "kind a", &[8; 32]), Err(SignatureError::Wrong(hotkey)));
    let other = other.hotkey();
    assert_eq!(signature.verify(other, "kind a", &[7; 32]), Err(SignatureError::Wrong(other)));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let key = key(1);
    let digest = [7; 32];
    let signature = key.sign("kind", &digest);
    for bit in 0..512 {
        let mut flipped = signature;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        assert!(flipped.verify(key.hotkey(), "kind", &digest).is_err(), "bit {bit}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let key = key(1);
    assert_eq!(format!("{key:?}"), format!("SigningKey(of {})", key.hotkey()));
}
