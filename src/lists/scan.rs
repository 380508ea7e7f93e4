//! The first reading: what the list is, and whether it can be used.

use crate::domain::Lead;
use crate::domain::Query;
use crate::lists::Field;
use crate::lists::Format;
use crate::lists::Input;
use crate::lists::ListError;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::columns::Author;
use crate::lists::form::Form;
use crate::lists::records::Records;

/// What one whole reading of a list has shown.
#[derive(Debug, Clone)]
pub struct Scan {
    /// SHA-256 of the list's bytes.
    pub digest: [u8; 32],
    /// The column each field is read from, by its name in the list.
    pub columns: Vec<(Field, String)>,
    /// Rows and what they hold.
    pub counts: Counts,
    pub(super) form: Form,
    pub(super) author: Author,
    pub(super) mapping: Mapping,
    pub(super) need: Need,
}

/// How many rows hold what. Each usable row of a list that is looked up is counted in exactly one of the last
/// five.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All rows.
    pub rows: u64,
    /// Rows that are leads; the others end `skipped` / `invalid_input`.
    pub usable: u64,
    /// An address, and a name with a company to search by.
    pub address_and_name: u64,
    /// An address, and only a LinkedIn profile to search by.
    pub address_and_profile: u64,
    /// An address, and nothing to search by.
    pub address_only: u64,
    /// No address, a name with a company.
    pub name: u64,
    /// No address, only a LinkedIn profile.
    pub profile: u64,
}

impl Scan {
    /// The form the list was read in.
    pub const fn format(&self) -> Format {
        self.form.format()
    }
}

impl Counts {
    fn add(&mut self, lead: &Lead) {
        let count = match (lead.email.is_some(), Query::by_name(lead).is_some(), lead.linkedin_url.is_some()) {
            (true, true, _) => &mut self.address_and_name,
            (true, false, true) => &mut self.address_and_profile,
            (true, false, false) => &mut self.address_only,
            (false, true, _) => &mut self.name,
            (false, false, _) => &mut self.profile,
        };
        *count += 1;
    }
}

/// Reads the whole list once. `format` and `mapping` are what the user asked for, if anything; `need` is what
/// makes a row a lead, now and when the rows are read again.
///
/// # Errors
/// `BadInput` when the list cannot be used: no text, no rows, no column that is recognised, a line
/// too long. Single rows without enough in them are counted, not refused.
pub fn scan(input: &Input, format: Option<Format>, mapping: &Mapping, need: Need) -> Result<Scan, ListError> {
    let form = Form::detect(input, format)?;
    let mut records = Records::open(input, form, mapping, need)?;
    let mut counts = Counts::default();
    while records.advance()? {
        counts.rows += 1;
        if let Ok(lead) = records.lead(need) {
            counts.usable += 1;
            match need {
                Need::Lookup => counts.add(&lead),
                Need::Anything => {}
            }
        }
    }
    if counts.rows == 0 {
        return Err(input.refuse("no rows; give it at least one lead".to_owned()));
    }
    let (columns, author) = (records.columns()?, records.author());
    Ok(Scan { digest: records.digest(), columns, counts, form, author, mapping: mapping.clone(), need })
}
