//! Sets the path on which the program and its tests find libtorch.

fn main() {
    if let Ok(folder) = std::env::var("DEP_ENGINE_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
