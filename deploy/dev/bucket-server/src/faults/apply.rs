//! Applies faults: the layer between the socket and the S3 service.

use super::{Fault, Plan};
use crate::store::{Condition, Store};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::{
    StatusCode,
    body::Frame,
    header::{CONTENT_LENGTH, HeaderValue, LOCATION, RETRY_AFTER},
};
use s3s::{Body, HttpError, HttpRequest, HttpResponse, StdError, service::S3Service};
use std::{
    io::{self, Read as _},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// The time to send the bytes before a break.
const FLUSH: Duration = Duration::from_millis(20);

/// The current plan of faults. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<RwLock<Arc<Present>>>);

/// A plan with its counts.
#[derive(Debug, Default)]
struct Present {
    plan: Plan,
    /// The number of selected requests and the number of strikes of each rule.
    counts: Vec<(AtomicU64, AtomicU64)>,
}

impl Faults {
    /// Replaces the plan. The counts restart at 0.
    pub(crate) fn set(&self, plan: Plan) {
        let counts = plan.rules.iter().map(|_| Default::default()).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Present { plan, counts });
    }

    /// Returns the number of strikes of each rule.
    pub(crate) fn strikes(&self) -> Vec<u64> {
        self.present().counts.iter().map(|(_, strikes)| strikes.load(Relaxed)).collect()
    }

    fn present(&self) -> Arc<Present> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn serve(
        &self,
        service: &S3Service,
        store: &Store,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let path = request.uri().path().to_owned();
        let faults = self.present().striking(request.method().as_str(), &path);
        for fault in &faults {
            match fault {
                Fault::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Fault::Status { code } => return Ok(refusal(*code)),
                Fault::Busy { code, seconds } => return Ok(busy(*code, *seconds)),
                Fault::Redirect { to } => return redirect(to),
                Fault::Reset => return Err(closed()),
                _ => {}
            }
        }
        let mut response = service.call(request).await?;
        for fault in faults {
            response = match fault {
                Fault::Lose => return Err(closed()),
                Fault::Truncate { after } => response.map(|body| truncate(body, after)),
                Fault::Garbage => garbage(response),
                Fault::Endless => endless(response),
                Fault::Trickle { bytes, ms } => {
                    response.map(|body| trickle(body, bytes, Duration::from_millis(ms)))
                }
                Fault::Swap => {
                    swap(store, &path).map_err(|e| HttpError::new(Box::new(e)))?;
                    response
                }
                Fault::Delay { .. }
                | Fault::Status { .. }
                | Fault::Busy { .. }
                | Fault::Redirect { .. }
                | Fault::Reset => response,
            };
        }
        Ok(response)
    }
}

impl Present {
    fn striking(&self, method: &str, path: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (place, (rule, (seen, strikes))) in self.plan.rules.iter().zip(&self.counts).enumerate() {
            if !rule.concerns(method, path) {
                continue;
            }
            let request = seen.fetch_add(1, Relaxed);
            if request < rule.skip || !rule.drawn(self.plan.seed, place, request) {
                continue;
            }
            let limit = rule.times.unwrap_or(u64::MAX);
            let more = |strikes: u64| (strikes < limit).then_some(strikes + 1);
            if strikes.fetch_update(Relaxed, Relaxed, more).is_ok() {
                tracing::debug!(target: "storage", method, path, fault = ?rule.fault, "injected a fault");
                faults.push(rule.fault.clone());
            }
        }
        faults
    }
}

fn closed() -> HttpError {
    HttpError::new(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)))
}

fn refusal(code: u16) -> HttpResponse {
    let mut response = HttpResponse::new(Body::from(Bytes::from_static(b"<html>fault</html>")));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn busy(code: u16, seconds: u64) -> HttpResponse {
    let mut response = refusal(code);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn redirect(to: &str) -> Result<HttpResponse, HttpError> {
    let mut response = refusal(307);
    let to = HeaderValue::from_str(to).map_err(|e| HttpError::new(Box::new(e)))?;
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

fn streamed(pieces: impl Stream<Item = Result<Bytes, StdError>> + Send + 'static) -> Body {
    Body::http_body_unsync(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
}

fn truncate(body: Body, after: u64) -> Body {
    streamed(stream::unfold((body, after), |(mut body, left)| async move {
        if left == 0 {
            // After an error hyper drops its unwritten bytes. The pause gives it time to write them.
            tokio::time::sleep(FLUSH).await;
            let broken: StdError = Box::new(io::Error::from(io::ErrorKind::ConnectionReset));
            return Some((Err(broken), (body, left)));
        }
        let piece = body.next().await?.map(|mut piece| {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            piece
        });
        let taken = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Some((piece, (body, left - taken)))
    }))
}

/// Replaces the body by bytes that are neither XML nor the object. The length header matches the new body.
fn garbage(mut response: HttpResponse) -> HttpResponse {
    let text = Bytes::from_static(b"\xff\x00<not><xml");
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response.map(|_| Body::from(text))
}

fn endless(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().remove(CONTENT_LENGTH);
    let more = stream::repeat_with(|| Ok(Bytes::from_static(&[b' '; 16 << 10])));
    response.map(|body| streamed(body.chain(more)))
}

fn trickle(body: Body, drop: usize, every: Duration) -> Body {
    streamed(stream::unfold((body, Bytes::new()), move |(mut body, mut rest)| async move {
        if rest.is_empty() {
            rest = match body.next().await? {
                Ok(piece) => piece,
                Err(error) => return Some((Err(error), (body, rest))),
            };
        }
        tokio::time::sleep(every).await;
        let drop = rest.split_to(drop.clamp(1, rest.len().max(1)).min(rest.len()));
        Some((Ok(drop), (body, rest)))
    }))
}

/// Replaces an object by its bitwise complement. Does nothing if the path is not an object's.
fn swap(store: &Store, path: &str) -> io::Result<()> {
    let Some((bucket, key)) = path.trim_start_matches('/').split_once('/') else { return Ok(()) };
    let Ok((_, mut file)) = store.get(bucket, key) else { return Ok(()) };
    let other = io::Error::other;
    let mut staged = store.stage(bucket, key).map_err(other)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        piece[..read].iter_mut().for_each(|byte| *byte = !*byte);
        staged.write(&piece[..read])?;
    }
    store.commit(bucket, key, staged, &Condition::None).map_err(other)?;
    Ok(())
}
