//! Every wire case of the fact pages, read and compared with what the pages say of it; every request built;
//! and junk.

mod anthropic;
mod enrichment;
mod firecrawl;
mod junk;
mod openai;
mod prompt;
mod usage;

use crate::domain::Address;
use crate::domain::Dialect;
use crate::domain::Lead;
use crate::domain::Page;
use crate::domain::PageUrl;
use crate::domain::Query;
use crate::domain::Writing;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Fault;
use crate::providers::Method;
use crate::providers::Provider;
use crate::providers::Reading;
use crate::providers::Reply;
use crate::providers::Request;
use crate::providers::TABLE;
use crate::providers::by_kind;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use serde::Deserialize;
use std::sync::Arc;

const REFERENCE: &str = "attempt-7";

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Find,
    Profile,
    Verify,
}

impl Asked {
    fn query(self) -> Query {
        match self {
            Self::Find => Query::by_name(&lead("Ada", "Sample", "acme-widgets.test")).unwrap(),
            Self::Profile => Query::by_profile(&ada_by_profile()).unwrap(),
            Self::Verify => Query::Verify(Address::parse("ada.sample@acme-widgets.test").unwrap()),
        }
    }
}

fn lead(first: &str, last: &str, domain: &str) -> Lead {
    let text = |text: &str| Some(text.to_owned());
    Lead { first_name: text(first), last_name: text(last), domain: text(domain), ..Lead::default() }
}

fn ada_by_profile() -> Lead {
    Lead { linkedin_url: Some("https://www.linkedin.com/in/ada-sample".to_owned()), ..Lead::default() }
}

fn url(text: &str) -> PageUrl {
    PageUrl::parse(text).unwrap()
}

/// Copy to be written for Ada, about one page that says this.
fn writing(page: &str) -> Writing {
    Writing {
        model: "gpt-5.4-mini".to_owned(),
        max_output_tokens: 400,
        instructions: "Write a first-touch e-mail.".to_owned(),
        lead: Lead {
            email: Address::parse("ada.sample@acme-widgets.test"),
            ..lead("Ada", "Sample", "acme-widgets.test")
        },
        pages: vec![Page { url: url("https://acme-widgets.test/team"), text: page.into() }],
        dialect: Dialect::default(),
    }
}

/// The question that asks for it.
fn write(writing: Writing) -> Query {
    Query::Write(Arc::new(writing))
}

fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    let parsed =
        |(name, value): (&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    pairs.into_iter().map(parsed).collect()
}

/// What an adapter makes of a first reply.
fn read(provider: &dyn Provider, query: &Query, status: u16, pairs: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers(pairs.iter().copied());
    match provider.read(query, 0, &Reply { status, headers: &headers, body }) {
        Reading::Done(answer) => answer,
        reading @ (Reading::Later { .. } | Reading::Ask(_)) => panic!("{}", shown(&reading)),
    }
}

fn shown(reading: &Reading) -> String {
    match reading {
        Reading::Done(Answer::Found { address, claim, credits }) => {
            let (address, claim) = (address.as_str(), claim.as_str());
            format!("Found {address} claim={claim} credits={}", credits.normalize())
        }
        Reading::Done(Answer::NotFound { credits }) => format!("NotFound credits={}", credits.normalize()),
        Reading::Done(Answer::Judged { verdict, credits }) => {
            format!("Judged {} credits={}", verdict.as_str(), credits.normalize())
        }
        Reading::Done(Answer::Fault(Fault::RateLimited { retry_after: Some(wait) })) => {
            format!("Fault RateLimited for {}s", wait.as_secs())
        }
        Reading::Done(Answer::Fault(Fault::RateLimited { retry_after: None })) => "Fault RateLimited".to_owned(),
        Reading::Done(Answer::Fault(fault)) => format!("Fault {fault:?}"),
        Reading::Done(answer @ (Answer::Scraped { .. } | Answer::Written { .. } | Answer::Unwritten { .. })) => {
            format!("{answer:?}")
        }
        Reading::Later { handle, after } => format!("Later {handle} after {}s", after.as_secs()),
        Reading::Ask(request) => format!("Ask {}", call(request)),
    }
}

/// Method, path and parameters, where the key goes, and the body.
fn call(request: &Request) -> String {
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
    };
    let parameters: Vec<_> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mark = if parameters.is_empty() { "" } else { "?" };
    let key = match request.auth {
        Auth::Header(name, prefix) => format!("{name}: {prefix}KEY"),
        Auth::Query(name) => format!("{name}=KEY"),
    };
    let body = request.body.as_ref().map_or_else(String::new, |body| format!(" {body}"));
    format!("{method} {}{mark}{} [{key}]{body}", request.path, parameters.join("&"))
}

#[test]
fn a_provider_is_found_by_its_kind_alone() {
    for provider in TABLE {
        assert_eq!(by_kind(provider.kind()).unwrap().kind(), provider.kind());
    }
    assert!(by_kind("LeadMagic").is_none());
    assert!(by_kind("").is_none());
}
