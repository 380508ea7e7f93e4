//! Standard output: the one place that writes to it.

use comfy_table::Table;
use comfy_table::presets;
use std::fmt::Display;
use std::io;
use std::io::BufWriter;
use std::io::ErrorKind;
use std::io::Write;

/// Standard output takes no more.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Has its reader gone away? `| head` has seen enough; that ends a command quietly.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// Prints lines. A JSON value is one line.
///
/// # Errors
/// When standard output takes no more.
pub fn lines<T: Display>(lines: impl IntoIterator<Item = T>) -> Result<(), OutputError> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// Prints one line.
///
/// # Errors
/// As [`lines`].
pub fn line(line: impl Display) -> Result<(), OutputError> {
    lines([line])
}

/// Prints a table for people.
///
/// # Errors
/// As [`lines`].
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), OutputError> {
    line(table_text(header, rows))
}

/// The table itself, for a text that may go elsewhere.
pub fn table_text<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    table.trim_fmt()
}

/// Says something beside the output, when that is taken by the list itself.
pub fn aside(text: impl Display) {
    // With standard error closed as well, nobody is left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
