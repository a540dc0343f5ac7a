//! Tests commit-reveal: hashes that validators reveal, and encrypted weights that the chain reveals.

use crate::support::*;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use devchain_runtime::{
    Runtime, RuntimeEvent,
    drand::{BeaconConfig, BeaconConfiguration, LastStoredRound, Pulses, beacon},
    runtime::System,
    subtensor::{self, Call, Error, Event, *},
    types::{MechId, NetUid, NetUidStorageIndex},
};
use frame_support::{assert_noop, assert_ok};
use parity_scale_codec::{Compact, Encode};
use sp_core::H256;
use sp_io::TestExternalities;
use sp_io::hashing::{blake2_256, sha2_256};
use sp_runtime::DispatchError;
use timelock::{
    block_ciphers::AESGCMBlockCipherProvider,
    engines::{EngineBLS, drand::TinyBLS381},
    ibe::fullident::Identity,
    tlock::{OpaqueSecretKey, tle},
};

type Refusal = Error<Runtime>;

const ALICE: &str = "//Alice//hotkey";
const BOB: &str = "//Bob//hotkey";
/// The time of all blocks of a test, in milliseconds since 1970, and the beacon's newest round then.
const NOW_MS: u64 = 1_700_000_000_000;
const NOW_ROUND: u64 = (1_700_000_000 - 1_692_803_367) / 3 + 1;

/// Creates a chain with commit-reveal. Its epochs begin in the blocks 20, 40, 60, …
fn committing() -> TestExternalities {
    let mut chain = chain(|genesis| genesis.subnet.commit_reveal_weights_enabled = true);
    chain.execute_with(|| set_time(NOW_MS));
    chain
}

fn set_time(now_ms: u64) {
    pallet_timestamp::Now::<Runtime>::put(now_ms);
}

fn commit(hotkey: &str, hash: H256) -> Result<(), DispatchError> {
    call(&key(hotkey), Call::<Runtime>::commit_weights { netuid: SUBNET, commit_hash: hash })
}

fn contents(uids: &[u16], salt: u16) -> Reveal {
    Reveal { uids: uids.to_vec(), values: vec![7; uids.len()], salt: vec![salt], version_key: 0 }
}

fn hash(hotkey: &str, contents: &Reveal) -> H256 {
    contents.hash(&key(hotkey), MAIN)
}

fn reveal_call(contents: &Reveal) -> Call<Runtime> {
    let Reveal { uids, values, salt, version_key } = contents;
    let (uids, values, salt) = (uids.clone(), values.clone(), salt.clone());
    Call::reveal_weights { netuid: SUBNET, uids, values, salt, version_key: *version_key }
}

fn reveal(hotkey: &str, contents: &Reveal) -> Result<(), DispatchError> {
    call(&key(hotkey), reveal_call(contents))
}

fn weights_of(uid: u16) -> Vec<(u16, u16)> {
    Weights::<Runtime>::get(MAIN, uid)
}

fn in_pool(hotkey: &str, call: &Call<Runtime>) -> Option<u8> {
    subtensor::Pallet::<Runtime>::check_in_pool(&key(hotkey), call).err().map(|refusal| refusal.number())
}

#[test]
fn plain_weights_are_refused() {
    committing().execute_with(|| {
        assert_noop!(set_weights(ALICE, &[(0, 1)]), Refusal::CommitRevealEnabled);
        let for_mechanism = Call::<Runtime>::set_mechanism_weights {
            netuid: SUBNET,
            mecid: MechId(0),
            dests: vec![0],
            weights: vec![1],
            version_key: 0,
        };
        assert_noop!(call(&key(ALICE), for_mechanism), Refusal::CommitRevealEnabled);
    });
}

#[test]
fn commits_are_refused_where_weights_are_plain() {
    chain(|_| {}).execute_with(|| {
        assert_noop!(commit(ALICE, H256::zero()), Refusal::CommitRevealDisabled);
        assert_noop!(reveal(ALICE, &contents(&[0], 1)), Refusal::CommitRevealDisabled);
        assert_noop!(commit_encrypted(ALICE, vec![1], NOW_ROUND), Refusal::CommitRevealDisabled);
    });
}

#[test]
fn a_hash_is_revealed_in_the_next_epoch_and_in_no_other() {
    committing().execute_with(|| {
        let mine = contents(&[2, 3], 1);
        assert_ok!(commit(ALICE, hash(ALICE, &mine)));
        assert_eq!(LastUpdate::<Runtime>::get(MAIN)[1], 1, "a commit counts as an update");
        assert_noop!(reveal(ALICE, &mine), Refusal::RevealTooEarly);
        assert_eq!(in_pool(ALICE, &reveal_call(&mine)), Some(17));

        advance_to(20);
        assert_noop!(reveal(ALICE, &contents(&[2, 3], 2)), Refusal::InvalidRevealCommitHashNotMatch);
        assert_eq!(in_pool(ALICE, &reveal_call(&contents(&[2, 3], 2))), Some(16));
        assert_noop!(reveal(BOB, &mine), Refusal::NoWeightsCommitFound);
        assert_eq!(in_pool(ALICE, &reveal_call(&mine)), None);
        assert_ok!(reveal(ALICE, &mine));
        assert_eq!(weights_of(1), [(2, 65535), (3, 65535)]);
        assert_eq!(LastUpdate::<Runtime>::get(MAIN)[1], 1, "a reveal does not");
        assert_noop!(reveal(ALICE, &mine), Refusal::NoWeightsCommitFound);
        let revealed = Event::WeightsRevealed(key(ALICE), MAIN, hash(ALICE, &mine));
        System::assert_last_event(RuntimeEvent::SubtensorModule(revealed));

        assert_ok!(commit(ALICE, hash(ALICE, &mine)));
        advance_to(60);
        assert_noop!(reveal(ALICE, &mine), Refusal::ExpiredWeightCommit);
    });
}

#[test]
fn a_commit_waits_for_as_many_epochs_as_the_subnet_says() {
    let mut chain = chain(|genesis| {
        genesis.subnet.commit_reveal_weights_enabled = true;
        genesis.subnet.reveal_period_epochs = 3;
    });
    chain.execute_with(|| {
        let mine = contents(&[2], 1);
        assert_ok!(commit(ALICE, hash(ALICE, &mine)));
        advance_to(59);
        assert_noop!(reveal(ALICE, &mine), Refusal::RevealTooEarly);
        advance_to(60);
        assert_ok!(reveal(ALICE, &mine));
    });
}

#[test]
fn commits_are_limited_in_number_and_rate() {
    committing().execute_with(|| {
        assert_noop!(commit("//stranger", H256::zero()), Refusal::HotKeyNotRegisteredInSubNet);
        for salt in 0..10 {
            assert_ok!(commit(ALICE, hash(ALICE, &contents(&[2], salt))));
        }
        assert_noop!(commit(ALICE, H256::zero()), Refusal::TooManyUnrevealedCommits);

        advance_to(20);
        // The later commit stays, the earlier ones are gone.
        assert_ok!(reveal(ALICE, &contents(&[2], 8)));
        assert_noop!(reveal(ALICE, &contents(&[2], 3)), Refusal::InvalidRevealCommitHashNotMatch);
        assert_ok!(reveal(ALICE, &contents(&[2], 9)));

        WeightsSetRateLimit::<Runtime>::insert(SUBNET, 30);
        assert_noop!(commit(ALICE, H256::zero()), Refusal::CommittingWeightsTooFast);
        let again = Call::commit_weights { netuid: SUBNET, commit_hash: H256::zero() };
        assert_eq!(in_pool(ALICE, &again), Some(6));
        advance_to(31);
        assert_ok!(commit(ALICE, H256::zero()));
    });
}

#[test]
fn batches_commit_and_reveal_several_at_once() {
    committing().execute_with(|| {
        let (first, second) = (contents(&[2], 1), contents(&[3], 2));
        let hashes = vec![hash(ALICE, &first), hash(ALICE, &second)];
        let netuids = vec![Compact(SUBNET), Compact(SUBNET)];
        let unequal = Call::<Runtime>::batch_commit_weights {
            netuids: netuids.clone(),
            commit_hashes: hashes[..1].into(),
        };
        assert_eq!(in_pool(ALICE, &unequal), Some(18));
        assert_noop!(call(&key(ALICE), unequal), Refusal::InputLengthsUnequal);
        assert_ok!(call(
            &key(ALICE),
            Call::<Runtime>::batch_commit_weights { netuids, commit_hashes: hashes.clone() }
        ));

        advance_to(20);
        let batch = |last: u16| Call::<Runtime>::batch_reveal_weights {
            netuid: SUBNET,
            uids_list: vec![vec![2], vec![3]],
            values_list: vec![vec![7], vec![7]],
            salts_list: vec![vec![1], vec![last]],
            version_keys: vec![0, 0],
        };
        let all_or_nothing = frame_support::storage::with_storage_layer(|| call(&key(ALICE), batch(9)));
        assert_eq!(all_or_nothing, Err(Refusal::InvalidRevealCommitHashNotMatch.into()));
        assert_eq!(weights_of(1), []);
        assert_ok!(call(&key(ALICE), batch(2)));
        assert_eq!(weights_of(1), [(3, 65535)]);
        let revealed = Event::WeightsBatchRevealed(key(ALICE), SUBNET, hashes);
        System::assert_last_event(RuntimeEvent::SubtensorModule(revealed));
        assert_eq!(WeightCommits::<Runtime>::get(MAIN, key(ALICE)), None);
    });
}

#[test]
fn a_batch_goes_on_after_an_item_that_fails() {
    committing().execute_with(|| {
        let netuids = vec![Compact(NetUid(9)), Compact(SUBNET)];
        let commit_hashes = vec![H256::zero(), H256::zero()];
        assert_ok!(call(&key(ALICE), Call::<Runtime>::batch_commit_weights { netuids, commit_hashes }));
        assert_eq!(WeightCommits::<Runtime>::get(MAIN, key(ALICE)).unwrap().len(), 1);
        let failed = Event::BatchWeightItemFailed(NetUid(9), Refusal::MechanismDoesNotExist.into());
        assert!(
            System::events()
                .iter()
                .any(|record| record.event == RuntimeEvent::SubtensorModule(failed.clone()))
        );
    });
}

#[test]
fn another_mechanism_keeps_its_own_weights() {
    committing().execute_with(|| {
        let second = MechId(1);
        let to_second = |hash| Call::<Runtime>::commit_mechanism_weights {
            netuid: SUBNET,
            mecid: second,
            commit_hash: hash,
        };
        assert_noop!(call(&key(ALICE), to_second(H256::zero())), Refusal::MechanismDoesNotExist);
        MechanismCountCurrent::<Runtime>::insert(SUBNET, MechId(2));
        let index = NetUidStorageIndex(3 + 4096);
        let mine = contents(&[2], 1);
        assert_ok!(call(&key(ALICE), to_second(mine.hash(&key(ALICE), index))));
        advance_to(20);
        let reveal = Call::<Runtime>::reveal_mechanism_weights {
            netuid: SUBNET,
            mecid: second,
            uids: vec![2],
            values: vec![7],
            salt: vec![1],
            version_key: 0,
        };
        assert_ok!(call(&key(ALICE), reveal));
        assert_eq!(Weights::<Runtime>::get(index, 1), [(2, 65535)]);
        assert_eq!(weights_of(1), []);
    });
}

/// Random numbers from a counter. Each test gets the same ones.
struct Counter(u64);
impl ark_std::rand::RngCore for Counter {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        u64::from_le_bytes(blake2_256(&self.0.to_le_bytes())[..8].try_into().unwrap())
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.chunks_mut(8).for_each(|part| {
            let random = self.next_u64().to_le_bytes();
            part.copy_from_slice(&random[..part.len()]);
        });
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), ark_std::rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}
impl ark_std::rand::CryptoRng for Counter {}

/// Encrypts bytes to a round, in the form of the crate `timelock`, with the lengths that the chain
/// expects before the two hashes of the header.
fn encrypt(plain: &[u8], round: u64) -> Vec<u8> {
    let key = BeaconConfig::<Runtime>::get().public_key;
    let key = <TinyBLS381 as EngineBLS>::PublicKeyGroup::deserialize_compressed(&key[..]).unwrap();
    let identity = Identity::new(b"", &sha2_256(&round.to_be_bytes()));
    let secret: OpaqueSecretKey = [9; 32];
    let sealed =
        tle::<TinyBLS381, AESGCMBlockCipherProvider, _>(key, secret, plain, identity, Counter(round))
            .unwrap();
    let mut bytes = Vec::new();
    sealed.serialize_compressed(&mut bytes).unwrap();
    let length = 32_u64.to_le_bytes();
    [&bytes[..96], &length, &bytes[96..128], &length, &bytes[128..]].concat()
}

/// Encrypts weights as a validator does.
fn sealed_weights(hotkey: &str, weights: &[(u16, u16)], round: u64) -> Vec<u8> {
    let (uids, values): (Vec<u16>, Vec<u16>) = weights.iter().copied().unzip();
    let hotkey: &[u8] = &key(hotkey).encode();
    encrypt(&(hotkey, uids, values, 0_u64).encode(), round)
}

fn encrypted_call(commit: Vec<u8>, reveal_round: u64) -> Call<Runtime> {
    let commit = commit.try_into().unwrap();
    Call::commit_timelocked_weights { netuid: SUBNET, commit, reveal_round, commit_reveal_version: 4 }
}

fn commit_encrypted(hotkey: &str, commit: Vec<u8>, reveal_round: u64) -> Result<(), DispatchError> {
    call(&key(hotkey), encrypted_call(commit, reveal_round))
}

#[test]
fn encrypted_weights_are_revealed_when_the_next_epoch_begins() {
    committing().execute_with(|| {
        for hotkey in [ALICE, BOB] {
            let sealed = sealed_weights(hotkey, &[(0, 1), (3, 2)], NOW_ROUND);
            assert_ok!(commit_encrypted(hotkey, sealed, NOW_ROUND));
        }
        assert_eq!(LastUpdate::<Runtime>::get(MAIN)[1], 1);
        advance_to(19);
        assert!(Pulses::<Runtime>::contains_key(NOW_ROUND), "the pulse is known before");
        assert_eq!(weights_of(1), []);
        advance_to(20);
        assert_eq!(weights_of(1), [(0, 32768), (3, 65535)]);
        assert_eq!(TimelockedWeightCommits::<Runtime>::iter().count(), 0);
        let revealed = RuntimeEvent::SubtensorModule(Event::TimelockedWeightsRevealed(MAIN, key(ALICE)));
        assert!(System::events().iter().any(|record| record.event == revealed));
        // The epoch of the same block already counts them.
        assert!(ValidatorTrust::<Runtime>::get(SUBNET)[1].deconstruct() > 0);
    });
}

#[test]
fn encrypted_weights_wait_for_their_round_within_their_epoch() {
    committing().execute_with(|| {
        let (late, never) = (NOW_ROUND + 2, NOW_ROUND + 1000);
        assert_ok!(commit_encrypted(ALICE, sealed_weights(ALICE, &[(2, 1)], late), late));
        assert_ok!(commit_encrypted(BOB, sealed_weights(BOB, &[(2, 1)], never), never));
        advance_to(25);
        assert_eq!(weights_of(1), [], "the round is in the future");
        set_time(NOW_MS + 6_000);
        advance_to(26);
        assert_eq!(weights_of(1), [(2, 65535)]);
        assert_eq!(LastStoredRound::<Runtime>::get(), late);

        advance_to(39);
        set_time(NOW_MS + 3_000_000);
        advance_to(40);
        assert_eq!(weights_of(2), [], "the epoch of the reveal is over");
        assert_eq!(TimelockedWeightCommits::<Runtime>::iter().count(), 0);
    });
}

#[test]
fn encrypted_commits_are_refused_for_what_is_wrong_with_them() {
    committing().execute_with(|| {
        let sealed = sealed_weights(ALICE, &[(2, 1)], NOW_ROUND);
        let old = Call::<Runtime>::commit_timelocked_weights {
            netuid: SUBNET,
            commit: sealed.clone().try_into().unwrap(),
            reveal_round: NOW_ROUND,
            commit_reveal_version: 3,
        };
        assert_noop!(call(&key(ALICE), old), Refusal::IncorrectCommitRevealVersion);
        assert_noop!(
            commit_encrypted("//stranger", sealed.clone(), NOW_ROUND),
            Refusal::HotKeyNotRegisteredInSubNet
        );
        for _ in 0..10 {
            assert_ok!(commit_encrypted(ALICE, sealed.clone(), NOW_ROUND));
        }
        assert_noop!(commit_encrypted(ALICE, sealed.clone(), NOW_ROUND), Refusal::TooManyUnrevealedCommits);
        assert_ok!(commit_encrypted(BOB, sealed.clone(), NOW_ROUND));
        WeightsSetRateLimit::<Runtime>::insert(SUBNET, 5);
        advance_to(3);
        assert_noop!(commit_encrypted(BOB, sealed.clone(), NOW_ROUND), Refusal::CommittingWeightsTooFast);

        assert_eq!(in_pool(ALICE, &encrypted_call(sealed.clone(), NOW_ROUND)), None);
        assert_eq!(in_pool(ALICE, &encrypted_call(sealed, NOW_ROUND - 1)), Some(15), "the pulse is known");
    });
}

#[test]
fn a_commit_that_is_malformed_copied_or_against_the_rules_sets_nothing() {
    committing().execute_with(|| {
        let mut broken = sealed_weights(ALICE, &[(2, 1)], NOW_ROUND);
        *broken.last_mut().unwrap() ^= 1;
        let middle = broken.len() / 2;
        broken[middle] ^= 1;
        assert_ok!(commit_encrypted(ALICE, broken, NOW_ROUND));
        assert_ok!(commit_encrypted(ALICE, vec![0; 10], NOW_ROUND));
        assert_ok!(commit_encrypted(ALICE, encrypt(b"no weights", NOW_ROUND), NOW_ROUND));
        assert_ok!(commit_encrypted(BOB, sealed_weights(ALICE, &[(2, 1)], NOW_ROUND), NOW_ROUND));
        let beyond = sealed_weights("//Charlie//hotkey", &[(99, 1)], NOW_ROUND);
        assert_ok!(commit_encrypted("//Charlie//hotkey", beyond, NOW_ROUND));
        advance_to(20);
        assert_eq!(Weights::<Runtime>::iter().count(), 0);
        assert_eq!(TimelockedWeightCommits::<Runtime>::iter().count(), 0);
    });
}

#[test]
fn a_commit_of_bittensors_sdk_is_revealed() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../data/sdk-timelock.json")).unwrap();
    let round = golden["reveal_round"].as_u64().unwrap();
    let commit = hex::decode(golden["commit"].as_str().unwrap()).unwrap();
    committing().execute_with(|| {
        set_time((1_692_803_367 + 3 * (round - 1)) * 1000);
        assert_ok!(commit_encrypted(golden["hotkey"].as_str().unwrap(), commit, round));
        advance_to(20);
        assert_eq!(weights_of(1), [(2, 32768), (3, 65535)]);
    });
}

/// Returns the incentive of a neuron that was registered in block 10, for weights that two validators
/// set in block 15.
fn incentive_of_a_new_neuron(with_open_commits: bool) -> u16 {
    committing().execute_with(|| {
        assert_ok!(register("//Dave", "//m4"));
        for (hotkey, uid) in [(ALICE, 1), (BOB, 2)] {
            Weights::<Runtime>::insert(MAIN, uid, vec![(4, 65535)]);
            if with_open_commits {
                assert_ok!(commit_encrypted(hotkey, vec![1], NOW_ROUND + 1000));
            }
        }
        advance_to(19);
        BlockAtRegistration::<Runtime>::insert(SUBNET, 4, 10);
        LastUpdate::<Runtime>::mutate(MAIN, |updates| (updates[1], updates[2]) = (15, 15));
        advance_to(20);
        Incentive::<Runtime>::get(MAIN)[4].deconstruct()
    })
}

#[test]
fn weights_do_not_count_for_a_neuron_registered_after_an_open_commit() {
    assert!(incentive_of_a_new_neuron(false) > 0);
    assert_eq!(incentive_of_a_new_neuron(true), 0, "the commits of block 1 are older than the neuron");
}

#[test]
fn pulses_are_those_of_the_stored_key() {
    committing().execute_with(|| {
        advance_to(2);
        assert_eq!(LastStoredRound::<Runtime>::get(), NOW_ROUND);
        let pulse = Pulses::<Runtime>::get(NOW_ROUND).unwrap();
        assert_eq!(pulse.randomness.to_vec(), sha2_256(&pulse.signature));
        assert_eq!(pulse.signature.to_vec(), beacon::sign(NOW_ROUND));
        let config = BeaconConfig::<Runtime>::get();
        assert_eq!((config.period, config.genesis_time), (3, 1_692_803_367));
        assert_ne!(config.public_key, BeaconConfiguration::default().public_key);
        // A message for this round opens with its pulse, and with no other.
        let sealed = encrypt(b"hello", NOW_ROUND);
        assert_eq!(beacon::decrypt(&sealed, &pulse.signature), Some(b"hello".to_vec()));
        assert_eq!(beacon::decrypt(&sealed, &beacon::sign(NOW_ROUND + 1)), None);
    });
}

#[test]
fn without_commit_reveal_no_pulse_is_made() {
    chain(|_| {}).execute_with(|| {
        set_time(NOW_MS);
        advance_to(5);
        assert_eq!(LastStoredRound::<Runtime>::get(), 0);
        assert_eq!(Pulses::<Runtime>::iter().count(), 0);
    });
}
