"""Tests Bittensor's SDK: it sends transfer, registration, commitment, weights, and names refusals."""

import asyncio
import sys

import bittensor
from bittensor._generated import calls
from bittensor.sp_core import Keypair

NETUID = 3


class Wallet:
    """A wallet with one key, with the attributes that the SDK needs."""

    def __init__(self, uri):
        self.coldkey = self.hotkey = self.coldkeypub = Keypair.create_from_uri(uri)


async def main(url):
    async with bittensor.Client(url) as client:

        async def send(call, uri, refusal=None):
            result = await client.submit_call(
                call, Wallet(uri), wait_for_inclusion=True, wait_for_finalization=True
            )
            found = None if result.success else result.error.name
            assert found == refusal, f"{call}: {found} instead of {refusal}: {result.message}"

        miner = Wallet("//interop//bittensor").hotkey.ss58_address
        commitment = calls.Commitments.set_commitment(netuid=NETUID, info={"fields": [{"Raw3": "0x616263"}]})
        weights = calls.SubtensorModule.set_weights(netuid=NETUID, dests=[0, 2], weights=[1, 65535], version_key=0)

        await send(calls.Balances.transfer_keep_alive(dest=miner, value=10**9), "//Alice")
        await send(commitment, "//interop//bittensor", "AccountNotAllowedCommit")
        await send(calls.SubtensorModule.burned_register(netuid=NETUID, hotkey=miner), "//Alice")
        await send(commitment, "//interop//bittensor")
        await send(weights, "//Alice//hotkey")
        await send(weights, "//interop//bittensor", "NeuronNoValidatorPermit")


asyncio.run(main(sys.argv[1]))
