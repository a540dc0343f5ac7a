use super::*;
use crate::{model::to_vec, start::init_torch};
use safetensors::SafeTensors;

/// The same optimizer in f64, for one parameter.
struct Reference {
    parameter: f64,
    first: f64,
    second: f64,
    steps: i32,
}

impl Reference {
    fn step(&mut self, gradient: f64, step: Step, decayed: bool) {
        let AdamW { beta1, beta2, epsilon, weight_decay } = step.optimizer;
        let gradient = gradient * step.scale;
        self.steps += 1;
        self.first = beta1 * self.first + (1.0 - beta1) * gradient;
        self.second = beta2 * self.second + (1.0 - beta2) * gradient * gradient;
        if decayed {
            self.parameter -= step.rate * weight_decay * self.parameter;
        }
        let first = self.first / (1.0 - beta1.powi(self.steps));
        let second = self.second / (1.0 - beta2.powi(self.steps));
        self.parameter -= step.rate * first / (second.sqrt() + epsilon);
    }
}

/// Makes a step of parameters of which some are decayed.
fn step(parts: &[(Parts, bool)], gradients: &[&[f32]], steps: u64, step: Step) {
    for ((parts, decays), gradient) in parts.iter().zip(gradients) {
        let parts = Parts { gradients: vec![Tensor::from_slice(gradient)], ..share(parts) };
        parts.step(steps, *decays, step).unwrap();
    }
}

/// Returns views of the same tensors.
fn share(parts: &Parts) -> Parts {
    let share = |tensors: &[Tensor]| tensors.iter().map(Tensor::shallow_clone).collect();
    Parts {
        parameters: share(&parts.parameters),
        first: share(&parts.first),
        second: share(&parts.second),
        gradients: vec![],
    }
}

fn parts(start: &[f32]) -> Parts {
    let zeros = || vec![Tensor::zeros([int(start.len())], (Kind::Float, Device::Cpu))];
    Parts { parameters: vec![Tensor::from_slice(start)], first: zeros(), second: zeros(), gradients: vec![] }
}

#[test]
fn steps_are_those_of_the_formula_in_f64() {
    init_torch();
    let start = [1.0f32, -0.5, 3.0, 0.25, -2.0];
    let decayed = 3;
    let parts = [(parts(&start[..decayed]), true), (parts(&start[decayed..]), false)];
    let mut references = start.map(|p| Reference { parameter: p.into(), first: 0.0, second: 0.0, steps: 0 });
    let optimizer = AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
    for number in 0..50u8 {
        let time = f32::from(number);
        let gradient = [0.3, -1.0, 1e-4, 40.0, 0.0f32].map(|g| g * (1.0 + time * 0.7).sin());
        let now = Step { optimizer, rate: 0.01 + 0.001 * f64::from(time), scale: 0.5 };
        step(&parts, &[&gradient[..decayed], &gradient[decayed..]], u64::from(number) + 1, now);
        for (place, reference) in references.iter_mut().enumerate() {
            reference.step(gradient[place].into(), now, place < decayed);
        }
    }
    let values = parts.iter().flat_map(|(parts, _)| to_vec::<f32>(&parts.parameters[0]).unwrap());
    for (place, value) in values.enumerate() {
        let wanted = references[place].parameter;
        let moved = (wanted - f64::from(start[place])).abs();
        assert!((f64::from(value) - wanted).abs() <= 2e-6 * moved.max(1.0), "{place}: {value} {wanted}");
        assert!(moved > 0.05 || place == 4, "{place}");
    }
}

/// Checks that the norm of a matrix is that of its rows, with the same bits when the matrix is divided at
/// multiples of a band.
#[test]
fn norms_do_not_depend_on_the_division_into_bands() {
    init_torch();
    for (rows, columns) in [(1, 1), (63, 3), (64, 7), (65, 130), (320, 33), (1000, 48)] {
        tch::manual_seed(rows);
        let matrix = Tensor::randn([rows, columns], (Kind::Float, Device::Cpu));
        let whole = norm(&[band_norms(&matrix).unwrap()]).unwrap();
        let expected = matrix.to_kind(Kind::Double).norm().double_value(&[]);
        assert!((whole - expected).abs() < 1e-6 * expected, "{rows} {columns}: {whole} {expected}");
        for cut in (BAND..rows).step_by(64) {
            let parts = [matrix.narrow(0, 0, cut), matrix.narrow(0, cut, rows - cut)];
            let parts = parts.map(|part| band_norms(&part.contiguous()).unwrap());
            assert_eq!(norm(&parts).unwrap().to_bits(), whole.to_bits(), "{rows} {columns}: {cut}");
        }
    }
}

/// Compares five clipped steps with those of `torch.optim.AdamW(fused=True)`, see `tests/adamw/make.py`. Its
/// processor may have had other vectors, so the last digit may differ.
#[test]
fn steps_are_those_of_torch() {
    init_torch();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/adamw/expected.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let read = |name: &str| -> Vec<f32> {
        let data = expected.tensor(name).unwrap().data();
        data.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
    };
    let near = |found: &Tensor, name: &str| {
        for (found, wanted) in to_vec::<f32>(found).unwrap().into_iter().zip(read(name)) {
            assert!((found - wanted).abs() <= 2.0 * f32::EPSILON * wanted.abs(), "{name}: {found} {wanted}");
        }
    };
    let names = ["decayed", "plain"];
    let parts = names.map(|name| (parts(&read(&format!("{name}.start"))), name == "decayed"));
    let optimizer = AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
    for number in 0..5 {
        let gradients = names.map(|name| read(&format!("{name}.gradient.{number}")));
        let bands: Vec<_> =
            gradients.iter().map(|values| band_norms(&Tensor::from_slice(values)).unwrap()).collect();
        let norm = norm(&bands).unwrap();
        let wanted = read(&format!("norm.{number}"))[0];
        assert!(norm > 1.0 && (norm - f64::from(wanted)).abs() < 1e-6 * norm, "{norm} {wanted}");
        let scale = f64::from(1.0 / (wanted + 1e-6)); // As torch computes it, in f32.
        let now = Step { optimizer, rate: 1e-2, scale };
        step(&parts, &[&gradients[0], &gradients[1]], number + 1, now);
        for (name, (parts, _)) in names.iter().zip(&parts) {
            near(&parts.parameters[0], &format!("{name}.after.{number}"));
        }
    }
    for (name, (parts, _)) in names.iter().zip(&parts) {
        near(&parts.first[0], &format!("{name}.first"));
        near(&parts.second[0], &format!("{name}.second"));
    }
}
