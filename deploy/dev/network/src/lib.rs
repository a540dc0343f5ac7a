//! A whole network on one machine: demo, tutorial, end-to-end test and attack laboratory in one.
//!
//! [`up`](up::up) starts a development chain and a bucket server in this process. It starts miners,
//! validators and adversaries as child processes. Miners and validators are the binaries of the real
//! network: only their endpoints differ. `up` paces the chain, so a slow machine produces the same run
//! as a fast one, and shows the progress. At the end it starts an auditor that recomputes everything,
//! writes a [`report`] and checks [`assertions`]. [`replay`](replay::replay) repeats the audit from a
//! recorded run.
//!
//! This crate is not part of the protocol. Miners and validators do not know of it, and it makes none
//! of their decisions.
//!
//! ```
//! use base::Height;
//! use protocol::clock::{Clock, WindowSpec};
//! use devnet::pace::{Observation, Pacer, Verdict};
//! use std::time::Duration;
//!
//! let spec = WindowSpec {
//!     blocks: 30,
//!     count: 8,
//!     finality_lag: 3,
//!     publishing: 1,
//!     screening: 3,
//!     claims_close: 3,
//!     keys_close: 8,
//!     seed: 12,
//!     votes_close: 19,
//! };
//! let clock = Clock::new(Height(40), spec)?;
//! let mut pacer = Pacer::new(clock, Duration::from_millis(150), Duration::from_secs(180));
//! // Claims of window 0 close in the next block, and one miner's claim is missing.
//! let (head, finalized, now) = (Height(72), Height(69), Duration::from_secs(9));
//! let observation = Observation { head, finalized, now, missing: 1, waiting: 0, settling: false };
//! assert_eq!(pacer.step(&observation), Verdict::Wait);
//! assert_eq!(pacer.step(&Observation { missing: 0, ..observation }), Verdict::Seal);
//! # Ok::<(), protocol::clock::ClockError>(())
//! ```
//!
//! Next: [`pace`] decides when a block is sealed, [`roster`] lists the participants, [`up`] has the
//! order of events.

pub mod assertions;
mod audit;
mod awaited;
mod children;
mod config;
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
