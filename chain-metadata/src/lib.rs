//! Subtensor's metadata.

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
