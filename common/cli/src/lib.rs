//! The skeleton of every program: [`run_program`] parses the command line, starts logs and runtime, runs
//! a [`Job`], prints the answer or the error, and returns the exit code.
//!
//! It knows no chain and no run. The crate `chain-commands` has the commands that miner and validator
//! share. Each program also compares its reference page with its code: [`check_reference`].
//!
//! ```no_run
//! use cli::{Failure, Job};
//!
//! /// Greet a person
//! #[derive(clap::Parser)]
//! #[command(name = "greet", after_help = cli::EXIT_CODES)]
//! struct Flags {
//!     name: String,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cli::run_program(|flags: Flags, _| match flags.name.as_str() {
//!         "" => Err(Failure::usage("the name is empty")),
//!         name => Ok(Job::answer(format!("Good morning, {name}"))),
//!     })
//! }
//! ```
//!
//! [`Layers`] holds settings, default < file < environment < flag, with the origin of each value.
//!
//! Next: [`Job`], whose constructors say which programs need what.

mod answer;
mod failure;
mod job;
mod layers;
mod program;
mod reference;

pub use answer::Answer;
pub use failure::Failure;
pub use job::Job;
pub use layers::{Layers, Origin};
pub use program::run_program;
pub use reference::{BLESS, ReferenceError, check_reference, reference};

pub use base::EXIT_CODES;
