//! A development chain: Subtensor's interface in one small process. Tests run, pace, break and restart
//! it.
//!
//! It is a node around `devchain-runtime` (FRAME, natively compiled). It seals blocks at a block time
//! or on demand. Each block is final at once; with [`Finality`] the finalized block stays behind, stalls,
//! and newest blocks are dropped for another branch. It keeps every state in memory and appends every
//! block to a log. It answers the JSON-RPC that subxt, `@polkadot/api` and Bittensor's SDK speak. The
//! `dev_*` calls hold it, fast-forward it, write its storage, copy it, stall its finality, drop its
//! newest blocks, and inject network faults.
//!
//! It is not a network (one process, no peers) and not WebAssembly. It is not safe to expose: any client
//! that reaches its socket controls it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use devchain::{Config, Devchain, Pace};
//!
//! let listen = "127.0.0.1:0".parse()?;
//! let chain = Devchain::start(Config { listen, pace: Pace::Outside, ..Config::default() }).await?;
//! println!("a chain at {} with genesis {:?}", chain.url(), chain.genesis());
//! let status = chain.handle().fast_forward(20).await?;
//! assert_eq!(status.height, 20);
//! chain.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Next, see:
//! * [`Config`]: the settings.
//! * [`Handle`]: control of a running chain.
//! * `node`: the thread that owns the chain.
//! * `seal`: block building.
//! * `finality`: the rules for final and for dropped blocks.
//! * `log`: the file on disk.
//! * `pool`: the waiting transactions.
//! * [`Proxy`]: a proxy before a node, which goes silent on command.

mod chain;
mod clock;
mod config;
mod devchain;
mod faults;
mod finality;
mod handle;
mod heads;
mod log;
mod node;
mod pool;
mod proxy;
mod rpc;
mod seal;
mod server;
pub mod sign;
mod state;
mod store;
mod upgrade;

pub use self::{
    chain::{BlockError, ChainError},
    clock::{Clock, LOGICAL_START_MS},
    config::{Config, ConfigError, Pace},
    devchain::{Devchain, StartError},
    faults::{CONTROL_PATH, Drop, FaultChange, FaultError, FaultStatus, MAX_FAULT_MS, RefusedMethod, Stall},
    finality::{Finality, FinalityError, MAX_DROP},
    handle::{ChainStatus, ControlError, Handle, MAX_BLOCKS, MAX_KEY, SubmitError},
    log::{Height, LogError, RuntimeId, StorageWrite, Sync, TornTail},
    node::NodeStatus,
    pool::{Limits as PoolLimits, Refusal, Status},
    proxy::{Proxy, ProxyFault},
    seal::SealError,
    server::Limits as RpcLimits,
    state::CallError,
    store::{Block, Extrinsic, Hash, Header},
    upgrade::{MAX_METADATA, UpgradeError},
};
pub use devchain_runtime::{Genesis, GenesisError};
