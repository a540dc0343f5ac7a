//! What the report says of the build: the commit and the profile. And where libtorch is.

use std::{env, process::Command};

fn main() {
    let profile = env::var("PROFILE").unwrap_or_default();
    println!("cargo:rustc-env=MUSTER_PROFILE={profile}");
    println!("cargo:rustc-env=MUSTER_GIT={}", commit().unwrap_or_else(|| "unknown".into()));
    if let Ok(folder) = env::var("DEP_ENGINE_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    // Git writes here with each commit and checkout; where there is no git folder, nothing changes.
    let head = "../../../.git/logs/HEAD";
    if std::path::Path::new(head).exists() {
        println!("cargo:rerun-if-changed={head}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// The commit, if this is a checkout and git is there.
fn commit() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--abbrev=12", "--exclude=*"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
