//! The costs of a call, as `--dry-run` shows them.

use chain::Costs;
use serde_json::{Value, json};

/// Returns the costs as rows of a name and a text.
#[must_use]
pub fn cost_rows(costs: &Costs) -> Vec<(&'static str, String)> {
    let known = |amount: Option<base::Rao>| amount.map_or("unknown".to_owned(), |amount| amount.to_string());
    let collateral = match costs.collateral {
        Some(base::Rao(0)) => "nothing".to_owned(),
        Some(locked) => format!("{locked} of the price"),
        None => "nothing: the runtime has no collateral".to_owned(),
    };
    let after = match costs.balance_after() {
        Some(after) if costs.are_too_high() => {
            format!("{after}: below the existential deposit, so the account would be removed")
        }
        Some(after) => after.to_string(),
        None if costs.are_too_high() => "too low to pay".to_owned(),
        None => "unknown".to_owned(),
    };
    vec![
        ("price", costs.price.to_string()),
        ("collateral", collateral),
        ("fee", known(costs.fee)),
        ("existential deposit", known(costs.existential_deposit)),
        ("balance", costs.balance.to_string()),
        ("balance after", after),
    ]
}

/// Returns the costs as JSON, in rao. What is unknown is `null`.
#[must_use]
pub fn cost_json(costs: &Costs) -> Value {
    json!({
        "price_rao": costs.price.0,
        "collateral_rao": costs.collateral.map(|amount| amount.0),
        "fee_rao": costs.fee.map(|amount| amount.0),
        "existential_deposit_rao": costs.existential_deposit.map(|amount| amount.0),
        "balance_rao": costs.balance.0,
        "balance_after_rao": costs.balance_after().map(|amount| amount.0),
        "affordable": !costs.are_too_high(),
    })
}

/// Writes rows as lines, with the names in one column.
pub(crate) fn lines(rows: &[(&str, String)]) -> String {
    const LEAST: usize = 17;
    let width = rows.iter().map(|(name, _)| name.len()).fold(LEAST, usize::max);
    let lines: Vec<_> = rows.iter().map(|(name, value)| format!("{name:<width$} {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rao;

    fn costs() -> Costs {
        Costs {
            price: Rao(1_000_000_000),
            collateral: Some(Rao(500_000_000)),
            fee: Some(Rao(1_000)),
            existential_deposit: Some(Rao(500)),
            balance: Rao(3_000_000_000),
        }
    }

    fn shown(costs: Costs) -> String {
        lines(&cost_rows(&costs))
    }

    #[test]
    fn all_parts_are_shown() {
        let expected = "price               1 TAO\n\
                        collateral          0.5 TAO of the price\n\
                        fee                 0.000001 TAO\n\
                        existential deposit 0.0000005 TAO\n\
                        balance             3 TAO\n\
                        balance after       1.999999 TAO";
        assert_eq!(shown(costs()), expected);
        assert_eq!(cost_json(&costs())["balance_after_rao"], 1_999_999_000u64);
    }

    #[test]
    fn what_is_unknown_or_too_much_is_told() {
        let unknown = Costs { fee: None, collateral: None, existential_deposit: None, ..costs() };
        let text = shown(unknown);
        assert!(text.contains("fee                 unknown") && text.contains("no collateral"), "{text}");
        assert!(text.ends_with("balance after       unknown"), "{text}");
        let value = cost_json(&unknown);
        assert!(value["fee_rao"].is_null() && value["collateral_rao"].is_null(), "{value}");
        assert!(shown(Costs { balance: Rao(7), ..costs() }).ends_with("too low to pay"));
        let last = shown(Costs { balance: Rao(1_000_001_001), ..costs() });
        assert!(last.contains("would be removed"), "{last}");
    }
}
