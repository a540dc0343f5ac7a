//! Downloads one object from several sources: carries out the commands of [`Ranges`].

use super::{
    FetchError,
    incoming::{IncomingFile, local},
};
use base::NeuronId;
use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::downloads::{ObjectCopy, Ranges, RangesCommand, RangesEvent, RangesRules, TICK, TryId};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    ops::Range,
    path::Path,
    time::Duration,
};
use storage::{Bucket, Limits, Partial, Sink, StorageError};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// The number of pieces of bytes that wait to be written.
const INBOX: usize = 16;

/// Checks the bytes of a copy.
pub(crate) type Check<'a, T> = dyn Fn(Bytes) -> BoxFuture<'static, Result<T, FetchError>> + Send + Sync + 'a;

/// A bucket that may have the object.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) owner: NeuronId,
    pub(crate) bucket: Bucket,
}

/// An object to be downloaded from several sources.
#[derive(Debug)]
pub(crate) struct Sought<'a> {
    /// The sources in the order of use.
    pub(crate) sources: &'a [Source],
    /// The key of the object in the bucket of each source.
    pub(crate) key: &'a str,
    /// The size, if it is known.
    pub(crate) size: Option<u64>,
    /// The most bytes of the object, and the floor of each source.
    pub(crate) limits: Limits,
    /// The folder for the copies.
    pub(crate) folder: &'a Path,
}

/// A downloaded object.
#[derive(Debug)]
pub(crate) struct Delivered<T> {
    /// The result of the check.
    pub(crate) value: T,
    /// The file with the bytes.
    pub(crate) file: IncomingFile,
    /// Whether the first source has the object, and was never slow, failing or lying.
    pub(crate) first_served: bool,
    /// The sources that delivered other bytes.
    pub(crate) liars: Vec<usize>,
}

/// A message of a task.
enum Message {
    Size { source: usize, answer: Result<u64, StorageError> },
    Bytes { id: TryId, bytes: Bytes },
    Done { id: TryId, result: Result<(), StorageError> },
}

/// An open try.
struct Open {
    source: usize,
    copy: ObjectCopy,
    /// The place of its next byte.
    at: u64,
    task: AbortHandle,
}

impl Sought<'_> {
    /// Downloads the object. `check` returns an error for bytes that are not the object.
    ///
    /// # Errors
    /// No source delivers the object: the last error of each source. Or a file cannot be written.
    pub(crate) async fn download<T>(&self, check: &Check<'_, T>) -> Result<Delivered<T>, Undelivered> {
        let limits = self.limits;
        let floor = limits.floor.bytes_per_second;
        let rules = RangesRules { sources: self.sources.len(), floor, most_bytes: limits.bytes };
        let plan = match self.size {
            Some(bytes) => Ranges::of_size(rules, bytes),
            None => Ranges::new(rules),
        };
        let (outbox, inbox) = mpsc::channel(INBOX);
        let driver = Driver {
            sought: self,
            plan,
            began: Instant::now(),
            open: BTreeMap::new(),
            copies: BTreeMap::new(),
            errors: BTreeMap::new(),
            tasks: JoinSet::new(),
            outbox,
            inbox,
        };
        driver.run(check).await
    }
}

/// The reason why an object was not delivered.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// The sources that were used, each with its last error.
    Nowhere(Vec<(NeuronId, FetchError)>),
    /// This node cannot write a file.
    Local(Box<FetchError>),
}

impl Undelivered {
    fn local(error: FetchError) -> Self {
        Self::Local(Box::new(error))
    }
}

struct Driver<'a> {
    sought: &'a Sought<'a>,
    plan: Ranges,
    began: Instant,
    open: BTreeMap<TryId, Open>,
    copies: BTreeMap<ObjectCopy, IncomingFile>,
    errors: BTreeMap<usize, FetchError>,
    tasks: JoinSet<()>,
    outbox: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
}

impl Driver<'_> {
    async fn run<T>(mut self, check: &Check<'_, T>) -> Result<Delivered<T>, Undelivered> {
        let mut value = None;
        let mut event = RangesEvent::Tick;
        loop {
            let mut next = None;
            for command in self.step(event) {
                if let RangesCommand::Verify { copy, bytes } = command {
                    let checked = self.verify(copy, bytes, check).await?;
                    let is_right = checked.is_some();
                    value = checked.or(value);
                    next = Some(RangesEvent::Verified { copy, is_right });
                } else {
                    self.carry_out(command)?;
                }
            }
            match (self.plan.done(), value.take()) {
                (Some(Ok(copy)), Some(value)) => return self.deliver(copy, value),
                (Some(_), _) => return Err(self.nowhere()),
                (None, kept) => value = kept,
            }
            event = match next {
                Some(event) => event,
                None => self.wait().await?,
            };
        }
    }

    fn step(&mut self, event: RangesEvent) -> Vec<RangesCommand> {
        self.plan.step(self.began.elapsed(), event)
    }

    fn carry_out(&mut self, command: RangesCommand) -> Result<(), Undelivered> {
        match command {
            RangesCommand::AskSize { source } => self.ask_size(source),
            RangesCommand::Fetch { id, source, copy, range } => {
                let folder = self.sought.folder;
                if let Entry::Vacant(vacant) = self.copies.entry(copy) {
                    let file = IncomingFile::create(folder.join(name_of(copy)));
                    vacant.insert(file.map_err(Undelivered::local)?);
                }
                let at = range.start;
                let task = self.fetch(id, source, range);
                self.open.insert(id, Open { source, copy, at, task });
            }
            RangesCommand::Stop { id } => {
                if let Some(open) = self.open.remove(&id) {
                    open.task.abort();
                }
            }
            RangesCommand::Verify { .. } => {} // `run` does it.
        }
        Ok(())
    }

    fn ask_size(&mut self, source: usize) {
        let bucket = self.sought.sources[source].bucket.clone();
        let key = self.sought.key.to_owned();
        let limits = Limits { time: self.sought.limits.floor.over, ..self.sought.limits };
        let outbox = self.outbox.clone();
        self.tasks.spawn(async move {
            let answer = bucket.size(&key, &limits).await;
            let _ = outbox.send(Message::Size { source, answer }).await; // Fails only at the end.
        });
    }

    /// Begins to download a range. The rate has no floor: the plan leaves slow sources.
    fn fetch(&mut self, id: TryId, source: usize, range: Range<u64>) -> AbortHandle {
        let bucket = self.sought.sources[source].bucket.clone();
        let key = self.sought.key.to_owned();
        let mut limits = self.sought.limits;
        limits.bytes = range.end - range.start;
        limits.floor.bytes_per_second = 0;
        let outbox = self.outbox.clone();
        self.tasks.spawn(async move {
            let mut sink = Outbox { id, outbox };
            let mut partial = Partial::default();
            let result = bucket.attempt_into(&key, Some(range), &mut partial, &limits, &mut sink).await;
            let _ = sink.outbox.send(Message::Done { id, result }).await; // Fails only at the end.
        })
    }

    /// Waits for the next event. Writes the bytes that arrive: only this task writes, so a try that was ended
    /// changes nothing any more.
    async fn wait(&mut self) -> Result<RangesEvent, Undelivered> {
        while self.tasks.try_join_next().is_some() {}
        let message = match tokio::time::timeout(TICK, self.inbox.recv()).await {
            Ok(Some(message)) => message,
            _ => return Ok(RangesEvent::Tick),
        };
        Ok(match message {
            Message::Size { source, answer } => {
                let bytes = match answer {
                    // The plan refuses it: it is larger than the most bytes.
                    Err(StorageError::TooLarge { .. }) => Some(u64::MAX),
                    answer => self.noted(source, answer),
                };
                RangesEvent::Size { source, bytes }
            }
            Message::Bytes { id, bytes } => {
                let Some(open) = self.open.get_mut(&id) else { return Ok(RangesEvent::Tick) };
                let count = bytes.len() as u64;
                let file = &self.copies[&open.copy];
                file.write_at(open.at, bytes).await.map_err(Undelivered::local)?;
                open.at += count;
                RangesEvent::Received { id, bytes: count }
            }
            Message::Done { id, result } => {
                let Some(open) = self.open.remove(&id) else { return Ok(RangesEvent::Tick) };
                RangesEvent::Done { id, is_whole: self.noted(open.source, result).is_some() }
            }
        })
    }

    /// Keeps an error for the report.
    fn noted<T>(&mut self, source: usize, answer: Result<T, StorageError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                let owner = self.sought.sources[source].owner.hotkey;
                self.errors.insert(source, FetchError::Storage { owner, source: error });
                None
            }
        }
    }

    /// Checks a complete copy. A copy that is not the object is deleted.
    async fn verify<T>(
        &mut self,
        copy: ObjectCopy,
        bytes: u64,
        check: &Check<'_, T>,
    ) -> Result<Option<T>, Undelivered> {
        if !self.copies.contains_key(&copy) {
            let file = IncomingFile::create(self.sought.folder.join(name_of(copy)));
            self.copies.insert(copy, file.map_err(Undelivered::local)?); // An empty object.
        }
        let mapped = self.copies[&copy].map(bytes).map_err(Undelivered::local)?;
        match check(mapped).await {
            Ok(value) => Ok(Some(value)),
            Err(error @ (FetchError::Local { .. } | FetchError::Stopped { .. } | FetchError::Ended)) => {
                Err(Undelivered::local(error))
            }
            Err(error) => {
                tracing::warn!(target: "exchange", key = self.sought.key, ?copy, error = %base::ErrorChain(&error), "a source delivered other bytes");
                self.copies.remove(&copy);
                if let ObjectCopy::Of(source) = copy {
                    self.errors.insert(source, error);
                }
                Ok(None)
            }
        }
    }

    fn deliver<T>(mut self, copy: ObjectCopy, value: T) -> Result<Delivered<T>, Undelivered> {
        let Some(file) = self.copies.remove(&copy) else {
            let missing = io::Error::other("the copy is missing");
            return Err(Undelivered::local(local(self.sought.folder)(missing)));
        };
        let liars = self.plan.liars().collect();
        Ok(Delivered { value, file, first_served: self.plan.has_served(0), liars })
    }

    fn nowhere(self) -> Undelivered {
        let of = |(source, error): (usize, FetchError)| (self.sought.sources[source].owner, error);
        Undelivered::Nowhere(self.errors.into_iter().map(of).collect())
    }
}

fn name_of(copy: ObjectCopy) -> String {
    match copy {
        ObjectCopy::Joint => "joint.copy".to_owned(),
        ObjectCopy::Of(source) => format!("{source}.copy"),
    }
}

/// A sink that sends the bytes to the driver.
struct Outbox {
    id: TryId,
    outbox: mpsc::Sender<Message>,
}

impl Sink for Outbox {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        let sent = self.outbox.send(Message::Bytes { id: self.id, bytes }).await;
        sent.map_err(|_| io::Error::other("the download has ended"))
    }
}

/// The time limit of a request to which no other limit applies.
pub(crate) const UNLIMITED: Duration = Duration::MAX;
