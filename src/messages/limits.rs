//! How large a message and its parts may be, and the forms that texts must have.

use crate::domain::Address;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::PageUrl;
use crate::domain::TEMPLATE_FIELDS;
use crate::domain::fill;
use crate::domain::unknown_field;

/// Bytes of a body: what RabbitMQ 4 takes by default.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// Leads inside a message; a longer list goes by `leads_from`.
pub const LEADS_LIMIT: usize = 20_000;
/// Bytes of a text, unless another limit is named.
pub(super) const TEXT_LIMIT: usize = 4 * 1024;
/// Bytes of a copy job's instructions.
pub const INSTRUCTIONS_LIMIT: usize = 32 * 1024;
/// Bytes of an inline configuration; the shipped file has 10 KiB.
pub(super) const CONFIG_LIMIT: usize = 1024 * 1024;
/// Pages that a copy job may name for each lead.
pub const URLS_LIMIT: usize = 10;
/// Tokens that a copy job may ask of a model for each lead.
pub const OUTPUT_TOKENS_LIMIT: u32 = 1_000_000;
/// As many where it asks for no number: an e-mail has fewer, and reasoning needs some.
pub const USUAL_OUTPUT_TOKENS: u32 = 400;
/// Characters of an id.
const ID_LIMIT: usize = 64;

/// The form of an id, as a pattern.
pub(super) const ID_PATTERN: &str = "^[A-Za-z0-9_.:-]{1,64}$";
/// The form of an id, in words.
pub(super) const ID_FORM: &str = "must be 1 to 64 letters, digits, `_`, `.`, `:` or `-`";
/// An amount as it may come in: not negative, up to nine places.
pub(super) const AMOUNT_PATTERN: &str = r"^\+?[0-9]+(\.[0-9]{1,9})?$";
/// Where a list may lie.
pub(super) const SOURCE_SCHEMES: [&str; 3] = ["file://", "https://", "s3://"];
/// The same, as a pattern.
pub(super) const SOURCE_PATTERN: &str = "^(file|https|s3)://";
/// Where a page may lie.
const PAGE_SCHEMES: [&str; 2] = ["https://", "http://"];
/// The same, as a pattern.
pub(super) const PAGE_PATTERN: &str = "^https?://";

/// What is wrong with the template of a page, so that it can name one for no lead, or has braces that name no field
/// of a lead. `None`: nothing.
pub fn page_problem(template: &str) -> Option<String> {
    if !PAGE_SCHEMES.iter().any(|scheme| template.starts_with(scheme)) || template.contains('\0') {
        return Some("must be an address that begins with https:// or http://".to_owned());
    }
    if let Some((at, braces)) = unknown_field(template) {
        let name = braces.strip_prefix('{').and_then(|name| name.strip_suffix('}')).filter(|name| is_id(name));
        // What has not the form of a name is not repeated: it may be anything.
        let problem = match name {
            Some(name) => format!("names {{{name}}}, which no lead has"),
            None => format!("has a brace at character {at} that names no field of a lead"),
        };
        return Some(format!("{problem}: there are {}", TEMPLATE_FIELDS.join(", ")));
    }
    let malformed = "must be the address of a page, like https://{domain}/about, without spaces";
    (!names_a_page(template)).then(|| malformed.to_owned())
}

/// Is it an address once its fields are filled in, whatever stands in them?
fn names_a_page(template: &str) -> bool {
    let text = || Some("x".to_owned());
    let lead = Lead {
        first_name: text(),
        last_name: text(),
        full_name: text(),
        company: text(),
        domain: Some("x.test".to_owned()),
        linkedin_url: Some("https://linkedin.test/in/x".to_owned()),
        email: Address::parse("x@x.test"),
    };
    fill(template, &lead, &LeadId::new("x")).is_some_and(|url| PageUrl::parse(&url).is_some())
}

/// Does it have the form of a job's, workspace's or request's id: 1 to 64 of `A-Za-z0-9_.:-`?
pub fn is_id(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
    is_plain && (1..=ID_LIMIT).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_name_what_leads_have_and_nothing_else() {
        for template in TEMPLATE_FIELDS.map(|name| format!("https://acme.test/{{{name}}}?q={{lead_id}}")) {
            assert_eq!(page_problem(&template), None, "{template}");
        }
        for template in ["https://{domain}", "http://{company}.test:8080", "https://acme.test"] {
            assert_eq!(page_problem(template), None, "{template}");
        }
        let there_are = "there are lead_id, first_name, last_name, full_name, company, domain, linkedin_url, email";
        let long = format!("https://{{{}}}", "x".repeat(65));
        for (template, problem) in [
            ("https://{domain}/{team}", "names {team}, which no lead has"),
            ("https://{Domain}", "names {Domain}, which no lead has"),
            ("https://{domain}/{first-name}", "names {first-name}, which no lead has"),
            ("https://{domain}/{Ada Lovelace}", "has a brace at character 18 that names no field of a lead"),
            ("https://{domain}/{}", "has a brace at character 18 that names no field of a lead"),
            ("https://{domain}{", "has a brace at character 17 that names no field of a lead"),
            ("https://{domain}}", "has a brace at character 17 that names no field of a lead"),
            ("https://{{domain}}", "has a brace at character 9 that names no field of a lead"),
            (long.as_str(), "has a brace at character 9 that names no field of a lead"),
        ] {
            assert_eq!(page_problem(template), Some(format!("{problem}: {there_are}")), "{template}");
        }
    }

    #[test]
    fn a_page_has_an_address() {
        for template in ["", "{domain}", "ftp://{domain}", "https://a\0"] {
            assert!(page_problem(template).unwrap().starts_with("must be an address"), "{template}");
        }
        let too_long = format!("https://{{domain}}/{}", "x".repeat(TEXT_LIMIT));
        let hosts = [
            "https://",
            "https://a b",
            "https:///{domain}",
            "https://{email}",
            "https://{linkedin_url}",
            "https://:80/",
        ];
        for template in hosts.into_iter().chain([too_long.as_str()]) {
            assert!(page_problem(template).unwrap().starts_with("must be the address of a page"), "{template}");
        }
    }

    #[test]
    fn an_id_is_a_short_plain_name() {
        for id in ["a", "job_1", "A-1.b:c", &"x".repeat(64)] {
            assert!(is_id(id), "{id}");
        }
        for other in ["", "two words", "a/b", "café", "ada@acme.test", &"x".repeat(65)] {
            assert!(!is_id(other), "{other}");
        }
    }
}
