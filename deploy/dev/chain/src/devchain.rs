//! A running chain: its thread, its server, and how they start and stop.

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
    handle::{Handle, INBOX},
    log::TornTail,
    node::{Node, Timing},
    pool::Pool,
    rpc, server,
    store::Hash,
};

/// How long [`Devchain::shutdown`] waits for the chain's thread.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

/// Why a chain did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Genesis, log or runtime.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; is another devchain running there? Give another --listen, or port 0 for a free one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's refusal.
        source: io::Error,
    },
    /// No thread to run it.
    #[error("cannot start the chain's thread: {0}")]
    Thread(io::Error),
    /// Two methods of one name: a mistake in this crate.
    #[error("the JSON-RPC methods do not fit together: {0}")]
    Methods(#[from] jsonrpsee::server::RegisterMethodError),
}

/// A development chain in this process. Dropping it stops it; [`Devchain::shutdown`] also waits.
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
    /// Starts a chain: reads its log, or makes its genesis, and listens.
    ///
    /// Must be called inside a tokio runtime with its timer on; the server runs on it, the chain on a thread of its own.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let (stop, stopped) = watch::channel(false);
        let listener = listen(config.listen).await?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let faults = Faults::new();
        let (inbox, messages) = mpsc::channel(INBOX);
        let (best, heights) = watch::channel(0);
        let handle = Handle::new(inbox, heights, faults.clone());
        let methods = rpc::methods(&handle)?;
        let rpc_limits = config.rpc.clone();

        let (started, start) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let thread = NodeThread { config, messages, best, stop: stopped.clone(), started, end };
        let builder = std::thread::Builder::new().name("devchain".into());
        builder.spawn(move || thread.run()).map_err(StartError::Thread)?;
        let gone = || StartError::Thread(io::Error::other("it ended before it had started"));
        let (genesis, torn) = start.await.map_err(|_| gone())??;

        let server = tokio::spawn(server::serve(listener, methods, rpc_limits, faults, stopped));
        Ok(Self { handle, address, genesis, torn, stop, server, ended })
    }

    /// Where clients connect: `ws://host:port`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hash of block 0.
    pub fn genesis(&self) -> Hash {
        self.genesis
    }

    /// What was dropped from the end of the log, if its last write had been cut short or is damaged.
    pub fn torn_tail(&self) -> Option<TornTail> {
        self.torn.clone()
    }

    /// The way to the running chain.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops the server and the chain, and waits until the log is on the disk.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        drop(self.server.await);
        if tokio::time::timeout(SHUTDOWN_GRACE, self.ended).await.is_err() {
            tracing::error!(target: "devchain", "the chain's thread does not end");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// What the chain's thread starts with.
struct NodeThread {
    config: Config,
    messages: mpsc::Receiver<crate::node::Message>,
    best: watch::Sender<u32>,
    stop: watch::Receiver<bool>,
    started: oneshot::Sender<Result<(Hash, Option<TornTail>), StartError>>,
    end: oneshot::Sender<()>,
}

impl NodeThread {
    fn run(self) {
        let Self { config, messages, best, stop, started, end } = self;
        let log = config.log.as_deref().map(|path| (path, config.sync));
        let (chain, torn) = match Chain::open(config.genesis.as_ref(), log) {
            Ok(opened) => opened,
            Err(error) => return drop(started.send(Err(error.into()))),
        };
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
        // The log is closed, and its lock gone, before anybody is told that the thread has ended.
        timer.block_on(async {
            let node = Node::new(chain, Pool::new(config.pool), timing, best);
            if started.send(Ok((genesis, torn))).is_ok() {
                node.run(messages, stop).await;
            }
        });
        let _ = end.send(());
    }
}

fn warn_of(torn: &TornTail, log: &Path) {
    let (path, TornTail { offset, dropped, kept }) = (log.display(), torn);
    match kept {
        Some(kept) => tracing::warn!(
            target: "devchain", %path, dropped, offset, kept = %kept.display(),
            "the log's last record is damaged; dropped it, and kept its bytes beside the log",
        ),
        None => tracing::warn!(
            target: "devchain", %path, dropped, offset,
            "the log's last write had been cut short; dropped it",
        ),
    }
}
