//! Faults on demand: what real providers, bad networks and hostile peers do, told as rules.
//!
//! A rule says which requests it concerns and what happens to them. Whether it strikes is drawn from the plan's seed, the
//! rule's place and the number of the request among those that the rule concerns: the same requests meet the same
//! faults, whatever their timing.

mod apply;

pub(crate) use apply::Faults;

use serde::Deserialize;

/// Rules, in the order in which they are tried. All that strike are applied, one after the other.
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
    /// What chance is drawn from.
    #[serde(default)]
    pub seed: u64,
    /// The rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// What happens to which requests.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `GET`, `PUT`, `POST`, `DELETE` or `HEAD`; all of them if it is not given.
    #[serde(default)]
    pub method: Option<String>,
    /// What the request's path begins with, as in `/bucket/key`; all paths if it is not given.
    #[serde(default)]
    pub path: String,
    /// How many of those requests pass first.
    #[serde(default)]
    pub skip: u64,
    /// How often the rule strikes at most.
    #[serde(default)]
    pub times: Option<u64>,
    /// How likely it strikes, from 0 to 1.
    #[serde(default = "always")]
    pub share: f64,
    /// What happens.
    pub fault: Fault,
}

fn always() -> f64 {
    1.0
}

/// What can happen to a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Fault {
    /// The answer comes so much later.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The request is not served; the answer has this status and no body that means anything.
    Status {
        /// An HTTP status from 400 to 599.
        code: u16,
    },
    /// The request is not served; the answer sends the client elsewhere (307).
    Redirect {
        /// Where.
        to: String,
    },
    /// The connection is closed without an answer; nothing was served.
    Reset,
    /// The request is served, and the connection is closed without an answer.
    Lose,
    /// The answer's body breaks off.
    Truncate {
        /// Bytes that still arrive.
        after: u64,
    },
    /// The answer's body is replaced by one that is not what its headers promise.
    Garbage,
    /// The answer's body is followed by bytes without end, and does not say how long it is.
    Endless,
    /// The answer's body comes drop by drop.
    Trickle {
        /// Bytes in a drop.
        bytes: usize,
        /// Milliseconds between drops.
        ms: u64,
    },
    /// The object is replaced, after this answer, by another one of the same size.
    Swap,
}

impl Rule {
    /// A rule that always strikes, for every request whose method and path begin so.
    #[must_use]
    pub fn always(method: &str, path: &str, fault: Fault) -> Self {
        let method = Some(method.to_owned());
        Self { method, path: path.to_owned(), skip: 0, times: None, share: 1.0, fault }
    }

    /// The same rule, striking only the first `times` requests.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    fn concerns(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method) && path.starts_with(&self.path)
    }

    /// Whether chance is with the request that is number `request` among those concerned.
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
