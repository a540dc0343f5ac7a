//! Injects network faults on demand: delayed answers, dropped connections, silence, refused methods.
//!
//! The bytes of every connection pass through [`carry`], which knows nothing of JSON-RPC. It delays,
//! withholds or cuts them. A client then sees a bad network or a hung node; this includes pongs and
//! subscriptions. Requests from a client are always read and processed. Connections to the path
//! [`CONTROL_PATH`] are never affected, so faults can be set and cleared through them at any time;
//! [`crate::Handle::fault`] works too. Only refusals know methods: see [`refuse`].

mod refuse;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::{mpsc, watch},
    time::Instant,
};

pub(crate) use self::refuse::RefusalLayer;
pub use self::refuse::RefusedMethod;
use self::refuse::{MAX_REFUSED, RefusedMethods};

/// The path of control connections, as in `ws://127.0.0.1:9944/dev`. Faults do not affect them.
pub const CONTROL_PATH: &str = "/dev";

/// The longest delay or timed stall, in milliseconds: one hour.
pub const MAX_FAULT_MS: u64 = 3_600_000;

/// The maximum number of delayed chunks of a connection; the server waits while there are as many.
const LATE_CHUNKS: usize = 256;

/// The size of a delayed chunk, in bytes.
const CHUNK: usize = 16 << 10;

/// A change of the active faults (`dev_fault`). Fields that are left out keep their state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct FaultChange {
    /// Whether to end delay, stall, refusals and pending connection drops first, before the rest of
    /// this change is applied.
    pub clear: bool,
    /// The delay of every byte to a client, in milliseconds; 0 ends it. Also applies to bytes on their
    /// way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The connections to cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<Drop>,
    /// The start or end of a stall: connections and requests are accepted, but nothing is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall: Option<Stall>,
    /// The methods to refuse from now on, and no others. An empty list ends the refusals. At most 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse: Option<Vec<RefusedMethod>>,
}

/// The connections to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Drop {
    /// All connections that are open now.
    All,
    /// The next n new connections, as soon as they are opened.
    Next(u32),
}

/// The length of a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stall {
    /// Until it is cleared.
    On,
    /// No stall.
    Off,
    /// For this many milliseconds.
    Ms(u64),
}

/// The active faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultStatus {
    /// The delay of bytes to a client, in milliseconds.
    pub delay_ms: u64,
    /// The number of new connections that will be cut.
    pub drop_next: u32,
    /// Whether answers are withheld.
    pub stalled: bool,
    /// The refused methods.
    #[serde(default)]
    pub refused: Vec<RefusedMethod>,
}

/// A fault change that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The delay or stall is too long.
    #[error("{field} of {ms} ms is above the limit of {MAX_FAULT_MS} ms (one hour)")]
    TooLong {
        /// The field of the change.
        field: &'static str,
        /// Its value, in milliseconds.
        ms: u64,
    },
    /// There are too many methods to refuse.
    #[error("cannot refuse {0} methods; refuse at most {MAX_REFUSED} at a time")]
    Refused(usize),
}

/// The fault state that all connections follow.
#[derive(Clone, Copy, Default)]
struct Network {
    delay: Duration,
    stall: Silence,
    /// The number of "drop all" changes so far. A connection that was opened before the latest one is
    /// cut.
    cuts: u64,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Silence {
    #[default]
    Off,
    On,
    Until(Instant),
}

impl Silence {
    fn is_on(self) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::Until(end) => Instant::now() < end,
        }
    }
}

/// The faults of one chain's server. Clones share them.
#[derive(Clone)]
pub(crate) struct Faults {
    network: Arc<watch::Sender<Network>>,
    drop_next: Arc<AtomicU32>,
    refused: RefusedMethods,
}

impl Faults {
    pub(crate) fn new() -> Self {
        let network = Arc::new(watch::Sender::new(Network::default()));
        Self { network, drop_next: Arc::default(), refused: RefusedMethods::default() }
    }

    pub(crate) fn apply(&self, change: FaultChange) -> Result<FaultStatus, FaultError> {
        let stall_ms = if let Some(Stall::Ms(ms)) = change.stall { ms } else { 0 };
        for (field, ms) in [("delayMs", change.delay_ms.unwrap_or(0)), ("stall", stall_ms)] {
            if ms > MAX_FAULT_MS {
                return Err(FaultError::TooLong { field, ms });
            }
        }
        RefusedMethods::check(change.refuse.as_deref().unwrap_or_default())?;
        self.network.send_modify(|network| network.change(&change));
        match change.drop {
            Some(Drop::Next(n)) => self.drop_next.store(n, Ordering::SeqCst),
            _ if change.clear => self.drop_next.store(0, Ordering::SeqCst),
            _ => {}
        }
        if change.clear || change.refuse.is_some() {
            self.refused.set(change.refuse.unwrap_or_default());
        }
        Ok(self.status())
    }

    pub(crate) fn status(&self) -> FaultStatus {
        let network = *self.network.borrow();
        FaultStatus {
            delay_ms: network.delay.as_millis() as u64,
            drop_next: self.drop_next.load(Ordering::SeqCst),
            stalled: network.stall.is_on(),
            refused: self.refused.get(),
        }
    }

    /// Returns the layer that refuses methods on a connection.
    pub(crate) fn refusals(&self, line: &Line) -> RefusalLayer {
        RefusalLayer { methods: self.refused.clone(), control: line.control() }
    }

    /// Checks whether a newly opened connection must be cut, and counts it.
    pub(crate) fn cuts_newcomer(&self) -> bool {
        self.drop_next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

impl Network {
    fn change(&mut self, change: &FaultChange) {
        if change.clear {
            *self = Self { cuts: self.cuts, ..Self::default() };
        }
        if let Some(ms) = change.delay_ms {
            self.delay = Duration::from_millis(ms);
        }
        match change.stall {
            Some(Stall::On) => self.stall = Silence::On,
            Some(Stall::Off) => self.stall = Silence::Off,
            Some(Stall::Ms(ms)) => self.stall = Silence::Until(Instant::now() + Duration::from_millis(ms)),
            None => {}
        }
        if change.drop == Some(Drop::All) {
            self.cuts += 1;
        }
    }
}

/// One connection's view of the faults.
pub(crate) struct Line {
    network: watch::Receiver<Network>,
    cuts_before: u64,
    control: Arc<AtomicBool>,
}

impl Line {
    pub(crate) fn new(faults: &Faults) -> Self {
        let network = faults.network.subscribe();
        let cuts_before = network.borrow().cuts;
        Self { network, cuts_before, control: Arc::default() }
    }

    /// Returns the flag that is set once the connection turns out to be a control connection.
    pub(crate) fn control(&self) -> Arc<AtomicBool> {
        self.control.clone()
    }

    fn is_control(&self) -> bool {
        self.control.load(Ordering::SeqCst)
    }

    /// Waits until bytes that the server sent at `sent` may arrive: after the current delay, and not
    /// during a stall. The flag of a control connection is set before its first answer.
    async fn may_arrive(&mut self, sent: Instant) {
        while !self.is_control() {
            let Network { delay, stall, .. } = *self.network.borrow_and_update();
            let until = match stall {
                Silence::Off => Some(sent + delay),
                Silence::On => None,
                Silence::Until(end) => Some(end.max(sent + delay)),
            };
            let changed = match until {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::time::timeout_at(at, self.network.changed()).await.unwrap_or(Ok(())),
                None => self.network.changed().await,
            };
            if changed.is_err() {
                return; // The server has stopped; no fault changes any more.
            }
        }
    }

    /// Waits until the connection must be cut.
    async fn cut(mut self) {
        let cuts_before = self.cuts_before;
        let cut = self.network.wait_for(|network| network.cuts > cuts_before).await.is_ok();
        if !cut || self.is_control() {
            std::future::pending::<()>().await;
        }
    }

    fn share(&self) -> Self {
        Self { network: self.network.clone(), cuts_before: self.cuts_before, control: self.control.clone() }
    }
}

/// Carries bytes between a client's socket and the server's end, until one side closes or the
/// connection is cut.
pub(crate) async fn carry(socket: TcpStream, server: DuplexStream, line: Line) {
    let (mut from_client, mut to_client) = socket.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (late, mut due) = mpsc::channel(LATE_CHUNKS);
    let cut = line.share().cut();
    let mut gate = line;

    let requests = async {
        let copied = tokio::io::copy(&mut from_client, &mut to_server).await;
        drop(to_server.shutdown().await);
        copied.map(drop)
    };
    let answers = async {
        let mut buffer = vec![0; CHUNK];
        while let Some(chunk) = read_chunk(&mut from_server, &mut buffer).await? {
            if late.send((Instant::now(), chunk)).await.is_err() {
                break;
            }
        }
        drop(late);
        io::Result::Ok(())
    };
    let deliveries = async {
        while let Some((sent, chunk)) = due.recv().await {
            gate.may_arrive(sent).await;
            to_client.write_all(&chunk).await?;
        }
        to_client.shutdown().await
    };
    tokio::select! {
        biased;
        () = cut => tracing::debug!(target: "devchain::faults", "connection cut"),
        // A client that only stopped sending still receives the bytes on their way.
        Err(_) = requests => {}
        _ = async { tokio::try_join!(answers, deliveries) } => {}
    }
}

async fn read_chunk(
    from: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut [u8],
) -> io::Result<Option<Vec<u8>>> {
    let length = from.read(buffer).await?;
    Ok((length > 0).then(|| buffer[..length].to_vec()))
}
