//! Finders and verifiers: every wire case of the fact pages, read and compared with what the pages say of
//! it, and every request built. The fixtures and what is expected of them are in `tests/fixtures/providers/`.

use crate::domain::Consumed;
use crate::domain::Lead;
use crate::domain::Operation;
use crate::domain::Query;
use crate::providers::Provider;
use crate::providers::Reply;
use crate::providers::TABLE;
use crate::providers::tests::Asked;
use crate::providers::tests::REFERENCE;
use crate::providers::tests::ada_by_profile;
use crate::providers::tests::call;
use crate::providers::tests::headers;
use crate::providers::tests::lead;
use crate::providers::tests::shown;
use expect_test::expect_file;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// One recorded exchange: what was asked, and what came back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixture {
    status: u16,
    headers: BTreeMap<String, String>,
    /// JSON, or a string for a body that is not JSON.
    pub(super) body: Value,
    query: Asked,
    turn: u8,
    /// Read as a later answer, for this handle.
    handle: Option<String>,
    /// Searched for the submission with this reference.
    reference: Option<String>,
}

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/providers").join(kind)
}

/// Those that find or verify.
pub(super) fn enrichers() -> impl Iterator<Item = &'static dyn Provider> {
    let enriches = |operation: &Operation| matches!(operation, Operation::FindEmail | Operation::VerifyEmail);
    TABLE.iter().copied().filter(move |provider| provider.operations().iter().any(enriches))
}

/// The fixtures of a provider, by name.
pub(super) fn fixtures(kind: &str) -> BTreeMap<String, Fixture> {
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
    let headers = headers(fixture.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
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
                let Consumed::Credits(most) = provider.worst_case(&query) else { panic!("{name}: not in credits") };
                let most = most.normalize();
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
    for provider in enrichers() {
        let names: BTreeSet<String> = fixtures(provider.kind()).into_keys().collect();
        assert_eq!(names, listed_cases(provider.kind()), "{}", provider.kind());
    }
}

#[test]
fn every_provider_has_the_cases_that_matter_most() {
    for provider in enrichers() {
        let outcomes: Vec<String> =
            fixtures(provider.kind()).values().map(|fixture| outcome(provider, fixture)).collect();
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
    for provider in enrichers() {
        let lines: String = fixtures(provider.kind())
            .iter()
            .map(|(name, fixture)| format!("{name}: {}\n", outcome(provider, fixture)))
            .collect();
        expect_file![folder(provider.kind()).join("EXPECTED.txt")].assert_eq(&lines);
    }
}

#[test]
fn every_request_is_built_as_the_fact_pages_say() {
    for provider in enrichers() {
        expect_file![folder(provider.kind()).join("REQUESTS.txt")].assert_eq(&requests(provider));
    }
}
