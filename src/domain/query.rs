//! The question an attempt asks: built from the lead by rule, the same for every provider.

use crate::domain::About;
use crate::domain::Address;
use crate::domain::Fingerprint;
use crate::domain::Lead;
use crate::domain::Operation;
use crate::domain::PageUrl;
use crate::domain::Step;
use crate::domain::WorkspaceId;
use crate::domain::Writing;
use std::fmt;
use std::sync::Arc;

/// A person's name, in the parts the list had or that its last space gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// Given name; empty when the list has only a family name.
    pub first: String,
    /// Family name; empty when the list has one word only.
    pub last: String,
    /// Both in one.
    pub full: String,
}

/// Where the person works: the domain if known, else the name.
#[derive(Clone, PartialEq, Eq)]
pub enum Company {
    /// `acme.test`
    Domain(String),
    /// `Acme Widgets`
    Name(String),
}

impl Company {
    /// The domain or the name, for providers that take either in one field.
    pub fn text(&self) -> &str {
        match self {
            Self::Domain(text) | Self::Name(text) => text,
        }
    }
}

/// One question to one provider.
#[derive(Clone, PartialEq, Eq)]
pub enum Query {
    /// Find by name and company.
    ByName(Person, Company),
    /// Find by LinkedIn profile.
    ByProfile(String),
    /// Verify this address.
    Verify(Address),
    /// Read this page.
    Scrape(PageUrl),
    /// Write this copy.
    Write(Arc<Writing>),
}

impl Query {
    /// The question by name and company, if the lead has both. First and last name win over a
    /// full one; a full name without its parts is split at its last space.
    pub fn by_name(lead: &Lead) -> Option<Self> {
        let company = match (&lead.domain, &lead.company) {
            (Some(domain), _) => Company::Domain(domain.clone()),
            (None, Some(name)) => Company::Name(name.clone()),
            (None, None) => return None,
        };
        let person = match (&lead.first_name, &lead.last_name, &lead.full_name) {
            (Some(first), Some(last), _) => Person::of_parts(first, last),
            (_, _, Some(full)) => Person::of_full(full),
            (Some(first), None, None) => Person::of_parts(first, ""),
            (None, Some(last), None) => Person::of_parts("", last),
            (None, None, None) => return None,
        };
        Some(Self::ByName(person, company))
    }

    /// The question by LinkedIn profile, if the lead has one.
    pub fn by_profile(lead: &Lead) -> Option<Self> {
        lead.linkedin_url.clone().map(Self::ByProfile)
    }

    /// What makes two attempts the same: workspace, step and inputs. The key of the cache, and of
    /// the index that proves one charge per step.
    pub fn fingerprint(&self, workspace: &WorkspaceId, step: &Step) -> Fingerprint {
        let step = step.to_string();
        let head = [Some(workspace.as_str()), Some(step.as_str())];
        match self {
            Self::ByName(person, company) => {
                let kind = match company {
                    Company::Domain(_) => "domain",
                    Company::Name(_) => "name",
                };
                let tail = [Some(person.first.as_str()), Some(&person.last), Some(kind), Some(company.text())];
                Fingerprint::of("by_name", head.into_iter().chain(tail))
            }
            Self::ByProfile(url) => Fingerprint::of("by_profile", head.into_iter().chain([Some(url.as_str())])),
            Self::Verify(address) => Fingerprint::of("verify", head.into_iter().chain([Some(address.as_str())])),
            Self::Scrape(url) => Fingerprint::exactly("scrape", [workspace.as_str(), step.as_str(), url.as_str()]),
            // Not the pages' words: they may be others in a later run, and the question is the same.
            Self::Write(writing) => {
                let most = writing.max_output_tokens.to_string();
                let lead = writing.lead.fingerprint().to_string();
                let parts = [workspace.as_str(), &step, &writing.model, &most, &writing.instructions, &lead];
                Fingerprint::exactly("write", parts)
            }
        }
    }

    /// What an attempt that asks it is about.
    pub fn about(&self) -> Option<About> {
        match self {
            Self::Verify(address) => Some(About::Address(address.clone())),
            Self::Scrape(url) => Some(About::Page(url.clone())),
            Self::ByName(..) | Self::ByProfile(_) | Self::Write(_) => None,
        }
    }

    /// The operation that it belongs to.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::ByName(..) | Self::ByProfile(_) => Operation::FindEmail,
            Self::Verify(_) => Operation::VerifyEmail,
            Self::Scrape(_) => Operation::Scrape,
            Self::Write(_) => Operation::WriteCopy,
        }
    }
}

impl Person {
    fn of_parts(first: &str, last: &str) -> Self {
        let full = [first, last].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        Self { first: first.to_owned(), last: last.to_owned(), full }
    }

    fn of_full(full: &str) -> Self {
        let (first, last) = full.rsplit_once(' ').unwrap_or((full, ""));
        Self { first: first.trim_end().to_owned(), last: last.to_owned(), full: full.to_owned() }
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByName(..) => "ByName(…)",
            Self::ByProfile(_) => "ByProfile(…)",
            Self::Verify(_) => "Verify(…)",
            Self::Scrape(_) => "Scrape(…)",
            Self::Write(_) => "Write(…)",
        })
    }
}
