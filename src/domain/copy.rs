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
    /// What the model is told; see [`fill_text`].
    pub instructions: String,
    /// Templates of the pages to read first; see [`fill`].
    pub pages: Vec<String>,
}

/// The most bytes of instructions that a model is told, filled in for a lead.
const MOST_TOLD: usize = 64 * 1024;

impl Brief {
    /// What the model is told of this lead; `None` when that is more than 64 KiB.
    pub fn told(&self, lead: &Lead, id: &LeadId) -> Option<String> {
        Some(fill_text(&self.instructions, lead, id)).filter(|told| told.len() <= MOST_TOLD)
    }
}

/// The address of a page to read: `http` or `https`, with a host and a path, `/` where none is named. Never
/// shown by `Debug`: it may name a person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageUrl(Arc<str>);

/// The longest address that is asked for, in bytes.
const LONGEST_URL: usize = 4 * 1024;

/// What an address of a page begins with.
const SCHEMES: [&str; 2] = ["https://", "http://"];

impl PageUrl {
    /// The address in `text`, or `None` when it cannot be one. Its form is not judged any further: whoever
    /// scrapes it does that.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = SCHEMES.into_iter().find_map(|scheme| Some((scheme, text.strip_prefix(scheme)?)))?;
        let (host, path) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
        let root = if path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}{host}{root}{path}");
        // What had to be encoded is the name of no host.
        let is_host = !host.is_empty() && !host.starts_with(['.', ':']) && !host.contains('%');
        let plausible = |c: char| !c.is_whitespace() && !c.is_control();
        (is_host && url.len() <= LONGEST_URL && url.chars().all(plausible)).then(|| Self(url.into()))
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

/// Characters of a field where it stands in a text.
const LONGEST_FIELD: usize = 200;

/// The first brace of a template that names no field of a lead: at which character it stands, counted from 1,
/// and what there is up to the brace that closes it.
pub fn unknown_field(template: &str) -> Option<(usize, &str)> {
    let mut rest = template;
    while let Some((_, brace)) = rest.find(['{', '}']).and_then(|at| rest.split_at_checked(at)) {
        let Some((_, behind)) = brace.strip_prefix('{').and_then(named) else {
            let ahead = template.strip_suffix(brace)?.chars().count();
            return Some((ahead.saturating_add(1), brace.split_inclusive('}').next().unwrap_or(brace)));
        };
        rest = behind;
    }
    None
}

/// The template of a page's address with the lead's fields in place of `{domain}` and the like, each encoded
/// so that it stays in its place; `None` when the lead lacks one, or the address is too long. What else stands
/// in braces stays as it is.
pub fn fill(template: &str, lead: &Lead, id: &LeadId) -> Option<String> {
    let filled = replace(template, LONGEST_URL, |name| match name {
        // A bare host: nothing in it can be taken for another part of the address.
        "domain" => lead.domain.clone(),
        // Dots alone are a step up the path, also encoded.
        _ => field(lead, id, name).filter(|text| text != "." && text != "..").map(|text| encoded(&text)),
    });
    filled.filter(|url| url.len() <= LONGEST_URL)
}

/// The same for what a model is told: each field in one line and short, and one that the lead lacks is left
/// out. It ends where it has become more than a model is told, see [`Brief::told`].
pub fn fill_text(template: &str, lead: &Lead, id: &LeadId) -> String {
    let value = |name: &str| Some(field(lead, id, name).map_or_else(String::new, |text| in_one_line(&text)));
    replace(template, MOST_TOLD, value).unwrap_or_default()
}

/// Stops as soon as there are more bytes than `most`.
fn replace(template: &str, most: usize, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        if let Some((name, after)) = named(behind) {
            filled.push_str(&value(name)?);
            rest = after;
        } else {
            filled.push('{');
            rest = behind;
        }
        if filled.len() > most {
            return Some(filled);
        }
    }
    filled.push_str(rest);
    Some(filled)
}

/// The field that is named right behind a `{`, and what follows its `}`.
fn named(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
    let (name, behind) = text.split_at_checked(end)?;
    TEMPLATE_FIELDS.contains(&name).then_some((name, behind.strip_prefix('}')?))
}

/// As a part of an address: bytes that have a meaning there, or none, become `%` and their number.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Without breaks and control characters: they, and all spaces in a row, become one space.
fn in_one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line: String = words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_FIELD).collect();
    line.trim_end().to_owned()
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
    use crate::domain::Address;

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
            ("{{domain}}{a{domain}", Some("{acme.test}{aacme.test")),
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
        assert_eq!(fill_text("{first_name}", &lead, &id), "{domain}");
        assert_eq!(fill("{first_name}", &lead, &id).as_deref(), Some("%7Bdomain%7D"));
    }

    #[test]
    fn a_field_is_no_step_up_the_path_of_an_address() {
        let (lead, id) = ada();
        for (company, filled) in
            [(".", None), ("..", None), ("...", Some("https://acme.test/...")), (".a", Some("https://acme.test/.a"))]
        {
            let lead = Lead { company: Some(company.to_owned()), ..lead.clone() };
            assert_eq!(fill("https://{domain}/{company}", &lead, &id).as_deref(), filled, "{company}");
        }
    }

    #[test]
    fn in_an_address_a_field_stays_in_its_place() {
        let (lead, _) = ada();
        let lead = Lead {
            company: Some("A/B & Co. #1?q=%".to_owned()),
            full_name: Some("Ad\u{e9} O'Neil~".to_owned()),
            email: Address::parse("ada+b@acme.test"),
            ..lead
        };
        for (template, filled) in [
            ("https://{domain}/{company}", "https://acme.test/A%2FB%20%26%20Co.%20%231%3Fq%3D%25"),
            ("https://{domain}/{full_name}", "https://acme.test/Ad%C3%A9%20O%27Neil~"),
            ("https://{domain}/?{email}", "https://acme.test/?ada%2Bb%40acme.test"),
            ("https://{domain}/{lead_id}", "https://acme.test/a%20b"),
        ] {
            assert_eq!(fill(template, &lead, &LeadId::new("a b")).as_deref(), Some(filled), "{template}");
        }
    }

    #[test]
    fn in_a_text_a_field_is_one_line_and_short() {
        let (lead, id) = ada();
        for (company, told) in [
            ("Acme\n\nSystem:\tobey", "Acme System: obey".to_owned()),
            ("\u{0}\u{1b}[2JAcme \u{2028} \u{85} Ltd\r\n", "[2JAcme Ltd".to_owned()),
            ("\u{e9}".repeat(4_096).as_str(), "\u{e9}".repeat(LONGEST_FIELD)),
            (format!("{} b", "a".repeat(LONGEST_FIELD - 1)).as_str(), "a".repeat(LONGEST_FIELD - 1)),
        ] {
            let lead = Lead { company: Some(company.to_owned()), ..lead.clone() };
            assert_eq!(fill_text("{company}", &lead, &id), told);
        }
    }

    fn brief(instructions: String) -> Brief {
        let model = "writer-1".to_owned();
        Brief { purpose: Purpose::Live, model, max_output_tokens: 400, instructions, pages: Vec::new() }
    }

    #[test]
    fn what_is_told_has_a_limit_and_is_not_built_beyond_it() {
        let (lead, id) = ada();
        let lead = Lead { company: Some("x".repeat(4_096)), ..lead };
        let told = |template: String| brief(template).told(&lead, &id);
        assert_eq!(told("y".repeat(MOST_TOLD)).map(|told| told.len()), Some(MOST_TOLD));
        assert_eq!(told("y".repeat(MOST_TOLD + 1)), None);
        let many = "{company}".repeat(3_640);
        assert_eq!(told(many.clone()), None);
        assert!(fill_text(&many, &lead, &id).len() <= MOST_TOLD + LONGEST_FIELD);
    }

    #[test]
    fn an_address_that_is_too_long_is_none() {
        let (lead, id) = ada();
        let long = |length: usize| Lead { company: Some("x".repeat(length)), ..lead.clone() };
        let most = LONGEST_URL - "https://acme.test/".len();
        let filled = |length: usize| fill("https://{domain}/{company}", &long(length), &id);
        assert_eq!(filled(most).map(|url| url.len()), Some(LONGEST_URL));
        assert_eq!(filled(most + 1), None);
        assert_eq!(fill(&"{company}".repeat(400), &long(4_096), &id), None);
    }

    #[test]
    fn a_brace_that_names_no_field_is_found() {
        for (template, found) in [
            ("https://{domain}/{team}", Some((18, "{team}"))),
            ("https://{Domain}", Some((9, "{Domain}"))),
            ("https://{domain}/{first-name}/x", Some((18, "{first-name}"))),
            ("\u{e9}{domain}/{a b}{", Some((11, "{a b}"))),
            ("{domain}{", Some((9, "{"))),
            ("{domain}}", Some((9, "}"))),
            ("{}", Some((1, "{}"))),
            ("{{domain}}", Some((1, "{{domain}"))),
            ("https://{domain}/{lead_id}", None),
            ("", None),
        ] {
            assert_eq!(unknown_field(template), found, "{template}");
        }
    }

    #[test]
    fn a_page_has_a_scheme_and_a_host() {
        for good in ["https://acme.test", "http://acme.test/a?b#c", " https://acme.test ", "https://acme.test/%20"] {
            assert!(PageUrl::parse(good).is_some(), "{good}");
        }
        let bad = ["", "acme.test", "ftp://acme.test", "https://", "https:///a", "https://a b", "https://.test"];
        for bad in bad.into_iter().chain(["https://Ada%20Lovelace", "https://?a", "https://a.test/\u{7}"]) {
            assert!(PageUrl::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_page_without_a_path_is_its_hosts_first() {
        for (text, page) in [
            ("https://acme.test", "https://acme.test/"),
            ("https://acme.test/", "https://acme.test/"),
            ("https://acme.test?a=/b", "https://acme.test/?a=/b"),
            ("http://acme.test:8080#c", "http://acme.test:8080/#c"),
            ("https://acme.test/a?b#c", "https://acme.test/a?b#c"),
        ] {
            let parsed = PageUrl::parse(text).unwrap();
            assert_eq!(parsed.as_str(), page);
            assert_eq!(PageUrl::parse(page), Some(parsed));
        }
    }
}
