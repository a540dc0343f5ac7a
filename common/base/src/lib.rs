//! Provides the types that every other crate of Muster shares: identifiers, accounts, canonical
//! bytes, digests, signatures, fixed-point numbers and tensor specs.
//!
//! * Identifiers of the chain and of a run: [`Hotkey`], [`Coldkey`], [`Netuid`], [`Mechanism`], [`Uid`],
//!   [`NeuronId`], [`Height`], [`BlockHash`], [`Window`]; amounts of money: [`Rao`].
//! * Canonical bytes: [`wire`] reads and writes them, [`object`] checks the kind and version of an
//!   object, [`digest`] names each hash, [`signature`] signs with sr25519.
//! * The chain's containers: [`commitment`] (the fields of a neuron's commitment), [`key_file`]
//!   (wallet files).
//! * Numbers: [`Millionths`] are decimals that compare and compute the same on every machine.
//! * Model state: [`tensor`] describes tensors, [`state_root`] hashes them.
//! * [`Exit`] lists the exit codes of all programs, [`ErrorChain`] prints an error with its causes,
//!   [`Secret`] holds bytes that cannot be printed.
//!
//! The crate does no I/O and reads no clock. Decisions live in the crates above it: `codec`,
//! `scoring`, `protocol`.
//!
//! ```
//! use base::{Hotkey, Rao, commitment::{Field, Fields}};
//!
//! let alice: Hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".parse()?;
//! assert_eq!(alice.to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
//! assert_eq!("0.5 TAO".parse::<Rao>()?, Rao(500_000_000));
//!
//! let claim = Fields::new(vec![Field::raw(b"hello")?])?;
//! assert_eq!(claim.cost(), 100); // the chain counts at least 100 bytes a call
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Next: [`wire`], then the crate `protocol`, which describes a run and decides what its nodes accept.

mod account;
mod balance;
pub mod commitment;
pub mod digest;
mod error_chain;
mod exit;
mod ids;
pub mod key_file;
mod millionths;
mod neuron;
pub mod object;
mod secret;
pub mod signature;
pub mod ss58;
pub mod state_root;
pub mod tensor;
pub mod wire;

pub use account::{Coldkey, Hotkey};
pub use balance::{ParseRaoError, RAO_PER_TAO, Rao};
pub use error_chain::ErrorChain;
pub use exit::{EXIT_CODES, Exit};
pub use ids::{BlockHash, Height, Mechanism, Netuid, ParseHashError, Uid, UnixMillis, Window};
pub use millionths::{Millionths, MillionthsError};
pub use neuron::NeuronId;
pub use secret::Secret;
