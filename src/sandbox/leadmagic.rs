//! LeadMagic: find by name or profile, verify, balance. Facts: `finders.md` §1 and
//! `verifiers-scrape-models.md` §3.

use crate::domain::Verdict;
use crate::sandbox::Vendor;
use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Credits;
use crate::sandbox::answer::Purpose;
use crate::sandbox::answer::quoted;
use crate::sandbox::call::Call;
use crate::sandbox::call::Text;
use crate::sandbox::call::Trouble;
use crate::sandbox::hash::Hash;
use crate::sandbox::world::Discovery;
use crate::sandbox::world::Person;
use crate::sandbox::world::World;
use axum::http::HeaderValue;
use serde::Deserialize;

const KIND: &str = "leadmagic";

/// Sent with every response. `ratelimit-reset` is in seconds from now.
const LIMITS: &[(&str, &str)] = &[
    ("ratelimit-limit", "5000"),
    ("ratelimit-remaining", "4999"),
    ("ratelimit-reset", "60"),
    ("x-ratelimit-limit", "5000"),
    ("x-ratelimit-remaining", "4999"),
    ("x-ratelimit-reset", "60"),
    ("x-ratelimit-remaining-daily", "499999"),
    ("x-ratelimit-daily-usage-percent", "0"),
    ("x-ratelimit-soft-mode", "false"),
    ("x-credits-remaining", "10000"),
];

/// The rest of a finder's hit: what is known of the company.
const COMPANY: &str = r#""employment_verified":true,"has_mx":true,"mx_record":"mx1.sandbox.test",
    "mx_provider":"Google Workspace","mx_security_gateway":false,"mx_records_full":[{"priority":10,
    "exchange":"mx1.sandbox.test"}],"company_name":"Sandbox","company_industry":"","company_size":"11-50",
    "company_founded":2019,"company_type":"private","company_location":{"name":"x","locality":"x","region":"x",
    "country":"x","address_line_2":null,"postal_code":"00000","geo":"0,0"},"company_profile_url":"sandbox",
    "company_profile_id":"10000001","company_facebook_url":"","company_twitter_url":"""#;

/// The rest of a verification.
const VERIFIED: &str = r#""mx_record":"mx1.sandbox.test","mx_provider":"Google","mx_gateway":null,
    "mx_gateway_type":null,"mx_security_gateway":false,"company_name":null,"company_industry":null,
    "company_size":null,"company_founded":null,"company_type":null,"company_location":{"name":null,
    "country":null},"company_linkedin_url":null,"company_linkedin_id":null,"company_facebook_url":null,
    "company_twitter_url":null,"code":"LMV-0000","pipeline_version":"EP-2026.07.25",
    "validated_at":"2026-07-31T01:54:38.248Z","validation_path_code":"x""#;

pub(super) struct LeadMagic;

#[derive(Deserialize, Default)]
#[serde(default)]
struct NameSearch {
    #[serde(alias = "firstName")]
    first_name: Text,
    #[serde(alias = "lastName")]
    last_name: Text,
    #[serde(alias = "fullName")]
    full_name: Text,
    #[serde(alias = "company_domain", alias = "website", alias = "url")]
    domain: Text,
    #[serde(alias = "companyName")]
    company_name: Text,
}

#[derive(Deserialize)]
struct ProfileSearch {
    profile_url: Text,
}

#[derive(Deserialize)]
struct Validation {
    email: Text,
}

impl Vendor for LeadMagic {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/leadmagic"
    }

    fn key(&self, call: &Call<'_>) -> String {
        call.header("x-api-key").to_owned()
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        let answer = match call.route() {
            ("POST", "v1/people/email-finder" | "email-finder") => find_by_name(call, world),
            ("POST", "v1/people/b2b-profile-email") => find_by_profile(call, world),
            ("POST", "v1/people/email-validation" | "email-validate") => verify(call, world),
            ("GET", "v1/credits") | ("POST", "credits") => balance(call),
            _ => problem(call, Purpose::Nothing, Hash::new(0), 404, "resource_not_found", ""),
        };
        let cost = HeaderValue::try_from(answer.credits.to_string());
        let answer = answer.with_headers(LIMITS);
        match cost {
            Ok(cost) => answer.with_header("x-credits-cost", cost),
            Err(_) => answer,
        }
    }
}

fn find_by_name(call: &Call<'_>, world: &World) -> Answer {
    let search = call.json::<NameSearch>().unwrap_or_default();
    let company = if search.domain.is_empty() { &search.company_name } else { &search.domain };
    // Half a name is no name; placeholder domains are refused.
    let half = search.first_name.is_empty() != search.last_name.is_empty() && search.full_name.is_empty();
    let person = Person::by_name(&search.first_name, &search.last_name, &search.full_name, company)
        .filter(|person| !half && person.domain != "example.com");
    find(call, world, person, Credits::ONE)
}

fn find_by_profile(call: &Call<'_>, world: &World) -> Answer {
    let person = call.json::<ProfileSearch>().and_then(|search| Person::by_profile(&search.profile_url));
    find(call, world, person, Credits::FIVE)
}

fn find(call: &Call<'_>, world: &World, person: Option<Person>, price: Credits) -> Answer {
    let Some(person) = person else {
        return reject(call, Purpose::Find);
    };
    let (question, discovery) = world.find(KIND, &person);
    if let Some(trouble) = call.trouble {
        return refuse(call, trouble, Purpose::Find, question);
    }
    let (first, last, domain) = (quoted(&person.first), quoted(&person.last), quoted(&person.domain));
    let Some(discovery) = discovery else {
        // Both forms of a miss are seen in the wild.
        let status = if question.draw("miss", 2) == 0 { r#""not_found""# } else { "null" };
        let body = format!(
            r#"{{"email":null,"status":{status},"credits_consumed":0,"message":"No email found.",
              "first_name":{first},"last_name":{last},"domain":{domain}}}"#
        );
        return Answer::json(Purpose::Find, body).to(question).billed(Credits::NONE);
    };
    let (email, status) = (quoted(&discovery.address), status_of(&discovery, question));
    let body = format!(
        r#"{{"email":{email},"status":"{status}","credits_consumed":{price},"message":"Valid email found.",
          "first_name":{first},"last_name":{last},"domain":{domain},{COMPANY}}}"#
    );
    Answer::json(Purpose::Find, body).to(question).billed(price)
}

/// The finder's own word for its address. It does not know that an `invalid` one is gone.
fn status_of(discovery: &Discovery, question: Hash) -> &'static str {
    match discovery.truth {
        Verdict::Valid if !discovery.forced && question.draw("evidence", 10) == 0 => "valid_catch_all",
        Verdict::Valid | Verdict::Invalid => "valid",
        Verdict::CatchAll | Verdict::Unknown => "catch_all",
    }
}

fn verify(call: &Call<'_>, world: &World) -> Answer {
    let Some(email) = call.json::<Validation>().map(|body| body.email).filter(|email| !email.is_empty()) else {
        return reject(call, Purpose::Verify);
    };
    let (question, verdict) = world.judge(KIND, &email);
    if let Some(trouble) = call.trouble {
        return refuse(call, trouble, Purpose::Verify, question);
    }
    let (status, catch_all, price, message) = match verdict {
        // What is no address by RFC is free.
        _ if !email.contains('@') => ("invalid", false, Credits::NONE, "Email is invalid (RFC non-compliant format)."),
        Verdict::Valid => ("valid", false, Credits::QUARTER, "Email is valid."),
        Verdict::Invalid => ("invalid", false, Credits::QUARTER, "Email is invalid."),
        // The older word and the newer flag are both seen.
        Verdict::CatchAll if question.draw("older", 2) == 0 => ("catch_all", true, Credits::NONE, "Catch-all domain."),
        Verdict::CatchAll => ("unknown", true, Credits::NONE, "Unable to determine email validity."),
        Verdict::Unknown => ("unknown", false, Credits::NONE, "Unable to determine email validity."),
    };
    let email = quoted(&email);
    let body = format!(
        r#"{{"email":{email},"email_status":"{status}","credits_consumed":{price},"message":"{message}",
          "is_domain_catch_all":{catch_all},{VERIFIED}}}"#
    );
    Answer::json(Purpose::Verify, body).to(question).billed(price)
}

fn balance(call: &Call<'_>) -> Answer {
    let credits = match call.trouble {
        None => "10000.5",
        Some(Trouble::NoCredits) => "0",
        Some(trouble) => return refuse(call, trouble, Purpose::Account, Hash::new(0)),
    };
    let body = format!(
        r#"{{"credits":{credits},"is_frozen":false,"credits_frozen":0,"credits_liquid":{credits},
          "credit_freeze_message":null,"credit_freeze_plan_hint":null}}"#
    );
    Answer::json(Purpose::Account, body).billed(Credits::NONE)
}

fn reject(call: &Call<'_>, purpose: Purpose) -> Answer {
    match call.trouble {
        Some(trouble) => refuse(call, trouble, purpose, Hash::new(0)),
        None => problem(call, purpose, Hash::new(0), 400, "validation_error", ""),
    }
}

fn refuse(call: &Call<'_>, trouble: Trouble, purpose: Purpose, question: Hash) -> Answer {
    let problem = |status, code, context| problem(call, purpose, question, status, code, context);
    match trouble {
        Trouble::MissingKey => problem(401, "missing_authentication", ""),
        Trouble::BadKey => problem(401, "invalid_api_key", ""),
        Trouble::NoCredits => {
            problem(402, "insufficient_credits", r#""credits_required":1,"credits_available":0,"credits_needed":1"#)
        }
        // The code that goes with 403 is not documented.
        Trouble::Paused => problem(403, "plan_restricted", ""),
        Trouble::Throttled(_) => problem(
            429,
            "rate_limit_exceeded",
            r#""retry_after_seconds":1,"limit":5000,"remaining":0,"reset_at":1767225600"#,
        )
        .with_header("retry-after", 1_u64),
        Trouble::Failed => problem(500, "INTERNAL_ERROR", ""),
        Trouble::Outage(status) => Answer::page(purpose, status).to(question),
    }
}

/// An error in one of the three shapes that exist: the oldest on unversioned paths, else the
/// envelope or the flat one, as the question falls.
fn problem(call: &Call<'_>, purpose: Purpose, question: Hash, status: u16, code: &str, context: &str) -> Answer {
    let body = if !call.path.starts_with("v1/") {
        format!(r#"{{"error":"{code}","message":"{code}"}}"#)
    } else if question.draw("shape", 2) == 0 {
        format!(
            r#"{{"success":false,"errors":[{{"type":"about:blank","title":"{code}","status":{status},
              "code":"{code}","param":[],"detail":"{code}","action":"x","docs":"x","context":{{{context}}}}}],
              "meta":{{"request_id":"req_0","timestamp":"2026-01-01T00:00:00Z"}}}}"#
        )
    } else {
        format!(
            r#"{{"type":"about:blank","title":"{code}","status":{status},"detail":"{code}","code":"{code}",
              "action":"x","docs":"x","trace":{{"request_id":"req_0"}}}}"#
        )
    };
    Answer::json(purpose, body).with_status(status).with_media("application/problem+json").to(question)
}
