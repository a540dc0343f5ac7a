//! Sets the run path to libtorch's folder: the program and its tests must find libtorch when they start.

fn main() {
    if let Ok(folder) = std::env::var("DEP_ENGINE_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
