"""Tests Bittensor's SDK where weights must be committed and revealed.

The module `bittensor_core` must be the copy that `beacon.py` made.
"""

import asyncio
import hashlib
import struct
import sys

import bittensor
from bittensor._generated import calls, storage
from bittensor.intents import CommitWeights, RevealWeights, SetWeights, normalize
from bittensor.sp_core import Keypair

NETUID = 3


class Wallet:
    """A wallet with one key, with the attributes that the SDK needs."""

    def __init__(self, uri):
        self.coldkey = self.hotkey = self.coldkeypub = Keypair.create_from_uri(uri)


def commit_hash(wallet, uids, values, salt, version_key):
    """The hash that the chain compares: BLAKE2b-256 of the SCALE encoding of all that is committed."""

    def vector(numbers):
        assert len(numbers) < 64
        return bytes([len(numbers) << 2]) + struct.pack(f"<{len(numbers)}H", *numbers)

    parts = [bytes(wallet.hotkey.public_key), struct.pack("<H", NETUID), vector(uids), vector(values), vector(salt)]
    encoded = b"".join(parts) + struct.pack("<Q", version_key)
    return "0x" + hashlib.blake2b(encoded, digest_size=32).hexdigest()


async def weights_of(client, uid):
    rows = await client.query_map(storage.SubtensorModule.Weights, [NETUID])
    return {int(key): dict(row) for key, row in rows}.get(uid)


async def wait_for_weights(client, uid, expected):
    """Waits until the chain has revealed the weights: two epochs at most."""
    for _ in range(120):
        if await weights_of(client, uid) == expected:
            return
        await client.wait_for_block()
    raise AssertionError(f"uid {uid} has {await weights_of(client, uid)} instead of {expected}")


async def timelocked(client):
    alice, bob = Wallet("//Alice//hotkey"), Wallet("//Bob//hotkey")
    set_it = SetWeights(netuid=NETUID, uids=[2, 3], weights=[1.0, 3.0])
    commit = CommitWeights(netuid=NETUID, uids=[0, 3], weights=[1.0, 1.0])
    for intent, wallet in [(set_it, alice), (commit, bob)]:
        result = await client.execute(intent, wallet)
        assert result.success and result.data["reveal_round"] > 0, result
    await wait_for_weights(client, 1, {2: 21845, 3: 65535})
    await wait_for_weights(client, 2, {0: 65535, 3: 65535})


async def hashed(client):
    charlie = Wallet("//Charlie//hotkey")
    uids, weights, salt = [0, 1], [1.0, 3.0], [7, 8, 9]
    _, values = normalize(uids, weights)
    digest = commit_hash(charlie, uids, values, salt, 0)
    commit = calls.SubtensorModule.commit_weights(netuid=NETUID, commit_hash=digest)
    reveal = RevealWeights(netuid=NETUID, uids=uids, weights=weights, salt=salt)
    result = await client.submit_call(commit, charlie, signer="hotkey")
    assert result.success, result
    early = await client.execute(reveal, charlie)
    assert not early.success, "revealed too early"
    await client.wait_for_epoch(NETUID)
    result = await client.execute(reveal, charlie)
    assert result.success, result
    assert await weights_of(client, 3) == {0: 21845, 1: 65535}


async def main(url):
    async with bittensor.Client(url) as client:
        plain = calls.SubtensorModule.set_weights(netuid=NETUID, dests=[0], weights=[1], version_key=0)
        refused = await client.submit_call(plain, Wallet("//Alice//hotkey"), signer="hotkey")
        assert refused.error.name == "CommitRevealEnabled", refused
        # Late in an epoch, the pulse of the reveal round is known already, and the chain refuses the commit.
        await client.wait_for_epoch(NETUID)
        await timelocked(client)
        await hashed(client)


asyncio.run(main(sys.argv[1]))
