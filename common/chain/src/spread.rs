//! Spreads reads over the endpoints, and leaves nodes that are behind.
//!
//! The [`Dialer`](crate::dialer) keeps the session that is followed: its node tells new blocks and takes
//! transactions. With several endpoints, a [`Keeper`] also keeps a session with each of the others. Reads
//! that name a block take turns on all of them. An answer of another node is as good: the block's hash was
//! told by the node that is followed. If a node does not answer, refuses, or lacks the block, the node that
//! is followed is asked, and the other one rests for a while.
//!
//! From time to time the keeper asks all nodes for their best block. A node that is behind is left. The
//! user names the endpoints, so a height is believed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base::BlockHash;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use crate::{
    Endpoint, Metrics, Options,
    connection::{Report, Session, State},
    dialer,
};

/// The sessions with the endpoints besides the one that is followed.
pub(crate) struct Spread {
    helpers: Mutex<Helpers>,
    turn: AtomicUsize,
    /// The time for which a node rests.
    rest: Duration,
}

#[derive(Default)]
struct Helpers {
    live: Vec<Session>,
    /// The end of the rest of each endpoint that failed.
    resting: HashMap<String, Instant>,
}

impl Spread {
    pub(crate) fn new(options: &Options) -> Self {
        Self { helpers: Mutex::default(), turn: AtomicUsize::new(0), rest: options.longest_pause }
    }

    fn helpers(&self) -> MutexGuard<'_, Helpers> {
        self.helpers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the session whose turn it is to answer a read. Returns `None` if it is the turn of the
    /// node that is followed.
    pub(crate) fn next(&self) -> Option<Session> {
        let mut helpers = self.helpers();
        helpers.live.retain(|session| session.socket.is_connected());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (helpers.live.len() + 1);
        helpers.live.get(turn.checked_sub(1)?).cloned()
    }

    /// Returns a session with another node than the one that is followed, if there is any.
    pub(crate) fn any(&self) -> Option<Session> {
        let helpers = self.helpers();
        helpers.live.iter().find(|session| session.socket.is_connected()).cloned()
    }

    /// Ends a session. Its endpoint rests for a while.
    pub(crate) fn leave(&self, session: &Session, reason: impl ToString) {
        let (endpoint, reason) = (&session.endpoint, reason.to_string());
        debug!(target: "chain", %endpoint, reason, "the node rests");
        let mut helpers = self.helpers();
        helpers.live.retain(|live| live.endpoint != *endpoint);
        helpers.resting.insert(endpoint.to_string(), Instant::now() + self.rest);
    }
}

/// The task that keeps the sessions of a [`Spread`].
pub(crate) struct Keeper {
    pub(crate) options: Arc<Options>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) genesis: BlockHash,
    pub(crate) spread: Arc<Spread>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) broken: mpsc::Sender<Report>,
}

impl Keeper {
    /// Opens sessions and compares heights, without end. A short command ends before the first round, and
    /// needs one connection only.
    pub(crate) async fn run(self) {
        sleep(self.options.block_time).await;
        loop {
            self.open_missing().await;
            self.compare_heights().await;
            sleep(self.options.stall_after()).await;
        }
    }

    /// Returns the session that is followed, if it is open.
    fn followed(&self) -> Option<Session> {
        match &*self.state.borrow() {
            State::Up(session) => Some(session.clone()),
            State::Down(_) => None,
        }
    }

    async fn open_missing(&self) {
        for endpoint in self.options.endpoints.iter().map(|url| Endpoint::new(url)) {
            if self.is_needed(&endpoint) {
                self.open(endpoint).await;
            }
        }
    }

    /// Checks whether a session with this endpoint is to be opened. Drops the session if it is followed.
    fn is_needed(&self, endpoint: &Endpoint) -> bool {
        let is_followed = self.followed().is_none_or(|session| session.endpoint == *endpoint);
        let mut helpers = self.spread.helpers();
        helpers.live.retain(|session| {
            session.socket.is_connected() && !(is_followed && session.endpoint == *endpoint)
        });
        let rests = helpers.resting.get(&endpoint.to_string()).is_some_and(|end| *end > Instant::now());
        !is_followed && !rests && !helpers.live.iter().any(|session| session.endpoint == *endpoint)
    }

    async fn open(&self, endpoint: Endpoint) {
        let name = endpoint.to_string();
        self.metrics.connects.with(&name).increment();
        let opening = dialer::open(&self.options, &self.metrics, endpoint, 0);
        let reason = match timeout(self.options.connect_timeout, opening).await {
            Ok(Ok((session, genesis))) if genesis == self.genesis => {
                return self.spread.helpers().live.push(session);
            }
            Ok(Ok(_)) => "it is a node of another chain".to_owned(),
            Ok(Err((reason, _))) => reason,
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(target: "chain", endpoint = name, reason, "cannot read from this endpoint too");
        self.spread.helpers().resting.insert(name, Instant::now() + self.options.longest_pause);
    }

    /// Asks all nodes for their best block, and leaves those that are behind.
    async fn compare_heights(&self) {
        let Some(followed) = self.followed() else { return };
        let helpers = self.spread.helpers().live.clone();
        let mut heights = Vec::new();
        for session in std::iter::once(&followed).chain(&helpers) {
            match self.height(session).await {
                Some(height) => heights.push((session, height)),
                // The follower of the blocks notices a silent node that is followed.
                None if session.serial == followed.serial => {}
                None => self.spread.leave(session, "it does not tell its best block"),
            }
        }
        let Some(&(first, newest)) = heights.iter().max_by_key(|(_, height)| *height) else { return };
        for (session, height) in &heights {
            let behind = newest.saturating_sub(*height);
            if behind <= u64::from(self.options.stall_blocks) {
                continue;
            }
            let reason = format!("it is {behind} blocks behind {}", first.endpoint);
            warn!(target: "chain", endpoint = %session.endpoint, behind, "this node is behind: leaving it");
            if session.serial == followed.serial {
                let _ = self.broken.try_send(Report { serial: session.serial, reason });
            } else {
                self.spread.leave(session, reason);
            }
        }
    }

    async fn height(&self, session: &Session) -> Option<u64> {
        let asked = session.methods.chain_get_header(None);
        let answer = timeout(self.options.request_timeout, asked).await;
        Some(answer.ok()?.ok()??.number)
    }
}
