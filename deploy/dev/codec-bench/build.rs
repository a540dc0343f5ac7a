//! Sets the folder in which the program finds libtorch when it starts, if it is built with it.

fn main() {
    // torch-sys gets the folder from LIBTORCH.
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
