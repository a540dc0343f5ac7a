//! The text sample that trains a tokenizer.

use crate::{
    Counts, Options, Phase, PrepareError, Progress, Watch,
    corpus::{Corpus, Fated, Position},
    inputs::Input,
    prepare::total_bytes,
};
use protocol::dataset::ShardRole;
use std::ops::ControlFlow;

/// The texts that train a tokenizer: pieces of randomly drawn training documents, up to a number of bytes.
pub(crate) struct Sample<'a> {
    corpus: Corpus<'a>,
    watch: &'a mut dyn Watch,
    total: Option<u64>,
    batch: std::vec::IntoIter<Fated>,
    share: f64,
    left: u64,
    end: Result<(), PrepareError>,
}

impl<'a> Sample<'a> {
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact, only the same everywhere")]
    pub(crate) fn new(
        options: &'a Options,
        inputs: &'a [Input],
        sample: u64,
        watch: &'a mut dyn Watch,
    ) -> Self {
        let total: u64 = inputs.iter().map(|input| input.length).sum();
        Self {
            corpus: Corpus::new(inputs, options, Position::default(), Counts::default()),
            watch,
            total: total_bytes(inputs),
            batch: Vec::new().into_iter(),
            share: sample as f64 / total.max(1) as f64,
            left: sample,
            end: Ok(()),
        }
    }

    fn next_piece(&mut self) -> Result<Option<Fated>, PrepareError> {
        loop {
            if let Some(piece) = self.batch.next() {
                return Ok(Some(piece));
            }
            self.tell()?;
            let batch = self.corpus.batch(self.corpus.options().pace.batch)?;
            if batch.is_empty() {
                return Ok(None);
            }
            self.batch = batch.into_iter();
        }
    }

    fn tell(&mut self) -> Result<(), PrepareError> {
        let done = self.corpus.taken();
        let counts = self.corpus.counts;
        let progress = Progress { phase: Phase::Training, done, total: self.total, counts, tokens: 0 };
        match self.watch.progress(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PrepareError::Stopped),
        }
    }

    /// Returns the error that ended the texts early, if any.
    pub(crate) fn finish(self) -> Result<(), PrepareError> {
        self.end
    }
}

impl Iterator for Sample<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while self.left > 0 && self.end.is_ok() {
            match self.next_piece() {
                Ok(None) => return None,
                Ok(Some(piece)) if piece.role == ShardRole::Training && piece.lot.is_sampled(self.share) => {
                    self.left = self.left.saturating_sub(piece.text.len() as u64);
                    return Some(piece.text);
                }
                Ok(Some(_)) => {}
                Err(error) => self.end = Err(error),
            }
        }
        None
    }
}
