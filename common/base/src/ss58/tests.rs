use super::*;
use proptest::prelude::*;

/// Account ids and addresses of //Alice and //Bob, computed by Bittensor's own SDK.
const KNOWN: [(&str, &str); 2] = [
    (
        "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
        "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
    ),
    (
        "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48",
        "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty",
    ),
];

#[test]
fn known_addresses() {
    for (account, address) in KNOWN {
        let account: [u8; 32] = hex::decode(account).unwrap().try_into().unwrap();
        assert_eq!(encode(&account), address);
        assert_eq!(decode(address), Ok(account));
    }
}

#[test]
fn an_address_of_another_network_is_named() {
    // //Alice on Polkadot (prefix 0).
    let polkadot = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5";
    assert!(matches!(decode(polkadot), Err(ParseAddressError::Network { prefix: 0, .. })));
}

#[test]
fn what_is_not_an_address() {
    let alice = KNOWN[0].1;
    assert!(matches!(decode(""), Err(ParseAddressError::Length { bytes: 0, .. })));
    assert!(matches!(decode(&alice[..40]), Err(ParseAddressError::Length { .. })));
    assert!(matches!(decode("0xd43593c7"), Err(ParseAddressError::NotBase58(_))));
    assert!(
        matches!(decode(&"5".repeat(10_000)), Err(ParseAddressError::NotBase58(text)) if text.len() == 64)
    );
    let mistyped = alice.replace("5Grw", "5Gsw");
    assert_eq!(decode(&mistyped), Err(ParseAddressError::Checksum(mistyped.clone())));
}

proptest! {
    #[test]
    fn addresses_round_trip(account: [u8; 32]) {
        prop_assert_eq!(decode(&encode(&account)), Ok(account));
    }

    #[test]
    fn any_text_is_refused_or_round_trips(text in ".{0,80}") {
        if let Ok(account) = decode(&text) {
            prop_assert_eq!(encode(&account), text);
        }
    }
}
