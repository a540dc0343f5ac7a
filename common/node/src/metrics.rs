//! What a node counts.

use telemetry::{Counter, Gauge, Histogram};

telemetry::metrics! {
    /// Numbers about windows and the shared state.
    pub struct NodeMetrics("muster_node") {
        /// The newest finalized block.
        pub height: Gauge,
        /// The window that comes next.
        pub window: Gauge,
        /// Windows that were applied.
        pub applied: Counter,
        /// Windows that had no outer step.
        pub null_windows: Counter,
        /// How often the state was not the majority's.
        pub diverged: Counter,
        /// How often the state was taken from elsewhere.
        pub resyncs: Counter,
        /// Seconds that fetching the accepted objects of a window took.
        pub fetch_seconds: Histogram,
        /// Seconds that an outer step took, with the state root.
        pub step_seconds: Histogram,
        /// Seconds that writing the journal took.
        pub journal_seconds: Histogram,
    }
}
