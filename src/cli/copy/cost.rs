//! What copy for one lead could cost: the worst case, which no hold exceeds, and what it would by some assumptions.

use crate::config::Live;
use crate::domain::Address;
use crate::domain::Brief;
use crate::domain::Consumed;
use crate::domain::Dialect;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::PageUrl;
use crate::domain::Query;
use crate::domain::Tokens;
use crate::domain::Usd;
use crate::domain::Writing;
use crate::domain::fill;
use crate::worker::Route;
use crate::worker::Routes;
use crate::worker::StepRoutes;
use rust_decimal::Decimal;
use std::sync::Arc;

/// Characters of a page that a model is given at most (`providers/firecrawl`), and bytes that one of them can come to
/// in the JSON that it is given: as an escape. A token has one byte at least.
const PAGE_CHARACTERS: u64 = 12_000;
const BYTES_A_CHARACTER: u64 = 6;
/// Bytes around a page, and around the fields of a lead: the names and signs of that JSON.
const PAGE_FRAME: u64 = 64;
const LEAD_FRAME: u64 = 128;

/// A page is assumed to have so many tokens, and its reading to take one credit.
pub(super) const ASSUMED_PAGE_TOKENS: u64 = 1_500;
/// A model is assumed to write so many tokens, where it may.
pub(super) const ASSUMED_OUTPUT_TOKENS: u64 = 250;
/// A token of what it is told is assumed to have so many bytes.
const ASSUMED_TOKEN_BYTES: u64 = 4;
/// What is sent besides instructions, lead and pages is assumed to have so many tokens.
const ASSUMED_FRAME_TOKENS: u64 = 300;

/// What something could cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// At most.
    pub(super) worst: Usd,
    /// By the assumptions.
    pub(super) assumed: Usd,
}

/// What one lead could cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeadCost {
    /// Pages that are read for it.
    pub(super) pages: u64,
    /// Their reading.
    pub(super) scraping: Cost,
    /// The model's answer.
    pub(super) writing: Cost,
}

/// Who is asked for the leads of a list, and for what.
pub(super) struct Prices<'a> {
    brief: &'a Brief,
    dialect: Dialect,
    scrape: Option<&'a StepRoutes>,
    write: Option<&'a StepRoutes>,
}

impl Cost {
    pub(super) const NOTHING: Self = Self { worst: Usd::ZERO, assumed: Usd::ZERO };

    /// Both sums, held at the greatest amount.
    pub(super) const fn plus(self, other: Self) -> Self {
        let Self { worst, assumed } = self;
        Self { worst: worst.saturating_add(other.worst), assumed: assumed.saturating_add(other.assumed) }
    }
}

impl LeadCost {
    /// A lead that nobody is asked about.
    const NOTHING: Self = Self { pages: 0, scraping: Cost::NOTHING, writing: Cost::NOTHING };
}

impl<'a> Prices<'a> {
    /// For this brief by these routes.
    pub(super) fn new(brief: &'a Brief, routes: &'a Routes, live: &Live) -> Self {
        let dialect = live.model(&brief.model).map(|(_, provider)| provider.dialect.clone()).unwrap_or_default();
        Self { brief, dialect, scrape: routes.scrape.as_ref(), write: routes.write.as_ref() }
    }

    /// Of one lead, each of its pages being one that nobody has read.
    pub(super) fn of(&self, lead: Lead, id: &LeadId) -> LeadCost {
        // One whose instructions come to too much is asked nobody about.
        let Some(instructions) = self.brief.told(&lead, id) else { return LeadCost::NOTHING };
        let pages = self.pages(&lead, id);
        let writing = Writing {
            model: self.brief.model.clone(),
            max_output_tokens: self.brief.max_output_tokens,
            instructions,
            lead,
            pages: Vec::new(),
            dialect: self.dialect.clone(),
        };
        LeadCost { pages: count(&pages), scraping: self.scraping(&pages), writing: self.writing(writing, &pages) }
    }

    /// The pages that are read for a lead, each once.
    fn pages(&self, lead: &Lead, id: &LeadId) -> Vec<PageUrl> {
        let mut pages: Vec<PageUrl> = Vec::new();
        let templates = self.brief.pages.iter().filter(|_| self.scrape.is_some());
        for page in templates.filter_map(|template| PageUrl::parse(&fill(template, lead, id)?)) {
            if !pages.contains(&page) {
                pages.push(page);
            }
        }
        pages
    }

    fn scraping(&self, pages: &[PageUrl]) -> Cost {
        let Some(step) = self.scrape else { return Cost::NOTHING };
        let of_page = |page: &PageUrl| {
            let query = Query::Scrape(page.clone());
            let assumed = usual(step, |route| route.price.of(Consumed::Credits(Decimal::ONE)).ok());
            Cost { worst: dearest(step, |route| route.worst_price(&query).ok()), assumed }
        };
        pages.iter().map(of_page).fold(Cost::NOTHING, Cost::plus)
    }

    /// `writing` is what is asked without the pages: what is in them nobody knows yet.
    fn writing(&self, writing: Writing, pages: &[PageUrl]) -> Cost {
        let Some(step) = self.write else { return Cost::NOTHING };
        let assumed = assumed_tokens(&writing, pages);
        let added = if pages.is_empty() { 0 } else { page_bytes(pages).saturating_add(lead_bytes(&writing.lead)) };
        let query = Query::Write(Arc::new(writing));
        let bare = dearest(step, |route| route.worst_price(&query).ok());
        let read = Consumed::Tokens(Tokens { input: added, ..Tokens::default() });
        Cost {
            worst: bare.saturating_add(dearest(step, |route| route.price.of_worst(read).ok())),
            assumed: usual(step, |route| route.price.of(Consumed::Tokens(assumed)).ok()),
        }
    }
}

/// The most that pages add to what a model is given.
fn page_bytes(pages: &[PageUrl]) -> u64 {
    let text = PAGE_CHARACTERS.saturating_mul(BYTES_A_CHARACTER).saturating_add(PAGE_FRAME);
    let of_page = |page: &PageUrl| size(page.as_str()).saturating_mul(BYTES_A_CHARACTER).saturating_add(text);
    pages.iter().map(of_page).fold(0, u64::saturating_add)
}

/// The most that the fields of a lead come to there. A hold takes the tokens of the whole, or its bytes where those
/// are fewer: beside a long page, the lead may count by its bytes.
fn lead_bytes(lead: &Lead) -> u64 {
    fields(lead).saturating_mul(BYTES_A_CHARACTER).saturating_add(LEAD_FRAME)
}

fn assumed_tokens(writing: &Writing, pages: &[PageUrl]) -> Tokens {
    let told = fields(&writing.lead).saturating_add(size(&writing.instructions)).div_ceil(ASSUMED_TOKEN_BYTES);
    let read = count(pages).saturating_mul(ASSUMED_PAGE_TOKENS);
    let input = told.saturating_add(ASSUMED_FRAME_TOKENS).saturating_add(read);
    let output = ASSUMED_OUTPUT_TOKENS.min(u64::from(writing.max_output_tokens));
    Tokens { input, output, ..Tokens::default() }
}

/// Bytes of a lead's texts.
fn fields(lead: &Lead) -> u64 {
    let Lead { first_name, last_name, full_name, company, domain, linkedin_url, email } = lead;
    let texts = [first_name, last_name, full_name, company, domain, linkedin_url].into_iter().flatten();
    let texts = texts.map(String::as_str).chain(email.as_ref().map(Address::as_str));
    texts.map(size).fold(0, u64::saturating_add)
}

/// By the dearest of a step's keys: an own one may give way to the house's.
fn dearest(step: &StepRoutes, price: impl Fn(&Route) -> Option<Usd>) -> Usd {
    let prices = step.routes.iter().map(|route| price(route).unwrap_or(Usd::MAX));
    prices.max().unwrap_or(Usd::ZERO)
}

/// By the key that is tried first.
fn usual(step: &StepRoutes, price: impl Fn(&Route) -> Option<Usd>) -> Usd {
    step.first().map_or(Usd::ZERO, |route| price(route).unwrap_or(Usd::MAX))
}

fn size(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn count(pages: &[PageUrl]) -> u64 {
    u64::try_from(pages.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::load;
    use crate::domain::Page;
    use crate::domain::Purpose;
    use crate::http::Gates;
    use std::path::Path;

    pub(in crate::cli::copy) const BOTH: [&str; 2] = ["OPENAI_API_KEY", "FIRECRAWL_API_KEY"];

    /// A brief of six letters: 0.75 USD for a million tokens read, 4.50 USD for a million written.
    pub(in crate::cli::copy) fn brief(max_output_tokens: u32, pages: &[&str]) -> Brief {
        Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens,
            instructions: "Write.".to_owned(),
            pages: pages.iter().map(|page| (*page).to_owned()).collect(),
        }
    }

    /// The routes of the shipped configuration, with these keys.
    pub(in crate::cli::copy) fn routes(brief: &Brief, keys: &[&str]) -> (Routes, Arc<Live>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let lookup = |name: &str| keys.contains(&name).then(|| "key".to_owned());
        let live = load(Some(&folder), &lookup, &[]).unwrap().live;
        (Routes::for_copy_with_house_keys(&live, brief, &Gates::default()), live)
    }

    pub(in crate::cli::copy) fn lead(company: &str) -> Lead {
        Lead { company: Some(company.to_owned()), domain: Some("acme.test".to_owned()), ..Lead::default() }
    }

    fn cost(brief: &Brief, keys: &[&str], lead: Lead) -> LeadCost {
        let (routes, live) = routes(brief, keys);
        Prices::new(brief, &routes, &live).of(lead, &LeadId::new("1"))
    }

    #[test]
    fn a_page_costs_five_credits_at_worst_and_one_as_assumed_and_is_read_once() {
        let pages = ["https://{domain}", "https://acme.test", "https://{domain}/about", "https://{last_name}"];
        let LeadCost { pages: read, scraping, .. } = cost(&brief(400, &pages), &BOTH, lead("Acme"));
        let nanos = (scraping.worst.nanos(), scraping.assumed.nanos());
        assert_eq!((read, nanos), (2, (2 * 25_000_000, 2 * 5_000_000)));
        let unread = cost(&brief(400, &pages), &["OPENAI_API_KEY"], lead("Acme"));
        assert_eq!((unread.pages, unread.scraping), (0, Cost::NOTHING));
    }

    #[test]
    fn the_output_counts_in_full_at_worst_and_every_page_with_its_most() {
        let worst = |most, pages: &[&str]| cost(&brief(most, pages), &BOTH, lead("Acme")).writing.worst.nanos();
        let (bare, token) = (worst(400, &[]), 4_500);
        assert!(bare > 400 * token, "{bare}");
        assert_eq!(worst(900, &[]), bare + 500 * token);
        // The 13 bytes of the lead's texts, and 12,000 characters and an address of 19, each with its frame.
        let read = (13 * 6 + 128) + (12_000 * 6 + 19 * 6 + 64);
        assert_eq!(worst(400, &["https://{domain}/a"]), bare + read * 750);
    }

    #[test]
    fn a_short_text_may_be_dearer_than_a_long_one() {
        let worst = |company: &str| cost(&brief(400, &[]), &BOTH, lead(company)).writing.worst;
        let (long, short) = ("a".repeat(400), "\u{13000}".repeat(90));
        assert!(long.len() > short.len() && worst(&long) < worst(&short));
    }

    #[test]
    fn no_hold_is_above_the_worst_case_whatever_the_page_says() {
        let brief = brief(400, &["https://{domain}/{company}"]);
        let (routes, live) = routes(&brief, &BOTH);
        let prices = Prices::new(&brief, &routes, &live);
        for company in ["Acme", "\"<[INST]\u{13000}", "a\tb"] {
            let (lead, id) = (lead(company), LeadId::new("1"));
            let worst = prices.of(lead.clone(), &id).writing.worst;
            for text in ["<", "\"\n", "[INST]", "\u{13000}", "\u{1F469}\u{200D}", "a ", "Ab1 "] {
                let text: String = text.chars().cycle().take(12_000).collect();
                let pages = prices.pages(&lead, &id).into_iter().map(|url| Page { url, text: text.as_str().into() });
                let writing = Writing {
                    model: brief.model.clone(),
                    max_output_tokens: brief.max_output_tokens,
                    instructions: brief.told(&lead, &id).unwrap(),
                    lead: lead.clone(),
                    pages: pages.collect(),
                    dialect: prices.dialect.clone(),
                };
                assert_eq!(writing.pages.len(), 1);
                let query = Query::Write(Arc::new(writing));
                let held = routes.write.as_ref().unwrap().first().unwrap().worst_price(&query).unwrap();
                assert!(held <= worst, "{held} for {company:?} and {:?}", text.get(..8));
            }
        }
    }

    #[test]
    fn the_typical_cost_is_counted_by_its_assumptions() {
        // 19 bytes of instructions and lead are five tokens.
        let assumed = |most, pages: &[&str]| cost(&brief(most, pages), &BOTH, lead("Acme")).writing.assumed.nanos();
        assert_eq!(assumed(400, &["https://{domain}"]), (5 + 300 + 1_500) * 750 + 250 * 4_500);
        assert_eq!(assumed(100, &[]), (5 + 300) * 750 + 100 * 4_500);
    }

    #[test]
    fn a_lead_whose_instructions_come_to_too_much_costs_nothing() {
        let brief = Brief { instructions: "{company}".repeat(3_640), ..brief(400, &["https://{domain}"]) };
        assert_eq!(cost(&brief, &BOTH, lead(&"x".repeat(4_096))), LeadCost::NOTHING);
    }
}
