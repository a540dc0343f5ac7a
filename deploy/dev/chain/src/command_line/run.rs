//! The command `devchain run`.

use std::io::{self, Write};

use devchain::{Config, Devchain};
use telemetry::Shutdown;

use super::Failure;

/// Runs a chain until the program is asked to end.
///
/// One thread serves the clients, another one owns the chain. A development chain needs no more.
pub(super) async fn run(config: Config, json: bool, shutdown: Shutdown) -> Result<(), Failure> {
    log_panics();
    // A start may take long, since it reads the log. A signal may stop it: the next start continues
    // from the file as it is.
    let chain = tokio::select! {
        started = Devchain::start(config) => started?,
        () = shutdown.requested() => return Ok(()),
    };
    announce(&chain, json).map_err(Failure::Print)?;
    let handle = chain.handle();
    let outcome = tokio::select! {
        () = shutdown.requested() => Ok(()),
        () = handle.stopped() => Err(Failure::Stopped),
    };
    chain.shutdown().await;
    outcome
}

/// Prints the line that announces that the chain is ready. A closed pipe is not an error; a full disk is.
fn announce(chain: &Devchain, json: bool) -> io::Result<()> {
    let url = chain.url();
    let genesis = chain.genesis();
    let height = *chain.handle().heights().borrow();
    let line = if json {
        let fields =
            serde_json::json!({ "event": "ready", "url": url, "genesis": genesis, "height": height });
        fields.to_string()
    } else {
        format!("devchain ready at {url}, genesis {genesis:?}, height {height}")
    };
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
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
