//! Reader of Parquet: one document per row, from one column of strings.
//!
//! Only that column is read, page by page. One page is held in memory; its size is the writer's choice
//! (usually 1 MiB).

use crate::{InputError, Piece, Place, inputs::Input};
use parquet::{
    basic::Type,
    column::reader::{ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    schema::types::SchemaDescriptor,
};
use std::{
    collections::VecDeque,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The number of rows that are read at once.
const ROWS: usize = 64;

/// The documents of a Parquet file.
pub(crate) struct Parquet {
    name: String,
    file: SerializedFileReader<File>,
    column: usize,
    /// The number of rows before the next document.
    row: u64,
    /// The index of the next row group.
    group: usize,
    /// The number of unread rows in the current row group.
    left: u64,
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
    ready: VecDeque<Option<ByteArray>>,
}

impl Parquet {
    /// Opens a file at `row`, counted from 0.
    pub(crate) fn open(input: &Input, column: &str, row: u64) -> Result<Self, InputError> {
        let name = input.to_string();
        let path = input.path.as_ref().ok_or_else(|| InputError::ParquetStream(name.clone()))?;
        let file =
            File::open(path).map_err(|source| InputError::Read { name: name.clone(), line: None, source })?;
        let refuse =
            |e: ParquetError| InputError::Parquet { name: name.clone(), row: None, reason: reason(&e) };
        let file = guarded(|| SerializedFileReader::new(file)).map_err(refuse)?;
        let column = find_column(&name, file.metadata().file_metadata().schema_descr(), column)?;
        let mut this =
            Self { name, file, column, row: 0, group: 0, left: 0, reader: None, ready: VecDeque::new() };
        this.skip(row)?;
        Ok(this)
    }

    /// Returns the number of rows before the next document.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    /// Returns the number of rows in the file.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// Reads the next document. A row without a value is an empty document.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, InputError> {
        while self.ready.is_empty() {
            if self.left == 0 && !self.next_group()? {
                return Ok(None);
            }
            self.read()?;
        }
        let value = self.ready.pop_front().flatten();
        self.row += 1;
        // Messages count rows from 1, like lines.
        let place = Place { name: self.name.clone(), line: self.row };
        let bytes = value.as_ref().map_or(&[][..], ByteArray::data);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Piece { place, text: text.to_owned(), first: true, last: true })),
            Err(error) => Err(self.broken(&format!("its text is not UTF-8 ({error})"))),
        }
    }

    /// Begins the next row group. Returns `false` at the end of the file.
    fn next_group(&mut self) -> Result<bool, InputError> {
        let groups = self.file.metadata().row_groups();
        let Some(group) = groups.get(self.group) else { return Ok(false) };
        self.left = u64::try_from(group.num_rows()).unwrap_or_default();
        let reader = guarded(|| {
            let reader = self.file.get_row_group(self.group)?.get_column_reader(self.column)?;
            Ok(get_typed_column_reader(reader))
        });
        self.reader = Some(reader.map_err(|e| self.broken(&reason(&e)))?);
        self.group += 1;
        Ok(true)
    }

    /// Reads some rows of the current row group.
    fn read(&mut self) -> Result<(), InputError> {
        let rows = usize::try_from(self.left).unwrap_or(ROWS).min(ROWS);
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let result = match &mut self.reader {
            Some(reader) if rows > 0 => {
                guarded(|| reader.read_records(rows, Some(&mut levels), None, &mut values))
            }
            _ => return Ok(()),
        };
        let (read, _, _) = result.map_err(|e| self.broken(&reason(&e)))?;
        if read == 0 {
            return Err(self.broken("it ends before its last row"));
        }
        self.left -= read as u64;
        let most = self.file.metadata().file_metadata().schema_descr().column(self.column).max_def_level();
        let mut values = values.into_iter();
        if most == 0 {
            self.ready.extend(values.map(Some));
        } else {
            let rows = levels.iter().map(|&level| if level == most { values.next() } else { None });
            self.ready.extend(rows);
        }
        Ok(())
    }

    /// Skips rows without reading their texts, whole row groups where possible.
    fn skip(&mut self, rows: u64) -> Result<(), InputError> {
        while self.row < rows {
            if !self.next_group()? {
                return Err(InputError::Changed(self.name.clone()));
            }
            let pass = self.left.min(rows - self.row);
            if pass < self.left {
                let count = usize::try_from(pass).unwrap_or(usize::MAX);
                let skipped = match &mut self.reader {
                    Some(reader) => guarded(|| reader.skip_records(count)),
                    None => Ok(0),
                };
                if skipped.map_err(|e| self.broken(&reason(&e)))? != count {
                    return Err(InputError::Changed(self.name.clone()));
                }
            }
            self.left -= pass;
            self.row += pass;
        }
        Ok(())
    }

    fn broken(&self, reason: &str) -> InputError {
        InputError::Parquet { name: self.name.clone(), row: Some(self.row + 1), reason: reason.into() }
    }
}

/// Returns the index of a column of strings.
fn find_column(name: &str, schema: &SchemaDescriptor, column: &str) -> Result<usize, InputError> {
    let columns = schema.columns();
    let Some(place) = columns.iter().position(|c| c.path().string() == column) else {
        let has: Vec<_> = columns.iter().map(|c| c.path().string()).collect();
        let has = if has.is_empty() { "none".into() } else { has.join(", ") };
        return Err(InputError::NoColumn { name: name.into(), column: column.into(), has });
    };
    let (kind, repeated) = (columns[place].physical_type(), columns[place].max_rep_level() > 0);
    if kind != Type::BYTE_ARRAY || repeated {
        let found = format!("{}{kind}", if repeated { "a list of " } else { "" });
        return Err(InputError::NotTextColumn { name: name.into(), column: column.into(), found });
    }
    Ok(place)
}

/// Calls the library, and turns its panics into errors: it panics on some damaged files. After an error, the
/// reader is not used any more.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(ParquetError::General(format!("it is damaged ({})", said.unwrap_or_default())))
    })
}

/// Returns the message of a Parquet error without its prefix.
fn reason(error: &ParquetError) -> String {
    let text = error.to_string();
    text.strip_prefix("Parquet error: ").unwrap_or(&text).trim_end_matches('.').to_owned()
}
