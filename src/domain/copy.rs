//! Copy: what is to be written for a lead, what it is written from, and what a model made of it.

use crate::domain::Lead;
use crate::domain::LeadId;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What copy is written for: the same prices and keys, counted apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Purpose {
    /// For the person.
    #[default]
    Live,
    /// To warm a mailbox up.
    Warmup,
}

impl Purpose {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Warmup => "warmup",
        }
    }
}

impl FromStr for Purpose {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "live" => Ok(Self::Live),
            "warmup" => Ok(Self::Warmup),
            _ => Err(()),
        }
    }
}

/// What a copy job asks for, the same for all its leads.
#[derive(Clone, PartialEq, Eq)]
pub struct Brief {
    /// What it is written for.
    pub purpose: Purpose,
    /// A model of the configuration, by the provider's own name for it.
    pub model: String,
    /// Tokens that the model may write for a lead, reasoning included.
    pub max_output_tokens: u32,
    /// What the model is told; see [`fill`].
    pub instructions: String,
    /// Templates of the pages to read first; see [`fill`].
    pub pages: Vec<String>,
}

/// The address of a page to read: `http` or `https`, with a host. Never shown by `Debug`: it may name
/// a person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageUrl(Arc<str>);

/// The longest address that is asked for.
const LONGEST_URL: usize = 4 * 1024;

impl PageUrl {
    /// The address in `text`, or `None` when it cannot be one. Its form is not judged any further: whoever
    /// scrapes it does that.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let plausible = |c: char| !c.is_whitespace() && !c.is_control();
        let ok = !host.is_empty() && !host.starts_with('.') && text.len() <= LONGEST_URL && text.chars().all(plausible);
        ok.then(|| Self(text.into()))
    }

    /// The address as text; for requests and the store only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageUrl(…)")
    }
}

/// A page that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// Where.
    pub url: PageUrl,
    /// Its text, capped. Somebody else's words: data, never instructions.
    pub text: Arc<str>,
}

/// How a model's provider is spoken to, where servers of one kind differ.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dialect {
    /// Where the key goes.
    pub key: KeyPlace,
    /// The API version that is asked for, where the provider has one; `None` is its adapter's own.
    pub api_version: Option<String>,
    /// Which field caps the output.
    pub output_cap: OutputCap,
    /// Is a cost that the server reports believed, instead of tokens times prices?
    pub trusts_reported_cost: bool,
}

/// Where a model's provider wants its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyPlace {
    /// Where its adapter sends it.
    #[default]
    Usual,
    /// `Authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY`
    XApiKey,
    /// `api-key: KEY`
    ApiKey,
}

/// Which field caps the output of an OpenAI-compatible server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OutputCap {
    /// `max_completion_tokens`, as OpenAI has it.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`, as older servers have it.
    MaxTokens,
}

/// One lead's copy to write: all that a model is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Writing {
    /// By the provider's own name.
    pub model: String,
    /// Tokens that it may write, reasoning included.
    pub max_output_tokens: u32,
    /// What it is told, filled in.
    pub instructions: String,
    /// For whom: data.
    pub lead: Lead,
    /// What could be read of the pages asked for: data.
    pub pages: Vec<Page>,
    /// How its provider is spoken to.
    pub dialect: Dialect,
}

/// What a model wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    /// The subject line.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// Tokens that a model counted; no token counts twice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tokens {
    /// Read, neither from nor into the provider's cache.
    pub input: u64,
    /// Read from its cache.
    pub cached_input: u64,
    /// Read, and written into its cache.
    pub cache_write: u64,
    /// Written, reasoning included.
    pub output: u64,
    /// As many of those written as were reasoning.
    pub reasoning: u64,
}

/// What an attempt brought besides its outcome.
#[derive(Clone, PartialEq, Eq)]
pub enum Product {
    /// The text of a page.
    Text(Arc<str>),
    /// A model's answer.
    Copy {
        /// What it wrote; `None` when it refused, or was cut off.
        draft: Option<Arc<Draft>>,
        /// What it counted; `None` when it did not say: the hold was charged in full.
        tokens: Option<Tokens>,
    },
}

impl fmt::Debug for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Brief({} for {})", self.model, self.purpose.as_str())
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(…)")
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writing({}, {} pages)", self.model, self.pages.len())
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft(…)")
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Copy { draft, tokens } => write!(f, "Copy({draft:?}, {tokens:?})"),
        }
    }
}

/// The fields of a lead that a template may name in braces.
pub const TEMPLATE_FIELDS: [&str; 8] =
    ["lead_id", "first_name", "last_name", "full_name", "company", "domain", "linkedin_url", "email"];

/// The first `{name}` of a template that is no field of a lead.
pub fn unknown_field(template: &str) -> Option<&str> {
    placeholders(template).find(|name| !TEMPLATE_FIELDS.contains(name))
}

/// A template with the lead's fields in place of `{domain}` and the like; `None` when the lead lacks one.
/// What else stands in braces stays as it is.
pub fn fill(template: &str, lead: &Lead, id: &LeadId) -> Option<String> {
    replace(template, |name| match field(lead, id, name) {
        Some(text) => Some(text),
        None if TEMPLATE_FIELDS.contains(&name) => None,
        None => Some(format!("{{{name}}}")),
    })
}

/// The same for what a person reads: a field that the lead lacks is left out.
pub fn fill_text(template: &str, lead: &Lead, id: &LeadId) -> String {
    let filled = replace(template, |name| {
        let known = TEMPLATE_FIELDS.contains(&name);
        field(lead, id, name).or_else(|| Some(if known { String::new() } else { format!("{{{name}}}") }))
    });
    filled.unwrap_or_default()
}

fn replace(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        match behind.split_once('}') {
            Some((name, after)) if is_name(name) => {
                filled.push_str(&value(name)?);
                rest = after;
            }
            Some(_) | None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    Some(filled)
}

fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).filter(|it| is_name(it))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn field(lead: &Lead, id: &LeadId, name: &str) -> Option<String> {
    match name {
        "lead_id" => Some(id.as_str().to_owned()),
        "first_name" => lead.first_name.clone(),
        "last_name" => lead.last_name.clone(),
        "full_name" => lead.full_name.clone(),
        "company" => lead.company.clone(),
        "domain" => lead.domain.clone(),
        "linkedin_url" => lead.linkedin_url.clone(),
        "email" => lead.email.as_ref().map(|address| address.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> (Lead, LeadId) {
        let lead = Lead { first_name: Some("Ada".to_owned()), domain: Some("acme.test".to_owned()), ..Lead::default() };
        (lead, LeadId::new("7"))
    }

    #[test]
    fn a_template_takes_the_fields_of_the_lead() {
        let (lead, id) = ada();
        for (template, filled) in [
            ("https://{domain}", Some("https://acme.test")),
            ("https://{domain}/{lead_id}?q={x y}", Some("https://acme.test/7?q={x y}")),
            ("https://{domain}/{company}", None),
            ("https://{domain}/{nobody}", Some("https://acme.test/{nobody}")),
            ("a { b {first_name}", Some("a { b Ada")),
            ("{", Some("{")),
        ] {
            assert_eq!(fill(template, &lead, &id).as_deref(), filled, "{template}");
        }
        assert_eq!(fill_text("Hi {first_name} of {company}, {\"a\":1}", &lead, &id), "Hi Ada of , {\"a\":1}");
    }

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        let (lead, id) = ada();
        let lead = Lead { first_name: Some("{domain}".to_owned()), ..lead };
        assert_eq!(fill("{first_name}", &lead, &id).as_deref(), Some("{domain}"));
    }

    #[test]
    fn a_field_that_no_lead_has_is_named() {
        assert_eq!(unknown_field("https://{domain}/{team}"), Some("team"));
        assert_eq!(unknown_field("https://{domain}/{a b}{"), None);
    }

    #[test]
    fn a_page_has_a_scheme_and_a_host() {
        for good in ["https://acme.test", "http://acme.test/a?b#c", " https://acme.test "] {
            assert!(PageUrl::parse(good).is_some(), "{good}");
        }
        for bad in ["", "acme.test", "ftp://acme.test", "https://", "https:///a", "https://a b", "https://.test"] {
            assert!(PageUrl::parse(bad).is_none(), "{bad}");
        }
    }
}
