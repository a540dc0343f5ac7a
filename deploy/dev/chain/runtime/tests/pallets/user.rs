//! Tests the operations of a user's day besides weights: stake, addresses, and what tools read.

use crate::support::*;
use devchain_runtime::{
    Runtime, RuntimeEvent,
    api::dispatch,
    aura::slot_duration_key,
    info::{
        delegates::{DelegateInfo, Delegated},
        hyperparameters::{HyperparamEntry, HyperparamValue},
        neurons::NeuronInfoLite,
        prices::{SimSwapResult, SubnetPrice},
        stake::{StakeAvailability, StakeInfo},
    },
    runtime::{Balances, System},
    subtensor::{self, Call, Error, Event, *},
    types::{AlphaBalance, NetUid, TaoBalance},
};
use frame_support::{assert_noop, assert_ok, traits::fungible::Inspect};
use parity_scale_codec::{Compact, Decode, Encode};
use sp_runtime::{AccountId32, DispatchError};
use std::collections::BTreeMap;

type Refusal = Error<Runtime>;

const TAO: u64 = 1_000_000_000;
const ALICE_HOTKEY: &str = "//Alice//hotkey";

fn stake(coldkey: &str, hotkey: &str, rao: u64) -> Result<(), DispatchError> {
    let amount_staked = TaoBalance(rao);
    call(&key(coldkey), Call::<Runtime>::add_stake { hotkey: key(hotkey), netuid: SUBNET, amount_staked })
}

fn unstake(coldkey: &str, hotkey: &str, rao: u64) -> Result<(), DispatchError> {
    let amount_unstaked = AlphaBalance(rao);
    call(
        &key(coldkey),
        Call::<Runtime>::remove_stake { hotkey: key(hotkey), netuid: SUBNET, amount_unstaked },
    )
}

/// Asks the runtime as a client does.
fn ask<A: Decode>(method: &str, arguments: impl Encode) -> A {
    A::decode(&mut &dispatch(method, &arguments.encode()).expect("the method exists")[..]).unwrap()
}

fn positions(coldkey: &str) -> Vec<(AccountId32, u64)> {
    let answer: Vec<StakeInfo> = ask("StakeInfoRuntimeApi_get_stake_info_for_coldkey", key(coldkey));
    answer.into_iter().map(|position| (position.hotkey, position.stake.0.0)).collect()
}

#[test]
fn stake_is_bought_and_sold_at_one_tao() {
    chain(|_| {}).execute_with(|| {
        let balance = || Balances::balance(&key("//Dave")).0;
        let had = balance();
        assert_ok!(stake("//Dave", ALICE_HOTKEY, 10 * TAO));
        assert_eq!(balance(), had - 10 * TAO);
        assert_eq!(positions("//Dave"), [(key(ALICE_HOTKEY), 10 * TAO)]);
        assert_eq!(TotalHotkeyAlpha::<Runtime>::get(key(ALICE_HOTKEY), SUBNET).0, 50_010 * TAO);
        let (tao, alpha) = (TaoBalance(10 * TAO), AlphaBalance(10 * TAO));
        let added = Event::StakeAdded(key("//Dave"), key(ALICE_HOTKEY), tao, alpha, SUBNET, 0);
        System::assert_last_event(RuntimeEvent::SubtensorModule(added));

        assert_ok!(unstake("//Dave", ALICE_HOTKEY, 4 * TAO));
        assert_eq!(balance(), had - 6 * TAO);
        assert_ok!(unstake("//Dave", ALICE_HOTKEY, 6 * TAO));
        assert_eq!(balance(), had);
        assert_eq!(positions("//Dave"), []);
        assert_eq!(positions("//Alice"), [(key(ALICE_HOTKEY), 50_000 * TAO)]);
    });
}

#[test]
fn stake_is_refused_for_what_is_wrong_with_it() {
    chain(|_| {}).execute_with(|| {
        assert_noop!(stake("//Dave", ALICE_HOTKEY, 1_999_999), Refusal::AmountTooLow);
        assert_noop!(stake("//Dave", ALICE_HOTKEY, 100_000 * TAO), Refusal::NotEnoughBalanceToStake);
        assert_noop!(stake("//Dave", "//stranger", TAO), Refusal::HotKeyAccountNotExists);
        let elsewhere = Call::<Runtime>::add_stake {
            hotkey: key(ALICE_HOTKEY),
            netuid: NetUid(9),
            amount_staked: TaoBalance(TAO),
        };
        assert_noop!(call(&key("//Dave"), elsewhere), Refusal::SubnetNotExists);
        assert_noop!(unstake("//Dave", ALICE_HOTKEY, 1), Refusal::NotEnoughStakeToWithdraw);
        assert_noop!(unstake("//Alice", ALICE_HOTKEY, 0), Refusal::AmountTooLow);
        assert_noop!(unstake("//Alice", ALICE_HOTKEY, 1_999_999), Refusal::AmountTooLow);
        SubnetTAO::<Runtime>::insert(SUBNET, TaoBalance(TAO));
        assert_noop!(unstake("//Alice", ALICE_HOTKEY, 2 * TAO), Refusal::InsufficientLiquidity);
    });
}

#[test]
fn a_limit_price_off_the_price_of_one_tao_is_refused() {
    chain(|_| {}).execute_with(|| {
        let add = |price: u64, allow_partial| Call::<Runtime>::add_stake_limit {
            hotkey: key(ALICE_HOTKEY),
            netuid: SUBNET,
            amount_staked: TaoBalance(TAO),
            limit_price: TaoBalance(price),
            allow_partial,
        };
        let remove = |price: u64| Call::<Runtime>::remove_stake_limit {
            hotkey: key(ALICE_HOTKEY),
            netuid: SUBNET,
            amount_unstaked: AlphaBalance(TAO),
            limit_price: TaoBalance(price),
            allow_partial: false,
        };
        assert_noop!(call(&key("//Dave"), add(TAO - 1, false)), Refusal::SlippageTooHigh);
        assert_noop!(call(&key("//Dave"), add(TAO - 1, true)), Refusal::AmountTooLow);
        assert_ok!(call(&key("//Dave"), add(TAO, false)));
        assert_noop!(call(&key("//Dave"), remove(TAO + 1)), Refusal::SlippageTooHigh);
        assert_ok!(call(&key("//Dave"), remove(TAO)));
    });
}

#[test]
fn dividends_go_to_all_stakers_and_incentive_to_the_owner() {
    chain(|genesis| genesis.subnet.emission_per_block = TAO).execute_with(|| {
        assert_ok!(register("//Eve", "//m4"));
        assert_ok!(stake("//Dave", ALICE_HOTKEY, 50_000 * TAO));
        assert_ok!(stake("//Dave", "//m4", 10 * TAO));
        advance_to(2);
        for validator in [ALICE_HOTKEY, "//Bob//hotkey", "//Charlie//hotkey"] {
            assert_ok!(set_weights(validator, &[(4, 1)]));
        }
        advance_to(20);
        // Alice and Dave have half each of Alice's hotkey, and so the same dividends.
        let (alice, dave) = (positions("//Alice"), positions("//Dave"));
        assert_eq!(alice[0].1, dave[0].1);
        assert!(alice[0].1 > 50_000 * TAO);
        // Eve owns the miner's hotkey and gets its ten alpha of incentive, Dave keeps his stake.
        assert_eq!(dave[1], (key("//m4"), 10 * TAO));
        let [(hotkey, earned)] = &positions("//Eve")[..] else { panic!("no position") };
        assert_eq!(*hotkey, key("//m4"));
        assert!(earned.abs_diff(10 * TAO) < 100, "{earned}");
        let sum: u64 = TotalHotkeyAlpha::<Runtime>::iter().map(|(_, _, alpha)| alpha.0).sum();
        assert_eq!(SubnetAlphaOut::<Runtime>::get(SUBNET).0, sum);
    });
}

#[test]
fn addresses_are_announced_and_withdrawn() {
    chain(|genesis| genesis.subnet.serving_rate_limit = 5).execute_with(|| {
        let serve = |ip: u128, port, ip_type| Call::<Runtime>::serve_axon {
            netuid: SUBNET,
            version: 1,
            ip,
            port,
            ip_type,
            protocol: 4,
            placeholder1: 0,
            placeholder2: 0,
        };
        let pool = |who: &str, call: &Call<Runtime>| {
            subtensor::Pallet::<Runtime>::check_in_pool(&key(who), call).err().map(PoolRefusal::number)
        };
        let cases = [
            ("//stranger", serve(0x0808_0808, 80, 4), Refusal::HotKeyNotRegisteredInNetwork, 10),
            (ALICE_HOTKEY, serve(0x0808_0808, 80, 5), Refusal::InvalidIpType, 255),
            (ALICE_HOTKEY, serve(0x7f00_0001, 80, 4), Refusal::InvalidIpAddress, 11),
            (ALICE_HOTKEY, serve(0x0808_0808, 0, 4), Refusal::InvalidPort, 13),
        ];
        for (who, wrong, refusal, number) in cases {
            assert_eq!(pool(who, &wrong), Some(number));
            assert_noop!(call(&key(who), wrong), refusal);
        }
        assert_ok!(call(&key(ALICE_HOTKEY), serve(0x0808_0808, 80, 4)));
        let neurons: Vec<NeuronInfoLite> = ask("NeuronInfoRuntimeApi_get_neurons_lite", SUBNET);
        assert_eq!((neurons[1].axon_info.ip, neurons[1].axon_info.port), (0x0808_0808, 80));
        assert_eq!(pool(ALICE_HOTKEY, &serve(0, 1, 4)), Some(12));
        assert_noop!(call(&key(ALICE_HOTKEY), serve(0, 1, 4)), Refusal::ServingRateLimitExceeded);
        advance_to(6);
        assert_ok!(call(&key(ALICE_HOTKEY), serve(0, 1, 4)));
        assert_eq!(Axons::<Runtime>::get(SUBNET, key(ALICE_HOTKEY)).unwrap().ip, 0);
    });
}

#[test]
fn a_hotkey_that_loses_its_seat_loses_its_address() {
    chain(|genesis| genesis.subnet.max_allowed_uids = 4).execute_with(|| {
        let axon = devchain_runtime::metagraph::AxonInfo { port: 80, ..Default::default() };
        for hotkey in [ALICE_HOTKEY, "//Bob//hotkey", "//Charlie//hotkey"] {
            Axons::<Runtime>::insert(SUBNET, key(hotkey), axon.clone());
        }
        assert_ok!(register("//Dave", "//m"));
        assert_eq!(Axons::<Runtime>::iter().count(), 2);
    });
}

#[test]
fn tools_read_neurons_stake_prices_and_hyperparameters() {
    chain(|genesis| genesis.subnet.tempo = 20).execute_with(|| {
        let neurons: Vec<NeuronInfoLite> = ask("NeuronInfoRuntimeApi_get_neurons_lite", SUBNET);
        assert_eq!(neurons.len(), 4);
        assert_eq!(neurons[2].stake, [(key("//Bob"), Compact(AlphaBalance(40_000 * TAO)))]);
        let second: Option<NeuronInfoLite> = ask("NeuronInfoRuntimeApi_get_neuron_lite", (SUBNET, 2_u16));
        assert_eq!(second.as_ref(), Some(&neurons[2]));
        let absent: Option<NeuronInfoLite> = ask("NeuronInfoRuntimeApi_get_neuron_lite", (SUBNET, 4_u16));
        assert_eq!(absent, None);

        let prices: Vec<SubnetPrice> = ask("SwapRuntimeApi_current_alpha_price_all", ());
        assert_eq!(prices, [SubnetPrice { netuid: SUBNET, price: TAO }]);
        let trade: SimSwapResult = ask("SwapRuntimeApi_sim_swap_tao_for_alpha", (SUBNET, TaoBalance(5)));
        assert_eq!((trade.alpha_amount, trade.tao_fee), (AlphaBalance(5), TaoBalance(0)));

        let available: BTreeMap<AccountId32, BTreeMap<NetUid, StakeAvailability>> = ask(
            "StakeInfoRuntimeApi_get_stake_availability_for_coldkeys",
            (vec![key("//Bob")], Some(vec![SUBNET])),
        );
        assert_eq!(available[&key("//Bob")][&SUBNET].available.0, AlphaBalance(40_000 * TAO));

        let entries: Option<Vec<HyperparamEntry>> =
            ask("SubnetInfoRuntimeApi_get_subnet_hyperparams_v3", SUBNET);
        let value = |name: &str| {
            let entry = entries.iter().flatten().find(|entry| entry.name == name.as_bytes());
            entry.map(|entry| entry.value.clone())
        };
        assert_eq!(value("tempo"), Some(HyperparamValue::U16(Compact(20))));
        assert_eq!(value("commit_reveal_period"), Some(HyperparamValue::U64(Compact(1))));
        assert_eq!(value("activity_cutoff_factor"), Some(HyperparamValue::U32(Compact(250_000))));
        let nothing: Option<Vec<HyperparamEntry>> =
            ask("SubnetInfoRuntimeApi_get_subnet_hyperparams_v3", NetUid(9));
        assert_eq!(nothing, None);
        assert_eq!(dispatch("NeuronInfoRuntimeApi_get_neurons", &[]), None, "unknown functions are an error");
    });
}

#[test]
fn tools_read_who_staked_on_a_hotkey() {
    chain(|_| {}).execute_with(|| {
        assert_ok!(stake("//Dave", ALICE_HOTKEY, 10 * TAO));
        let hotkey: Option<DelegateInfo> = ask("DelegateInfoRuntimeApi_get_delegate", key(ALICE_HOTKEY));
        let hotkey = hotkey.unwrap();
        assert_eq!(
            (hotkey.owner_ss58.clone(), hotkey.registrations.clone()),
            (key("//Alice"), vec![Compact(SUBNET)])
        );
        let alpha = |tao: u64| vec![(Compact(SUBNET), Compact(tao * TAO))];
        assert_eq!(hotkey.nominators.len(), 2);
        assert!(hotkey.nominators.contains(&(key("//Dave"), alpha(10))));
        assert!(hotkey.nominators.contains(&(key("//Alice"), alpha(50_000))));
        let held: Vec<Delegated> = ask("DelegateInfoRuntimeApi_get_delegated", key("//Dave"));
        assert_eq!(held, [(hotkey, (Compact(SUBNET), Compact(AlphaBalance(10 * TAO))))]);
        let stranger: Option<DelegateInfo> = ask("DelegateInfoRuntimeApi_get_delegate", key("//stranger"));
        assert_eq!(stranger, None);
    });
}

#[test]
fn a_validator_is_inactive_after_the_cutoffs_share_of_tempos() {
    chain(|genesis| genesis.subnet.activity_cutoff = 30).execute_with(|| {
        advance_to(2);
        assert_ok!(set_weights(ALICE_HOTKEY, &[(0, 1)]));
        advance_to(20);
        assert_eq!(Active::<Runtime>::get(SUBNET), [true; 4]);
        advance_to(40);
        assert_eq!(Active::<Runtime>::get(SUBNET), [false; 4], "two tempos are more than the cutoff");
        // The owner may change the factor and the tempo; the cutoff follows.
        ActivityCutoffFactorMilli::<Runtime>::insert(SUBNET, 3_000);
        advance_to(60);
        let active = Active::<Runtime>::get(SUBNET);
        assert_eq!(active, [true; 4], "three tempos are 60 blocks");
    });
}

#[test]
fn the_metadata_tells_the_block_time_that_the_node_wrote() {
    let slot = || {
        let metadata = chain_metadata::decode::decode(&Runtime::metadata_at_version(15).unwrap()).unwrap();
        let aura = metadata.pallet_by_name("Aura").unwrap();
        u64::decode(&mut aura.constant_by_name("SlotDuration").unwrap().value()).unwrap()
    };
    assert_eq!(slot(), 12_000);
    chain(|_| {}).execute_with(|| {
        sp_io::storage::set(&slot_duration_key(), &250_u64.encode());
        assert_eq!(slot(), 250);
    });
}
