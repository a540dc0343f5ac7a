//! Compiles the C++ half of `collectives`, and passes libtorch's folder, known to torch-sys alone, to this
//! crate's tests and to dependent programs: they must find libtorch when they start.

use std::{env, fs, path::Path};

/// The version of libtorch that `cpp/collectives.cpp` and the stand-ins for Gloo's headers are made for.
const VERSION: [&str; 3] = ["2", "11", "0"];

fn main() {
    println!("cargo:rerun-if-changed=cpp");
    // torch-sys reads the folder from LIBTORCH. The build script of a program reads it as
    // DEP_ENGINE_LIBTORCH_LIB.
    let Ok(libraries) = env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:libtorch_lib={libraries}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libraries}");
    let include = Path::new(&libraries).with_file_name("include");
    check_version(&include);
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false) // libtorch's headers have many.
        .opt_level(1) // The functions only pass pointers on.
        .define("USE_C10D_GLOO", None)
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include("cpp")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("cpp/collectives.cpp")
        .compile("collectives");
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
}

/// Checks that the headers are those of the expected version.
fn check_version(include: &Path) {
    let file = include.join("torch/headeronly/version.h");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let part = |name: &str| {
        let line = format!("#define TORCH_VERSION_{name} ");
        text.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or("?").trim().to_owned()
    };
    let found = ["MAJOR", "MINOR", "PATCH"].map(part);
    assert!(
        found == VERSION,
        "libtorch {} is needed, and {} is version {}: run deploy/torch/setup",
        VERSION.join("."),
        include.display(),
        found.join(".")
    );
}
