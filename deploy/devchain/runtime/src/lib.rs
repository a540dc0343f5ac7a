//! The development chain's runtime.
pub mod types;
pub mod yuma;
