//! The pure types and decisions that all programs of Muster share, without any I/O.
//!
//! There is no tokio here, no network, no file and no system clock: `common` decides, the crates beside
//! it do the I/O.
//!
//! * **The chain**: the identifiers [`Hotkey`], [`Coldkey`], [`Netuid`], [`Uid`], [`Height`],
//!   [`BlockHash`]; the money [`Rao`]; the bytes of a [`commitment`]; the key files of wallets
//!   ([`key_file`]).
//! * **A run**: the [`run_spec`] describes it. The [`clock`] gives the heights at which neurons make an
//!   [`announcement`]. [`acceptance`] computes the submissions that all nodes apply.
//! * **Data**: [`dataset`] describes the tokens of a run, [`assignment`] the blocks that each neuron
//!   trains on.
//! * **Submissions**: a [`submission`] is the object that a miner uploads. [`sparse`] compresses its
//!   values, [`aggregate`] applies them to the shared parameters. [`model`], [`init`] and
//!   [`state_root`] describe these parameters.
//! * **Progress**: [`progress`] is a node's position in a run; other nodes take it from a [`checkpoint`].
//! * **Buckets**: [`keys`] names the objects, [`custody`] selects the voters that store an accepted object.
//! * **Scoring**: validators evaluate, rate and pay by [`gauntlet`], [`ratings`] and [`weights`], and
//!   record it in a [`score_log`].
//! * **Programs**: every program ends with one of the exit codes of [`Exit`].
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
