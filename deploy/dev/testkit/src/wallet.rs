//! A wallet with public development keys.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// The seed of the coldkey: the public development key `//Alice`, which the default genesis funds.
pub const COLDKEY: &str = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
/// The seed of the hotkey: the public development key `//Bob`.
pub const HOTKEY: &str = "0x398f0c28f98885e046333d4a41c19cee4c37368a9832c6502f6cfd182e2aef89";
/// The address of the hotkey.
pub const HOTKEY_ADDRESS: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
const COLDKEY_ADDRESS: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// Writes the wallet `default` with the hotkey `trainer`, in the format of Bittensor's tools.
pub fn wallet(folder: &Path) {
    let wallet = folder.join("default");
    fs::create_dir_all(wallet.join("hotkeys")).unwrap();
    write_key(&wallet.join("coldkey"), COLDKEY, COLDKEY_ADDRESS);
    write_key(&wallet.join("hotkeys/trainer"), HOTKEY, HOTKEY_ADDRESS);
}

fn write_key(path: &Path, seed: &str, address: &str) {
    fs::write(path, format!(r#"{{"secretSeed":"{seed}","ss58Address":"{address}"}}"#)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}
