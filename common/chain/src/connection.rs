//! A connection to the chain that reconnects by itself.
//!
//! A separate task, the dialer, keeps a session with one node. If the session breaks, it connects to the next
//! node. A caller waits for a session and sends its request. If the request is harmless to repeat (all reads
//! are), it is sent again on the next session.

use std::{future::Future, sync::Arc, time::Duration};

use base::BlockHash;
use jsonrpsee::{
    core::client::{Error as ClientError, async_client::PingConfig},
    ws_client::{WsClient, WsClientBuilder},
};
use rand::{SeedableRng, rngs::StdRng};
use subxt::{SubstrateConfig, config::RpcConfigFor};
use subxt_rpcs::{LegacyRpcMethods, RpcClient};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{error::Elapsed, timeout},
};
use tracing::{info, warn};

use crate::{
    Endpoint, Options,
    backoff::Backoff,
    error::{ConnectError, EndpointError, RequestError},
};

/// The JSON-RPC methods of subxt's legacy backend.
pub(crate) type Methods = LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>;

/// Largest answer that is accepted, in bytes. Metadata of 16 MB fits, in hex.
const MAX_RESPONSE: u32 = 36 << 20;
/// Most unread items of a subscription. Above it, the subscription is closed. The client then subscribes
/// again and fills the gap.
const MAX_UNREAD: usize = 1024;
/// Attempts of one read, each on a new session.
const READ_ATTEMPTS: usize = 4;
/// Capacity of the queue of broken-session reports to the dialer. More reports would add no information.
const REPORTS: usize = 16;

/// A live connection to one node.
#[derive(Clone)]
pub(crate) struct Session {
    /// The serial number. It rises with each attempt to open a session, from 1.
    pub(crate) serial: u64,
    endpoint: Endpoint,
    pub(crate) methods: Methods,
    socket: Arc<WsClient>,
}

#[derive(Clone)]
enum State {
    Up(Session),
    Down(EndpointError),
}

/// The connection to the chain. Clones share it. It closes when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Connection {
    state: watch::Receiver<State>,
    broken: mpsc::Sender<u64>,
    options: Arc<Options>,
    _dialer: Arc<Dialing>,
}

/// Stops the dialer when the last [`Connection`] is dropped.
struct Dialing(AbortHandle);

impl Drop for Dialing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Opens the connection: tries each endpoint once. Later losses are repaired without a limit.
    pub(crate) async fn open(options: Arc<Options>) -> Result<(Self, BlockHash), ConnectError> {
        let mut dialer = Dialer::new(options.clone())?;
        let (session, genesis) = dialer.first_session().await?;
        let (state, state_seen) = watch::channel(State::Up(session.clone()));
        let (broken, reports) = mpsc::channel(REPORTS);
        let task = tokio::spawn(dialer.run(session, genesis, state, reports));
        let dialing = Arc::new(Dialing(task.abort_handle()));
        Ok((Self { state: state_seen, broken, options, _dialer: dialing }, genesis))
    }

    /// Waits for a live session, at most for the options' `patience`.
    pub(crate) async fn session(&self) -> Result<Session, RequestError> {
        self.session_after(0).await
    }

    /// Waits for a live session that is newer than the one with this number.
    pub(crate) async fn session_after(&self, serial: u64) -> Result<Session, RequestError> {
        let mut state = self.state.clone();
        let up = state.wait_for(|state| {
            matches!(state, State::Up(session) if session.serial > serial && session.socket.is_connected())
        });
        let found = timeout(self.options.patience, up).await.map(|up| up.map(|state| state.clone()));
        match found {
            Ok(Ok(State::Up(session))) => Ok(session),
            _ => Err(self.unreachable()),
        }
    }

    fn unreachable(&self) -> RequestError {
        let last = match &*self.state.borrow() {
            State::Down(error) => error.clone(),
            State::Up(session) => {
                EndpointError { endpoint: session.endpoint.to_string(), reason: "closing".into() }
            }
        };
        RequestError::Unreachable { waited: self.options.patience, last }
    }

    /// Reports to the dialer that this session is useless. The dialer then tries the next endpoint.
    pub(crate) fn give_up(&self, session: &Session) {
        // A full queue already holds a report of this session or of a later one.
        let _ = self.broken.try_send(session.serial);
    }

    /// Sends a request that is harmless to repeat, and sends it again after a loss or a timeout.
    pub(crate) async fn read<T, F, Fut>(&self, method: &'static str, request: F) -> Result<T, RequestError>
    where
        F: Fn(Methods) -> Fut,
        Fut: Future<Output = Result<T, subxt_rpcs::Error>>,
    {
        let mut failed = 0;
        let mut last = None;
        for _ in 0..READ_ATTEMPTS {
            let session = self.session_after(failed).await?;
            match self.request(&session, method, request(session.methods.clone())).await {
                Err(error) if error.is_retryable() => last = Some(error),
                answer => return answer,
            }
            failed = session.serial;
        }
        Err(last.unwrap_or_else(|| self.unreachable()))
    }

    /// Sends a request once, on this session.
    pub(crate) async fn request<T>(
        &self,
        session: &Session,
        method: &'static str,
        request: impl Future<Output = Result<T, subxt_rpcs::Error>>,
    ) -> Result<T, RequestError> {
        let answer = timeout(self.options.request_timeout, request).await;
        let result = read_answer(answer, session, method, self.options.request_timeout);
        if result.as_ref().is_err_and(RequestError::is_retryable) {
            self.give_up(session);
        }
        result
    }
}

fn read_answer<T>(
    answer: Result<Result<T, subxt_rpcs::Error>, Elapsed>,
    session: &Session,
    method: &'static str,
    after: Duration,
) -> Result<T, RequestError> {
    let endpoint = || session.endpoint.to_string();
    let error = match answer {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => return Err(RequestError::TimedOut { endpoint: endpoint(), method, after }),
    };
    Err(match error {
        subxt_rpcs::Error::User(user) => RequestError::Refused {
            method,
            code: user.code,
            message: user.message,
            data: user.data.map(|data| plain_text(data.get())),
        },
        subxt_rpcs::Error::Client(inner) => match inner.downcast_ref::<ClientError>() {
            Some(ClientError::RequestTimeout) => {
                RequestError::TimedOut { endpoint: endpoint(), method, after }
            }
            Some(ClientError::ParseError(error)) => {
                RequestError::Unintelligible { method, reason: error.to_string() }
            }
            _ => RequestError::Lost { endpoint: endpoint(), method, reason: inner.to_string() },
        },
        subxt_rpcs::Error::DisconnectedWillReconnect(reason) => {
            RequestError::Lost { endpoint: endpoint(), method, reason }
        }
        other => RequestError::Unintelligible { method, reason: other.to_string() },
    })
}

/// Removes the quotes of a JSON string. Returns other JSON as it is.
fn plain_text(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_string())
}

/// Opens sessions, one at a time, with the endpoints in turn.
struct Dialer {
    options: Arc<Options>,
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
    fn new(options: Arc<Options>) -> Result<Self, ConnectError> {
        if options.endpoints.is_empty() {
            Err(ConnectError::NoEndpoints)
        } else {
            Ok(Self { options, made: 0, next: 0 })
        }
    }

    /// Opens the first session: tries each endpoint once.
    async fn first_session(&mut self) -> Result<(Session, BlockHash), ConnectError> {
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
    async fn run(
        mut self,
        mut session: Session,
        genesis: BlockHash,
        state: watch::Sender<State>,
        mut reports: mpsc::Receiver<u64>,
    ) {
        let mut rng = StdRng::from_os_rng();
        let mut backoff = Backoff::new(self.options.first_pause, self.options.longest_pause);
        loop {
            let held = tokio::time::Instant::now();
            let reason = session_end(&session, &mut reports).await;
            warn!(target: "chain", endpoint = %session.endpoint, reason, "connection lost");
            let last = EndpointError { endpoint: session.endpoint.to_string(), reason };
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
        let fail =
            |reason: String| DialError::Endpoint(EndpointError { endpoint: endpoint.to_string(), reason });
        let attempt = timeout(self.options.connect_timeout, self.shake_hands(endpoint.clone())).await;
        let (session, found) = attempt.map_err(|_| fail("no answer in time".into()))?.map_err(fail)?;
        match expected {
            Some(expected) if expected != found => {
                Err(DialError::WrongChain { endpoint: endpoint.to_string(), expected, found })
            }
            _ => Ok((session, found)),
        }
    }

    async fn shake_hands(&self, endpoint: Endpoint) -> Result<(Session, BlockHash), String> {
        let socket = WsClientBuilder::default()
            .connection_timeout(self.options.connect_timeout)
            .request_timeout(self.options.request_timeout)
            .max_response_size(MAX_RESPONSE)
            .max_buffer_capacity_per_subscription(MAX_UNREAD)
            .enable_ws_ping(PingConfig::new())
            .build(endpoint.secret_url())
            .await
            .map_err(|error| error.to_string())?;
        let socket = Arc::new(socket);
        let methods = Methods::new(RpcClient::new(socket.clone()));
        let genesis = methods.genesis_hash().await.map_err(|error| error.to_string())?;
        Ok((Session { serial: self.made, endpoint, methods, socket }, BlockHash(genesis.0)))
    }
}

impl DialError {
    fn into_endpoint_error(self) -> EndpointError {
        match self {
            Self::Endpoint(error) => error,
            Self::WrongChain { endpoint, expected, found } => EndpointError {
                endpoint,
                reason: format!("it is a node of another chain: genesis {found} instead of {expected}"),
            },
        }
    }
}

/// Waits until the session breaks or is reported as useless. Returns the reason.
async fn session_end(session: &Session, reports: &mut mpsc::Receiver<u64>) -> String {
    loop {
        tokio::select! {
            reason = session.socket.on_disconnect() => return reason.to_string(),
            report = reports.recv() => match report {
                Some(serial) if serial < session.serial => {}
                Some(_) => return "it does not answer, or stalls".into(),
                // All connections are dropped: this task is about to be stopped.
                None => return "closed".into(),
            },
        }
    }
}
