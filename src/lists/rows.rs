//! The second reading: the rows, one by one.

use crate::domain::Lead;
use crate::domain::LeadId;
use crate::lists::Input;
use crate::lists::ListError;
use crate::lists::Scan;
use crate::lists::Unusable;
use crate::lists::records::Records;

/// The longest id taken from a list, in bytes (CONTRACTS §4, `job_id`).
const ID_LIMIT: usize = 64;

/// Where the leads' ids come from. A list is loaded with `FromColumn` first; when the store finds
/// an id twice, the whole list is loaded again with `RowNumbers`, with one warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadIds {
    /// The list's `lead_id` column; the row number where there is none, or its text cannot be an
    /// id (1-64 of `A-Za-z0-9_.:-`).
    FromColumn,
    /// The row number of every row.
    RowNumbers,
}

/// One row of a list.
#[derive(Debug)]
pub struct Row {
    /// Counts the rows from 1; the header and empty lines are none.
    pub number: u64,
    /// The lead's id in its job.
    pub lead_id: LeadId,
    /// The lead, or why it is none.
    pub lead: Result<Lead, Unusable>,
}

/// The rows of a list in order. After the last one comes [`ListError::Changed`] if the list is not
/// the one that was scanned; after any error, nothing.
pub struct Rows<'a> {
    input: &'a Input,
    scan: &'a Scan,
    records: Records<'a>,
    ids: LeadIds,
    number: u64,
    ended: bool,
}

/// Begins the reading of a scanned list's rows.
///
/// # Errors
/// `Changed` when it cannot be opened as it was scanned.
pub fn rows<'a>(input: &'a Input, scan: &'a Scan, ids: LeadIds) -> Result<Rows<'a>, ListError> {
    let records = Records::open(input, scan.form, &scan.mapping, scan.need).map_err(ListError::since_scan)?;
    Ok(Rows { input, scan, records, ids, number: 0, ended: false })
}

impl Rows<'_> {
    fn read(&mut self) -> Result<Option<Row>, ListError> {
        if self.records.advance().map_err(ListError::since_scan)? {
            self.number += 1;
            let lead = self.records.lead(self.scan.need);
            return Ok(Some(Row { number: self.number, lead_id: self.lead_id(), lead }));
        }
        if self.records.digest() == self.scan.digest { Ok(None) } else { Err(self.input.changed()) }
    }

    fn lead_id(&self) -> LeadId {
        let listed = match self.ids {
            LeadIds::FromColumn => self.records.lead_id(),
            LeadIds::RowNumbers => None,
        };
        match listed.as_deref().map(str::trim) {
            Some(id) if is_id(id) => LeadId::new(id),
            Some(_) | None => LeadId::new(self.number.to_string()),
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    (1..=ID_LIMIT).contains(&text.len()) && text.bytes().all(is_allowed)
}
