//! Tests the dependencies of the auditor.

use std::process::Command;

#[test]
fn the_auditor_does_without_libtorch() {
    let arguments = ["tree", "-p", "auditor", "--edges", "normal,build", "--locked", "--prefix", "none"];
    let output = Command::new(env!("CARGO")).args(arguments).args(["--format", "{p}"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let packages: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(packages.contains(&"protocol") && packages.len() > 100, "{tree}");
    let torch = packages.iter().find(|name| ["tch", "torch-sys", "engine"].contains(name));
    assert_eq!(torch, None, "the auditor must not link libtorch");
}
