//! Passes libtorch's folder, known to torch-sys alone, to this crate's tests and to dependent
//! programs: they must find libtorch when they start.

fn main() {
    // torch-sys reads the folder from LIBTORCH. The build script of a program reads it as
    // DEP_ENGINE_LIBTORCH_LIB.
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:libtorch_lib={folder}");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
