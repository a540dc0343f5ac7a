//! Ends a run: faults after the run, the last epoch, the audit, the search for secrets, the report.

use super::{live::Live, report};
use crate::{
    children::peak_rss,
    inject,
    options::Up,
    payouts,
    replay::audit,
    report::Report,
    run_record::{Limited, Links, RunRecord},
    saved_run::SavedRun,
    secrets,
    view::Screen,
};
use base::Height;
use std::{collections::BTreeSet, fs, io::Stdout};

/// The text of a node's warnings of its clock.
const CLOCK_WARNING: &str = "this machine's clock is ";
/// The levels of lines in a log that warn an operator. Lines of other levels only repeat how the bucket of
/// another node has refused a read.
const WARNINGS: [&str; 2] = ["WARN", "ERROR"];

/// Ends all processes, and completes the record and the report.
pub(super) async fn end(mut live: Live, options: &Up) -> anyhow::Result<(Screen<Stdout>, RunRecord, Report)> {
    live.stop().await;
    live.record.warned_of_clock = warned_of_clock(&live)?;
    for fault in &options.fault {
        if let Some(line) = inject::after_run(&live.network, &live.record, *fault).await? {
            live.screen.say(&line);
        }
    }
    last_epoch(&mut live).await?;
    live.end_rules();
    note_links(&mut live);
    note_limited(&mut live);
    live.screen.say("the auditor recomputes everything");
    let answer = live.network.folder.path().join("audit.json");
    let answer = audit(&mut live.children, live.network.auditor(&answer)?).await?;
    live.record.audit = Some(answer.outcome(&live.record));

    let Live { network, mut record, screen, children, .. } = live;
    SavedRun::new(&record, options.seed, network.announced_buckets()).write(&network.folder)?;
    let generated = network.secrets();
    let (folder, buckets, chain) = (network.folder, network.buckets, network.chain);
    buckets.stop().await;
    chain.shutdown().await;

    let mut peaks = children.peaks().clone();
    peaks.insert("devnet".into(), peak_rss(std::process::id()).unwrap_or(0));
    record.leaks = Some(Vec::new());
    // The report is searched for secrets too, so it is written before the search.
    let first = folder.path().join("report.json");
    fs::write(&first, serde_json::to_vec_pretty(&report(&record, peaks.clone()))?)?;
    let mut files = secrets::files_to_search(&folder.nodes())?;
    files.extend([first.clone(), folder.path().join("audit.json")]);
    let leaks = secrets::scan(&files, &generated)?;
    let sentence = |leak: secrets::Leak| {
        let place = leak.file.strip_prefix(folder.path()).unwrap_or(&leak.file).display().to_string();
        format!("{} is in {place}, line {}", leak.what, leak.line)
    };
    record.leaks = Some(leaks.into_iter().map(sentence).collect());
    let report = report(&record, peaks);
    fs::write(&first, serde_json::to_vec_pretty(&report)?)?;
    Ok((screen, record, report))
}

/// Records the traffic of the nodes, and lets the auditor through to the buckets.
fn note_links(live: &mut Live) {
    let Some(shaper) = &live.network.shaper else { return };
    live.record.links = Some(Links {
        link: shaper.link(),
        traffic: shaper.traffic(),
        most_applied: live.network.spec.acceptance.gather_peers as usize,
    });
    shaper.admit_others();
}

/// Records the requests to the endpoints that limit them.
fn note_limited(live: &mut Live) {
    for (node, proxy) in &live.network.limiters {
        let limited = Limited { sent: proxy.seen().len(), refused: proxy.refused() };
        live.record.limited.insert(node.clone(), limited);
    }
}

/// Returns the nodes whose logs warn of their clocks.
fn warned_of_clock(live: &Live) -> anyhow::Result<BTreeSet<String>> {
    let mut warned = BTreeSet::new();
    for (participant, _) in &live.record.participants {
        let log = live.network.folder.log(&participant.name);
        // The owner has no log.
        if log.is_file() && String::from_utf8_lossy(&fs::read(&log)?).lines().any(warns_of_clock) {
            warned.insert(participant.name.clone());
        }
    }
    Ok(warned)
}

/// Returns whether a line of a log warns of the node's clock. The line begins with the time and the level.
fn warns_of_clock(line: &str) -> bool {
    let level = line.split_whitespace().nth(1);
    level.is_some_and(|level| WARNINGS.contains(&level)) && line.contains(CLOCK_WARNING)
}

/// Fast-forwards the chain past the next epoch, and reads the weights and incentives after it.
async fn last_epoch(live: &mut Live) -> anyhow::Result<()> {
    let network = &live.network;
    let chain_reader = &network.chain_reader;
    // All weights that the nodes have set become final first: the next epoch must count them.
    let best = Height(network.chain.handle().status().await?.node.height.into());
    network.make_final(best).await?;
    let newest = chain_reader.client().finalized().await?;
    let next = chain_reader.client().at(newest.hash).next_epoch(chain_reader.netuid()).await?;
    let next = next.unwrap_or(newest.height);
    network.make_final(next.next()).await?;
    live.record.end = payouts::read(chain_reader, &live.record, next.next()).await?;
    live.record.end.epoch = next.0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_warnings_are_of_the_own_clock() {
        let text = "this machine's clock is 3600 s behind: set it right (with NTP)";
        assert!(warns_of_clock(&format!("2026-11-30T04:48:19.794924Z  WARN node: {text} seconds=-3600")));
        assert!(warns_of_clock(&format!("2026-11-30T04:48:19.794924Z ERROR score: not published: {text}")));
        assert!(!warns_of_clock(&format!("2026-11-30T04:48:19.794924Z  INFO window: no submission: {text}")));
        assert!(!warns_of_clock("2026-11-30T04:48:19.794924Z  WARN node: the chain is silent"));
    }
}
