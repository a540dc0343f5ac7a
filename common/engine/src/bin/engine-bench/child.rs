//! The child processes of a measurement, and the lines of JSON to and from them.

use crate::case::Case;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// The script of the PyTorch side.
const PEER: &str = include_str!("../../../bench/peer.py");

/// The version of PyTorch that the engine is compared with: that of its own libtorch.
const VERSION: &str = "2.11.";

/// The reason why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// Neither `HOME` nor `XDG_CACHE_HOME` is set.
    #[error("cannot find PyTorch: HOME is not set; name a Python that has it with --python")]
    NoHome,
    /// A program that does not start.
    #[error("cannot start {}; PyTorch is installed by common/engine/bench/setup", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A Python without PyTorch 2.11.
    #[error("{} has no PyTorch {VERSION}x ({found}); it is installed by common/engine/bench/setup", python.display())]
    Version {
        /// The program.
        python: PathBuf,
        /// The version found, or the last line of the error.
        found: String,
    },
    /// A side that ended during the measurement.
    #[error("the {side} side ended during the measurement; its message is above")]
    Ended {
        /// The side.
        side: &'static str,
    },
    /// An answer of another form.
    #[error("cannot read the answer of the {side} side")]
    Answer {
        /// The side.
        side: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// Models of different sizes.
    #[error("the sides have different models: {engine} and {torch} parameters")]
    Parameters {
        /// The engine's.
        engine: u64,
        /// PyTorch's.
        torch: u64,
    },
    /// An error of the engine.
    #[error("the engine failed")]
    Engine(#[from] engine::EngineError),
    /// An error of the lines between the processes.
    #[error("cannot read or write a line of the measurement")]
    Line(#[from] io::Error),
}

/// The first answer of a side.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// The version of PyTorch or of the engine.
    pub(crate) version: String,
    /// The parameters of the model.
    pub(crate) parameters: u64,
}

/// The answer to a round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    /// The time that its steps took.
    pub(crate) seconds: f64,
    /// The loss of its last step, in nats per target.
    pub(crate) loss: f64,
}

/// The last answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// The highest resident memory above that of the loaded libraries, in bytes.
    pub(crate) peak: u64,
}

/// A child process that trains when it is told to.
#[derive(Debug)]
pub(crate) struct Side {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Returns the Python that `bench/setup` installs.
pub(crate) fn default_python() -> Result<PathBuf, BenchError> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache.or_else(home).ok_or(BenchError::NoHome)?;
    Ok(cache.join("muster/pytorch/2.11.0/bin/python"))
}

/// Checks that a Python has PyTorch 2.11.
pub(crate) fn check_python(python: &Path) -> Result<(), BenchError> {
    let mut command = Command::new(python);
    let output = command.args(["-W", "ignore", "-c", "import torch; print(torch.__version__)"]).output();
    let start = |source| BenchError::Start { program: python.to_owned(), source };
    let output = output.map_err(start)?;
    let text = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    let found = text.lines().last().unwrap_or("no answer").to_owned();
    if found.starts_with(VERSION) {
        return Ok(());
    }
    Err(BenchError::Version { python: python.to_owned(), found })
}

impl Side {
    /// Starts the engine's side.
    pub(crate) fn engine(case: &Case) -> Result<(Self, Ready), BenchError> {
        let program = env::current_exe()?;
        let mut command = Command::new(&program);
        command.arg("--engine-side");
        Self::start("engine", program, command, case)
    }

    /// Starts the PyTorch side.
    pub(crate) fn torch(python: &Path, case: &Case) -> Result<(Self, Ready), BenchError> {
        let mut command = Command::new(python);
        command.args(["-W", "ignore", "-c", PEER]);
        Self::start("PyTorch", python.to_owned(), command, case)
    }

    fn start(
        name: &'static str,
        program: PathBuf,
        mut command: Command,
        case: &Case,
    ) -> Result<(Self, Ready), BenchError> {
        let threads = case.threads.to_string();
        command.env("OMP_NUM_THREADS", &threads).env("MKL_NUM_THREADS", &threads);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| BenchError::Start { program, source })?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or(BenchError::Ended { side: name })?);
        let mut side = Self { name, child, input, output };
        side.send(&serde_json::json!(case).to_string())?;
        let ready = side.answer()?;
        Ok((side, ready))
    }

    /// Trains this number of steps.
    pub(crate) fn round(&mut self, steps: u32) -> Result<Round, BenchError> {
        self.send(&steps.to_string())?;
        self.answer()
    }

    /// Ends the side. Returns its highest memory.
    pub(crate) fn finish(mut self) -> Result<u64, BenchError> {
        self.input = None; // The end of the input.
        let memory: Memory = self.answer()?;
        self.child.wait()?;
        Ok(memory.peak)
    }

    fn send(&mut self, line: &str) -> Result<(), BenchError> {
        let input = self.input.as_mut().ok_or(BenchError::Ended { side: self.name })?;
        writeln!(input, "{line}").map_err(|_| BenchError::Ended { side: self.name })
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(BenchError::Ended { side: self.name });
        }
        serde_json::from_str(&line).map_err(|source| BenchError::Answer { side: self.name, source })
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // After an error: the child would wait for its next line. It has ended already after `finish`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
