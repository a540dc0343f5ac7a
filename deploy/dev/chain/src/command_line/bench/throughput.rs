//! Measures how fast transactions pass through the pool and into a block.

use std::time::Instant;

use anyhow::ensure;
use devchain::{
    Devchain, Genesis,
    sign::{self, Terms},
};
use jsonrpsee::{core::client::ClientT, rpc_params};
use sp_core::Bytes;

use super::{
    network::{self, NETUID, NEURONS, VALIDATORS},
    report::{Figure, ms},
};

/// Measures three kinds of transactions. Each kind is submitted over a socket and sealed in one block.
pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = registrations().await?;
    figures.extend(commitments_and_weights().await?);
    Ok(figures)
}

async fn registrations() -> anyhow::Result<Vec<Figure>> {
    let mut genesis = Genesis { neurons: Vec::new(), ..Genesis::default() };
    // Keep the price constant. With the default burn settings each registration raises it.
    (genesis.subnet.burn, genesis.subnet.max_burn) = (genesis.subnet.min_burn, genesis.subnet.min_burn);
    let chain = start(genesis).await?;
    let alice = network::pair("//Alice")?;
    let mut extrinsics = Vec::new();
    for uid in 0..NEURONS {
        let call = sign::burned_register(NETUID, &network::account(&network::hotkey(uid))?);
        extrinsics.push(sign::sign(&call, &alice, &Terms::immortal(chain.genesis(), uid.into())));
    }
    let names = ["256 burned_register: submit", "256 burned_register: seal"];
    let figures = submit_and_seal(&chain, extrinsics, names).await?;
    chain.shutdown().await;
    Ok(figures)
}

async fn commitments_and_weights() -> anyhow::Result<Vec<Figure>> {
    let chain = start(network::genesis()?).await?;
    let mut commitments = Vec::new();
    for uid in 0..NEURONS {
        let call = sign::set_commitment(NETUID, &[7; 128]);
        let pair = network::pair(&network::hotkey(uid))?;
        // A validator's first transaction sets its weights.
        let nonce = u32::from(uid < VALIDATORS);
        commitments.push(sign::sign(&call, &pair, &Terms::immortal(chain.genesis(), nonce)));
    }
    let weights = (0..VALIDATORS).map(|uid| network::weights(chain.genesis(), uid));
    let weights = weights.collect::<anyhow::Result<Vec<_>>>()?;
    let names = ["64 set_weights x 256 uids: submit", "64 set_weights x 256 uids: seal"];
    let mut figures = submit_and_seal(&chain, weights, names).await?;
    let names = ["256 set_commitment of 128 bytes: submit", "256 set_commitment of 128 bytes: seal"];
    figures.extend(submit_and_seal(&chain, commitments, names).await?);
    chain.shutdown().await;
    Ok(figures)
}

/// Starts a chain and seals its first block.
async fn start(genesis: Genesis) -> anyhow::Result<Devchain> {
    let chain = super::start(genesis, None).await?;
    chain.handle().new_block(1).await?;
    Ok(chain)
}

async fn submit_and_seal(
    chain: &Devchain,
    extrinsics: Vec<Vec<u8>>,
    [submit, seal]: [&'static str; 2],
) -> anyhow::Result<Vec<Figure>> {
    let count = extrinsics.len();
    let client = super::child::client(&chain.url()).await?;
    let start = Instant::now();
    for extrinsic in extrinsics {
        let _: devchain::Hash =
            client.request("author_submitExtrinsic", rpc_params![Bytes(extrinsic)]).await?;
    }
    let submitted = ms(start.elapsed());
    let start = Instant::now();
    let status = chain.handle().new_block(1).await?;
    let sealed = ms(start.elapsed());
    let block = chain.handle().block(status.height).await?;
    let included = block.map_or(0, |block| block.body.len() - 1);
    ensure!(included == count, "{included} of {count} transactions were included");
    Ok(vec![Figure::new(submit, submitted, "ms"), Figure::new(seal, sealed, "ms")])
}
