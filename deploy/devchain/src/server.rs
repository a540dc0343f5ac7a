//! The listening socket: JSON-RPC over WebSocket, and HTTP POST for scripts.
//!
//! Limits of [`Limits`] are per server or connection; what is above them is refused, never queued without end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use jsonrpsee::{
    Methods,
    server::{
        ConnectionGuard, HttpRequest, PingConfig, ServerConfig, StopHandle, TowerService,
        serve_with_graceful_shutdown, stop_channel,
    },
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::{Service, layer::util::Identity};

use crate::faults::{self, CONTROL_PATH, Faults, Line};

/// How much clients may ask for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most connections; others are closed at once.
    pub connections: u32,
    /// Most subscriptions of one connection.
    pub subscriptions: u32,
    /// Largest request, in bytes.
    pub request_bytes: u32,
    /// Largest response, in bytes.
    pub response_bytes: u32,
    /// Most answers and notifications that may wait for a client that does not read; then it is made to wait.
    pub buffered: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            subscriptions: 1024,
            request_bytes: 15 << 20,
            response_bytes: 64 << 20,
            buffered: 256,
        }
    }
}

impl Limits {
    fn server_config(self) -> ServerConfig {
        ServerConfig::builder()
            .max_connections(self.connections)
            .max_subscriptions_per_connection(self.subscriptions)
            .max_request_body_size(self.request_bytes)
            .max_response_body_size(self.response_bytes)
            .set_message_buffer_capacity(self.buffered)
            // A client that vanished without a word keeps its place for about two minutes.
            .enable_ws_ping(PingConfig::new())
            .build()
    }
}

/// Bytes between the server and a connection's socket.
const PIPE: usize = 64 << 10;

/// How long open connections have to finish when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// How long to wait when no connection can be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// jsonrpsee's service of one connection, without middleware.
type RpcService = TowerService<Identity, Identity>;

/// Serves `methods` on `listener` until `stop` changes.
pub(crate) async fn serve(
    listener: TcpListener,
    methods: Methods,
    limits: Limits,
    faults: Faults,
    mut stop: watch::Receiver<bool>,
) {
    let (stop_handle, server) = stop_channel();
    let services =
        jsonrpsee::server::Server::builder().set_config(limits.server_config()).to_service_builder();
    let guard = ConnectionGuard::new(limits.connections as usize);
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(target: "devchain::server", %error, "no connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let Some(permit) = guard.try_acquire() else { continue };
        if faults.cuts_newcomer() {
            continue;
        }
        let service = services.clone().build(methods.clone(), stop_handle.clone());
        let (line, stop_handle) = (Line::new(&faults), stop_handle.clone());
        connections.spawn(async move {
            connection(socket, service, line, stop_handle).await;
            drop(permit);
        });
    }
    drop((listener, stop_handle, services));
    let _ = server.stop();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(GRACE, all_closed).await);
}

/// Serves one connection until either side closes it or it is cut.
async fn connection(socket: TcpStream, service: RpcService, line: Line, stop: StopHandle) {
    drop(socket.set_nodelay(true));
    let (server_end, client_end) = tokio::io::duplex(PIPE);
    let service = Marking { service, control: line.control() };
    let serving = async {
        if let Err(error) = serve_with_graceful_shutdown(server_end, service, stop.shutdown()).await {
            tracing::debug!(target: "devchain::server", %error, "connection ended");
        }
    };
    tokio::join!(serving, faults::carry(socket, client_end, line));
}

/// Notes whether a connection is for control, before its first answer.
#[derive(Clone)]
struct Marking<S> {
    service: S,
    control: Arc<AtomicBool>,
}

impl<S: Service<HttpRequest<B>>, B> Service<HttpRequest<B>> for Marking<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> S::Future {
        if request.uri().path() == CONTROL_PATH {
            self.control.store(true, Ordering::SeqCst);
        }
        self.service.call(request)
    }
}
