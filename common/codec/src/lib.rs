//! Compresses pseudo-gradients into submissions, opens and checks submissions, and aggregates them
//! into an outer step.
//!
//! A miner compresses: [`chunks`] cuts a tensor into chunks of 4096 values, [`select`] finds the
//! largest of each chunk, [`quantize`] gives them 1 or 2 bits, [`positions`] codes their indices,
//! [`feedback`] carries on what was not sent. [`sparse`] joins these steps. A [`submission`] holds
//! all tensors of a window, signed, and sealed until its key is published. Every node aggregates:
//! [`aggregate`] clips, sums and applies the submissions of a window, with the same bits on every
//! machine.
//!
//! The crate does no I/O. `FORMATS.md` in the crate `protocol` defines the bytes; `CODEC.md` gives
//! the reasons, `COMPRESSION.md` the speeds.
//!
//! ```
//! use codec::{chunks::Geometry, sparse::{Aggregation, Codec, Quantizer, SparseSpec, compress}};
//!
//! let spec = SparseSpec {
//!     chunk: 4096,
//!     topk: 64,
//!     codec: Codec::Halving,
//!     quantizer: Quantizer::SignCentroid,
//!     beta: 0.95,
//!     outer_lr: 1.0,
//!     aggregation: Aggregation::SenderMean,
//!     clip_growth: 1.1,
//! };
//! let chunks = Geometry::new(&[128, 128], spec.edge())?;
//! assert_eq!((chunks.chunks(), chunks.size()), (4, 4096));
//! let values: Vec<f32> = (0..128 * 128).map(|index| index as f32).collect();
//! assert_eq!(compress(&values, &chunks, &spec)?.positions().len(), 4 * 64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Next: [`sparse`], then [`submission`].

pub mod aggregate;
pub mod bits;
pub mod chunks;
pub mod feedback;
mod pairwise;
pub mod positions;
pub mod prefix;
pub mod quantize;
pub mod select;
pub mod sparse;
pub mod submission;
mod threads;
