//! Tests the pallets block by block, without a node.

use crate::support::*;
use devchain_runtime::{
    Genesis, Runtime, RuntimeCall, RuntimeEvent,
    commitments::{self, CommitmentInfo, Data},
    genesis::{Key, Neuron},
    runtime::System,
    subtensor::{self, Call, Error, Event, *},
    types::{NetUid, TaoBalance},
};
use frame_support::{assert_noop, assert_ok, traits::fungible::Inspect};
use parity_scale_codec::Encode;
use sp_runtime::{DispatchError, PerU16};

type Refusal = Error<Runtime>;

fn commit(hotkey: &str, fields: &[usize]) -> Result<(), DispatchError> {
    let field = |bytes: &usize| Data::BigRaw(vec![7; *bytes].try_into().unwrap());
    let info = CommitmentInfo { fields: fields.iter().map(field).collect::<Vec<_>>().try_into().unwrap() };
    call(&key(hotkey), commitments::Call::set_commitment { netuid: SUBNET, info: Box::new(info) })
}

#[test]
fn registration_burns_the_price_and_seats_the_hotkey() {
    chain(|_| {}).execute_with(|| {
        let (alice, before) = (key("//Alice"), Burn::<Runtime>::get(SUBNET));
        let balance = || devchain_runtime::runtime::Balances::balance(&alice);
        let had = balance();
        let issued = devchain_runtime::runtime::Balances::total_issuance();
        assert_ok!(register("//Alice", "//miner"));

        assert_eq!(balance(), TaoBalance(had.0 - before.0));
        assert_eq!(devchain_runtime::runtime::Balances::total_issuance(), TaoBalance(issued.0 - before.0));
        assert_eq!(Uids::<Runtime>::get(SUBNET, key("//miner")), Some(4));
        assert_eq!(Keys::<Runtime>::get(SUBNET, 4), key("//miner"));
        assert_eq!(Owner::<Runtime>::get(key("//miner")), alice);
        assert_eq!(BlockAtRegistration::<Runtime>::get(SUBNET, 4), 1);
        assert_eq!(LastUpdate::<Runtime>::get(MAIN), [0, 0, 0, 0, 1]);
        assert_eq!(Burn::<Runtime>::get(SUBNET), TaoBalance(126_000_000));
        System::assert_last_event(RuntimeEvent::SubtensorModule(Event::NeuronRegistered(
            SUBNET,
            4,
            key("//miner"),
        )));
    });
}

#[test]
fn the_price_falls_by_half_in_its_half_life() {
    chain(|genesis| genesis.subnet.burn_half_life = 10).execute_with(|| {
        advance_to(11);
        let price = Burn::<Runtime>::get(SUBNET).0;
        assert!((49_999_000..=50_000_000).contains(&price), "{price}");
    });
}

#[test]
fn registrations_are_refused_for_what_is_wrong_with_them() {
    chain(|genesis| genesis.subnet.burn = 100_000_000).execute_with(|| {
        let on = |netuid| {
            call(&key("//Alice"), Call::burned_register { netuid: NetUid(netuid), hotkey: key("//m") })
        };
        let limited = |netuid, limit_price| {
            let hotkey = key("//m");
            call(&key("//Alice"), Call::register_limit { netuid: NetUid(netuid), hotkey, limit_price })
        };
        assert_noop!(on(0), Refusal::RegistrationNotPermittedOnRootSubnet);
        assert_noop!(on(9), Refusal::SubnetNotExists);
        assert_noop!(limited(0, 1), Refusal::RegistrationNotPermittedOnRootSubnet);
        assert_noop!(limited(9, 1), Refusal::SubnetNotExists);
        assert_noop!(limited(3, 99_999_999), Refusal::RegistrationPriceLimitExceeded);
        assert_noop!(register("//Alice", "//Bob//hotkey"), Refusal::HotKeyAlreadyRegisteredInSubNet);
        assert_noop!(register("//Unfunded", "//m"), Refusal::NotEnoughBalanceToStake);
        assert_ok!(limited(3, 100_000_000));

        NetworkRegistrationAllowed::<Runtime>::insert(SUBNET, false);
        assert_noop!(register("//Alice", "//m2"), Refusal::SubNetRegistrationDisabled);
        NetworkRegistrationAllowed::<Runtime>::insert(SUBNET, true);
        Owner::<Runtime>::insert(key("//m3"), key("//Bob"));
        assert_noop!(register("//Alice", "//m3"), Refusal::NonAssociatedColdKey);
    });
}

#[test]
fn a_full_subnet_replaces_the_neuron_that_earns_least() {
    let full = |genesis: &mut Genesis| {
        genesis.subnet.max_allowed_uids = 6;
        genesis.subnet.immunity_period = 3;
        genesis.subnet.min_non_immune_uids = 0;
    };
    chain(full).execute_with(|| {
        advance_to(4);
        assert_ok!(register("//Alice", "//m4"));
        assert_ok!(register("//Alice", "//m5"));
        assert_ok!(set_weights("//Alice//hotkey", &[(4, 1)]));
        Emission::<Runtime>::mutate(SUBNET, |emission| {
            emission.iter_mut().enumerate().for_each(|(i, e)| e.0 = 9 - i as u64)
        });
        assert_ok!(register("//Alice", "//m6"));
        assert_eq!(
            Uids::<Runtime>::get(SUBNET, key("//m6")),
            Some(3),
            "the one with the least emission among those out of immunity"
        );
        assert_eq!(Uids::<Runtime>::get(SUBNET, key("//Charlie//hotkey")), None);
        assert!(!ValidatorPermit::<Runtime>::get(SUBNET)[3], "nothing is inherited");

        advance_to(10);
        assert_ok!(register("//Alice", "//m7"));
        assert_eq!(Uids::<Runtime>::get(SUBNET, key("//m7")), Some(3), "emission was reset with the seat");
        assert_ne!(Uids::<Runtime>::get(SUBNET, key("//Owner//hotkey")), None, "the owner stays");
    });
}

#[test]
fn a_subnet_of_its_owner_alone_has_no_uid_to_give() {
    let alone = |genesis: &mut Genesis| {
        genesis.neurons.truncate(1);
        genesis.subnet.max_allowed_uids = 1;
    };
    chain(alone).execute_with(|| {
        assert_noop!(register("//Alice", "//m"), Refusal::NoNeuronIdAvailable);
    });
}

#[test]
fn weights_are_stored_with_the_largest_at_65535() {
    chain(|_| {}).execute_with(|| {
        assert_ok!(set_weights("//Alice//hotkey", &[(2, 100), (3, 200)]));
        assert_eq!(Weights::<Runtime>::get(MAIN, 1), [(2, 32768), (3, 65535)]);
        assert_eq!(LastUpdate::<Runtime>::get(MAIN)[1], 1);
        System::assert_last_event(RuntimeEvent::SubtensorModule(Event::WeightsSet(MAIN, 1)));
    });
}

#[test]
fn weights_are_refused_for_what_is_wrong_with_them() {
    chain(|genesis| genesis.subnet.min_allowed_weights = 2).execute_with(|| {
        let alice = "//Alice//hotkey";
        let unequal =
            Call::set_weights { netuid: SUBNET, dests: vec![1, 2], weights: vec![1], version_key: 0 };
        assert_noop!(set_weights_as(alice, NetUid(0), &[], 0), Refusal::CommitRevealEnabled);
        CommitRevealWeightsEnabled::<Runtime>::insert(NetUid(0), false);
        assert_noop!(set_weights_as(alice, NetUid(0), &[], 0), Refusal::CanNotSetRootNetworkWeights);
        assert_noop!(call(&key(alice), unequal), Refusal::WeightVecNotEqualSize);
        CommitRevealWeightsEnabled::<Runtime>::insert(NetUid(9), false);
        assert_noop!(set_weights_as(alice, NetUid(9), &[(0, 1)], 0), Refusal::MechanismDoesNotExist);
        assert_noop!(set_weights(alice, &[(0, 1); 5]), Refusal::UidsLengthExceedUidsInSubNet);
        assert_noop!(set_weights("//stranger", &[(0, 1)]), Refusal::HotKeyNotRegisteredInSubNet);

        StakeThreshold::<Runtime>::put(45_000_000_000_000);
        assert_noop!(set_weights("//Bob//hotkey", &[(0, 1), (1, 1)]), Refusal::NotEnoughStakeToSetWeights);
        StakeThreshold::<Runtime>::put(0);
        WeightsVersionKey::<Runtime>::insert(SUBNET, 7);
        assert_noop!(set_weights_as(alice, SUBNET, &[(0, 1), (2, 1)], 6), Refusal::IncorrectWeightVersionKey);
        assert_ok!(set_weights_as(alice, SUBNET, &[(0, 1), (2, 1)], 7));
        WeightsVersionKey::<Runtime>::insert(SUBNET, 0);

        WeightsSetRateLimit::<Runtime>::insert(SUBNET, 5);
        advance_to(5);
        assert_noop!(set_weights(alice, &[(0, 1), (2, 1)]), Refusal::SettingWeightsTooFast);
        advance_to(6);
        assert_ok!(set_weights(alice, &[(0, 1), (2, 1)]));
        WeightsSetRateLimit::<Runtime>::insert(SUBNET, 0);

        assert_noop!(set_weights(alice, &[(2, 1), (2, 1)]), Refusal::DuplicateUids);
        assert_noop!(set_weights(alice, &[(2, 1), (4, 1)]), Refusal::UidVecContainInvalidOne);
        assert_noop!(set_weights(alice, &[(2, 1)]), Refusal::WeightVecLengthIsLow);
        MaxWeightsLimit::<Runtime>::insert(SUBNET, 40000);
        assert_noop!(set_weights(alice, &[(2, 9), (3, 1)]), Refusal::MaxWeightExceeded);
        ValidatorPermit::<Runtime>::mutate(SUBNET, |permits| permits[1] = false);
        assert_noop!(set_weights(alice, &[(2, 1), (3, 1)]), Refusal::NeuronNoValidatorPermit);
        assert_ok!(set_weights(alice, &[(1, 1)]));

        CommitRevealWeightsEnabled::<Runtime>::insert(SUBNET, true);
        assert_noop!(set_weights(alice, &[(1, 1)]), Refusal::CommitRevealEnabled);
    });
}

#[test]
fn an_epoch_turns_weights_into_scores_and_stake() {
    let with_miners = |genesis: &mut Genesis| {
        genesis.neurons.extend(["//m4", "//m5"].map(|path| Neuron {
            hotkey: path.parse().unwrap(),
            coldkey: "//Dave".parse().unwrap(),
            stake: 0,
            permit: false,
        }));
    };
    chain(with_miners).execute_with(|| {
        for validator in ["//Alice//hotkey", "//Bob//hotkey", "//Charlie//hotkey"] {
            assert_ok!(set_weights(validator, &[(4, 3), (5, 1)]));
        }
        advance_to(19);
        assert_eq!(Incentive::<Runtime>::get(MAIN), [PerU16::zero(); 6]);
        assert_eq!(BlocksSinceLastStep::<Runtime>::get(SUBNET), 19);
        advance_to(20);
        assert_eq!(LastEpochBlock::<Runtime>::get(SUBNET), 20);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(SUBNET), 1);
        assert_eq!(BlocksSinceLastStep::<Runtime>::get(SUBNET), 0);

        let parts = |values: Vec<PerU16>| values.into_iter().map(PerU16::deconstruct).collect::<Vec<_>>();
        let [.., strong, weak] = parts(Incentive::<Runtime>::get(MAIN))[..] else { panic!("no incentive") };
        assert!(strong.abs_diff(49151) <= 1 && weak.abs_diff(16383) <= 1, "{strong} {weak}");
        let dividends = parts(Dividends::<Runtime>::get(SUBNET));
        assert!(
            dividends[1] > dividends[2] && dividends[2] > dividends[3] && dividends[3] > 0,
            "{dividends:?}"
        );
        assert_eq!(dividends[4], 0);
        // Twenty blocks at one alpha each, minus the losses of truncation.
        let paid: u64 = Emission::<Runtime>::get(SUBNET).iter().map(|alpha| alpha.0).sum();
        assert!((19_999_999_900..=20_000_000_000).contains(&paid), "{paid}");
        let stake = TotalHotkeyAlpha::<Runtime>::get(key("//m4"), SUBNET).0;
        assert!(stake.abs_diff(7_500_000_000) < 100_000, "{stake}");
    });
}

#[test]
fn an_epoch_asked_for_comes_early() {
    chain(|_| {}).execute_with(|| {
        PendingEpochAt::<Runtime>::insert(SUBNET, 5);
        advance_to(5);
        assert_eq!(LastEpochBlock::<Runtime>::get(SUBNET), 5);
        assert_eq!(subtensor::Pallet::<Runtime>::schedule(SUBNET).next(), Some(25));
        assert_eq!(PendingEpochAt::<Runtime>::get(SUBNET), 0);
    });
}

#[test]
fn commitments_are_replaced_whole_and_cost_space() {
    chain(|genesis| genesis.commitment_space = 1000).execute_with(|| {
        assert_noop!(commit("//stranger", &[1]), commitments::Error::<Runtime>::AccountNotAllowedCommit);
        assert_ok!(commit("//Alice//hotkey", &[300, 200]));
        assert_ok!(commit("//Alice//hotkey", &[1]));
        let hotkey = key("//Alice//hotkey");
        let stored = commitments::CommitmentOf::<Runtime>::get(SUBNET, &hotkey).unwrap();
        assert_eq!((stored.block, stored.info.fields.len()), (1, 1));
        assert_eq!(commitments::UsedSpaceOf::<Runtime>::get(SUBNET, &hotkey).unwrap().used_space, 600);
        assert_noop!(commit("//Alice//hotkey", &[401]), commitments::Error::<Runtime>::SpaceLimitExceeded);
        assert_ok!(commit("//Bob//hotkey", &[512, 401]));

        advance_to(20);
        assert_ok!(commit("//Alice//hotkey", &[401]));
        assert_eq!(commitments::UsedSpaceOf::<Runtime>::get(SUBNET, &hotkey).unwrap().used_space, 401);
    });
}

#[test]
fn call_bytes_are_those_of_bittensors_own_tools() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../chain-metadata/tests/data/golden-461.json");
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bytes_of = |name: &str| {
        let call = golden["calls"].as_array().unwrap().iter().find(|call| call["function"] == name).unwrap();
        hex::decode(call["data_hex"].as_str().unwrap().trim_start_matches("0x")).unwrap()
    };
    let hotkey: Key = "5G6Fyo6U2fDhJXDJGp4Dr6XViVCdPcryiyLBDsusguSRcYvJ".parse().unwrap();
    let register: RuntimeCall =
        Call::burned_register { netuid: NetUid(1), hotkey: hotkey.account().clone() }.into();
    let weights: RuntimeCall =
        Call::set_weights { netuid: NetUid(1), dests: vec![0, 1], weights: vec![100, 200], version_key: 0 }
            .into();
    assert_eq!(register.encode(), bytes_of("burned_register"));
    assert_eq!(weights.encode(), bytes_of("set_weights"));
}
