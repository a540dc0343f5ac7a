//! Formats the results, as JSON and as a table.

use crate::pipeline::{CHUNK, Checked, PACKED, QUANTIZERS, Size};
use codec::select::Simd;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

/// The rates of all repetitions, by the name of the measurement.
#[derive(Default)]
pub(crate) struct Rates(BTreeMap<String, Vec<f64>>);

/// The range of some rates.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Range {
    median: f64,
    min: f64,
    max: f64,
}

/// The ranges of all measurements.
pub(crate) type Ranges = BTreeMap<String, Range>;

impl Rates {
    /// Adds a repetition's rate.
    pub(crate) fn add(&mut self, name: &str, rate: f64) {
        self.0.entry(name.to_owned()).or_default().push(rate);
    }

    /// Returns the ranges.
    pub(crate) fn ranges(self) -> Ranges {
        self.0.into_iter().map(|(name, rates)| (name, Range::of(rates))).collect()
    }
}

impl Range {
    fn of(mut rates: Vec<f64>) -> Self {
        rates.sort_unstable_by(f64::total_cmp);
        Self { median: rates[rates.len() / 2], min: rates[0], max: rates[rates.len() - 1] }
    }
}

/// The results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The vectors that selection used.
    simd: &'static str,
    /// Whether selection equalled a full sort, and decoding returned the encoded values.
    pub(crate) verified: bool,
    /// The number of threads of `threads_all`.
    threads: usize,
    /// The repetitions of each measurement.
    repetitions: u32,
    /// The results, by distribution.
    #[serde(flatten)]
    distributions: BTreeMap<&'static str, Figures>,
}

/// The results on values of one distribution.
#[derive(Debug, Serialize)]
struct Figures {
    threads_1: Threads,
    threads_all: Threads,
}

/// The results with one number of threads: medians, and the ranges of all repetitions.
#[derive(Debug, Serialize)]
struct Threads {
    #[serde(flatten)]
    rates: BTreeMap<String, f64>,
    /// `None` if the program was built without libtorch.
    topk_libtorch_gbps: Option<f64>,
    quantizers: BTreeMap<&'static str, Quantizer>,
    ranges: Ranges,
}

/// A quantizer's speed, size and error.
#[derive(Debug, Serialize)]
struct Quantizer {
    compress_gbps: f64,
    index_bits: f64,
    value_bits: f64,
    total_bits: f64,
    ratio_f32: f64,
    ratio_bf16: f64,
    nmse: f64,
}

impl Report {
    pub(crate) fn new(simd: Simd, threads: usize, repetitions: u32) -> Self {
        Self { simd: simd.name(), verified: true, threads, repetitions, distributions: BTreeMap::new() }
    }

    /// Adds the results on values of a distribution.
    pub(crate) fn add(&mut self, name: &'static str, checked: &Checked, one: Ranges, all: Ranges) {
        let [threads_1, threads_all] = [one, all].map(|ranges| Threads::new(checked, ranges));
        self.distributions.insert(name, Figures { threads_1, threads_all });
    }
}

impl Threads {
    fn new(checked: &Checked, ranges: Ranges) -> Self {
        let mut rates: BTreeMap<String, f64> =
            ranges.iter().map(|(name, range)| (name.clone(), range.median)).collect();
        let mut compress = |name: &str| rates.remove(name).unwrap_or_default();
        let sizes = checked.codecs.iter().map(|&(name, _, size)| (name, size));
        // Templar packs the same values with 12 bits per position and 8 bits per code.
        let templar = checked.codecs.iter().find(|(name, ..)| *name == QUANTIZERS[0].0);
        let packed =
            templar.map(|(_, _, size)| (PACKED, Size { index_bits: 12.0, value_bits: 8.0, ..*size }));
        // The share of all values that is sent.
        let share = checked.sent.sent() as f64 / CHUNK as f64;
        let quantizers =
            sizes.chain(packed).map(|(name, size)| (name, Quantizer::new(size, compress(name), share)));
        let quantizers = quantizers.collect();
        let topk_libtorch_gbps = rates.remove("topk_libtorch_gbps");
        Self { rates, topk_libtorch_gbps, quantizers, ranges }
    }
}

impl Quantizer {
    fn new(size: Size, compress_gbps: f64, share: f64) -> Self {
        let Size { index_bits, value_bits, nmse } = size;
        let total_bits = index_bits + value_bits;
        let ratio_f32 = 32.0 / (total_bits * share);
        Self {
            compress_gbps,
            index_bits,
            value_bits,
            total_bits,
            ratio_f32,
            ratio_bf16: ratio_f32 / 2.0,
            nmse,
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { simd, threads, repetitions, .. } = self;
        writeln!(f, "{simd}, {repetitions} repetitions; median (min to max) with 1 and {threads} threads")?;
        for (name, Figures { threads_1: one, threads_all: all }) in &self.distributions {
            writeln!(f, "\n{name}")?;
            for (name, range) in &one.ranges {
                let other = all.ranges.get(name).unwrap_or(range);
                writeln!(f, "  {name:<20}{range}   {other}")?;
            }
            writeln!(f, "  quantizer           index  value  total    f32   bf16  nmse")?;
            for (name, quantizer) in &one.quantizers {
                writeln!(f, "  {name:<18}{quantizer}")?;
            }
        }
        writeln!(f, "\n{}", if self.verified { "verified" } else { "NOT VERIFIED" })
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = self;
        write!(f, "{median:8.2} ({min:.2} to {max:.2})")
    }
}

impl Display for Quantizer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { index_bits, value_bits, total_bits, ratio_f32, ratio_bf16, nmse, .. } = self;
        write!(
            f,
            "{index_bits:7.3}{value_bits:7.3}{total_bits:7.3}{ratio_f32:7.1}{ratio_bf16:7.1}  {nmse:.5}"
        )
    }
}
