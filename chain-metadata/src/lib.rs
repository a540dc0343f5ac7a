//! Subtensor's metadata.

pub mod api;
pub mod decode;
pub mod items;
pub mod strip;
