//! Logits, losses, gradients and optimizer steps, compared with the results of `transformers` and torch.

use crate::support::{case, never, options, source};
use engine::{Batch, Compute, Model, Options};
use protocol::{
    schedule::{Decay, Schedule},
    train::{AdamW, TrainSpec},
};
use safetensors::{Dtype, SafeTensors};

/// Loads the model of a case with its weights, and the results of `transformers` for it.
fn load(name: &str, options: Options) -> (Model, Batch, Vec<u8>) {
    let folder = case(name);
    let mut model = Model::new(Model::checkpoint_spec(&folder).unwrap(), options).unwrap();
    assert_eq!(model.load(&folder).unwrap(), None, "transformers writes no manifest");
    let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let tokens = expected.tensor("tokens").unwrap();
    assert_eq!(tokens.dtype(), Dtype::I64);
    let sequence = tokens.shape()[1];
    let tokens = tokens.data().as_chunks().0.iter().map(|&eight| i64::from_le_bytes(eight));
    let tokens = tokens.map(|token| u32::try_from(token).unwrap()).collect();
    (model, Batch::new(tokens, sequence).unwrap(), bytes)
}

fn floats(bytes: &[u8], name: &str) -> Vec<f32> {
    let expected = SafeTensors::deserialize(bytes).unwrap();
    let tensor = expected.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F32);
    tensor.data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

/// Returns the largest difference, as a share of the largest value.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(largest > 0.0);
    found.iter().zip(expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

#[test]
fn logits_and_losses_are_those_of_transformers() {
    for name in ["grouped", "tied"] {
        for micro_batch in [1, 8] {
            let (model, batch, expected) = load(name, Options { micro_batch, ..options() });
            let off = difference(&model.logits(&batch).unwrap(), &floats(&expected, "logits"));
            assert!(off < 2e-6, "{name}: {off}");
            let loss = model.loss(&batch).unwrap();
            let wanted = f64::from(floats(&expected, "loss")[0]);
            assert!((loss - wanted).abs() < 2e-6 * wanted, "{name}: {loss} {wanted}");
        }
    }
}

#[test]
fn bf16_is_near() {
    for name in ["grouped", "tied"] {
        let (model, batch, expected) = load(name, Options { compute: Compute::Bf16, ..options() });
        let off = difference(&model.logits(&batch).unwrap(), &floats(&expected, "logits"));
        assert!((1e-5..0.05).contains(&off), "{name}: {off}");
    }
}

/// Compares gradients through one step of an optimizer that subtracts the gradient unchanged. It
/// keeps no averages. Its epsilon is so large that the square root does not matter, and the rate
/// cancels the epsilon.
#[test]
fn gradients_are_those_of_transformers() {
    for name in ["grouped", "tied"] {
        let (mut model, batch, expected) = load(name, Options { micro_batch: 1, ..options() });
        let epsilon = 1e12;
        let optimizer = AdamW { beta1: 0.0, beta2: 0.0, epsilon, weight_decay: 0.0 };
        let train = TrainSpec { optimizer, clip: 1e9, ..steps(1, &batch, epsilon) };
        let layout = model.layout().clone();
        let trained = model.train(&train, 0, source(&[batch]), &never()).unwrap();
        let mut squares = 0.0f64;
        for (tensor, place) in layout.iter() {
            let wanted = floats(&expected, &format!("gradient.{}", tensor.name));
            // The pseudo-gradient lost the digits that are small compared with the parameter.
            let off = difference(&trained.pseudo_gradient[place], &wanted);
            assert!(off < 3e-5, "{name}: {}: {off}", tensor.name);
            squares += wanted.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        }
        let norm = trained.steps[0].norm;
        assert!((norm - squares.sqrt()).abs() < 1e-5 * norm, "{name}: {norm} {}", squares.sqrt());
    }
}

#[test]
fn clipped_steps_of_adamw_are_those_of_torch() {
    for name in ["grouped", "tied"] {
        let (mut model, batch, expected) = load(name, options());
        let start = model.parameters().unwrap();
        let layout = model.layout().clone();
        let data = [batch.clone(), batch.clone(), batch.clone()];
        let trained = model.train(&steps(3, &batch, 1e-2), 0, source(&data), &never()).unwrap();
        assert!(trained.steps.iter().all(|step| step.norm > 1.0), "all three are clipped");
        for (tensor, place) in layout.iter() {
            let wanted = floats(&expected, &format!("trained.{}", tensor.name));
            let moved: Vec<_> = start[place.clone()].iter().zip(&wanted).map(|(a, b)| a - b).collect();
            let off = difference(&trained.pseudo_gradient[place], &moved);
            assert!(off < 1e-3, "{name}: {}: {off}", tensor.name);
        }
    }
}

fn steps(inner_steps: u32, batch: &Batch, rate: f64) -> TrainSpec {
    TrainSpec {
        inner_steps,
        least_steps: 1,
        batch: u32::try_from(batch.sequences()).unwrap(),
        sequence: u32::try_from(batch.sequence()).unwrap(),
        clip: 1.0,
        optimizer: AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 },
        schedule: Schedule {
            peak: rate,
            warmup_steps: 0,
            decay: Decay::Constant,
            decay_steps: 0,
            floor: 1.0,
            hold: None,
            anneal: None,
        },
    }
}
