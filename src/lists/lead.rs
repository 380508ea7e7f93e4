//! From a row's texts to a lead.

use crate::domain::Address;
use crate::domain::Lead;
use crate::lists::Field;
use std::borrow::Cow;

/// The longest domain name, in bytes (RFC 1035, section 2.3.4).
const DOMAIN_LIMIT: usize = 253;

/// Bytes of a field's text, as a message has it.
const TEXT_LIMIT: usize = 4 * 1024;

/// What makes a row a lead, by what is to be done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Something to search with, or an address to verify.
    Lookup,
    /// Anything at all: copy can be written for whatever is known.
    Anything,
}

/// Why a row is no lead: it ends `skipped` / `invalid_input`, and the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Some cell is not where it belongs, and nobody knows which.
    #[error("more cells than the header has columns")]
    TooManyCells,
    /// The field's JSON value is a list, an object or a truth value.
    #[error("{0} is neither text nor a number")]
    WrongType(Field),
    /// The field's text is longer than one may be in a message.
    #[error("{0} is longer than 4 KiB")]
    TooLong(Field),
    /// There is nothing to search with and nothing to verify.
    #[error("neither a name with a company, nor a LinkedIn profile, nor an address")]
    TooLittle,
    /// There is nothing in it that could be written about.
    #[error("no field of a lead has anything in it")]
    Nothing,
}

/// The lead in a row, or in a message, given its text of each field. Blank texts, impossible addresses
/// and impossible domains count as absent.
///
/// # Errors
/// When it lacks what is needed, or a text is too long.
pub fn lead_of<'r>(
    need: Need,
    text: impl Fn(Field) -> Result<Option<Cow<'r, str>>, Unusable>,
) -> Result<Lead, Unusable> {
    let short = |field: Field| match text(field)? {
        Some(text) if text.len() > TEXT_LIMIT => Err(Unusable::TooLong(field)),
        text => Ok(text),
    };
    let kept = |field: Field| -> Result<Option<String>, Unusable> {
        let text = short(field)?;
        Ok(text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let lead = Lead {
        first_name: kept(Field::FirstName)?,
        last_name: kept(Field::LastName)?,
        full_name: kept(Field::FullName)?,
        company: kept(Field::Company)?,
        // An address of a page may be long: its host is not.
        domain: text(Field::Domain)?.and_then(|website| domain_of(&website)),
        linkedin_url: kept(Field::LinkedinUrl)?,
        email: short(Field::Email)?.and_then(|text| Address::parse(&text)),
    };
    match need {
        Need::Lookup if lead.is_usable() => Ok(lead),
        Need::Lookup => Err(Unusable::TooLittle),
        Need::Anything if lead == Lead::default() => Err(Unusable::Nothing),
        Need::Anything => Ok(lead),
    }
}

/// The domain of a website, or of what people write in its place:
/// `HTTPS://user@www.Acme.test:8443/team?x#y` is `acme.test`; `n/a` and `Acme, Inc.` are none.
fn domain_of(website: &str) -> Option<String> {
    let text = website.trim();
    let text = text.split_once("://").map_or(text, |(_scheme, rest)| rest).trim_start_matches('/');
    let host = text.split(['/', '?', '#', '\\']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_user, rest)| rest);
    let host = host.split_once(':').map_or(host, |(name, _port)| name);
    let host = host.trim_end_matches('.').to_lowercase();
    let domain = host.strip_prefix("www.").unwrap_or(&host);
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    let is_domain = domain.len() <= DOMAIN_LIMIT && domain.contains('.') && domain.split('.').all(is_label);
    is_domain.then(|| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_website_is_reduced_to_its_domain() {
        for (website, domain) in [
            ("acme.test", "acme.test"),
            (" ACME.test. ", "acme.test"),
            ("www.acme.test", "acme.test"),
            ("https://www.acme.test/", "acme.test"),
            ("HTTP://acme.test/team?page=2#top", "acme.test"),
            ("https://acme.test?ref=x", "acme.test"),
            ("https://user:secret@acme.test:8443/a@b", "acme.test"),
            ("//acme.test/about", "acme.test"),
            ("mail.acme.co.uk", "mail.acme.co.uk"),
            ("bücher.test", "bücher.test"),
            ("www2.acme.test", "www2.acme.test"),
        ] {
            assert_eq!(domain_of(website).as_deref(), Some(domain), "{website}");
        }
    }

    #[test]
    fn a_text_that_a_message_may_not_carry_makes_no_lead() {
        for field in Field::ALL.into_iter().filter(|field| !matches!(field, Field::LeadId | Field::Domain)) {
            let lead_with = |length: usize| {
                let long = "x".repeat(length);
                let text = |it: Field| {
                    let usual = [(Field::FullName, "Ada Lovelace"), (Field::Company, "Acme")];
                    let known = [(field, long.as_str())].into_iter().chain(usual).find(|(name, _)| *name == it);
                    Ok(known.map(|(_, text)| Cow::Borrowed(text)))
                };
                lead_of(Need::Lookup, text).map(|_| ())
            };
            assert_eq!(lead_with(TEXT_LIMIT), Ok(()), "{field}");
            assert_eq!(lead_with(TEXT_LIMIT + 1), Err(Unusable::TooLong(field)), "{field}");
        }
    }

    #[test]
    fn of_a_long_address_of_a_page_the_host_is_kept() {
        let website = format!("https://acme.test/?campaign={}", "x".repeat(TEXT_LIMIT));
        let text = |field: Field| Ok((field == Field::Domain).then_some(Cow::Borrowed(website.as_str())));
        assert_eq!(lead_of(Need::Anything, text).unwrap().domain.as_deref(), Some("acme.test"));
    }

    #[test]
    fn what_cannot_be_a_domain_counts_as_absent() {
        for website in
            ["", " ", "n/a", "-", "none", "localhost", "www.test", "Acme, Inc.", "acme .test", "a..test", ".test"]
        {
            assert_eq!(domain_of(website), None, "{website:?}");
        }
    }
}
