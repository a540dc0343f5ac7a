//! Sends a signed transaction to a node's pool.

use tokio::time::Instant;
use tracing::warn;

use super::{Signed, Statuses};
use crate::{
    Client,
    connection::{REFUSALS, Session},
    error::{ReadError, RequestError},
    refusal::Refusal,
};

/// An error of sending a transaction.
pub(super) enum SendError {
    /// The pool refuses the transaction.
    Refused(Refusal),
    /// The request failed. The node may have accepted the transaction, unless it refused the request.
    Request(RequestError),
}

impl Signed {
    /// Sends the transaction once, on this session.
    pub(super) async fn send(&self, client: &Client, session: &Session) -> Result<Statuses, SendError> {
        const METHOD: &str = "author_submitAndWatchExtrinsic";
        let methods = session.methods.clone();
        let sending = methods.author_submit_and_watch_extrinsic(&self.bytes);
        client.connection().request(session, METHOD, sending).await.map_err(|error| match error {
            RequestError::Refused { code, ref message, ref data, .. } => {
                Refusal::from_pool(code, message, data.as_deref())
                    .map_or(SendError::Request(error), SendError::Refused)
            }
            error => SendError::Request(error),
        })
    }

    /// Sends the transaction. While nodes only limit requests, none has taken it: sends it again at
    /// their pace, up to the options' `patience`. With several endpoints, it tries the next one after some
    /// refusals.
    pub(super) async fn send_patiently(
        &self,
        client: &Client,
    ) -> Result<Result<Statuses, SendError>, ReadError> {
        let (connection, options) = (client.connection(), client.options());
        let end = Instant::now() + options.patience;
        let (mut left, mut refusals) = (0, 0);
        loop {
            let session = connection.session_after(left).await?;
            let error = match self.send(client, &session).await {
                Err(SendError::Request(error)) if error.is_busy() => error,
                sent => return Ok(sent),
            };
            if Instant::now() >= end {
                return Err(error.into());
            }
            warn!(target: "chain", endpoint = %session.endpoint, error = %base::ErrorChain(&error), "the node takes no transaction now: sending again");
            refusals += 1;
            if refusals % REFUSALS == 0 && options.endpoints.len() > 1 {
                connection.give_up(&session, &error);
                left = session.serial;
            }
        }
    }
}
