//! Icypeas: submit a search or a verification, read it later; balance. Facts: `finders.md` §4.
//!
//! What an item will cost is counted when it is submitted: nothing can come between.

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
use crate::sandbox::submissions::Item;
use crate::sandbox::submissions::Submissions;
use crate::sandbox::world::Person;
use crate::sandbox::world::World;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;

const KIND: &str = "icypeas";

pub(super) struct Icypeas {
    submissions: Submissions,
    /// Enforce 30 reads a minute per key.
    keep_limits: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Search {
    firstname: Text,
    lastname: Text,
    domain_or_company: Text,
    custom: Option<Custom>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Verification {
    email: Text,
    custom: Option<Custom>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Custom {
    external_id: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Read {
    id: Text,
    mode: Text,
    #[serde(rename = "type")]
    task: Text,
    limit: Option<usize>,
    /// Those of the last page: its first and its last item.
    sorts: Vec<Vec<usize>>,
}

/// How an item ends: status, certainty of its address (if it has one), price.
type Ending = (&'static str, Option<&'static str>, Credits);

impl Icypeas {
    pub(super) fn new(latency: Duration, keep_limits: bool) -> Self {
        Self { submissions: Submissions::new(latency), keep_limits }
    }

    fn find(&self, call: &Call<'_>, world: &World) -> Answer {
        let search = call.json::<Search>().unwrap_or_default();
        let person = Person::by_name(&search.firstname, &search.lastname, "", &search.domain_or_company);
        let Some(person) = person else {
            let field = if search.domain_or_company.is_empty() { "domainOrCompany" } else { "lastname" };
            return reject(call, Purpose::Find, field);
        };
        let (question, discovery) = world.find(KIND, &person);
        let nameless = !format!("{}{}", person.first, person.last).contains(char::is_alphabetic);
        let (ending, certainty, price) = match (call.trouble, &discovery) {
            (Some(Trouble::NoCredits), _) => ("INSUFFICIENT_FUNDS", None, Credits::NONE),
            (Some(trouble), _) => return refuse(trouble, Purpose::Find).to(question),
            (None, _) if nameless => ("BAD_INPUT", None, Credits::NONE),
            (None, Some(found)) => found_ending(found.truth, question),
            // Whether this is billed is not documented; its name says so.
            (None, None) if question.draw("debited", 16) == 0 => ("DEBITED_NOT_FOUND", None, Credits::ONE),
            (None, None) => ("NOT_FOUND", None, Credits::NONE),
        };
        let address = discovery.map(|found| found.address).unwrap_or_default();
        let results = results(&person, &address, certainty);
        self.submit(call, question, Item::new(Purpose::Find, reference(search.custom), ending, results), price)
    }

    fn verify(&self, call: &Call<'_>, world: &World) -> Answer {
        let verification = call.json::<Verification>().unwrap_or_default();
        if !verification.email.contains('@') {
            return reject(call, Purpose::Verify, "email");
        }
        let (question, verdict) = world.judge(KIND, &verification.email);
        let (ending, certainty, price) = match call.trouble {
            Some(Trouble::NoCredits) => ("INSUFFICIENT_FUNDS", None, Credits::NONE),
            Some(trouble) => return refuse(trouble, Purpose::Verify).to(question),
            None => verified_ending(verdict, question),
        };
        let nobody = Person { first: String::new(), last: String::new(), domain: String::new() };
        let results = results(&nobody, &verification.email, certainty);
        self.submit(call, question, Item::new(Purpose::Verify, reference(verification.custom), ending, results), price)
    }

    fn submit(&self, call: &Call<'_>, question: Hash, item: Item, price: Credits) -> Answer {
        let purpose = item.purpose;
        let id = self.submissions.add(&call.key, item);
        let body = format!(r#"{{"success":true,"item":{{"status":"NONE","_id":"{id}"}}}}"#);
        let answer = Answer::json(purpose, body).to(question);
        // An item that will end for lack of credits answers nothing.
        if call.trouble.is_none() { answer.billed(price) } else { answer }
    }

    fn read(&self, call: &Call<'_>) -> Answer {
        match call.trouble {
            None | Some(Trouble::NoCredits) => {}
            Some(trouble) => return refuse(trouble, Purpose::Read),
        }
        let now = Instant::now();
        if self.keep_limits && !self.submissions.admit_read(&call.key, now) {
            return refuse(Trouble::Throttled(None), Purpose::Read);
        }
        let read = call.json::<Read>().unwrap_or_default();
        let purpose = match &*read.task {
            "email-search" => Purpose::Find,
            "email-verification" => Purpose::Verify,
            _ if !read.id.is_empty() => Purpose::Read,
            _ => return reject(call, Purpose::Read, "type"),
        };
        let body = if !read.id.is_empty() {
            self.submissions.read_one(&call.key, &read.id, now)
        } else if &*read.mode == "single" {
            let before = read.sorts.get(1).and_then(|last| last.first()).copied();
            Some(self.submissions.read_newest(&call.key, purpose, read.limit, before, now))
        } else {
            return reject(call, Purpose::Read, "mode");
        };
        match body {
            Some(body) => Answer::json(Purpose::Read, body).billed(Credits::NONE),
            // Its status is not documented.
            None => {
                let body = r#"{"success":false,"error":"SearchNotFoundError"}"#;
                Answer::json(Purpose::Read, body).with_status(404)
            }
        }
    }
}

impl Vendor for Icypeas {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/icypeas/api"
    }

    /// The bare key: with `Bearer` before it, it is none.
    fn key(&self, call: &Call<'_>) -> String {
        let key = call.header("authorization");
        if key.starts_with("Bearer") { String::new() } else { key.to_owned() }
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        match call.route() {
            ("POST", "email-search") => self.find(call, world),
            ("POST", "email-verification") => self.verify(call, world),
            ("POST", "bulk-single-searchs/read") => self.read(call),
            ("POST", "a/actions/subscription-information") => balance(call),
            _ => Answer::page(Purpose::Nothing, 404),
        }
    }
}

fn reference(custom: Option<Custom>) -> String {
    custom.unwrap_or_default().external_id.to_string()
}

fn found_ending(truth: Verdict, question: Hash) -> Ending {
    let status = if question.draw("status", 2) == 0 { "FOUND" } else { "DEBITED" };
    let certainty = match truth {
        Verdict::Valid if question.draw("certainty", 2) == 0 => "very_sure",
        Verdict::Valid | Verdict::Invalid => "ultra_sure",
        Verdict::CatchAll | Verdict::Unknown => "probable",
    };
    (status, Some(certainty), Credits::ONE)
}

/// A verification is judged by its certainty; each one that ends so is debited.
fn verified_ending(verdict: Verdict, question: Hash) -> Ending {
    match verdict {
        Verdict::Valid if question.draw("certainty", 2) == 0 => ("DEBITED", Some("very_sure"), Credits::TENTH),
        Verdict::Valid => ("FOUND", Some("ultra_sure"), Credits::TENTH),
        Verdict::Invalid => ("DEBITED_NOT_FOUND", Some("undeliverable"), Credits::TENTH),
        Verdict::CatchAll => ("DEBITED", Some("probable"), Credits::TENTH),
        Verdict::Unknown => ("DEBITED", Some("not_found"), Credits::TENTH),
    }
}

fn results(person: &Person, address: &str, certainty: Option<&str>) -> String {
    let email = certainty.map(|certainty| {
        let address = quoted(address);
        format!(r#"{{"email":{address},"certainty":"{certainty}","mxProvider":"google","mxRecords":["google.com"]}}"#)
    });
    let (first, last) = (quoted(&person.first), quoted(&person.last));
    let (full, emails) = (quoted(&format!("{} {}", person.first, person.last)), email.unwrap_or_default());
    format!(
        r#"{{"firstname":{first},"lastname":{last},"fullname":{full},"gender":"UNKNOWN","emails":[{emails}],
          "phones":[],"saasServices":[]}}"#
    )
}

fn balance(call: &Call<'_>) -> Answer {
    let credits = match call.trouble {
        None => "10000.5",
        Some(Trouble::NoCredits) => "0",
        Some(trouble) => return refuse(trouble, Purpose::Account),
    };
    let body = format!(
        r#"{{"userId":"u_000","customerId":"c_000","currency":"usd","lastInvoiceUrl":"","priceId":"p_000",
          "plan":"basic","status":"active","credits":{credits},"quotas":{{"daily":1000}}}}"#
    );
    Answer::json(Purpose::Account, body).billed(Credits::NONE)
}

/// Bad input has status 200.
fn reject(call: &Call<'_>, purpose: Purpose, field: &str) -> Answer {
    match call.trouble {
        Some(trouble) => refuse(trouble, purpose),
        None => {
            let body = format!(
                r#"{{"success":false,"validationErrors":[{{"field":"{field}","type":"required",
                  "message":"{field} is required"}}]}}"#
            );
            Answer::json(purpose, body)
        }
    }
}

fn refuse(trouble: Trouble, purpose: Purpose) -> Answer {
    let (status, body) = match trouble {
        Trouble::MissingKey | Trouble::BadKey => (401, r#"{"success":false,"message":"Unauthorized access."}"#),
        Trouble::NoCredits => {
            (200, r#"{"success":false,"validationErrors":[{"field":"","type":"InsufficientCredits","message":"x"}]}"#)
        }
        // Its status is not documented.
        Trouble::Paused => (402, r#"{"success":false,"error":"UnpaidSubscriptionError"}"#),
        Trouble::Throttled(_) => (429, r#"{"success":false,"message":"Max requests per minute exceeded."}"#),
        Trouble::Failed => (500, r#"{"success":false,"message":"Internal server error."}"#),
        Trouble::Outage(status) => return Answer::page(purpose, status),
    };
    Answer::json(purpose, body).with_status(status)
}
