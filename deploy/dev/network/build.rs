//! Passes the commit and the build profile to the compiler, for the report. Passes the folder of
//! libtorch to the linker.

use std::{env, process::Command};

fn main() {
    let profile = env::var("PROFILE").unwrap_or_default();
    println!("cargo:rustc-env=MUSTER_PROFILE={profile}");
    println!("cargo:rustc-env=MUSTER_GIT={}", commit().unwrap_or_else(|| "unknown".into()));
    if let Ok(folder) = env::var("DEP_ENGINE_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    // Git writes to this file at each commit and checkout. Without a git folder the commit cannot change.
    let head = "../../../.git/logs/HEAD";
    if std::path::Path::new(head).exists() {
        println!("cargo:rerun-if-changed={head}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// Returns the commit, if this is a checkout and git is installed.
fn commit() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--abbrev=12", "--exclude=*"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
