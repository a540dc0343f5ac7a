//! Recomputes a recorded run: the chain starts from its log, the buckets from their folder, and an auditor
//! recomputes all windows.

use crate::{
    audit::Answer,
    children::Children,
    folder::Folder,
    network::{auditor, members, quiet_chain, serve},
    options::Replay,
    saved_run::SavedRun,
};
use anyhow::Context;
use base::Exit;
use devchain::Devchain;
use protocol::run_spec::RunSpec;
use std::{fs, path::Path, time::Duration};

/// Recomputes the run, prints the result, and compares it with the recorded outcome. Returns the exit code.
///
/// # Errors
/// The folder holds no run, or the chain, the bucket server or the auditor cannot be started.
pub async fn replay(options: &Replay) -> anyhow::Result<Exit> {
    let path = fs::canonicalize(&options.run).with_context(|| options.run.display().to_string())?;
    let folder = Folder::new(&path);
    let saved = SavedRun::read(&folder)?;
    let members = members(saved.participants()?, saved.seed);
    let spec = RunSpec::parse(&fs::read_to_string(folder.spec())?)?;
    let chain = Devchain::start(devchain::Config { log: Some(folder.chain_log()), ..quiet_chain() });
    let chain = chain.await.context("cannot start the recorded chain")?;
    let buckets = serve(&folder, &members, saved.buckets).await.with_context(|| {
        format!("cannot serve the buckets at {}, where the run announced them", saved.buckets)
    })?;

    let mut children = Children::new();
    let answer =
        audit(&mut children, auditor(&folder, &chain, &spec, &folder.path().join("replay.json"))?).await?;
    let record = saved.record(&members);
    let found = answer.outcome(&record);
    for window in &answer.windows {
        let accepted =
            window.accepted.as_ref().map_or_else(|| "unknown".into(), |objects| objects.len().to_string());
        let state = window.state.map_or_else(|| "unknown".into(), |state| state.to_string());
        println!("window {}: {accepted} accepted, state {state}", window.window);
    }
    found.differences.iter().for_each(|difference| println!("differs: {difference}"));
    buckets.stop().await;
    chain.shutdown().await;
    let all = found.windows == u64::from(record.count);
    if !all {
        println!("only {} of {} windows could be recomputed", found.windows, record.count);
        return Ok(Exit::Failed);
    }
    if !found.differences.is_empty() {
        return Ok(Exit::Disagreement);
    }
    println!("all {} windows come to the same sets and states", found.windows);
    Ok(Exit::Good)
}

/// Runs an auditor to its end and reads its answer.
pub(crate) async fn audit(
    children: &mut Children,
    program: crate::children::Program,
) -> anyhow::Result<Answer> {
    let (answer, log) = (
        program.answer.clone().context("internal: the auditor has no file for its answer")?,
        program.log.clone(),
    );
    children.start("auditor", program)?;
    let ended = loop {
        children.sample();
        if let Some(ended) = children.ended().into_iter().find(|ended| ended.name == "auditor") {
            break ended;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let text = fs::read_to_string(&answer)?;
    Answer::read(&text).with_context(|| {
        format!(
            "cannot read the answer of the auditor, which ended with {}: {}",
            ended.status,
            last_line(&log)
        )
    })
}

/// Returns the last line of a log that is not empty.
pub(crate) fn last_line(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("its log is empty").trim().to_owned()
}
