//! Handles of buckets, and the client that opens them.

use crate::{Metrics, ObjectName, Retry, StorageError, clock::ServiceClock, guard};
use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use futures::future::BoxFuture;
use protocol::announcement::{self, AddressPolicy, ReadCredentials};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Timeout of a connection attempt. A server that does not answer within it counts as unavailable.
const CONNECT: Duration = Duration::from_secs(10);

/// The state that all buckets of a process share: connections, certificates, address policy and metrics.
/// Clones share it too.
#[derive(Clone, Debug)]
pub struct Storage {
    policy: AddressPolicy,
    http: SharedHttpClient,
    retry: Retry,
    metrics: Arc<Metrics>,
}

/// A handle of a bucket, with the access key for it. Clones are cheap and share connections.
///
/// Downloads go into memory ([`get`](Bucket::get)) or into any [`Sink`](crate::Sink)
/// ([`get_into`](Bucket::get_into)). [`put`](Bucket::put) and
/// [`delete`](Bucket::delete) write. [`list`](Bucket::list) returns the objects of the bucket.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) retry: Retry,
    pub(crate) metrics: Arc<Metrics>,
    clock: Arc<ServiceClock>,
}

impl Storage {
    /// Creates a client that connects only to addresses that `policy` allows.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        let http = guard::http_client(policy);
        let metrics = Arc::new(Metrics::default());
        Self { policy, http, retry: Retry::default(), metrics }
    }

    /// Sets how failed requests are retried.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Returns the metrics, so that a registry can include them.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Opens an announced bucket for reading, with the access key in the announcement.
    ///
    /// # Errors
    /// The policy does not allow the endpoint.
    pub fn bucket(&self, announced: &announcement::Bucket) -> Result<Bucket, StorageError> {
        self.open(announced, announced.credentials())
    }

    /// Opens the node's own bucket, with an access key that may write.
    ///
    /// # Errors
    /// The policy does not allow the endpoint.
    pub fn own_bucket(
        &self,
        announced: &announcement::Bucket,
        key: &ReadCredentials,
    ) -> Result<Bucket, StorageError> {
        self.open(announced, Some(key))
    }

    fn open(
        &self,
        announced: &announcement::Bucket,
        key: Option<&ReadCredentials>,
    ) -> Result<Bucket, StorageError> {
        let (name, endpoint) = (announced.name().to_owned(), announced.endpoint());
        endpoint
            .check(self.policy)
            .map_err(|source| StorageError::Endpoint { bucket: name.clone(), source })?;
        let endpoint = endpoint.to_string();
        let clock = Arc::new(ServiceClock::default());
        // The SDK's retries, stall detection and checksums of answers are off. This crate has its own, which
        // respect the object's limits.
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(guard::Guarded::new(self.http.clone(), &endpoint, &self.metrics, &clock))
            .endpoint_url(endpoint)
            .region(Region::new(announced.region().to_owned()))
            .force_path_style(true)
            .disable_s3_express_session_auth(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build());
        let config = match key {
            Some(ReadCredentials { access_key, secret }) => {
                let access_key = access_key.expose();
                let secret = secret.expose();
                config.credentials_provider(Credentials::new(access_key, secret, None, None, "muster"))
            }
            None => config.allow_no_auth(),
        };
        let client = Client::from_conf(config.build());
        Ok(Bucket { client, name, retry: self.retry, metrics: Arc::clone(&self.metrics), clock })
    }
}

impl Bucket {
    /// Returns the name of the bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the seconds by which this machine's clock is ahead of the service's, from the newest answer
    /// to this handle. It is negative if the clock is behind, and 1 s too large or small at most, plus the
    /// time that the answer took. Returns `None` before the first answer with a date.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<i64> {
        self.clock.ahead()
    }

    pub(crate) fn object(&self, key: &str) -> ObjectName {
        ObjectName::new(&self.name, key)
    }

    /// Runs an operation with a time limit. Counts and logs a failure.
    pub(crate) async fn within<T>(
        &self,
        key: &str,
        time: Duration,
        operation: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let expired = |_| Err(StorageError::Expired { object: self.object(key), time });
        // An end that the clock cannot represent means no limit.
        let done = match Instant::now().checked_add(time) {
            Some(end) => tokio::time::timeout_at(end, operation).await.unwrap_or_else(expired),
            None => operation.await,
        };
        done.inspect_err(|error| {
            self.metrics.failures.with(error.kind()).increment();
            tracing::debug!(target: telemetry::target::STORAGE, kind = error.kind(), error = %base::ErrorChain(&error), "bucket operation failed");
        })
    }
}

/// Boxes a request of the SDK. Its future is large and nested deeply. Unboxed, each caller above would
/// have to box its own future or raise its recursion limit.
pub(crate) fn boxed<'a, T>(request: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(request)
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}
