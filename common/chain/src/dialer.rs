//! The dialer: opens sessions, one at a time, with the endpoints in turn.

use std::sync::Arc;

use base::BlockHash;
use jsonrpsee::{
    client_transport::ws::WsHandshakeError,
    core::client::{Error as ClientError, async_client::PingConfig},
    ws_client::WsClientBuilder,
};
use rand::{SeedableRng, rngs::StdRng};
use subxt_rpcs::RpcClient;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    Endpoint, Metrics, Options,
    backoff::Backoff,
    connection::{Methods, Report, Session, State},
    contact::Contact,
    error::{ConnectError, EndpointError, EndpointFault},
    socket::Socket,
};

/// Largest answer that is accepted, in bytes. Metadata of 16 MB fits, in hex.
const MAX_RESPONSE: u32 = 36 << 20;
/// Most unread items of a subscription. Above it, the subscription is closed. The client then subscribes
/// again and fills the gap.
const MAX_UNREAD: usize = 1024;

/// Opens sessions, one at a time, with the endpoints in turn.
pub(crate) struct Dialer {
    options: Arc<Options>,
    metrics: Arc<Metrics>,
    refusals: Contact,
    /// Attempts to open a session so far.
    made: u64,
    /// The endpoint to try next.
    next: usize,
}

/// An error of opening a session.
enum DialError {
    Endpoint(EndpointError),
    WrongChain { endpoint: String, expected: BlockHash, found: BlockHash },
}

impl Dialer {
    pub(crate) fn new(
        options: Arc<Options>,
        metrics: Arc<Metrics>,
        refusals: Contact,
    ) -> Result<Self, ConnectError> {
        if options.endpoints.is_empty() {
            Err(ConnectError::NoEndpoints)
        } else {
            Ok(Self { options, metrics, refusals, made: 0, next: 0 })
        }
    }

    /// Opens the first session: tries each endpoint once.
    pub(crate) async fn first_session(&mut self) -> Result<(Session, BlockHash), ConnectError> {
        let mut failures = Vec::new();
        for _ in 0..self.options.endpoints.len() {
            match self.dial(self.options.genesis).await {
                Ok(found) => return Ok(found),
                Err(DialError::Endpoint(error)) => failures.push(error),
                Err(DialError::WrongChain { endpoint, expected, found }) => {
                    return Err(ConnectError::WrongChain { endpoint, expected, found });
                }
            }
        }
        Err(ConnectError::Unreachable(failures))
    }

    /// Keeps a session open until all connections are dropped.
    pub(crate) async fn run(
        mut self,
        mut session: Session,
        genesis: BlockHash,
        state: watch::Sender<State>,
        mut reports: mpsc::Receiver<Report>,
    ) {
        let mut rng = StdRng::from_os_rng();
        let mut backoff = Backoff::new(self.options.first_pause, self.options.longest_pause);
        loop {
            let held = tokio::time::Instant::now();
            let reason = session_end(&session, &mut reports).await;
            warn!(target: "chain", endpoint = %session.endpoint, reason, "connection lost");
            let fault = EndpointFault::Broken;
            let last = EndpointError { endpoint: session.endpoint.to_string(), reason, fault };
            if state.send(State::Down(last)).is_err() {
                return;
            }
            if held.elapsed() > self.options.longest_pause {
                backoff.reset();
            }
            session = loop {
                tokio::time::sleep(backoff.pause(&mut rng)).await;
                match self.dial(Some(genesis)).await {
                    Ok((session, _)) => break session,
                    Err(error) => {
                        let error = error.into_endpoint_error();
                        warn!(target: "chain", endpoint = %error.endpoint, reason = %error.reason, "cannot reconnect");
                        let _ = state.send(State::Down(error));
                    }
                }
            };
            info!(target: "chain", endpoint = %session.endpoint, "connected again");
            if state.send(State::Up(session.clone())).is_err() {
                return;
            }
        }
    }

    /// Opens a session with the next endpoint in turn.
    async fn dial(&mut self, expected: Option<BlockHash>) -> Result<(Session, BlockHash), DialError> {
        let endpoint = Endpoint::new(&self.options.endpoints[self.next % self.options.endpoints.len()]);
        self.next += 1;
        self.made += 1;
        let name = endpoint.to_string();
        self.metrics.connects.with(&name).increment();
        let attempt =
            timeout(self.options.connect_timeout, open(&self.options, &self.metrics, endpoint, self.made))
                .await;
        let opened = attempt.unwrap_or_else(|_| Err(("no answer in time".into(), EndpointFault::Silent)));
        match (opened, expected) {
            (Ok((_, found)), Some(expected)) if expected != found => {
                self.refusals.note();
                Err(DialError::WrongChain { endpoint: name, expected, found })
            }
            (Ok(opened), _) => Ok(opened),
            (Err((reason, fault)), _) => {
                if fault != EndpointFault::Silent {
                    self.refusals.note();
                }
                if fault == EndpointFault::Busy {
                    self.metrics.busy.increment();
                }
                Err(DialError::Endpoint(EndpointError { endpoint: name, reason, fault }))
            }
        }
    }
}

/// Opens a session: connects, and asks for the genesis hash. The caller limits the time.
pub(crate) async fn open(
    options: &Options,
    metrics: &Arc<Metrics>,
    endpoint: Endpoint,
    serial: u64,
) -> Result<(Session, BlockHash), (String, EndpointFault)> {
    let socket = WsClientBuilder::default()
        .connection_timeout(options.connect_timeout)
        .request_timeout(options.request_timeout)
        .max_response_size(MAX_RESPONSE)
        .max_buffer_capacity_per_subscription(MAX_UNREAD)
        .enable_ws_ping(PingConfig::new())
        .build(endpoint.secret_url())
        .await
        .map_err(|error| handshake_fault(&error))?;
    let socket = Arc::new(Socket::new(socket, &endpoint.to_string(), options, metrics.clone()));
    let methods = Methods::new(RpcClient::new(socket.clone()));
    let genesis = methods.genesis_hash().await.map_err(|error| genesis_fault(&error))?;
    Ok((Session { serial, endpoint, methods, socket }, BlockHash(genesis.0)))
}

/// Returns the reason and the kind of a failed websocket handshake.
fn handshake_fault(error: &ClientError) -> (String, EndpointFault) {
    /// HTTP: too many requests.
    const TOO_MANY: u16 = 429;
    /// HTTP: the service is overloaded.
    const OVERLOADED: u16 = 503;
    let ClientError::Transport(inner) = error else { return (error.to_string(), EndpointFault::Broken) };
    match inner.downcast_ref::<WsHandshakeError>() {
        Some(WsHandshakeError::Rejected { status_code: status @ (TOO_MANY | OVERLOADED) }) => {
            let reason = format!(
                "HTTP status {status}: it limits requests, or is overloaded; wait, or use an endpoint of your own"
            );
            (reason, EndpointFault::Busy)
        }
        Some(WsHandshakeError::Timeout(_)) => ("no answer in time".into(), EndpointFault::Silent),
        _ => (error.to_string(), EndpointFault::Broken),
    }
}

/// Returns the reason and the kind of a failed first request.
fn genesis_fault(error: &subxt_rpcs::Error) -> (String, EndpointFault) {
    let fault = match error {
        subxt_rpcs::Error::User(user) if crate::error::is_busy(user.code, &user.message) => {
            EndpointFault::Busy
        }
        subxt_rpcs::Error::Client(inner)
            if matches!(inner.downcast_ref(), Some(ClientError::RequestTimeout)) =>
        {
            EndpointFault::Silent
        }
        _ => EndpointFault::Broken,
    };
    (error.to_string(), fault)
}

impl DialError {
    fn into_endpoint_error(self) -> EndpointError {
        match self {
            Self::Endpoint(error) => error,
            Self::WrongChain { endpoint, expected, found } => EndpointError {
                endpoint,
                reason: format!("it is a node of another chain: genesis {found} instead of {expected}"),
                fault: EndpointFault::Broken,
            },
        }
    }
}

/// Waits until the session breaks or is reported as useless. Returns the reason.
async fn session_end(session: &Session, reports: &mut mpsc::Receiver<Report>) -> String {
    loop {
        tokio::select! {
            reason = session.socket.ended() => return reason,
            report = reports.recv() => match report {
                Some(report) if report.serial < session.serial => {}
                Some(report) => return report.reason,
                // All connections are dropped: this task is about to be stopped.
                None => return "closed".into(),
            },
        }
    }
}
