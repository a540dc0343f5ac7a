//! The steps of a preparation: find inputs, tokenize, shuffle, seal.

use crate::{
    InputError, Options, OutputError, Phase, PrepareError, Progress, Report, TextTokenizer, TokenizerChoice,
    Warning, Watch,
    corpus::{Corpus, Fated},
    files::{MANIFEST, TOKENIZER, write_atomically},
    inputs::{self, Input},
    journal::{Journal, Work},
    sample::Sample,
    shards::{Roles, Totals},
    shuffle::{self, Shuffled},
    tokenizer::{self, TokenizerError},
};
use base::digest::TokenizerHash;
use protocol::dataset::{Manifest, ShardRole, TokenType};
use rayon::prelude::*;
use std::{fs, ops::ControlFlow, path::Path};

/// Tokenizes text into the shards and the manifest of a dataset. Resumes the work of an earlier call
/// with the same options and inputs, even after a crash. The resulting files are the same.
///
/// # Errors
/// See [`PrepareError`]. An error about an input names the file and the line. Finished work is kept.
pub fn prepare(options: &Options, watch: &mut dyn Watch) -> Result<Report, PrepareError> {
    options.check()?;
    let inputs = find_inputs(options, watch)?;
    let given = given_tokenizer(options)?;
    let work = Work::open(&options.out, options.restart)?;
    let hash = given.as_ref().map(|(_, bytes)| TokenizerHash::of(&[bytes]));
    let journal = work.load()?;
    // A trained tokenizer depends on all inputs, so none of them may change.
    let all_done = journal.complete || given.is_none();
    work.agree(&options.identity(hash), &inputs, (!all_done).then_some(&journal.position))?;
    if let Some(report) = journal.report {
        check_result(&options.out, &report)?;
        work.clear_tokenized()?;
        return Ok(Report { found_done: true, ..report });
    }
    let tokenizer = place_tokenizer(options, &inputs, given, watch)?;
    let mut run = Run::new(options, &inputs, &tokenizer, work, journal)?;
    run.tokenize(watch)?;
    run.shuffle(watch)?;
    run.seal(watch)
}

fn find_inputs(options: &Options, watch: &mut dyn Watch) -> Result<Vec<Input>, InputError> {
    let found = inputs::find(&options.inputs, options.format)?;
    if let Some(example) = found.example {
        watch.warning(&Warning::PassedOver { files: found.passed_over, example });
    }
    Ok(found.inputs)
}

/// Returns the name and the bytes of the given tokenizer, if any. Checks it before anything is written.
fn given_tokenizer(options: &Options) -> Result<Option<(String, Vec<u8>)>, TokenizerError> {
    let TokenizerChoice::File(path) = &options.tokenizer else { return Ok(None) };
    let bytes = fs::read(path).map_err(|source| TokenizerError::Read { path: path.clone(), source })?;
    let name = path.display().to_string();
    TextTokenizer::new(&name, &bytes, options.end_of_text.as_deref())?;
    Ok(Some((name, bytes)))
}

/// Loads or trains the tokenizer, and stores it beside the shards.
fn place_tokenizer(
    options: &Options,
    inputs: &[Input],
    given: Option<(String, Vec<u8>)>,
    watch: &mut dyn Watch,
) -> Result<TextTokenizer, PrepareError> {
    let path = options.out.join(TOKENIZER);
    let (name, bytes) = match given {
        Some(given) => {
            write_atomically(&path, &given.1)?;
            given
        }
        None => {
            let bytes = trained_tokenizer(options, inputs, &path, watch)?;
            (path.display().to_string(), bytes)
        }
    };
    Ok(TextTokenizer::new(&name, &bytes, options.end_of_text.as_deref())?)
}

/// Returns the tokenizer that this preparation trained earlier, or trains it now.
fn trained_tokenizer(
    options: &Options,
    inputs: &[Input],
    path: &Path,
    watch: &mut dyn Watch,
) -> Result<Vec<u8>, PrepareError> {
    let TokenizerChoice::Train { vocab, sample } = options.tokenizer else {
        return Err(TokenizerError::Train("a tokenizer was given".into()).into());
    };
    if path.exists() {
        let read = fs::read(path);
        return Ok(read.map_err(|source| TokenizerError::Read { path: path.into(), source })?);
    }
    let mut texts = Sample::new(options, inputs, sample, watch);
    let bytes = tokenizer::train(vocab, &mut texts);
    texts.finish()?;
    let bytes = bytes?;
    let got = TextTokenizer::new("the trained tokenizer", &bytes, None)?.vocab;
    if got < vocab {
        watch.warning(&Warning::SmallVocabulary { asked: vocab, got });
    }
    write_atomically(path, &bytes)?;
    Ok(bytes)
}

/// The capacity of a shard that never becomes full, in tokens.
const ONE_FILE: u64 = 1 << 60;

/// The state of a running preparation.
struct Run<'a> {
    options: &'a Options,
    tokenizer: &'a TextTokenizer,
    inputs: &'a [Input],
    tokens: TokenType,
    /// The tokens in the order of the text: one file for each role.
    tokenized: Roles,
    shards: Roles,
    corpus: Corpus<'a>,
    work: Work,
    journal: Journal,
}

impl<'a> Run<'a> {
    fn new(
        options: &'a Options,
        inputs: &'a [Input],
        tokenizer: &'a TextTokenizer,
        work: Work,
        journal: Journal,
    ) -> Result<Self, PrepareError> {
        let tokens = TokenType::for_vocabulary(tokenizer.vocab);
        let tokenized = Roles::resume(work.tokenized(), tokens, ONE_FILE, journal.tokenized)?;
        let shards = Roles::resume(&options.out, tokens, options.full_shard(), journal.shuffled)?;
        let corpus = Corpus::new(inputs, options, journal.position.clone(), journal.counts);
        Ok(Self { options, tokenizer, inputs, tokens, tokenized, shards, corpus, work, journal })
    }

    /// Tokenizes all text.
    fn tokenize(&mut self, watch: &mut dyn Watch) -> Result<(), PrepareError> {
        let mut unsaved = 0;
        self.tell(watch)?;
        while !self.journal.complete {
            let batch = self.corpus.batch(self.options.pace.batch);
            self.corpus.warnings.drain(..).for_each(|warning| watch.warning(&warning));
            // The last saved position is before the bad place. Once the place is corrected, the work
            // resumes there.
            let batch = batch?;
            if batch.is_empty() {
                return self.complete(watch);
            }
            unsaved += self.append(&batch)?;
            if unsaved >= self.options.pace.save {
                self.save()?;
                unsaved = 0;
            }
            self.tell(watch)?;
        }
        Ok(())
    }

    fn tell(&self, watch: &mut dyn Watch) -> Result<(), PrepareError> {
        tell(watch, &self.progress(Phase::Tokenizing))
    }

    /// Tokenizes pieces in parallel, and appends their tokens in order. Returns the number of bytes of text.
    fn append(&mut self, batch: &[Fated]) -> Result<u64, PrepareError> {
        let mut bytes = 0;
        for group in groups(batch, self.options.pace.batch) {
            let tokens: Result<Vec<_>, _> =
                group.par_iter().map(|piece| self.tokenizer.encode(&piece.text)).collect();
            for (piece, tokens) in group.iter().zip(tokens?) {
                let to = self.tokenized.of(piece.role);
                to.append(&tokens)?;
                if piece.last {
                    to.append(&[self.tokenizer.end_of_text])?;
                }
                bytes += piece.text.len() as u64;
            }
        }
        Ok(bytes)
    }

    /// Saves the tokens, then the matching position.
    fn save(&mut self) -> Result<(), OutputError> {
        self.tokenized.save()?;
        self.journal.position = self.corpus.position();
        self.journal.counts = self.corpus.counts;
        self.journal.tokenized = self.tokenized.totals();
        self.work.save(&self.journal)
    }

    /// Cuts the training tokens to whole blocks, and the held-out tokens to whole sequences.
    fn complete(&mut self, watch: &mut dyn Watch) -> Result<(), PrepareError> {
        self.save()?;
        let counts = self.corpus.counts;
        if counts.documents == 0 {
            let names: Vec<_> = self.options.inputs.iter().map(|name| name.display().to_string()).collect();
            return Err(InputError::Empty(names.join(", ")).into());
        }
        let block = self.options.block_tokens();
        let Totals { training, held_out } = self.tokenized.totals();
        let more = training % block;
        let rest = held_out % u64::from(self.options.sequence);
        if training < block {
            return Err(
                OutputError::TooLittle { found: training, block, sequence: self.options.sequence }.into()
            );
        }
        if self.options.held_out > 0.0 && held_out == rest {
            watch.warning(&Warning::NothingHeldOut { documents: counts.documents });
        }
        self.journal = Journal {
            tokenized: Totals { training: training - more, held_out: held_out - rest },
            dropped: more + rest,
            complete: true,
            ..self.journal.clone()
        };
        self.work.save(&self.journal)?;
        let folder = self.work.tokenized();
        let totals = self.journal.tokenized;
        self.tokenized = Roles::resume(folder, self.tokens, ONE_FILE, totals)?;
        Ok(())
    }

    /// Copies the tokens into the shards, sequence by sequence, in the drawn order.
    fn shuffle(&mut self, watch: &mut dyn Watch) -> Result<(), PrepareError> {
        [ShardRole::Training, ShardRole::HeldOut]
            .into_iter()
            .try_for_each(|role| self.shuffle_role(role, watch))
    }

    fn shuffle_role(&mut self, role: ShardRole, watch: &mut dyn Watch) -> Result<(), PrepareError> {
        let sequence = u64::from(self.options.sequence);
        let key = shuffle::key(self.options.seed, self.tokenizer.hash, role);
        let from = self.tokenized.of(role);
        if from.total() == 0 {
            return Ok(());
        }
        let shuffled = Shuffled::open(from, sequence, key)?;
        let mut unsaved = 0;
        loop {
            let to = self.shards.of(role);
            let bytes = shuffled.gather(to.total() / sequence, self.options.pace.batch)?;
            to.append_stored(&bytes)?;
            unsaved += bytes.len() as u64;
            if bytes.is_empty() || unsaved >= self.options.pace.save {
                self.shards.save()?;
                self.journal.shuffled = self.shards.totals();
                self.work.save(&self.journal)?;
                unsaved = 0;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            tell(watch, &self.stored(Phase::Shuffling, self.shards.totals().sum()))?;
        }
    }

    /// Hashes the shards and writes their block tables, then the manifest. The manifest makes the
    /// dataset complete.
    fn seal(mut self, watch: &mut dyn Watch) -> Result<Report, PrepareError> {
        let mut progress = self.stored(Phase::Hashing, 0);
        let mut step = |bytes| {
            progress.done += bytes;
            watch.progress(&progress) != ControlFlow::Break(())
        };
        let sequence = u64::from(self.options.sequence);
        let block = self.options.block_tokens();
        let mut shards = Vec::new();
        for set in [&self.shards.training, &self.shards.held_out] {
            shards.extend(set.seal(sequence, block, &mut step)?.ok_or(PrepareError::Stopped)?);
        }
        let manifest = Manifest {
            tokenizer: self.tokenizer.hash,
            vocab: self.tokenizer.vocab,
            tokens: self.tokens,
            sequence: self.options.sequence,
            shards,
        };
        manifest.check().map_err(OutputError::Manifest)?;
        write_atomically(&self.options.out.join(MANIFEST), &manifest.to_bytes())?;
        let report = self.report(&manifest);
        self.journal.report = Some(report.clone());
        self.work.save(&self.journal)?;
        self.work.clear_tokenized()?;
        Ok(report)
    }

    fn report(&self, manifest: &Manifest) -> Report {
        Report {
            dataset: manifest.hash(),
            tokenizer: manifest.tokenizer,
            vocab: manifest.vocab,
            end_of_text: self.tokenizer.end_of_text,
            shards: manifest.shards.len() as u64,
            blocks: manifest.training_blocks(),
            training: self.journal.tokenized.training,
            held_out: self.journal.tokenized.held_out,
            dropped: self.journal.dropped,
            counts: self.journal.counts,
            found_done: false,
        }
    }

    fn progress(&self, phase: Phase) -> Progress {
        Progress {
            phase,
            done: self.corpus.taken(),
            total: total_bytes(self.inputs),
            counts: self.corpus.counts,
            tokens: self.tokenized.totals().sum(),
        }
    }

    /// Returns the progress of a phase that works on the stored tokens.
    fn stored(&self, phase: Phase, tokens: u64) -> Progress {
        let all = self.tokenized.totals().sum();
        let done = tokens * self.tokens.bytes();
        let total = Some(all * self.tokens.bytes());
        Progress { phase, done, total, counts: self.corpus.counts, tokens: all }
    }
}

fn tell(watch: &mut dyn Watch, progress: &Progress) -> Result<(), PrepareError> {
    match watch.progress(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(PrepareError::Stopped),
    }
}

/// Returns the bytes of all inputs, or `None` if standard input is among them.
pub(crate) fn total_bytes(inputs: &[Input]) -> Option<u64> {
    inputs.iter().map(|input| input.path.as_ref().map(|_| input.length)).sum()
}

/// Groups adjacent pieces: up to `most` bytes of text in each group, but at least one piece.
fn groups(batch: &[Fated], most: usize) -> impl Iterator<Item = &[Fated]> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|piece| {
            bytes += piece.text.len();
            bytes <= most
        });
        let count = fitting.count().max(1).min(rest.len());
        let (group, later) = rest.split_at(count);
        rest = later;
        (!group.is_empty()).then_some(group)
    })
}

/// Checks that the manifest and the lengths of the shards still match an earlier result.
fn check_result(folder: &Path, report: &Report) -> Result<(), OutputError> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path).map_err(|source| OutputError::new(&path, source))?;
    let manifest = Manifest::read(&bytes).map_err(OutputError::Manifest)?;
    if manifest.hash() != report.dataset {
        let reason = format!("it names the dataset {} instead of {}", manifest.hash(), report.dataset);
        return Err(OutputError::Journal { path, reason });
    }
    crate::shard_files(&manifest).try_for_each(|(name, shard)| {
        let path = folder.join(name);
        let expected = manifest.shard_bytes(shard);
        let found = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if found == expected { Ok(()) } else { Err(OutputError::Shard { path, found, expected }) }
    })
}
