//! Findymail: find by name or profile, verify, balance. Facts: `finders.md` §3.

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
use crate::sandbox::world::Person;
use crate::sandbox::world::World;
use serde::Deserialize;

const KIND: &str = "findymail";

/// What real payloads have beyond the three documented fields.
const EXTRA: &str = r#","id":1,"linkedin_url":null,"company":"Sandbox","job_title":"CTO","company_city":null,
    "company_region":null,"company_country":null,"city":null,"region":null,"country":null,"phone_number":null"#;

pub(super) struct Findymail;

#[derive(Deserialize, Default)]
#[serde(default)]
struct NameSearch {
    name: Text,
    domain: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ProfileSearch {
    linkedin_url: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Verification {
    email: Text,
}

impl Vendor for Findymail {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/findymail"
    }

    fn key(&self, call: &Call<'_>) -> String {
        call.bearer().to_owned()
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        let answer = match call.route() {
            ("POST", "api/search/name") => find_by_name(call, world),
            ("POST", "api/search/business-profile") => find_by_profile(call, world),
            ("POST", "api/verify") => verify(call, world),
            ("GET", "api/credits") => balance(call),
            _ => Answer::json(Purpose::Nothing, r#"{"message":"Not found."}"#).with_status(404),
        };
        // A web application: who does not ask for JSON gets the page for people.
        if call.header("accept").contains("json") { answer } else { Answer::page(answer.purpose, 200) }
    }
}

fn find_by_name(call: &Call<'_>, world: &World) -> Answer {
    let search = call.json::<NameSearch>().unwrap_or_default();
    let missing = if search.name.is_empty() { "name" } else { "domain" };
    find(call, world, Person::by_name("", "", &search.name, &search.domain), missing)
}

fn find_by_profile(call: &Call<'_>, world: &World) -> Answer {
    let search = call.json::<ProfileSearch>().unwrap_or_default();
    find(call, world, Person::by_profile(&search.linkedin_url), "linkedin_url")
}

fn find(call: &Call<'_>, world: &World, person: Option<Person>, missing: &str) -> Answer {
    let Some(person) = person else {
        return reject(call, Purpose::Find, missing);
    };
    let (question, discovery) = world.find(KIND, &person);
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Find).to(question);
    }
    let Some(discovery) = discovery else {
        return missed(question);
    };
    let name = quoted(format!("{} {}", person.first, person.last).trim());
    let (domain, email) = (quoted(&person.domain), quoted(&discovery.address));
    let extra = if question.draw("extra", 2) == 0 { EXTRA } else { "" };
    let body = format!(r#"{{"contact":{{"name":{name},"domain":{domain},"email":{email}{extra}}}}}"#);
    Answer::json(Purpose::Find, body).to(question).billed(Credits::ONE)
}

/// No page says how a miss looks: every form that clients have met or must expect.
fn missed(question: Hash) -> Answer {
    let (status, body) = match question.draw("miss", 6) {
        0 => (200, "{}"),
        1 => (200, r#"{"contact":null}"#),
        2 => (200, r#"{"contact":{"name":"x","domain":"x.test","email":""}}"#),
        3 => (200, r#"{"contact":{"name":"x","domain":"x.test","email":null}}"#),
        4 => (200, r#"{"contact":[]}"#),
        _ => (404, r#"{"message":"No contact found."}"#),
    };
    Answer::json(Purpose::Find, body).with_status(status).to(question).billed(Credits::NONE)
}

fn verify(call: &Call<'_>, world: &World) -> Answer {
    let email = call.json::<Verification>().unwrap_or_default().email;
    if !email.contains('@') {
        return reject(call, Purpose::Verify, "email");
    }
    let (question, verdict) = world.judge(KIND, &email);
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Verify).to(question);
    }
    let (email, verified) = (quoted(&email), verdict == Verdict::Valid);
    let body = format!(r#"{{"email":{email},"verified":{verified},"provider":"Google"}}"#);
    Answer::json(Purpose::Verify, body).with_media("text/plain; charset=UTF-8").to(question).billed(Credits::ONE)
}

fn balance(call: &Call<'_>) -> Answer {
    let credits = match call.trouble {
        None => 10_000,
        Some(Trouble::NoCredits) => 0,
        Some(trouble) => return refuse(trouble, Purpose::Account),
    };
    let body = format!(r#"{{"credits":{credits},"verifier_credits":{credits}}}"#);
    Answer::json(Purpose::Account, body).billed(Credits::NONE)
}

fn reject(call: &Call<'_>, purpose: Purpose, field: &str) -> Answer {
    if let Some(trouble) = call.trouble {
        return refuse(trouble, purpose);
    }
    let said = format!("The {field} field is required.");
    let body = format!(r#"{{"message":"{said}","errors":{{"{field}":["{said}"]}}}}"#);
    Answer::json(purpose, body).with_status(422)
}

fn refuse(trouble: Trouble, purpose: Purpose) -> Answer {
    let (status, body) = match trouble {
        Trouble::MissingKey | Trouble::BadKey => (401, r#"{"message":"Unauthenticated."}"#),
        // An older edition of the docs has status 200 here.
        Trouble::NoCredits if purpose == Purpose::Verify => (200, r#"{"error":"Not enough credits"}"#),
        Trouble::NoCredits => (402, r#"{"error":"Not enough credits"}"#),
        Trouble::Paused => (423, r#"{"error":"Subscription is paused"}"#),
        Trouble::Throttled(_) => (429, r#"{"message":"Too Many Attempts"}"#),
        Trouble::Failed => (500, r#"{"message":"Server Error"}"#),
        Trouble::Outage(status) => return Answer::page(purpose, status),
    };
    Answer::json(purpose, body).with_status(status)
}
