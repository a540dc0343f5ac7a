//! The command line of `devnet`.

use cli::{Answer, Failure, Job};
use devnet::options::{Command, Program};
use std::process::ExitCode;
use telemetry::Shutdown;

fn main() -> ExitCode {
    cli::run_program(|program: Program, _| match program.command {
        Command::Up(up) => {
            up.check().map_err(Failure::usage)?;
            Ok(Job::service(async move |shutdown: Shutdown| answer(devnet::up::up(&up, &shutdown).await)))
        }
        Command::Replay(replay) => {
            Ok(Job::command(async move { answer(devnet::replay::replay(&replay).await) }))
        }
    })
}

fn answer(result: anyhow::Result<base::Exit>) -> Result<Answer, Failure> {
    result.map(Answer::from).map_err(Failure::failed)
}
