//! What all buckets of a process count together.

use telemetry::{Counter, Family, Gauge, Histogram};

telemetry::metrics! {
    /// Numbers about buckets; [`Storage::metrics`](crate::Storage::metrics) gives them to a registry.
    pub struct Metrics("muster_storage") {
        /// Bytes of objects received from buckets.
        pub received_bytes: Counter,
        /// Bytes of objects sent to buckets and taken by them.
        pub sent_bytes: Counter,
        /// Gets under way.
        pub gets: Gauge,
        /// Seconds that a successful get took, with its retries.
        pub get_seconds: Histogram,
        /// Seconds that a successful put took, with its retries.
        pub put_seconds: Histogram,
        /// Attempts that were made again after a transient failure.
        pub retries: Counter,
        /// Operations that failed in the end, by kind of error.
        pub failures: Family<Counter> = Family::new("kind", 32),
    }
}
