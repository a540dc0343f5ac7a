//! Sets the run path to libtorch's folder: this crate's tests link libtorch and must find it when they start.

fn main() {
    if let Ok(folder) = std::env::var("DEP_ENGINE_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
