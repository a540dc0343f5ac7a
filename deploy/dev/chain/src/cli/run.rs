//! The command `devchain run`.

use devchain::{Config, Devchain};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, say};

/// Runs a chain until a signal stops it.
///
/// One thread serves the clients, another one owns the chain. A development chain needs no more.
pub(super) fn run(config: Config, json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    log_panics();
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // A start may take long, since it reads the log. A signal may stop it: the next start continues
        // from the file as it is.
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

/// Prints the line that announces that the chain is ready.
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

/// Logs a panic of the runtime in one line, without a backtrace. Bad input can make the runtime panic;
/// the panic is caught and the client gets an error.
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
