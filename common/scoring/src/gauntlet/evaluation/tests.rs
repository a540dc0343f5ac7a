use super::*;
use base::{Height, Hotkey};

const MINER: NeuronId = NeuronId { hotkey: Hotkey([7; 32]), registered: Height(1) };

fn judge(assigned: [f64; 2], unassigned: [f64; 2]) -> Result<Result<Judgement, Fault>, BaseLossError> {
    let assigned = Losses { before: assigned[0], after: assigned[1] };
    Evaluation { assigned, unassigned_after: unassigned[1] }.judge(MINER, unassigned[0])
}

#[test]
fn training_shows_as_a_margin() {
    let judgement = judge([8.0, 6.0], [4.0, 3.5]).unwrap().unwrap();
    assert_eq!(judgement, Judgement { improvement: 0.125, margin: 0.125 });
}

#[test]
fn an_update_that_changes_nothing_is_a_failure() {
    assert_eq!(judge([8.0, 8.0], [4.0, 4.0]), Ok(Err(Fault::ChangesNothing)));
    assert!(judge([8.0, 8.0], [4.0, 3.9]).unwrap().is_ok());
}

#[test]
fn an_update_that_helps_only_its_own_data_is_no_success() {
    assert_eq!(judge([8.0, 7.0], [4.0, 4.5]), Ok(Err(Fault::NoImprovement)));
    assert_eq!(
        judge([8.0, 7.0], [4.0, 4.0]),
        Ok(Err(Fault::NoImprovement)),
        "not even if the miner's own data does"
    );
    assert_eq!(judge([8.0, 7.0], [4.0, f64::MAX]), Ok(Err(Fault::NoImprovement)));
    let least = f64::from_bits(4.0f64.to_bits() - 1);
    assert!(judge([8.0, 9.0], [4.0, least]).unwrap().unwrap().improvement > 0.0);
}

#[test]
fn losses_after_the_step_are_the_miners_business() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(judge([8.0, bad], [4.0, 3.0]), Ok(Err(Fault::LossNotFinite)));
        assert_eq!(judge([8.0, 7.0], [4.0, bad]), Ok(Err(Fault::LossNotFinite)));
    }
}

#[test]
fn losses_before_it_are_the_validators() {
    let error = judge([8.0, 7.0], [0.0, 3.0]).unwrap_err().to_string();
    assert_eq!(error, "the loss on unassigned data before any update is 0: it must be finite and above 0");
    let error = judge([f64::NAN, 7.0], [4.0, 3.0]).unwrap_err();
    assert!(matches!(error, BaseLossError::Assigned { miner: MINER, .. }));
}
