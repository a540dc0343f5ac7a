//! Where the tests of this crate, and the programs that use it, find libtorch when they start.

fn main() {
    // torch-sys knows it from LIBTORCH. A program's build script reads it on as DEP_ENGINE_LIBTORCH_LIB.
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:libtorch_lib={folder}");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
