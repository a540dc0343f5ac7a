//! Checks the arrows between the crates, the crates that may name heavy dependencies, and the
//! sources of dependencies.
//!
//! Pure crates decide, adapters do I/O, programs join them. A crate that is not in these tables fails
//! the test: add each new crate to them. The figure in ARCHITECTURE.md is generated from the arrows.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Each crate of the workspace, and the crates of the workspace that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("codec", &["base"]),
    ("scoring", &["base", "codec"]),
    ("protocol", &["base", "codec", "scoring"]),
    ("chain-metadata", &["base", "cli"]),
    ("chain", &["base", "chain-metadata", "telemetry"]),
    ("storage", &["base", "protocol", "telemetry"]),
    ("engine", &["base", "codec", "protocol"]),
    ("data", &["base", "protocol"]),
    ("telemetry", &[]),
    ("cli", &["base", "telemetry"]),
    ("chain-commands", &["base", "chain", "cli", "protocol"]),
    ("exchange", &["base", "chain", "codec", "protocol", "scoring", "storage"]),
    (
        "node",
        &[
            "base",
            "chain",
            "chain-commands",
            "cli",
            "codec",
            "data",
            "engine",
            "exchange",
            "protocol",
            "storage",
            "telemetry",
        ],
    ),
    (
        "miner",
        &[
            "auditor",
            "base",
            "chain-commands",
            "cli",
            "codec",
            "data",
            "engine",
            "exchange",
            "node",
            "protocol",
            "telemetry",
        ],
    ),
    (
        "validator",
        &[
            "base",
            "chain",
            "chain-commands",
            "cli",
            "codec",
            "engine",
            "exchange",
            "node",
            "protocol",
            "scoring",
            "storage",
            "telemetry",
        ],
    ),
    (
        "auditor",
        &["base", "chain", "chain-commands", "cli", "codec", "exchange", "protocol", "scoring", "storage"],
    ),
    ("devchain-runtime", &[]),
    ("devchain", &["base", "cli", "devchain-runtime", "telemetry"]),
    ("bucket-server", &["base", "cli", "telemetry"]),
    ("codec-bench", &["base", "cli", "codec", "protocol"]),
    ("link", &[]),
    ("sim", &["base", "cli", "codec", "link", "protocol", "scoring"]),
    ("testkit", &["base", "bucket-server", "chain", "data", "devchain", "protocol"]),
    ("training-bench", &["base", "cli", "codec", "data", "engine", "protocol"]),
    (
        "attacks",
        &["base", "cli", "codec", "devchain-runtime", "engine", "protocol", "scoring", "training-bench"],
    ),
    (
        "devnet",
        &[
            "base",
            "bucket-server",
            "chain",
            "cli",
            "codec",
            "data",
            "devchain",
            "devchain-runtime",
            "engine",
            "exchange",
            "link",
            "miner",
            "node",
            "protocol",
            "telemetry",
        ],
    ),
];

/// The crates of the workspace that tests may use in addition. A test of an adapter may start the
/// service behind it.
const TEST_ARROWS: &[(&str, &[&str])] = &[
    ("chain-commands", &["devchain"]),
    ("chain", &["devchain", "devchain-runtime"]),
    ("devchain-runtime", &["chain-metadata"]),
    ("storage", &["bucket-server"]),
    ("engine", &["bucket-server", "data", "storage"]),
    ("node", &["bucket-server", "devchain"]),
    ("exchange", &["bucket-server", "devchain"]),
    ("miner", &["bucket-server", "chain", "devchain", "scoring", "storage", "testkit"]),
    ("validator", &["bucket-server", "data", "devchain", "testkit"]),
    ("auditor", &["bucket-server", "devchain", "devchain-runtime"]),
];

/// Heavy dependencies by prefix of their names, and the crates that may name them.
const NAMED_IN: &[(&str, &[&str])] = &[
    ("subxt", &["chain-metadata", "chain"]),
    ("frame-", &["chain-metadata", "devchain-runtime"]),
    ("pallet-", &["devchain-runtime"]),
    ("sp-state-machine", &["devchain-runtime", "devchain"]),
    ("aws-", &["storage"]),
    ("s3s", &["bucket-server"]),
    // The benchmark compares with libtorch's top-k if a feature is on.
    ("tch", &["engine", "codec-bench"]),
    ("torch-sys", &["engine", "codec-bench"]),
];

/// The crates that decide and do no I/O.
const PURE: &[&str] = &["base", "codec", "scoring", "protocol"];

/// Dependencies that the pure crates must not have, because they do no I/O.
const NOT_IN_PURE: &[&str] =
    &["tokio", "jsonrpsee", "hyper", "reqwest", "clap", "tracing-subscriber", "subxt"];

/// Licences that a dependency may have. If it offers alternatives, one of them is enough.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Reads `cargo metadata` of the workspace and all its dependencies on this platform.
fn metadata() -> Value {
    let cargo = env!("CARGO");
    let version = Command::new(cargo).args(["version", "--verbose"]).output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Lists the crates of the workspace: from the name to the dependencies in its manifest, as (name,
/// is for tests).
fn members(metadata: &Value) -> BTreeMap<String, Vec<(String, bool)>> {
    let ids: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .filter(|package| ids.contains(text(package, "id")))
        .map(|package| {
            let listed = package["dependencies"].as_array().unwrap().iter();
            let listed = listed.map(|d| (text(d, "name").to_owned(), text(d, "kind") == "dev"));
            (text(package, "name").to_owned(), listed.collect())
        })
        .collect()
}

fn allowed(table: &[(&str, &[&str])], name: &str) -> BTreeSet<String> {
    let row = table.iter().find(|(key, _)| *key == name);
    row.map_or_else(BTreeSet::new, |(_, names)| names.iter().map(|&n| n.to_owned()).collect())
}

#[test]
fn arrows_go_one_way() {
    let members = members(&metadata());
    let known: BTreeSet<_> = ARROWS.iter().map(|&(name, _)| name.to_owned()).collect();
    let found: BTreeSet<_> = members.keys().cloned().collect();
    assert_eq!(found, known, "every crate of the workspace must have its row in ARROWS");
    for (name, dependencies) in &members {
        let (always, in_tests) = (allowed(ARROWS, name), allowed(TEST_ARROWS, name));
        for (dependency, test) in dependencies.iter().filter(|(d, _)| known.contains(d)) {
            let fine = always.contains(dependency) || (*test && in_tests.contains(dependency));
            assert!(fine, "{name} uses {dependency}{}", if *test { " in its tests" } else { "" });
        }
    }
}

#[test]
fn heavy_dependencies_are_named_where_they_belong() {
    for (name, dependencies) in members(&metadata()) {
        for (dependency, test) in dependencies.iter().filter(|(_, test)| !test) {
            for (prefix, places) in NAMED_IN.iter().filter(|(prefix, _)| dependency.starts_with(prefix)) {
                assert!(
                    places.contains(&name.as_str()),
                    "{name} names {dependency} ({prefix}; test: {test})"
                );
            }
        }
        let forbidden = |d: &&(String, bool)| NOT_IN_PURE.contains(&d.0.as_str()) && !d.1;
        assert!(
            !PURE.contains(&name.as_str()) || !dependencies.iter().any(|d| forbidden(&d)),
            "{name} must do no I/O"
        );
    }
}

#[test]
fn dependencies_come_from_the_registry_under_known_licences() {
    let arguments = ["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}|{l}"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let used: BTreeSet<_> = tree.lines().filter_map(|line| line.split_once('|')).collect();
    assert!(used.len() > 100, "only {} packages were seen", used.len());
    for (package, licence) in used {
        // A package of the registry has no source in this output.
        let place =
            package.split_once(" (").map(|(_, place)| place.trim_end_matches(" (*)").trim_end_matches(')'));
        let ours = place.is_some_and(|place| Path::new(place).starts_with(root()));
        assert!(
            ours || matches!(place, None | Some("proc-macro" | "*")),
            "{package} is not from the registry"
        );
        assert!(is_allowed(licence.trim_end_matches(" (*)")), "{package} has the licence '{licence}'");
    }
}

/// Checks whether an SPDX expression can be satisfied with allowed licences alone.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let term = |term: &str| LICENCES.contains(&term.split(" WITH ").next().unwrap_or(term).trim());
    // `AND` binds tighter than `OR`. Without the parentheses, this is stricter than the expression
    // and never laxer, for the forms `(A OR B) AND C` that occur.
    if expression.contains(" AND ") && expression.contains(" OR ") {
        let mut parts = expression.split(" AND ");
        return parts.all(|part| part.split(" OR ").any(term));
    }
    expression.split(" OR ").any(|choice| choice.split(" AND ").all(term))
}

#[test]
fn licence_expressions_are_understood() {
    for fine in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-2.0) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(fine), "{fine}");
    }
    for wrong in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND AGPL-3.0"] {
        assert!(!is_allowed(wrong), "{wrong}");
    }
}

#[test]
fn pages_name_only_files_that_exist() {
    let mut links = 0;
    for page in pages(&root()) {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") {
                assert!(page.parent().unwrap().join(path).exists(), "{} links to {target}", page.display());
                links += 1;
            }
        }
    }
    assert!(links > 0, "no page has a link");
}

#[test]
fn the_map_shows_every_crate() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows: Vec<&str> = map.lines().filter(|line| line.starts_with("| [")).collect();
    for (name, _) in ARROWS {
        let named = |row: &&&str| row.contains(&format!("(`{name}`)")) || row.contains(&format!("[{name}]"));
        assert_eq!(rows.iter().filter(named).count(), 1, "rows of {name} in ARCHITECTURE.md");
    }
}

/// The line before the figure of the arrows in ARCHITECTURE.md.
const FIGURE_BEGINS: &str = "<!-- The arrows, as common/base/tests/architecture.rs draws them. -->\n";
/// The line after the figure.
const FIGURE_ENDS: &str = "<!-- End of the arrows. -->\n";

#[test]
fn the_figure_shows_the_arrows() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, rest) = map.split_once(FIGURE_BEGINS).expect("ARCHITECTURE.md has the line before the figure");
    let (found, _) = rest.split_once(FIGURE_ENDS).expect("ARCHITECTURE.md has the line after the figure");
    let expected = figure();
    if found != expected {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arrows.md");
        std::fs::write(&path, &expected).unwrap();
        panic!("the figure in ARCHITECTURE.md must be the text of {}", path.display());
    }
}

/// Draws [`ARROWS`]: a line for each crate, with its layer before the first crate of a layer. Arrows
/// that follow from other arrows are left out.
fn figure() -> String {
    let layers = layers();
    let mut names: Vec<&str> = ARROWS.iter().map(|&(name, _)| name).collect();
    // The sort is stable: within a layer, crates stay in the order of the table.
    names.sort_by_key(|name| layers[name]);
    let mut figure = String::from("```text\n");
    let mut last = None;
    for name in names {
        let layer = layers[name];
        let label = if last == Some(layer) { String::new() } else { layer.to_string() };
        let line = format!("{label:<3}{name:<18}{}", arrows(name));
        figure.push_str(line.trim_end());
        figure.push('\n');
        last = Some(layer);
    }
    figure + "```\n"
}

/// Formats the arrows of a crate, without those that follow from other arrows.
fn arrows(name: &str) -> String {
    let direct = uses(name);
    let implied: BTreeSet<&str> = direct.iter().flat_map(|used| reached(used)).collect();
    let shown: Vec<&str> = direct.iter().copied().filter(|used| !implied.contains(used)).collect();
    if shown.is_empty() { String::new() } else { format!("-> {}", shown.join(", ")) }
}

/// Returns the layer of each crate: 0 without arrows, otherwise one above the highest crate that it uses.
fn layers() -> BTreeMap<&'static str, usize> {
    let mut layers = BTreeMap::new();
    while layers.len() < ARROWS.len() {
        let known = layers.len();
        for &(name, used) in ARROWS {
            let below: Option<Vec<usize>> = used.iter().map(|used| layers.get(used).copied()).collect();
            if let Some(below) = below {
                layers.insert(name, below.into_iter().max().map_or(0, |highest| highest + 1));
            }
        }
        assert!(layers.len() > known, "the arrows form a circle, or lead to a crate without a row");
    }
    layers
}

/// Returns the crates that a crate uses, directly or through other crates.
fn reached(name: &str) -> BTreeSet<&'static str> {
    uses(name).iter().flat_map(|&used| reached(used).into_iter().chain([used])).collect()
}

/// Returns the crates that a crate uses directly.
fn uses(name: &str) -> &'static [&'static str] {
    ARROWS.iter().find(|(key, _)| *key == name).map_or(&[], |&(_, used)| used)
}

/// Finds all Markdown files of the checkout.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries.filter(|path| !hidden(path) && !path.ends_with("target")) {
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}
