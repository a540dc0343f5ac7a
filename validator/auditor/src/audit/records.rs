//! Checks the records of windows that validators publish. A node that joins late reads them, when the chain's
//! nodes have dropped the old states.

use super::{
    Run,
    seen::{Chain, Seen},
    sources::{Sources, is_absent},
};
use crate::report::Verdict;
use base::{ErrorChain, NeuronId};
use exchange::FetchError;
use protocol::history::WindowRecord;

/// Checks a validator's record of a window. Returns `None` if the validator publishes no record.
pub(super) async fn check(
    run: &Run,
    sources: &Sources,
    (seen, chain): (&Seen, &Chain),
    validator: &NeuronId,
) -> Option<Verdict> {
    let window = chain.decision.window;
    let state = sources.of(validator, &chain.at);
    Some(match sources.fetcher.record(state, validator, &run.hash, window).await {
        Ok(stated) => {
            // A state that is not known cannot be compared.
            let known = seen.state.as_ref().map_or(stated.state, |(_, state)| *state);
            compare(&stated, &WindowRecord::of(&chain.decision, known))
        }
        Err(error) if is_absent(&error) => return None,
        Err(error @ FetchError::Record { .. }) => Verdict::differ(
            "the record of the window is invalid",
            "an object under its key",
            ErrorChain(&error),
        ),
        Err(error) => Verdict::unread(&error),
    })
}

fn compare(stated: &WindowRecord, computed: &WindowRecord) -> Verdict {
    let list = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let accepted = |record: &WindowRecord| {
        let accepted = record.accepted.iter();
        list(accepted.map(|accepted| format!("{} {}", accepted.id.hotkey, accepted.object)).collect())
    };
    let voters = |record: &WindowRecord| list(record.voters.iter().map(ToString::to_string).collect());
    if stated.accepted != computed.accepted {
        return Verdict::differ("the accepted set in the record", accepted(stated), accepted(computed));
    }
    if stated.state != computed.state {
        return Verdict::differ("the state in the record", stated.state, computed.state);
    }
    Verdict::same("the voters in the record", voters(stated), voters(computed))
}
