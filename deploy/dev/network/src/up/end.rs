//! The end of a run: faults that come after it, the last epoch, the audit, the search for secrets, the report.

use super::{live::Live, report};
use crate::{
    children::peak_rss, facts::Facts, meddle, options::Up, picture, record::Record, replay::audit,
    report::Report, secrets, view::Screen,
};
use base::Height;
use std::{fs, io::Stdout};

/// Ends everything, and collects what is to be known.
pub(super) async fn end(mut live: Live, options: &Up) -> anyhow::Result<(Screen<Stdout>, Facts, Report)> {
    live.stop().await;
    for fault in &options.fault {
        if let Some(line) = meddle::after_run(&live.network, &live.facts, *fault).await? {
            live.screen.say(&line);
        }
    }
    last_epoch(&mut live).await?;
    live.screen.say("the auditor recomputes everything");
    let answer = live.network.folder.path().join("audit.json");
    let answer = audit(&mut live.children, live.network.auditor(&answer)?).await?;
    live.facts.audit = Some(answer.facts(&live.facts));

    let Live { network, mut facts, screen, children, .. } = live;
    Record::new(&facts, options.seed, network.buckets.address()).write(&network.folder)?;
    let made = network.secrets();
    let (folder, buckets, chain) = (network.folder, network.buckets, network.chain);
    buckets.stop().await;
    chain.shutdown().await;

    let mut peaks = children.peaks().clone();
    peaks.insert("devnet".into(), peak_rss(std::process::id()).unwrap_or(0));
    facts.leaks = Some(Vec::new());
    // The report is searched as well, so it is written first.
    let first = folder.path().join("report.json");
    fs::write(&first, serde_json::to_vec_pretty(&report(&facts, peaks.clone()))?)?;
    let mut files = secrets::told(&folder.nodes())?;
    files.extend([first.clone(), folder.path().join("audit.json")]);
    let leaks = secrets::scan(&files, &made)?;
    let sentence = |leak: secrets::Leak| {
        let place = leak.file.strip_prefix(folder.path()).unwrap_or(&leak.file).display().to_string();
        format!("{} stands in {place}, line {}", leak.what, leak.line)
    };
    facts.leaks = Some(leaks.into_iter().map(sentence).collect());
    let report = report(&facts, peaks);
    fs::write(&first, serde_json::to_vec_pretty(&report)?)?;
    Ok((screen, facts, report))
}

/// Winds the chain forward over the next epoch, and reads what it pays.
async fn last_epoch(live: &mut Live) -> anyhow::Result<()> {
    let (chain, ledger) = (live.network.chain.handle(), &live.network.ledger);
    let head = ledger.client().finalized().await?;
    let next = ledger.client().at(head.hash).next_epoch(ledger.netuid()).await?.unwrap_or(head.height);
    let blocks = u32::try_from(next.0.saturating_sub(head.height.0)).unwrap_or(u32::MAX);
    if blocks > 0 {
        chain.fast_forward(blocks).await?;
    }
    let after = Height(chain.fast_forward(1).await?.height.into());
    live.facts.end = picture::pay(ledger, &live.facts, after).await?;
    live.facts.end.epoch = next.0;
    Ok(())
}
