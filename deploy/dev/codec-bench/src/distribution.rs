//! Provides the values for the measurements: drawn from a seed, or recorded. Drawn values are the
//! same on any machine, up to the last bits of its logarithm and cosine.

use crate::threads::for_parts;
use anyhow::ensure;
use codec::chunks::Geometry;
use std::{f64::consts::TAU, path::Path};

/// The values from which a miner of the tiny run selected in its last window: 64 chunks of all its
/// matrices (`README.md`).
const RECORDED: &[u8] = include_bytes!("../data/recorded.f32");
/// Values per row of the recorded values.
const RECORDED_COLUMNS: usize = 128;

/// The distributions that values are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Normal, with standard deviation 1.
    Gaussian,
    /// Normal, with a standard deviation drawn for each chunk: the exponential of a normal number.
    ScaleMixed,
    /// Student's t with 3 degrees of freedom: heavy tails.
    StudentT,
}

/// The edge of a chunk.
const EDGE: usize = 64;

impl Distribution {
    /// All distributions.
    pub(crate) const DRAWN: [Self; 3] = [Self::Gaussian, Self::ScaleMixed, Self::StudentT];

    /// Returns its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::ScaleMixed => "scale-mixed",
            Self::StudentT => "student-t",
        }
    }

    /// Draws a matrix, on `threads` threads. The result does not depend on their number.
    pub(crate) fn draw(self, rows: usize, columns: usize, threads: usize) -> Vec<f32> {
        let mut values = vec![0.0; rows * columns];
        let bands = rows.div_ceil(EDGE).div_ceil(threads.max(1));
        for_parts(values.chunks_mut(bands * EDGE * columns).enumerate(), |(part, values)| {
            for (band, values) in values.chunks_mut(EDGE * columns).enumerate() {
                self.draw_band(Draw::new((part * bands + band) as u64), values, columns);
            }
        });
        values
    }

    /// Draws a row of chunks.
    fn draw_band(self, mut draw: Draw, values: &mut [f32], columns: usize) {
        let scales: Vec<f64> = (0..columns.div_ceil(EDGE)).map(|_| draw.normal().exp()).collect();
        for row in values.chunks_mut(columns) {
            for (column, value) in row.iter_mut().enumerate() {
                *value = match self {
                    Self::Gaussian => draw.normal(),
                    Self::ScaleMixed => draw.normal() * scales[column / EDGE],
                    Self::StudentT => draw.student(),
                } as f32;
            }
        }
    }
}

/// A generator of random numbers: SplitMix64, and normal numbers from pairs of its numbers (Box and Muller).
struct Draw {
    state: u64,
    /// The second number of a pair.
    kept: Option<f64>,
}

impl Draw {
    fn new(stream: u64) -> Self {
        Self { state: stream.wrapping_mul(0xd134_2543_de82_ef95), kept: None }
    }

    /// Draws a uniform number between 0 and 1, both excluded.
    fn even(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + f64::EPSILON / 4.0
    }

    /// Draws a normal number with standard deviation 1.
    fn normal(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let radius = (-2.0 * self.even().ln()).sqrt();
        let angle = TAU * self.even();
        self.kept = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Draws a number from Student's t with 3 degrees of freedom.
    fn student(&mut self) -> f64 {
        let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / (squares / 3.0).sqrt()
    }
}

/// Reads recorded values: as many whole rows of chunks as the file has.
pub(crate) fn read(path: &Path, columns: usize) -> anyhow::Result<Vec<f32>> {
    ensure!(columns > 0 && columns.is_multiple_of(EDGE), "rows must have a multiple of 64 values");
    let mut values = decoded(&std::fs::read(path)?);
    values.truncate(values.len() / (EDGE * columns) * EDGE * columns);
    ensure!(!values.is_empty(), "the file has fewer than 64 rows of {columns} values");
    ensure!(values.iter().all(|value| value.is_finite()), "a value is not finite");
    Ok(values)
}

/// Returns a matrix whose chunks are the recorded ones, repeated.
pub(crate) fn recorded(rows: usize, columns: usize) -> Vec<f32> {
    let source = decoded(RECORDED);
    let geometry = |rows, columns| Geometry::new(&[rows, columns], EDGE).expect("whole chunks");
    let [from, to] = [geometry(source.len() / RECORDED_COLUMNS, RECORDED_COLUMNS), geometry(rows, columns)];
    let mut values = vec![0.0; rows * columns];
    for chunk in 0..to.chunks() {
        let [from_origin, to_origin] = [from.origin(chunk % from.chunks()), to.origin(chunk)];
        for row in 0..EDGE {
            values[to.row(to_origin, row)].copy_from_slice(&source[from.row(from_origin, row)]);
        }
    }
    values
}

fn decoded(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_chunks_are_laid_out_as_chunks() {
        let source = decoded(RECORDED);
        let values = recorded(128, 4096);
        assert_eq!((source.len(), values.len()), (64 * 4096, 128 * 4096));
        // The second chunk of the second row of chunks is the 66th. After all 64 chunks, this is
        // the second one again.
        assert_eq!(values[(64 + 3) * 4096 + 64 + 5], source[3 * 128 + 64 + 5]);
        assert!(values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn what_is_drawn_has_its_moments_and_does_not_depend_on_threads() {
        for distribution in Distribution::DRAWN {
            let values = distribution.draw(256, 512, 1);
            assert_eq!(values, distribution.draw(256, 512, 3));
            let count = values.len() as f64;
            let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
            assert!(mean.abs() < 0.05, "{distribution:?}: {mean}");
        }
        let values = Distribution::Gaussian.draw(256, 512, 2);
        let square = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((square - 1.0).abs() < 0.02, "{square}");
    }

    #[test]
    fn recorded_values_come_in_whole_rows_of_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        let values: Vec<f32> = (0..64 * 128 + 5).map(|value| value as f32).collect();
        std::fs::write(&path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
            .unwrap();
        assert_eq!(read(&path, 128).unwrap(), values[..64 * 128]);
        assert!(read(&path, 100).is_err() && read(&path, 256).is_err());
    }
}
