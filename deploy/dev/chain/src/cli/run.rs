//! `devchain run`.

use devchain::{Config, Devchain};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, say};

/// Runs a chain until a signal ends it.
///
/// One thread serves clients, the chain has another: all that a development chain needs.
pub(super) fn run(config: Config, json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    log_panics();
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // A start may take long: a log is read. Whatever has been read or cut off, the next start goes on from there.
        let chain = tokio::select! {
            started = Devchain::start(config) => started?,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        announce(&chain, json)?;
        let handle = chain.handle();
        let outcome = tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            () = handle.stopped() => Err(Failure::Stopped),
        };
        chain.shutdown().await;
        outcome
    })
}

/// Prints the one line that says that the chain can be used.
fn announce(chain: &Devchain, json: bool) -> Result<(), Failure> {
    let (url, genesis, height) = (chain.url(), chain.genesis(), *chain.handle().heights().borrow());
    let line = if json {
        let fields =
            serde_json::json!({ "event": "ready", "url": url, "genesis": genesis, "height": height });
        fields.to_string()
    } else {
        format!("devchain ready at {url}, genesis {genesis:?}, height {height}")
    };
    say(&format!("{line}\n"))
}

/// Bad input can make the runtime panic, which is caught and answered: it is worth a line of the log, not a backtrace.
fn log_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("devchain") {
            tracing::warn!(target: "devchain::runtime", %panic, "panic");
        } else {
            default(panic);
        }
    }));
}
