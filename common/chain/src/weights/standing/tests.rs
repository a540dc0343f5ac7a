use super::*;
use base::{BlockHash, UnixMillis};

fn rules() -> Hyperparameters {
    Hyperparameters {
        tempo: 20,
        max_uids: 256,
        max_validators: 64,
        immunity_period: 100,
        min_weights: 2,
        max_weight: u16::MAX,
        weights_rate_limit: 10,
        weights_version: 7,
        commit_reveal: false,
        activity_cutoff: 5000,
        kappa: 32767,
        bonds_moving_average: 900_000,
        bonds_penalty: u16::MAX,
        yuma3: false,
        registration_open: true,
        price: Rao(1),
        min_price: Rao(1),
        max_price: Rao(1),
        stake_threshold: 0,
    }
}

fn standing() -> WeightsStanding {
    let schedule = EpochSchedule {
        block: Height(49),
        tempo: 20,
        last: Height(40),
        pending: None,
        index: 2,
        since_step: 9,
    };
    WeightsStanding {
        head: Block {
            height: Height(49),
            hash: BlockHash([1; 32]),
            parent: BlockHash([0; 32]),
            time: UnixMillis(1),
        },
        neurons: 4,
        uid: Some(Uid(0)),
        owner: false,
        permit: true,
        last_update: Some(Height(40)),
        alpha: Rao(5),
        rules: rules(),
        schedule,
        reveal_period: 1,
        form: WeightsForm::Plain,
    }
}

fn at(height: u64) -> WeightsStanding {
    let standing = standing();
    let head = Block { height: Height(height), ..standing.head };
    WeightsStanding { head, ..standing }
}

fn row(weights: &[(u16, u16)]) -> Row {
    weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect()
}

fn check(standing: &WeightsStanding, weights: &[(u16, u16)]) -> Result<Uid, WeightsError> {
    standing.check(Netuid(3), &row(weights), 7)
}

#[test]
fn good_weights_pass() {
    assert_eq!(check(&standing(), &[(1, 5), (2, 6)]), Ok(Uid(0)));
}

#[test]
fn what_the_chain_would_refuse_is_told_beforehand() {
    let foreseen = |refusal| Err(WeightsError::Foreseen(refusal));
    let good = [(1, 5), (2, 6)];
    assert_eq!(standing().check(Netuid(0), &row(&good), 7), foreseen(Refusal::RootWeights));
    let unknown = WeightsStanding { form: WeightsForm::Unknown, ..standing() };
    assert_eq!(check(&unknown, &good), Err(WeightsError::UnknownForm(Netuid(3))));
    assert_eq!(check(&standing(), &[(0, 1); 5]), foreseen(Refusal::MoreWeightsThanNeurons));
    assert_eq!(check(&WeightsStanding { uid: None, ..standing() }, &good), foreseen(Refusal::NotRegistered));
    assert_eq!(check(&standing(), &[(1, 5), (1, 6)]), foreseen(Refusal::DuplicateUids));
    assert_eq!(check(&standing(), &[(1, 5), (4, 6)]), foreseen(Refusal::UnknownUid));
    let other = WeightsStanding { uid: Some(Uid(1)), permit: false, ..standing() };
    assert_eq!(check(&other, &good), foreseen(Refusal::NoValidatorPermit));
    assert_eq!(check(&WeightsStanding { owner: true, ..other }, &good), Ok(Uid(1)));
}

#[test]
fn version_key_and_length_are_told_with_their_numbers() {
    let old = standing().check(Netuid(3), &row(&[(1, 5), (2, 6)]), 6).unwrap_err();
    assert_eq!(
        old.to_string(),
        "version key 6 is older than the 7 that subnet 3 requires: update this program and its run file"
    );
    let few = check(&standing(), &[(1, 5)]).unwrap_err();
    assert_eq!(
        few.to_string(),
        "1 weights are fewer than the 2 that subnet 3 requires: add uids of weight 0"
    );
}

#[test]
fn the_rate_limit_is_known_beforehand() {
    let early = at(48);
    let error = check(&early, &[(1, 5), (2, 6)]).unwrap_err();
    assert_eq!(error, WeightsError::TooSoon { last: Height(40), next: Height(50) });
    assert!(error.is_retryable());
    let never_set = WeightsStanding { last_update: None, ..early };
    assert_eq!(check(&never_set, &[(1, 5), (2, 6)]), Ok(Uid(0)));
}

#[test]
fn a_hotkey_may_always_weigh_itself() {
    let other = WeightsStanding { uid: Some(Uid(1)), permit: false, ..standing() };
    assert_eq!(check(&other, &[(1, 5)]), Ok(Uid(1)));
}

#[test]
fn the_form_follows_the_flag_and_the_runtime() {
    let beacon = || Some(Beacon::new(default_beacon()));
    let (new, old) = (crate::golden::runtime_461(), crate::golden::runtime_365());
    assert_eq!(form(false, beacon(), Mechanism::MAIN, &new), WeightsForm::Plain);
    for mechanism in [Mechanism::MAIN, Mechanism(1)] {
        let found = form(true, beacon(), mechanism, &new);
        assert_eq!(found, WeightsForm::Timelocked(Beacon::new(default_beacon())));
        assert_eq!(form(true, None, mechanism, &new), WeightsForm::Hash, "another version");
    }
    assert_ne!(form(true, beacon(), Mechanism::MAIN, &old), WeightsForm::Unknown);
}

/// Returns the beacon that the pinned runtime has by default.
fn default_beacon() -> api::runtime_types::pallet_drand::types::BeaconConfiguration {
    use subxt::ext::scale_decode::DecodeAsType;
    let runtime = crate::golden::runtime_461();
    let storage = runtime.metadata.pallet_by_name("Drand").unwrap().storage().unwrap();
    let entry = storage.entry_by_name("BeaconConfig").unwrap();
    let mut bytes = entry.default_value().unwrap();
    let types = runtime.metadata.types();
    DecodeAsType::decode_as_type(&mut bytes, entry.value_ty(), types).unwrap()
}

#[test]
fn a_standing_says_what_will_happen() {
    let text = standing().to_string();
    assert_eq!(
        text,
        "weights are set openly (commit-reveal is off); the rate limit of 10 blocks allows them in block 50"
    );
    let form = WeightsForm::Timelocked(Beacon::new(default_beacon()));
    let text = WeightsStanding { form, ..standing() }.to_string();
    assert!(text.contains("in 1 epoch(s), from block 60 on"), "{text}");
    let poor = WeightsStanding {
        permit: false,
        rules: Hyperparameters { stake_threshold: 9, ..rules() },
        ..standing()
    };
    assert_eq!(poor.obstacles().len(), 2);
    assert!(standing().obstacles().is_empty());
    let idle = at(40 + 5001).obstacles();
    assert!(idle.len() == 1 && idle[0].contains("5001 blocks old"), "{idle:?}");
    assert!(at(40 + 5000).obstacles().is_empty());
    assert!(WeightsStanding { owner: true, ..poor }.obstacles().is_empty());
}
