//! The server: its configuration, start, connections and shutdown.

use crate::{
    clock::{Clock, too_skewed},
    faults::{Faults, Plan},
    keys::{BucketConfig, Keys, KeysError},
    s3::Service,
    store::Store,
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use s3s::{
    Body, HttpError, HttpResponse,
    service::{S3Service, S3ServiceBuilder},
};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use telemetry::{Counter, Family};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// The time limit for the head of a request. A slower client is disconnected.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time limit for running requests when the server ends.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder for all buckets; created if necessary.
    pub data: PathBuf,
    /// The address to listen on; port 0 selects a free port. An address other than loopback exposes
    /// keys and data without TLS.
    pub listen: SocketAddr,
    /// The buckets with their keys.
    pub buckets: Vec<BucketConfig>,
    /// The faults to inject from the start.
    pub faults: Plan,
}

impl Config {
    /// Creates a configuration with buckets below `data`, on a free port of the loopback interface,
    /// without faults.
    #[must_use]
    pub fn local(data: &Path, buckets: Vec<BucketConfig>) -> Self {
        Self { data: data.to_owned(), listen: ([127, 0, 0, 1], 0).into(), buckets, faults: Plan::default() }
    }
}

/// The error of starting a server.
#[derive(Debug, Error)]
pub enum StartError {
    /// The buckets or their keys are wrong.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The server cannot use the folder.
    #[error("cannot store buckets in {} (choose a folder that this user may write)", folder.display())]
    Folder {
        /// The given folder.
        folder: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The server cannot listen on the address.
    #[error("cannot listen on {address} (choose a free address of this machine)")]
    Listen {
        /// The given address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}

telemetry::metrics! {
    /// The metrics of the server.
    pub struct Metrics("muster_bucket_server") {
        /// Requests answered, by HTTP status.
        pub requests: Family<Counter> = Family::new("status", 64),
        /// Connections closed without an answer.
        pub closed: Counter,
    }
}

/// A running server. Dropping it ends it at once. [`Server::stop`] lets running requests finish.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    faults: Faults,
    clock: Clock,
    keys: Keys,
    metrics: Arc<Metrics>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Opens the folder, listens, and starts to serve.
    ///
    /// # Errors
    /// The configuration is wrong, or the server cannot use the folder or the address.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let keys = Keys::new(&config.buckets)?;
        let names = config.buckets.into_iter().map(|bucket| bucket.name);
        let store = Store::open(&config.data, names)
            .map_err(|source| StartError::Folder { folder: config.data.clone(), source })?;
        let listening = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;

        let faults = Faults::default();
        let metrics = Arc::new(Metrics::default());
        let store = Arc::new(store);
        faults.set(config.faults);
        let clock = Clock::default();
        let mut service = S3ServiceBuilder::new(Service { store: Arc::clone(&store), keys: keys.clone() });
        service.set_auth(keys.clone());
        service.set_access(keys.clone());
        let handler = Handler {
            service: service.build(),
            store,
            faults: faults.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(serve(listener, handler, ended));
        Ok(Self { address, faults, clock, keys, metrics, end: Some(end), task })
    }

    /// Returns the address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the metrics of the server.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Sets the seconds by which the server's clock is ahead of the machine's. All clients then seem to be
    /// behind by as much. Signatures more than 15 minutes off are refused, as by S3.
    pub fn shift_clock(&self, seconds: i64) {
        self.clock.shift(seconds);
    }

    /// Sets the seconds by which the clock of one bucket is ahead of the other buckets'.
    pub fn shift_clock_of(&self, bucket: &str, seconds: i64) {
        self.clock.shift_of(bucket, seconds);
    }

    /// Sets whether read keys may list their buckets. Without this right they get the answer 403
    /// `AccessDenied` for absent objects, as from S3, and not 404.
    pub fn let_readers_list(&self, may: bool) {
        self.keys.let_readers_list(may);
    }

    /// Replaces the plan of faults. The counts of all rules restart at 0.
    pub fn inject(&self, plan: Plan) {
        self.faults.set(plan);
    }

    /// Returns the number of requests that each rule of the current plan has struck.
    #[must_use]
    pub fn strikes(&self) -> Vec<u64> {
        self.faults.strikes()
    }

    /// Stops accepting requests, lets running requests finish for up to 10 s, and ends.
    pub async fn stop(mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(()); // Fails only if the task has ended.
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state that all connections share.
#[derive(Clone)]
struct Handler {
    service: S3Service,
    store: Arc<Store>,
    faults: Faults,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Handler {
    async fn answer(&self, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let path = request.uri().path().to_owned();
        let mut answer = if self.clock.refuses(&path, request.headers()) {
            Ok(too_skewed())
        } else {
            self.faults.serve(&self.service, &self.store, request.map(Body::from)).await
        };
        if let Ok(response) = &mut answer {
            self.clock.date(&path, response);
        }
        match &answer {
            Ok(response) => self.metrics.requests.with(response.status().as_u16()).increment(),
            Err(_) => self.metrics.closed.increment(),
        }
        answer
    }
}

async fn serve(listener: TcpListener, handler: Handler, mut ended: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut ended => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => connect(stream, &handler, &graceful, &mut connections),
            // Most likely the process is out of file descriptors: wait until some are closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    // The drop of `connections` aborts the requests that are still running after this.
    let _ = tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await;
}

fn connect(
    stream: TcpStream,
    handler: &Handler,
    graceful: &GracefulShutdown,
    connections: &mut tokio::task::JoinSet<()>,
) {
    let _ = stream.set_nodelay(true); // Affects only the speed.
    let handler = handler.clone();
    let answer = service_fn(move |request| {
        let handler = handler.clone();
        async move { handler.answer(request).await }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), answer));
    connections.spawn(async move {
        // A broken connection is the client's problem.
        let _ = connection.await;
    });
}
