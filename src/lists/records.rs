//! A list in either form, record by record.

use crate::domain::Lead;
use crate::lists::Field;
use crate::lists::Input;
use crate::lists::ListError;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::Unusable;
use crate::lists::columns::Author;
use crate::lists::form::Form;
use crate::lists::json_lines::JsonLines;
use crate::lists::lead::lead_of;
use crate::lists::table::Table;
use std::borrow::Cow;

/// One reading of a list, at one of its rows.
pub(super) enum Records<'a> {
    Csv(Table<'a>),
    Ndjson(JsonLines<'a>),
}

impl<'a> Records<'a> {
    pub(super) fn open(input: &'a Input, form: Form, mapping: &'a Mapping, need: Need) -> Result<Self, ListError> {
        Ok(match form {
            Form::Csv(dialect) => Self::Csv(Table::open(input, dialect, mapping, need)?),
            Form::Ndjson => Self::Ndjson(JsonLines::open(input, mapping, need)?),
        })
    }

    /// Goes to the next row; false behind the last.
    pub(super) fn advance(&mut self) -> Result<bool, ListError> {
        match self {
            Self::Csv(table) => table.advance(),
            Self::Ndjson(lines) => lines.advance(),
        }
    }

    /// The row's lead, if it is one.
    pub(super) fn lead(&self, need: Need) -> Result<Lead, Unusable> {
        match self {
            Self::Csv(table) if table.surplus().next().is_some() => Err(Unusable::TooManyCells),
            Self::Csv(table) => lead_of(need, |field| Ok(table.cell(field).map(Cow::Borrowed))),
            Self::Ndjson(lines) => lead_of(need, |field| lines.text(field)),
        }
    }

    /// The row's own id, as it came.
    pub(super) fn lead_id(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Csv(table) => table.cell(Field::LeadId).map(Cow::Borrowed),
            Self::Ndjson(lines) => lines.text(Field::LeadId).ok().flatten(),
        }
    }

    /// Who has written the list, once it is read to its end.
    pub(super) const fn author(&self) -> Author {
        match self {
            Self::Csv(table) => table.author(),
            Self::Ndjson(lines) => lines.author(),
        }
    }

    /// The columns that hold fields, once the list is read to its end.
    pub(super) fn columns(&self) -> Result<Vec<(Field, String)>, ListError> {
        match self {
            Self::Csv(table) => Ok(table.found()),
            Self::Ndjson(lines) => lines.check_columns().map(|()| lines.found()),
        }
    }

    /// SHA-256 of what was read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Csv(table) => table.digest(),
            Self::Ndjson(lines) => lines.digest(),
        }
    }
}
