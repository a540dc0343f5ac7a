//! Subtensor's interface as Muster uses it: the pinned and stripped SCALE metadata, the typed interface
//! generated from it, and the comparison of both with a live runtime.
//!
//! Subtensor upgrades often, so code that was generated for one runtime meets other runtimes. Muster
//! therefore lists the items that it uses ([`items`]), and pins the metadata of one runtime, cut down to
//! that list (spec 461, 21 kB). When it connects, it checks which of these items the live runtime has
//! ([`report`]). Differences that do not change a byte, such as newtypes around numbers, are accepted. A
//! missing item disables only the functions that need it, with a message that names the item.
//!
//! This crate is not a client: the crate `chain` connects, signs and retries. Only [`fetch`] talks to a
//! node, once, to get its metadata.
//!
//! ```
//! use chain_metadata::{api, decode, items::Kind, report::Report, runtime};
//!
//! // For a live node: fetch::fetch("ws://127.0.0.1:9944", limit).await?.metadata
//! let live = decode::decode(runtime::PINNED_BYTES)?;
//! let report = Report::new(&live);
//! report.usable(Kind::Storage, "SubtensorModule", "Tempo")?;
//! // The report replaces subxt's own validation.
//! let address = api::storage().subtensor_module().tempo().unvalidated();
//! # let _ = address;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From the shell: `chain-metadata check --url ws://127.0.0.1:9944` says what an operator loses, and
//! `chain-metadata refresh --url ws://127.0.0.1:9944` makes the pin anew.
//!
//! Read next: [`items`] for the list of items and their purposes, [`api`] for the calls and storage,
//! [`check`] for the kinds of differences, and `PROVENANCE.md` for the sources of the files and the steps to
//! a newer runtime.

pub mod api;
pub mod check;
mod compare;
pub mod decode;
mod describe;
pub mod fetch;
pub mod items;
pub mod losses;
pub mod pin;
pub mod report;
pub mod runtime;
pub mod strip;
pub mod table;

pub use compare::NEWTYPES;
