//! Refuses JSON-RPC methods, like a node that is busy or limits rates. This fault acts above the
//! connection.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use jsonrpsee::{
    core::middleware::{Batch, BatchEntry, BatchEntryErr, Notification, RpcServiceT},
    server::MethodResponse,
    types::{ErrorObjectOwned, Request},
};
use serde::{Deserialize, Serialize};
use tower::Layer;

use super::FaultError;

/// The maximum number of methods that can be refused at a time.
pub(super) const MAX_REFUSED: usize = 64;

/// A method that is answered with an error and not executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RefusedMethod {
    /// The name of the method, such as `state_call`.
    pub method: String,
    /// The code of the error, such as -32005.
    pub code: i32,
    /// The message of the error.
    pub message: String,
    /// The number of calls that are still refused; all calls if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// The methods that are refused now. Clones share them.
#[derive(Clone, Default)]
pub(super) struct RefusedMethods(Arc<Mutex<Vec<RefusedMethod>>>);

impl RefusedMethods {
    pub(super) fn check(methods: &[RefusedMethod]) -> Result<(), FaultError> {
        if methods.len() > MAX_REFUSED { Err(FaultError::Refused(methods.len())) } else { Ok(()) }
    }

    pub(super) fn set(&self, methods: Vec<RefusedMethod>) {
        *self.lock() = methods;
    }

    pub(super) fn get(&self) -> Vec<RefusedMethod> {
        self.lock().clone()
    }

    /// Returns the error for a call of `method` if it is refused, and counts the call.
    fn refuse(&self, method: &str) -> Option<ErrorObjectOwned> {
        let mut methods = self.lock();
        let at = methods.iter().position(|refused| refused.method == method && refused.times != Some(0))?;
        let refused = &mut methods[at];
        let error = ErrorObjectOwned::owned(refused.code, &*refused.message, None::<()>);
        if let Some(times) = &mut refused.times {
            *times -= 1;
        }
        methods.retain(|refused| refused.times != Some(0));
        Some(error)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RefusedMethod>> {
        // No code under the lock leaves the list half changed, so a poisoned lock is safe to use.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies the refusals to the methods of a connection.
#[derive(Clone)]
pub(crate) struct RefusalLayer {
    pub(super) methods: RefusedMethods,
    /// The flag of a control connection, on which nothing is refused.
    pub(super) control: Arc<AtomicBool>,
}

impl<S> Layer<S> for RefusalLayer {
    type Service = Refusing<S>;

    fn layer(&self, service: S) -> Refusing<S> {
        Refusing { service, layer: self.clone() }
    }
}

/// The methods of a connection behind the refusals.
#[derive(Clone)]
pub(crate) struct Refusing<S> {
    service: S,
    layer: RefusalLayer,
}

impl<S> Refusing<S> {
    fn refuse(&self, method: &str) -> Option<ErrorObjectOwned> {
        if self.layer.control.load(Ordering::SeqCst) { None } else { self.layer.methods.refuse(method) }
    }
}

impl<S> RpcServiceT for Refusing<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let answer = match self.refuse(request.method_name()) {
            Some(error) => Err(MethodResponse::error(request.id, error)),
            None => Ok(self.service.call(request)),
        };
        async move {
            match answer {
                Ok(called) => called.await,
                Err(refused) => refused,
            }
        }
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = S::BatchResponse> + Send + 'a {
        let entries = requests.into_iter().map(|entry| match entry {
            Ok(BatchEntry::Call(request)) => match self.refuse(request.method_name()) {
                Some(error) => Err(BatchEntryErr::new(request.id, error)),
                None => Ok(BatchEntry::Call(request)),
            },
            other => other,
        });
        self.service.batch(Batch::from(entries.collect()))
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = S::NotificationResponse> + Send + 'a {
        self.service.notification(notification)
    }
}
