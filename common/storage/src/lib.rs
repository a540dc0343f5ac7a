//! Buckets on S3 and what speaks its protocol: reading from strangers within bounds, writing to one's own.
//!
//! Whatever a bucket's owner does, a read costs at most what its [`Limits`] say: bytes, seconds, and a floor for the
//! rate. A connection goes only where the [`AddressPolicy`](protocol::announcement::AddressPolicy) allows, and follows no
//! redirect. Interrupted reads go on where they broke off, and only if the object is still the same. Which objects to
//! read and what their bytes mean is not decided here.
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
//! match bucket.get_file("run/7/submission", "submission.bin".as_ref(), &limits).await {
//!     Ok(fetched) => println!("{} bytes, BLAKE3 {}", fetched.bytes, fetched.hash),
//!     Err(error) if error.is_retryable() => println!("later: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`Bucket`] for what can be done, [`StorageError`] for what can go wrong.

mod bucket;
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
pub use error::{ObjectName, StorageError};
pub use get::{Fetched, Floor, Limits};
pub use list::Listed;
pub use metrics::Metrics;
pub use put::{Content, MULTIPART_FROM, PART, Put, Stored};
pub use retry::Retry;
pub use sink::Sink;
