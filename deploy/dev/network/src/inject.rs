//! Injects faults from outside the nodes: it changes files in the buckets' folder, and signs
//! transactions with the keys of a dishonest owner.

use crate::{
    faults::Fault,
    network::Network,
    pool,
    roster::{Participant, Role},
    run_record::RunRecord,
    wallets::signer,
};
use anyhow::{Context, ensure};
use base::{Height, Hotkey, Uid, Window, digest::State};
use chain::wallet::KeyPair;
use protocol::{
    announcement::{Announcement, Record, Vote},
    bucket_layout,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// The maximum time for an injected transaction to reach the pool.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most blocks until a commit is revealed: two epochs, and the rounds of the beacon.
const MOST_HIDDEN: u32 = 300;

/// Returns the window that the faults strike: the one in the middle of the run.
pub(crate) fn window(record: &RunRecord) -> Window {
    Window(u64::from(record.count) / 2)
}

/// Replaces the vote of a validator in the pool, as a dishonest validator could do. It must be called
/// before the last block in which a vote counts. Returns a line for the user.
pub(crate) async fn replace_vote(
    network: &Network,
    record: &RunRecord,
    fault: Fault,
    vote: Option<Vote>,
) -> anyhow::Result<String> {
    let (name, key) = validator(network, record)?;
    let vote = vote.with_context(|| format!("cannot replace the vote of {name}: it has not voted"))?;
    let replacement = match fault {
        Fault::WrongState => Some(Record::Vote(Vote { state: State([0xfa; 32]), ..vote })),
        _ => None,
    };
    let netuid = network.chain_reader.netuid();
    let head = network.chain_reader.finalized().await?;
    let state = network.chain_reader.at(head).await?;
    let bucket = state.bucket(&key.hotkey()).context("the validator has no bucket")?.clone();
    let fields = Announcement { bucket, record: replacement }.fields()?;
    let client = network.chain_reader.client().clone();
    let signed = key.clone();
    // `set_commitment` returns once the transaction is in a block. The caller seals this block after
    // this function.
    let sent = tokio::spawn(async move { client.set_commitment(netuid, fields, &signed).await });
    let deadline = Instant::now() + PATIENCE;
    while !is_pending(network, key.hotkey(), replacement).await? {
        ensure!(!sent.is_finished() && Instant::now() < deadline, "cannot replace the commitment of {name}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(match fault {
        Fault::WrongState => format!("fault: {name} votes for a state that it does not have"),
        _ => format!("fault: {name} withdraws its vote"),
    })
}

/// Checks whether the signer's newest commitment in the pool holds this record.
async fn is_pending(network: &Network, signer: Hotkey, record: Option<Record>) -> anyhow::Result<bool> {
    let pending = network.chain.handle().pending().await?;
    let mut newest_first = pending.iter().rev().filter_map(|extrinsic| pool::read(extrinsic));
    Ok(newest_first.find(|waiting| waiting.signer == signer).is_some_and(|waiting| waiting.record == record))
}

/// Injects a fault after the run: flips a bit in a file, or sets other weights. Returns a line for the
/// user.
pub(crate) async fn after_run(
    network: &Network,
    record: &RunRecord,
    fault: Fault,
) -> anyhow::Result<Option<String>> {
    match fault {
        Fault::FlipBit => flip_submission(network, record).await.map(Some),
        Fault::EditLog => edit_log(network, record).map(Some),
        Fault::WrongWeights => wrong_weights(network, record).await.map(Some),
        Fault::SkipVote
        | Fault::WrongState
        | Fault::LaggingFinality
        | Fault::SlowBucket
        | Fault::Withhold
        | Fault::MajorityGone
        | Fault::Clock
        | Fault::SilentChain
        | Fault::RequestLimit => Ok(None),
    }
}

async fn flip_submission(network: &Network, record: &RunRecord) -> anyhow::Result<String> {
    let run = network.spec.id();
    let accepted = record.windows.iter().rev().find_map(|(window, outcome)| {
        let names = outcome.accepted.as_ref()?.as_ref()?;
        Some((*window, names.first()?.clone()))
    });
    let (window, name) = accepted.context("no submission was accepted in the run")?;
    let prefix = bucket_layout::submissions_of(run, window);
    flip(&stored_file(network, &name, &prefix)?)?;
    Ok(format!("fault: a bit of {name}'s submission for window {window} is flipped in its bucket"))
}

fn edit_log(network: &Network, record: &RunRecord) -> anyhow::Result<String> {
    let window = window(record);
    let name = record
        .names(|participant| participant.role == Role::Validator)
        .next()
        .context("there is no validator")?;
    flip(&stored_file(network, name, &bucket_layout::score_log(network.spec.id(), window))?)?;
    Ok(format!("fault: a byte of {name}'s score log of window {window} is changed"))
}

/// Returns the file of an object in a bucket whose key begins with `prefix`.
fn stored_file(network: &Network, bucket: &str, prefix: &str) -> anyhow::Result<PathBuf> {
    let folder = network.folder.buckets().join(bucket).join("objects");
    let prefix = prefix.replace('/', "%2F");
    let mut files =
        fs::read_dir(&folder).with_context(|| folder.display().to_string())?.filter_map(Result::ok);
    let file = files.find(|file| file.file_name().to_string_lossy().starts_with(&prefix));
    Ok(file.with_context(|| format!("the bucket of {bucket} has no object {prefix}"))?.path())
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path) -> anyhow::Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("the file is empty")? ^= 0x10;
    Ok(fs::write(path, bytes)?)
}

async fn wrong_weights(network: &Network, record: &RunRecord) -> anyhow::Result<String> {
    let (name, key) = validator(network, record)?;
    let (netuid, client) = (network.chain_reader.netuid(), network.chain_reader.client().clone());
    let next = client.next_weights(netuid, &key.hotkey()).await?;
    let chain = network.chain.handle();
    while Height(chain.status().await?.node.height.into()).next() < next {
        chain.fast_forward(1).await?;
    }
    network.make_final(Height(chain.status().await?.node.height.into())).await?;
    let target = wrong_target(network, record, &name).await?;
    let place = (netuid, network.chain_reader.mechanism());
    let hotkey = key.hotkey();
    let set = tokio::spawn(async move {
        let prepared = client.prepare_weights(place, &[(target, u16::MAX)], 0, &key).await?;
        client.send_weights(prepared, &key).await
    });
    network.seal_until(|| set.is_finished()).await?;
    let set = set.await?.with_context(|| format!("cannot set the weights of {name}"))?;
    if set.commit.is_some() {
        reveal_all(network, &hotkey).await?;
    }
    Ok(format!("fault: {name} sets all its weight on uid {target}"))
}

/// Makes blocks until no commit of a hotkey waits for its reveal.
async fn reveal_all(network: &Network, hotkey: &Hotkey) -> anyhow::Result<()> {
    let (reader, chain) = (&network.chain_reader, network.chain.handle());
    for _ in 0..MOST_HIDDEN {
        let head = reader.client().finalized_hash().await?;
        if reader.snapshot(head).pending_commits(reader.netuid(), hotkey).await?.is_empty() {
            return Ok(());
        }
        let sealed = chain.fast_forward(1).await?;
        network.make_final(Height(sealed.height.into())).await?;
    }
    anyhow::bail!("the weights of {hotkey} are not revealed after {MOST_HIDDEN} blocks")
}

/// Returns a uid that has not all the weight of a validator: the owner, or a miner where the validator
/// burns weight on the owner.
async fn wrong_target(network: &Network, record: &RunRecord, validator: &str) -> anyhow::Result<Uid> {
    let uid_of = |test: &dyn Fn(&Participant) -> bool| {
        record.participants.iter().map(|(participant, _)| participant).find(|p| test(p)).map(|p| p.uid)
    };
    let voter = uid_of(&|p| p.name == validator).context("internal: the validator has no uid")?;
    let owner = uid_of(&|p| p.role == Role::Owner).context("internal: the network has no owner")?;
    let client = network.chain_reader.client();
    let newest = network.chain_reader.snapshot(client.finalized().await?.hash);
    let rows = newest.weights(network.chain_reader.netuid(), &[voter]).await?;
    let burns = rows.iter().flatten().any(|(uid, weight)| *uid == owner && *weight > 0);
    if burns { uid_of(&|p| p.role.mines()).context("there is no miner") } else { Ok(owner) }
}

/// Returns the name and the hotkey of the validator with the least stake. The others have a majority of
/// the stake.
pub(crate) fn validator(network: &Network, record: &RunRecord) -> anyhow::Result<(String, KeyPair)> {
    let name = record
        .names(|participant| participant.role == Role::Validator)
        .last()
        .context("there is no validator")?;
    Ok((name.to_owned(), signer(&network.folder.wallets(), name)?))
}
