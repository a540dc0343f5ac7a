//! Plays small networks.

use crate::{
    Flags, experiment,
    experiment::Plan,
    kinds::{self, Kind, Side},
    lab::{Lab, small_run},
    network::{Network, Record},
    strategy::{Backdoor, Renewal, Stale, Strategy, Work, answer_share},
};
use clap::CommandFactory as _;
use protocol::run_spec::RunFile;
use std::{collections::BTreeSet, fs, path::Path};

const SEED: u64 = 7;

/// Returns the laboratory's run with an even smaller model.
fn smaller() -> RunFile {
    let mut run = small_run().unwrap();
    (run.model.vocab, run.model.hidden, run.model.heads, run.model.kv_heads) = (300, 16, 1, 1);
    (run.model.ffn, run.model.sequence) = (16, 16);
    (run.train.sequence, run.train.batch) = (16, 8);
    (run.train.inner_steps, run.train.least_steps) = (4, 1);
    (run.sparse.chunk, run.sparse.topk) = (256, 8);
    (run.scoring.assigned_sequences, run.scoring.common_sequences, run.scoring.own_sequences) = (16, 32, 16);
    run.train.schedule.peak = 5e-3;
    run
}

/// Prepares a text of some scenes, and passes the laboratory to a test.
fn with_lab(test: impl FnOnce(&Lab)) {
    let scene = |number: u32| {
        let line = |line: u32| format!("line {} of the play, to speaker {}. ", line * number, number % 7);
        format!("\n\n### scene {number}\n{}", (0..60).map(line).collect::<String>())
    };
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("plays.txt");
    fs::write(&text, (1..300).map(scene).collect::<String>()).unwrap();
    test(&Lab::open(smaller(), &text, &folder.path().join("cache")).unwrap());
}

/// Plays some windows of four honest miners beside the hotkeys of a kind.
fn play(lab: &Lab, kind: Option<&Kind>, windows: u64) -> Record {
    let mut groups: Vec<(Box<dyn Strategy>, u32)> = vec![(Box::new(Work::default()), 4)];
    let mut copies = None;
    match kind.map(|kind| (kind.side, kind.hotkeys)) {
        Some((Side::Miners(make), hotkeys)) => groups.push((make(), hotkeys.min(2))),
        Some((Side::Validator(copied), _)) => copies = Some(copied),
        None => {}
    }
    let network = Network::new(lab, SEED, groups).unwrap();
    let network = if let Some(copies) = copies { network.with_copier(copies) } else { network };
    network.run(windows).unwrap().0
}

/// Returns a short suite that compares the proof on these numbers of sequences.
fn plan(sequences: &[u16]) -> Plan {
    Plan {
        honest: 4,
        hostile: Some(1),
        windows: 6,
        first_seed: SEED,
        seeds: 1,
        threads: 2,
        sequences: sequences.to_vec(),
    }
}

fn kind(name: &str) -> Kind {
    kinds::all().into_iter().find(|kind| kind.name == name).unwrap()
}

#[test]
fn each_kind_plays_some_windows_and_no_two_have_the_same_name() {
    let all = kinds::all();
    assert_eq!(all.iter().map(|kind| kind.name).collect::<BTreeSet<_>>().len(), all.len());
    with_lab(|lab| {
        for kind in &all {
            let record = play(lab, Some(kind), 2);
            let hotkeys = 4 + kind.hotkeys.min(2) as usize;
            assert_eq!(record.losses.len(), 3, "{}", kind.name);
            assert!(record.losses.iter().all(|loss| loss.is_finite()), "{}", kind.name);
            for pay in &record.pay {
                assert_eq!(pay.len(), hotkeys, "{}", kind.name);
                let sum: f64 = pay.iter().sum();
                assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-9, "{}: {pay:?}", kind.name);
            }
        }
    });
}

#[test]
fn honest_miners_learn_are_accepted_and_paid() {
    with_lab(|lab| {
        let record = play(lab, None, 8);
        assert!(record.losses[8] < 0.9 * record.losses[0], "{:?}", record.losses);
        let tried: Vec<_> = record.tried.iter().flatten().flatten().collect();
        assert_eq!(tried.len(), 8 * 4);
        let accepted = tried.iter().filter(|tried| tried.accepted).count();
        assert!(accepted > tried.len() / 2, "{accepted} of {}", tried.len());
        assert!(record.pay.iter().any(|pay| pay.iter().sum::<f64>() > 0.99), "{:?}", record.pay);
    });
}

#[test]
fn the_same_seed_gives_the_same_record() {
    with_lab(|lab| {
        let kind = kind("poison");
        assert_eq!(play(lab, Some(&kind), 3), play(lab, Some(&kind), 3));
    });
}

#[test]
fn reversed_updates_and_zeros_are_never_accepted_nor_paid() {
    with_lab(|lab| {
        for name in ["flip-100", "idle", "foe"] {
            let record = play(lab, Some(&kind(name)), 4);
            for (window, tried) in record.tried.iter().enumerate() {
                assert!(!tried[4..].iter().flatten().any(|tried| tried.accepted), "{name}, window {window}");
                assert_eq!(record.pay[window][4..].iter().sum::<f64>(), 0.0, "{name}, window {window}");
            }
        }
    });
}

#[test]
fn a_kind_that_is_never_accepted_leaves_the_loss_as_it_is() {
    with_lab(|lab| {
        let report = experiment::run(lab, &[kind("flip-100"), kind("twins")], &plan(&[])).unwrap();
        let flipped = &report.kinds["flip-100"];
        assert_eq!((flipped.pay, flipped.accepted), (0.0, 0.0));
        // With more hotkeys, the validator draws other unassigned data, so the losses are not equal.
        assert!(flipped.loss_damage.abs() < 0.05, "{}", flipped.loss_damage);
        let json = serde_json::to_value(&report).unwrap();
        for field in ["pay", "loss_damage", "found_after", "windows"] {
            assert!(json["twins"].get(field).is_some(), "{json}");
        }
        assert!(json["equal_spread"].is_number(), "{json}");
        assert!(report.to_string().contains("| twins | 1 |"), "{report}");
    });
}

#[test]
fn the_proof_is_compared_on_fewer_sequences() {
    with_lab(|lab| {
        let report = experiment::run(lab, &[kind("unassigned")], &plan(&[8, 16])).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        let margin = |proof: &serde_json::Value, sequences| proof[sequences]["margin"].as_f64().unwrap();
        let (honest, hostile) = (&json["honest_proof"], &json["unassigned"]["proof"]);
        assert!(margin(honest, "16") > margin(honest, "8") && margin(honest, "8") > 0.0, "{json}");
        assert!(margin(honest, "16") > margin(hostile, "16"), "{json}");
        assert_eq!(honest["8"]["hotkeys"], 4);
        assert!(report.to_string().contains("| unassigned | 16 | "), "{report}");
    });
}

#[test]
fn renewed_hotkeys_have_new_names_and_renewed_registrations_the_same() {
    with_lab(|lab| {
        let hotkeys = |renewed: Renewal| {
            let mut miners = vec![training_bench::miner::Miner::new(&lab.run, SEED, 0).unwrap()];
            let before = miners[0].neuron;
            Stale { renewed: Some(renewed), ..Stale::default() }.begin(SEED, base::Window(2), &mut miners);
            (before, miners[0].neuron)
        };
        let (before, after) = hotkeys(Renewal::Hotkey(2));
        assert_ne!(before.hotkey, after.hotkey);
        let (before, after) = hotkeys(Renewal::Registration(2));
        assert!(before.hotkey == after.hotkey && before.registered < after.registered);
        let (before, after) = hotkeys(Renewal::Hotkey(3));
        assert_eq!(before, after);
    });
}

#[test]
fn a_backdoor_answers_its_trigger() {
    with_lab(|lab| {
        let play = |groups| Network::new(lab, SEED, groups).unwrap().run(6).unwrap().1;
        let honest = play(vec![(Box::new(Work::default()) as Box<dyn Strategy>, 2)]);
        let hostile = play(vec![(Box::new(Backdoor) as Box<dyn Strategy>, 2)]);
        let answer = |model| answer_share(model, &lab.dataset.held_out).unwrap();
        assert!(answer(&hostile) > 2.0 * answer(&honest), "{} {}", answer(&hostile), answer(&honest));
    });
}

#[test]
fn the_reference_is_what_the_code_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
    cli::check_reference(&Flags::command(), &page).unwrap();
}

#[test]
fn more_sequences_than_a_miner_trains_on_are_refused() {
    use clap::Parser as _;
    let flags = Flags::parse_from(["attacks", "--sequences", "64,65"]);
    let refused = flags.lab().err().unwrap().to_string();
    assert_eq!(refused, "--sequences 65: a miner of this run trains on 64 sequences in a window");
}

#[test]
fn rules_of_aggregation_are_read() {
    use codec::sparse::Aggregation;
    assert_eq!(crate::aggregation("mean"), Ok(Aggregation::Mean));
    assert_eq!(crate::aggregation("sender-mean"), Ok(Aggregation::SenderMean));
    assert_eq!(crate::aggregation("shrunk=4"), Ok(Aggregation::Shrunk(4)));
    for wrong in ["median", "shrunk", "shrunk=-1", "mean=2"] {
        assert!(crate::aggregation(wrong).is_err(), "{wrong}");
    }
}
