//! [`run_program`]: the `main` of every program.

use crate::{Answer, Failure, Job};
use clap::{ArgMatches, Command, Parser};
use std::{
    env,
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

/// Runs a program: parses the command line, prepares the job, runs it, and prints its answer, or its
/// error with all causes.
///
/// `prepare` turns the command line into a job. It also gets the matches, which know whether a value is
/// from a flag or the environment. An environment variable that is set to nothing counts as unset.
#[must_use]
pub fn run_program<P: Parser>(prepare: impl FnOnce(P, &ArgMatches) -> Result<Job, Failure>) -> ExitCode {
    let command = without_empty_variables(P::command());
    let name = command.get_name().to_owned();
    let matches = command.get_matches();
    let program = P::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match prepare(program, &matches).and_then(Job::run).and_then(print) {
        Ok(exit) => exit,
        Err(failure) => {
            complain(&format_args!("{name}: {failure}"));
            failure.exit().into()
        }
    }
}

/// Prints an answer. If it cannot be written, it goes to standard error: it may tell of a payment.
fn print(answer: Answer) -> Result<ExitCode, Failure> {
    answer.print().map(ExitCode::from).map_err(|error| {
        complain(&error.text.trim_end());
        Failure::failed(error)
    })
}

/// Writes to standard error. If that cannot be written either, only the exit code reports the failure.
fn complain(text: &dyn Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Treats an empty environment variable as unset.
fn without_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let value = arg.get_env().and_then(env::var_os);
        // An empty name detaches the argument from its variable, since no variable has an empty name.
        if value.is_some_and(|value| value.is_empty()) { arg.env("").hide_env(true) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}
