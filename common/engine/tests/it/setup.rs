//! Tests of `deploy/torch/setup`, with a `pip` that downloads from a folder of the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A replacement for `python3`: `$PIP` decides what `pip download` does, everything else runs the
/// real Python.
const PYTHON: &str = r#"#!/bin/bash
if [ "$1 $2" != '-m pip' ]; then exec "$REAL_PYTHON" "$@"; fi
if [ "$3" = '--version' ]; then exit 0; fi
while [ $# -gt 1 ]; do
    if [ "$1" = '--dest' ]; then dest=$2; fi
    shift
done
echo "$PIP" >>"$PIP_LOG"
case "$PIP" in
    fails) echo 'no index' >&2; exit 1 ;;
    dies) : >"$dest/half.whl"; kill -9 $PPID; exit 1 ;;
esac
"$REAL_PYTHON" - "$dest" "$PIP" <<'END'
import sys, zipfile
dest, which = sys.argv[1:]
torch = ["lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libc10.so", "lib/libgomp.so.1", "lib/libtorch_cuda.so", "include/a.h"]
nvidia = ["libcudart.so.13", "libcupti.so.13", "libnvperf_host.so"]
with zipfile.ZipFile(f"{dest}/torch.whl", "w") as wheel:
    for name in torch:
        wheel.writestr(f"torch/{name}", name)
    wheel.writestr("torch-2.11.0.dist-info/licenses/LICENSE", "licence")
with zipfile.ZipFile(f"{dest}/nvidia.whl", "w") as wheel:
    for name in nvidia if which == "works" else nvidia[:1]:
        wheel.writestr(f"nvidia/cu13/lib/{name}", name)
END
"#;

/// A machine without libtorch.
struct Machine {
    home: TempDir,
}

/// The result of a run of the script.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { home: tempfile::tempdir().unwrap() };
        machine.program("python3", PYTHON);
        machine
    }

    fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("muster/libtorch")
    }

    /// Returns the names in the cache, without the lock.
    fn cached(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache()) else { return vec![] };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }

    fn setup(&self, pip: &str) -> Run {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/torch/setup");
        let python =
            Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
        let path = format!("{}:{}", self.home.path().join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new(script)
            .env("PATH", path)
            .env("XDG_CACHE_HOME", self.home.path())
            .env("REAL_PYTHON", String::from_utf8(python.stdout).unwrap().trim())
            .env("PIP", pip)
            .env("PIP_LOG", self.home.path().join("log"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Returns the log of all downloads so far.
    fn downloads(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

#[test]
fn it_installs_once_and_prints_the_folder() {
    let machine = Machine::new();
    let run = machine.setup("works");
    assert_eq!(
        (run.code, &*run.out),
        (Some(0), &*format!("{}\n", machine.cache().join("2.11.0+cu130/torch").display())),
        "{}",
        run.err
    );
    let torch = PathBuf::from(run.out.trim());
    assert_eq!(fs::read_to_string(torch.join("build-version")).unwrap(), "2.11.0+cu130\n");
    for there in ["lib/libtorch_cpu.so", "include/a.h", "../nvidia/cu13/lib/libcupti.so.13"] {
        assert!(torch.join(there).exists(), "{there}");
    }
    for left_out in ["lib/libtorch_cuda.so", "../nvidia/cu13/lib/libnvperf_host.so"] {
        assert!(!torch.join(left_out).exists(), "{left_out}");
    }
    assert_eq!(machine.cached(), ["2.11.0+cu130"]);

    let again = machine.setup("fails");
    assert_eq!((again.code, again.out, again.err.as_str()), (Some(0), run.out, ""));
    assert_eq!(machine.downloads(), "works\n");
}

#[test]
fn what_goes_wrong_leaves_nothing_and_is_said() {
    let machine = Machine::new();
    let run = machine.setup("fails");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
    assert!(run.err.contains("no index\nlibtorch: pip could not download the wheels"), "{}", run.err);
    assert!(machine.cached().is_empty());

    let run = machine.setup("other wheels");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
    assert!(run.err.contains("libtorch: the wheels lack nvidia/cu13/lib/libcupti.so.13"), "{}", run.err);
    assert!(machine.cached().is_empty());
}

#[test]
fn a_killed_run_is_cleared_away_by_the_next() {
    let machine = Machine::new();
    assert_eq!(machine.setup("dies").code, None);
    let left = machine.cached();
    assert!(left.len() == 1 && left[0].starts_with("unfinished."), "{left:?}");
    assert_eq!(machine.setup("works").code, Some(0));
    assert_eq!(machine.cached(), ["2.11.0+cu130"]);
}

#[test]
fn other_machines_are_told_what_to_do() {
    let machine = Machine::new();
    machine.program("uname", "#!/bin/sh\n[ \"$1\" = -s ] && echo Darwin || echo arm64\n");
    let run = machine.setup("works");
    assert_eq!(run.code, Some(2));
    let expected = "libtorch: there is no wheel for Darwin on arm64: install libtorch 2.11.0 and set LIBTORCH to its folder\n";
    assert_eq!(run.err, expected);

    let machine = Machine::new();
    machine.program("df", "#!/bin/sh\nprintf 'a\\nb 1 1 102400 1 /\\n'\n");
    let run = machine.setup("works");
    assert_eq!(run.code, Some(2));
    assert!(
        run.err.contains("1300 MB are needed in ") && run.err.contains(", 100 MB are free: make room"),
        "{}",
        run.err
    );
}
