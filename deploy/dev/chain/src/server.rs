//! The listening socket: JSON-RPC over WebSocket, and HTTP POST for scripts.
//!
//! Foreign web pages are refused (see `origin`). The limits in [`Limits`] apply to the whole server or
//! to each connection. Anything above them is refused; no queue grows without bound.

mod origin;

use std::{
    pin::Pin,
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
        ConnectionGuard, HttpBody, HttpRequest, HttpResponse, PingConfig, ServerConfig, StopHandle,
        TowerService, http::response, middleware::rpc::RpcServiceBuilder, serve_with_graceful_shutdown,
        stop_channel,
    },
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::{
    Service,
    layer::util::{Identity, Stack},
};

pub(crate) use self::origin::is_origin;
use crate::faults::{self, CONTROL_PATH, Faults, Line, RefusalLayer};

/// The limits of the JSON-RPC server, and the web pages that it admits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The maximum number of connections; further ones are closed at once.
    pub connections: u32,
    /// The maximum number of subscriptions of one connection.
    pub subscriptions: u32,
    /// The largest request, in bytes.
    pub request_bytes: u32,
    /// The largest response, in bytes.
    pub response_bytes: u32,
    /// The maximum number of answers and notifications that are buffered for a client that does not
    /// read. After that the client has to wait.
    pub buffered: u32,
    /// The foreign web pages that may use the chain, such as `https://polkadot.js.org`. Pages of this
    /// machine are always admitted. Programs need no entry.
    pub origins: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            subscriptions: 1024,
            request_bytes: 15 << 20,
            response_bytes: 64 << 20,
            buffered: 256,
            origins: Vec::new(),
        }
    }
}

impl Limits {
    fn server_config(&self) -> ServerConfig {
        ServerConfig::builder()
            .max_connections(self.connections)
            .max_subscriptions_per_connection(self.subscriptions)
            .max_request_body_size(self.request_bytes)
            .max_response_body_size(self.response_bytes)
            .set_message_buffer_capacity(self.buffered)
            // A client that vanished without closing keeps its slot for about two minutes.
            .enable_ws_ping(PingConfig::new())
            .build()
    }
}

/// The buffer between the server and a connection's socket, in bytes.
const PIPE: usize = 64 << 10;

/// The time that open connections have to finish when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// The pause after a connection could not be accepted (for example, no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The service of jsonrpsee for one connection, with refusable methods.
type RpcService = TowerService<Stack<RefusalLayer, Identity>, Identity>;

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
    let origins: Arc<[String]> = limits.origins.into();
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(target: "devchain::server", error = %base::ErrorChain(&error), "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let Some(permit) = guard.try_acquire() else { continue };
        if faults.cuts_newcomer() {
            continue;
        }
        let line = Line::new(&faults);
        let stop_handle = stop_handle.clone();
        let refusals = RpcServiceBuilder::new().layer(faults.refusals(&line));
        let services = services.clone().set_rpc_middleware(refusals);
        let service = services.build(methods.clone(), stop_handle.clone());
        let door = Door { service, control: line.control(), origins: origins.clone() };
        connections.spawn(async move {
            connection(socket, door, line, stop_handle).await;
            drop(permit);
        });
    }
    drop((listener, stop_handle, services));
    let _ = server.stop();
    let all_closed = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(GRACE, all_closed).await);
}

/// Serves one connection until either side closes it, or a fault cuts it.
async fn connection(socket: TcpStream, door: Door<RpcService>, line: Line, stop: StopHandle) {
    drop(socket.set_nodelay(true));
    let (server_end, client_end) = tokio::io::duplex(PIPE);
    let serving = async {
        if let Err(error) = serve_with_graceful_shutdown(server_end, door, stop.shutdown()).await {
            tracing::debug!(target: "devchain::server", error = %base::ErrorChain(&*error), "connection ended");
        }
    };
    tokio::join!(serving, faults::carry(socket, client_end, line));
}

/// Refuses foreign web pages. Marks a control connection before its first answer.
#[derive(Clone)]
struct Door<S> {
    service: S,
    control: Arc<AtomicBool>,
    origins: Arc<[String]>,
}

/// The future of an answer to a request.
type Answer<E> = Pin<Box<dyn Future<Output = Result<HttpResponse, E>> + Send>>;

impl<S, B> Service<HttpRequest<B>> for Door<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        if let Err(stranger) = check_origin(&request, &self.origins) {
            tracing::warn!(target: "devchain::server", "refused a client: {}", stranger.to_string().trim_end());
            let mut refusal = response::host_not_allowed();
            *refusal.body_mut() = HttpBody::from(stranger.to_string());
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        if request.uri().path() == CONTROL_PATH {
            self.control.store(true, Ordering::SeqCst);
        }
        Box::pin(self.service.call(request))
    }
}

fn check_origin<B>(request: &HttpRequest<B>, allowed: &[String]) -> Result<(), origin::Stranger> {
    // A header that is not text is neither an address nor an allowed origin.
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("(not text)"));
    let host = header("host").or(request.uri().authority().map(|authority| authority.as_str()));
    origin::check(host, header("origin"), allowed)
}
