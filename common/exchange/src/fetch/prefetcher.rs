//! Downloads the claimed objects of a window: carries out the commands of [`Prefetch`].

mod task;

use super::{
    Claimed, FetchError, Fetcher,
    incoming::IncomingFolder,
    open::{Wanted, unseal},
};
use crate::BlockState;
use base::{Height, NeuronId, digest::ObjectHash};
use bytes::Bytes;
use codec::submission::{Expected, Sealed, Submission, SubmissionLayout};
use protocol::{
    acceptance::Candidate,
    bucket_layout,
    downloads::{
        Part, PeerOutcome, Prefetch, PrefetchCommand, PrefetchEvent, PrefetchRules, TICK, TryFailure, TryId,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use task::{Arrived, Download, Ended, OpenTry, Reason, Try};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

/// The number of messages that may wait.
const INBOX: usize = 8;

/// The settings of a window's prefetch.
#[derive(Clone, Debug)]
pub struct PrefetchPlan {
    /// The rules.
    pub rules: PrefetchRules,
    /// The requirements on the submissions. The neuron is replaced by each candidate.
    pub expected: Expected,
    /// The layout of the run's submissions.
    pub layout: Arc<SubmissionLayout>,
}

/// The downloads of a window's claimed objects, in a task of their own. They end when this is dropped.
#[derive(Debug)]
pub struct Prefetcher {
    outbox: mpsc::Sender<Message>,
    arrived: watch::Receiver<BTreeSet<NeuronId>>,
    task: JoinHandle<Prefetched>,
}

/// The results of a window's prefetch.
#[derive(Debug, Default)]
pub struct Prefetched {
    /// The submissions that arrived and are valid. Their bytes are mapped files.
    pub submissions: BTreeMap<NeuronId, Submission<Bytes>>,
    /// The result for each candidate.
    pub outcomes: BTreeMap<NeuronId, PeerOutcome>,
    /// The last error of each candidate that did not arrive, if there was one.
    pub errors: BTreeMap<NeuronId, FetchError>,
    /// The largest total rate over 3 s, in bytes per second. The next windows need it
    /// ([`PrefetchRules::line`]).
    pub line: u64,
}

#[derive(Debug)]
enum Message {
    Order(Arc<BlockState>, Vec<Candidate>),
    Height(Height),
}

impl Prefetcher {
    /// Starts the prefetch of a window. It downloads nothing before the first [`Self::update`].
    ///
    /// # Errors
    /// The folder for downloads cannot be written.
    pub fn start(fetcher: &Fetcher, plan: PrefetchPlan) -> Result<Self, FetchError> {
        let folder = fetcher.incoming.folder(&format!("window-{}", plan.expected.window))?;
        let (outbox, inbox) = mpsc::channel(INBOX);
        let (arrivals, arrived) = watch::channel(BTreeSet::new());
        let driver = Driver {
            fetcher: fetcher.clone(),
            folder,
            machine: Prefetch::new(plan.rules),
            plan,
            began: Instant::now(),
            state: None,
            claims: BTreeMap::new(),
            open: BTreeMap::new(),
            paused: BTreeMap::new(),
            tries: JoinSet::new(),
            checks: JoinSet::new(),
            sealed: BTreeMap::new(),
            keys: BTreeMap::new(),
            done: Prefetched::default(),
            arrivals,
        };
        Ok(Self { outbox, arrived, task: tokio::spawn(driver.run(inbox)) })
    }

    /// Sets the candidates as claims stand in a state, in order. The buckets are those of the state. Call
    /// this with each final block, for the last time with the state at `D_w`.
    pub async fn update(&self, state: Arc<BlockState>, order: Vec<Candidate>) {
        // The task ends before `outcome` only if the runtime stops.
        let _ = self.outbox.send(Message::Order(state, order)).await;
    }

    /// Reports that a block is final. Call this with each final block: keys are asked for with each.
    pub async fn height(&self, height: Height) {
        let _ = self.outbox.send(Message::Height(height)).await; // As in `update`.
    }

    /// Returns the candidates whose objects have arrived, now and later. As far as that can be told without
    /// their keys, the objects are valid.
    #[must_use]
    pub fn arrived(&self) -> watch::Receiver<BTreeSet<NeuronId>> {
        self.arrived.clone()
    }

    /// Waits until all downloads and checks have ended.
    pub async fn ended(&self) {
        let mut arrived = self.arrived.clone();
        while arrived.changed().await.is_ok() {} // The task drops the sender when it ends.
    }

    /// Waits for the results. They are complete a few seconds after [`Self::height`] has reported `K_w`.
    ///
    /// # Errors
    /// The program is stopping.
    pub async fn outcome(mut self) -> Result<Prefetched, FetchError> {
        let joined = (&mut self.task).await;
        joined.map_err(|_| FetchError::Ended)
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The result of a check.
#[derive(Debug)]
enum Checked {
    Claimed(Result<Claimed, FetchError>),
    Opened(Result<Submission<Bytes>, FetchError>),
}

struct Driver {
    fetcher: Fetcher,
    folder: IncomingFolder,
    machine: Prefetch,
    plan: PrefetchPlan,
    began: Instant,
    /// The state that names the buckets.
    state: Option<Arc<BlockState>>,
    claims: BTreeMap<NeuronId, ObjectHash>,
    open: BTreeMap<TryId, OpenTry>,
    /// The incomplete downloads between two tries.
    paused: BTreeMap<(NeuronId, ObjectHash), Download>,
    tries: JoinSet<(TryId, Ended)>,
    checks: JoinSet<(NeuronId, ObjectHash, Checked)>,
    /// The sealed submissions that need their key.
    sealed: BTreeMap<NeuronId, Sealed<Bytes>>,
    keys: BTreeMap<(NeuronId, ObjectHash), Vec<u8>>,
    done: Prefetched,
    /// The candidates whose objects have arrived.
    arrivals: watch::Sender<BTreeSet<NeuronId>>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) -> Prefetched {
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !(self.machine.has_ended() && self.checks.is_empty()) {
            tokio::select! {
                biased;
                Some(message) = inbox.recv() => self.receive(message),
                Some(Ok(ended)) = self.tries.join_next() => self.ended(ended),
                Some(Ok((peer, object, checked))) = self.checks.join_next() => {
                    self.checked(peer, object, checked);
                }
                _ = clock.tick() => self.tick(),
            }
        }
        self.finish()
    }

    fn receive(&mut self, message: Message) {
        self.report_received(); // The message may end tries: what they received counts.
        match message {
            Message::Height(height) => self.step(PrefetchEvent::Height(height)),
            Message::Order(state, order) => {
                self.state = Some(state);
                let order: Vec<_> = order.into_iter().map(|peer| (peer.id, peer.object)).collect();
                for (peer, object) in &order {
                    if self.claims.insert(*peer, *object).is_some_and(|before| before != *object) {
                        self.forget(peer);
                    }
                }
                self.step(PrefetchEvent::Order(order));
            }
        }
    }

    /// Forgets what came for an earlier claim of a peer.
    fn forget(&mut self, peer: &NeuronId) {
        self.sealed.remove(peer);
        self.done.submissions.remove(peer);
        self.done.errors.remove(peer);
        self.paused.retain(|(owner, _), _| owner != peer);
        self.keys.retain(|(owner, _), _| owner != peer);
    }

    fn tick(&mut self) {
        self.report_received();
        self.step(PrefetchEvent::Tick);
    }

    fn report_received(&mut self) {
        let received: Vec<_> = self.open.iter_mut().map(|(id, open)| (*id, open.take_received())).collect();
        for (id, bytes) in received {
            self.received(id, bytes);
        }
    }

    fn received(&mut self, id: TryId, bytes: u64) {
        if bytes > 0 {
            self.step(PrefetchEvent::Received { id, bytes });
        }
    }

    fn step(&mut self, event: PrefetchEvent) {
        for command in self.machine.step(self.began.elapsed(), event) {
            match command {
                PrefetchCommand::Start { id, peer, object, part, most } => {
                    self.start(id, peer, object, part, most);
                }
                PrefetchCommand::Stop { id } => {
                    if let Some(open) = self.open.remove(&id) {
                        open.stop();
                    }
                }
            }
        }
    }

    fn start(&mut self, id: TryId, peer: NeuronId, object: ObjectHash, part: Part, most: u64) {
        let begun = self.begin(id, peer, object, part, most);
        if let Err((failure, error)) = begun {
            self.done.errors.insert(peer, *error);
            self.step(PrefetchEvent::Done { id, result: Err(failure) });
        }
    }

    /// Begins a try. Returns why it cannot begin.
    fn begin(
        &mut self,
        id: TryId,
        peer: NeuronId,
        object: ObjectHash,
        part: Part,
        most: u64,
    ) -> Result<(), (TryFailure, Box<FetchError>)> {
        let absent = |error| (TryFailure::Absent, Box::new(error));
        let state = self.state.clone().ok_or(absent(FetchError::NoBucket { owner: peer.hotkey }))?;
        let bucket = self.fetcher.bucket(&state, &peer).map_err(absent)?;
        let (run, window) = (self.plan.expected.run.id(), self.plan.expected.window);
        let (key, bytes) = match part {
            Part::Object => (bucket_layout::submission(run, window, &object), self.plan.rules.most_bytes),
            Part::Key => (bucket_layout::seal_key(run, window, &object), bucket_layout::LARGEST_SEAL_KEY),
        };
        let mut limits = self.fetcher.unhurried(bytes);
        limits.floor.bytes_per_second = 0; // The machine judges the rate.
        let attempt = Try { peer, object, bucket, key, limits, most };
        let open = match part {
            Part::Key => attempt.spawn_key(id, &mut self.tries),
            Part::Object => {
                let paused = self.paused.remove(&(peer, object)).map(Ok);
                let download = paused.unwrap_or_else(|| Download::create(self.folder.path(), id));
                let download = download.map_err(|error| (TryFailure::Own, Box::new(error)))?;
                attempt.spawn_object(id, download, &mut self.tries)
            }
        };
        self.open.insert(id, open);
        Ok(())
    }

    /// Handles the end of a try.
    fn ended(&mut self, (id, ended): (TryId, Ended)) {
        let Some(mut open) = self.open.remove(&id) else { return }; // It was stopped.
        self.received(id, open.take_received());
        let Ended { peer, object, result, download } = ended;
        match result {
            Ok(arrived) => {
                self.done.errors.remove(&peer);
                self.step(PrefetchEvent::Done { id, result: Ok(()) });
                self.arrived(peer, object, arrived);
            }
            Err((reason, error)) => {
                tracing::debug!(target: "exchange", %peer, %object, error = %base::ErrorChain(&error), "a try ended");
                self.done.errors.insert(peer, *error);
                self.paused.extend(download.map(|download| ((peer, object), download)));
                self.step(match reason {
                    Reason::Failed(failure) => PrefetchEvent::Done { id, result: Err(failure) },
                    Reason::Invalid(fault) => PrefetchEvent::Invalid { peer, object, fault },
                });
            }
        }
    }

    fn arrived(&mut self, peer: NeuronId, object: ObjectHash, arrived: Arrived) {
        match arrived {
            Arrived::Key(key) => {
                self.keys.insert((peer, object), key);
                self.unseal(peer, object);
            }
            Arrived::Object(bytes) => {
                let expected = Expected { neuron: peer, ..self.plan.expected };
                let wanted = Wanted { object, expected, layout: Arc::clone(&self.plan.layout) };
                self.checks.spawn(async move {
                    (peer, object, Checked::Claimed(wanted.open(peer.hotkey, bytes).await))
                });
            }
        }
    }

    /// Decrypts a submission if it and its key are there.
    fn unseal(&mut self, peer: NeuronId, object: ObjectHash) {
        if self.sealed.get(&peer).is_none_or(|sealed| sealed.hash() != object) {
            return;
        }
        let Some(key) = self.keys.remove(&(peer, object)) else { return };
        let Some(sealed) = self.sealed.remove(&peer) else { return };
        let path = self.folder.path().join(format!("{object}.opened"));
        self.checks.spawn(async move { (peer, object, Checked::Opened(unseal(sealed, key, path).await)) });
    }

    fn checked(&mut self, peer: NeuronId, object: ObjectHash, checked: Checked) {
        if self.claims.get(&peer) != Some(&object) {
            return; // The claim was replaced.
        }
        let error = match checked {
            Checked::Claimed(Ok(Claimed::Sealed(sealed))) => {
                self.sealed.insert(peer, sealed);
                self.arrivals.send_if_modified(|arrived| arrived.insert(peer));
                return self.unseal(peer, object);
            }
            Checked::Claimed(Ok(Claimed::Open(submission))) | Checked::Opened(Ok(submission)) => {
                self.done.submissions.insert(peer, submission);
                self.arrivals.send_if_modified(|arrived| arrived.insert(peer));
                return;
            }
            Checked::Claimed(Err(error)) | Checked::Opened(Err(error)) => error,
        };
        let fault = error.fault();
        self.done.errors.insert(peer, error);
        if let Some(fault) = fault {
            self.step(PrefetchEvent::Invalid { peer, object, fault });
        }
    }

    /// Returns the results.
    fn finish(mut self) -> Prefetched {
        let mut outcomes = self.machine.outcomes();
        for (peer, outcome) in &mut outcomes {
            // The bytes arrived, but this node could not check them.
            if *outcome == PeerOutcome::Arrived && !self.done.submissions.contains_key(peer) {
                *outcome = PeerOutcome::Failed(TryFailure::Own);
            }
        }
        let has_arrived = |peer: &NeuronId| outcomes.get(peer) == Some(&PeerOutcome::Arrived);
        self.done.submissions.retain(|peer, _| has_arrived(peer));
        self.done.errors.retain(|peer, _| outcomes.contains_key(peer) && !has_arrived(peer));
        Prefetched { outcomes, line: self.machine.line(), ..self.done }
    }
}
