//! The command line of `devnet`.

use base::Exit;
use clap::Parser;
use devnet::options::{Command, Program};
use std::process::ExitCode;
use telemetry::Shutdown;

fn main() -> ExitCode {
    let program = Program::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(program.command)) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    match command {
        Command::Up(up) => {
            if let Err(error) = up.check() {
                eprintln!("devnet: {error}");
                return Ok(Exit::Usage);
            }
            devnet::up::up(&up, &shutdown).await
        }
        Command::Replay(replay) => devnet::replay::replay(&replay).await,
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("devnet: {error:#}");
    Exit::Failed.into()
}
