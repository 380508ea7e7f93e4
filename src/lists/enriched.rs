//! The third reading: the list written back, with what is added behind each row.

use crate::lists::Added;
use crate::lists::Input;
use crate::lists::ListError;
use crate::lists::Out;
use crate::lists::Scan;
use crate::lists::columns::Author;
use crate::lists::form::Dialect;
use crate::lists::form::Form;
use crate::lists::form::LineEnd;
use crate::lists::input::BUFFER;
use crate::lists::json_lines::JsonLines;
use crate::lists::table::Table;
use serde_json::Map;
use serde_json::Value;
use std::io;
use std::io::BufWriter;
use std::io::Write;

/// Reads the list again and writes it to `out` with what `added_to` tells of each row, by its number;
/// `None`, for a lead that has not ended, leaves the added cells empty. Rows are asked for in order,
/// each once.
///
/// # Errors
/// `Changed` when the list is not the one that was scanned, `Io` when writing fails, and whatever
/// `added_to` fails with: `out` is as it was before.
pub fn write_enriched<A: Added, E: From<ListError>>(
    input: &Input,
    scan: &Scan,
    out: &Out,
    mut added_to: impl FnMut(u64) -> Result<Option<A>, E>,
) -> Result<(), E> {
    let mut file = out.begin().map_err(|cause| out.failed(cause))?;
    let columns = match scan.author {
        Author::Somebody => A::COLUMNS,
        Author::OtherCommand => A::COLUMNS_TOO,
    };
    let mut rewrite = Rewrite::begin(input, scan, &mut file, out, columns)?;
    let mut number = 0;
    while rewrite.advance().map_err(ListError::since_scan)? {
        number += 1;
        let added = added_to(number)?;
        rewrite.write(added.as_ref()).map_err(|cause| out.failed(cause))?;
    }
    if rewrite.finish().map_err(|cause| out.failed(cause))? != scan.digest {
        return Err(input.changed().into());
    }
    out.publish(file).map_err(|cause| out.failed(cause))?;
    Ok(())
}

/// A list on its way from its reader to its writer.
enum Rewrite<'a, W: Write> {
    Csv(Table<'a>, Box<csv::Writer<W>>),
    /// With the keys that are added.
    Ndjson(JsonLines<'a>, BufWriter<W>, &'static [&'static str]),
}

impl<'a, W: Write> Rewrite<'a, W> {
    fn begin(
        input: &'a Input,
        scan: &'a Scan,
        to: W,
        out: &Out,
        columns: &'static [&'static str],
    ) -> Result<Self, ListError> {
        match scan.form {
            Form::Csv(dialect) => {
                let table = Table::open(input, dialect, &scan.mapping, scan.need).map_err(ListError::since_scan)?;
                let mut writer = csv_writer(dialect, to);
                let header = table.header().iter().chain(columns.iter().copied());
                writer.write_record(header).map_err(|cause| out.failed(cause))?;
                Ok(Self::Csv(table, Box::new(writer)))
            }
            Form::Ndjson => {
                let lines = JsonLines::open(input, &scan.mapping, scan.need).map_err(ListError::since_scan)?;
                Ok(Self::Ndjson(lines, BufWriter::with_capacity(BUFFER, to), columns))
            }
        }
    }

    /// Goes to the next row; false behind the last.
    fn advance(&mut self) -> Result<bool, ListError> {
        match self {
            Self::Csv(table, _) => table.advance(),
            Self::Ndjson(lines, ..) => lines.advance(),
        }
    }

    /// Writes the row and what is added to it. Cells of a row that has too many go behind the
    /// added ones, so that those stay under their names and nothing is lost.
    fn write<A: Added>(&mut self, added: Option<&A>) -> io::Result<()> {
        let cells = added.map_or_else(|| vec![String::new(); A::COLUMNS.len()], A::cells);
        match self {
            Self::Csv(table, writer) => {
                let added = cells.iter().map(String::as_str);
                writer.write_record(table.cells().chain(added).chain(table.surplus()))?;
            }
            Self::Ndjson(lines, writer, columns) => {
                write_object(writer, lines.line(), columns, cells, added.map(A::attempts))?;
            }
        }
        Ok(())
    }

    /// Writes what is still buffered, and tells the SHA-256 of what was read.
    fn finish(self) -> io::Result<[u8; 32]> {
        match self {
            Self::Csv(table, mut writer) => writer.flush().map(|()| table.digest()),
            Self::Ndjson(lines, mut writer, _) => writer.flush().map(|()| lines.digest()),
        }
    }
}

fn csv_writer<W: Write>(dialect: Dialect, to: W) -> csv::Writer<W> {
    let line_end = match dialect.line_end {
        LineEnd::Lf => csv::Terminator::Any(b'\n'),
        LineEnd::CrLf => csv::Terminator::CRLF,
    };
    csv::WriterBuilder::new()
        .delimiter(dialect.delimiter)
        .terminator(line_end)
        .flexible(true)
        .buffer_capacity(BUFFER)
        .from_writer(to)
}

/// Writes a JSON object as it came, with the added keys before its last brace; the last of them holds a number.
fn write_object(
    to: &mut impl Write,
    object: &[u8],
    columns: &[&str],
    cells: Vec<String>,
    attempts: Option<u32>,
) -> io::Result<()> {
    let value = |cell: String| if cell.is_empty() { Value::Null } else { Value::String(cell) };
    let names = columns.iter().map(|column| (*column).to_owned());
    let mut added: Map<String, Value> = names.zip(cells.into_iter().map(value)).collect();
    added.extend(columns.last().map(|column| ((*column).to_owned(), attempts.into())));
    let added = Value::Object(added).to_string();
    let open = object.strip_suffix(b"}").unwrap_or(object);
    let comma = if open.trim_ascii_end() == b"{" { "" } else { "," };
    to.write_all(open)?;
    writeln!(to, "{comma}{}", added.trim_start_matches('{'))
}
