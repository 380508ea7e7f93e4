//! Every wire case of the fact pages, read and compared with what the pages say of it; every request
//! built; and junk. The fixtures and what is expected of them are in `tests/fixtures/providers/`.

use crate::domain::Address;
use crate::domain::Lead;
use crate::domain::Operation;
use crate::domain::Query;
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
use expect_test::expect_file;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

const REFERENCE: &str = "attempt-7";

/// One recorded exchange: what was asked, and what came back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    status: u16,
    headers: BTreeMap<String, String>,
    /// JSON, or a string for a body that is not JSON.
    body: Value,
    query: Asked,
    turn: u8,
    /// Read as a later answer, for this handle.
    handle: Option<String>,
    /// Searched for the submission with this reference.
    reference: Option<String>,
}

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

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/providers").join(kind)
}

/// The fixtures of a provider, by name.
fn fixtures(kind: &str) -> BTreeMap<String, Fixture> {
    fs::read_dir(folder(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let fixture = serde_json::from_str(&fs::read_to_string(&path).unwrap());
            (name, fixture.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect()
}

/// The case names of CASES.md under the provider's heading; those not spoken have no fixture.
fn listed_cases(kind: &str) -> BTreeSet<String> {
    let list = fs::read_to_string(folder("CASES.md")).unwrap();
    let section = list.split("\n## ").find(|section| section.lines().next() == Some(kind)).unwrap();
    let cases = section.lines().filter_map(|line| line.strip_prefix("- ")?.split_once(": "));
    cases.filter(|(_, said)| !said.starts_with("not spoken")).map(|(name, _)| name.to_owned()).collect()
}

/// What the adapter makes of a fixture, as one line.
fn outcome(provider: &dyn Provider, fixture: &Fixture) -> String {
    let headers: HeaderMap = fixture
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
        .collect();
    let body = fixture.body.as_str().map_or_else(|| fixture.body.to_string(), str::to_owned);
    let reply = Reply { status: fixture.status, headers: &headers, body: &body };
    let query = fixture.query.query();
    match (&fixture.handle, &fixture.reference) {
        (Some(handle), _) => provider
            .deferred()
            .unwrap()
            .pick(&query, &reply, handle)
            .map_or_else(|| "not in the reply".to_owned(), |reading| shown(&reading)),
        (None, Some(reference)) => provider
            .deferred()
            .unwrap()
            .find_reference(&reply, reference)
            .map_or_else(|| "not in the reply".to_owned(), |handle| format!("Reference {handle}")),
        (None, None) => shown(&provider.read(&query, fixture.turn, &reply)),
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

/// The requests a provider builds, one a line, with the most credits each may cost.
fn requests(provider: &dyn Provider) -> String {
    let full = |name: &str| Lead { full_name: Some(name.to_owned()), ..Lead::default() };
    let at_acme = |lead: Lead| Lead { company: Some("Acme Widgets".to_owned()), ..lead };
    let whole = Lead { linkedin_url: ada_by_profile().linkedin_url, ..lead("Ada", "Sample", "acme-widgets.test") };
    let finds = [
        ("find-by-domain", lead("Ada", "Sample", "acme-widgets.test")),
        ("find-by-company-name", at_acme(full("Ada Sample"))),
        ("find-by-one-word-name", at_acme(full("Ada"))),
        ("find-by-profile", ada_by_profile()),
        ("find-by-name-before-profile", whole),
    ];
    let does = |operation| provider.operations().contains(&operation);
    let mut questions: Vec<(&str, Option<Query>)> = Vec::new();
    if does(Operation::FindEmail) {
        questions.extend(finds.iter().map(|(name, lead)| (*name, provider.find_query(lead))));
    }
    if does(Operation::VerifyEmail) {
        questions.push(("verify", Some(Asked::Verify.query())));
    }
    let mut lines: Vec<String> = questions
        .into_iter()
        .map(|(name, query)| match query {
            None => format!("{name}: no question"),
            Some(query) => {
                let most = provider.worst_case(&query).normalize();
                format!("{name} (at most {most}): {}", call(&provider.request(&query, REFERENCE)))
            }
        })
        .collect();
    if let Some(deferred) = provider.deferred() {
        lines.push(format!("read-many-finds: {}", call(&deferred.read_many(Operation::FindEmail))));
        lines.push(format!("read-many-verdicts: {}", call(&deferred.read_many(Operation::VerifyEmail))));
        lines.push(format!("read-one: {}", call(&deferred.read_one("p_ada"))));
    }
    lines.join("\n") + "\n"
}

#[test]
fn every_listed_case_has_its_fixture_and_no_other() {
    for provider in TABLE {
        let names: BTreeSet<String> = fixtures(provider.kind()).into_keys().collect();
        assert_eq!(names, listed_cases(provider.kind()), "{}", provider.kind());
    }
}

#[test]
fn every_provider_has_the_cases_that_matter_most() {
    for provider in TABLE {
        let outcomes: Vec<String> =
            fixtures(provider.kind()).values().map(|fixture| outcome(*provider, fixture)).collect();
        let mut wanted = vec!["Fault RateLimited", "Fault KeyRejected", "Fault ProviderOutOfCredits"];
        if provider.operations().contains(&Operation::FindEmail) {
            wanted.extend(["Found ", "NotFound "]);
        }
        if provider.operations().contains(&Operation::VerifyEmail) {
            wanted.push("Judged valid ");
        }
        for start in wanted {
            assert!(outcomes.iter().any(|line| line.starts_with(start)), "{} lacks {start:?}", provider.kind());
        }
    }
}

#[test]
fn every_case_is_read_as_the_fact_pages_say() {
    for provider in TABLE {
        let lines: String = fixtures(provider.kind())
            .iter()
            .map(|(name, fixture)| format!("{name}: {}\n", outcome(*provider, fixture)))
            .collect();
        expect_file![folder(provider.kind()).join("EXPECTED.txt")].assert_eq(&lines);
    }
}

#[test]
fn every_request_is_built_as_the_fact_pages_say() {
    for provider in TABLE {
        expect_file![folder(provider.kind()).join("REQUESTS.txt")].assert_eq(&requests(*provider));
    }
}

#[test]
fn a_provider_is_found_by_its_kind_alone() {
    for provider in TABLE {
        assert_eq!(by_kind(provider.kind()).unwrap().kind(), provider.kind());
    }
    assert!(by_kind("LeadMagic").is_none());
    assert!(by_kind("").is_none());
}

/// Reads a body in every way there is, and fails if any of them takes it for an address or a verdict.
fn expect_no_answer(status: u16, body: &str) {
    let headers = HeaderMap::new();
    let reply = Reply { status, headers: &headers, body };
    for provider in TABLE {
        for query in [Asked::Find, Asked::Profile, Asked::Verify].map(Asked::query) {
            let read = (0..=2).map(|turn| provider.read(&query, turn, &reply));
            let picked = provider.deferred().and_then(|deferred| deferred.pick(&query, &reply, "p_ada"));
            for reading in read.chain(picked) {
                let is_answer = matches!(
                    reading,
                    Reading::Done(Answer::Found { .. } | Answer::Judged { .. }) | Reading::Later { .. }
                );
                assert!(!is_answer, "{} read {}", provider.kind(), shown(&reading));
            }
        }
        assert_eq!(provider.deferred().and_then(|deferred| deferred.find_reference(&reply, REFERENCE)), None);
    }
}

#[test]
fn junk_is_never_an_answer() {
    let nested = ["[", "{\"contact\":", "{\"items\":["].map(|open| open.repeat(5_000));
    let bodies = [
        "",
        " ",
        "null",
        "true",
        "0",
        "[]",
        "{}",
        "\"valid\"",
        "<html>",
        "<!doctype html><title>Just a moment...</title>",
        "{\"email\":\"ada.sample@acme-widgets.test\"",
        r#"{"email":7,"status":7,"email_status":7,"credits_consumed":"x","is_domain_catch_all":"yes"}"#,
        r#"{"error":false,"person":[],"free_enrichment":"no"}"#,
        r#"{"error":false,"person":{"email":"x"}}"#,
        r#"{"contact":7,"verified":"true"}"#,
        r#"{"contact":{"email":{"email":"x"}}}"#,
        r#"{"contact":{"email":"n/a"},"email":"n/a","status":null}"#,
        r#"{"success":"yes","item":{"_id":7},"items":{"_id":"p_ada"}}"#,
        r#"{"success":true,"item":[],"items":[7,null,[],{},{"_id":"p_ada","results":7,"userData":[]}]}"#,
        r#"{"Credits":[],"result":1,"resultcode":"1","error":{}}"#,
    ];
    for status in [0, 100, 200, 204, 301, 400, 401, 402, 403, 404, 423, 429, 500, 524, 999] {
        for body in bodies.iter().copied().chain(nested.iter().map(String::as_str)) {
            expect_no_answer(status, body);
        }
    }
}

/// A body that ends early is not JSON.
#[test]
fn a_cut_answer_is_never_one() {
    for fixture in TABLE.iter().flat_map(|provider| fixtures(provider.kind()).into_values()) {
        let body = fixture.body.to_string();
        for end in [1, body.len() / 2, body.len() - 1] {
            expect_no_answer(200, body.get(..end).unwrap_or_default());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_never_an_answer(status: u16, body: String) {
        expect_no_answer(status, &body);
    }
}
