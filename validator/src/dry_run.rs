//! [`WeightsPlan`]: the weights as they would be sent now, for `weights show --dry-run`.

use crate::{ValidatorError, weights::OnChain};
use base::{ErrorChain, Height};
use chain::{Costs, TransactionError, WeightsError, error::ReadError, wallet::KeyPair};
use chain_commands::{cost_json, cost_rows};
use exchange::ChainReader;
use node::NodeError;
use scoring::score_log::ScoreLog;
use serde_json::{Value, json};

/// Weights as they would be sent now. Nothing is sent.
#[derive(Debug)]
pub(crate) struct WeightsPlan {
    outcome: Result<Sendable, String>,
}

/// Weights that the chain would take, by all that is known.
#[derive(Debug)]
struct Sendable {
    /// The pallet and the name of the call.
    call: (&'static str, &'static str),
    /// The number of weights.
    weights: usize,
    /// The block from which on all can see them. `None` for weights that are open at once.
    reveal: Option<Height>,
    costs: Costs,
}

impl WeightsPlan {
    /// Prepares the weights of the newest score log as the validator does, with the run's version key. Asks
    /// for their costs. The hotkey signs and pays.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub(crate) async fn read(
        (reader, version_key): (&ChainReader, u64),
        hotkey: &KeyPair,
        on_chain: &OnChain,
        log: Option<&ScoreLog>,
    ) -> Result<Self, ValidatorError> {
        let refuse = |reason: String| Ok(Self { outcome: Err(reason) });
        let Some(log) = log else { return refuse("there is no score log yet".to_owned()) };
        let opens = on_chain.opens();
        if opens > on_chain.height() {
            return refuse(format!(
                "this epoch has weights already; the next ones may come in block {opens}"
            ));
        }
        let row: Vec<_> = on_chain.weights_of(log).into_iter().collect();
        let (client, place) = (reader.client(), (reader.netuid(), reader.mechanism()));
        let prepared = match client.prepare_weights(place, &row, version_key, hotkey).await {
            Ok(prepared) => prepared,
            Err(WeightsError::Transaction(TransactionError::Unsent(error))) => return Err(unread(error)),
            Err(error) => return refuse(ErrorChain(&error).to_string()),
        };
        let call = prepared.call();
        match client.costs(call, &hotkey.public()).await {
            Ok(costs) => {
                let reveal = prepared.commit().map(|commit| commit.reveal);
                let sendable = Sendable { call: call.name(), weights: row.len(), reveal, costs };
                Ok(Self { outcome: Ok(sendable) })
            }
            Err(TransactionError::Unsent(error)) => Err(unread(error)),
            Err(error) => refuse(ErrorChain(&error).to_string()),
        }
    }

    /// Returns the plan as rows of a name and a text.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("dry run", "nothing was sent".to_owned())];
        match &self.outcome {
            Err(reason) => rows.push(("would send", format!("nothing: {reason}"))),
            Ok(Sendable { call: (pallet, name), weights, reveal, costs }) => {
                let open = reveal
                    .map_or_else(|| "open at once".to_owned(), |block| format!("revealed at block {block}"));
                rows.push(("would send", format!("{pallet}.{name}: {weights} weights, {open}")));
                rows.extend(cost_rows(costs));
            }
        }
        rows
    }

    /// Returns the plan as JSON. Fields are `null` where nothing would be sent.
    pub(crate) fn as_json(&self) -> Value {
        let sendable = self.outcome.as_ref().ok();
        json!({
            "call": sendable.map(|sendable| format!("{}.{}", sendable.call.0, sendable.call.1)),
            "weights": sendable.map(|sendable| sendable.weights),
            "reveals_at_block": sendable.and_then(|sendable| sendable.reveal),
            "obstacle": self.outcome.as_ref().err(),
            "costs": sendable.map(|sendable| cost_json(&sendable.costs)),
        })
    }
}

fn unread(error: ReadError) -> ValidatorError {
    NodeError::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rao;

    fn plan(reveal: Option<Height>) -> WeightsPlan {
        let costs = Costs {
            price: Rao(0),
            collateral: None,
            fee: Some(Rao(0)),
            existential_deposit: Some(Rao(500)),
            balance: Rao(2_000),
        };
        let call = ("SubtensorModule", "commit_timelocked_weights");
        WeightsPlan { outcome: Ok(Sendable { call, weights: 7, reveal, costs }) }
    }

    #[test]
    fn a_plan_tells_the_call_its_reveal_and_its_costs() {
        let rows = plan(Some(Height(90))).rows();
        let sent = "SubtensorModule.commit_timelocked_weights: 7 weights, revealed at block 90";
        assert_eq!(rows[1], ("would send", sent.to_owned()));
        assert_eq!(rows.last().unwrap(), &("balance after", "0.000002 TAO".to_owned()));
        assert!(plan(None).rows()[1].1.ends_with("open at once"));
        let json = plan(Some(Height(90))).as_json();
        assert_eq!((&json["reveals_at_block"], &json["costs"]["fee_rao"]), (&90.into(), &0.into()));
        assert!(json["obstacle"].is_null(), "{json}");
    }

    #[test]
    fn a_plan_that_sends_nothing_tells_why() {
        let plan = WeightsPlan { outcome: Err("there is no score log yet".to_owned()) };
        assert_eq!(plan.rows()[1].1, "nothing: there is no score log yet");
        let json = plan.as_json();
        assert!(json["call"].is_null() && json["costs"].is_null(), "{json}");
        assert_eq!(json["obstacle"], "there is no score log yet");
    }
}
