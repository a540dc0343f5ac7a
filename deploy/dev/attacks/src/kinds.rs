//! The kinds of miners that the suite tries, and the number of their hotkeys.

use crate::{
    panel::Copies,
    strategy::{
        Alie, Backdoor, Copier, Data, Declared, Downhill, Drift, Foe, Idle, Poison, Renewal, Split, SplitBy,
        Stale, Strategy, Tampered, Work,
    },
};

/// A kind of miner.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The number of its hotkeys beside the honest miners.
    pub(crate) hotkeys: u32,
    pub(crate) pay: Pay,
    pub(crate) side: Side,
    /// A short explanation for the table.
    pub(crate) about: &'static str,
}

/// The side on which a kind takes part.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    /// Miners with this strategy.
    Miners(fn() -> Box<dyn Strategy>),
    /// A validator that does not evaluate. Its pay is compared with that of an honest validator: dividends.
    Validator(Copies),
}

/// The unit whose pay is compared with that of an honest miner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pay {
    /// A hotkey, on average: each has its own costs, or none at all.
    Each,
    /// All hotkeys together: they share the costs of one honest miner.
    Together,
}

use Pay::{Each, Together};

/// Hostile hotkeys beside 16 honest ones, unless a kind needs another number.
const FEW: u32 = 4;
/// The perturbation of hotkeys that send the last outer step: as large as the values themselves.
const PERTURBED: f32 = 1.0;
/// The first window of honest miners that join later.
const JOINS: u64 = 10;
/// Windows after which a hotkey or a registration is given up for a new one.
const RENEWED: u64 = 10;

/// Returns all kinds.
pub(crate) fn all() -> Vec<Kind> {
    [idlers(), workers(), splitters(), saboteurs(), validators()].into_iter().flatten().collect()
}

/// Returns the kinds that do no work of their own.
fn idlers() -> Vec<Kind> {
    vec![
        kind("idle", FEW, Each, || Box::new(Idle { norm: 0.0 }), "sends zeros"),
        kind(
            "tiny-crowd",
            17,
            Each,
            || Box::new(Idle { norm: 1e-6 }),
            "one more than the honest send tiny noise",
        ),
        kind("noise", FEW, Each, || Box::new(Idle { norm: 1.0 }), "sends noise of an honest norm"),
        kind("noise-downhill", FEW, Each, || Box::new(Downhill), "sends noise whose sign lowers the loss"),
        kind("stale", FEW, Each, || Box::new(stale_step(0, None)), "sends the last outer step, perturbed"),
        kind("stale-2-steps", FEW, Each, || Box::new(stale_step(2, None)), "two inner steps on top of it"),
        kind("copier", FEW, Each, || Box::new(Copier), "sends a miner's last update, perturbed"),
        kind(
            "churned",
            FEW,
            Each,
            || Box::new(stale_step(0, Some(Renewal::Hotkey(RENEWED)))),
            "stale, with new hotkeys every 10 windows",
        ),
        kind(
            "washed",
            FEW,
            Each,
            || Box::new(stale_step(0, Some(Renewal::Registration(RENEWED)))),
            "stale, registered anew every 10 windows",
        ),
        kind(
            "idle-crowd-2x",
            32,
            Each,
            || Box::new(stale_step(0, None)),
            "stale, twice as many as the honest",
        ),
        kind("idle-crowd-4x", 64, Each, || Box::new(stale_step(0, None)), "stale, four times as many"),
    ]
}

/// Returns the kinds that train, but less, on other data, or not always.
fn workers() -> Vec<Kind> {
    vec![
        kind(
            "half",
            FEW,
            Each,
            || Box::new(Work { share: 0.5, ..Work::default() }),
            "half of the inner steps",
        ),
        kind(
            "quarter",
            FEW,
            Each,
            || Box::new(Work { share: 0.25, ..Work::default() }),
            "a quarter of the inner steps",
        ),
        kind(
            "tenth",
            FEW,
            Each,
            || Box::new(Work { share: 0.1, ..Work::default() }),
            "a tenth of the inner steps, at least one",
        ),
        kind(
            "half-declared",
            FEW,
            Each,
            || Box::new(Work { share: 0.5, declared: Declared::Done, ..Work::default() }),
            "half of the inner steps, and says so",
        ),
        kind(
            "over-claimed",
            FEW,
            Each,
            || Box::new(Work { share: 0.5, declared: Declared::Twice, ..Work::default() }),
            "half of the inner steps, declares twice the samples",
        ),
        kind(
            "unassigned",
            FEW,
            Each,
            || Box::new(Work { data: Data::Unassigned, ..Work::default() }),
            "trains on unassigned data only",
        ),
        kind(
            "others-data",
            FEW,
            Each,
            || Box::new(Work { data: Data::Others, ..Work::default() }),
            "trains on the data of all honest miners",
        ),
        kind(
            "victims-data",
            FEW,
            Each,
            || Box::new(Work { data: Data::Victim, ..Work::default() }),
            "trains on the data of one honest miner each",
        ),
        kind(
            "duty-cycle",
            FEW,
            Each,
            || Box::new(Work { absent_every: Some(4), ..Work::default() }),
            "works in 3 of 4 windows",
        ),
        kind(
            "newcomer",
            1,
            Each,
            || Box::new(Work { joins: JOINS, ..Work::default() }),
            "an honest miner that joins after 10 windows",
        ),
    ]
}

/// Returns the kinds with one training run behind several hotkeys.
fn splitters() -> Vec<Kind> {
    vec![
        kind("twins", 2, Together, || Box::new(Split { by: SplitBy::Nothing }), "one run, two equal updates"),
        kind(
            "pair-by-data",
            2,
            Together,
            || Box::new(Work { share: 0.5, ..Work::default() }),
            "half of the steps each",
        ),
        kind(
            "four-by-data",
            4,
            Together,
            || Box::new(Work { share: 0.25, ..Work::default() }),
            "a quarter of the steps each",
        ),
        kind(
            "pair-by-support",
            2,
            Together,
            || Box::new(Split { by: SplitBy::Support }),
            "one run, disjoint coordinates",
        ),
        kind(
            "four-by-support",
            4,
            Together,
            || Box::new(Split { by: SplitBy::Support }),
            "one run, disjoint coordinates",
        ),
        kind(
            "pair-perturbed",
            2,
            Together,
            || Box::new(Split { by: SplitBy::Perturbation }),
            "one run, perturbed",
        ),
        kind(
            "four-perturbed",
            4,
            Together,
            || Box::new(Split { by: SplitBy::Perturbation }),
            "one run, perturbed",
        ),
        kind(
            "pair-by-samples",
            2,
            Together,
            || Box::new(Split { by: SplitBy::Samples }),
            "one run, each declares half",
        ),
        kind(
            "four-by-samples",
            4,
            Together,
            || Box::new(Split { by: SplitBy::Samples }),
            "one run, each declares a quarter",
        ),
        kind(
            "copies-in-majority",
            17,
            Together,
            || Box::new(Split { by: SplitBy::Perturbation }),
            "one run, more hotkeys than the honest",
        ),
    ]
}

/// Returns the kinds that harm the model.
fn saboteurs() -> Vec<Kind> {
    vec![
        kind("inflated", FEW, Each, || Box::new(Tampered::new(1000.0, 0.0)), "1000 times the norm"),
        kind("flip-40", FEW, Each, || Box::new(Tampered::new(1.0, 0.4)), "flips 40 % of the signs"),
        kind("flip-100", FEW, Each, || Box::new(Tampered::new(1.0, 1.0)), "flips all signs"),
        kind(
            "alie",
            FEW,
            Each,
            || Box::new(Alie { deviations: 1.0 }),
            "mean less one standard deviation, through feedback",
        ),
        kind(
            "foe",
            FEW,
            Each,
            || Box::new(Foe { factor: 0.5 }),
            "half of the mean, reversed, through feedback",
        ),
        kind(
            "poison-2",
            2,
            Each,
            || Box::new(Poison::new(0.5)),
            "agreed coordinates against training, half of the values",
        ),
        kind("poison", FEW, Each, || Box::new(Poison::new(0.5)), "the same with more colluders"),
        kind("poison-5", 5, Each, || Box::new(Poison::new(0.5)), "the same with 5 colluders"),
        kind(
            "poison-light",
            FEW,
            Each,
            || Box::new(Poison::new(0.25)),
            "the same with a quarter of the values",
        ),
        kind(
            "drift",
            FEW,
            Each,
            || Box::new(Drift { share: 0.5 }),
            "a constant displacement through feedback",
        ),
        kind("backdoor", FEW, Each, || Box::new(Backdoor), "teaches a trigger and its answer"),
    ]
}

/// Returns the kinds of validators that do not evaluate.
fn validators() -> Vec<Kind> {
    let copier =
        |name, copies, about| Kind { name, hotkeys: 0, pay: Each, side: Side::Validator(copies), about };
    vec![
        copier("weight-copier", Copies::Consensus, "a validator that sets the last incentives as weights"),
        copier("log-copier", Copies::Log, "a validator that sets the weights of another one's last log"),
    ]
}

/// Returns hotkeys that send the last outer step.
fn stale_step(steps: usize, renewed: Option<Renewal>) -> Stale {
    Stale { steps, perturbation: PERTURBED, renewed }
}

fn kind(
    name: &'static str,
    hotkeys: u32,
    pay: Pay,
    make: fn() -> Box<dyn Strategy>,
    about: &'static str,
) -> Kind {
    Kind { name, hotkeys, pay, side: Side::Miners(make), about }
}
