//! The third reading: the list written back, with what was found behind each row.

use crate::domain::Address;
use crate::domain::Ending;
use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::lists::Input;
use crate::lists::ListError;
use crate::lists::Out;
use crate::lists::Scan;
use crate::lists::columns::ADDED;
use crate::lists::columns::ATTEMPTS;
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

/// What is written behind a row.
#[derive(Debug, Clone)]
pub struct Enrichment {
    /// How the lead ended.
    pub ending: Ending,
    /// What it cost in this job.
    pub cost: Usd,
    /// Attempts that called a provider.
    pub attempts: u32,
}

impl Enrichment {
    /// The cells under [`ADDED`].
    fn cells(&self) -> [String; ADDED.len()] {
        let Ending { status, reason, address, verdict, found_by, verified_by } = &self.ending;
        let word = |text: Option<&str>| text.unwrap_or_default().to_owned();
        [
            status.to_string(),
            reason.to_string(),
            word(address.as_ref().map(Address::as_str)),
            word(verdict.map(Verdict::as_str)),
            word(found_by.as_ref().map(ProviderName::as_str)),
            word(verified_by.as_ref().map(ProviderName::as_str)),
            self.cost.to_string(),
            self.attempts.to_string(),
        ]
    }
}

/// Reads the list again and writes it to `out` with what `enrichment_of` tells of each row, by its
/// number; `None`, for a lead that has not ended, leaves the added cells empty. Rows are asked for
/// in order, each once.
///
/// # Errors
/// `Changed` when the list is not the one that was scanned, `Io` when writing fails, and whatever
/// `enrichment_of` fails with: `out` is as it was before.
pub fn write_enriched<E: From<ListError>>(
    input: &Input,
    scan: &Scan,
    out: &Out,
    mut enrichment_of: impl FnMut(u64) -> Result<Option<Enrichment>, E>,
) -> Result<(), E> {
    let mut file = out.begin().map_err(|cause| out.failed(cause))?;
    let mut rewrite = Rewrite::begin(input, scan, &mut file, out)?;
    let mut number = 0;
    while rewrite.advance().map_err(ListError::since_scan)? {
        number += 1;
        let enrichment = enrichment_of(number)?;
        rewrite.write(enrichment.as_ref()).map_err(|cause| out.failed(cause))?;
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
    Ndjson(JsonLines<'a>, BufWriter<W>),
}

impl<'a, W: Write> Rewrite<'a, W> {
    fn begin(input: &'a Input, scan: &'a Scan, to: W, out: &Out) -> Result<Self, ListError> {
        match scan.form {
            Form::Csv(dialect) => {
                let table = Table::open(input, dialect, &scan.mapping).map_err(ListError::since_scan)?;
                let mut writer = csv_writer(dialect, to);
                writer.write_record(table.header().iter().chain(ADDED)).map_err(|cause| out.failed(cause))?;
                Ok(Self::Csv(table, Box::new(writer)))
            }
            Form::Ndjson => {
                let lines = JsonLines::open(input, &scan.mapping).map_err(ListError::since_scan)?;
                Ok(Self::Ndjson(lines, BufWriter::with_capacity(BUFFER, to)))
            }
        }
    }

    /// Goes to the next row; false behind the last.
    fn advance(&mut self) -> Result<bool, ListError> {
        match self {
            Self::Csv(table, _) => table.advance(),
            Self::Ndjson(lines, _) => lines.advance(),
        }
    }

    /// Writes the row and what is added to it. Cells of a row that has too many go behind the
    /// added ones, so that those stay under their names and nothing is lost.
    fn write(&mut self, enrichment: Option<&Enrichment>) -> io::Result<()> {
        let cells = enrichment.map(Enrichment::cells).unwrap_or_default();
        match self {
            Self::Csv(table, writer) => {
                let added = cells.iter().map(String::as_str);
                writer.write_record(table.cells().chain(added).chain(table.surplus()))?;
            }
            Self::Ndjson(lines, writer) => {
                let attempts = enrichment.map(|enrichment| enrichment.attempts);
                write_object(writer, lines.line(), cells, attempts)?;
            }
        }
        Ok(())
    }

    /// Writes what is still buffered, and tells the SHA-256 of what was read.
    fn finish(self) -> io::Result<[u8; 32]> {
        match self {
            Self::Csv(table, mut writer) => writer.flush().map(|()| table.digest()),
            Self::Ndjson(lines, mut writer) => writer.flush().map(|()| lines.digest()),
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

/// Writes a JSON object as it came, with the added keys before its last brace.
fn write_object(
    to: &mut impl Write,
    object: &[u8],
    cells: [String; ADDED.len()],
    attempts: Option<u32>,
) -> io::Result<()> {
    let value = |cell: String| if cell.is_empty() { Value::Null } else { Value::String(cell) };
    let mut added: Map<String, Value> =
        ADDED.into_iter().map(str::to_owned).zip(cells.into_iter().map(value)).collect();
    added.insert(ATTEMPTS.to_owned(), attempts.into());
    let added = Value::Object(added).to_string();
    let open = object.strip_suffix(b"}").unwrap_or(object);
    let comma = if open.trim_ascii_end() == b"{" { "" } else { "," };
    to.write_all(open)?;
    writeln!(to, "{comma}{}", added.trim_start_matches('{'))
}
