//! Which column holds which field of a lead.

use crate::lists::ListError;
use crate::lists::Need;
use std::fmt;
use std::str::FromStr;

/// The columns that are added to a list that is enriched, in order.
pub(super) const ENRICHED: &[&str] = &[
    "weir_status",
    "weir_reason",
    "weir_email",
    "weir_email_verdict",
    "weir_found_by",
    "weir_verified_by",
    "weir_cost_usd",
    "weir_attempts",
];

/// The same for one that copy was written for: what would stand there twice has a name of its own.
pub(super) const ENRICHED_TOO: &[&str] = &[
    "weir_enrich_status",
    "weir_enrich_reason",
    "weir_email",
    "weir_email_verdict",
    "weir_found_by",
    "weir_verified_by",
    "weir_enrich_cost_usd",
    "weir_enrich_attempts",
];

/// The columns that are added to a list that copy is written for, in order.
pub(super) const DRAFTED: &[&str] =
    &["weir_status", "weir_reason", "weir_subject", "weir_body", "weir_cost_usd", "weir_attempts"];

/// The same for one that was enriched.
pub(super) const DRAFTED_TOO: &[&str] =
    &["weir_copy_status", "weir_copy_reason", "weir_subject", "weir_body", "weir_copy_cost_usd", "weir_copy_attempts"];

/// How many column names a message lists.
const NAMES_SHOWN: usize = 20;

/// Who has written a list, as its columns tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Author {
    /// Not weir.
    Somebody,
    /// Weir, by the other command: its columns pass through.
    OtherCommand,
}

/// What a column can hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Field {
    /// The list's own id of the lead.
    LeadId,
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// Whole name.
    FullName,
    /// The company's name.
    Company,
    /// The company's domain or website.
    Domain,
    /// The person's LinkedIn profile.
    LinkedinUrl,
    /// An address that comes with the lead.
    Email,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::LeadId,
        Self::FirstName,
        Self::LastName,
        Self::FullName,
        Self::Company,
        Self::Domain,
        Self::LinkedinUrl,
        Self::Email,
    ];

    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeadId => "lead_id",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::FullName => "full_name",
            Self::Company => "company",
            Self::Domain => "domain",
            Self::LinkedinUrl => "linkedin_url",
            Self::Email => "email",
        }
    }

    /// The names it is recognised by; where a list has several, the earlier one wins.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::LeadId => &["lead_id", "id"],
            Self::FirstName => &["first_name", "first", "given_name"],
            Self::LastName => &["last_name", "last", "surname"],
            Self::FullName => &["full_name", "name"],
            Self::Company => &["company", "company_name", "organization"],
            Self::Domain => &["domain", "company_domain", "website", "url"],
            Self::LinkedinUrl => &["linkedin_url", "linkedin", "profile_url"],
            // The last one is what an enriched list has.
            Self::Email => &["email", "weir_email"],
        }
    }
}

impl FromStr for Field {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|field| field.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Columns named by the user, before any is recognised by its name.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Mapping(Vec<(Field, String)>);

impl Mapping {
    /// Reads `field=Column`, once per field, as `--map` takes them.
    ///
    /// # Errors
    /// `BadInput` naming the entry.
    pub fn parse(entries: &[impl AsRef<str>]) -> Result<Self, ListError> {
        let mut mapping = Self::default();
        for entry in entries {
            let entry = entry.as_ref();
            let refuse = |problem: String| ListError::BadInput { place: format!("--map {entry}"), problem };
            let (field, column) = entry
                .split_once('=')
                .filter(|(_, column)| !column.trim().is_empty())
                .ok_or_else(|| refuse("write it as field=Column, for example email=\"Work mail\"".to_owned()))?;
            let field = field.trim().parse::<Field>().map_err(|()| {
                refuse(format!("there is no field `{}`; the fields are {}", field.trim(), listed(Field::ALL)))
            })?;
            if mapping.column(field).is_some() {
                return Err(refuse(format!("{field} is mapped twice; keep one of the two")));
            }
            mapping.0.push((field, column.trim().to_owned()));
        }
        mapping.0.sort();
        Ok(mapping)
    }

    /// The entries in the order of the fields, whatever order they were given in: part of what
    /// makes two readings of a list the same.
    pub fn entries(&self) -> &[(Field, String)] {
        &self.0
    }

    /// The column the user named for a field.
    pub(super) fn column(&self, field: Field) -> Option<&str> {
        self.0.iter().find(|(mapped, _)| *mapped == field).map(|(_, column)| column.as_str())
    }
}

/// The place of each field in a header, in the order of [`Field::ALL`].
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Columns([Option<usize>; Field::ALL.len()]);

impl Columns {
    /// Finds each field's column: the mapped one, else the first of its names that is there and
    /// not mapped to another field. Case, spaces, `_` and `-` do not count.
    pub(super) fn recognise(header: &[&str], mapping: &Mapping) -> Self {
        let squeezed: Vec<String> = header.iter().map(|name| squeeze(name)).collect();
        let find_mapped = |column: &str| {
            let exact = header.iter().position(|name| name.trim() == column);
            exact.or_else(|| squeezed.iter().position(|name| *name == squeeze(column)))
        };
        let taken: Vec<usize> = mapping.0.iter().filter_map(|(_, column)| find_mapped(column)).collect();
        let find_named = |wanted: &str| {
            let wanted = squeeze(wanted);
            squeezed.iter().enumerate().position(|(place, name)| *name == wanted && !taken.contains(&place))
        };
        Self(Field::ALL.map(|field| match mapping.column(field) {
            Some(column) => find_mapped(column),
            None => field.names().iter().find_map(|name| find_named(name)),
        }))
    }

    /// Where the field is, if the header has it.
    pub(super) fn place(&self, field: Field) -> Option<usize> {
        self.0.get(field as usize).copied().flatten()
    }

    /// The fields that are there, each with its column's name.
    pub(super) fn named(&self, header: &[&str]) -> Vec<(Field, String)> {
        let name = |field: Field| Some((field, (*header.get(self.place(field)?)?).to_owned()));
        Field::ALL.into_iter().filter_map(name).collect()
    }
}

/// What is wrong with a list in which the columns `found` hold fields: one that was mapped is not
/// there, or there is none at all. `header` is what the list has, for the message.
pub(super) fn check_columns(found: &[(Field, String)], header: &[&str], mapping: &Mapping) -> Result<(), String> {
    let is_found = |field: Field| found.iter().any(|(there, _)| *there == field);
    if let Some((field, column)) = mapping.0.iter().find(|(field, _)| !is_found(*field)) {
        return Err(format!("--map {field}={column}: there is no such column; the list has {}", listed_names(header)));
    }
    if found.is_empty() {
        return Err(format!(
            "no column is recognised; the list has {}. Give it a header with some of {}, or name its columns, for \
             example --map email=\"Work mail\"",
            listed_names(header),
            listed(Field::ALL)
        ));
    }
    Ok(())
}

/// Who has written the list with this header. One that has a column already that would be added is refused: it was
/// written by the same command, and is fed back.
pub(super) fn author_of(header: &[&str], need: Need) -> Result<Author, String> {
    let (own, own_too, others) = match need {
        Need::Lookup => (ENRICHED, ENRICHED_TOO, DRAFTED),
        Need::Anything => (DRAFTED, DRAFTED_TOO, ENRICHED),
    };
    let names = || header.iter().map(|name| name.trim());
    let is_others = names().any(|name| others.contains(&name) && !own.contains(&name));
    let (author, added) = if is_others { (Author::OtherCommand, own_too) } else { (Author::Somebody, own) };
    // Of a list whose rows have each a header of their own, another row may be the other command's.
    let is_added = |name: &&str| added.contains(name) || (own_too.contains(name) && !others.contains(name));
    match names().find(is_added) {
        None => Ok(author),
        Some(name) => Err(format!(
            "there is a column `{name}` already, so this list was written by weir; give the original, or take its \
             weir_ columns out"
        )),
    }
}

/// A column's name as it is compared: `Company-Name ` and `company_name` are both `companyname`.
fn squeeze(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Names found in the list, for a message. A list without a header has a person's row in their
/// place, so what looks like an address is not shown.
fn listed_names(names: &[&str]) -> String {
    let shown = names
        .iter()
        .take(NAMES_SHOWN)
        .map(|name| if name.contains('@') { "`…`".to_owned() } else { format!("`{}`", name.trim()) });
    let more = (names.len() > NAMES_SHOWN).then(|| format!("{} more", names.len() - NAMES_SHOWN));
    listed(shown.chain(more))
}

fn listed(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
