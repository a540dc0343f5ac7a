//! Rules that inject faults, like those of real providers, bad networks and hostile peers.
//!
//! A rule selects requests and says what happens to them. Whether it strikes a request is drawn from
//! the seed of the plan, the index of the rule, and the number of the request among the selected ones.
//! So the same requests meet the same faults, whatever their timing.

mod apply;

pub(crate) use apply::Faults;

use serde::Deserialize;

/// A list of rules. They are tried in order, and all rules that strike are applied in order.
///
/// ```
/// use bucket_server::Plan;
///
/// let plan: Plan = toml::from_str(r#"
///     seed = 7
///     [[rule]]
///     method = "GET"
///     path = "/miner-0/"
///     share = 0.1
///     fault = { kind = "truncate", after = 1000 }
/// "#)?;
/// assert_eq!(plan.rules.len(), 1);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The seed of all random draws.
    #[serde(default)]
    pub seed: u64,
    /// The rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// A rule: selected requests, and the fault that strikes them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The method: `GET`, `PUT`, `POST`, `DELETE` or `HEAD`; by default, all methods.
    #[serde(default)]
    pub method: Option<String>,
    /// The prefix of the request's path, as in `/bucket/key`; by default, all paths.
    #[serde(default)]
    pub path: String,
    /// The number of selected requests that pass first.
    #[serde(default)]
    pub skip: u64,
    /// The maximum number of strikes; by default, no maximum.
    #[serde(default)]
    pub times: Option<u64>,
    /// The probability of a strike, from 0 to 1.
    #[serde(default = "always")]
    pub share: f64,
    /// The fault.
    pub fault: Fault,
}

fn always() -> f64 {
    1.0
}

/// A fault that strikes a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Fault {
    /// A delay of the answer.
    Delay {
        /// The delay, in milliseconds.
        ms: u64,
    },
    /// A status and a meaningless body, without serving the request.
    Status {
        /// An HTTP status from 400 to 599.
        code: u16,
    },
    /// A refusal of a service that limits requests, without serving the request.
    Busy {
        /// The HTTP status: 429 or 503.
        code: u16,
        /// The pause that the service asks for (`Retry-After`), in seconds.
        seconds: u64,
    },
    /// A redirect (307), without serving the request.
    Redirect {
        /// The target of the redirect.
        to: String,
    },
    /// A closed connection without an answer. The request is not served.
    Reset,
    /// A closed connection without an answer, after the request is served.
    Lose,
    /// A cut in the body of the answer.
    Truncate {
        /// The number of bytes before the cut.
        after: u64,
    },
    /// A meaningless body in place of the answer's.
    Garbage,
    /// An endless body: endless bytes follow the body of the answer, and its length is removed.
    Endless,
    /// A slow body: the answer arrives in small pieces.
    Trickle {
        /// The number of bytes in a piece.
        bytes: usize,
        /// The time between pieces, in milliseconds.
        ms: u64,
    },
    /// A replacement of the object, after this answer, by another one of the same size.
    Swap,
}

impl Rule {
    /// Creates a rule that strikes every request with this method and this prefix of the path.
    #[must_use]
    pub fn always(method: &str, path: &str, fault: Fault) -> Self {
        let method = Some(method.to_owned());
        Self { method, path: path.to_owned(), skip: 0, times: None, share: 1.0, fault }
    }

    /// Limits the rule to `times` strikes.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    fn concerns(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method) && path.starts_with(&self.path)
    }

    /// Draws whether the rule strikes the selected request with number `request`.
    fn drawn(&self, seed: u64, place: usize, request: u64) -> bool {
        let mut hasher = blake3::Hasher::new_derive_key("muster bucket-server fault");
        for number in [seed, place as u64, request] {
            hasher.update(&number.to_le_bytes());
        }
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) < self.share * 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_concern_methods_and_beginnings_of_paths() {
        let rule = Rule::always("GET", "/alice/run/", Fault::Reset);
        assert!(rule.concerns("GET", "/alice/run/1"));
        assert!(!rule.concerns("PUT", "/alice/run/1") && !rule.concerns("GET", "/alice/other"));
    }

    #[test]
    fn chance_is_the_same_each_time_and_near_its_share() {
        let rule = Rule { share: 0.25, ..Rule::always("GET", "", Fault::Reset) };
        let strikes = |seed| (0..4000).filter(|request| rule.drawn(seed, 0, *request)).collect::<Vec<_>>();
        assert_eq!(strikes(1), strikes(1));
        assert_ne!(strikes(1), strikes(2));
        // 4000 draws at 1/4: 1000 expected, standard deviation 27.
        assert!((850..1150).contains(&strikes(1).len()), "{}", strikes(1).len());
        let sure = Rule::always("GET", "", Fault::Reset);
        assert!((0..100).all(|request| sure.drawn(3, 1, request)));
    }

    #[test]
    fn plans_are_read_strictly() {
        let plan = r#"rule = [{ fault = { kind = "swap" } }, { method = "GET", fault = { kind = "trickle", bytes = 1, ms = 5 } }]"#;
        let plan: Plan = toml::from_str(plan).unwrap();
        assert_eq!(plan.rules[1].fault, Fault::Trickle { bytes: 1, ms: 5 });
        for wrong in ["rules = []", "rule = [{ fault = { kind = \"explode\" } }]", "rule = [{}]"] {
            assert!(toml::from_str::<Plan>(wrong).is_err(), "{wrong}");
        }
    }
}
