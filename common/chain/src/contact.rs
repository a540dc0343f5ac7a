//! Signs of life: the clock of the watchdogs that notice a silent chain.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The time of the last sign of life. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Contact(Arc<watch::Sender<Instant>>);

impl Contact {
    /// Creates a contact whose last sign of life is now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now())))
    }

    /// Notes a sign of life.
    pub(crate) fn note(&self) {
        self.0.send_replace(Instant::now());
    }

    fn last(&self) -> Instant {
        *self.0.borrow()
    }
}

/// Waits until none of these contacts had a sign of life for this time.
pub(crate) async fn all_silent(contacts: &[&Contact], limit: Duration) {
    while let Some(last) = contacts.iter().map(|contact| contact.last()).max() {
        // An end that the clock cannot represent is never reached.
        let Some(end) = last.checked_add(limit) else { return std::future::pending().await };
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_sign_of_life_is_enough() {
        let (first, second) = (Contact::new(), Contact::new());
        let begun = Instant::now();
        let limit = Duration::from_secs(100);
        let contacts = [&first, &second];
        tokio::join!(all_silent(&contacts, limit), async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            second.note();
        });
        assert_eq!(begun.elapsed().as_secs(), 160);
    }
}
