//! Buckets on S3-compatible services: bounded downloads from untrusted peers, uploads to the node's own
//! bucket.
//!
//! [`Limits`] bound the cost of each download, even if the owner of the bucket is hostile: bytes,
//! seconds and a minimum rate. Connections go only to addresses that the
//! [`AddressPolicy`](protocol::announcement::AddressPolicy) allows. Redirects are not followed. An
//! interrupted download resumes at the next missing byte, and only if the object has not changed. This
//! crate does not decide which objects to download, and does not interpret their bytes.
//!
//! ```no_run
//! # async fn example(announced: protocol::announcement::Bucket) -> Result<(), Box<dyn std::error::Error>> {
//! use protocol::announcement::AddressPolicy;
//! use std::time::Duration;
//! use storage::{Floor, Limits, Storage};
//!
//! let storage = Storage::new(AddressPolicy::Public);
//! let bucket = storage.bucket(&announced)?;
//! let floor = Floor { bytes_per_second: 1 << 20, over: Duration::from_secs(10) };
//! let limits = Limits { bytes: 1_400_000_000, time: Duration::from_secs(600), floor };
//! match bucket.get("run/7/submission", &limits).await {
//!     Ok((bytes, _)) => println!("{} bytes", bytes.len()),
//!     Err(error) if error.is_retryable() => println!("later: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`Bucket`] for the operations, [`StorageError`] for the errors.

mod bucket;
mod clock;
mod error;
mod get;
mod guard;
mod list;
mod metrics;
mod put;
mod range;
mod retry;
mod sink;

pub use bucket::{Bucket, Storage};
pub use error::{ObjectName, Outage, StorageError};
pub use get::{Fetched, Floor, Limits, Partial};
pub use list::Listed;
pub use metrics::Metrics;
pub use put::{Content, MULTIPART_FROM, PART, Put, Stored};
pub use retry::Retry;
pub use sink::Sink;
