//! A stand-in for subxt's light client, without code.

compile_error!("Muster has no light client: to use subxt's, remove its patch from Cargo.toml");
