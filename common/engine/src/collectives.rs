//! Collective operations between the ranks of one model, by PyTorch's own c10d.
//!
//! A rank is a process that holds a part of the model. Ranks [meet](Meeting) at a TCP address, form a
//! [`Group`] and exchange tensors. All ranks must call the same operations in the same order. If a rank ends
//! or does not answer, the operation fails on the others: at once, or after the group's timeout.
//!
//! There is no operation that adds. The order of a library's sums depends on the number of ranks, and so do
//! the bits of f32 sums. [`Group::all_to_all`] brings the addends to the rank that needs the sum, which adds
//! them in the order of the ranks.
//!
//! ```
//! use engine::collectives::{Group, Meeting, Member};
//! use std::time::Duration;
//! use tch::Tensor;
//!
//! let timeout = Duration::from_secs(30);
//! let meeting = Meeting::open("127.0.0.1", timeout)?;
//! let alone = Member { rank: 0, size: 1 };
//! let group = Group::gloo(&meeting, "example", "127.0.0.1", alone, timeout)?;
//! let part = Tensor::from_slice(&[1.0_f32, 2.0]);
//! let all = part.zeros_like();
//! group.all_gather(&all, &part)?.wait()?;
//! assert_eq!(all, part);
//! # Ok::<(), engine::collectives::CollectiveError>(())
//! ```

mod raw;

use raw::{RawGroup, RawMeeting, RawPending};
use std::time::Duration;
use tch::Tensor;

/// An error of a collective operation. The group is of no use afterwards: all ranks must form a new one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed: {message}")]
pub struct CollectiveError {
    /// The operation.
    pub operation: &'static str,
    /// The first line of c10d's message.
    pub message: String,
}

/// The place of a process in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The number of this rank, from 0.
    pub rank: u16,
    /// The number of ranks.
    pub size: u16,
}

/// A TCP address at which ranks find each other.
#[derive(Debug)]
pub struct Meeting {
    raw: RawMeeting,
    port: u16,
}

impl Meeting {
    /// Opens a meeting on a free port of this host's address. It ends when this is dropped.
    ///
    /// # Errors
    /// The address is not one of this machine, or no port is free.
    pub fn open(host: &str, timeout: Duration) -> Result<Self, CollectiveError> {
        let (raw, port) = RawMeeting::new(host, 0, true, timeout)?;
        Ok(Self { raw, port })
    }

    /// Joins a meeting that another process has opened.
    ///
    /// # Errors
    /// No meeting answers at the address within the timeout.
    pub fn join(host: &str, port: u16, timeout: Duration) -> Result<Self, CollectiveError> {
        let (raw, port) = RawMeeting::new(host, port, false, timeout)?;
        Ok(Self { raw, port })
    }

    /// Returns the port of the meeting.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The ranks of one model, as one of them sees them.
#[derive(Debug)]
pub struct Group {
    raw: RawGroup,
    member: Member,
}

impl Group {
    /// Forms a group whose tensors are in the memory of processors. It waits until all ranks have come.
    /// `name` is the same on all ranks, and new for each group of a meeting. `host` is an address of this
    /// machine that the other ranks can reach.
    ///
    /// # Errors
    /// Not all ranks came within the timeout. The same timeout holds for each later operation.
    pub fn gloo(
        meeting: &Meeting,
        name: &str,
        host: &str,
        member: Member,
        timeout: Duration,
    ) -> Result<Self, CollectiveError> {
        Ok(Self { raw: RawGroup::gloo(&meeting.raw, name, host, member, timeout)?, member })
    }

    /// Returns the place of this process in the group.
    #[must_use]
    pub fn member(&self) -> Member {
        self.member
    }

    /// Copies the values of rank `root` to all other ranks, in place.
    ///
    /// # Errors
    /// The tensor cannot be sent, or a rank is gone.
    pub fn broadcast(&self, values: &Tensor, root: u16) -> Result<Pending, CollectiveError> {
        self.raw.broadcast(values, root).map(Pending)
    }

    /// Copies the parts of all ranks, in the order of the ranks, to `all` on each rank. All parts have the
    /// same size.
    ///
    /// # Errors
    /// `all` is not `size` times as long as `part`, or a rank is gone.
    pub fn all_gather(&self, all: &Tensor, part: &Tensor) -> Result<Pending, CollectiveError> {
        self.raw.all_gather(all, part).map(Pending)
    }

    /// Sends the parts of `sent`, which all have the same size, to the ranks in order. `received` gets this
    /// rank's parts of all ranks, in the order of the ranks.
    ///
    /// # Errors
    /// The tensors differ in size, their first dimension is no multiple of the number of ranks, or a rank is
    /// gone.
    pub fn all_to_all(&self, received: &Tensor, sent: &Tensor) -> Result<Pending, CollectiveError> {
        self.raw.all_to_all(received, sent).map(Pending)
    }

    /// Waits until all ranks have called this.
    ///
    /// # Errors
    /// A rank is gone.
    pub fn barrier(&self) -> Result<(), CollectiveError> {
        self.raw.barrier()?.wait()
    }
}

/// An operation that goes on in the background. It keeps its tensors alive. Their values may be read and
/// changed after [`Self::wait`] only.
#[must_use = "the operation's tensors may be used after `wait` only"]
#[derive(Debug)]
pub struct Pending(RawPending);

impl Pending {
    /// Waits for the end of the operation.
    ///
    /// # Errors
    /// A rank is gone, or did not take part within the group's timeout.
    pub fn wait(self) -> Result<(), CollectiveError> {
        self.0.wait()
    }
}
