//! Compares this crate with a second decoder of submissions, `decoder/submission.py`, which was
//! written from `FORMATS.md` alone. Both must read the same positions and values from golden files
//! and from submissions of any spec, and must reject the same inputs.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

#[allow(dead_code)] // Other tests need more of them.
#[path = "hostile/submissions.rs"]
mod submissions;

use codec::{
    quantize::{CentroidChunk, Ratio, Values},
    sparse::{Quantizer, SparseTensor, compress},
    submission::{Header, Submission, SubmissionLayout, TRAILER_BYTES, encode},
};
use serde::Deserialize;
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};
use submissions::{SENDER, expected, layout, sign};

/// A tensor as decoded by either decoder.
#[derive(Debug, PartialEq, Deserialize)]
struct Decoded {
    positions: Vec<u16>,
    /// Bits of f32.
    values: Vec<u32>,
}

/// The second decoder's answer for a file.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Answer {
    Tensors(Vec<Decoded>),
    Error { error: String },
}

/// A random number generator with the same sequence in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % end
    }

    fn value(&mut self) -> f32 {
        (self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0).powi(3) * 1e-3
    }
}

/// A layout and the shapes that it is for.
#[derive(Clone)]
struct Case {
    layout: Arc<SubmissionLayout>,
    shapes: Vec<Vec<usize>>,
}

impl Case {
    fn new(chunk: u32, topk: u32, quantizer: Quantizer, shapes: &[&[usize]]) -> Self {
        let layout = layout(quantizer, [topk, chunk], shapes);
        layout.spec().check().unwrap();
        Self { layout, shapes: shapes.iter().map(|shape| shape.to_vec()).collect() }
    }

    /// Returns a submission that compresses random values.
    fn compressed(&self, chance: &mut Chance) -> Vec<u8> {
        let tensors = self.layout.tensors().iter().map(|tensor| {
            let values: Vec<f32> = (0..tensor.geometry().len()).map(|_| chance.value()).collect();
            compress(&values, tensor.geometry(), self.layout.spec()).unwrap()
        });
        self.written(&tensors.collect::<Vec<_>>())
    }

    /// Returns a submission of random positions and codes. Some positions crowd together.
    fn drawn(&self, chance: &mut Chance) -> Vec<u8> {
        let tensors = self.layout.tensors().iter().map(|tensor| {
            let (geometry, sent) = (tensor.geometry(), tensor.sent());
            let mut positions = Vec::new();
            for _ in 0..geometry.chunks() {
                let window = sent.max(geometry.size() >> chance.below(8));
                let first = chance.below(geometry.size() - window + 1);
                let mut chosen = std::collections::BTreeSet::new();
                while chosen.len() < sent {
                    chosen.insert((first + chance.below(window)) as u16);
                }
                positions.extend(chosen);
            }
            let count = positions.len();
            let most = 1 + chance.below(4);
            let codes: Vec<_> = (0..count).map(|_| chance.below(most) as u8).collect();
            let values = match tensor.quantizer() {
                Quantizer::Templar => Values::Templar { levels: [-0.5, 1.5, -0.0, 3e-42], codes },
                Quantizer::SignCentroid => {
                    let mut pair = || {
                        let (one, other) = (chance.below(256) as u8, chance.below(256) as u8);
                        CentroidChunk { small: Ratio(one.min(other)), large: Ratio(one.max(other)) }
                    };
                    let scales = (0..geometry.chunks()).map(|_| pair()).collect();
                    Values::SignCentroid { base: 1.0 / 3.0, scales, codes }
                }
                Quantizer::Sign => {
                    let magnitudes = (0..geometry.chunks()).map(|_| Ratio(chance.below(256) as u8)).collect();
                    let codes = codes.into_iter().map(|code| code & 1).collect();
                    Values::Sign { base: 1.0 / 3.0, magnitudes, codes }
                }
                Quantizer::F32 => Values::F32((0..count).map(|_| chance.value()).collect()),
            };
            let topk = self.layout.spec().topk as usize;
            SparseTensor::new(geometry, topk, positions, values).unwrap()
        });
        self.written(&tensors.collect::<Vec<_>>())
    }

    fn written(&self, tensors: &[SparseTensor]) -> Vec<u8> {
        encode(&self.layout, &Header::new(&expected(&SENDER, false), 160, &self.layout), tensors, &SENDER)
            .unwrap()
    }

    /// Decodes a submission with this crate. Returns `None` if it is rejected.
    fn decoded(&self, bytes: &[u8]) -> Option<Vec<Decoded>> {
        let submission = Submission::open(bytes, Arc::clone(&self.layout), &expected(&SENDER, false)).ok()?;
        let tensors = (0..self.shapes.len()).map(|number| {
            let tensor = submission.tensor(number).unwrap();
            let mut values = Vec::new();
            (0..tensor.chunks())
                .for_each(|chunk| tensor.visit_chunk(chunk, 1.0, |_, value| values.push(value.to_bits())));
            Decoded { positions: tensor.positions().to_vec(), values }
        });
        Some(tensors.collect())
    }
}

/// Decodes submissions with the second decoder.
fn second_decoder(cases: &[(Case, Vec<u8>)]) -> Vec<Answer> {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decoder/submission.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs: deploy/scripts/requirements.sh asks for it");
    let mut lines = String::new();
    for (number, (case, bytes)) in cases.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, bytes).unwrap();
        let spec = case.layout.spec();
        let line = serde_json::json!({ "file": file, "chunk": spec.chunk, "topk": spec.topk, "shapes": case.shapes });
        lines.push_str(&format!("{line}\n"));
    }
    let mut input = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asserts that both decoders find the same.
fn agree(cases: &[(Case, Vec<u8>)]) {
    let answers = second_decoder(cases);
    assert_eq!(answers.len(), cases.len());
    for ((case, bytes), answer) in cases.iter().zip(answers) {
        let found = case.decoded(bytes).unwrap();
        // Not `assert_eq`, which would print all of it.
        assert!(answer == Answer::Tensors(found), "{:?} of {:?}", case.layout.spec(), case.shapes);
    }
}

#[test]
fn golden_files_are_read_alike() {
    let shapes: [&[usize]; 4] = [&[16, 24], &[10], &[3], &[0, 8]];
    let cases = Quantizer::ALL.into_iter().zip(["templar", "sign-centroid", "f32", "sign"]).map(
        |(quantizer, name)| {
            let file = format!("{}/../codec/tests/golden/submission-{name}.bin", env!("CARGO_MANIFEST_DIR"));
            (Case::new(64, 6, quantizer, &shapes), std::fs::read(file).unwrap())
        },
    );
    agree(&cases.collect::<Vec<_>>());
}

#[test]
fn submissions_of_any_spec_are_read_alike() {
    let mut chance = Chance(1);
    let mut cases = Vec::new();
    for quantizer in Quantizer::ALL {
        let mut add = |chunk, topk, shapes: &[&[usize]]| {
            let case = Case::new(chunk, topk, quantizer, shapes);
            cases.push((case.clone(), case.compressed(&mut chance)));
            cases.push((case.clone(), case.drawn(&mut chance)));
        };
        add(4096, 64, &[&[192, 256], &[50, 100], &[300], &[26, 26], &[7], &[1, 1]]);
        add(4096, 1, &[&[64, 128]]);
        add(4096, 700, &[&[128, 128]]);
        add(1024, 1000, &[&[96, 64]]);
        add(65_536, 333, &[&[256, 512]]);
        add(1, 1, &[&[9, 5]]);
        // Enough values for a table of symbols.
        add(4096, 64, &[&[1024, 2112]]);
        add(65_536, 3000, &[&[256, 256]]);
    }
    agree(&cases);
}

#[test]
fn what_is_refused_here_is_refused_there() {
    let mut chance = Chance(2);
    for quantizer in Quantizer::ALL {
        let case = Case::new(64, 6, quantizer, &[&[16, 24], &[10], &[3]]);
        let bytes = case.drawn(&mut chance);
        let changed = (0..400).map(|_| {
            let mut bytes = bytes.clone();
            // Skip the header, which identifies the miner.
            let bit = 8 * 288 + chance.below((bytes.len() - TRAILER_BYTES - 288) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            (case.clone(), sign(&bytes[..bytes.len() - TRAILER_BYTES]))
        });
        let cases: Vec<_> = changed.collect();
        let mut refused = 0;
        for ((case, bytes), answer) in cases.iter().zip(second_decoder(&cases)) {
            match case.decoded(bytes) {
                Some(found) => assert_eq!(answer, Answer::Tensors(found)),
                None => {
                    refused += 1;
                    assert!(matches!(answer, Answer::Error { .. }), "{answer:?}");
                }
            }
        }
        assert!(
            (40..400).contains(&refused),
            "some are rejected, some are other valid submissions: {refused}"
        );
    }
}
