//! A proxy before servers of this machine that slows down the connections of chosen processes.

use crate::{
    Link,
    line::{Line, Passage},
    meter::Meter,
    owner::owner,
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// The number of pieces of a connection that are under way at most. It takes the place of the receive
/// window of TCP.
const UNDER_WAY: usize = 256;
/// The largest buffer of a connection that is not shaped, in bytes.
const UNSHAPED_PIECE: usize = 64 << 10;

/// A direction of a link.
#[derive(Clone, Copy, Debug)]
enum Direction {
    /// From the process.
    Up,
    /// To the process.
    Down,
}

/// The bytes that a node has sent and received over its link. Headers and packets that were sent again are
/// left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The number of bytes from the node.
    pub up: u64,
    /// The number of bytes to the node.
    pub down: u64,
    /// The largest number of bytes from the node in any second.
    pub most_up: u64,
    /// The largest number of bytes to the node in any second.
    pub most_down: u64,
    /// The number of packets that were lost and sent again.
    pub lost: u64,
}

/// A running proxy. It stops when its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Shaper {
    state: Arc<State>,
    /// The tasks that accept connections.
    doors: Arc<Mutex<JoinSet<()>>>,
}

#[derive(Debug)]
struct State {
    link: Link,
    seed: u64,
    start: Instant,
    processes: Mutex<Processes>,
}

#[derive(Debug, Default)]
struct Processes {
    /// The links of the nodes, by name. A node keeps its link when its process is started again.
    links: BTreeMap<String, Arc<NodeLink>>,
    /// The link of each process.
    of: BTreeMap<u32, Arc<NodeLink>>,
    /// Whether processes without a link are let through.
    are_others_admitted: bool,
}

/// The link of one node.
#[derive(Debug)]
struct NodeLink {
    up: Mutex<Measured>,
    down: Mutex<Measured>,
}

/// A line with its meter.
#[derive(Debug)]
struct Measured {
    line: Line,
    meter: Meter,
    lost: u64,
}

/// Locks a value. A panic elsewhere does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shaper {
    /// Creates a proxy that gives each node a link of its own. `seed` draws the packets that are lost.
    #[must_use]
    pub fn new(link: Link, seed: u64) -> Self {
        let state = State { link, seed, start: Instant::now(), processes: Mutex::default() };
        Self { state: Arc::new(state), doors: Arc::default() }
    }

    /// Returns the link of each node.
    #[must_use]
    pub fn link(&self) -> Link {
        self.state.link
    }

    /// Listens on a free port of the loopback address for connections to a server of this machine.
    ///
    /// # Errors
    /// The system grants no port.
    pub async fn listen_before(&self, server: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        lock(&self.doors).spawn(accept(self.state.clone(), listener, server));
        Ok(address)
    }

    /// Puts the process with this id behind the link of a node. Connections of all processes without a link
    /// are refused.
    pub fn attach(&self, node: &str, pid: u32) {
        let mut processes = lock(&self.state.processes);
        let new = || Arc::new(NodeLink::new(self.state.link, self.state.seed, node));
        let link = processes.links.entry(node.to_owned()).or_insert_with(new).clone();
        processes.of.insert(pid, link);
    }

    /// Lets the connections of processes without a link through, at full speed.
    pub fn admit_others(&self) {
        lock(&self.state.processes).are_others_admitted = true;
    }

    /// Returns the traffic of each node so far, by name.
    #[must_use]
    pub fn traffic(&self) -> BTreeMap<String, Traffic> {
        let processes = lock(&self.state.processes);
        processes.links.iter().map(|(node, link)| (node.clone(), link.traffic())).collect()
    }
}

impl NodeLink {
    fn new(link: Link, seed: u64, node: &str) -> Self {
        let measured = |rate, direction: u8| {
            let seed = [&seed.to_le_bytes()[..], &[direction], node.as_bytes()].concat();
            Mutex::new(Measured { line: Line::new(rate, &link, &seed), meter: Meter::default(), lost: 0 })
        };
        Self { up: measured(link.up, 0), down: measured(link.down, 1) }
    }

    fn direction(&self, direction: Direction) -> &Mutex<Measured> {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn traffic(&self) -> Traffic {
        let (up, down) = (lock(&self.up), lock(&self.down));
        Traffic {
            up: up.meter.total(),
            down: down.meter.total(),
            most_up: up.meter.most_in_a_second(),
            most_down: down.meter.most_in_a_second(),
            lost: up.lost + down.lost,
        }
    }
}

impl State {
    /// Returns the link of the process at the other end of a connection. `Some(None)` means that the process
    /// has no link and is let through, `None` that it is refused or gone.
    fn link_of(&self, peer: SocketAddr, own: SocketAddr) -> Option<Option<Arc<NodeLink>>> {
        let processes = lock(&self.processes);
        let found = owner(peer, own, processes.of.keys().copied());
        match found.ok()?.and_then(|pid| processes.of.get(&pid)) {
            Some(link) => Some(Some(link.clone())),
            None => processes.are_others_admitted.then_some(None),
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

async fn accept(state: Arc<State>, listener: TcpListener, server: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => if let Ok((client, peer)) = accepted {
                connections.spawn(serve(state.clone(), client, peer, server));
            },
        }
    }
}

/// Carries one connection. A broken connection is the wish of one of its ends.
async fn serve(state: Arc<State>, client: TcpStream, peer: SocketAddr, server: SocketAddr) -> io::Result<()> {
    let Some(link) = state.link_of(peer, client.local_addr()?) else { return Ok(()) };
    if link.is_some() {
        // The system has answered the client at once. The first bytes need another half round trip.
        sleep(state.link.round_trip()).await;
    }
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = carry(&state, link.as_deref(), Direction::Up, from_client, to_server);
    let down = carry(&state, link.as_deref(), Direction::Down, from_server, to_client);
    tokio::try_join!(up, down)?;
    Ok(())
}

/// Carries one direction of a connection to its end.
async fn carry(
    state: &State,
    link: Option<&NodeLink>,
    direction: Direction,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
) -> io::Result<()> {
    let Some(link) = link else { return pass_through(from, to).await };
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let send = send(state, link.direction(direction), from, sender);
    tokio::try_join!(send, deliver(state, receiver, to))?;
    Ok(())
}

async fn pass_through(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = vec![0; UNSHAPED_PIECE];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            count => to.write_all(&buffer[..count]).await?,
        }
    }
}

/// A piece of a connection that is under way.
struct Piece {
    arrives: Duration,
    bytes: Vec<u8>,
}

/// Reads pieces and lets them pass the line.
async fn send(
    state: &State,
    line: &Mutex<Measured>,
    mut from: OwnedReadHalf,
    under_way: mpsc::Sender<Piece>,
) -> io::Result<()> {
    let mut buffer = vec![0; lock(line).line.piece()];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let Passage { sent, arrives, lost } = lock(line).line.pass(state.now(), count);
        sleep_until(state.start + sent).await;
        {
            let mut measured = lock(line);
            measured.meter.note(state.now(), count as u64);
            measured.lost += lost;
        }
        let piece = Piece { arrives, bytes: buffer[..count].to_vec() };
        if under_way.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

/// Delivers pieces in their order when they arrive.
async fn deliver(
    state: &State,
    mut under_way: mpsc::Receiver<Piece>,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    while let Some(Piece { arrives, bytes }) = under_way.recv().await {
        sleep_until(state.start + arrives).await;
        to.write_all(&bytes).await?;
    }
    to.shutdown().await
}
