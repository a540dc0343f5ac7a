//! The node as seen from outside: events, metrics and health.

use crate::{Events, NodeConfig, NodeError, NodeMetrics};
use std::sync::Arc;
use telemetry::{Component, Endpoint, Health, Registry};

/// A node's events, metrics and health.
#[derive(Debug)]
pub struct Observability {
    /// The events, for programs.
    pub events: Events,
    /// The health of the node's components.
    pub health: Health,
    /// All metrics.
    pub registry: Registry,
    /// The metrics of windows and the shared state.
    pub metrics: Arc<NodeMetrics>,
    /// The shared state. It is ready while the state is known.
    pub(crate) state: Component,
    _endpoint: Option<Endpoint>,
}

impl Observability {
    /// Creates metrics and health, and serves them where the configuration says so. Also returns the
    /// health of the connection to the chain, which is ready while blocks arrive.
    pub(crate) async fn open(config: &NodeConfig, events: Events) -> Result<(Self, Component), NodeError> {
        let registry = Registry::default();
        let health = Health::default();
        let metrics = Arc::new(NodeMetrics::default());
        registry.add(metrics.clone());
        let endpoint = match config.metrics {
            Some(address) => Some(Endpoint::open(address, registry.clone(), health.clone()).await?),
            None => None,
        };
        let (chain, state) = (health.component("chain"), health.component("state"));
        Ok((Self { events, health, registry, metrics, state, _endpoint: endpoint }, chain))
    }
}
