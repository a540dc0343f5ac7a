//! What all of Muster agrees on: pure types and decisions, without any I/O.
//!
//! Here are the chain's identifiers ([`Hotkey`], [`Coldkey`], [`Netuid`], [`Uid`], [`Height`], [`BlockHash`]), its
//! money ([`Rao`]), what a commitment may hold ([`commitment`]), the files of its wallets ([`key_file`]) and the exit
//! codes of every program ([`Exit`]).
//! Validators judge, rate and pay by [`gauntlet`], [`ratings`] and [`weights`], and write it down in a [`score_log`].
//! A run is a [`run_spec`]; its [`clock`] says when neurons make an [`announcement`], and [`acceptance`] what all nodes
//! then apply; who trains on what is in [`assignment`], on what at all in [`dataset`].
//! What a miner sends is a [`submission`], made by [`sparse`] and applied by [`aggregate`]; [`model`], [`init`] and
//! [`state_root`] say what it is applied to.
//! How far a node is says its [`progress`], which others take over in a [`checkpoint`]; what lies where in buckets
//! say [`keys`], and who keeps it for others [`custody`].
//! There is no tokio here, no network, no file and no clock: `common` decides, the crates beside it carry.
//!
//! ```
//! use common::{Hotkey, Rao, commitment::{Field, Fields}};
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
//! Next: [`commitment`], then the crate `chain`, which reads and writes all of this on a live chain.

pub mod acceptance;
mod account;
pub mod aggregate;
pub mod announcement;
pub mod assignment;
mod balance;
pub mod bits;
pub mod checkpoint;
pub mod chunks;
pub mod clock;
pub mod commitment;
pub mod custody;
pub mod dataset;
pub mod digest;
mod exit;
pub mod feedback;
pub mod gauntlet;
pub mod halving;
pub mod history;
mod ids;
pub mod init;
pub mod key_file;
pub mod keys;
pub mod model;
mod neuron;
pub mod object;
pub mod permutation;
pub mod prefix;
pub mod progress;
pub mod quantize;
pub mod ratings;
pub mod run_spec;
pub mod schedule;
pub mod score_log;
mod secret;
pub mod select;
pub mod signature;
pub mod sparse;
pub mod ss58;
pub mod state_root;
pub mod submission;
mod threads;
pub mod train;
pub mod weights;
pub mod wire;

pub use account::{Coldkey, Hotkey};
pub use balance::{ParseRaoError, RAO_PER_TAO, Rao};
pub use exit::{EXIT_CODES, Exit};
pub use ids::{BlockHash, Height, Netuid, ParseHashError, Uid, UnixMillis, Window};
pub use neuron::NeuronId;
pub use secret::Secret;
