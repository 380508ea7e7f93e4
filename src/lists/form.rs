//! How a list is written down.

use crate::lists::Input;
use crate::lists::ListError;
use std::str::FromStr;

/// The two forms of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A table with a header row.
    Csv,
    /// A JSON object per line.
    Ndjson,
}

impl Format {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "csv" => Ok(Self::Csv),
            "ndjson" => Ok(Self::Ndjson),
            _ => Err(()),
        }
    }
}

/// The form, with what is needed to read it and to write it alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Csv(Dialect),
    Ndjson,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dialect {
    /// Comma, semicolon or tab.
    pub(super) delimiter: u8,
    /// How its lines end.
    pub(super) line_end: LineEnd,
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LineEnd {
    Lf,
    CrLf,
}

impl Form {
    /// The format asked for, else the one the name's ending says, else the one the first
    /// character shows; a table's dialect by its first line.
    pub(super) fn detect(input: &Input, format: Option<Format>) -> Result<Self, ListError> {
        let head = input.head()?;
        let format = format.unwrap_or_else(|| match input.extension().as_deref() {
            Some("csv" | "tsv") => Format::Csv,
            Some("ndjson" | "jsonl") => Format::Ndjson,
            _ if head.trim_ascii_start().starts_with(b"{") => Format::Ndjson,
            _ => Format::Csv,
        });
        Ok(match format {
            Format::Csv => Self::Csv(Dialect::of_header(&head)),
            Format::Ndjson => Self::Ndjson,
        })
    }

    pub(super) const fn format(self) -> Format {
        match self {
            Self::Csv(_) => Format::Csv,
            Self::Ndjson => Format::Ndjson,
        }
    }
}

impl Dialect {
    /// The delimiter that is most frequent outside quotes on the first line, comma before
    /// semicolon before tab; and that line's end.
    fn of_header(head: &[u8]) -> Self {
        let mut quoted = false;
        let mut line_end = LineEnd::Lf;
        let (mut commas, mut semicolons, mut tabs) = (0_u32, 0_u32, 0_u32);
        for byte in head.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n')) {
            match byte {
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b',' => commas += 1,
                b';' => semicolons += 1,
                b'\t' => tabs += 1,
                b'\r' => {
                    line_end = LineEnd::CrLf;
                    break;
                }
                b'\n' => break,
                _ => {}
            }
        }
        let delimiter = match commas.max(semicolons).max(tabs) {
            most if most == commas => b',',
            most if most == semicolons => b';',
            _ => b'\t',
        };
        Self { delimiter, line_end }
    }
}
