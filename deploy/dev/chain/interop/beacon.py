"""Copies `bittensor_core` with the public key of the development chain's beacon in place of quicknet's.

The SDK encrypts weights to the key of drand's quicknet, whose secret the chain cannot know. The key is a text
in the compiled module; the copy differs in this text only.
"""

import asyncio
import pathlib
import shutil
import sys

import bittensor
import bittensor_core

QUICKNET = (
    "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
    "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
)


async def beacon_key(url):
    async with bittensor.Client(url) as client:
        config = await client.query(("Drand", "BeaconConfig"))
        return str(config["public_key"]).removeprefix("0x")


def main(url, folder):
    key = asyncio.run(beacon_key(url))
    assert len(key) == len(QUICKNET), key
    copy = pathlib.Path(folder) / "bittensor_core"
    shutil.copytree(pathlib.Path(bittensor_core.__file__).parent, copy)
    replaced = 0
    for module in copy.glob("*.so"):
        code = module.read_bytes()
        replaced += code.count(QUICKNET.encode())
        module.write_bytes(code.replace(QUICKNET.encode(), key.encode()))
    assert replaced > 0, "this version of bittensor_core does not hold quicknet's key as text"


main(*sys.argv[1:])
