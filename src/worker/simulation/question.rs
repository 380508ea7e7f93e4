//! A call as its provider sees it: who is asked what about whom.

use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Step;
use crate::http::Target;
use crate::providers::Request;
use crate::store::memory::AttemptRow;
use crate::worker::simulation::prices::SCHEME;
use std::fmt;

/// What a call asks. Every person of the world has a domain of their own, which stands in each question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) step: Step,
    /// The domain, profile or address that is asked about.
    pub(super) about: String,
    /// The person's domain.
    pub(super) person: String,
}

impl Question {
    /// Reads it off the wire. `None`: no provider could understand it.
    pub(super) fn of(target: &Target, request: &Request) -> Option<Self> {
        let provider = target.base_url.strip_prefix(SCHEME)?;
        let in_body = |pointer: &&str| request.body.as_ref()?.pointer(pointer)?.as_str();
        let places =
            ["/email", "/domain", "/profile_url", "/linkedin_url", "/data/company_website", "/data/linkedin_url"];
        let in_query = || request.query.iter().find(|(name, _)| *name == "email").map(|(_, value)| value.as_str());
        let about = places.iter().find_map(in_body).or_else(in_query)?;
        let operation = if about.contains('@') { Operation::VerifyEmail } else { Operation::FindEmail };
        let person = about.rsplit(['@', '/']).next()?;
        Some(Self {
            step: Step::new(ProviderName::new(provider), operation),
            about: about.to_owned(),
            person: person.to_owned(),
        })
    }

    /// The question of an attempt that a lead of this person made.
    pub(super) fn is_of(&self, row: &AttemptRow) -> bool {
        let about = row.attempt.about.as_ref().map(|address| address.as_str());
        row.attempt.step == self.step && about.is_none_or(|about| about == self.about)
    }

    pub(super) fn by_profile(&self) -> bool {
        self.about.starts_with("https://")
    }

    /// Whose lead it is: the domain is `NAME.WORKSPACE.test`.
    pub(super) fn workspace(&self) -> &str {
        self.person.split('.').nth(1).unwrap_or_default()
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} about {}", self.step, self.about)
    }
}
