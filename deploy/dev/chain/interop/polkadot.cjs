// Tests `@polkadot/api`: it connects, reads, follows heads, signs and sends.
const assert = require('node:assert');
const { ApiPromise, Keyring, WsProvider } = require('@polkadot/api');

const NETUID = 3;

async function main(url) {
  const api = await ApiPromise.create({ provider: new WsProvider(url), throwOnConnect: true, noInitWarn: true });
  const keys = new Keyring({ type: 'sr25519', ss58Format: 42 });
  const [alice, miner] = [keys.addFromUri('//Alice'), keys.addFromUri('//interop//polkadot')];

  // Sends a call and waits until it is final. Returns the name of the module error that refused it, if any.
  const send = (call, key) => new Promise((done, failed) => {
    call.signAndSend(key, ({ status, dispatchError, isError }) => {
      if (isError) return failed(new Error(`${call.method.method}: ${status}`));
      if (!status.isFinalized) return undefined;
      return done(dispatchError?.isModule ? api.registry.findMetaError(dispatchError.asModule).name : undefined);
    }).catch(failed);
  });
  const heads = (subscribe) => new Promise((done) => {
    const seen = [];
    subscribe((head) => seen.push(head.number.toNumber()) === 2 && done(seen));
  });

  assert.equal(api.runtimeVersion.specVersion.toNumber(), 461);
  assert.equal(api.registry.chainDecimals[0], 9);
  assert.ok((await api.query.timestamp.now()).toBigInt() > 0n);
  const owner = await api.query.subtensorModule.keys(NETUID, 0);
  assert.equal((await api.query.subtensorModule.uids(NETUID, owner)).unwrap().toNumber(), 0);
  const metagraph = (await api.call.subnetInfoRuntimeApi.getMetagraph(NETUID)).unwrap();
  assert.ok(metagraph.hotkeys.length >= 4);
  for (const follow of [api.rpc.chain.subscribeNewHeads, api.rpc.chain.subscribeFinalizedHeads]) {
    const [first, second] = await heads(follow);
    assert.equal(second, first + 1);
  }

  const commitment = api.tx.commitments.setCommitment(NETUID, { fields: [{ Raw5: '0x68656c6c6f' }] });
  assert.equal(await send(api.tx.balances.transferKeepAlive(miner.address, 10 ** 9), alice), undefined);
  assert.equal(await send(commitment, miner), 'AccountNotAllowedCommit');
  assert.equal(await send(api.tx.subtensorModule.burnedRegister(NETUID, miner.address), alice), undefined);
  assert.equal(await send(commitment, miner), undefined);
  const stored = (await api.query.commitments.commitmentOf(NETUID, miner.address)).unwrap();
  assert.equal(stored.info.fields[0].asRaw5.toUtf8(), 'hello');
  await api.disconnect();
}

main(process.argv[2]).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
