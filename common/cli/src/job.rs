//! [`Job`]: the work of a program, and the logs and threads that it needs.

use crate::{Answer, Failure};
use base::Exit;
use std::{future::Future, pin::Pin, time::Duration};
use telemetry::{Format, Logs, Shutdown};
use tokio::runtime::{Builder, Runtime};

/// The time limit for work that must not be cut off, from the end of a service.
const LAST_WORK: Duration = Duration::from_secs(30);

/// The environment variable of the log filter of commands that answer and end.
const FILTER: &str = "RUST_LOG";

/// The work of a program, and the logs and threads that it needs.
///
/// * [`Job::answer`]: nothing is left to do but print.
/// * [`Job::command`]: answers and ends. A signal ends it at once.
/// * [`Job::service`]: runs until it is asked to end.
pub struct Job {
    work: Work,
    logs: Option<Logs>,
    threads: Threads,
}

type Running = Pin<Box<dyn Future<Output = Result<Answer, Failure>>>>;

enum Work {
    Command(Running),
    Service(Box<dyn FnOnce(Shutdown) -> Running>),
}

/// The threads of the asynchronous runtime.
enum Threads {
    /// The main thread.
    Main,
    /// This number of threads; `None`: as many as the machine has cores.
    Workers(Option<usize>),
}

impl Job {
    /// Creates a job that prints a text.
    pub fn answer(text: impl Into<String>) -> Self {
        let answer = Answer::new(text, Exit::Good);
        Self::command(async { Ok(answer) })
    }

    /// Creates a job that answers and ends. A signal ends it at once.
    pub fn command(work: impl Future<Output = Result<Answer, Failure>> + 'static) -> Self {
        Self { work: Work::Command(Box::pin(work)), logs: None, threads: Threads::Main }
    }

    /// Creates a job that runs until it is asked to end. SIGINT and SIGTERM ask for it; a second signal
    /// ends the process at once. After the work, the program waits for all guards of the shutdown, at
    /// most 30 seconds.
    pub fn service<F: Future<Output = Result<Answer, Failure>> + 'static>(
        work: impl FnOnce(Shutdown) -> F + 'static,
    ) -> Self {
        let work = Work::Service(Box::new(|shutdown| Box::pin(work(shutdown))));
        Self { work, logs: None, threads: Threads::Main }
    }

    /// Writes logs with these settings. By default a job writes none.
    #[must_use]
    pub fn with_logs(self, logs: Logs) -> Self {
        Self { logs: Some(logs), ..self }
    }

    /// Writes human-readable logs with the filter of `RUST_LOG`, or with this one.
    #[must_use]
    pub fn with_filter(self, default: &str) -> Self {
        let given = std::env::var(FILTER).ok().filter(|filter| !filter.is_empty());
        let filter = given.unwrap_or_else(|| default.to_owned());
        self.with_logs(Logs { format: Format::Human, filter: Some(filter) })
    }

    /// Runs on worker threads; `None`: as many as the machine has cores. By default a job runs on the
    /// main thread.
    #[must_use]
    pub fn on_threads(self, count: Option<usize>) -> Self {
        Self { threads: Threads::Workers(count), ..self }
    }

    /// Starts logs and runtime, and does the work.
    pub(crate) fn run(self) -> Result<Answer, Failure> {
        if let Some(logs) = self.logs {
            logs.start().map_err(Failure::usage)?;
        }
        let runtime = self.threads.runtime().map_err(StartError::Runtime).map_err(Failure::failed)?;
        match self.work {
            Work::Command(work) => runtime.block_on(work),
            Work::Service(work) => runtime.block_on(serve(work)),
        }
    }
}

impl Threads {
    fn runtime(&self) -> std::io::Result<Runtime> {
        match self {
            Self::Main => Builder::new_current_thread().enable_all().build(),
            Self::Workers(None) => Builder::new_multi_thread().enable_all().build(),
            Self::Workers(Some(count)) => {
                Builder::new_multi_thread().worker_threads(*count).enable_all().build()
            }
        }
    }
}

async fn serve(work: Box<dyn FnOnce(Shutdown) -> Running>) -> Result<Answer, Failure> {
    let shutdown = Shutdown::default();
    shutdown.on_signals().map_err(StartError::Signals).map_err(Failure::failed)?;
    let answer = work(shutdown.clone()).await;
    shutdown.request(); // The work may have ended by itself.
    let finished = shutdown.finished(LAST_WORK).await;
    // The error of the work comes first: work that was cut off is its consequence.
    let answer = answer?;
    finished.map_err(Failure::failed)?;
    Ok(answer)
}

/// An error in starting a program.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot start the asynchronous runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot catch signals")]
    Signals(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_answers_and_a_service_hears_the_end() {
        assert_eq!(Job::answer("yes").run().unwrap(), Answer::new("yes", Exit::Good));
        let job = Job::command(async { Err(Failure::new(Exit::Unreachable, "gone")) });
        assert_eq!(job.on_threads(Some(1)).run().unwrap_err().exit(), Exit::Unreachable);
        let service = Job::service(async |shutdown: Shutdown| {
            let last = shutdown.guard("last work");
            let task = shutdown.clone();
            tokio::spawn(async move {
                task.requested().await;
                drop(last);
            });
            Ok(Exit::Disagreement.into())
        });
        assert_eq!(service.run().unwrap(), Exit::Disagreement.into());
    }
}
