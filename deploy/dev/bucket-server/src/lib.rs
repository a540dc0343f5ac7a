//! A small S3 server for development networks and tests: signatures checked, separate read and write keys, plain files.
//!
//! It knows the operations that Muster's nodes use (objects whole, in parts and in ranges, conditions on reads and
//! writes, pages of lists, deletes) over plain HTTP/1.1, and injects faults when a [`Plan`] says so. It is not for
//! the open internet: no TLS, no quotas, no durability beyond the file system's, and uploads in parts are forgotten when
//! it ends.
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
//! Next: [`Fault`] for what can go wrong, and the program `bucket-server`, which is this with flags.

mod faults;
mod keys;
mod names;
mod s3;
mod server;
mod store;

pub use faults::{Fault, Plan, Rule};
pub use keys::{BucketConfig, Key, KeysError};
pub use server::{Config, Metrics, Server, StartError};
