//! The command `export`: writes the score logs of all validators as one table for other programs.

mod csv;
mod parquet;
mod rows;

use crate::{
    AuditError, OutError, RunFlags, Windows,
    audit::{Audited, Auditor},
    progress::Progress,
};
use base::Exit;
use clap::Args;
use rows::Row;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// Number of rows in one row group of a Parquet file.
const GROUP: usize = 1 << 16;

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportFlags {
    /// Windows to export: A..B (without B), A..=B, A.., ..B or .. (all complete windows).
    #[arg(value_name = "RANGE", default_value = "..")]
    windows: Windows,
    /// File to write: FILE.parquet or FILE.csv.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    run: RunFlags,
}

impl ExportFlags {
    /// Writes the file. Returns the text to print and the exit code.
    ///
    /// # Errors
    /// The chain cannot be reached, or the file cannot be written.
    pub(crate) async fn run(&self) -> Result<(String, Exit), AuditError> {
        let format = Format::of(&self.out)?;
        let auditor = self.run.open(Progress::new()).await?;
        let logs = auditor.logs(&self.windows).await?;
        let rows = rows(&auditor, &logs);
        write(&self.out, format, &rows)
            .map_err(|source| AuditError::Out { path: self.out.clone(), source })?;
        let mut text =
            format!("{}: {} rows of {} score logs", self.out.display(), rows.len(), logs.logs.len());
        for failure in &logs.failures {
            text.push_str(&format!("\nleft out: {failure}"));
        }
        Ok((text, if logs.failures.is_empty() { Exit::Good } else { Exit::Failed }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Parquet,
    Csv,
}

impl Format {
    fn of(path: &Path) -> Result<Self, AuditError> {
        match path.extension().and_then(OsStr::to_str) {
            Some("parquet") => Ok(Self::Parquet),
            Some("csv") => Ok(Self::Csv),
            _ => Err(AuditError::Ending(path.to_owned())),
        }
    }
}

fn rows<'a>(auditor: &'a Auditor, logs: &'a Audited) -> Vec<Row<'a>> {
    let scoring = &auditor.run().spec.scoring;
    logs.logs.iter().flat_map(|(uid, log)| Row::of(log, *uid, scoring)).collect()
}

fn write(path: &Path, format: Format, rows: &[Row<'_>]) -> Result<(), OutError> {
    let mut file = BufWriter::new(File::create(path)?);
    match format {
        Format::Csv => {
            csv::header(&mut file)?;
            rows.iter().try_for_each(|row| csv::row(&mut file, row))?;
        }
        Format::Parquet => {
            let mut parquet = parquet::Parquet::new(file)?;
            rows.chunks(GROUP).try_for_each(|rows| parquet.rows(rows))?;
            file = parquet.finish()?;
        }
    }
    Ok(file.flush()?)
}
