//! How large a message and its parts may be, and the forms that texts must have.

use crate::domain::TEMPLATE_FIELDS;
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

/// What is wrong with the template of a page, so that it can name one for no lead. `None`: nothing.
pub fn page_problem(template: &str) -> Option<String> {
    if !PAGE_SCHEMES.iter().any(|scheme| template.starts_with(scheme)) || template.contains('\0') {
        return Some("must be an address that begins with https:// or http://".to_owned());
    }
    let name = unknown_field(template)?;
    // What is longer is no slip of the pen.
    let named = if name.len() > ID_LIMIT { "a field".to_owned() } else { format!("{{{name}}}") };
    Some(format!("names {named}, which no lead has: there are {}", TEMPLATE_FIELDS.join(", ")))
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
        for template in ["https://{domain}", "http://acme.test/{lead_id}?q={first_name}{", "https://acme.test/{A b}"] {
            assert_eq!(page_problem(template), None, "{template}");
        }
        let team = "names {team}, which no lead has: there are lead_id, first_name, last_name, full_name, company, \
                    domain, linkedin_url, email";
        assert_eq!(page_problem("https://{domain}/{team}").as_deref(), Some(team));
        let long = page_problem(&format!("https://{{{}}}", "x".repeat(65))).unwrap();
        assert!(long.starts_with("names a field, which no lead has"), "{long}");
        for template in ["", "{domain}", "ftp://{domain}", "https://a\0"] {
            assert!(page_problem(template).unwrap().starts_with("must be an address"), "{template}");
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
