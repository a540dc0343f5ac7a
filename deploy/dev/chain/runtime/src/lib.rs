//! The runtime of the development chain: Subtensor's interface for miners and validators, natively
//! compiled.
//!
//! It has the FRAME pallets `SubtensorModule`, `Commitments` and `Drand`. Their calls, storage, events
//! and errors have the names, indices, types and defaults of Subtensor spec 461. They build on the stock
//! system, timestamp, balances and transaction-payment pallets. An epoch runs Yuma consensus once per
//! tempo.
//!
//! It is not a node (see the crate `devchain`), not WebAssembly, and not all of Subtensor: swaps at a
//! moving price, delegation and the root network are left out.
//!
//! ```
//! use devchain_runtime::{Genesis, Runtime, subtensor::Tempo, types::NetUid};
//!
//! let mut genesis = Genesis::default();
//! genesis.subnet.tempo = 5;
//! let state = genesis.storage().expect("the default genesis is sound");
//! sp_io::TestExternalities::new(state).execute_with(|| {
//!     assert_eq!(Tempo::<Runtime>::get(NetUid(3)), 5);
//! });
//! ```
//!
//! Next, see:
//! * [`yuma`]: the consensus.
//! * [`subtensor`] and [`commitments`]: the pallets.
//! * [`genesis`]: the initial state of a chain.
//! * [`runtime`]: the composition of the pallets.

pub mod aura;
pub mod commitments;
pub mod drand;
pub mod extensions;
pub mod genesis;
pub mod info;
pub mod interfaces;
pub mod metagraph;
pub mod mev_shield;
pub mod runtime;
pub mod subtensor;
pub mod types;
pub mod yuma;

pub use genesis::{Genesis, GenesisError};
pub use runtime::{
    AccountId, Block, BlockNumber, Executive, Hash, Header, Runtime, RuntimeCall, RuntimeEvent,
    RuntimeOrigin, UncheckedExtrinsic, VERSION, interface as api,
};
