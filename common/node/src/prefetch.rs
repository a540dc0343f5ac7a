//! The downloads of a window's candidates, in the background.

use crate::{Background, Events, FileError, Network, Node, NodeError, NodeEvent, Run, own_clock::OwnClock};
use base::{Height, NeuronId, Window, digest::State};
use bytes::Bytes;
use codec::submission::Submission;
use exchange::{BlockState, ExchangeError, FetchError, PrefetchPlan, Prefetched, Prefetcher};
use protocol::{
    acceptance::{Candidate, standing_candidates},
    announcement::Claim,
    clock::Heights,
    downloads::{ClockReadings, PeerOutcome, PrefetchRules},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::sync::watch;

/// The downloads of a window's candidates. They end when this is dropped.
#[derive(Debug)]
pub struct Prefetching(Background<Result<Arrivals, NodeError>>);

/// The submissions that arrived in time.
#[derive(Debug)]
pub struct Arrivals {
    /// The chain at `D_w`.
    pub closed: Arc<BlockState>,
    /// The candidates, in the order of a vote's bits.
    pub candidates: Vec<Candidate>,
    /// Their valid submissions, in memory-mapped files.
    pub submissions: BTreeMap<NeuronId, Submission<Bytes>>,
    /// The result for each candidate.
    pub outcomes: BTreeMap<NeuronId, PeerOutcome>,
    /// The last error of each candidate that did not arrive, if there was one.
    pub errors: BTreeMap<NeuronId, FetchError>,
    /// The readings of this machine's clock at the beginning and at the end of the downloads.
    pub clock: [ClockReadings; 2],
    /// The time from the beginning of the downloads to their end.
    pub seconds: f64,
}

/// The largest total rate over 3 s that the node has seen in its windows, in bytes per second. Clones share
/// it.
///
/// It begins unknown, and the downloads of a node that catches up do not count: their rates are those of a
/// few sources. A rate below the line's makes the line look full when it is not, so that peers just above
/// the floor could keep all slots. That is worse than an unknown line, which adds slots while rates rise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<AtomicU64>);

impl Line {
    fn known(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Takes the rate of a window. An earlier, larger rate fades by an eighth with each window: lines change.
    fn saw(&self, rate: u64) {
        let known = self.known();
        self.0.store(rate.max(known - known / 8), Relaxed);
    }
}

impl Prefetching {
    /// Waits until the downloads have ended. Returns what has arrived.
    ///
    /// # Errors
    /// The chain's nodes have forgotten a state that is needed, a file cannot be written, or the node is
    /// being stopped.
    pub async fn collect(mut self, network: &Network) -> Result<Arrivals, NodeError> {
        let collected = network.unless_stopped(self.0.finish()).await?;
        collected.unwrap_or(Err(NodeError::Shutdown)) // The work ends early only with the runtime.
    }
}

impl Node {
    /// Begins to download the submissions of the next window's candidates, as claims stand, until block
    /// `until` is final. With `last_keys`, no key is taken when a later block than this is final. The node
    /// must have the window's state. A submission of another state is invalid.
    ///
    /// # Errors
    /// The run has no such window.
    pub fn prefetch(
        &self,
        window: Window,
        until: Height,
        last_keys: Option<Height>,
    ) -> Result<Prefetching, NodeError> {
        let run = Arc::clone(self.shared.run());
        let heights = run.clock.heights(window)?;
        let (network, base, line) = (self.network.clone(), self.shared.base(), self.line.clone());
        let (us, floor) = (self.identity.neuron, self.floor);
        let (events, own_clock) = (self.observability.events.clone(), Arc::clone(&self.own_clock));
        let task = Task { run, network, heights, us, base, until, last_keys, floor, line, events, own_clock };
        Ok(Prefetching(Background::start(move || task.run())))
    }

    /// Checks whether other buckets may refuse this node for its own clock.
    pub async fn may_be_refused(&self) -> bool {
        self.own_clock.read().await.may_be_refused()
    }

    /// Downloads the submission of one claim in the background, after keys are closed. `closed` is the chain
    /// at `D_w`.
    pub fn download_one(
        &self,
        closed: &Arc<BlockState>,
        miner: NeuronId,
        claim: &Claim,
    ) -> Background<Result<Submission<Bytes>, FetchError>> {
        let run = Arc::clone(self.shared.run());
        let expected = self.shared.expected(miner);
        let (fetcher, closed, claim) = (self.network.fetcher.clone(), Arc::clone(closed), *claim);
        Background::start(move || async move {
            Box::pin(fetcher.submission(&closed, &claim, &expected, &run.layout)).await
        })
    }
}

/// The task that gives blocks and claims to a prefetcher.
struct Task {
    run: Arc<Run>,
    network: Network,
    heights: Heights,
    us: NeuronId,
    base: State,
    until: Height,
    last_keys: Option<Height>,
    /// The smallest rate of a useful download, in bytes per second.
    floor: u64,
    line: Line,
    events: Events,
    own_clock: Arc<OwnClock>,
}

/// Returns the error of downloads that cannot begin or end: of a file, or of the runtime.
fn local(error: FetchError) -> NodeError {
    match error {
        FetchError::Local { path, source } => FileError { path, source }.into(),
        _ => NodeError::Shutdown,
    }
}

impl Task {
    async fn run(self) -> Result<Arrivals, NodeError> {
        let network = &self.network;
        network.wait_for(self.heights.incentives).await?;
        let started = Instant::now();
        let clock = Arc::clone(&self.own_clock);
        let mut first = Background::start(move || async move { clock.read().await });
        let incentives = network.at(self.heights.incentives).await?;
        let prefetcher = Prefetcher::start(&network.fetcher, self.plan()).map_err(local)?;
        let (closed, candidates) = tokio::select! {
            followed = self.follow(&incentives, &prefetcher) => followed?,
            never = self.report(prefetcher.arrived()) => match never {},
        };
        let (done, last) = tokio::join!(prefetcher.outcome(), self.own_clock.read());
        let Prefetched { submissions, outcomes, errors, line } = done.map_err(local)?;
        self.line.saw(line);
        let seconds = started.elapsed().as_secs_f64();
        // It ends early only with the runtime.
        let first = first.finish().await.ok_or(NodeError::Shutdown)?;
        let clock = [first, last];
        Ok(Arrivals { closed, candidates, submissions, outcomes, errors, clock, seconds })
    }

    /// Gives the prefetcher each final block until the last one, and the claims as they stand until `D_w`.
    /// Returns the chain at `D_w` and the candidates.
    async fn follow(
        &self,
        incentives: &BlockState,
        prefetcher: &Prefetcher,
    ) -> Result<(Arc<BlockState>, Vec<Candidate>), NodeError> {
        let (network, claims_close) = (&self.network, self.heights.claims_close);
        let mut height = network.height();
        loop {
            let state = network.at(height.min(claims_close)).await?;
            let candidates = self.candidates(incentives, &state)?;
            let mut others = candidates.clone();
            others.retain(|candidate| candidate.id != self.us); // A miner has its own submission.
            prefetcher.update(Arc::clone(&state), others).await;
            prefetcher.height(height).await;
            while height >= claims_close {
                if height >= self.until {
                    self.last_asks(height, prefetcher).await?;
                    return Ok((state, candidates));
                }
                height = network.wait_for(height.next()).await?;
                prefetcher.height(height).await;
            }
            height = network.wait_for(height.next()).await?;
        }
    }

    /// Waits until the last keys have been asked for. A block that becomes final before may end that.
    async fn last_asks(&self, mut height: Height, prefetcher: &Prefetcher) -> Result<(), NodeError> {
        loop {
            tokio::select! {
                later = self.network.wait_for(height.next()) => height = later?,
                () = prefetcher.ended() => return Ok(()),
            }
            prefetcher.height(height).await;
        }
    }

    /// Reports the submissions that arrive. Never ends.
    async fn report(&self, mut arrived: watch::Receiver<BTreeSet<NeuronId>>) -> Infallible {
        let mut reported = BTreeSet::new();
        let window = self.heights.window;
        loop {
            let now = arrived.borrow_and_update().clone();
            for miner in now.difference(&reported) {
                self.events.emit(NodeEvent::Fetched { window, miner: miner.hotkey });
            }
            reported = now;
            if arrived.changed().await.is_err() {
                return std::future::pending().await; // All downloads have ended.
            }
        }
    }

    fn candidates(&self, incentives: &BlockState, now: &BlockState) -> Result<Vec<Candidate>, NodeError> {
        let (run, heights) = (&self.run, &self.heights);
        let spec = &run.spec.acceptance;
        Ok(standing_candidates(run.id, spec, heights, &incentives.snapshot, &now.snapshot)
            .map_err(ExchangeError::from)?)
    }

    fn plan(&self) -> PrefetchPlan {
        let Self { run, heights, .. } = self;
        let rules = PrefetchRules {
            claims_close: heights.claims_close,
            keys_close: self.until,
            last_keys: self.last_keys,
            sealed: run.spec.acceptance.sealing,
            floor: self.floor,
            most_bytes: run.layout.most_bytes(),
            line: self.line.known(),
        };
        // The neuron is replaced by each candidate.
        let expected = run.expected(self.us, heights.window, self.base);
        PrefetchPlan { rules, expected, layout: Arc::clone(&run.layout) }
    }
}
