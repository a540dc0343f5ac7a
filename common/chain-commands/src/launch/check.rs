//! Checks whether a subnet has the settings that a run needs.

use base::Hotkey;
use chain::{EpochSchedule, Hyperparameters, Metagraph};
use protocol::run_spec::{RunFile, commitment_bytes};
use serde_json::json;
use std::fmt::{self, Write as _};

/// Windows until a new miner has nine tenths of the pay of an honest one that has always been there. Source:
/// the table of the attack suite, `newcomer`.
const WINDOWS_UNTIL_PAID: u64 = 27;

/// The state of a subnet that a run depends on.
#[derive(Clone, Debug)]
pub(super) struct Subnet {
    pub(super) metagraph: Metagraph,
    pub(super) rules: Hyperparameters,
    pub(super) schedule: EpochSchedule,
    /// Epochs from a commit of weights to its reveal.
    pub(super) reveal_period: u64,
    /// Bytes that a hotkey may write as commitments in an epoch.
    pub(super) commitment_space: u64,
    /// Blocks above the newest finalized one.
    pub(super) lag: u64,
}

/// The fit of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The run can be run.
    Ok,
    /// The run can be run, and something is worse than it could be.
    Warn,
    /// The run cannot be run.
    Fail,
}

impl Fit {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// A setting of the subnet, with its fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    fit: Fit,
    setting: &'static str,
    text: String,
}

/// The answer of `launch --check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    run: String,
    netuid: u16,
    findings: Vec<Finding>,
}

impl Findings {
    /// Compares a run with a subnet.
    pub(super) fn of(run: &RunFile, founders: &[Hotkey], subnet: &Subnet) -> Self {
        let blocks = u64::from(run.window.blocks);
        let mut findings = vec![
            epochs(&subnet.schedule),
            space(run, subnet),
            finality(run, subnet.lag),
            version_key(run, &subnet.rules),
            rate_limit(&subnet.rules, &subnet.schedule),
            weights(subnet),
            activity(&subnet.rules, &subnet.schedule),
            registration(&subnet.rules),
            immunity(&subnet.rules, blocks),
            permits(&subnet.metagraph),
        ];
        findings.extend(founders.iter().map(|founder| self::founder(founder, &subnet.metagraph)));
        Self { run: run.name.clone(), netuid: subnet.metagraph.netuid.0, findings }
    }

    /// Returns the findings as JSON.
    pub(super) fn as_json(&self) -> String {
        let finding = |Finding { fit, setting, text }: &Finding| json!({ "fit": fit.name(), "setting": setting, "text": text });
        let findings: Vec<_> = self.findings.iter().map(finding).collect();
        json!({ "run": self.run, "netuid": self.netuid, "findings": findings }).to_string()
    }

    /// Returns the number of settings with which the run cannot be run.
    pub(super) fn failed(&self) -> usize {
        self.findings.iter().filter(|finding| finding.fit == Fit::Fail).count()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("run {} on subnet {}\n", self.run, self.netuid);
        for Finding { fit, setting, text: line } in &self.findings {
            writeln!(text, "{:5} {setting:14} {line}", fit.name())?;
        }
        f.write_str(text.trim_end())
    }
}

fn finding(setting: &'static str, fit: Fit, text: impl Into<String>) -> Finding {
    Finding { fit, setting, text: text.into() }
}

/// Returns a finding that depends on a condition.
fn judged(setting: &'static str, fits: bool, otherwise: Fit, fine: String, remedy: &str) -> Finding {
    if fits {
        finding(setting, Fit::Ok, fine)
    } else {
        finding(setting, otherwise, format!("{fine}: {remedy}"))
    }
}

fn epochs(schedule: &EpochSchedule) -> Finding {
    match schedule.next() {
        Some(next) => {
            let text = format!("every {} blocks, the next one in block {next}", schedule.tempo);
            finding("epochs", Fit::Ok, text)
        }
        None => finding("epochs", Fit::Fail, "tempo is 0, so nothing is ever paid: set a tempo"),
    }
}

fn space(run: &RunFile, subnet: &Subnet) -> Finding {
    let granted = subnet.commitment_space;
    let needed = commitment_bytes(&run.window, subnet.rules.tempo);
    let text = format!("{needed} of {granted} bytes of commitments in an epoch");
    judged("commitments", needed <= granted, Fit::Fail, text, "make the windows longer, or the tempo shorter")
}

fn finality(run: &RunFile, lag: u64) -> Finding {
    let made_for = u64::from(run.window.finality_lag);
    let text = format!("{lag} blocks behind now, the run is made for {made_for}");
    judged("finality", lag <= made_for, Fit::Warn, text, "give window.finality_lag more blocks")
}

fn version_key(run: &RunFile, rules: &Hyperparameters) -> Finding {
    let (ours, required) = (run.network.version_key, rules.weights_version);
    let text = format!("the run's is {ours}, the subnet requires {required}");
    let note = "launch writes the required one into the run file";
    judged("version key", ours >= required, Fit::Warn, text, note)
}

fn rate_limit(rules: &Hyperparameters, schedule: &EpochSchedule) -> Finding {
    let text = format!("weights every {} blocks at most", rules.weights_rate_limit);
    let remedy = "weights miss some epochs, so set weights_rate_limit below the tempo";
    judged("weights rate", rules.weights_rate_limit <= schedule.tempo, Fit::Warn, text, remedy)
}

fn weights(subnet: &Subnet) -> Finding {
    let text = match (subnet.rules.commit_reveal, subnet.reveal_period) {
        (false, _) => "set openly, so that a validator can copy those of another".to_owned(),
        (true, period) => {
            let blocks = period.saturating_mul(subnet.schedule.tempo);
            format!("committed, revealed {period} epoch(s) later: about {blocks} blocks")
        }
    };
    finding("weights", if subnet.rules.commit_reveal { Fit::Ok } else { Fit::Warn }, text)
}

fn activity(rules: &Hyperparameters, schedule: &EpochSchedule) -> Finding {
    let cutoff = rules.activity_cutoff;
    let text = format!("validators count for {cutoff} blocks after their last weights");
    let remedy = "that is less than two epochs, so set a larger activity cutoff";
    judged("activity", cutoff >= schedule.tempo.saturating_mul(2), Fit::Fail, text, remedy)
}

fn registration(rules: &Hyperparameters) -> Finding {
    let text = format!("a hotkey costs {} now, {} to {}", rules.price, rules.min_price, rules.max_price);
    judged("registration", rules.registration_open, Fit::Warn, text, "it is closed, so no miner can join")
}

fn immunity(rules: &Hyperparameters, blocks: u64) -> Finding {
    let paid = WINDOWS_UNTIL_PAID.saturating_mul(blocks);
    let text =
        format!("{} blocks; a new miner has nine tenths of its pay after {paid}", rules.immunity_period);
    let remedy = "new miners can be replaced before that, so set a longer immunity_period";
    judged("immunity", u64::from(rules.immunity_period) >= paid, Fit::Warn, text, remedy)
}

fn permits(metagraph: &Metagraph) -> Finding {
    let count = metagraph.neurons.iter().filter(|neuron| neuron.permit && neuron.stake_weight > 0).count();
    let text = format!("{count} hotkeys have stake and a permit");
    judged("permits", count > 0, Fit::Fail, text, "no vote counts, so stake to a validator first")
}

fn founder(hotkey: &Hotkey, metagraph: &Metagraph) -> Finding {
    match metagraph.by_hotkey(hotkey) {
        None => finding("founder", Fit::Fail, format!("{hotkey} is not registered: register it first")),
        Some(neuron) => {
            let text = format!("{hotkey} has uid {}", neuron.uid);
            judged(
                "founder",
                neuron.permit,
                Fit::Warn,
                text,
                "it has no permit, and counts while it holds one",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{BlockHash, Coldkey, Height, Netuid, Rao, Uid};
    use chain::Neuron;

    const TINY: &str = include_str!("../../../../deploy/runs/tiny.toml");

    fn subnet() -> Subnet {
        let neuron = Neuron {
            uid: Uid(0),
            hotkey: Hotkey([1; 32]),
            coldkey: Coldkey([1; 32]),
            registered: Height(1),
            stake_weight: 9,
            alpha: Rao(9),
            permit: true,
            active: true,
            incentive: 0,
            consensus: 0,
            dividends: 0,
            validator_trust: 0,
            emission: Rao(0),
            last_update: Height(1),
        };
        Subnet {
            metagraph: Metagraph {
                netuid: Netuid(3),
                block: BlockHash([2; 32]),
                owner: Coldkey([1; 32]),
                owner_hotkey: Hotkey([1; 32]),
                neurons: vec![
                    neuron,
                    Neuron { uid: Uid(1), hotkey: Hotkey([2; 32]), permit: false, ..neuron },
                ],
            },
            rules: Hyperparameters {
                tempo: 360,
                max_uids: 256,
                max_validators: 64,
                immunity_period: 7200,
                min_weights: 1,
                max_weight: 65535,
                weights_rate_limit: 100,
                weights_version: 0,
                commit_reveal: true,
                activity_cutoff: 5000,
                kappa: 32767,
                bonds_moving_average: 900_000,
                bonds_penalty: 65535,
                yuma3: true,
                registration_open: true,
                price: Rao(1),
                min_price: Rao(1),
                max_price: Rao(1),
                stake_threshold: 0,
            },
            schedule: EpochSchedule {
                block: Height(1000),
                tempo: 360,
                last: Height(900),
                pending: None,
                index: 3,
                since_step: 100,
            },
            reveal_period: 1,
            commitment_space: 4000,
            lag: 3,
        }
    }

    fn run() -> RunFile {
        RunFile::parse(TINY).unwrap()
    }

    #[test]
    fn a_subnet_with_the_settings_of_a_run_is_ok() {
        let findings = Findings::of(&run(), &[Hotkey([1; 32])], &subnet());
        assert!(findings.findings.iter().all(|finding| finding.fit == Fit::Ok), "{findings}");
        assert_eq!(findings.failed(), 0);
        assert!(findings.to_string().starts_with("run tiny on subnet 3\nok    epochs "), "{findings}");
    }

    #[test]
    fn each_setting_that_does_not_fit_is_named() {
        let of = |setting: &str, change: fn(&mut Subnet)| {
            let mut subnet = subnet();
            change(&mut subnet);
            let findings = Findings::of(&run(), &[Hotkey([1; 32])], &subnet);
            let wrong: Vec<_> = findings.findings.iter().filter(|finding| finding.fit != Fit::Ok).collect();
            assert_eq!(wrong.iter().map(|finding| finding.setting).collect::<Vec<_>>(), [setting]);
            assert_eq!(findings.failed() == 1, wrong[0].fit == Fit::Fail);
            wrong[0].fit
        };
        assert_eq!(of("commitments", |subnet| subnet.commitment_space = 1000), Fit::Fail);
        assert_eq!(of("activity", |subnet| subnet.rules.activity_cutoff = 500), Fit::Fail);
        assert_eq!(of("finality", |subnet| subnet.lag = 9), Fit::Warn);
        assert_eq!(of("version key", |subnet| subnet.rules.weights_version = 7), Fit::Warn);
        assert_eq!(of("weights rate", |subnet| subnet.rules.weights_rate_limit = 500), Fit::Warn);
        assert_eq!(of("weights", |subnet| subnet.rules.commit_reveal = false), Fit::Warn);
        assert_eq!(of("registration", |subnet| subnet.rules.registration_open = false), Fit::Warn);
        assert_eq!(of("immunity", |subnet| subnet.rules.immunity_period = 100), Fit::Warn);
        assert_eq!(of("permits", |subnet| subnet.metagraph.neurons[0].stake_weight = 0), Fit::Fail);
        assert_eq!(
            of("epochs", |subnet| (subnet.schedule.tempo, subnet.rules.weights_rate_limit) = (0, 0)),
            Fit::Fail
        );
        let left = Findings::of(&run(), &[Hotkey([9; 32])], &subnet());
        assert_eq!((left.failed(), left.findings.last().unwrap().fit), (1, Fit::Fail), "not registered");
    }
}
