//! MillionVerifier: verify and balance. Facts: `verifiers-scrape-models.md` §2.

use crate::domain::Verdict;
use crate::sandbox::Vendor;
use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Credits;
use crate::sandbox::answer::Purpose;
use crate::sandbox::answer::quoted;
use crate::sandbox::call::Call;
use crate::sandbox::call::Trouble;
use crate::sandbox::world::World;

const KIND: &str = "millionverifier";

/// A result: its word, its number, its quality.
type Outcome = (&'static str, u8, &'static str);

const OK: Outcome = ("ok", 1, "good");
const CATCH_ALL: Outcome = ("catch_all", 2, "risky");
const UNKNOWN: Outcome = ("unknown", 3, "risky");
const DISPOSABLE: Outcome = ("disposable", 5, "bad");
const INVALID: Outcome = ("invalid", 6, "bad");
/// The vendor's page has no number and no quality for it.
const UNVERIFIED: Outcome = ("unverified", 7, "");

/// The vendor's demo keys that answer (misspelt as there); nothing is billed.
const DEMO_OUTCOMES: &[(&str, Outcome)] = &[
    ("API_KEY_FOR_OK", OK),
    ("API_KEY_FOR_CATCH_ALL", CATCH_ALL),
    ("API_KEY_FOR_INVALID", INVALID),
    ("API_KEY_FOR_UNKOWN", UNKNOWN),
    ("API_KEY_FOR_DISPOSABLE", DISPOSABLE),
    ("API_KEY_FOR_UNVERIFIED", UNVERIFIED),
];

/// The demo keys that fail. Only "Apikey not found" is known to be the vendor's own text.
const DEMO_ERRORS: &[(&str, &str)] = &[
    ("API_KEY_FOR_ERROR_NO_EMAIL", "No email specified"),
    ("API_KEY_FOR_ERROR_NO_APIKEY", "No apikey specified"),
    ("API_KEY_FOR_ERROR_INVALID_APIKEY", "Apikey not found"),
    ("API_KEY_FOR_ERROR_INSUFFICIENT_CREDITS", "Insufficient credits"),
    ("API_KEY_FOR_ERROR_IP_ADDRESS_BLOCKED", "IP address blocked"),
    ("API_KEY_FOR_ERROR_INTERNAL_ERROR", "Internal error"),
];

/// The demo key whose outcome is left to chance: here, to the address.
const DEMO_RANDOM: &str = "API_KEY_FOR_TEST";

pub(super) struct MillionVerifier;

impl Vendor for MillionVerifier {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/millionverifier/api/v3"
    }

    fn key(&self, call: &Call<'_>) -> String {
        call.parameters.api.clone()
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        match call.route() {
            ("GET", "") => verify(call, world),
            ("GET", "credits") => balance(call),
            _ => Answer::page(Purpose::Nothing, 404),
        }
    }
}

fn verify(call: &Call<'_>, world: &World) -> Answer {
    let email = call.parameters.email.as_str();
    let (question, verdict) = world.judge(KIND, email);
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Verify, email).to(question);
    }
    if let Some((_, text)) = DEMO_ERRORS.iter().find(|(key, _)| *key == call.key) {
        return error(Purpose::Verify, email, text).to(question);
    }
    if email.is_empty() {
        return error(Purpose::Verify, email, "No email specified").to(question);
    }
    if call.key == DEMO_RANDOM {
        let drawn = match question.draw("demo", 5) {
            0 => OK,
            1 => CATCH_ALL,
            2 => UNKNOWN,
            3 => DISPOSABLE,
            _ => INVALID,
        };
        return outcome(email, drawn).to(question).billed(Credits::NONE);
    }
    if let Some((_, demo)) = DEMO_OUTCOMES.iter().find(|(key, _)| *key == call.key) {
        return outcome(email, *demo).to(question).billed(Credits::NONE);
    }
    let (result, price) = match verdict {
        _ if !email.contains('@') => (INVALID, Credits::ONE),
        Verdict::Valid => (OK, Credits::ONE),
        Verdict::Invalid => (INVALID, Credits::ONE),
        Verdict::CatchAll => (CATCH_ALL, Credits::NONE),
        Verdict::Unknown => (UNKNOWN, Credits::NONE),
    };
    outcome(email, result).to(question).billed(price)
}

fn outcome(email: &str, (result, code, quality): Outcome) -> Answer {
    let (email, subresult) = (quoted(email), if result == "invalid" { "" } else { result });
    let body = format!(
        r#"{{"email":{email},"quality":"{quality}","result":"{result}","resultcode":{code},
          "subresult":"{subresult}","free":false,"role":false,"didyoumean":"","credits":10000,"executiontime":2,
          "error":"","livemode":true}}"#
    );
    Answer::json(Purpose::Verify, body)
}

fn balance(call: &Call<'_>) -> Answer {
    let credits = match call.trouble {
        None => 10_000,
        Some(Trouble::NoCredits) => 0,
        Some(trouble) => return refuse(trouble, Purpose::Account, ""),
    };
    let body = format!(r#"{{"credits":{credits},"bulk_credits":{credits},"renewing_credits":0,"plan":4}}"#);
    Answer::json(Purpose::Account, body).billed(Credits::NONE)
}

fn refuse(trouble: Trouble, purpose: Purpose, email: &str) -> Answer {
    match trouble {
        Trouble::MissingKey => error(purpose, email, "No apikey specified"),
        Trouble::BadKey => error(purpose, email, "Apikey not found"),
        Trouble::NoCredits | Trouble::Paused => error(purpose, email, "Insufficient credits"),
        // Neither status nor body is documented.
        Trouble::Throttled(_) => Answer::page(purpose, 429),
        Trouble::Failed => Answer::page(purpose, 500),
        Trouble::Outage(status) => Answer::page(purpose, status),
    }
}

/// Errors come with status 200, and without `quality`.
fn error(purpose: Purpose, email: &str, text: &str) -> Answer {
    let email = quoted(email);
    let body = format!(
        r#"{{"email":{email},"result":"error","resultcode":4,"subresult":"","free":false,"role":false,
          "didyoumean":"","credits":0,"executiontime":0,"error":"{text}","livemode":true}}"#
    );
    Answer::json(purpose, body)
}
