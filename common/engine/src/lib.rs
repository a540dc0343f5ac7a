//! Runs the model on libtorch: forward and backward passes, inner steps, sparse trial steps, checkpoints.
//!
//! This is the only library crate that uses libtorch. It knows nothing of the chain, of buckets or of
//! payments. It takes parameters, tokens and steps, and returns numbers and bytes. Some results must
//! be identical on all nodes: the initial parameters, the outer step and the state root. `protocol` and
//! `codec` compute these, on this crate's flat parameters.
//!
//! A model belongs to one thread. [`Handle`] starts that thread and sends it work:
//!
//! ```
//! use protocol::model::ModelSpec;
//! use engine::{Batch, Handle, Options, Place};
//!
//! let spec = ModelSpec {
//!     vocab: 256, hidden: 32, layers: 2, heads: 4, kv_heads: 2, head_dim: 8, ffn: 64,
//!     rope_theta: 10_000.0, norm_eps: 1e-5, tied: true, sequence: 64,
//! };
//! # futures::executor::block_on(async {
//! let model = Handle::start(spec, Options { place: Place::Cpu, ..Options::default() }).await?;
//! model.set_parameters(vec![0.01; model.layout().len()]).await?;
//! let losses = model.losses(Batch::new(vec![7; 16], 8)?).await?; // two sequences of eight tokens
//! assert!((losses[0] - 256f64.ln()).abs() < 1e-4); // every token is equally likely
//! # Ok::<(), engine::EngineError>(()) }).unwrap();
//! ```
//!
//! The passes walk a decoder unit by unit: the embedding, the layers, the output. A store hands out the
//! weights of one unit at a time and takes its gradient, so a model may be larger than what a pass holds.
//! [`Recompute`] says which layers keep their intermediate results for the backward pass.
//!
//! `cargo run -p engine --bin engine-bench` measures speed and memory beside eager PyTorch.
//!
//! Next: [`Model`] for all operations, [`Shards`] for the source of tokens, [`checkpoint`] for files.
//! `deploy/torch/setup` installs libtorch. Programs link against its CPU half. At their start they
//! load the CUDA half if it is installed, see [`init_torch`].

mod adamw;
mod batch;
pub mod checkpoint;
pub mod collectives;
mod decoder;
mod error;
mod handle;
mod head;
mod layout;
mod llama;
mod matrix;
mod model;
mod node;
mod raw;
mod rope;
mod shards;
mod shared;
mod start;
mod store;
#[cfg(test)]
mod tests;
mod train;
mod trial;
mod unit;

pub use protocol::model::ParameterLayout;

pub use batch::{Batch, BatchError};
pub use error::{EngineError, TorchError};
pub use handle::Handle;
pub use model::{Compute, Model, Options, Recompute};
pub use shards::{ShardError, Shards};
pub use start::{Place, init_torch};
pub use train::{InnerStep, Trained};
pub use trial::{SparseStep, TrialError};
