//! The metrics of a client.

use telemetry::{Counter, Family};

telemetry::metrics! {
    /// Metrics of a client. [`Client::metrics`](crate::Client::metrics) returns them for a registry.
    pub struct Metrics("muster_chain") {
        /// Requests and subscriptions sent to nodes of the chain, by JSON-RPC method.
        pub requests: Family<Counter> = Family::new("method", 48),
        /// Requests and subscriptions sent to nodes of the chain, by endpoint.
        pub endpoint_requests: Family<Counter> = Family::new("endpoint", 16),
        /// Attempts to connect, by endpoint.
        pub connects: Family<Counter> = Family::new("endpoint", 16),
        /// Refusals by nodes that limit requests or are overloaded (such as HTTP 429 and 503).
        pub busy: Counter,
    }
}
