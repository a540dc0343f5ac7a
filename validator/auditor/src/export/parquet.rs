//! Writes Parquet: all columns are optional, and the data is compressed with Zstandard.

use super::rows::{COLUMNS, Cell, Column, Kind, Row};
use ::parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    column::writer::ColumnWriter,
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::{Type, TypePtr},
};
use std::{io::Write, sync::Arc};

/// A writer of a Parquet file.
pub(super) struct Parquet<W: Write + Send> {
    file: SerializedFileWriter<W>,
}

impl<W: Write + Send> Parquet<W> {
    /// Begins a file.
    pub(super) fn new(to: W) -> Result<Self, ParquetError> {
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
        Ok(Self { file: SerializedFileWriter::new(to, schema()?, Arc::new(properties))? })
    }

    /// Writes rows as one row group.
    pub(super) fn rows(&mut self, rows: &[Row<'_>]) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in &COLUMNS {
            let mut writer = group.next_column()?.ok_or_else(|| lacks(column))?;
            write_column(&mut writer, column, rows)?;
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer, without which the file is not valid, and returns the inner writer.
    pub(super) fn finish(self) -> Result<W, ParquetError> {
        self.file.into_inner()
    }
}

fn lacks(column: &Column) -> ParquetError {
    ParquetError::General(format!("the file has no column {}", column.name))
}

fn schema() -> Result<TypePtr, ParquetError> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Whole => (Physical::INT64, None),
            Kind::Real => (Physical::DOUBLE, None),
        };
        let builder = Type::primitive_type_builder(column.name, physical);
        builder.with_logical_type(logical).with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
    };
    let fields = COLUMNS.iter().map(field).collect::<Result<_, _>>()?;
    Type::group_type_builder("scores").with_fields(fields).build().map(Arc::new)
}

fn write_column(
    writer: &mut SerializedColumnWriter<'_>,
    column: &Column,
    rows: &[Row<'_>],
) -> Result<(), ParquetError> {
    let cells: Vec<Cell> = rows.iter().map(column.cell).collect();
    // Definition levels: 1 for a value, 0 for an empty cell.
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(*cell != Cell::Nothing)).collect();
    match writer.untyped() {
        ColumnWriter::Int64ColumnWriter(_) => {
            let values: Vec<i64> = cells.into_iter().filter_map(Cell::whole).collect();
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        ColumnWriter::DoubleColumnWriter(_) => {
            let values: Vec<f64> = cells.into_iter().filter_map(Cell::real).collect();
            writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
        _ => {
            let values: Vec<ByteArray> = cells.into_iter().filter_map(Cell::text).collect();
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    Ok(())
}

impl Cell {
    fn whole(self) -> Option<i64> {
        if let Self::Whole(number) = self { Some(number) } else { None }
    }

    fn real(self) -> Option<f64> {
        if let Self::Real(number) = self { Some(number) } else { None }
    }

    fn text(self) -> Option<ByteArray> {
        if let Self::Text(text) = self { Some(text.as_str().into()) } else { None }
    }
}
