"""Opens the keys that `miner wallet create` wrote, with Bittensor's own wallet: wallet.py FOLDER WALLET PASSWORD"""
import json, pathlib, sys

import bittensor

folder, name, password = sys.argv[1:]
wallet = bittensor.Wallet(name=name, hotkey="plain", path=folder)
encrypted = bittensor.Wallet(name=name, hotkey="encrypted", path=folder)
address = lambda file: json.loads((pathlib.Path(folder) / name / file).read_text())["ss58Address"]
found = [
    wallet.get_coldkey(password=password).ss58_address,
    wallet.hotkey.ss58_address,
    encrypted.get_hotkey(password=password).ss58_address,
]
expected = [address(file) for file in ("coldkeypub.txt", "hotkeys/plainpub.txt", "hotkeys/encryptedpub.txt")]
assert found == expected, (found, expected)
signature = wallet.hotkey.sign(b"a message")
assert wallet.hotkey.verify(b"a message", signature)
print("the keys are", *found)
