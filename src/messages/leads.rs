//! The leads of a job, as they come in a message.

use crate::domain::LeadId;
use crate::messages::fields::Fields;
use crate::messages::fields::Place;
use crate::messages::limits::LEADS_LIMIT;
use crate::messages::limits::SOURCE_PATTERN;
use crate::messages::limits::SOURCE_SCHEMES;
use crate::messages::limits::TEXT_LIMIT;
use crate::messages::refusal::Refusal;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;

/// Where a job's leads are.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Leads {
    /// Here, each with an id of its own.
    #[serde(rename = "leads")]
    Inline(#[schemars(length(min = 1, max = LEADS_LIMIT))] Vec<RawLead>),
    /// In a CSV or NDJSON list at this address, under a root that the worker allows.
    #[serde(rename = "leads_from")]
    From(#[schemars(length(max = TEXT_LIMIT), regex(pattern = SOURCE_PATTERN))] String),
}

/// One lead as it was sent: texts that may be blank, websites not yet reduced, addresses that may be
/// impossible. A list's rows are cleaned the same way.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RawLead {
    /// Unique in the job.
    pub lead_id: LeadId,
    /// Given name.
    #[schemars(length(max = TEXT_LIMIT))]
    pub first_name: Option<String>,
    /// Family name.
    #[schemars(length(max = TEXT_LIMIT))]
    pub last_name: Option<String>,
    /// Whole name, where there are no parts.
    #[schemars(length(max = TEXT_LIMIT))]
    pub full_name: Option<String>,
    /// The company's name.
    #[schemars(length(max = TEXT_LIMIT))]
    pub company: Option<String>,
    /// The company's domain or website.
    #[schemars(length(max = TEXT_LIMIT))]
    pub domain: Option<String>,
    /// The person's LinkedIn profile.
    #[schemars(length(max = TEXT_LIMIT))]
    pub linkedin_url: Option<String>,
    /// An address to verify before anything is searched.
    #[schemars(length(max = TEXT_LIMIT))]
    pub email: Option<String>,
}

impl Leads {
    /// Reads `leads` or `leads_from`, of which there must be one.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, Refusal> {
        match (fields.maybe_list("leads")?, fields.maybe_address("leads_from")?) {
            (Some(items), None) => read_inline(&items),
            (None, Some(address)) => read_address(address),
            (Some(_), Some(_)) => Err(Refusal::invalid("leads and leads_from are both given: give one of them")),
            (None, None) => Err(Refusal::invalid("leads is missing: give leads or leads_from")),
        }
    }
}

fn read_inline(items: &[&RawValue]) -> Result<Leads, Refusal> {
    if items.is_empty() {
        return Err(Refusal::invalid("leads is empty"));
    }
    if items.len() > LEADS_LIMIT {
        let count = items.len();
        return Err(Refusal::invalid(format!(
            "leads holds {count}, and at most {LEADS_LIMIT} fit into a message: send a longer list by leads_from"
        )));
    }
    let mut known = HashSet::with_capacity(items.len());
    let mut leads = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let fields = Fields::of(item.get(), Place::Item("leads", at))
            .map_err(|_| Refusal::invalid(format!("leads[{at}] must be an object")))?;
        let lead = RawLead::read(&fields)?;
        if !known.insert(lead.lead_id.clone()) {
            return Err(fields.refuse("lead_id", format_args!("{}is used before", quoted(&lead.lead_id))));
        }
        leads.push(lead);
    }
    Ok(Leads::Inline(leads))
}

/// The id with a space behind it; nothing when it may be an address.
fn quoted(id: &LeadId) -> String {
    if id.as_str().contains('@') { String::new() } else { format!("{:?} ", id.as_str()) }
}

fn read_address(address: String) -> Result<Leads, Refusal> {
    let problem = "leads_from must begin with file://, https:// or s3://";
    if SOURCE_SCHEMES.iter().any(|scheme| address.starts_with(scheme)) {
        Ok(Leads::From(address))
    } else if address.contains("://") {
        Err(Refusal::source_refused(problem))
    } else {
        Err(Refusal::invalid(problem))
    }
}

impl RawLead {
    fn read(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let text = |name| fields.maybe_text(name, TEXT_LIMIT);
        Ok(Self {
            lead_id: LeadId::new(fields.name("lead_id")?),
            first_name: text("first_name")?,
            last_name: text("last_name")?,
            full_name: text("full_name")?,
            company: text("company")?,
            domain: text("domain")?,
            linkedin_url: text("linkedin_url")?,
            email: text("email")?,
        })
    }
}

impl fmt::Debug for Leads {
    /// Without a person, and without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(leads) => write!(f, "Inline({} leads)", leads.len()),
            Self::From(_) => f.write_str("From(…)"),
        }
    }
}

impl fmt::Debug for RawLead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawLead(…)")
    }
}
