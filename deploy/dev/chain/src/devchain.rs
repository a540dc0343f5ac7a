//! A running chain: its thread, its server, start and shutdown.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    chain::{Chain, ChainError},
    config::{Config, ConfigError, Pace},
    faults::Faults,
    finality::Tracker,
    handle::{Handle, INBOX},
    heads::{self, Heads},
    log::TornTail,
    node::{Node, Timing},
    pool::Pool,
    rpc, server,
    store::Hash,
};

/// The longest time that [`Devchain::shutdown`] waits for the chain's thread.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

/// The reason why a chain did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The genesis, the log or the runtime is unusable.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Listening on the address failed.
    #[error(
        "cannot listen on {address} (is another devchain running there? give another --listen, or port 0 for a free one)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The chain's thread or its timer failed to start.
    #[error("cannot start the chain's thread")]
    Thread(#[source] io::Error),
    /// Two methods have the same name (a bug in this crate).
    #[error("internal: cannot merge the JSON-RPC methods")]
    Methods(#[from] jsonrpsee::server::RegisterMethodError),
}

/// A development chain in this process. Dropping it stops the chain; [`Devchain::shutdown`] also waits
/// for the end.
pub struct Devchain {
    handle: Handle,
    address: SocketAddr,
    genesis: Hash,
    torn: Option<TornTail>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Devchain {
    /// Starts a chain: reads its log or creates its genesis, and listens.
    ///
    /// Must be called inside a tokio runtime with timers enabled. The server runs on that runtime, the
    /// chain on its own thread.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let (stop, stopped) = watch::channel(false);
        let listener = listen(config.listen).await?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let faults = Faults::new();
        let (inbox, messages) = mpsc::channel(INBOX);
        let (heads, following) = heads::channel();
        let handle = Handle::new(inbox, following, faults.clone());
        let methods = rpc::methods(&handle)?;
        let rpc_limits = config.rpc.clone();

        let (started, start) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let thread = NodeThread { config, messages, heads, stop: stopped.clone(), started, end };
        let builder = std::thread::Builder::new().name("devchain".into());
        builder.spawn(move || thread.run()).map_err(StartError::Thread)?;
        let gone = || StartError::Thread(io::Error::other("it ended during its start"));
        let (genesis, torn) = start.await.map_err(|_| gone())??;

        let server = tokio::spawn(server::serve(listener, methods, rpc_limits, faults, stopped));
        Ok(Self { handle, address, genesis, torn, stop, server, ended })
    }

    /// Returns the URL for clients: `ws://host:port`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Returns the address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the hash of block 0.
    pub fn genesis(&self) -> Hash {
        self.genesis
    }

    /// Returns the tail that the start dropped from the log, if the last write was cut short or is
    /// damaged.
    pub fn torn_tail(&self) -> Option<TornTail> {
        self.torn.clone()
    }

    /// Returns a handle that controls the running chain.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops the server and the chain, and waits until the log is flushed to the disk.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        drop(self.server.await);
        if tokio::time::timeout(SHUTDOWN_GRACE, self.ended).await.is_err() {
            tracing::error!(target: "devchain", "the chain's thread did not end in time");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// The inputs of the chain's thread.
struct NodeThread {
    config: Config,
    messages: mpsc::Receiver<crate::node::Message>,
    heads: Heads,
    stop: watch::Receiver<bool>,
    started: oneshot::Sender<Result<(Hash, Option<TornTail>), StartError>>,
    end: oneshot::Sender<()>,
}

impl NodeThread {
    fn run(self) {
        let Self { config, messages, heads, stop, started, end } = self;
        let log = config.log.as_deref().map(|path| (path, config.sync));
        let (mut chain, torn) = match Chain::open(config.genesis.as_ref(), log) {
            Ok(opened) => opened,
            Err(error) => return drop(started.send(Err(error.into()))),
        };
        chain.set_block_time(config.block_time_ms);
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let timer = match timer {
            Ok(timer) => timer,
            Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
        };
        let timing = Timing {
            block_time: Duration::from_millis(config.block_time_ms),
            clock: config.clock,
            held: config.pace == Pace::Outside,
        };
        let genesis = chain.store().genesis().hash;
        if let (Some(torn), Some(path)) = (&torn, chain.log_path()) {
            warn_of(torn, path);
        }
        // Close the log and release its lock before reporting that the thread has ended.
        timer.block_on(async {
            let finality = Tracker::new(config.finality);
            let node = Node::new(chain, Pool::new(config.pool), finality, timing, heads);
            if started.send(Ok((genesis, torn))).is_ok() {
                node.run(messages, stop).await;
            }
        });
        let _ = end.send(());
    }
}

fn warn_of(torn: &TornTail, log: &Path) {
    let path = log.display();
    let TornTail { offset, dropped, kept } = torn;
    match kept {
        Some(kept) => tracing::warn!(
            target: "devchain", %path, dropped, offset, kept = %kept.display(),
            "dropped the log's last record: it is damaged; its bytes are kept in a file beside the log",
        ),
        None => tracing::warn!(
            target: "devchain", %path, dropped, offset,
            "dropped the log's last write: it was cut short",
        ),
    }
}
