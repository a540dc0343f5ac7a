//! The sizes and times of a run: heights and rules from its run file, work from its comments.

use codec::submission::SubmissionLayout;
use protocol::{acceptance::AcceptanceSpec, clock::WindowSpec, model::ParameterLayout, run_spec::RunFile};

/// The runs that can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum ProfileName {
    /// `deploy/runs/tiny.toml`: blocks of one second.
    Tiny,
    /// `deploy/runs/150m.toml`.
    #[value(name = "150m")]
    M150,
    /// `deploy/runs/1b.toml`.
    #[value(name = "1b")]
    B1,
    /// `deploy/runs/8b.toml`.
    #[value(name = "8b")]
    B8,
    /// `deploy/runs/covenant-72b.toml`.
    #[value(name = "72b")]
    B72,
}

/// The sizes and times of a run. Times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// The lengths and deadlines of windows.
    pub(crate) window: WindowSpec,
    /// The rules of acceptance.
    pub(crate) acceptance: AcceptanceSpec,
    /// The time from block to block.
    pub(crate) block: u64,
    /// The bytes of a submission.
    pub(crate) object_bytes: u64,
    /// The bytes of a checkpoint: four for each parameter.
    pub(crate) checkpoint_bytes: u64,
    /// The times of the work.
    pub(crate) work: Work,
}

/// The times of a node's work, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// The inner steps of a window.
    pub(crate) train: u64,
    /// Compression and sealing of an update.
    pub(crate) compress: u64,
    /// Decryption and check of a submission.
    pub(crate) open: u64,
    /// The screen of one candidate.
    pub(crate) screen: u64,
    /// The evaluation of one miner.
    pub(crate) evaluate: u64,
    /// The outer step, with the journal.
    pub(crate) apply: u64,
}

impl ProfileName {
    /// Returns the text of the run file.
    fn file(self) -> &'static str {
        match self {
            Self::Tiny => include_str!("../../../runs/tiny.toml"),
            Self::M150 => include_str!("../../../runs/150m.toml"),
            Self::B1 => include_str!("../../../runs/1b.toml"),
            Self::B8 => include_str!("../../../runs/8b.toml"),
            Self::B72 => include_str!("../../../runs/covenant-72b.toml"),
        }
    }

    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::M150 => "150m",
            Self::B1 => "1b",
            Self::B8 => "8b",
            Self::B72 => "72b",
        }
    }

    /// Returns the times of the work. Training and screen are those of the run file's comments. An
    /// evaluation has eight times the sequences of a screen. The others are assumptions.
    fn work(self) -> Work {
        let [train, compress, open, screen, evaluate, apply] = match self {
            Self::Tiny => [2_000, 200, 5, 40, 200, 50],
            Self::M150 => [76_000, 2_000, 20, 75, 600, 500],
            Self::B1 => [284_000, 5_000, 100, 400, 3_200, 2_000],
            Self::B8 => [270_000, 8_000, 500, 333, 2_700, 4_000],
            Self::B72 => [1_200_000, 20_000, 1_000, 3_050, 24_400, 12_000],
        };
        Work { train, compress, open, screen, evaluate, apply }
    }
}

impl Profile {
    /// Reads a run file of the repository. The run has `windows` windows.
    ///
    /// # Errors
    /// The run file is not valid. The text names the file and the reason.
    pub(crate) fn new(name: ProfileName, windows: u32) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("the run file {}: {error}", name.name());
        let file = RunFile::parse(name.file()).map_err(|error| wrong(&error))?;
        let layout = ParameterLayout::new(&file.model);
        let tensors: Vec<_> = layout.iter().map(|(tensor, _)| tensor.clone()).collect();
        let submission = SubmissionLayout::new(&tensors, &file.sparse).map_err(|error| wrong(&error))?;
        Ok(Self {
            window: WindowSpec { count: windows, ..file.window },
            acceptance: file.acceptance,
            block: if name == ProfileName::Tiny { 1_000 } else { 12_000 },
            object_bytes: submission.most_bytes(),
            checkpoint_bytes: 4 * file.model.parameters(),
            work: name.work(),
        })
    }

    /// Lets training take all time of a window in which the model is free: with staleness 1 the exchange of
    /// the window before goes on meanwhile.
    pub(crate) fn fill_windows(&mut self) {
        let Work { compress, apply, .. } = self.work;
        self.work.train = self.window_time().saturating_sub(compress + apply);
    }

    /// Returns the length of a window in milliseconds.
    pub(crate) fn window_time(&self) -> u64 {
        u64::from(self.window.blocks) * self.block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_run_files() {
        let bytes = |name| Profile::new(name, 8).unwrap().object_bytes;
        assert!((25_000..40_000).contains(&bytes(ProfileName::Tiny)));
        assert!((4_000_000..4_300_000).contains(&bytes(ProfileName::M150)));
        assert!((1_300_000_000..1_450_000_000).contains(&bytes(ProfileName::B72)));
    }
}
