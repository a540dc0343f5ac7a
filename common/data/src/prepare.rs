//! The work: find, tokenize, write, seal.

use crate::{
    InputError, Options, OutputError, Phase, PrepareError, Progress, Report, TextTokenizer, TokenizerChoice,
    Warning, Watch,
    corpus::{Corpus, Fated},
    files::{MANIFEST, TOKENIZER, write_atomically},
    inputs::{self, Input},
    journal::{Journal, Work},
    sample::Sample,
    shards::Shards,
    tokenizer::{self, TokenizerError},
};
use common::{
    dataset::{Manifest, Role, TokenType},
    digest::TokenizerHash,
};
use rayon::prelude::*;
use std::{fs, ops::ControlFlow, path::Path};

/// Turns text into the shards and the manifest of a dataset. Goes on where an earlier call with the same options and
/// inputs ended, however it ended; the files come out the same.
///
/// # Errors
/// Names the file and line that cannot be used, or what else is in the way. What is done stays done.
pub fn prepare(options: &Options, watch: &mut dyn Watch) -> Result<Report, PrepareError> {
    options.check()?;
    let inputs = find_inputs(options, watch)?;
    let given = given_tokenizer(options)?;
    let work = Work::open(&options.out, options.restart)?;
    let hash = given.as_ref().map(|(_, bytes)| TokenizerHash::of(&[bytes]));
    let journal = work.load()?;
    // A tokenizer that was trained on all inputs depends on all of them.
    let all_done = journal.complete || given.is_none();
    work.agree(&options.identity(hash), &inputs, (!all_done).then_some(&journal.position))?;
    if let Some(report) = journal.report {
        check_result(&options.out, &report)?;
        return Ok(Report { found_done: true, ..report });
    }
    let tokenizer = place_tokenizer(options, &inputs, given, watch)?;
    let mut run = Run::new(options, &inputs, &tokenizer, work, journal)?;
    run.tokenize(watch)?;
    run.seal(watch)
}

fn find_inputs(options: &Options, watch: &mut dyn Watch) -> Result<Vec<Input>, InputError> {
    let found = inputs::find(&options.inputs, options.format)?;
    if let Some(example) = found.example {
        watch.warning(&Warning::PassedOver { files: found.passed_over, example });
    }
    Ok(found.inputs)
}

/// Name and bytes of the tokenizer that was given; it is checked before anything is written.
fn given_tokenizer(options: &Options) -> Result<Option<(String, Vec<u8>)>, TokenizerError> {
    let TokenizerChoice::File(path) = &options.tokenizer else { return Ok(None) };
    let bytes = fs::read(path).map_err(|source| TokenizerError::Read { path: path.clone(), source })?;
    let name = path.display().to_string();
    TextTokenizer::new(&name, &bytes, options.end_of_text.as_deref())?;
    Ok(Some((name, bytes)))
}

/// The tokenizer, which lies beside the shards afterwards.
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

/// The tokenizer that this preparation trained before, or trains now.
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

/// A preparation under way.
struct Run<'a> {
    options: &'a Options,
    tokenizer: &'a TextTokenizer,
    inputs: &'a [Input],
    tokens: TokenType,
    training: Shards,
    held_out: Shards,
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
        let shards = |role, total| Shards::resume(&options.out, role, tokens, options.full_shard(), total);
        let training = shards(Role::Training, journal.training)?;
        let held_out = shards(Role::HeldOut, journal.held_out)?;
        let corpus = Corpus::new(inputs, options, journal.position.clone(), journal.counts);
        Ok(Self { options, tokenizer, inputs, tokens, training, held_out, corpus, work, journal })
    }

    /// All text into the shards.
    fn tokenize(&mut self, watch: &mut dyn Watch) -> Result<(), PrepareError> {
        let mut unsaved = 0;
        self.tell(watch)?;
        while !self.journal.complete {
            let batch = self.corpus.batch(self.options.pace.batch);
            self.corpus.warnings.drain(..).for_each(|warning| watch.warning(&warning));
            // The position that was saved last is before a bad place: once that is corrected, work goes on from there.
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
        match watch.progress(&self.progress(Phase::Tokenizing)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PrepareError::Stopped),
        }
    }

    /// Tokenizes pieces, in parallel, and appends them in their order. Returns the bytes of text.
    fn append(&mut self, batch: &[Fated]) -> Result<u64, PrepareError> {
        let mut bytes = 0;
        for group in groups(batch, self.options.pace.batch) {
            let tokens: Result<Vec<_>, _> =
                group.par_iter().map(|piece| self.tokenizer.encode(&piece.text)).collect();
            for (piece, tokens) in group.iter().zip(tokens?) {
                let shards = match piece.role {
                    Role::Training => &mut self.training,
                    Role::HeldOut => &mut self.held_out,
                };
                shards.append(&tokens)?;
                if piece.last {
                    shards.append(&[self.tokenizer.end_of_text])?;
                }
                bytes += piece.text.len() as u64;
            }
        }
        Ok(bytes)
    }

    /// Saves the shards, then the position that goes with them.
    fn save(&mut self) -> Result<(), OutputError> {
        self.training.save()?;
        self.held_out.save()?;
        self.journal.position = self.corpus.position();
        self.journal.counts = self.corpus.counts;
        (self.journal.training, self.journal.held_out) = (self.training.total(), self.held_out.total());
        self.work.save(&self.journal)
    }

    /// Cuts the shards to whole blocks and sequences.
    fn complete(&mut self, watch: &mut dyn Watch) -> Result<(), PrepareError> {
        self.save()?;
        let counts = self.corpus.counts;
        if counts.documents == 0 {
            let names: Vec<_> = self.options.inputs.iter().map(|name| name.display().to_string()).collect();
            return Err(InputError::Empty(names.join(", ")).into());
        }
        let block = self.options.block_tokens();
        let (training, held_out) = (self.training.total(), self.held_out.total());
        let (more, rest) = (training % block, held_out % u64::from(self.options.sequence));
        if training < block {
            return Err(
                OutputError::TooLittle { found: training, block, sequence: self.options.sequence }.into()
            );
        }
        if self.options.held_out > 0.0 && held_out == rest {
            watch.warning(&Warning::NothingHeldOut { documents: counts.documents });
        }
        self.journal = Journal {
            training: training - more,
            held_out: held_out - rest,
            dropped: more + rest,
            complete: true,
            ..self.journal.clone()
        };
        self.work.save(&self.journal)?;
        self.cut_back()
    }

    fn cut_back(&mut self) -> Result<(), PrepareError> {
        let shards = |role, total| {
            Shards::resume(&self.options.out, role, self.tokens, self.options.full_shard(), total)
        };
        self.training = shards(Role::Training, self.journal.training)?;
        self.held_out = shards(Role::HeldOut, self.journal.held_out)?;
        Ok(())
    }

    /// Hashes the shards and writes their tables, then the manifest: with it the dataset is there.
    fn seal(mut self, watch: &mut dyn Watch) -> Result<Report, PrepareError> {
        let mut progress = self.progress(Phase::Hashing);
        progress.done = 0;
        progress.total = Some(progress.tokens * self.tokens.bytes());
        let mut step = |bytes| {
            progress.done += bytes;
            watch.progress(&progress) != ControlFlow::Break(())
        };
        let (sequence, block) = (u64::from(self.options.sequence), self.options.block_tokens());
        let mut shards = Vec::new();
        for set in [&self.training, &self.held_out] {
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
            training: self.journal.training,
            held_out: self.journal.held_out,
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
            tokens: self.training.total() + self.held_out.total(),
        }
    }
}

/// Bytes of all inputs; none if standard input is among them.
pub(crate) fn total_bytes(inputs: &[Input]) -> Option<u64> {
    inputs.iter().map(|input| input.path.as_ref().map(|_| input.length)).sum()
}

/// Neighbours with at most `most` bytes of text together, or alone.
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

/// Checks that a result is still what it was.
fn check_result(folder: &Path, report: &Report) -> Result<(), OutputError> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path).map_err(|source| OutputError::new(&path, source))?;
    let manifest = Manifest::read(&bytes).map_err(OutputError::Manifest)?;
    if manifest.hash() != report.dataset {
        let reason = format!("it names {}, {} was made", manifest.hash(), report.dataset);
        return Err(OutputError::Journal { path, reason });
    }
    crate::shard_files(&manifest).try_for_each(|(name, shard)| {
        let (path, expected) = (folder.join(name), manifest.shard_bytes(shard));
        let found = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if found == expected { Ok(()) } else { Err(OutputError::Shard { path, found, expected }) }
    })
}
