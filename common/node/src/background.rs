//! Work that goes on in the background of a node.

use tokio::{runtime::Handle, sync::oneshot, task::spawn_blocking};

/// Work that goes on in the background. It ends when this is dropped.
///
/// It runs on a thread for blocking work. Requests repeat themselves with async closures, and the compiler
/// cannot prove that their futures may move between threads, as tasks must.
#[derive(Debug)]
pub struct Background<T> {
    done: oneshot::Receiver<T>,
    /// The work ends when this is dropped.
    owner: oneshot::Sender<()>,
}

impl<T: Send + 'static> Background<T> {
    /// Starts work. Must be called within the runtime.
    #[must_use = "the work ends when this is dropped"]
    pub fn start<F: Future<Output = T>>(work: impl FnOnce() -> F + Send + 'static) -> Self {
        let (owner, dropped) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        let runtime = Handle::current();
        spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = dropped => {}
                    result = work() => drop(finished.send(result)), // The owner may be gone.
                }
            });
        });
        Self { done, owner }
    }

    /// Waits for the result. Returns `None` if the work panicked, the runtime ends, or the result was
    /// returned before. The future may be dropped, and this be called again.
    pub async fn finish(&mut self) -> Option<T> {
        if self.done.is_terminated() { None } else { (&mut self.done).await.ok() }
    }

    /// Ends the work, and waits until it has ended. What it started elsewhere may go on.
    pub async fn cancel(self) {
        drop(self.owner);
        let _ = self.done.await; // The result, if there is one, is of no use.
    }

    /// Returns whether the work has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !self.done.is_empty() || self.done.is_terminated()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        rc::Rc,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::SeqCst},
        },
        time::Duration,
    };

    /// Notes that the work was dropped.
    struct Dropped(Arc<AtomicBool>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_ends_with_its_result_or_with_its_owner() {
        let mut work = Background::start(|| async {
            let not_send = Rc::new(7);
            tokio::task::yield_now().await;
            *not_send
        });
        assert_eq!(work.finish().await, Some(7));

        let dropped = Arc::new(AtomicBool::new(false));
        let note = Dropped(Arc::clone(&dropped));
        let endless = Background::start(|| async move {
            let _note = note;
            std::future::pending::<()>().await;
        });
        assert!(!endless.has_ended());
        drop(endless);
        while !dropped.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        let cancelled = Arc::new(AtomicBool::new(false));
        let note = Dropped(Arc::clone(&cancelled));
        let endless = Background::start(|| async move {
            let _note = note;
            std::future::pending::<()>().await;
        });
        endless.cancel().await;
        assert!(cancelled.load(SeqCst), "the work has not ended");

        let mut panics = Background::<()>::start(|| async { panic!("as the test wants") });
        assert_eq!(panics.finish().await, None);
    }
}
