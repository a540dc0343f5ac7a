//! A deterministic simulator of a network. It drives the shipped state machines of miners and validators,
//! and the shipped rules of acceptance, in virtual time, with models of chain, buckets and lines.
//!
//! One [`Scenario`] gives one history, on every machine. All arithmetic is in integers.

mod background;
mod chain;
mod checks;
mod collect;
mod conduct;
mod count;
mod decide;
mod faults;
mod happenings;
mod links;
mod miner;
mod node;
mod prefetch;
mod profile;
mod queue;
mod random;
mod report;
mod scenario;
mod setup;
mod shared;
mod simulation;
mod store;
mod story;
mod transfers;
mod validator;
mod world;

pub use checks::Violation;
pub use faults::{Fault, Kind, ParseFaultError};
pub use profile::ProfileName;
pub use report::{Report, Totals, minimal, run_all};
pub use scenario::Scenario;
pub use simulation::{Outcome, Profiles, simulate};
