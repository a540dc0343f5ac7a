//! The line between a node and the internet: rates up and down, round-trip time, lost packets.
//!
//! [`Link`] is the description, as command lines write it. The simulator computes with it. A [`Shaper`]
//! makes the connections of a real process as slow: it listens before a server, finds the process at the
//! other end of each connection, and lets the bytes through at the pace of this process's link. The process
//! does not know of it. This needs no privileges and no kernel module.
//!
//! A connection through a shaper has no slow start and no congestion control: it uses the whole rate at
//! once. A lost packet is sent again, and it delays its connection by the time after which TCP notices a
//! loss.
//!
//! ```
//! use link::{Link, Shaper};
//!
//! # async fn example(server: std::net::SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
//! let link: Link = "110/500mbit,40ms,0.1%".parse()?;
//! let shaper = Shaper::new(link, 42);
//! let address = shaper.listen_before(server).await?;
//! let child = std::process::Command::new("client").arg(address.to_string()).spawn()?;
//! shaper.attach("client", child.id());
//! println!("{:?}", shaper.traffic());
//! # Ok(())
//! # }
//! ```

mod description;
mod line;
mod meter;
mod owner;
mod shaper;

pub use description::{Link, ParseLinkError};
pub use shaper::{Shaper, Traffic};
