//! A proxy before a node: it goes silent on command, in each phase of a connection.
//!
//! [`FaultChange`](crate::FaultChange) makes the node itself slow or deaf, for all clients. A proxy stands
//! before one client: the same chain then has a bad and a good endpoint. It knows the requests in the
//! websocket's frames, so it can swallow those of one method and still answer pings, as a node does whose
//! backend hangs.

mod frames;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex as AsyncMutex, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};

use frames::Frame;

/// The backlog of the listener. It is short, so that [`ProxyFault::SilentConnect`] can fill it.
const BACKLOG: u32 = 1;
/// The most connections that fill the backlog.
const MAX_FILLERS: usize = 16;
/// The time after which a connection to the own listener shows that the backlog is full.
const FULL_AFTER: Duration = Duration::from_millis(100);
/// The largest head of an HTTP message, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// The fault of a [`Proxy`]. It applies to open connections too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyFault {
    /// No fault: all bytes pass.
    #[default]
    None,
    /// New TCP connections are never completed.
    SilentConnect,
    /// New connections are accepted, but the websocket handshake is not answered.
    SilentHandshake,
    /// The websocket handshake is refused with this HTTP status.
    HandshakeStatus(u16),
    /// No byte passes in any direction, on new and open connections.
    Silent,
    /// Requests of this JSON-RPC method are swallowed. All others pass.
    SilentMethod(String),
    /// Messages of subscriptions are swallowed. Requests are answered.
    SilentSubscriptions,
    /// Requests of this JSON-RPC method, or all if it is empty, are refused with a JSON-RPC error.
    RefuseMethod {
        /// The method.
        method: String,
        /// The code of the error.
        code: i32,
        /// The message of the error.
        message: String,
    },
    /// Requests for the state of a block other than these are refused, as by a node that keeps the newest
    /// states only. The blocks' hashes are hexadecimal, with 0x.
    KeepStates(Vec<String>),
    /// Only one request in each such time is answered, over all connections. Others are refused, as by a
    /// public endpoint.
    OneRequestIn(Duration),
    /// Each message to the client is late by this time.
    Delay(Duration),
}

/// The state that all connections of a proxy follow.
#[derive(Clone, Debug, Default)]
struct Control {
    fault: ProxyFault,
    /// The number of cuts so far. A connection that was opened before the latest one is cut.
    cuts: u64,
}

/// A running proxy. It stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<watch::Sender<Control>>,
    requests: SharedRequests,
    task: JoinHandle<()>,
}

/// The requests of all connections.
#[derive(Debug, Default)]
struct Requests {
    /// The JSON-RPC methods, in order.
    methods: Vec<String>,
    /// The time from which on the next request is answered, if requests are limited.
    next: Option<Instant>,
    /// The number of requests that were above the limit.
    refused: usize,
}

impl Requests {
    /// Checks whether a request may be answered now, if one is in each such time. Counts it.
    fn may_answer(&mut self, time: Duration) -> bool {
        let now = Instant::now();
        let may = self.next.is_none_or(|next| next <= now);
        if may {
            self.next = Some(now + time);
        } else {
            self.refused += 1;
        }
        may
    }
}

type SharedRequests = Arc<Mutex<Requests>>;

fn lock(requests: &SharedRequests) -> MutexGuard<'_, Requests> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts a proxy on a free port of the loopback address.
    ///
    /// # Errors
    /// The system grants no port.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let control = Arc::new(watch::Sender::new(Control::default()));
        let requests = SharedRequests::default();
        let accepting = accept(listener, upstream, control.subscribe(), requests.clone());
        Ok(Self { address, control, requests, task: tokio::spawn(accepting) })
    }

    /// Returns the address for clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Sets the fault.
    pub fn set(&self, fault: ProxyFault) {
        self.control.send_modify(|control| control.fault = fault);
    }

    /// Cuts all open connections.
    pub fn cut(&self) {
        self.control.send_modify(|control| control.cuts += 1);
    }

    /// Returns the JSON-RPC methods of the requests since the last call of this function, in order. Refused
    /// and swallowed requests are among them.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.requests).methods)
    }

    /// Returns the number of requests so far that [`ProxyFault::OneRequestIn`] refused.
    pub fn refused(&self) -> usize {
        lock(&self.requests).refused
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    mut control: watch::Receiver<Control>,
    requests: SharedRequests,
) {
    let mut connections = JoinSet::new();
    loop {
        if control.borrow_and_update().fault == ProxyFault::SilentConnect {
            let Ok(address) = listener.local_addr() else { return };
            let _fillers = fill(address).await;
            if control.wait_for(|now| now.fault != ProxyFault::SilentConnect).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = control.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let line = Line { control: control.clone(), requests: requests.clone() };
                connections.spawn(line.serve(client, upstream));
            },
        }
    }
}

/// Fills the backlog of a listener, so that it completes no more connections.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut fillers = Vec::new();
    while fillers.len() < MAX_FILLERS
        && let Ok(Ok(filler)) = timeout(FULL_AFTER, TcpStream::connect(address)).await
    {
        fillers.push(filler);
    }
    fillers
}

/// One connection's view of the proxy.
#[derive(Clone)]
struct Line {
    control: watch::Receiver<Control>,
    requests: SharedRequests,
}

/// The writing end to the client: the node's messages and own refusals go there.
type ToClient = Arc<AsyncMutex<OwnedWriteHalf>>;

impl Line {
    async fn serve(self, client: TcpStream, upstream: SocketAddr) {
        let cuts = self.control.borrow().cuts;
        let mut control = self.control.clone();
        tokio::select! {
            // A broken connection is the wish of one of both ends.
            _ = self.carry(client, upstream) => {}
            _ = control.wait_for(|now| now.cuts != cuts) => {}
        }
    }

    async fn carry(mut self, mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
        client.set_nodelay(true)?;
        let request = read_head(&mut client).await?;
        let is_silent =
            |fault: &ProxyFault| matches!(fault, ProxyFault::SilentHandshake | ProxyFault::Silent);
        self.control.wait_for(|now| !is_silent(&now.fault)).await.map_err(io::Error::other)?;
        let fault = self.control.borrow().fault.clone();
        if let ProxyFault::HandshakeStatus(status) = fault {
            let answer =
                format!("HTTP/1.1 {status} refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
            return client.shutdown().await;
        }
        let mut node = TcpStream::connect(upstream).await?;
        node.set_nodelay(true)?;
        node.write_all(&request).await?;
        let answer = read_head(&mut node).await?;
        client.write_all(&answer).await?;
        let (from_client, to_client) = client.into_split();
        let (from_node, to_node) = node.into_split();
        let to_client: ToClient = Arc::new(AsyncMutex::new(to_client));
        let down = self.clone().messages(from_node, to_client.clone());
        tokio::select! {
            ended = self.requests(from_client, to_node, to_client) => ended,
            ended = down => ended,
        }
    }

    /// Waits while no byte may pass. Returns the fault then.
    async fn passable(&mut self) -> io::Result<ProxyFault> {
        let now = self.control.wait_for(|now| now.fault != ProxyFault::Silent).await;
        Ok(now.map_err(io::Error::other)?.fault.clone())
    }

    /// Carries the client's frames to the node.
    async fn requests(
        mut self,
        mut client: OwnedReadHalf,
        mut node: OwnedWriteHalf,
        to_client: ToClient,
    ) -> io::Result<()> {
        loop {
            let frame = Frame::read(&mut client).await?;
            let request = frame.json();
            let method = request.as_ref().and_then(|request| request["method"].as_str()).unwrap_or_default();
            if !method.is_empty() {
                lock(&self.requests).methods.push(method.to_owned());
            }
            match (self.passable().await?, request.as_ref()) {
                (ProxyFault::SilentMethod(silent), Some(_)) if silent == method => {}
                (ProxyFault::RefuseMethod { method: refused, code, message }, Some(request))
                    if refused.is_empty() || refused == method =>
                {
                    let answer = refusal(&request["id"], code, &message);
                    to_client.lock().await.write_all(&Frame::text(&answer)).await?;
                }
                (ProxyFault::OneRequestIn(time), Some(request)) if !lock(&self.requests).may_answer(time) => {
                    const CODE: i32 = -32029;
                    let answer = refusal(&request["id"], CODE, "Too many requests");
                    to_client.lock().await.write_all(&Frame::text(&answer)).await?;
                }
                (ProxyFault::KeepStates(kept), Some(request)) if is_of_dropped_state(request, &kept) => {
                    const CODE: i32 = 4003;
                    const MESSAGE: &str = "Client error: UnknownBlock: State already discarded";
                    let answer = refusal(&request["id"], CODE, MESSAGE);
                    to_client.lock().await.write_all(&Frame::text(&answer)).await?;
                }
                _ => node.write_all(frame.bytes()).await?,
            }
        }
    }

    /// Carries the node's frames to the client.
    async fn messages(mut self, mut node: OwnedReadHalf, to_client: ToClient) -> io::Result<()> {
        loop {
            let frame = Frame::read(&mut node).await?;
            match self.passable().await? {
                ProxyFault::SilentSubscriptions if is_notification(&frame) => continue,
                ProxyFault::Delay(late) => tokio::time::sleep(late).await,
                _ => {}
            }
            to_client.lock().await.write_all(frame.bytes()).await?;
        }
    }
}

/// Checks whether a request asks for the state of a block that is not among the kept ones.
fn is_of_dropped_state(request: &Value, kept: &[String]) -> bool {
    let position = match request["method"].as_str() {
        Some("state_call") => 2,
        Some("state_queryStorageAt" | "state_getStorage") => 1,
        Some("state_getRuntimeVersion" | "state_getMetadata") => 0,
        _ => return false,
    };
    let block = request["params"].get(position).and_then(Value::as_str);
    block.is_some_and(|block| !kept.iter().any(|kept| kept == block))
}

/// Checks whether a frame of the node is a message of a subscription: it has a method, no answer has one.
fn is_notification(frame: &Frame) -> bool {
    frame.json().is_some_and(|message| message.get("method").is_some())
}

fn refusal(id: &Value, code: i32, message: &str) -> String {
    serde_json::json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        .to_string()
}

/// Reads the head of an HTTP message, with the empty line at its end.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::Error::other("the head of an HTTP message is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}
