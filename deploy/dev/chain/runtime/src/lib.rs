//! The runtime of the development chain: Subtensor's interface for miners and validators, natively compiled.
//!
//! What it is: FRAME pallets named `SubtensorModule` and `Commitments` whose calls, storage, events and errors have the
//! names, numbers, types and defaults of Subtensor spec 461, on top of the stock system, timestamp, balances and
//! transaction-payment pallets. An epoch every tempo runs Yuma consensus.
//!
//! What it is not: a node (see the crate `devchain`), WebAssembly, or all of Subtensor: staking, swaps, delegation,
//! commit-reveal and the root network are left out.
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
//! Where to look next: [`yuma`] for the consensus, [`subtensor`] and [`commitments`] for the pallets, [`genesis`] for
//! the state a chain begins with, [`runtime`] for how they are put together.

pub mod commitments;
pub mod extensions;
pub mod genesis;
pub mod interfaces;
pub mod metagraph;
pub mod runtime;
pub mod subtensor;
pub mod types;
pub mod yuma;

pub use genesis::{Genesis, GenesisError};
pub use runtime::{
    AccountId, Block, BlockNumber, Executive, Hash, Header, Runtime, RuntimeCall, RuntimeEvent,
    RuntimeOrigin, UncheckedExtrinsic, VERSION, interface as api,
};
