//! Logs, metrics, health and shutdown of a node.
//!
//! Each part is usable without the others:
//!
//! * [`Logs`] sets `tracing` up: human or JSON lines on stderr, with secrets hidden.
//! * [`metrics!`] declares a group of metrics. Their doc comments are Prometheus' help texts.
//! * [`Health`] collects which components are live and which are ready.
//! * [`Shutdown`] ends a process in order, within a deadline.
//! * [`Endpoint`] serves metrics and health over HTTP.
//!
//! This crate decides nothing about a run. Muster itself reads no log line and no metric.
//!
//! ```
//! use telemetry::{Counter, Registry};
//!
//! telemetry::metrics! {
//!     /// The metrics of downloads.
//!     pub struct FetchMetrics("muster_fetch") {
//!         /// Downloaded objects.
//!         pub objects: Counter,
//!     }
//! }
//!
//! let (registry, metrics) = (Registry::default(), std::sync::Arc::new(FetchMetrics::default()));
//! registry.add(metrics.clone());
//! metrics.objects.add(2);
//! assert!(registry.to_string().contains("# HELP muster_fetch_objects_total Downloaded objects.\n"));
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
