//! Tests submissions: round trips, and the rejection of all other objects.

use super::*;
use crate::{
    positions,
    quantize::Values,
    sparse::{Quantizer, SparseSpec, compress, tests::tiny},
};
use base::{Height, Hotkey, signature::SigningKey, tensor::TensorRole, tensor::TensorSpec, wire::Writer};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn expected() -> Expected {
    Expected {
        run: RunHash([1; 32]),
        spec: RunHash([1; 32]),
        neuron: NeuronId { hotkey: key(7).hotkey(), registered: Height(1234) },
        window: Window(5),
        base: State([3; 32]),
        least_samples: 160,
        sealed: false,
    }
}

/// Returns a few tensors of odd shapes: a matrix of several chunks, a vector, a small tensor, a
/// tensor without values.
fn shapes() -> Vec<TensorSpec> {
    let tensor = |name: &str, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        role: TensorRole::Matrix,
    };
    vec![tensor("a", &[16, 24]), tensor("b", &[10]), tensor("c", &[3]), tensor("d", &[0, 8])]
}

fn small(quantizer: Quantizer) -> Arc<SubmissionLayout> {
    let spec = SparseSpec { chunk: 64, topk: 6, quantizer, ..tiny() };
    Arc::new(SubmissionLayout::new(&shapes(), &spec).unwrap())
}

/// Returns values like those of a pseudo-gradient: zero-mean, some much larger than others.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() * next() * next() * 1e-3).collect()
}

fn tensors(layout: &SubmissionLayout, seed: u64) -> Vec<SparseTensor> {
    let compress = |(at, tensor): (usize, &TensorLayout)| {
        let values = noise(seed + at as u64, tensor.geometry().len());
        compress(&values, tensor.geometry(), layout.spec()).unwrap()
    };
    layout.tensors().iter().enumerate().map(compress).collect()
}

fn written(layout: &SubmissionLayout, seed: u64) -> Vec<u8> {
    let header = Header::new(&expected(), 160, layout);
    encode(layout, &header, &tensors(layout, seed), &key(7)).unwrap()
}

/// Renews digest and signature after a change.
fn signed_again(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - TRAILER_BYTES);
    let digest = ObjectHash::of(&[&bytes]);
    bytes.extend(digest.0);
    bytes.extend(key(7).sign(SIGNATURE_CONTEXT, &digest.0).0);
    bytes
}

fn open(bytes: &[u8], layout: &Arc<SubmissionLayout>) -> Result<Submission<Vec<u8>>, SubmissionError> {
    Submission::open(bytes.to_vec(), Arc::clone(layout), &expected())
}

fn decoded<B: AsRef<[u8]>>(submission: &Submission<B>) -> Vec<SparseTensor> {
    (0..submission.layout().tensors().len()).map(|at| submission.tensor(at).unwrap()).collect()
}

#[test]
fn every_flipped_bit_is_noticed() {
    for quantizer in Quantizer::ALL {
        let layout = small(quantizer);
        let bytes = written(&layout, 1);
        assert!(open(&bytes, &layout).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&flipped, &layout).is_err(), "{quantizer:?}: bit {bit}");
        }
    }
}

/// Tensors as those of the model of the tiny run.
fn tiny_model() -> Vec<TensorSpec> {
    let tensor =
        |name: String, shape: &[usize]| TensorSpec { name, shape: shape.to_vec(), role: TensorRole::Matrix };
    let mut tensors = vec![tensor("embed_tokens".into(), &[4096, 128]), tensor("norm".into(), &[128])];
    for layer in 0..4 {
        let shapes: [&[usize]; 9] = [
            &[128],
            &[128, 512],
            &[512, 128],
            &[512, 128],
            &[128],
            &[128, 128],
            &[128, 128],
            &[128, 128],
            &[128, 128],
        ];
        tensors.extend(
            shapes.iter().zip('a'..).map(|(shape, name)| tensor(format!("layer{layer}.{name}"), shape)),
        );
    }
    tensors
}

#[test]
fn flipped_bits_of_the_tiny_model_are_noticed() {
    let layout = Arc::new(SubmissionLayout::new(&tiny_model(), &tiny()).unwrap());
    let bytes = written(&layout, 1);
    assert!(open(&bytes, &layout).is_ok());
    for step in 0..3000 {
        let bit = step * 7919 % (bytes.len() * 8);
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&flipped, &layout).is_err(), "bit {bit}");
    }
}

#[test]
fn there_is_one_way_to_write_what_is_accepted() {
    for quantizer in Quantizer::ALL {
        let layout = small(quantizer);
        let bytes = written(&layout, 1);
        let mut accepted = 0;
        for bit in 0..(bytes.len() - TRAILER_BYTES) * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(submission) = open(&signed_again(changed.clone()), &layout) else { continue };
            accepted += 1;
            let again = encode(&layout, submission.header(), &decoded(&submission), &key(7)).unwrap();
            let unsigned = again.len() - TRAILER_BYTES;
            assert!(again[..unsigned] == changed[..unsigned], "{quantizer:?}: bit {bit}");
        }
        assert!(accepted > 100, "values can be chosen freely");
    }
}

#[test]
fn a_submission_from_elsewhere_is_refused_by_what_differs() {
    let layout = small(Quantizer::Templar);
    let bytes = written(&layout, 1);
    let refuse = |change: fn(&mut Expected)| {
        let mut expected = expected();
        change(&mut expected);
        base::ErrorChain(&Submission::open(&bytes[..], Arc::clone(&layout), &expected).unwrap_err())
            .to_string()
    };
    let run = refuse(|e| e.run = RunHash([9; 32]));
    let (ours, theirs) = ("09".repeat(32), "01".repeat(32));
    assert_eq!(run, format!("the submission is from run {theirs}, not {ours}"));
    assert_eq!(refuse(|e| e.window = Window(6)), "the submission is from window 5, not 6");
    let hotkey = refuse(|e| e.neuron.hotkey = Hotkey([0; 32]));
    assert!(hotkey.starts_with("the submission is from hotkey 5"), "{hotkey}");
    let registered = refuse(|e| e.neuron.registered = Height(1235));
    assert!(registered.contains("(registered in block 1234), not"), "{registered}");
    assert!(refuse(|e| e.base = State([0; 32])).starts_with("the submission was trained from state 0303"));
    assert!(refuse(|e| e.spec = RunHash([2; 32])).starts_with("the submission was made under spec 0101"));
    let samples = refuse(|e| e.least_samples = 161);
    assert_eq!(samples, "the submission was trained on 160 sequences: the run requires at least 161");
}

#[test]
fn what_is_no_submission_is_named() {
    let layout = small(Quantizer::Templar);
    let bytes = written(&layout, 1);
    let refuse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        open(&bytes, &layout).unwrap_err()
    };
    let message = |change: &dyn Fn(&mut Vec<u8>)| base::ErrorChain(&refuse(change)).to_string();
    assert_eq!(message(&|b| b[0] = 0xe1), "the object is not a submission: its kind is 0xe1");
    assert_eq!(
        message(&|b| b[1] = 2),
        "the submission has version 2, this program reads version 1: update it"
    );
    assert!(refuse(&|b| b[1] = 2).is_unknown_version());
    assert!(!refuse(&|b| b[0] = 2).is_unknown_version());
    assert_eq!(message(&|b| b[2] = 9), "the submission's codec is number 9: the run's is 1");
    assert_eq!(message(&|b| b[3] = 2), "the submission's quantizer is number 2: the run's is 1");
    assert!(message(&|b| b[4] = 2).contains("the sealing"));
    assert_eq!(refuse(&|b| b[4] = 1), SubmissionError::Sealing { sealed: true });
    for free in [5, 7, 160, 192, 224, 275] {
        assert_eq!(message(&|b| b[free] = 1), format!("the byte at offset {free} is reserved and must be 0"));
    }
    let length = bytes.len();
    let longer = message(&|b| b.push(0));
    assert_eq!(longer, format!("the header states {length} bytes: the object has {}", length + 1));
    assert!(message(&|b| b.truncate(20)).contains("the submission is malformed: the run"));
    assert!(message(&|b| b.clear()).contains("the kind: 1 bytes are needed"));
    let most = layout.most_bytes();
    let large = message(&|b| b.resize(most as usize + 1, 0));
    assert_eq!(
        large,
        format!("the object has {} bytes: a submission of this run has at most {most}", most + 1)
    );
    assert!(message(&|b| b[300] ^= 1).contains("it was changed"));
    let forged = message(&|b| *b.last_mut().unwrap() ^= 1);
    assert!(forged.starts_with("the submission's signature is invalid"), "{forged}");
}

#[test]
fn malformed_bodies_are_named_even_when_signed() {
    let layout = small(Quantizer::Templar);
    let bytes = written(&layout, 1);
    let start = layout.body_offset();
    let message = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        base::ErrorChain(&open(&signed_again(bytes), &layout).unwrap_err()).to_string()
    };
    assert_eq!(message(&|b| b[276] = 3), "the submission has 3 tensors: the model has 4");
    assert_eq!(
        message(&|b| b[HEADER_BYTES] = 17),
        "tensor a has the shape [17, 24]: the model's is [16, 24]"
    );
    assert!(message(&|b| b[HEADER_BYTES + 8] ^= 1).starts_with("the table puts tensor a at offset"));
    let level = message(&|b| b[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes()));
    assert_eq!(level, "tensor a: a level of the tensor is not finite, or is a negative scale");
    // SubmissionLayout: levels, weights of the codes, lengths of codes and of positions, codes, positions.
    let weight = message(&|b| b[start + 19] ^= 1);
    assert!(weight.contains("codes"), "{weight}");
    let longest = "tensor a: group 0: the table states";
    assert!(message(&|b| b[start + 21] = 1).starts_with(longest));
    assert!(message(&|b| b[start + 23] = 1).starts_with(longest));
    let codes = message(&|b| b[start + 20] -= 1);
    assert_eq!(codes, "tensor a: group 0: its codes are not in canonical form");
    let positions = message(&|b| b[start + 22] -= 1);
    assert_eq!(positions, "tensor a: group 0: its positions do not end in the last byte, followed by zeros");
}

#[test]
fn scales_and_values_that_no_quantizer_makes_are_refused() {
    let message = |quantizer, change: &dyn Fn(&mut [u8])| {
        let layout = small(quantizer);
        let mut bytes = written(&layout, 1);
        change(&mut bytes[layout.body_offset()..]);
        base::ErrorChain(&open(&signed_again(bytes), &layout).unwrap_err()).to_string()
    };
    let centroid = |change: &dyn Fn(&mut [u8])| message(Quantizer::SignCentroid, change);
    assert!(
        centroid(&|b| b[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()))
            .contains("the scale of the tensor is not finite")
    );
    assert!(
        centroid(&|b| b[3] |= 0x80).contains("the scale of the tensor is not finite, or is a negative scale")
    );
    let order = centroid(&|b| (b[12], b[13]) = (9, 8));
    assert_eq!(order, "tensor a: group 0: the small magnitude of a chunk is larger than its large one");
    let sign = |change: &dyn Fn(&mut [u8])| message(Quantizer::Sign, change);
    assert!(
        sign(&|b| b[3] |= 0x80).contains("the scale of the tensor is not finite, or is a negative scale")
    );
    // SubmissionLayout: scale, lengths of codes and of positions, magnitudes of 6 chunks, 36 signs,
    // which leave 4 bits.
    assert_eq!(sign(&|b| b[4] = 1), "tensor a: group 0: the table states 1 bytes for a part: the most is 0");
    let filler = sign(&|b| b[8 + 6 + 4] |= 0x80);
    assert_eq!(filler, "tensor a: group 0: its codes are not in canonical form");
    let infinite = message(Quantizer::F32, &|b| b[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes()));
    assert_eq!(infinite, "tensor a: a value is not finite, or is a negative scale");
}

#[test]
fn what_is_not_the_layouts_is_not_written() {
    let layout = small(Quantizer::Templar);
    let header = Header::new(&expected(), 160, &layout);
    let refuse = |header: &Header, tensors: &[SparseTensor], key| {
        base::ErrorChain(&encode(&layout, header, tensors, &key).unwrap_err()).to_string()
    };
    let good = tensors(&layout, 1);
    assert_eq!(refuse(&header, &good[1..], key(7)), "3 tensors are given: the model has 4");
    assert!(refuse(&header, &good, key(8)).contains("it cannot be signed with the key of 5"));
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    let message = refuse(&header, &swapped, key(7));
    assert_eq!(message, "the values given for tensor a were not compressed from it by this run's spec");
    let other = tensors(&small(Quantizer::F32), 1);
    assert!(refuse(&header, &other, key(7)).contains("tensor a"));
}

/// Returns the tensor that takes the most bytes: the longest positions, and codes that are shorter
/// as plain bytes.
fn longest(tensor: &TensorLayout) -> SparseTensor {
    let (geometry, sent) = (tensor.geometry(), tensor.sent());
    let positions = positions::tests::longest(geometry.size(), sent).repeat(geometry.chunks());
    (0..1000u64)
        .map(|seed| {
            let values = noise(seed, positions.len());
            let values = crate::quantize::quantize(tensor.quantizer(), sent, &values);
            let values = match values {
                Values::Templar { levels, codes } => {
                    let codes = noise(seed, codes.len()).into_iter().map(|value| value.to_bits() as u8 & 3);
                    Values::Templar { levels, codes: codes.collect() }
                }
                other => other,
            };
            SparseTensor::new(geometry, 6, positions.clone(), values).unwrap()
        })
        .max_by_key(|sparse| {
            let mut bytes = Vec::new();
            tensor.write(sparse, &mut bytes);
            bytes.len()
        })
        .unwrap()
}

#[test]
fn the_largest_size_is_reached_and_never_passed() {
    for quantizer in Quantizer::ALL {
        let layout = small(quantizer);
        let tensors: Vec<_> = layout.tensors().iter().map(longest).collect();
        let header = Header::new(&expected(), 160, &layout);
        let bytes = encode(&layout, &header, &tensors, &key(7)).unwrap();
        assert_eq!(bytes.len() as u64, layout.most_bytes(), "{quantizer:?}");
        assert!(open(&bytes, &layout).is_ok());
    }
}

#[test]
fn the_parts_of_any_group_have_lengths_of_16_bits() {
    for topk in [1, 100, 511, 512, 600, 1023, 1024, 4000, 65_535, 65_536] {
        let spec = SparseSpec { chunk: 65_536, topk, ..tiny() };
        let tensor = TensorSpec { name: "x".to_owned(), shape: vec![4096, 4096], role: TensorRole::Matrix };
        let layout = SubmissionLayout::new(&[tensor], &spec).unwrap();
        let tensor = &layout.tensors()[0];
        let chunks = tensor.chunks_per_group();
        let most = tensor.most_code_bytes(chunks).max(tensor.most_position_bytes(chunks));
        assert!(most <= usize::from(u16::MAX), "{topk}: {most}");
    }
}

#[test]
fn a_tensor_that_is_not_there_is_refused() {
    let layout = small(Quantizer::Templar);
    let submission = open(&written(&layout, 1), &layout).unwrap();
    for number in [4, usize::MAX] {
        assert!(matches!(submission.tensor(number), Err(SubmissionError::Tensors { expected: 4, .. })));
    }
}

#[test]
fn tensors_that_cannot_be_laid_out_are_named() {
    let refuse = |shape: &[usize]| {
        let tensor = TensorSpec { name: "x".to_owned(), shape: shape.to_vec(), role: TensorRole::Matrix };
        base::ErrorChain(&SubmissionLayout::new(&[tensor], &tiny()).unwrap_err()).to_string()
    };
    assert!(refuse(&[2, 2, 2]).starts_with("tensor x: a tensor of 3 dimensions"));
    assert_eq!(refuse(&[1, 1 << 33]), "tensor x has a dimension of 8589934592: the most is 4294967295");
}

/// Compares with submissions as this version writes them. The files hold the whole object,
/// including the signature.
#[test]
fn golden_files() {
    let files: [&[u8]; 4] = [
        include_bytes!("../../tests/golden/submission-templar.bin"),
        include_bytes!("../../tests/golden/submission-sign-centroid.bin"),
        include_bytes!("../../tests/golden/submission-f32.bin"),
        include_bytes!("../../tests/golden/submission-sign.bin"),
    ];
    for (quantizer, golden) in Quantizer::ALL.into_iter().zip(files) {
        let layout = small(quantizer);
        let bytes = written(&layout, 1);
        let unsigned = bytes.len() - SIGNATURE_BYTES;
        assert_eq!(hex::encode(&bytes[..unsigned]), hex::encode(&golden[..golden.len() - SIGNATURE_BYTES]));
        let submission = open(golden, &layout).unwrap();
        assert_eq!(decoded(&submission), tensors(&layout, 1));
    }
}

proptest! {
    #[test]
    fn submissions_come_back(seed: u64, quantizer in 0..Quantizer::ALL.len(), samples in 160u64..) {
        let layout = small(Quantizer::ALL[quantizer]);
        let tensors = tensors(&layout, seed >> 1);
        let header = Header::new(&expected(), samples, &layout);
        let bytes = encode(&layout, &header, &tensors, &key(7)).unwrap();
        prop_assert!(bytes.len() as u64 <= layout.most_bytes());
        let submission = open(&bytes, &layout).unwrap();
        prop_assert_eq!(submission.header(), &header);
        prop_assert_eq!(submission.hash(), ObjectHash::of(&[&bytes[..bytes.len() - TRAILER_BYTES]]));
        prop_assert_eq!(decoded(&submission), tensors);
    }

    #[test]
    fn submissions_of_any_spec_come_back(
        edge in 1u32..24,
        topk in 1u32..600,
        shapes in proptest::collection::vec(prop_oneof![(0usize..90).prop_map(|size| vec![size]), (0usize..90, 0usize..90).prop_map(|(rows, columns)| vec![rows, columns])], 0..4),
        quantizer in 0..Quantizer::ALL.len(),
        seed: u32,
    ) {
        let spec = SparseSpec { chunk: edge * edge, topk: topk.min(edge * edge), quantizer: Quantizer::ALL[quantizer], ..tiny() };
        let tensor = |shape| TensorSpec { name: "x".to_owned(), shape, role: TensorRole::Matrix };
        let layout = Arc::new(SubmissionLayout::new(&shapes.into_iter().map(tensor).collect::<Vec<_>>(), &spec).unwrap());
        let tensors = tensors(&layout, seed.into());
        let bytes = encode(&layout, &Header::new(&expected(), 160, &layout), &tensors, &key(7)).unwrap();
        prop_assert!(bytes.len() as u64 <= layout.most_bytes());
        let submission = open(&bytes, &layout).unwrap();
        prop_assert_eq!(decoded(&submission), tensors);
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(open(&bytes, &small(Quantizer::Templar)).is_err());
    }

    #[test]
    fn any_body_under_a_true_header_is_refused_or_canonical(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        keep in 0usize..400,
        quantizer in 0..Quantizer::ALL.len(),
    ) {
        let layout = small(Quantizer::ALL[quantizer]);
        let whole = written(&layout, 1);
        let mut bytes = whole[..(HEADER_BYTES + keep).min(whole.len() - TRAILER_BYTES)].to_vec();
        bytes.extend(body);
        let mut header = Writer::new();
        Header::new(&expected(), 160, &layout).write((bytes.len() + TRAILER_BYTES) as u64, &mut header);
        bytes[..HEADER_BYTES].copy_from_slice(&header.into_bytes());
        bytes.extend([0; TRAILER_BYTES]);
        let bytes = signed_again(bytes);
        if let Ok(submission) = open(&bytes, &layout) {
            let again = encode(&layout, submission.header(), &decoded(&submission), &key(7)).unwrap();
            prop_assert_eq!(&again[..again.len() - SIGNATURE_BYTES], &bytes[..bytes.len() - SIGNATURE_BYTES]);
        }
    }
}

/// Returns a sealed submission and its key object.
fn sealed(layout: &SubmissionLayout, random: u8) -> (Vec<u8>, KeyObject) {
    let header = Header::new(&expected(), 160, layout);
    let seal = SealKey::new([random; 32]);
    let bytes = encode_sealed(layout, &header, &tensors(layout, 1), &key(7), &seal).unwrap();
    let object = ObjectHash::of(&[&bytes[..bytes.len() - TRAILER_BYTES]]);
    let Expected { run, neuron, window, .. } = expected();
    (bytes, KeyObject { run, neuron, window, object, key: seal })
}

fn unseal(
    bytes: &[u8],
    opener: &[u8],
    layout: &Arc<SubmissionLayout>,
) -> Result<Submission<Vec<u8>>, SubmissionError> {
    let expected = Expected { sealed: true, ..expected() };
    Sealed::open(bytes.to_vec(), Arc::clone(layout), &expected)?.unseal(opener)
}

#[test]
fn what_is_sealed_opens_to_what_was_sealed() {
    for quantizer in Quantizer::ALL {
        let layout = small(quantizer);
        let (bytes, opener) = sealed(&layout, 1);
        let opener = opener.sign(&key(7));
        let opened = unseal(&bytes, &opener, &layout).unwrap();
        assert_eq!(decoded(&opened), tensors(&layout, 1));
        assert_eq!(opened.stored(), (bytes.clone(), Some(&opener)));
        // Table and body are unreadable. The rest equals the open submission.
        let open = written(&layout, 1);
        assert_eq!(bytes.len(), open.len());
        let hidden = &bytes[HEADER_BYTES..];
        let plain = &open[HEADER_BYTES..];
        let same = hidden.iter().zip(plain).filter(|(a, b)| a == b).count();
        assert!(same * 10 < plain.len(), "{same} of {} bytes are unchanged", plain.len());
        assert_eq!(
            opened.bytes()[HEADER_BYTES..open.len() - TRAILER_BYTES],
            open[HEADER_BYTES..open.len() - TRAILER_BYTES]
        );
    }
}

#[test]
fn every_flipped_bit_of_a_sealed_submission_or_its_key_is_noticed() {
    let layout = small(Quantizer::SignCentroid);
    let (bytes, opener) = sealed(&layout, 1);
    let opener = opener.sign(&key(7));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(unseal(&flipped, &opener, &layout).is_err(), "bit {bit}");
    }
    for bit in 0..opener.len() * 8 {
        let mut flipped = opener;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(unseal(&bytes, &flipped, &layout).is_err(), "bit {bit} of the key");
    }
}

/// Decrypts in pieces of this size.
fn unseal_in_pieces(
    bytes: &[u8],
    opener: &[u8],
    layout: &Arc<SubmissionLayout>,
    piece: usize,
) -> Result<Submission<Vec<u8>>, SubmissionError> {
    let expected = Expected { sealed: true, ..expected() };
    let mut unsealing = Sealed::open(bytes, Arc::clone(layout), &expected)?.unsealing(opener)?;
    let (mut opened, mut buffer) = (Vec::new(), vec![0; piece]);
    loop {
        match unsealing.read(&mut buffer) {
            0 => return unsealing.finish(opened),
            count => opened.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn pieces_are_decrypted_as_the_whole_is() {
    let layout = small(Quantizer::SignCentroid);
    let (bytes, opener) = sealed(&layout, 1);
    let opener = opener.sign(&key(7));
    let whole = unseal(&bytes, &opener, &layout).unwrap();
    for piece in [1, 63, 64, 65, 287, 288, 289, 1000, bytes.len(), bytes.len() + 1] {
        let opened = unseal_in_pieces(&bytes, &opener, &layout, piece).unwrap();
        assert_eq!(opened.bytes(), whole.bytes(), "{piece}");
        assert_eq!(opened.stored(), (bytes.clone(), Some(&opener)), "{piece}");
    }
    let other = sealed(&layout, 2).1.sign(&key(7));
    assert!(unseal_in_pieces(&bytes, &other, &layout, 64).is_err(), "the key of another submission");
}

#[test]
fn keys_of_something_else_are_refused_by_name() {
    let layout = small(Quantizer::SignCentroid);
    let (bytes, opener) = sealed(&layout, 1);
    let refusal = |opener: &KeyObject| match unseal(&bytes, &opener.sign(&key(7)), &layout) {
        Err(SubmissionError::Key(error)) => error,
        other => panic!("{other:?}"),
    };
    let other = SealKey::new([2; 32]);
    let expected = opener.key.hash();
    let wrong = KeyObject { key: other.clone(), ..opener.clone() };
    assert_eq!(refusal(&wrong), KeyError::Key { expected, found: other.hash() }, "two keys for one object");
    let wrong = KeyObject { window: Window(6), ..opener.clone() };
    assert_eq!(refusal(&wrong), KeyError::Window { expected: Window(5), found: Window(6) });
    let wrong = KeyObject { run: RunHash([9; 32]), ..opener.clone() };
    assert!(matches!(refusal(&wrong), KeyError::Run { .. }));
    let again = NeuronId { registered: Height(1), ..opener.neuron };
    assert!(matches!(refusal(&KeyObject { neuron: again, ..opener.clone() }), KeyError::Neuron { .. }));
    let object = ObjectHash([4; 32]);
    assert!(matches!(refusal(&KeyObject { object, ..opener.clone() }), KeyError::Object { .. }));
    let foreign = unseal(&bytes, &opener.sign(&key(8)), &layout).unwrap_err();
    assert!(matches!(foreign, SubmissionError::Key(KeyError::Signature(_))), "{foreign}");
    let short = unseal(&bytes, &opener.sign(&key(7))[1..], &layout).unwrap_err();
    assert_eq!(short.to_string(), "the key object has 209 bytes: it must have 210");
    assert_eq!(format!("{:?}", opener.key), format!("SealKey(of hash {expected})"), "keys are not shown");
}

#[test]
fn a_body_that_is_not_the_one_committed_to_is_refused() {
    let layout = small(Quantizer::SignCentroid);
    let (mut bytes, opener) = sealed(&layout, 1);
    bytes[HEADER_BYTES + 40] ^= 1;
    let bytes = signed_again(bytes);
    let object = ObjectHash::of(&[&bytes[..bytes.len() - TRAILER_BYTES]]);
    let opener = KeyObject { object, ..opener }.sign(&key(7));
    let refused = unseal(&bytes, &opener, &layout).unwrap_err();
    assert!(matches!(refused, SubmissionError::Plaintext { .. }), "{refused}");
}

#[test]
fn sealed_and_open_submissions_do_not_pass_for_each_other() {
    let layout = small(Quantizer::SignCentroid);
    let (bytes, opener) = sealed(&layout, 1);
    assert_eq!(open(&bytes, &layout).unwrap_err(), SubmissionError::Sealing { sealed: true });
    let expected = Expected { sealed: true, ..expected() };
    let locked = Submission::open(bytes, Arc::clone(&layout), &expected).unwrap_err();
    assert_eq!(locked.to_string(), "the submission is sealed: it cannot be read without its key");
    let refused = unseal(&written(&layout, 1), &opener.sign(&key(7)), &layout).unwrap_err();
    assert_eq!(refused.to_string(), "the submission is open: this run's are sealed");
}
