//! Takes all measurements of one distribution, in turns.

use crate::{
    memory,
    packing::pack,
    pipeline::{BETA, Checked, PACKED, PEERS, TOP_K, aggregate},
    report::{Ranges, Rates},
    threads::for_parts,
};
use codec::{quantize::Values, select::Simd, sparse::select};
use std::{hint::black_box, time::Instant};

/// The inputs of the measurements and their memory: three tensors, and the sent values.
pub(crate) struct Things<'a> {
    values: Vec<f32>,
    error: Vec<f32>,
    scratch: Vec<f32>,
    checked: &'a Checked,
    encoded: Vec<u8>,
    simd: Simd,
    #[cfg(feature = "torch")]
    torch: crate::torch::Torch,
}

impl<'a> Things<'a> {
    pub(crate) fn new(values: Vec<f32>, checked: &'a Checked, simd: Simd) -> Self {
        Self {
            error: values.clone(),
            scratch: values.clone(),
            encoded: checked.accepted[0].bytes().to_vec(),
            #[cfg(feature = "torch")]
            torch: crate::torch::Torch::new(&values, crate::pipeline::CHUNK),
            values,
            checked,
            simd,
        }
    }

    /// Measures everything `repetitions` times.
    pub(crate) fn ranges(&mut self, threads: usize, repetitions: u32) -> Ranges {
        let mut rates = Rates::default();
        for _ in 0..repetitions {
            self.measure(threads, &mut rates);
        }
        rates.ranges()
    }

    /// Measures everything once.
    fn measure(&mut self, threads: usize, rates: &mut Rates) {
        let Self { values, error, scratch, checked, encoded, simd, .. } = self;
        let gigabytes = values.len() as f64 * 4.0 / 1e9;
        let millions = checked.sent.positions().len() as f64 / 1e6;
        let mut time = |name: &str, amount: f64, work: &mut dyn FnMut()| {
            let started = Instant::now();
            work();
            rates.add(name, amount / started.elapsed().as_secs_f64());
        };
        time("read_gbps", gigabytes, &mut || memory::read(values, threads));
        time("copy_gbps", gigabytes, &mut || memory::copy(values, scratch, threads));
        time("momentum_gbps", gigabytes, &mut || memory::momentum(scratch, values, BETA, threads));
        let (_, codec, _) = &checked.codecs[0];
        time("select_gbps", gigabytes, &mut || {
            black_box(select(values, codec.geometry(), TOP_K, *simd, threads));
        });
        for (name, codec, _) in &checked.codecs {
            time(name, gigabytes, &mut || {
                black_box(codec.compress(error, values, threads).expect("it was compressed before"));
            });
        }
        time(PACKED, gigabytes, &mut || {
            let sent = codec.compress(error, values, threads).expect("it was compressed before");
            if let Values::Templar { codes, .. } = sent.values() {
                black_box(pack(sent.positions(), codes));
            }
        });
        // Encoding and decoding run on one thread each, so every thread has its own submission.
        let codec = &checked.measured;
        let all = millions * threads as f64;
        time("encode_mvals", all, &mut || {
            for_parts(0..threads, |_| {
                black_box(codec.encode(&checked.sent).expect("it was encoded before"));
            });
        });
        time("decode_mvals", all, &mut || {
            for_parts(0..threads, |_| {
                black_box(codec.open(&encoded[..]).expect("it was opened before"));
            });
        });
        time("aggregate16_mvals", millions * PEERS as f64, &mut || {
            aggregate(scratch, &checked.accepted, threads).expect("all submissions are of one layout");
        });
        #[cfg(feature = "torch")]
        time("topk_libtorch_gbps", gigabytes, &mut || {
            drop(black_box(self.torch.top_k(TOP_K, threads)));
        });
        // libtorch's threads wait for more work by spinning, for some milliseconds. Measure nothing
        // meanwhile.
        #[cfg(feature = "torch")]
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
