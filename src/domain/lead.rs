//! A lead as it came: one person at one company.

use crate::domain::Address;
use crate::domain::Fingerprint;
use std::fmt;

/// What is known of a person before anything is paid for. Every field is trimmed and non-empty.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Lead {
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Whole name, where the list has no parts.
    pub full_name: Option<String>,
    /// The company's name.
    pub company: Option<String>,
    /// The company's domain: lower case, no scheme, no `www.`, no path.
    pub domain: Option<String>,
    /// The person's LinkedIn profile.
    pub linkedin_url: Option<String>,
    /// An address that came with the lead.
    pub email: Option<Address>,
}

impl Lead {
    /// Enough to work with: a name and a company, or a LinkedIn profile, or an address.
    pub fn is_usable(&self) -> bool {
        let name = self.full_name.is_some() || self.first_name.is_some() || self.last_name.is_some();
        let company = self.domain.is_some() || self.company.is_some();
        (name && company) || self.linkedin_url.is_some() || self.email.is_some()
    }

    /// Equal for leads that any provider would answer alike: case and outer spaces do not count.
    pub fn fingerprint(&self) -> Fingerprint {
        let email = self.email.as_ref().map(Address::as_str);
        Fingerprint::of(
            "lead",
            [
                self.first_name.as_deref(),
                self.last_name.as_deref(),
                self.full_name.as_deref(),
                self.company.as_deref(),
                self.domain.as_deref(),
                self.linkedin_url.as_deref(),
                email,
            ],
        )
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lead(…)")
    }
}
