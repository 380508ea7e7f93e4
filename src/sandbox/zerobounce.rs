//! ZeroBounce: verify one or many, balance, usage. Facts: `verifiers-scrape-models.md` §1.

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
use crate::sandbox::world::World;
use serde::Deserialize;

const KIND: &str = "zerobounce";

/// The most addresses of one batch.
const MAX_BATCH: usize = 100;

/// One answer tells a wrong key from an empty account no better than the vendor does.
const REFUSED: &str = "Invalid API Key or your account ran out of credits";

/// The vendor's test addresses `NAME@example.com`, with status and sub-status; nothing is billed.
const SAMPLES: &[(&str, &str, &str)] = &[
    ("valid", "valid", ""),
    ("invalid", "invalid", "mailbox_not_found"),
    ("disposable", "do_not_mail", "disposable"),
    ("toxic", "do_not_mail", "toxic"),
    ("donotmail", "do_not_mail", "role_based"),
    ("role_based", "do_not_mail", "role_based"),
    ("role_based_catch_all", "do_not_mail", "role_based_catch_all"),
    ("global_suppression", "do_not_mail", "global_suppression"),
    ("possible_trap", "do_not_mail", "possible_trap"),
    ("spamtrap", "spamtrap", ""),
    ("abuse", "abuse", ""),
    ("unknown", "unknown", "mail_server_temporary_error"),
    ("catch_all", "catch-all", ""),
    ("antispam_system", "unknown", "antispam_system"),
    ("exception_occurred", "unknown", "exception_occurred"),
    ("failed_smtp_connection", "unknown", "failed_smtp_connection"),
    ("forcible_disconnect", "unknown", "forcible_disconnect"),
    ("greylisted", "unknown", "greylisted"),
    ("mail_server_did_not_respond", "unknown", "mail_server_did_not_respond"),
    ("mail_server_temporary_error", "unknown", "mail_server_temporary_error"),
    ("timeout_exceeded", "unknown", "timeout_exceeded"),
    ("does_not_accept_mail", "invalid", "does_not_accept_mail"),
    ("failed_syntax_check", "invalid", "failed_syntax_check"),
    ("mailbox_not_found", "invalid", "mailbox_not_found"),
    ("mailbox_quota_exceeded", "invalid", "mailbox_quota_exceeded"),
    ("no_dns_entries", "invalid", "no_dns_entries"),
    ("possible_typo", "invalid", "possible_typo"),
    ("unroutable_ip_address", "invalid", "unroutable_ip_address"),
    ("leading_period_removed", "valid", "leading_period_removed"),
    ("free_email", "valid", ""),
    ("gold", "valid", "gold"),
    ("role_based_accept_all", "valid", "role_based_accept_all"),
    ("aiagentmailbox", "valid", "ai_agent_mailbox"),
];

/// The vendor's test IP address: West Palm Beach, Florida.
const SAMPLE_IP: &str = "99.110.204.1";

/// What `getapiusage` lists; always zeros here, the sandbox counts elsewhere.
const USAGE: &[&str] = &[
    "total",
    "status_valid",
    "status_invalid",
    "status_catch_all",
    "status_do_not_mail",
    "status_spamtrap",
    "status_unknown",
    "sub_status_toxic",
    "sub_status_disposable",
    "sub_status_role_based",
    "sub_status_possible_trap",
    "sub_status_global_suppression",
    "sub_status_timeout_exceeded",
    "sub_status_mail_server_temporary_error",
    "sub_status_mail_server_did_not_respond",
    "sub_status_greylisted",
    "sub_status_antispam_system",
    "sub_status_does_not_accept_mail",
    "sub_status_exception_occurred",
    "sub_status_failed_syntax_check",
    "sub_status_mailbox_not_found",
    "sub_status_unroutable_ip_address",
    "sub_status_possible_typo",
    "sub_status_no_dns_entries",
    "sub_status_role_based_catch_all",
    "sub_status_accept_all",
    "sub_status_mailbox_quota_exceeded",
    "sub_status_forcible_disconnect",
    "sub_status_failed_smtp_connection",
    "sub_status_mx_forward",
    "sub_status_alternate",
    "sub_status_allowed",
    "sub_status_blocked",
    "sub_status_gold",
    "sub_status_role_based_accept_all",
];

pub(super) struct ZeroBounce;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Batch {
    api_key: Text,
    email_batch: Vec<Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    email_address: Text,
    ip_address: Text,
}

impl Vendor for ZeroBounce {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/zerobounce/v2"
    }

    fn key(&self, call: &Call<'_>) -> String {
        if call.is_post() {
            call.json::<Batch>().map(|batch| batch.api_key.to_string()).unwrap_or_default()
        } else {
            call.parameters.api_key.clone()
        }
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        match call.route() {
            ("GET", "validate") => validate(call, world),
            ("POST", "validatebatch") => validate_batch(call, world),
            ("GET", "getcredits") => balance(call),
            ("GET", "getapiusage") => usage(call),
            _ => Answer::page(Purpose::Nothing, 404),
        }
    }
}

fn validate(call: &Call<'_>, world: &World) -> Answer {
    let email = call.parameters.email.as_str();
    let (question, verdict) = world.judge(KIND, email);
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Verify).to(question);
    }
    if email.is_empty() {
        return missing(Purpose::Verify, "email");
    }
    let (body, price) = judged(email, &call.parameters.ip_address, question, verdict);
    Answer::json(Purpose::Verify, body).to(question).billed(price)
}

fn validate_batch(call: &Call<'_>, world: &World) -> Answer {
    if let Some(Trouble::BadKey | Trouble::NoCredits | Trouble::Paused) = call.trouble {
        let body = format!(r#"{{"email_batch":[],"errors":[{{"error":"{REFUSED}","email_address":"all"}}]}}"#);
        return Answer::json(Purpose::Verify, body);
    }
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Verify);
    }
    let entries = call.json::<Batch>().unwrap_or_default().email_batch;
    if entries.is_empty() || entries.len() > MAX_BATCH {
        return missing(Purpose::Verify, "email_batch");
    }
    let judge = |entry: &Entry| {
        let (question, verdict) = world.judge(KIND, &entry.email_address);
        judged(&entry.email_address, &entry.ip_address, question, verdict)
    };
    let (bodies, prices): (Vec<_>, Vec<_>) = entries.iter().map(judge).unzip();
    let billed = prices.iter().filter(|&&price| price == Credits::ONE).count();
    let body = format!(r#"{{"email_batch":[{}],"errors":[]}}"#, bodies.join(","));
    Answer::json(Purpose::Verify, body).billed(Credits::whole(billed.try_into().unwrap_or(u64::MAX)))
}

/// One address' object, and its price.
fn judged(email: &str, ip: &str, question: Hash, verdict: Verdict) -> (String, Credits) {
    let sample = email.strip_suffix("@example.com").and_then(|name| SAMPLES.iter().find(|sample| sample.0 == name));
    let (status, sub_status, price) = match (sample, verdict) {
        (Some((_, status, sub_status)), _) => (*status, *sub_status, Credits::NONE),
        (None, _) if !email.contains('@') => ("invalid", "failed_syntax_check", Credits::ONE),
        (None, Verdict::Valid) => ("valid", "", Credits::ONE),
        (None, Verdict::Invalid) => ("invalid", "mailbox_not_found", Credits::ONE),
        (None, Verdict::CatchAll) => ("catch-all", "", Credits::ONE),
        (None, Verdict::Unknown) if question.draw("reason", 2) == 0 => ("unknown", "greylisted", Credits::NONE),
        (None, Verdict::Unknown) => ("unknown", "timeout_exceeded", Credits::NONE),
    };
    let free = email == "free_email@example.com";
    let catch_all = status == "catch-all";
    let place = if ip == SAMPLE_IP {
        r#""country":"United States","region":"Florida","city":"West Palm Beach","zipcode":"33401""#
    } else {
        r#""country":null,"region":null,"city":null,"zipcode":null"#
    };
    let address = quoted(email);
    let body = format!(
        r#"{{"address":{address},"status":"{status}","sub_status":"{sub_status}","free_email":{free},
          "did_you_mean":null,"account":null,"domain":null,"domain_age_days":"9692","smtp_provider":"example",
          "catchall_domain":{catch_all},"mx_found":"true","mx_record":"mx.sandbox.test","firstname":"zero",
          "lastname":"b","gender":"male",{place},"processed_at":"2026-01-02 03:04:05.678"}}"#
    );
    (body, price)
}

/// The one call that tells a wrong key (-1) from an empty account (0).
fn balance(call: &Call<'_>) -> Answer {
    let credits = match call.trouble {
        None => 10_000,
        Some(Trouble::BadKey) => -1,
        Some(Trouble::NoCredits | Trouble::Paused) => 0,
        Some(trouble) => return refuse(trouble, Purpose::Account),
    };
    Answer::json(Purpose::Account, format!(r#"{{"Credits":"{credits}"}}"#)).billed(Credits::NONE)
}

fn usage(call: &Call<'_>) -> Answer {
    match call.trouble {
        None => {}
        Some(Trouble::BadKey) => return Answer::json(Purpose::Account, r#"{"error":"Invalid API Key"}"#),
        Some(trouble) => return refuse(trouble, Purpose::Account),
    }
    let dates = (us_date(&call.parameters.start_date), us_date(&call.parameters.end_date));
    let (Some(start), Some(end)) = dates else {
        return missing(Purpose::Account, "start_date");
    };
    let zeros: String = USAGE.iter().map(|name| format!(r#""{name}":0,"#)).collect();
    let body = format!(r#"{{{zeros}"start_date":"{start}","end_date":"{end}"}}"#);
    Answer::json(Purpose::Account, body).billed(Credits::NONE)
}

/// `2026-01-31` as `1/31/2026`.
fn us_date(iso: &str) -> Option<String> {
    let mut parts = iso.splitn(3, '-').map(|part| part.parse::<u16>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    Some(format!("{month}/{day}/{year}"))
}

fn refuse(trouble: Trouble, purpose: Purpose) -> Answer {
    match trouble {
        Trouble::MissingKey => missing(purpose, "api_key"),
        Trouble::BadKey | Trouble::NoCredits | Trouble::Paused => {
            Answer::json(purpose, format!(r#"{{"error":"{REFUSED}"}}"#))
        }
        // Throttling has no header and no documented body.
        Trouble::Throttled(_) => Answer::page(purpose, 429),
        Trouble::Failed => Answer::page(purpose, 500),
        Trouble::Outage(status) => Answer::page(purpose, status),
    }
}

fn missing(purpose: Purpose, parameter: &str) -> Answer {
    Answer::json(purpose, format!(r#"{{"error":"Missing parameter: {parameter}."}}"#)).with_status(400)
}
