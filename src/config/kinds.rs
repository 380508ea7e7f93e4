//! What is usual for each kind of provider: the defaults of its table.
//!
//! Addresses and limits are those of the providers' own pages; `weir.toml` names the pages.
//! Prices, keys and rates have no default: money is never assumed, and a rate that is left out is none.

use crate::domain::KeyPlace;
use crate::domain::OutputCap;
use std::time::Duration;

/// What a provider counts, and so where its price stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Billing {
    /// Its own credits, at `credit_price`.
    Credits,
    /// Tokens, at the prices of `[models]`.
    Tokens,
}

/// The defaults of one kind. What is `None` of the last four cannot be chosen for it.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) base_url: &'static str,
    pub(super) billing: Billing,
    pub(super) reads_per_minute: Option<u32>,
    pub(super) poll_deadline: Option<Duration>,
    pub(super) max_in_flight: u32,
    pub(super) timeout: Duration,
    pub(super) key_header: Option<KeyPlace>,
    pub(super) api_version: Option<&'static str>,
    pub(super) output_cap: Option<OutputCap>,
    pub(super) trust_reported_cost: Option<bool>,
}

/// A model may think for long, and an answer that is given up may be billed all the same.
const MODEL_TIMEOUT: Duration = Duration::from_secs(120);

/// Every kind this program knows.
pub(super) static KINDS: &[Kind] = &[
    Kind { name: "leadmagic", base_url: "https://api.leadmagic.io", ..USUAL },
    Kind { name: "prospeo", base_url: "https://api.prospeo.io", ..USUAL },
    Kind {
        name: "findymail",
        base_url: "https://app.findymail.com",
        max_in_flight: 30,
        timeout: Duration::from_secs(60),
        ..USUAL
    },
    Kind {
        name: "icypeas",
        base_url: "https://app.icypeas.com/api",
        reads_per_minute: Some(30),
        poll_deadline: Some(Duration::from_secs(120)),
        ..USUAL
    },
    Kind { name: "zerobounce", base_url: "https://api.zerobounce.net/v2", ..USUAL },
    Kind { name: "millionverifier", base_url: "https://api.millionverifier.com/api/v3", ..USUAL },
    Kind { name: "firecrawl", base_url: "https://api.firecrawl.dev/v2", ..USUAL },
    Kind {
        name: "openai",
        base_url: "https://api.openai.com/v1",
        billing: Billing::Tokens,
        timeout: MODEL_TIMEOUT,
        key_header: Some(KeyPlace::Bearer),
        output_cap: Some(OutputCap::MaxCompletionTokens),
        trust_reported_cost: Some(false),
        ..USUAL
    },
    Kind {
        name: "anthropic",
        base_url: "https://api.anthropic.com",
        billing: Billing::Tokens,
        timeout: MODEL_TIMEOUT,
        key_header: Some(KeyPlace::XApiKey),
        api_version: Some("2023-06-01"),
        ..USUAL
    },
];

/// What the kinds have in common; stands for a kind that is a mistake.
pub(super) const USUAL: Kind = Kind {
    name: "",
    base_url: "",
    billing: Billing::Credits,
    reads_per_minute: None,
    poll_deadline: None,
    max_in_flight: 50,
    timeout: Duration::from_secs(30),
    key_header: None,
    api_version: None,
    output_cap: None,
    trust_reported_cost: None,
};

impl Kind {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|kind| kind.name)
    }
}
