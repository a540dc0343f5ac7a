//! Archive nodes: they keep the state of every block.

use std::sync::Arc;

use base::{BlockHash, ErrorChain};
use tokio::sync::OnceCell;
use tracing::warn;

use crate::{Metrics, Options, connection::Connection};

/// The archive nodes of the options. They are connected to when a state is asked for that other nodes no
/// longer have.
pub(crate) struct Archive {
    options: Arc<Options>,
    metrics: Arc<Metrics>,
    connection: OnceCell<Connection>,
}

impl Archive {
    /// Returns `None` if the options name no archive node.
    pub(crate) fn new(options: &Options, metrics: Arc<Metrics>, genesis: BlockHash) -> Option<Self> {
        if options.archive.is_empty() {
            return None;
        }
        let options = Options {
            endpoints: options.archive.clone(),
            archive: Vec::new(),
            genesis: Some(genesis),
            ..options.clone()
        };
        Some(Self { options: Arc::new(options), metrics, connection: OnceCell::new() })
    }

    /// Returns the connection. If no archive node answers, a later call tries again.
    pub(crate) async fn connection(&self) -> Option<&Connection> {
        let opening = || async {
            Connection::open(self.options.clone(), self.metrics.clone())
                .await
                .map(|(connection, _)| connection)
        };
        let opened = self.connection.get_or_try_init(opening).await;
        opened
            .inspect_err(|error| warn!(target: "chain", error = %ErrorChain(error), "cannot use the archive"))
            .ok()
    }
}
