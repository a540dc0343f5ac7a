//! Error feedback: the part of the pseudo-gradients that was not sent yet, and the sent part that is not
//! decided.

use crate::{MinerError, submissions::at, work::compress_all};
use base::{
    NeuronId, Window,
    digest::{ObjectHash, RunHash},
};
use bytes::Bytes;
use codec::{
    chunks::Geometry,
    feedback,
    sparse::{Source, SparseTensor},
    submission::{Submission, SubmissionLayout},
};
use node::{FileError, replace};
use protocol::history::History;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    ops::Range,
    path::Path,
    sync::Arc,
};

/// The first bytes of the file: its kind, and the version of the format.
const MAGIC: &[u8; 8] = b"mstrfb\0\x01";
const HASH: usize = 32;

/// A miner's error feedback: `e = beta e + delta` in each window, minus what was sent once it is accepted.
///
/// It is saved only every few windows. After a restart it may lack some windows. The accepted values of those
/// windows are cleared in it, so that nothing is sent twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    run: RunHash,
    layout: Arc<SubmissionLayout>,
    values: Vec<f32>,
    /// The first window whose pseudo-gradient is not included.
    next: Window,
    /// All windows before this one are settled.
    settled: Window,
    /// The submissions of windows that are not settled, in order.
    pending: VecDeque<Pending>,
}

/// A submission whose window is not settled.
#[derive(Clone, Debug, PartialEq)]
struct Pending {
    window: Window,
    object: ObjectHash,
    sent: Vec<SparseTensor>,
}

impl Feedback {
    /// Creates empty error feedback.
    #[must_use]
    pub fn new(run: RunHash, layout: Arc<SubmissionLayout>) -> Self {
        let values = vec![0.0; layout.tensors().iter().map(|tensor| tensor.geometry().len()).sum()];
        Self { run, layout, values, next: Window(0), settled: Window(0), pending: VecDeque::new() }
    }

    /// Returns the first window that is not settled.
    #[must_use]
    pub fn settled(&self) -> Window {
        self.settled
    }

    /// Adds a window's pseudo-gradient, and selects and quantizes the values of the sum to send. Uses
    /// `threads` threads.
    ///
    /// # Errors
    /// A value of the sum is not finite: training has diverged.
    ///
    /// # Panics
    /// The pseudo-gradient has another length.
    pub fn compress(
        &mut self,
        window: Window,
        pseudo_gradient: &[f32],
        threads: usize,
    ) -> Result<Vec<SparseTensor>, MinerError> {
        assert_eq!(pseudo_gradient.len(), self.values.len(), "a pseudo-gradient has the shape of the model");
        self.next = Window(window.0 + 1);
        let source = Source::Feedback { error: &mut self.values, pseudo_gradient };
        compress_all(source, &self.layout, threads)
    }

    /// Notes a submission that is sent.
    pub fn send(&mut self, window: Window, object: ObjectHash, sent: Vec<SparseTensor>) {
        self.pending.push_back(Pending { window, object, sent });
    }

    /// Notes a submission that was sent before a restart.
    pub fn resend(&mut self, submission: &Submission<Bytes>) {
        let decode = |number| submission.tensor(number).ok();
        let sent: Option<Vec<_>> = (0..self.layout.tensors().len()).map(decode).collect();
        let (window, object) = (submission.header().window, submission.hash());
        if let Some(sent) = sent.filter(|_| window >= self.settled) {
            self.send(window, object, sent);
        }
    }

    /// Settles all windows that are decided in `history`: subtracts the accepted submissions, and returns
    /// their number. A window that the history no longer holds counts as not accepted.
    pub fn settle(&mut self, neuron: &NeuronId, history: &History) -> usize {
        let mut accepted = 0;
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.window < history.next()) {
            let mut records = history.records().filter(|record| record.window == pending.window);
            let ours = |record: &protocol::history::WindowRecord| {
                record.accepted.iter().any(|a| a.id == *neuron && a.object == pending.object)
            };
            if records.any(ours) {
                self.subtract(&pending);
                accepted += 1;
            }
        }
        self.settled = self.settled.max(history.next());
        accepted
    }

    fn subtract(&mut self, pending: &Pending) {
        let includes = pending.window < self.next;
        for ((geometry, place), sent) in places(&self.layout).zip(&pending.sent) {
            let values = &mut self.values[place];
            if includes {
                feedback::settle(values, &geometry, sent)
            } else {
                sent.for_each(&geometry, |coordinate, _| values[coordinate] = 0.0)
            }
        }
    }

    /// Saves it in a file, in one step. The file does not hold pending submissions: see [`Self::resend`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        replace(path, |file| {
            let mut hasher = blake3::Hasher::new();
            let mut put = |bytes: &[u8]| {
                hasher.update(bytes);
                file.write_all(bytes)
            };
            put(MAGIC)?;
            put(&self.run.0)?;
            for number in [self.next.0, self.settled.0, self.values.len() as u64] {
                put(&number.to_le_bytes())?;
            }
            put(bytemuck::cast_slice(&self.values))?;
            file.write_all(hasher.finalize().as_bytes())
        })
    }

    /// Reads it from a file. Returns `None` if the file does not exist, is damaged, or is of another run
    /// or model.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn read(path: &Path, run: RunHash, layout: Arc<SubmissionLayout>) -> Result<Option<Self>, FileError> {
        let mut found = Self::new(run, layout);
        match File::open(path).and_then(|mut file| found.fill(&mut file)) {
            Ok(()) => Ok(Some(found)),
            Err(error) if is_none(&error) => Ok(None),
            Err(error) => Err(at(path)(error)),
        }
    }

    fn fill(&mut self, file: &mut dyn Read) -> io::Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut get = |bytes: &mut [u8]| {
            file.read_exact(bytes)?;
            hasher.update(bytes);
            Ok::<_, io::Error>(())
        };
        let mut magic = [0; MAGIC.len()];
        let mut run = [0; HASH];
        let mut numbers = [[0; 8]; 3];
        get(&mut magic)?;
        get(&mut run)?;
        numbers.iter_mut().try_for_each(|number| get(number))?;
        let [next, settled, len] = numbers.map(u64::from_le_bytes);
        if (&magic, run, len) != (MAGIC, self.run.0, self.values.len() as u64) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        get(bytemuck::cast_slice_mut(&mut self.values))?;
        let mut hash = [0; HASH];
        file.read_exact(&mut hash)?;
        if hasher.finalize() != hash {
            return Err(io::ErrorKind::InvalidData.into());
        }
        (self.next, self.settled) = (Window(next), Window(settled));
        Ok(())
    }
}

/// Checks whether a file does not exist, or is not of this run.
fn is_none(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | InvalidData | UnexpectedEof)
}

/// Returns the chunks of each tensor, and the place of its values in one flat buffer.
fn places(layout: &SubmissionLayout) -> impl Iterator<Item = (Geometry, Range<usize>)> {
    let mut start = 0;
    layout.tensors().iter().map(move |tensor| {
        let place = start..start + tensor.geometry().len();
        start = place.end;
        (*tensor.geometry(), place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Height, Hotkey, digest::State, tensor::TensorRole, tensor::TensorSpec};
    use codec::sparse::{Quantizer, SparseSpec};
    use protocol::{
        acceptance::{Accepted, Decision, Electorate, NullWindow},
        run_spec::RunFile,
    };

    const OBJECT: ObjectHash = ObjectHash([5; 32]);
    const US: NeuronId = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(7) };

    fn layout() -> Arc<SubmissionLayout> {
        let text = include_str!("../../deploy/runs/tiny.toml");
        let spec = SparseSpec { quantizer: Quantizer::F32, ..RunFile::parse(text).unwrap().sparse };
        let tensor = |name: &str, shape: &[usize]| TensorSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
            role: TensorRole::Matrix,
        };
        Arc::new(SubmissionLayout::new(&[tensor("a", &[64, 128]), tensor("b", &[64])], &spec).unwrap())
    }

    fn delta(layout: &SubmissionLayout, seed: u32) -> Vec<f32> {
        let len = layout.tensors().iter().map(|tensor| tensor.geometry().len()).sum::<usize>();
        let value = |at: usize| {
            let bits = (at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(0x9e37_79b9);
            bits as f32 / u32::MAX as f32 - 0.5
        };
        (0..len).map(value).collect()
    }

    /// Returns a history in which these windows accepted our object, and the others nothing.
    fn history(windows: u64, accepted: &[u64]) -> History {
        let mut history = History::new(&RunHash([9; 32]));
        for window in 0..windows {
            let ours = vec![Accepted { id: US, object: OBJECT }];
            let accepted = if accepted.contains(&window) { Ok(ours) } else { Err(NullWindow::NoVotes) };
            let candidates = Vec::new();
            let turnout = std::collections::BTreeSet::new();
            let electorate = Electorate::default();
            let window = Window(window);
            let decision = Decision { window, accepted, state: None, candidates, turnout, electorate };
            history.push(&decision, State([0; 32])).unwrap();
        }
        history
    }

    /// Makes one window. Returns the feedback before it is settled, and the sent values.
    fn made() -> (Feedback, Vec<SparseTensor>) {
        let mut feedback = Feedback::new(RunHash([9; 32]), layout());
        let sent = feedback.compress(Window(0), &delta(&feedback.layout, 1), 1).unwrap();
        feedback.send(Window(0), OBJECT, sent.clone());
        (feedback, sent)
    }

    fn zeros(feedback: &Feedback) -> usize {
        feedback.values.iter().filter(|value| **value == 0.0).count()
    }

    #[test]
    fn what_was_accepted_is_subtracted_once() {
        let (mut feedback, sent) = made();
        assert_eq!(feedback.settle(&US, &history(0, &[])), 0, "nothing is decided");
        let before = zeros(&feedback);
        assert_eq!(feedback.settle(&US, &history(1, &[0])), 1);
        let values: usize = sent.iter().map(|tensor| tensor.positions().len()).sum();
        assert!(values >= 128);
        assert_eq!(zeros(&feedback), before + values);
        let settled = feedback.clone();
        assert_eq!(feedback.settle(&US, &history(1, &[0])), 0, "settled twice");
        assert_eq!(feedback, settled);
    }

    #[test]
    fn what_was_not_accepted_stays_whole() {
        let (mut feedback, _) = made();
        let before = feedback.values.clone();
        assert_eq!(feedback.settle(&US, &history(1, &[])), 0);
        assert_eq!(feedback.values, before);
        let other = NeuronId { registered: Height(8), ..US };
        let (mut feedback, _) = made();
        assert_eq!(feedback.settle(&other, &history(1, &[0])), 0, "another registration is another miner");
        let (mut feedback, _) = made();
        feedback.pending[0].object = ObjectHash([6; 32]);
        assert_eq!(feedback.settle(&US, &history(1, &[0])), 0, "another object is not ours");
        assert_eq!(feedback.values, before);
    }

    #[test]
    fn what_was_saved_goes_on_after_a_restart() {
        let (mut feedback, sent) = made();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feedback");
        let read = || Feedback::read(&path, RunHash([9; 32]), layout()).unwrap();
        assert_eq!(read(), None);
        feedback.save(&path).unwrap();
        let mut again = read().unwrap();
        again.send(Window(0), OBJECT, sent);
        assert_eq!(again, feedback);
        feedback.settle(&US, &history(1, &[0]));
        again.settle(&US, &history(1, &[0]));
        assert_eq!(again, feedback);
        feedback.save(&path).unwrap();
        assert_eq!(read().unwrap(), feedback);
        assert_eq!(read().unwrap().settled(), Window(1));
    }

    #[test]
    fn who_lacks_a_window_does_not_send_its_own_again() {
        let (mut feedback, _) = made();
        feedback.settle(&US, &history(1, &[]));
        let saved = feedback.clone();
        // Window 1 is made and accepted, but the feedback is that of before.
        let sent = feedback.compress(Window(1), &delta(&feedback.layout, 2), 2).unwrap();
        let mut restarted = saved.clone();
        restarted.send(Window(1), OBJECT, sent.clone());
        assert_eq!(restarted.settle(&US, &history(2, &[1])), 1);
        let values: usize = sent.iter().map(|tensor| tensor.positions().len()).sum();
        assert_eq!(zeros(&restarted), zeros(&saved) + values);
        let kept = restarted.values.iter().zip(&saved.values).filter(|(now, before)| now == before).count();
        assert_eq!(kept, saved.values.len() - values);
    }

    #[test]
    fn a_damaged_file_is_none() {
        let (feedback, _) = made();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feedback");
        feedback.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8], run: u8| {
            std::fs::write(&path, bytes).unwrap();
            Feedback::read(&path, RunHash([run; 32]), layout()).unwrap()
        };
        assert!(read(&bytes, 9).is_some());
        assert_eq!(read(&bytes, 8), None, "of another run");
        assert_eq!(read(&bytes[..bytes.len() - 1], 9), None, "cut off");
        for at in [0, 20, 45, 60, bytes.len() / 2, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(read(&bytes, 9), None, "changed at {at}");
        }
        let missing = folder.path().join("no/folder");
        assert!(feedback.save(&missing).unwrap_err().to_string().contains("no/folder"));
    }
}
