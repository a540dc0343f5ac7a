//! A small S3 server for development networks and tests. It checks signatures, has separate read and
//! write keys, and stores objects as plain files.
//!
//! It supports the operations that Muster's nodes use, over plain HTTP/1.1: objects, multipart uploads,
//! ranges, conditional reads and writes, pages of lists, deletes. It injects the faults of a [`Plan`].
//! It is not for the open internet: it has no TLS, no quotas, and no durability beyond the file
//! system's. Unfinished multipart uploads are lost when it ends.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bucket_server::{BucketConfig, Config, Key, Server};
//!
//! let data = tempfile::tempdir()?;
//! let key = |id: &str| Key { id: id.to_owned(), secret: format!("the secret of {id}") };
//! let bucket = BucketConfig { name: "miner-0".to_owned(), read: key("reader-0"), write: key("writer-0") };
//! let server = Server::start(Config::local(data.path(), vec![bucket])).await?;
//! println!("http://{}", server.address());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Next: [`Fault`] for the faults, and the program `bucket-server` for the command line.

mod clock;
mod faults;
mod keys;
mod names;
mod s3;
mod server;
mod store;

pub use faults::{Fault, Plan, Rule};
pub use keys::{BucketConfig, Key, KeysError};
pub use server::{Config, Metrics, Server, StartError};
