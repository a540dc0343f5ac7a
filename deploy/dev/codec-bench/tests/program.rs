//! Runs the program on a small tensor: its JSON has all documented fields, and it verifies what it measures.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use serde_json::Value;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_codec-bench")).args(arguments).output().unwrap()
}

const RATES: [&str; 7] = [
    "read_gbps",
    "copy_gbps",
    "momentum_gbps",
    "select_gbps",
    "encode_mvals",
    "decode_mvals",
    "aggregate16_mvals",
];
const FIGURES: [&str; 7] =
    ["compress_gbps", "index_bits", "value_bits", "total_bits", "ratio_f32", "ratio_bf16", "nmse"];

#[test]
fn all_that_is_promised_is_measured_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    let values = (0..128 * 256).map(|value| (value as f32 * 0.7).sin());
    std::fs::write(&dump, values.flat_map(f32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    let dump = dump.to_str().unwrap();
    let output =
        bench(&["--json", "--rows", "64", "--repetitions", "2", "--dump", dump, "--dump-columns", "256"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verified"], true);
    assert!(["portable", "avx2", "avx512"].contains(&report["simd"].as_str().unwrap()));
    for distribution in ["gaussian", "scale-mixed", "student-t", "recorded"] {
        for threads in ["threads_1", "threads_all"] {
            let figures = &report[distribution][threads];
            for rate in RATES {
                assert!(figures[rate].as_f64().unwrap() > 0.0, "{distribution} {threads} {rate}");
                let range = |end: &str| figures["ranges"][rate][end].as_f64().unwrap();
                assert!(range("min") <= range("median") && range("median") <= range("max"));
            }
            assert_eq!(figures["topk_libtorch_gbps"].is_f64(), cfg!(feature = "torch"));
            for (name, quantizer) in figures["quantizers"].as_object().unwrap() {
                for figure in FIGURES {
                    assert!(quantizer[figure].as_f64().unwrap() > 0.0, "{distribution} {name} {figure}");
                }
            }
        }
    }
    let packed = &report["gaussian"]["threads_1"]["quantizers"]["templar-12+8"];
    assert_eq!((packed["total_bits"].as_f64(), packed["ratio_f32"].as_f64()), (Some(20.0), Some(102.4)));
}

#[test]
fn the_table_says_that_it_is_verified() {
    let output = bench(&["--rows", "64", "--repetitions", "1", "--simd", "portable"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("portable, 1 repetitions") && table.ends_with("\nverified\n"), "{table}");
}

#[test]
fn what_cannot_be_measured_is_a_wrong_use() {
    for wrong in [
        &["--rows", "65"][..],
        &["--rows", "64", "--simd", "mmx"],
        &["--rows", "64", "--repetitions", "1", "--dump", "/nowhere/dump"],
        &["--repetitions", "0"],
    ] {
        let output = bench(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}
