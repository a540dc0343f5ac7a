//! What Muster knows of Subtensor's interface: its SCALE metadata, pinned and stripped, the typed interface made
//! from it, and the comparison of both with a live runtime.
//!
//! Subtensor upgrades often, and code that was generated for one runtime meets another. So Muster lists what it
//! uses ([`items`]), pins the metadata of one runtime cut down to that list (spec 461, 21 kB), and asks at connect
//! which of the list's items the live runtime has ([`report`]). Differences that do not change a byte, such as
//! newtypes around numbers, are no obstacle; what a runtime lacks disables what needs it, with a message that
//! names the item.
//!
//! It is not a client: connecting, signing and retrying are the crate `chain`'s. Only [`fetch`] speaks to a node,
//! once, to get its metadata.
//!
//! ```
//! use chain_metadata::{api, decode, items::Kind, report::Report, runtime};
//!
//! // Of a live node: fetch::fetch("ws://127.0.0.1:9944", limit).await?.metadata
//! let live = decode::decode(runtime::PINNED_BYTES)?;
//! let report = Report::new(&live);
//! report.usable(Kind::Storage, "SubtensorModule", "Tempo")?;
//! // The report has taken the place of subxt's own validation.
//! let address = api::storage().subtensor_module().tempo().unvalidated();
//! # let _ = address;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From the shell: `chain-metadata check --url ws://127.0.0.1:9944`.
//!
//! Where to look next: [`items`] for what is used and why, [`api`] for the calls and storage, [`check`] for what
//! counts as a difference, `PROVENANCE.md` for where the files come from and how to take a newer runtime.

pub mod api;
pub mod check;
mod compare;
pub mod decode;
mod describe;
pub mod fetch;
pub mod items;
pub mod report;
pub mod runtime;
pub mod strip;
pub mod table;

pub use compare::NEWTYPES;
