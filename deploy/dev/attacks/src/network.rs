//! A network in one process: miners by their strategies, one honest validator, the outer step.

use crate::{
    lab::{Lab, with_sequences},
    panel::{Copies, Panel},
    pay::{Ledger, Sent},
    strategy::{Offer, Strategy, View},
    validator::{Opened, Trials, measure, trial_step},
};
use anyhow::{Context as _, Result};
use base::{BlockHash, Hotkey, NeuronId, Window, digest::StateRoot};
use codec::{
    aggregate::{ClipBounds, StepNorms},
    sparse::SparseTensor,
    submission::Submission,
};
use engine::{Model, Options, Place};
use protocol::{
    acceptance::{Candidate, choose, order_candidates, screen},
    assignment::Assignments,
};
use scoring::gauntlet::proof::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use training_bench::{miner::Miner, seeds::seed_of};

/// Sequences of a trial that are computed at a time: their logits fit the processor's caches.
const TRIED_TOGETHER: u32 = 16;

/// The hotkeys of one owner, and their strategy.
pub(crate) struct Group {
    pub(crate) strategy: Box<dyn Strategy>,
    pub(crate) miners: Vec<Miner>,
}

/// A network in training.
pub(crate) struct Network<'a> {
    lab: &'a Lab,
    seed: u64,
    /// The honest miners first.
    groups: Vec<Group>,
    model: Model,
    root: StateRoot,
    norms: Option<StepNorms>,
    shared: Vec<f32>,
    before: Option<Vec<f32>>,
    published: Sent,
    ledger: Ledger,
    /// Records of the same validator that see fewer sequences.
    fewer: Vec<Ledger>,
    panel: Option<Panel>,
    pub(crate) record: Record,
}

/// The results of a network, by window. Lists of hotkeys have the order of the groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// The held-out loss before the first window and after each.
    pub(crate) losses: Vec<f64>,
    /// The pay of each hotkey, as a share of all.
    pub(crate) pay: Vec<Vec<f64>>,
    /// Whether the record of each hotkey pays it nothing.
    pub(crate) found: Vec<Vec<bool>>,
    /// Whether each hotkey has passed the proof.
    pub(crate) passed: Vec<Vec<bool>>,
    /// Improvement, margin in standard errors, and whether it was accepted, of each hotkey that was tried.
    pub(crate) tried: Vec<Vec<Option<Tried>>>,
    /// The judgements of each window, by the numbers of sequences that are compared.
    pub(crate) judged: BTreeMap<u16, Vec<Vec<Judged>>>,
    /// The dividends of the validators, if there are several: the copier's last.
    pub(crate) dividends: Vec<Vec<f64>>,
}

/// The measurement of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tried {
    pub(crate) improvement: f64,
    pub(crate) margin: f64,
    pub(crate) accepted: bool,
}

/// The proof of one hotkey after a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    /// The margin of the window in standard errors, if the hotkey was tried.
    pub(crate) margin: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// The submissions of a window, with what each hotkey sent.
struct Claims {
    submissions: BTreeMap<NeuronId, Opened>,
    /// By group and hotkey.
    sent: Vec<Vec<Option<Vec<SparseTensor>>>>,
}

impl Claims {
    /// Returns the values of all submissions, as every node decodes them.
    fn opened(&self, lab: &Lab) -> Result<Sent> {
        let tensors = lab.layout.tensors().len();
        let opened = |(miner, submission): (&NeuronId, &Opened)| {
            Ok((miner.hotkey, (0..tensors).map(|at| submission.tensor(at)).collect::<Result<_, _>>()?))
        };
        self.submissions.iter().map(opened).collect()
    }
}

impl<'a> Network<'a> {
    /// Creates a network. Each group has this number of hotkeys; the first one is the honest one.
    pub(crate) fn new(lab: &'a Lab, seed: u64, groups: Vec<(Box<dyn Strategy>, u32)>) -> Result<Self> {
        let mut number = 0;
        let mut group = |(strategy, count): (Box<dyn Strategy>, u32)| {
            let miners = (number..number + count).map(|number| Miner::new(&lab.run, seed, number));
            number += count;
            Ok(Group { strategy, miners: miners.collect::<Result<_>>()? })
        };
        let groups = groups.into_iter().map(&mut group).collect::<Result<Vec<_>>>()?;
        let options = Options { place: Place::Cpu, micro_batch: TRIED_TOGETHER, ..Options::default() };
        let mut model = Model::new(lab.run.model, options)?;
        let first =
            groups.first().and_then(|group| group.miners.first()).context("a network needs miners")?;
        let shared = first.model.parameters()?;
        model.set_parameters(&shared)?;
        let root = model.state_root()?;
        let losses = vec![model.loss(&lab.dataset.held_out)?];
        Ok(Self {
            lab,
            seed,
            groups,
            model,
            root,
            norms: None,
            shared,
            before: None,
            published: BTreeMap::new(),
            ledger: Ledger::new(lab.run.scoring),
            fewer: Vec::new(),
            panel: None,
            record: Record { losses, ..Record::default() },
        })
    }

    /// Adds further validators, the last of which copies weights.
    pub(crate) fn with_copier(mut self, copies: Copies) -> Self {
        self.panel = Some(Panel::new(copies, self.lab.run.scoring));
        self
    }

    /// Adds records that see only the first sequences of each batch, as many as these numbers say.
    pub(crate) fn with_fewer(mut self, sequences: &[u16]) -> Self {
        let ledger = |&number: &u16| Ledger::new(with_sequences(self.lab.run.scoring, number));
        self.fewer = sequences.iter().map(ledger).collect();
        self
    }

    /// Plays some windows.
    pub(crate) fn run(mut self, windows: u64) -> Result<(Record, Model)> {
        for window in (0..windows).map(Window) {
            self.play(window).with_context(|| format!("window {window}"))?;
        }
        Ok((self.record, self.model))
    }

    /// Plays a window: training, screen, evaluation, pay, outer step.
    fn play(&mut self, window: Window) -> Result<()> {
        for group in &mut self.groups {
            group.strategy.begin(self.seed, window, &mut group.miners);
        }
        let run = &self.lab.run;
        let blocks = self.lab.block(self.seed, "window", window.0);
        let assignments =
            self.lab.dataset.assign(&self.lab.hash, self.seed, window, self.neurons(), &run.train)?;
        let claims = self.claims(window, &assignments)?;
        let seed = self.lab.block(self.seed, "evaluation", window.0);
        let trials = self.try_all(window, &assignments, &claims, 0)?;
        let accepted = self.accept(blocks, &claims, &trials);
        let registered = self.neurons().collect();
        let sent = claims.opened(self.lab)?;
        self.ledger.judge(self.lab, (window, seed), &trials, &sent, &registered)?;
        self.note(&trials, &accepted)?;
        let applied: BTreeSet<Hotkey> = accepted.iter().map(|miner| miner.hotkey).collect();
        self.judge_as_others((window, seed), &assignments, &claims, (&sent, &applied), &registered)?;
        self.judge_on_fewer((window, seed), &trials, (&sent, &applied), &registered)?;
        self.ledger.remember(sent.clone(), applied);
        self.published = sent;
        self.settle(window, &assignments, &claims, &accepted);
        self.apply(window, claims, &accepted)
    }

    /// Returns all hotkeys in the order of their assignments.
    fn neurons(&self) -> impl Iterator<Item = NeuronId> {
        self.groups.iter().flat_map(|group| &group.miners).map(|miner| miner.neuron)
    }

    /// Lets all strategies make their updates, and signs them.
    fn claims(&mut self, window: Window, assignments: &Assignments) -> Result<Claims> {
        let mut claims = Claims { submissions: BTreeMap::new(), sent: Vec::new() };
        let honest: Vec<NeuronId> = self.groups[0].miners.iter().map(|miner| miner.neuron).collect();
        let (lab, train, root) = (self.lab, self.lab.run.train, self.root);
        let mut groups = std::mem::take(&mut self.groups);
        let view = self.view(window, assignments, &honest);
        for group in &mut groups {
            let offers = group.strategy.offers(&view, &mut group.miners)?;
            let mut sent = Vec::with_capacity(offers.len());
            for (miner, offer) in group.miners.iter().zip(offers) {
                let Some(Offer { sent: values, samples }) = offer else {
                    sent.push(None);
                    continue;
                };
                let mut expected = miner.expected(&lab.hash, window, &root, &train);
                expected.least_samples = 1; // Pay follows the samples, so any number is valid.
                let submission = miner.submit(&values, samples, &lab.layout, &expected)?;
                claims.submissions.insert(miner.neuron, submission);
                sent.push(Some(values));
            }
            claims.sent.push(sent);
        }
        self.groups = groups;
        Ok(claims)
    }

    /// Returns the knowledge of strategies in a window.
    fn view<'b>(&'b self, window: Window, assignments: &'b Assignments, honest: &'b [NeuronId]) -> View<'b> {
        View {
            lab: self.lab,
            seed: self.seed,
            window,
            assignments,
            honest,
            shared: &self.shared,
            before: self.before.as_deref(),
            norms: self.norms.as_ref(),
            published: &self.published,
        }
    }

    /// Lets the other validators judge the window, each with data of its own, and runs the chain's epoch.
    fn judge_as_others(
        &mut self,
        (window, seed): (Window, BlockHash),
        assignments: &Assignments,
        claims: &Claims,
        (sent, applied): (&Sent, &BTreeSet<Hotkey>),
        registered: &BTreeSet<NeuronId>,
    ) -> Result<()> {
        let Some(mut panel) = self.panel.take() else { return Ok(()) };
        for (number, ledger) in panel.ledgers.iter_mut().enumerate() {
            let trials = self.try_all(window, assignments, claims, number + 1)?;
            ledger.judge(self.lab, (window, seed), &trials, sent, registered)?;
            ledger.remember(sent.clone(), applied.clone());
        }
        self.record.dividends.push(panel.epoch(&self.ledger, registered.len()));
        self.panel = Some(panel);
        Ok(())
    }

    /// Judges the window on fewer sequences, and notes the verdicts.
    fn judge_on_fewer(
        &mut self,
        at: (Window, BlockHash),
        trials: &Trials,
        (sent, applied): (&Sent, &BTreeSet<Hotkey>),
        registered: &BTreeSet<NeuronId>,
    ) -> Result<()> {
        let neurons: Vec<NeuronId> = self.neurons().collect();
        for ledger in &mut self.fewer {
            let trials = trials.on_fewer(&self.lab.run.scoring, ledger.scoring());
            ledger.judge(self.lab, at, &trials, sent, registered)?;
            ledger.remember(sent.clone(), applied.clone());
            let judged = |miner: &NeuronId| -> Result<Judged> {
                let trial = trials.of.get(miner).and_then(Option::as_ref);
                let margin = trial.map(|trial| trial.judged(&trials.unassigned_before)).transpose()?;
                Ok(Judged {
                    margin: margin.map(|(_, margin)| margin),
                    verdict: ledger.verdict(&miner.hotkey),
                })
            };
            let judged = neurons.iter().map(judged).collect::<Result<_>>()?;
            self.record.judged.entry(ledger.scoring().assigned_sequences).or_default().push(judged);
        }
        Ok(())
    }

    /// Tries all updates, as one of the validators does.
    fn try_all(
        &mut self,
        window: Window,
        assignments: &Assignments,
        claims: &Claims,
        validator: usize,
    ) -> Result<Trials> {
        let scoring = &self.lab.run.scoring;
        let dataset = &self.lab.dataset;
        let seed = self.lab.block(self.seed, "evaluation", window.0);
        let validator = Hotkey(seed_of(self.seed, &[b"validator", &validator.to_le_bytes()]).0);
        let mut unassigned = assignments.unassigned(seed, scoring.common_sequences.into())?;
        unassigned.extend(assignments.unassigned_of(&validator, seed, scoring.own_sequences.into())?);
        let unassigned = dataset.batch(&unassigned)?;
        let full = self.lab.run.train.full_work(window);
        let bounds = ClipBounds { last: self.norms.as_ref(), full };
        let mut trials = Trials { unassigned_before: self.model.losses(&unassigned)?, of: BTreeMap::new() };
        for (miner, submission) in &claims.submissions {
            let trained = submission.header().samples;
            let drawn = assignments.of(miner)?.samples(seed, trained, scoring.assigned_sequences.into());
            let Ok(assigned) = drawn else {
                trials.of.insert(*miner, None);
                continue;
            };
            let step = trial_step(self.lab, submission, bounds)?;
            let trial = measure(&mut self.model, &step, &dataset.batch(&assigned)?, &unassigned, trained)?;
            trials.of.insert(*miner, Some(trial));
        }
        Ok(trials)
    }

    /// Selects the accepted updates: those that pass the screen, within the limits of the run.
    fn accept(&self, block: BlockHash, claims: &Claims, trials: &Trials) -> BTreeSet<NeuronId> {
        let acceptance = &self.lab.run.acceptance;
        let share = |miner: &NeuronId| self.ledger.shares.get(&miner.hotkey).copied().unwrap_or_default();
        let best = self.ledger.shares.values().copied().fold(f64::MIN_POSITIVE, f64::max);
        let candidate = |(id, submission): (&NeuronId, &Opened)| Candidate {
            id: *id,
            object: submission.hash(),
            incentive: (share(id) / best * f64::from(u16::MAX)).ceil() as u16,
        };
        let mut candidates: Vec<_> = claims.submissions.iter().map(candidate).collect();
        order_candidates(acceptance, block, &mut candidates);
        let mut drops = trials.screened();
        drops.retain(|miner, _| candidates.iter().any(|candidate| candidate.id == *miner));
        let screened = screen(&drops, acceptance.screen_errors);
        let good = |place: usize| screened.get(&candidates[place].id).is_some_and(Result::is_ok);
        choose(acceptance, &candidates, good).into_iter().map(|accepted| accepted.id).collect()
    }

    /// Notes the results of a window.
    fn note(&mut self, trials: &Trials, accepted: &BTreeSet<NeuronId>) -> Result<()> {
        let neurons: Vec<NeuronId> = self.neurons().collect();
        let before = &trials.unassigned_before;
        let tried = |miner: &NeuronId| -> Result<Option<Tried>> {
            let Some(Some(trial)) = trials.of.get(miner) else { return Ok(None) };
            let (improvement, margin) = trial.judged(before)?;
            Ok(Some(Tried { improvement, margin, accepted: accepted.contains(miner) }))
        };
        let paid = |miner: &NeuronId| self.ledger.shares.get(&miner.hotkey).copied().unwrap_or_default();
        let found = |miner: &NeuronId| self.ledger.is_found(&miner.hotkey);
        let tried = neurons.iter().map(tried).collect::<Result<_>>()?;
        let (pay, found) = (neurons.iter().map(paid).collect(), neurons.iter().map(found).collect());
        let passed = neurons.iter().map(|miner| self.ledger.has_passed(&miner.hotkey)).collect();
        self.record.passed.push(passed);
        self.record.tried.push(tried);
        self.record.pay.push(pay);
        self.record.found.push(found);
        Ok(())
    }

    /// Lets all strategies settle their error feedback.
    fn settle(
        &mut self,
        window: Window,
        assignments: &Assignments,
        claims: &Claims,
        accepted: &BTreeSet<NeuronId>,
    ) {
        let mut groups = std::mem::take(&mut self.groups);
        let honest: Vec<NeuronId> = groups[0].miners.iter().map(|miner| miner.neuron).collect();
        let view = self.view(window, assignments, &honest);
        for (group, sent) in groups.iter_mut().zip(&claims.sent) {
            let sent = group.miners.iter().zip(sent);
            let settled: Vec<_> =
                sent.map(|(miner, sent)| sent.clone().filter(|_| accepted.contains(&miner.neuron))).collect();
            group.strategy.settle(&view, &mut group.miners, &settled);
        }
        self.groups = groups;
    }

    /// Makes the outer step, and hands the parameters to all miners.
    fn apply(&mut self, window: Window, claims: Claims, accepted: &BTreeSet<NeuronId>) -> Result<()> {
        let set: Vec<Submission<Vec<u8>>> = (claims.submissions.into_iter())
            .filter(|(miner, _)| accepted.contains(miner))
            .map(|(_, submission)| submission)
            .collect();
        let full = self.lab.run.train.full_work(window);
        let bounds = ClipBounds { last: self.norms.as_ref(), full };
        let (norms, root) = self.model.apply_outer_step(&set, bounds)?;
        if !set.is_empty() {
            self.norms = Some(norms);
        }
        self.root = root;
        let shared = self.model.parameters()?;
        self.before = Some(std::mem::replace(&mut self.shared, shared));
        for miner in self.groups.iter_mut().flat_map(|group| &mut group.miners) {
            miner.model.set_parameters(&self.shared)?;
        }
        self.record.losses.push(self.model.loss(&self.lab.dataset.held_out)?);
        Ok(())
    }
}
