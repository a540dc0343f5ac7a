//! The metrics of a node.

use telemetry::{Counter, Gauge, Histogram};

telemetry::metrics! {
    /// Metrics about windows and the shared state.
    pub struct NodeMetrics("muster_node") {
        /// The newest finalized block.
        pub height: Gauge,
        /// The blocks by which the finalized block is behind the best block.
        pub finality_lag_blocks: Gauge,
        /// The seconds by which this machine's clock is ahead of its bucket's, or of the chain's.
        pub clock_difference_seconds: Gauge,
        /// The next window.
        pub window: Gauge,
        /// Windows with an outer step.
        pub applied: Counter,
        /// Windows without an outer step.
        pub null_windows: Counter,
        /// Times that the state was not the majority's.
        pub diverged: Counter,
        /// Times that the state was got from elsewhere.
        pub resyncs: Counter,
        /// Seconds for the download of a window's accepted objects.
        pub fetch_seconds: Histogram,
        /// Seconds for an outer step, with the state root.
        pub step_seconds: Histogram,
        /// Seconds for writing the journal.
        pub journal_seconds: Histogram,
    }
}
