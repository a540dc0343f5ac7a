//! What every node reads from chain and buckets, and how it writes there.
//!
//! A [`Ledger`] shows the chain's state after a block as the pure functions of `common` want it, and decides windows by
//! them. A [`Fetcher`] takes objects out of strangers' buckets and hands on only what was checked to the last bit, or a
//! [`FetchError`] that says whose fault it is. An [`Outbox`] and an [`Announcer`] are the way in the other direction:
//! objects into one's own bucket, claims and votes onto the chain.
//!
//! Nothing is decided here that `common` decides, nothing is trained or measured, and nothing is waited for: a block
//! that is not final is an error, for those to wait who know how long. There is no libtorch here; whoever only
//! recomputes what others did reads the parameters of a checkpoint by [`read_parameters`].
//!
//! ```no_run
//! # async fn example(client: chain::Client, spec: protocol::run_spec::RunSpec) -> Result<(), Box<dyn std::error::Error>> {
//! use base::Window;
//! use protocol::history::History;
//! use exchange::Ledger;
//!
//! let ledger = Ledger::new(client, spec.network.netuid);
//! let mut history = History::new(&spec.hash());
//! let decision = ledger.decide(&spec, &history, Window(0)).await?;
//! println!("window 0: {} of {} candidates are applied", decision.applied().len(), decision.candidates.len());
//! history.push(&decision)?;
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`Ledger`], [`BlockState`], [`Fetcher`].

mod announcer;
mod error;
mod fetch;
mod key;
mod ledger;
mod outbox;
mod parameters;
mod state;

pub use announcer::{AnnounceError, Announcer};
pub use error::ExchangeError;
pub use fetch::{Claimed, FetchError, FetchLimits, Fetcher};
pub use key::signing_key;
pub use ledger::{Ledger, WindowEvidence};
pub use outbox::{Outbox, OutboxError};
pub use parameters::{ParametersError, read_parameters};
pub use state::BlockState;
