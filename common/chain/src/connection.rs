//! A connection to the chain that reconnects by itself.
//!
//! A separate task, the [`Dialer`], keeps a session with one node. If the session breaks, it connects to the
//! next node. A caller waits for a session and sends its request. If the request is harmless to repeat (all
//! reads are), it is sent again: on the next session, or after a pause if the node refuses it. A refusal does
//! not cost the connection. Reads that name a block are spread over all endpoints: see [`Spread`].

use std::{future::Future, sync::Arc, time::Duration};

use base::{BlockHash, ErrorChain};
use jsonrpsee::core::client::Error as ClientError;
use subxt::{SubstrateConfig, config::RpcConfigFor, utils::H256};
use subxt_rpcs::LegacyRpcMethods;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};
use tracing::warn;

use crate::{
    Endpoint, Metrics, Options,
    archive::Archive,
    backoff::Backoff,
    contact::Contact,
    dialer::Dialer,
    error::{ConnectError, EndpointError, EndpointFault, ReadError, RequestError},
    runtime::explain,
    socket::Socket,
    spread::{Keeper, Spread},
};

/// The JSON-RPC methods of subxt's legacy backend.
pub(crate) type Methods = LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>;

/// Attempts of one read. Refusals of a busy node do not count.
const READ_ATTEMPTS: usize = 4;
/// Refusals by one node, one after the other, after which the next endpoint is tried.
pub(crate) const REFUSALS: usize = 3;
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
    spread: Arc<Spread>,
    /// The archive nodes, if any are named.
    archive: Option<Arc<Archive>>,
    _tasks: Arc<Tasks>,
}

/// Stops the dialer and the keeper when the last [`Connection`] is dropped.
struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
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
        let mut tasks = vec![tokio::spawn(dialer.run(session, genesis, state, reports)).abort_handle()];
        let spread = Arc::new(Spread::new(&options));
        if options.endpoints.len() > 1 {
            let keeper = Keeper {
                options: options.clone(),
                metrics: metrics.clone(),
                genesis,
                spread: spread.clone(),
                state: state_seen.clone(),
                broken: broken.clone(),
            };
            tasks.push(tokio::spawn(keeper.run()).abort_handle());
        }
        let archive = Archive::new(&options, metrics.clone(), genesis).map(Arc::new);
        let connection = Self {
            state: state_seen,
            broken,
            options,
            answers: Contact::new(),
            refusals,
            metrics,
            spread,
            archive,
            _tasks: Arc::new(Tasks(tasks)),
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

    /// Reads from the state of a block, or of the best block. Asks an archive node, if one is named, for a
    /// state that is gone.
    pub(crate) async fn read_state<T, F, Fut>(
        &self,
        method: &'static str,
        at: Option<H256>,
        request: F,
    ) -> Result<T, ReadError>
    where
        F: Fn(Methods) -> Fut,
        Fut: Future<Output = Result<T, subxt_rpcs::Error>>,
    {
        let answer = match at {
            Some(_) => self.read_at(method, &request, |_| true).await,
            None => self.read(method, &request).await,
        };
        let error = match answer {
            Ok(value) => return Ok(value),
            Err(error) => explain(error, at),
        };
        match (&self.archive, &error) {
            (Some(archive), ReadError::Pruned(_)) => match Box::pin(archive.connection()).await {
                Some(connection) => {
                    Box::pin(connection.read(method, request)).await.map_err(|error| explain(error, at))
                }
                None => Err(error),
            },
            _ => Err(error),
        }
    }

    /// Returns the connection to the archive nodes, if any are named and can be reached.
    pub(crate) async fn archive(&self) -> Option<&Self> {
        self.archive.as_ref()?.connection().await
    }

    /// Reads what belongs to a block that the request names, on any of the endpoints. `has` checks whether an
    /// answer holds it: another node may lack the block.
    pub(crate) async fn read_at<T, F, Fut>(
        &self,
        method: &'static str,
        request: F,
        has: impl Fn(&T) -> bool,
    ) -> Result<T, RequestError>
    where
        F: Fn(Methods) -> Fut,
        Fut: Future<Output = Result<T, subxt_rpcs::Error>>,
    {
        if let Some(other) = self.spread.next() {
            // Boxed, since the futures of callers are nested deeply.
            match Box::pin(self.ask_other(&other, method, request(other.methods.clone()))).await {
                Ok(value) if has(&value) => return Ok(value),
                Ok(_) => self.spread.leave(&other, "it lacks a block"),
                Err(_) => {}
            }
        }
        self.read(method, request).await
    }

    /// Asks another node than the one that is followed, once. The node rests if it fails, is busy, or lacks
    /// the block.
    async fn ask_other<T>(
        &self,
        session: &Session,
        method: &'static str,
        request: impl Future<Output = Result<T, subxt_rpcs::Error>>,
    ) -> Result<T, RequestError> {
        let limit = self.options.request_timeout.min(self.options.patience / 4);
        let answer = self.ask(session, method, request, limit).await;
        if let Err(error) = &answer {
            let is_refusal = matches!(error, RequestError::Refused { .. });
            let is_behind = error.says("UnknownBlock") && !error.says("discarded");
            if !is_refusal || error.is_busy() || is_behind {
                self.spread.leave(session, ErrorChain(error));
            }
        }
        answer
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
        let (mut failed, mut attempts, mut refusals) = (0, 0, 0);
        loop {
            let session = self.session_before(failed, end).await?;
            let left = end.saturating_duration_since(Instant::now());
            let asked = self.request_within(&session, method, request(session.methods.clone()), left);
            let error = match Box::pin(asked).await {
                Err(error) if error.is_retryable() => error,
                answer => return answer,
            };
            attempts += usize::from(!error.is_busy());
            if attempts == READ_ATTEMPTS || Instant::now() >= end {
                return Err(error);
            }
            if !matches!(error, RequestError::Refused { .. }) {
                (failed, refusals) = (session.serial, 0);
                continue;
            }
            if let Some(other) = self.spread.any()
                && let Ok(value) =
                    Box::pin(self.ask_other(&other, method, request(other.methods.clone()))).await
            {
                return Ok(value);
            }
            refusals += 1;
            // A node that limits requests is asked again at its pace.
            let is_paced = error.is_busy();
            let pause = if is_paced { Duration::ZERO } else { backoff.pause(&mut rand::rng()) };
            if Instant::now() + pause >= end {
                return Err(error);
            }
            warn!(target: "chain", endpoint = %session.endpoint, error = %ErrorChain(&error), ?pause, "the node refuses a request: asking again");
            tokio::time::sleep(pause).await;
            // Another endpoint may have room. With one endpoint alone, a new connection only adds requests.
            if refusals == REFUSALS && self.options.endpoints.len() > 1 {
                self.give_up(&session, &error);
                (failed, refusals) = (session.serial, 0);
            }
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

    /// Sends a request once, with a shorter time limit. A session that does not answer is given up; one whose
    /// node refuses is not.
    pub(crate) async fn request_within<T>(
        &self,
        session: &Session,
        method: &'static str,
        request: impl Future<Output = Result<T, subxt_rpcs::Error>>,
        limit: Duration,
    ) -> Result<T, RequestError> {
        let result = self.ask(session, method, request, limit).await;
        if let Err(error) = &result
            && error.is_retryable()
            && !matches!(error, RequestError::Refused { .. })
        {
            self.give_up(session, error);
        }
        result
    }

    /// Sends a request once, at the node's pace, and notes whether the node answers. The wait for the pace
    /// does not count against the limit.
    async fn ask<T>(
        &self,
        session: &Session,
        method: &'static str,
        request: impl Future<Output = Result<T, subxt_rpcs::Error>>,
        limit: Duration,
    ) -> Result<T, RequestError> {
        let limit = limit.min(self.options.request_timeout);
        let sent = session.socket.pace.turn().await;
        let answer = timeout(limit, request).await;
        let result = read_answer(answer, session, method, limit);
        let is_silence = matches!(
            &result,
            Err(RequestError::TimedOut { .. } | RequestError::Lost { .. } | RequestError::Unreachable { .. })
        );
        if !is_silence {
            self.answers.note();
        }
        if result.as_ref().is_err_and(RequestError::is_busy) {
            self.metrics.busy.increment();
            session.socket.pace.refused(sent);
        } else if result.is_ok() {
            session.socket.pace.answered();
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
