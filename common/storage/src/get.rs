//! Downloads of objects, bounded in bytes, time and rate.

use crate::{
    Bucket, ObjectName, Outage, Sink, StorageError, bucket::boxed, error::deepest, range::parse_range,
};
use aws_sdk_s3::{operation::get_object::GetObjectOutput, primitives::ByteStream};
use std::{ops::Range, path::PathBuf, time::Duration};
use tokio::time::{Instant, timeout_at};

/// The limits of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size, in bytes. An object that announces a larger size is refused before its first byte.
    pub bytes: u64,
    /// The time limit of the whole download, including retries.
    pub time: Duration,
    /// The minimum rate.
    pub floor: Floor,
}

/// The minimum rate of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The minimum bytes per second, on average over each interval. 0 still requires one byte in each
    /// interval.
    pub bytes_per_second: u64,
    /// The measured interval. An answer must begin within one interval.
    pub over: Duration,
}

/// The result of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The number of bytes.
    pub bytes: u64,
    /// The service's entity tag of the content, if the service sent one.
    pub tag: Option<String>,
}

/// The part of an object that a sink holds. Empty at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// The number of bytes, from the first on.
    pub bytes: u64,
    /// The service's entity tag of the content. Only an object with the same tag can be continued.
    pub tag: Option<String>,
}

impl Bucket {
    /// Downloads an object into memory.
    ///
    /// # Errors
    /// See [`StorageError`]. [`StorageError::TooLarge`] if the object is larger than `limits.bytes`.
    pub async fn get(&self, key: &str, limits: &Limits) -> Result<(Vec<u8>, Fetched), StorageError> {
        let mut bytes = Vec::new();
        let fetched = self.get_into(key, None, limits, &mut bytes).await?;
        Ok((bytes, fetched))
    }

    /// Returns the size of an object, without its bytes. Asks once, without retries.
    ///
    /// # Errors
    /// See [`StorageError`]. [`StorageError::TooLarge`] if it is larger than `limits.bytes`.
    pub async fn size(&self, key: &str, limits: &Limits) -> Result<u64, StorageError> {
        let object = self.object(key);
        let ask = async {
            let request = self.client.head_object().bucket(&self.name).key(key);
            let answer = boxed(request.send()).await;
            answer.map_err(|error| StorageError::from_sdk(&error, &object))
        };
        let answer = self.within(key, limits.time, ask).await?;
        let malformed = || StorageError::Malformed { object: object.clone(), what: "no length".to_owned() };
        let size =
            answer.content_length.and_then(|length| u64::try_from(length).ok()).ok_or_else(malformed)?;
        if size > limits.bytes {
            return Err(StorageError::TooLarge { object, cap: limits.bytes });
        }
        Ok(size)
    }

    /// Downloads the rest of an object, or of a `range` of it, into `sink`, which holds the `partial` bytes
    /// already. Makes one attempt, without retries. `partial` grows with the bytes that the sink takes, so
    /// that a later call continues after a failure.
    ///
    /// # Errors
    /// See [`StorageError`]. [`StorageError::Changed`] if the object is not the one that `partial` is of.
    pub async fn attempt_into(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        partial: &mut Partial,
        limits: &Limits,
        sink: &mut impl Sink,
    ) -> Result<(), StorageError> {
        let mut transfer = Transfer::new(self, key, range, limits);
        (transfer.received, transfer.tag) = (partial.bytes, partial.tag.clone());
        self.metrics.gets.add(1.0);
        let _counted = Counted(self);
        let done = self.within(key, limits.time, transfer.attempt(sink)).await;
        *partial = Partial { bytes: transfer.received, tag: transfer.tag };
        done
    }

    /// Downloads an object, or all bytes of a `range` of it, into `sink`. After an error `sink` holds a
    /// part.
    ///
    /// # Errors
    /// See [`StorageError`]. [`StorageError::OutOfRange`] if the object ends before `range.end`.
    pub async fn get_into(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        limits: &Limits,
        sink: &mut impl Sink,
    ) -> Result<Fetched, StorageError> {
        let started = Instant::now();
        let mut transfer = Transfer::new(self, key, range, limits);
        self.metrics.gets.add(1.0);
        let _counted = Counted(self);
        self.within(key, limits.time, transfer.run(sink)).await?;
        self.metrics.get_seconds.observe(started.elapsed().as_secs_f64());
        Ok(Fetched { bytes: transfer.received, tag: transfer.tag })
    }
}

/// Guard that decrements the number of running downloads when it is dropped.
struct Counted<'a>(&'a Bucket);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.gets.add(-1.0);
    }
}

/// The state of one download, which may need several connections.
struct Transfer<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    object: ObjectName,
    /// The requested bytes; the whole object if `None`.
    range: Option<Range<u64>>,
    limits: &'a Limits,
    /// The number of bytes that the sink has taken.
    received: u64,
    /// The entity tag of the first answer. All later answers must have the same.
    tag: Option<String>,
}

impl<'a> Transfer<'a> {
    fn new(bucket: &'a Bucket, key: &'a str, range: Option<Range<u64>>, limits: &'a Limits) -> Self {
        let object = bucket.object(key);
        Self { bucket, key, object, range, limits, received: 0, tag: None }
    }

    async fn run(&mut self, sink: &mut impl Sink) -> Result<(), StorageError> {
        if let Some(range) = &self.range {
            if range.is_empty() {
                return Ok(());
            }
            if range.end - range.start > self.limits.bytes {
                return Err(self.too_large());
            }
        }
        let retry = self.bucket.retry;
        let metrics = self.bucket.metrics.clone();
        retry.run(&metrics, async || self.attempt(sink).await).await
    }

    /// Continues the download at the first missing byte.
    async fn attempt(&mut self, sink: &mut impl Sink) -> Result<(), StorageError> {
        if self.is_complete() {
            return Ok(());
        }
        let answer = self.ask().await?;
        let coming = self.check(&answer)?;
        let end = coming.map(|coming| self.received + coming);
        self.read(answer.body, end, sink).await?;
        match (end, &self.range) {
            (Some(end), _) if self.received != end => Err(self.unavailable(Outage::Cut)),
            (None, Some(_)) if !self.is_complete() => Err(self.unavailable(Outage::Cut)),
            _ => Ok(()),
        }
    }

    fn is_complete(&self) -> bool {
        self.range.as_ref().is_some_and(|range| self.received == range.end - range.start)
    }

    /// Requests the missing bytes.
    async fn ask(&self) -> Result<GetObjectOutput, StorageError> {
        let first = self.range.as_ref().map_or(0, |range| range.start) + self.received;
        let range = match &self.range {
            Some(range) => Some(format!("bytes={first}-{}", range.end - 1)),
            None if first > 0 => Some(format!("bytes={first}-")),
            None => None,
        };
        let request = self.bucket.client.get_object().bucket(&self.bucket.name).key(self.key);
        let request = request.set_range(range).set_if_match(self.tag.clone());
        let asked = Instant::now();
        let answer = match asked.checked_add(self.limits.floor.over) {
            Some(patience) => timeout_at(patience, boxed(request.send())).await.map_err(|_| self.slow(0))?,
            None => boxed(request.send()).await,
        };
        answer.map_err(|error| match (StorageError::from_sdk(&error, &self.object), &self.range) {
            (StorageError::Refused { status: 412, .. }, _) => self.changed(),
            (StorageError::Refused { status: 416, .. }, Some(range)) => self.out_of_range(range),
            // The object is now shorter than the part that was received.
            (StorageError::Refused { status: 416, .. }, None) if self.received > 0 => self.changed(),
            (error, _) => error,
        })
    }

    /// Checks the headers of the answer. Returns the number of bytes in the body, if it is announced.
    fn check(&mut self, answer: &GetObjectOutput) -> Result<Option<u64>, StorageError> {
        let resumed = self.received > 0;
        match (&self.tag, &answer.e_tag) {
            (Some(before), Some(now)) if before != now => return Err(self.changed()),
            (None, None) if resumed => {
                return Err(self.malformed("no entity tag: cannot resume the download"));
            }
            (Some(_), None) => return Err(self.malformed("the entity tag disappeared")),
            (None, now) => self.tag = now.clone().filter(|tag| tag.len() <= 200),
            (Some(_), Some(_)) => {}
        }
        let length = answer.content_length.map(u64::try_from).transpose();
        let length = length.map_err(|_| self.malformed("a negative length"))?;
        let wanted = self.range.clone().or(resumed.then_some(0..u64::MAX));
        if let Some(wanted) = wanted {
            let from = wanted.start + self.received;
            let sent = answer.content_range.as_deref().and_then(parse_range);
            let Some(sent) = sent.filter(|sent| sent.start == from && sent.end <= wanted.end) else {
                return Err(self.malformed("not the requested range"));
            };
            if let Some(range) = self.range.as_ref().filter(|range| sent.end < range.end) {
                return Err(self.out_of_range(range));
            }
            if length.is_some_and(|length| length != sent.end - sent.start) {
                return Err(self.malformed("a length other than the range's"));
            }
        }
        match length {
            Some(length) if length > self.limits.bytes - self.received => Err(self.too_large()),
            length => Ok(length),
        }
    }

    /// Reads the body into `sink`, within the limits on size and rate.
    async fn read(
        &mut self,
        mut body: ByteStream,
        end: Option<u64>,
        sink: &mut impl Sink,
    ) -> Result<(), StorageError> {
        let mut rate = Rate::begin(self.limits.floor);
        loop {
            let next = match rate.ends {
                Some(ends) => timeout_at(ends, body.next()).await.ok(),
                None => Some(body.next().await),
            };
            if rate.is_over() {
                rate = rate.next().map_err(|bytes| self.slow(bytes))?;
            }
            let Some(next) = next else { continue };
            let Some(bytes) = next else { return Ok(()) };
            let bytes = bytes.map_err(|error| self.unavailable(Outage::Connection(deepest(&error))))?;
            let count = bytes.len() as u64;
            if count > self.limits.bytes - self.received {
                return Err(self.too_large());
            }
            if end.is_some_and(|end| count > end - self.received) {
                return Err(self.malformed("more bytes than announced"));
            }
            sink.write(&bytes)
                .await
                .map_err(|source| StorageError::Local { path: PathBuf::new(), source })?;
            self.received += count;
            self.bucket.metrics.received_bytes.add(count);
            rate.bytes += count;
        }
    }

    fn too_large(&self) -> StorageError {
        StorageError::TooLarge { object: self.object.clone(), cap: self.limits.bytes }
    }

    fn changed(&self) -> StorageError {
        StorageError::Changed { object: self.object.clone() }
    }

    fn out_of_range(&self, range: &Range<u64>) -> StorageError {
        StorageError::OutOfRange { object: self.object.clone(), from: range.start, to: range.end }
    }

    fn unavailable(&self, source: Outage) -> StorageError {
        StorageError::Unavailable { object: self.object.clone(), source }
    }

    fn malformed(&self, what: &str) -> StorageError {
        StorageError::Malformed { object: self.object.clone(), what: what.to_owned() }
    }

    fn slow(&self, bytes: u64) -> StorageError {
        let Floor { bytes_per_second, over } = self.limits.floor;
        StorageError::Slow { object: self.object.clone(), bytes, over, floor: bytes_per_second }
    }
}

/// The rate meter of the current interval.
struct Rate {
    floor: Floor,
    bytes: u64,
    /// The end of the interval; `None` if the clock cannot represent it.
    ends: Option<Instant>,
}

impl Rate {
    fn begin(floor: Floor) -> Self {
        Self { floor, bytes: 0, ends: Instant::now().checked_add(floor.over) }
    }

    fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    /// Starts the next interval. Returns the bytes of this interval as the error if they are too few.
    fn next(self) -> Result<Self, u64> {
        let least = (self.floor.bytes_per_second as f64 * self.floor.over.as_secs_f64()).max(1.0);
        if (self.bytes as f64) < least { Err(self.bytes) } else { Ok(Self::begin(self.floor)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_without_enough_bytes_is_too_slow() {
        let rate = |bytes| Rate {
            floor: Floor { bytes_per_second: 100, over: Duration::from_secs(2) },
            bytes,
            ends: None,
        };
        assert_eq!(rate(199).next().err(), Some(199));
        assert!(rate(200).next().is_ok());
        let silent =
            Rate { floor: Floor { bytes_per_second: 0, over: Duration::from_secs(1) }, bytes: 0, ends: None };
        assert!(silent.next().is_err(), "a floor of 0 still asks for a byte");
    }
}
