//! Restricts the HTTP client of the SDK: the addresses of connections and the length of answers.
//!
//! The SDK's connector asks our resolver for addresses, and connects to the addresses that it returns.
//! So each new connection uses exactly the address that was checked, and DNS rebinding (a name that
//! resolves differently the second time) does not work. Proxies from the environment are not used. The
//! SDK follows no redirects. This module also refuses every request for a host other than the bucket's,
//! counts requests, and compares the date of each answer with this machine's clock.

use aws_sdk_s3::{
    config::{
        HttpClient, RuntimeComponents, SharedHttpClient,
        http::{HttpRequest, HttpResponse},
    },
    error::ConnectorError,
    primitives::SdkBody,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
};
use http_body_util::Limited;
use protocol::announcement::AddressPolicy;
use std::{io, net::IpAddr, sync::Arc};
use thiserror::Error;

use crate::{
    Metrics,
    clock::{DATE, ServiceClock},
};

/// The maximum length of an answer that is not an object, in bytes. A page of a list has 1000 keys of
/// up to 1024 bytes, and XML entities make a key up to six times as long.
const LONGEST_ANSWER: usize = 8 << 20;
/// The maximum length of an error answer, in bytes.
const LONGEST_ERROR: usize = 64 << 10;

/// Creates an HTTP client that connects only to addresses that `policy` allows. It holds the connection
/// pool and the system's certificates.
pub(crate) fn http_client(policy: AddressPolicy) -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_with_resolver(Resolver { policy })
}

#[derive(Clone, Debug)]
struct Resolver {
    policy: AddressPolicy,
}

impl Resolver {
    /// Resolves a name to its addresses. Fails if any address is not allowed: an honest bucket never
    /// has both kinds.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveDnsError> {
        let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
        let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        for address in &addresses {
            self.policy.check(*address).map_err(ResolveDnsError::new)?;
        }
        if addresses.is_empty() {
            Err(ResolveDnsError::new(io::Error::other("the name has no address")))
        } else {
            Ok(addresses)
        }
    }
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(self.resolve(name))
    }
}

/// The error of a request for a host other than the bucket's.
#[derive(Debug, Error)]
#[error("refused a request for a host other than the bucket's")]
pub(crate) struct ElsewhereError;

/// The HTTP client of one bucket. It sends requests to its endpoint only, and bounds the length of answers.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<C> {
    inner: C,
    /// The prefix of every request's URL: `scheme://host[:port]/`.
    origin: String,
    metrics: Arc<Metrics>,
    clock: Arc<ServiceClock>,
}

impl Guarded<SharedHttpClient> {
    pub(crate) fn new(
        inner: SharedHttpClient,
        endpoint: &str,
        metrics: &Arc<Metrics>,
        clock: &Arc<ServiceClock>,
    ) -> Self {
        let (metrics, clock) = (Arc::clone(metrics), Arc::clone(clock));
        Self { inner, origin: format!("{endpoint}/"), metrics, clock }
    }
}

impl HttpClient for Guarded<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Guarded {
            inner,
            origin: self.origin.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
        })
    }
}

impl HttpConnector for Guarded<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !request.uri().starts_with(&self.origin) {
            return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(ElsewhereError))));
        }
        // The SDK names the operation in the query. Only objects are read piece by piece, with their
        // own size cap.
        let query = request.uri().split_once('?').map_or("", |(_, query)| query);
        let operation = query.split('&').find_map(|pair| pair.strip_prefix("x-id="));
        let is_object = request.method() == "GET" && operation == Some("GetObject");
        self.metrics.requests.with(operation.unwrap_or(request.method())).increment();
        let (metrics, clock) = (Arc::clone(&self.metrics), Arc::clone(&self.clock));
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            clock.note(answer.headers().get(DATE));
            if matches!(answer.status().as_u16(), 429 | 503) {
                metrics.busy.increment();
            }
            Ok(bound(answer, is_object))
        })
    }
}

/// Bounds the length of an answer that the SDK would read into memory whole.
fn bound(answer: HttpResponse, is_object: bool) -> HttpResponse {
    match (answer.status().is_success(), is_object) {
        (true, true) => answer,
        (true, false) => limit(answer, LONGEST_ANSWER),
        (false, _) => limit(answer, LONGEST_ERROR),
    }
}

fn limit(answer: HttpResponse, longest: usize) -> HttpResponse {
    answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, longest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::announcement::AddressError;
    use std::error::Error as _;

    async fn resolve(policy: AddressPolicy, name: &str) -> Result<Vec<IpAddr>, Option<AddressError>> {
        let resolved = Resolver { policy }.resolve(name).await;
        resolved.map_err(|error| error.source().and_then(|source| source.downcast_ref().copied()))
    }

    #[tokio::test]
    async fn names_that_lead_inside_are_refused() {
        let inside = resolve(AddressPolicy::Public, "localhost").await.unwrap_err();
        assert!(matches!(inside, Some(AddressError::Loopback(_))), "{inside:?}");
        let allowed = resolve(AddressPolicy::PublicOrLoopback, "localhost").await.unwrap();
        assert!(!allowed.is_empty() && allowed.iter().all(IpAddr::is_loopback));
    }

    /// Checks addresses in other notations: some resolvers read numbers as addresses.
    #[tokio::test]
    async fn addresses_in_disguise_are_refused() {
        for name in ["0x7f.1", "2130706433", "169.254.169.254"] {
            assert!(resolve(AddressPolicy::Public, name).await.is_err(), "{name}");
        }
    }
}
