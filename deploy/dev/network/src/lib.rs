//! A whole network on one machine: demo, tutorial, end-to-end test and attack laboratory in one.
//!
//! [`up`](up::up) starts a development chain and a bucket server in this process, and miners, validators and adversaries as
//! child processes: the binaries that people run on the real network, with other endpoints and nothing else. It paces
//! the chain, so that a slow machine tells the same story as a fast one, shows what happens, and at the end has an
//! auditor recompute everything, writes a [`report`] and checks [`assertions`]. [`replay`](replay::replay) does the last part again from a
//! recorded run.
//!
//! It is no part of the protocol: nothing in miner or validator knows of it, and it decides nothing that they do.
//!
//! ```
//! use base::Height;
//! use protocol::clock::{Clock, WindowSpec};
//! use devnet::pace::{Observation, Pacer, Verdict};
//! use std::time::Duration;
//!
//! let spec = WindowSpec { blocks: 30, count: 8, claims_close: 3, keys_close: 4, seed: 5, votes_close: 8 };
//! let mut pacer = Pacer::new(Clock::new(Height(40), spec)?, Duration::from_millis(150), Duration::from_secs(180));
//! // The last block before the claims of window 0 close; one miner's claim is missing.
//! let look = Observation { head: Height(72), now: Duration::from_secs(9), missing: 1, waiting: 0 };
//! assert_eq!(pacer.step(&look), Verdict::Wait);
//! assert_eq!(pacer.step(&Observation { missing: 0, ..look }), Verdict::Seal);
//! # Ok::<(), protocol::clock::ClockError>(())
//! ```
//!
//! Next: [`pace`] for when a block is sealed, [`roster`] for who takes part, [`up`] for the order of things.

pub mod assertions;
mod audit;
mod awaited;
mod children;
mod config;
mod corpus;
pub mod faults;
mod folder;
mod follow;
mod genesis;
mod inject;
pub mod kills;
mod launch;
mod network;
pub mod options;
pub mod pace;
mod payouts;
mod pool;
pub mod replay;
pub mod report;
pub mod roster;
pub mod run_record;
mod saved_run;
mod secrets;
pub mod up;
pub mod view;
mod wallets;
