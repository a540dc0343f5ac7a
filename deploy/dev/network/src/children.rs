//! Starts, watches, kills and restarts the child processes, and ends them at the end of this process.
//!
//! A child is first asked to end (SIGTERM), and killed if it does not. If this process is killed before
//! it can end its children, the kernel kills them, provided that `setpriv` (util-linux) is installed.
//! The kernel does so when the thread that started the child ends. So all children are started on the
//! main thread, which lives as long as the process.

use crate::folder::make;
use link::Shaper;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The time that children have to end after SIGTERM. Then they are killed.
const GRACE: Duration = Duration::from_secs(20);

/// A program with its arguments, to be started as a child.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The path of the binary.
    pub(crate) path: PathBuf,
    /// The arguments.
    pub(crate) arguments: Vec<OsString>,
    /// The file for standard output and standard error.
    pub(crate) log: PathBuf,
    /// A separate file for standard output, for a program that prints an answer.
    pub(crate) answer: Option<PathBuf>,
    /// The proxy that shapes its traffic, if one does.
    pub(crate) shaper: Option<Shaper>,
}

/// A child that cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {name} ({})", .path.display())]
pub(crate) struct SpawnError {
    name: String,
    path: PathBuf,
    source: io::Error,
}

/// A child that ended without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The name of the child.
    pub(crate) name: String,
    /// The exit status.
    pub(crate) status: ExitStatus,
}

/// The child processes, by name.
pub(crate) struct Children {
    programs: BTreeMap<String, Program>,
    running: BTreeMap<String, Child>,
    /// The peak memory of each child in bytes, over all its restarts.
    peaks: BTreeMap<String, u64>,
    /// The program `setpriv`, which makes the kernel kill a child with this process; `None` without
    /// `setpriv`.
    guard: Option<PathBuf>,
}

impl Children {
    /// Creates an empty set of children.
    pub(crate) fn new() -> Self {
        let guard = guard();
        Self { programs: BTreeMap::new(), running: BTreeMap::new(), peaks: BTreeMap::new(), guard }
    }

    /// Starts a child.
    pub(crate) fn start(&mut self, name: &str, program: Program) -> Result<(), SpawnError> {
        let child = self.spawn(name, &program)?;
        self.programs.insert(name.to_owned(), program);
        self.running.insert(name.to_owned(), child);
        Ok(())
    }

    /// Kills a child with SIGKILL, as a power cut would, and starts it again at once.
    pub(crate) fn kill_and_restart(&mut self, name: &str) -> Result<(), SpawnError> {
        let Some(mut child) = self.running.remove(name) else { return Ok(()) };
        self.note_peak(name, &child);
        end(&mut child);
        match self.programs.get(name) {
            Some(program) => {
                let child = self.spawn(name, &program.clone())?;
                self.running.insert(name.to_owned(), child);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Kills a child with SIGKILL, as a power cut would, for good.
    pub(crate) fn end(&mut self, name: &str) {
        if let Some(mut child) = self.running.remove(name) {
            self.note_peak(name, &child);
            end(&mut child);
        }
    }

    /// Returns the names of the running children, in order.
    pub(crate) fn running(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// Returns the children that have ended since the last call.
    pub(crate) fn ended(&mut self) -> Vec<Ended> {
        let ended: Vec<Ended> = self
            .running
            .iter_mut()
            .filter_map(|(name, child)| {
                let status = child.try_wait().ok().flatten()?;
                Some(Ended { name: name.clone(), status })
            })
            .collect();
        ended.iter().for_each(|ended| {
            self.running.remove(&ended.name);
        });
        ended
    }

    /// Updates the peak memory of each running child.
    pub(crate) fn sample(&mut self) {
        let peaks: Vec<_> =
            self.running.iter().map(|(name, child)| (name.clone(), peak_rss(child.id()))).collect();
        peaks.into_iter().for_each(|(name, peak)| self.note(&name, peak));
    }

    /// Returns the peak memory of each child, in bytes.
    pub(crate) fn peaks(&self) -> &BTreeMap<String, u64> {
        &self.peaks
    }

    /// Asks all children to end, and kills those that do not end in time. Returns the names of the
    /// killed ones, in order.
    pub(crate) async fn stop(&mut self) -> Vec<String> {
        self.sample();
        self.running.values().for_each(ask_to_end);
        let deadline = Instant::now() + GRACE;
        while !self.running.is_empty() && Instant::now() < deadline {
            self.ended();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let killed = self.running();
        self.kill_all();
        killed
    }

    fn kill_all(&mut self) {
        self.running.values_mut().for_each(end);
        self.running.clear();
    }

    fn spawn(&self, name: &str, program: &Program) -> Result<Child, SpawnError> {
        let failed = |source| SpawnError { name: name.to_owned(), path: program.path.clone(), source };
        let (out, err) = outputs(program).map_err(failed)?;
        let mut command = self.command(&program.path);
        command.args(&program.arguments).stdin(Stdio::null()).stdout(out).stderr(err);
        clean_environment(&mut command);
        let child = command.spawn().map_err(failed)?;
        if let Some(shaper) = &program.shaper {
            shaper.attach(name, child.id());
        }
        Ok(child)
    }

    fn command(&self, program: &Path) -> Command {
        match &self.guard {
            Some(guard) => {
                let mut command = Command::new(guard);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    fn note_peak(&mut self, name: &str, child: &Child) {
        self.note(name, peak_rss(child.id()));
    }

    fn note(&mut self, name: &str, peak: Option<u64>) {
        let most = self.peaks.entry(name.to_owned()).or_default();
        *most = peak.unwrap_or(0).max(*most);
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Returns `setpriv` if it is installed and can set a parent-death signal.
fn guard() -> Option<PathBuf> {
    let path = PathBuf::from("setpriv");
    let works = Command::new(&path)
        .args(["--pdeathsig", "KILL", "--", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    works.is_ok_and(|status| status.success()).then_some(path)
}

/// Opens the files for standard output and standard error. Appends to the log, so a restart keeps the
/// old lines.
fn outputs(program: &Program) -> io::Result<(File, File)> {
    program.log.parent().map_or(Ok(()), make)?;
    let err = OpenOptions::new().create(true).append(true).open(&program.log)?;
    let out = program.answer.as_ref().map_or_else(|| err.try_clone(), File::create)?;
    Ok((out, err))
}

/// Removes variables that would change what a child does, and limits libtorch to one thread: all nodes
/// share few cores.
fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MUSTER_")) {
        command.env_remove(name);
    }
    command
        .env_remove("RUST_LOG")
        .env("OMP_NUM_THREADS", "1")
        .env("OMP_WAIT_POLICY", "PASSIVE")
        .env("NO_COLOR", "1");
}

fn ask_to_end(child: &Child) {
    // The child may have ended already.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
}

/// Kills a child and waits for its end. Both fail harmlessly if it has ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Returns the peak resident memory of a process in bytes (`VmHWM`). `None` if there is no such process.
pub(crate) fn peak_rss(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Program {
        let arguments = vec!["-c".into(), script.into()];
        Program { path: "/bin/sh".into(), arguments, log: folder.join("log"), answer: None, shaper: None }
    }

    async fn wait_until(mut condition: impl FnMut() -> bool) {
        let patience = Instant::now() + Duration::from_secs(60);
        while !condition() {
            assert!(Instant::now() < patience, "the condition never became true");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn lines(folder: &Path) -> usize {
        fs::read_to_string(folder.join("log")).unwrap_or_default().lines().count()
    }

    #[tokio::test]
    async fn a_killed_child_is_started_again_and_all_end_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let mut children = Children::new();
        let script = "echo started; while :; do sleep 0.05; done";
        children.start("a", shell(folder.path(), script)).unwrap();
        wait_until(|| lines(folder.path()) == 1).await;
        children.kill_and_restart("a").unwrap();
        wait_until(|| lines(folder.path()) == 2).await;
        assert_eq!(children.ended(), []);
        assert_eq!(children.stop().await, Vec::<String>::new());
        assert!(children.peaks()["a"] > 100_000);
        assert_eq!(children.running(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_child_that_ends_by_itself_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut children = Children::new();
        children.start("a", shell(folder.path(), "exit 3")).unwrap();
        let mut ended = Vec::new();
        wait_until(|| {
            ended.extend(children.ended());
            !ended.is_empty()
        })
        .await;
        assert_eq!((ended[0].name.as_str(), ended[0].status.code()), ("a", Some(3)));
        assert_eq!(children.ended(), []);
    }

    #[test]
    fn our_own_memory_is_known() {
        assert!(peak_rss(std::process::id()).unwrap() > 1 << 20);
        assert_eq!(peak_rss(u32::MAX), None);
    }
}
