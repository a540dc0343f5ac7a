//! What a node tells its operator, and how it ends: logs, metrics, health, shutdown.
//!
//! Four small parts, each usable without the others:
//! [`Logs`] sets `tracing` up (human or JSON lines on stderr, secrets blotted out), [`metrics!`] declares numbers whose
//! doc comments are Prometheus' help texts, [`Health`] collects what lives and what is ready, and [`Shutdown`] ends a
//! process in order, within a deadline. [`Endpoint`] serves metrics and health over HTTP.
//!
//! It decides nothing about a run, and no log line or metric is read back by Muster itself.
//!
//! ```
//! use telemetry::{Counter, Registry};
//!
//! telemetry::metrics! {
//!     /// What the fetcher counts.
//!     pub struct FetchMetrics("muster_fetch") {
//!         /// Objects that were fetched.
//!         pub objects: Counter,
//!     }
//! }
//!
//! let (registry, metrics) = (Registry::default(), std::sync::Arc::new(FetchMetrics::default()));
//! registry.add(metrics.clone());
//! metrics.objects.add(2);
//! assert!(registry.to_string().contains("# HELP muster_fetch_objects_total Objects that were fetched.\n"));
//! assert!(registry.to_string().contains("\nmuster_fetch_objects_total 2\n"));
//! ```
//!
//! Next: [`Shutdown`], whose example is the skeleton of a program's `main`.

mod endpoint;
mod health;
mod logs;
mod metrics;
mod redact;
mod shutdown;
pub mod target;

pub use endpoint::{Endpoint, EndpointError};
pub use health::{Component, Health, Report};
pub use logs::{ENVIRONMENT, Format, Logs, LogsError};
pub use metrics::{Counter, Family, Gauge, Histogram, Labels, Metric, Registry, SECONDS, Source, Text};
pub use redact::hide;
pub use shutdown::{Guard, Overdue, Shutdown};
