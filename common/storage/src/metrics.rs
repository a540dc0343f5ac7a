//! The metrics of all buckets of a process.

use telemetry::{Counter, Family, Gauge, Histogram};

telemetry::metrics! {
    /// Metrics of buckets. [`Storage::metrics`](crate::Storage::metrics) returns them for a registry.
    pub struct Metrics("muster_storage") {
        /// Bytes of objects downloaded.
        pub received_bytes: Counter,
        /// Bytes of objects uploaded successfully.
        pub sent_bytes: Counter,
        /// Downloads in progress.
        pub gets: Gauge,
        /// Duration of successful downloads in seconds, including retries.
        pub get_seconds: Histogram,
        /// Duration of successful uploads in seconds, including retries.
        pub put_seconds: Histogram,
        /// Requests sent to services of buckets, by operation.
        pub requests: Family<Counter> = Family::new("operation", 16),
        /// Refusals by services that limit requests or are overloaded (HTTP status 429 and 503).
        pub busy: Counter,
        /// Retries after transient failures.
        pub retries: Counter,
        /// Operations that failed after all retries, by kind of error.
        pub failures: Family<Counter> = Family::new("kind", 32),
    }
}
