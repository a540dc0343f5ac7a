use super::*;
use crate::{model::to_vec, start::init_torch};

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

#[test]
fn steps_are_those_of_the_formula_in_f64() {
    init_torch();
    let start = [1.0f32, -0.5, 3.0, 0.25, -2.0];
    let decayed = [0..2, 3..5];
    let parameters = Tensor::from_slice(&start);
    let mut moments = Moments::new(start.len(), Device::Cpu).unwrap();
    let mut references = start.map(|p| Reference { parameter: p.into(), first: 0.0, second: 0.0, steps: 0 });
    let optimizer = AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
    for number in 0..50u8 {
        let time = f32::from(number);
        let gradient = [0.3, -1.0, 1e-4, 40.0, 0.0f32].map(|g| g * (1.0 + time * 0.7).sin());
        let step = Step { optimizer, rate: 0.01 + 0.001 * f64::from(time), scale: 0.5 };
        moments.step(&parameters, &Tensor::from_slice(&gradient), &decayed, step).unwrap();
        for (place, reference) in references.iter_mut().enumerate() {
            let is_decayed = decayed.iter().any(|range| range.contains(&place));
            reference.step(gradient[place].into(), step, is_decayed);
        }
    }
    assert_eq!(moments.steps, 50);
    for (place, value) in to_vec::<f32>(&parameters).unwrap().into_iter().enumerate() {
        let wanted = references[place].parameter;
        let moved = (wanted - f64::from(start[place])).abs();
        assert!((f64::from(value) - wanted).abs() <= 2e-6 * moved.max(1.0), "{place}: {value} {wanted}");
        assert!(moved > 0.05, "{place}");
    }
}

#[test]
fn norms_are_sums_over_blocks() {
    init_torch();
    let flat = Tensor::ones([i64::try_from(BLOCK).unwrap() + 9], (Kind::Float, Device::Cpu)) * 2.0;
    let wanted = 2.0 * f64::from(u32::try_from(BLOCK).unwrap() + 9).sqrt();
    assert!((norm(&flat).unwrap() - wanted).abs() < 1e-3 * wanted);
}
