//! Maps the chunks of a tensor to places in it: blocks of a matrix, pieces of a vector.
//!
//! The rules are Templar's. The edge of a chunk is the largest divisor of the dimension that is at
//! most 64, so chunks tile the tensor exactly. Chunks are counted along the rows of blocks.
//! Positions in a chunk run along its rows.
//!
//! ```
//! use codec::chunks::Geometry;
//!
//! let matrix = Geometry::new(&[128, 192], 64)?;
//! assert_eq!((matrix.chunks(), matrix.size()), (2 * 3, 4096));
//! // Chunk (1, 2), position (3, 4) is the value in row 64 + 3, column 128 + 4.
//! assert_eq!(matrix.coordinate(matrix.origin(5), 3 * 64 + 4), (64 + 3) * 192 + 128 + 4);
//! # Ok::<(), codec::chunks::GeometryError>(())
//! ```

use crate::select::Chunks;
use std::ops::Range;

/// The division of a tensor of one or two dimensions into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Values per row of the tensor. A vector is one row.
    columns: usize,
    /// Rows per chunk; 1 for a vector.
    height: usize,
    /// Columns per chunk.
    width: usize,
    /// The number of rows of chunks.
    down: usize,
    /// Chunks per row of chunks.
    across: usize,
}

/// An error from cutting a tensor into chunks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// The tensor is neither a vector nor a matrix.
    #[error("a tensor of {0} dimensions cannot be cut into chunks: only vectors and matrices can")]
    Rank(usize),
    /// The number of values overflows `usize`.
    #[error("a tensor of shape {0:?} has more values than can be counted")]
    TooLarge(Vec<usize>),
}

impl Geometry {
    /// Creates the chunks of a tensor of this shape, with edges of at most `edge` (at least 1).
    ///
    /// # Errors
    /// Fails if the shape is neither a vector's nor a matrix's, or if its number of values overflows.
    pub fn new(shape: &[usize], edge: usize) -> Result<Self, GeometryError> {
        let (rows, columns) = match *shape {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ => return Err(GeometryError::Rank(shape.len())),
        };
        if rows.checked_mul(columns).is_none() {
            return Err(GeometryError::TooLarge(shape.to_vec()));
        }
        let (height, width) = (divisor(rows, edge), divisor(columns, edge));
        // A tensor without values has no chunks, whichever dimension is 0.
        let down = if columns == 0 { 0 } else { rows / height };
        Ok(Self { columns, height, width, down, across: columns / width })
    }

    /// Returns the number of chunks.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.down * self.across
    }

    /// Returns the number of values of a chunk.
    #[must_use]
    pub fn size(&self) -> usize {
        self.height * self.width
    }

    /// Returns the number of values in a row of a chunk.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of values of the tensor.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks() * self.size()
    }

    /// Returns whether the tensor has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many values of a chunk are sent for this `topk`: at most `topk`, and all of a
    /// smaller chunk.
    #[must_use]
    pub fn sent(&self, topk: usize) -> usize {
        self.size().min(topk)
    }

    /// Returns the number of chunks side by side, in one [band](Self::band).
    #[must_use]
    pub fn across(&self) -> usize {
        self.across
    }

    /// Returns the number of values of a band. A band is one row of chunks, which is contiguous in
    /// the tensor.
    #[must_use]
    pub fn band(&self) -> usize {
        self.height * self.columns
    }

    /// Returns the place of a chunk's first value in the tensor.
    #[must_use]
    pub fn origin(&self, chunk: usize) -> usize {
        let row = chunk / self.across;
        let column = chunk % self.across;
        row * self.band() + column * self.width
    }

    /// Returns the place in the tensor of a position of the chunk that begins at `origin`.
    #[must_use]
    pub fn coordinate(&self, origin: usize, position: usize) -> usize {
        origin + position / self.width * self.columns + position % self.width
    }

    /// Returns the places in the tensor of a row of the chunk that begins at `origin`.
    #[must_use]
    pub fn row(&self, origin: usize, row: usize) -> Range<usize> {
        let start = origin + row * self.columns;
        start..start + self.width
    }

    /// Describes `count` chunks side by side, to be read together.
    pub(crate) fn run(&self, count: usize) -> Chunks {
        Chunks { count, height: self.height, width: self.width, stride: self.columns }
    }
}

/// Returns the largest divisor of `size` that is at most `most`, or 1 if `size` is 0.
fn divisor(size: usize, most: usize) -> usize {
    (1..=most.min(size)).rev().find(|edge| size.is_multiple_of(*edge)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::{Selector, Source};
    use proptest::prelude::*;

    #[test]
    fn edges_are_templars() {
        let edges = [
            (8192, 64),
            (28_672, 64),
            (262_144, 64),
            (1024, 64),
            (2688, 64),
            (192, 64),
            (100, 50),
            (130, 26),
        ];
        for (size, edge) in edges {
            assert_eq!(divisor(size, 64), edge, "{size}");
            assert_eq!(Geometry::new(&[size, size], 64).unwrap().size(), edge * edge);
        }
    }

    #[test]
    fn vectors_and_small_tensors_are_sent_whole() {
        let vector = Geometry::new(&[192], 64).unwrap();
        assert_eq!((vector.chunks(), vector.size(), vector.sent(64)), (3, 64, 64));
        let small = Geometry::new(&[5], 64).unwrap();
        assert_eq!((small.chunks(), small.size(), small.sent(64)), (1, 5, 5));
        assert_eq!(Geometry::new(&[8192, 8192], 64).unwrap().sent(64), 64);
    }

    #[test]
    fn tensors_without_values_have_no_chunks() {
        for shape in [&[0][..], &[0, 64], &[64, 0], &[0, 0]] {
            let geometry = Geometry::new(shape, 64).unwrap();
            assert_eq!((geometry.chunks(), geometry.len()), (0, 0), "{shape:?}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        assert_eq!(Geometry::new(&[], 64), Err(GeometryError::Rank(0)));
        assert_eq!(Geometry::new(&[2, 3, 4], 64), Err(GeometryError::Rank(3)));
        let refused = Geometry::new(&[usize::MAX, 2], 64).unwrap_err();
        assert!(refused.to_string().contains("more values than can be counted"));
    }

    proptest! {
        #[test]
        fn each_value_is_in_one_chunk_and_read_from_there(rows in 1usize..80, columns in 1usize..80, edge in 1usize..20) {
            let geometry = Geometry::new(&[rows, columns], edge).unwrap();
            prop_assert_eq!(geometry.len(), rows * columns);
            let values: Vec<f32> = (0..rows * columns).map(|value| value as f32).collect();
            let mut seen = vec![false; values.len()];
            let mut selector = Selector::default();
            for chunk in 0..geometry.chunks() {
                let origin = geometry.origin(chunk);
                prop_assert!(selector.read(Source::Values(&values[origin..]), geometry.run(1)));
                prop_assert!(origin / geometry.band() == chunk / geometry.across());
                // All are chosen.
                let (mut positions, mut chosen) = (vec![0; geometry.size()], vec![0.0; geometry.size()]);
                prop_assert!(selector.choose(std::iter::once((&mut positions[..], &mut chosen[..])), None));
                for (position, &value) in chosen.iter().enumerate() {
                    let coordinate = geometry.coordinate(origin, position);
                    prop_assert_eq!(value, values[coordinate]);
                    prop_assert!(!std::mem::replace(&mut seen[coordinate], true));
                }
            }
            prop_assert!(seen.iter().all(|&seen| seen));
        }
    }
}
