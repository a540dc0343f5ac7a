//! Passes the build profile and optimization level to `devchain bench`, whose report states them.

fn main() {
    for variable in ["PROFILE", "OPT_LEVEL"] {
        let value = std::env::var(variable).unwrap_or_else(|_| "unknown".into());
        println!("cargo:rustc-env=DEVCHAIN_BUILD_{variable}={value}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
