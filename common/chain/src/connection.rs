//! A connection to the chain that reconnects by itself.
//!
//! A separate task, the [`Dialer`], keeps a session with one node. If the session breaks, it connects to the
//! next node. A caller waits for a session and sends its request. If the request is harmless to repeat (all
//! reads are), it is sent again: on the next session, or after a pause if the node only limits requests.

use std::{future::Future, sync::Arc, time::Duration};

use base::BlockHash;
use jsonrpsee::core::client::Error as ClientError;
use subxt::{SubstrateConfig, config::RpcConfigFor};
use subxt_rpcs::LegacyRpcMethods;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};
use tracing::warn;

use crate::{
    Endpoint, Metrics, Options,
    backoff::Backoff,
    contact::Contact,
    dialer::Dialer,
    error::{ConnectError, EndpointError, EndpointFault, RequestError},
    socket::Socket,
};

/// The JSON-RPC methods of subxt's legacy backend.
pub(crate) type Methods = LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>;

/// Attempts of one read, each on a new session. Refusals of a busy node do not count.
const READ_ATTEMPTS: usize = 4;
/// Capacity of the queue of broken-session reports to the dialer. More reports would add no information.
const REPORTS: usize = 16;

/// A live connection to one node.
#[derive(Clone)]
pub(crate) struct Session {
    /// The serial number. It rises with each attempt to open a session, from 1.
    pub(crate) serial: u64,
    pub(crate) endpoint: Endpoint,
    pub(crate) methods: Methods,
    pub(crate) socket: Arc<Socket>,
}

/// The state of the connection, as the dialer tells it.
#[derive(Clone)]
pub(crate) enum State {
    Up(Session),
    Down(EndpointError),
}

/// The report that a session is useless.
pub(crate) struct Report {
    pub(crate) serial: u64,
    pub(crate) reason: String,
}

/// The connection to the chain. Clones share it. It closes when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Connection {
    state: watch::Receiver<State>,
    broken: mpsc::Sender<Report>,
    options: Arc<Options>,
    /// The answers of nodes to requests, refusals among them.
    pub(crate) answers: Contact,
    /// The refusals to connect. An endpoint that refuses is not silent.
    pub(crate) refusals: Contact,
    metrics: Arc<Metrics>,
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
    pub(crate) async fn open(
        options: Arc<Options>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, BlockHash), ConnectError> {
        let refusals = Contact::new();
        let mut dialer = Dialer::new(options.clone(), metrics.clone(), refusals.clone())?;
        let (session, genesis) = dialer.first_session().await?;
        let (state, state_seen) = watch::channel(State::Up(session.clone()));
        let (broken, reports) = mpsc::channel(REPORTS);
        let task = tokio::spawn(dialer.run(session, genesis, state, reports));
        let dialing = Arc::new(Dialing(task.abort_handle()));
        let connection = Self {
            state: state_seen,
            broken,
            options,
            answers: Contact::new(),
            refusals,
            metrics,
            _dialer: dialing,
        };
        Ok((connection, genesis))
    }

    /// Waits for a live session, at most for the options' `patience`.
    pub(crate) async fn session(&self) -> Result<Session, RequestError> {
        self.session_after(0).await
    }

    /// Waits for a live session that is newer than the one with this number.
    pub(crate) async fn session_after(&self, serial: u64) -> Result<Session, RequestError> {
        self.session_before(serial, Instant::now() + self.options.patience).await
    }

    async fn session_before(&self, serial: u64, end: Instant) -> Result<Session, RequestError> {
        let mut state = self.state.clone();
        let up = state.wait_for(|state| {
            matches!(state, State::Up(session) if session.serial > serial && session.socket.is_connected())
        });
        let found = timeout_at(end, up).await.map(|up| up.map(|state| state.clone()));
        match found {
            Ok(Ok(State::Up(session))) => Ok(session),
            _ => Err(self.unreachable()),
        }
    }

    fn unreachable(&self) -> RequestError {
        let last = match &*self.state.borrow() {
            State::Down(error) => error.clone(),
            State::Up(session) => EndpointError {
                endpoint: session.endpoint.to_string(),
                reason: "closing".into(),
                fault: EndpointFault::Broken,
            },
        };
        RequestError::Unreachable { waited: self.options.patience, last }
    }

    /// Reports to the dialer that this session is useless. The dialer then tries the next endpoint.
    pub(crate) fn give_up(&self, session: &Session, reason: impl ToString) {
        // A full queue already holds a report of this session or of a later one.
        let _ = self.broken.try_send(Report { serial: session.serial, reason: reason.to_string() });
    }

    /// Sends a request that is harmless to repeat, and sends it again after a loss, a timeout or a refusal
    /// that passes. It takes at most the options' `patience`.
    pub(crate) async fn read<T, F, Fut>(&self, method: &'static str, request: F) -> Result<T, RequestError>
    where
        F: Fn(Methods) -> Fut,
        Fut: Future<Output = Result<T, subxt_rpcs::Error>>,
    {
        let end = Instant::now() + self.options.patience;
        let mut backoff = Backoff::new(self.options.first_pause, self.options.longest_pause);
        let (mut failed, mut attempts) = (0, 0);
        loop {
            let session = self.session_before(failed, end).await?;
            let left = end.saturating_duration_since(Instant::now());
            let asked = self.request_within(&session, method, request(session.methods.clone()), left);
            let error = match asked.await {
                Err(error) if error.is_retryable() => error,
                answer => return answer,
            };
            if error.is_busy() {
                let pause = backoff.pause(&mut rand::rng());
                if Instant::now() + pause >= end {
                    return Err(error);
                }
                warn!(target: "chain", endpoint = %session.endpoint, error = %base::ErrorChain(&error), ?pause, "the node limits requests");
                tokio::time::sleep(pause).await;
                // Another endpoint may have room. With one endpoint alone, a new connection only adds
                // requests.
                failed = if self.options.endpoints.len() > 1 { session.serial } else { 0 };
                continue;
            }
            attempts += 1;
            if attempts == READ_ATTEMPTS || Instant::now() >= end {
                return Err(error);
            }
            failed = session.serial;
        }
    }

    /// Sends a request once, on this session.
    pub(crate) async fn request<T>(
        &self,
        session: &Session,
        method: &'static str,
        request: impl Future<Output = Result<T, subxt_rpcs::Error>>,
    ) -> Result<T, RequestError> {
        self.request_within(session, method, request, self.options.request_timeout).await
    }

    /// Sends a request once, with a shorter time limit.
    pub(crate) async fn request_within<T>(
        &self,
        session: &Session,
        method: &'static str,
        request: impl Future<Output = Result<T, subxt_rpcs::Error>>,
        limit: Duration,
    ) -> Result<T, RequestError> {
        let limit = limit.min(self.options.request_timeout);
        let answer = timeout(limit, request).await;
        let result = read_answer(answer, session, method, limit);
        let is_silence = matches!(
            &result,
            Err(RequestError::TimedOut { .. } | RequestError::Lost { .. } | RequestError::Unreachable { .. })
        );
        if !is_silence {
            self.answers.note();
        }
        if let Err(error) = &result {
            let busy = error.is_busy();
            if busy {
                self.metrics.busy.increment();
            }
            if error.is_retryable() && (!busy || self.options.endpoints.len() > 1) {
                self.give_up(session, error);
            }
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
