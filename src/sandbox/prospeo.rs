//! Prospeo: `enrich-person` and the account. Facts: `finders.md` §2.

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
use serde::Deserialize;

const KIND: &str = "prospeo";

/// Sent with every response, of the plan Pro.
const LIMITS: &[(&str, &str)] = &[
    ("x-daily-rate-limit", "500000"),
    ("x-minute-rate-limit", "1800"),
    ("x-second-rate-limit", "30"),
    ("x-daily-request-left", "499999"),
    ("x-minute-request-left", "1799"),
    ("x-daily-reset-seconds", "86400"),
    ("x-minute-reset-seconds", "60"),
    ("x-second-reset-seconds", "1"),
];

pub(super) struct Prospeo;

#[derive(Deserialize)]
struct Enrichment {
    #[serde(default)]
    only_verified_email: bool,
    data: Subject,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subject {
    first_name: Text,
    last_name: Text,
    full_name: Text,
    company_website: Text,
    company_name: Text,
    company_linkedin_url: Text,
    linkedin_url: Text,
    email: Text,
    person_id: Text,
}

impl Vendor for Prospeo {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/prospeo"
    }

    fn key(&self, call: &Call<'_>) -> String {
        call.header("x-key").to_owned()
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        let answer = match call.route() {
            ("POST", "enrich-person") => enrich(call, world),
            ("GET", "account-information") => account(call),
            _ => Answer::page(Purpose::Nothing, 404),
        };
        let answer = answer.with_headers(LIMITS);
        match call.trouble {
            Some(Trouble::Throttled(_)) => answer.with_headers(&[("x-minute-request-left", "0")]),
            _ => answer,
        }
    }
}

fn enrich(call: &Call<'_>, world: &World) -> Answer {
    let reject = |code| match call.trouble {
        Some(trouble) => refuse(trouble, Purpose::Find, Hash::new(0)),
        None => error(Purpose::Find, 400, code),
    };
    let body = call.json::<Enrichment>().filter(|_| call.header("content-type").starts_with("application/json"));
    let Some(enrichment) = body else {
        return reject("INVALID_REQUEST");
    };
    let Some(person) = enrichment.data.person() else {
        return reject("INVALID_DATAPOINTS");
    };
    let (question, discovery) = world.find(KIND, &person);
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Find, question);
    }
    let verified = |found: &Discovery| matches!(found.truth, Verdict::Valid | Verdict::Invalid);
    let wanted = |found: &Discovery| !enrichment.only_verified_email || verified(found);
    match discovery.filter(wanted) {
        Some(found) => {
            let status = if verified(&found) { "VERIFIED" } else { "UNVERIFIED" };
            matched(&person, &found, status, question)
        }
        // The vendor's own client also meets a person of null.
        None if question.draw("null person", 8) == 0 => {
            let body = r#"{"error":false,"free_enrichment":false,"person":null,"company":null}"#;
            Answer::json(Purpose::Find, body).to(question).billed(Credits::NONE)
        }
        None => error(Purpose::Find, 400, "NO_MATCH").to(question).billed(Credits::NONE),
    }
}

impl Subject {
    /// Who is meant, if there is enough to match on.
    fn person(&self) -> Option<Person> {
        if let Some(id) = [&self.linkedin_url, &self.email, &self.person_id].into_iter().find(|id| !id.is_empty()) {
            return Person::by_profile(id);
        }
        let companies = [&self.company_website, &self.company_name, &self.company_linkedin_url];
        let company = companies.into_iter().find(|company| !company.is_empty())?;
        let half = self.first_name.is_empty() != self.last_name.is_empty() && self.full_name.is_empty();
        Person::by_name(&self.first_name, &self.last_name, &self.full_name, company).filter(|_| !half)
    }
}

/// One credit, unless the account has the person already (1 in 16, by the question: real repeats
/// would make answers depend on the order of calls). 1 in 64 is masked, and billed all the same.
fn matched(person: &Person, found: &Discovery, status: &str, question: Hash) -> Answer {
    let free = !found.forced && question.draw("enriched before", 16) == 0;
    let masked = !found.forced && !free && question.draw("masked", 64) == 0;
    let email = if masked { format!("a*****@{}", person.domain) } else { found.address.clone() };
    let (email, first, last) = (quoted(&email), quoted(&person.first), quoted(&person.last));
    let (full, domain) = (quoted(&format!("{} {}", person.first, person.last)), quoted(&person.domain));
    let revealed = !masked;
    let body = format!(
        r#"{{"error":false,"free_enrichment":{free},"person":{{"person_id":"aaaa0000","first_name":{first},
          "last_name":{last},"full_name":{full},"linkedin_url":"https://www.linkedin.com/in/sandbox",
          "current_job_title":"CTO","headline":"x","job_history":[],"skills":[],"email":{{"status":"{status}",
          "revealed":{revealed},"email":{email},"verification_method":"x","email_mx_provider":"Google"}},
          "mobile":{{"status":null,"revealed":false}},"location":{{"country":"x","city":"x"}}}},
          "company":{{"company_id":"cccc0000","name":"Sandbox","domain":{domain}}}}}"#
    );
    let price = if free { Credits::NONE } else { Credits::ONE };
    Answer::json(Purpose::Find, body).to(question).billed(price)
}

fn account(call: &Call<'_>) -> Answer {
    let credits = match call.trouble {
        None => 10_000,
        Some(Trouble::NoCredits) => 0,
        // Here a wrong key is 401; `enrich-person` says 400.
        Some(Trouble::MissingKey | Trouble::BadKey) => return error(Purpose::Account, 401, "INVALID_API_KEY"),
        Some(trouble) => return refuse(trouble, Purpose::Account, Hash::new(0)),
    };
    let body = format!(
        r#"{{"error":false,"response":{{"current_plan":"PRO","current_team_members":1,
          "remaining_credits":{credits},"used_credits":1,"next_quota_renewal_days":25,
          "next_quota_renewal_date":"2026-01-31 20:52:28+00:00"}}}}"#
    );
    Answer::json(Purpose::Account, body).billed(Credits::NONE)
}

fn refuse(trouble: Trouble, purpose: Purpose, question: Hash) -> Answer {
    let answer = match trouble {
        Trouble::MissingKey | Trouble::BadKey => error(purpose, 400, "INVALID_API_KEY"),
        Trouble::NoCredits => error(purpose, 400, "INSUFFICIENT_CREDITS"),
        // The status that goes with it is not documented.
        Trouble::Paused => error(purpose, 400, "ACCOUNT_RESTRICTED"),
        Trouble::Throttled(_) => error(purpose, 429, "RATE_LIMITED"),
        Trouble::Failed => error(purpose, 400, "INTERNAL_ERROR"),
        Trouble::Outage(status) => Answer::page(purpose, status),
    };
    answer.to(question)
}

fn error(purpose: Purpose, status: u16, code: &str) -> Answer {
    Answer::json(purpose, format!(r#"{{"error":true,"error_code":"{code}"}}"#)).with_status(status)
}
