//! The server as one value: sockets, service, faults, end.

use crate::{
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

/// A client that does not send its request's head within this time is dropped.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long requests under way may take when the server ends.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of all buckets; made if it is not there.
    pub data: PathBuf,
    /// Where to listen; port 0 is any free one. Anything but loopback exposes keys and data without TLS.
    pub listen: SocketAddr,
    /// The buckets with their keys.
    pub buckets: Vec<BucketConfig>,
    /// Faults from the start.
    pub faults: Plan,
}

impl Config {
    /// Buckets below `data` on a free port of the loopback interface, without faults.
    #[must_use]
    pub fn local(data: &Path, buckets: Vec<BucketConfig>) -> Self {
        Self { data: data.to_owned(), listen: ([127, 0, 0, 1], 0).into(), buckets, faults: Plan::default() }
    }
}

/// The server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The buckets or their keys are wrong.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The folder cannot be used.
    #[error("cannot keep buckets in {} ({source}): choose a folder that this user may write", folder.display())]
    Folder {
        /// The folder as given.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({source}): choose a free address of this machine")]
    Listen {
        /// The address as given.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

telemetry::metrics! {
    /// What the server counts.
    pub struct Metrics("muster_bucket_server") {
        /// Requests answered, by HTTP status.
        pub requests: Family<Counter> = Family::new("status", 64),
        /// Connections closed without an answer.
        pub closed: Counter,
    }
}

/// A running server. Dropping it ends it at once; [`Server::stop`] lets requests under way finish.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    faults: Faults,
    metrics: Arc<Metrics>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Opens the folder, listens, and serves from now on.
    ///
    /// # Errors
    /// The configuration is wrong, or the folder or the address cannot be used.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let keys = Keys::new(&config.buckets)?;
        let names = config.buckets.into_iter().map(|bucket| bucket.name);
        let store = Store::open(&config.data, names)
            .map_err(|source| StartError::Folder { folder: config.data.clone(), source })?;
        let listening = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;

        let (faults, metrics, store) = (Faults::default(), Arc::new(Metrics::default()), Arc::new(store));
        faults.set(config.faults);
        let mut service = S3ServiceBuilder::new(Service(Arc::clone(&store)));
        service.set_auth(keys.clone());
        service.set_access(keys);
        let handler = Handler {
            service: service.build(),
            store,
            faults: faults.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(serve(listener, handler, ended));
        Ok(Self { address, faults, metrics, end: Some(end), task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Replaces the plan of faults; what rules have counted begins anew.
    pub fn inject(&self, plan: Plan) {
        self.faults.set(plan);
    }

    /// How often each rule of the present plan has struck.
    #[must_use]
    pub fn strikes(&self) -> Vec<u64> {
        self.faults.strikes()
    }

    /// Takes no more requests, lets those under way finish for up to 10 s, and ends.
    pub async fn stop(mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(()); // It fails only if the task has ended.
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Handler {
    service: S3Service,
    store: Arc<Store>,
    faults: Faults,
    metrics: Arc<Metrics>,
}

impl Handler {
    async fn answer(&self, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let answer = self.faults.serve(&self.service, &self.store, request.map(Body::from)).await;
        match &answer {
            Ok(response) => self.metrics.requests.with(response.status().as_u16()).increment(),
            Err(_) => self.metrics.closed.increment(),
        }
        answer
    }
}

async fn serve(listener: TcpListener, handler: Handler, mut ended: oneshot::Receiver<()>) {
    let (graceful, mut connections) = (GracefulShutdown::new(), tokio::task::JoinSet::new());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut ended => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => connect(stream, &handler, &graceful, &mut connections),
            // Out of file descriptors, most likely: others must close some first.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    // What is still under way after that is cut off when `connections` is dropped.
    let _ = tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await;
}

fn connect(
    stream: TcpStream,
    handler: &Handler,
    graceful: &GracefulShutdown,
    connections: &mut tokio::task::JoinSet<()>,
) {
    let _ = stream.set_nodelay(true); // Only a matter of speed.
    let handler = handler.clone();
    let answer = service_fn(move |request| {
        let handler = handler.clone();
        async move { handler.answer(request).await }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), answer));
    connections.spawn(async move {
        // A client that breaks off is its own concern.
        let _ = connection.await;
    });
}
