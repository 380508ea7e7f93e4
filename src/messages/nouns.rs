//! How messages write the nouns of `domain`, and the form of each. `domain` itself knows no JSON.

use crate::domain::Address;
use crate::domain::CampaignId;
use crate::domain::ConfigVersion;
use crate::domain::JobId;
use crate::domain::KeySource;
use crate::domain::LeadId;
use crate::domain::Outcome;
use crate::domain::ProviderName;
use crate::domain::Purpose;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::messages::fields::NAME_LIMIT;
use crate::messages::limits::ID_PATTERN;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::Serialize;
use serde::Serializer;
use std::borrow::Cow;

/// Every outcome of an attempt (CONTRACTS §2).
const OUTCOMES: [&str; 18] = [
    "found",
    "not_found",
    "valid",
    "invalid",
    "catch_all",
    "unknown",
    "scraped",
    "written",
    "not_applicable",
    "unaffordable",
    "capped",
    "key_rejected",
    "provider_out_of_credits",
    "rate_limited",
    "timeout",
    "bad_request",
    "unavailable",
    "protocol_error",
];
const VERDICTS: [Verdict; 4] = [Verdict::Valid, Verdict::Invalid, Verdict::CatchAll, Verdict::Unknown];
const KEY_SOURCES: [KeySource; 2] = [KeySource::Own, KeySource::House];
const PURPOSES: [Purpose; 2] = [Purpose::Live, Purpose::Warmup];

/// Writes each noun as a text, and says what form the text has.
macro_rules! nouns {
    ($($noun:ident: $value:ident => $text:expr, $form:expr;)+) => {$(
        impl Serialize for $noun {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                out.collect_str(&$text)
            }
        }

        impl JsonSchema for $noun {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($noun))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $form
            }
        }
    )+};
}

nouns! {
    JobId: id => id.as_str(), matching(ID_PATTERN);
    WorkspaceId: id => id.as_str(), matching(ID_PATTERN);
    CampaignId: id => id.as_str(), some_name();
    LeadId: id => id.as_str(), some_name();
    WorkerId: id => id.as_str(), some_name();
    ProviderName: name => name.as_str(), matching("^[A-Za-z0-9_-]{1,64}$");
    ConfigVersion: version => version.as_str(), matching("^[0-9a-f]{12}$");
    Step: step => step, matching("^[A-Za-z0-9_-]{1,64}\\.(find_email|verify_email|scrape|write_copy)$");
    Usd: amount => amount, matching("^-?[0-9]+\\.[0-9]{9}$");
    Address: address => address.as_str(), json_schema!({ "type": "string", "format": "email", "maxLength": 254 });
    Status: status => status.as_str(), one_of(Status::ALL.iter().map(|status| status.as_str()));
    Reason: reason => reason.as_str(), one_of(Reason::ALL.iter().map(|reason| reason.as_str()));
    Verdict: verdict => verdict.as_str(), one_of(VERDICTS.iter().map(|verdict| verdict.as_str()));
    KeySource: source => source.as_str(), one_of(KEY_SOURCES.iter().map(|source| source.as_str()));
    Outcome: outcome => outcome.as_str(), one_of(OUTCOMES.into_iter());
    Purpose: purpose => purpose.as_str(), one_of(PURPOSES.iter().map(|purpose| purpose.as_str()));
}

/// How a lead that is enriched ends.
pub(super) fn lead_status(_: &mut SchemaGenerator) -> Schema {
    one_of(Status::ALL.iter().filter(|status| !matches!(status, Status::Written)).map(|status| status.as_str()))
}

/// Why it ends so.
pub(super) fn lead_reason(_: &mut SchemaGenerator) -> Schema {
    let only_of_copy = |reason: &&Reason| matches!(reason, Reason::Refused | Reason::Truncated);
    one_of(Reason::ALL.iter().filter(|reason| !only_of_copy(reason)).map(|reason| reason.as_str()))
}

/// How a lead that copy is written for ends.
pub(super) fn copy_status(_: &mut SchemaGenerator) -> Schema {
    one_of([Status::Written, Status::Skipped, Status::Failed].iter().map(|status| status.as_str()))
}

/// Why it ends so.
pub(super) fn copy_reason(_: &mut SchemaGenerator) -> Schema {
    let only_of_leads = |reason: &&Reason| matches!(reason, Reason::VerifiersUnavailable | Reason::NoVerifier);
    one_of(Reason::ALL.iter().filter(|reason| !only_of_leads(reason)).map(|reason| reason.as_str()))
}

fn some_name() -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": NAME_LIMIT })
}

fn matching(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": pattern })
}

fn one_of(words: impl Iterator<Item = &'static str>) -> Schema {
    let words: Vec<&str> = words.collect();
    json_schema!({ "type": "string", "enum": words })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cap;
    use crate::domain::Outage;
    use crate::domain::Throttle;
    use crate::domain::Unwritten;

    #[test]
    fn every_outcome_is_among_those_of_the_contract() {
        let judged = VERDICTS.into_iter().map(Outcome::Judged);
        let others = [
            Outcome::Found,
            Outcome::NotFound,
            Outcome::Scraped,
            Outcome::Written,
            Outcome::Unwritten(Unwritten::Refused),
            Outcome::NotApplicable,
            Outcome::Unaffordable,
            Outcome::Capped(Cap::Lead),
            Outcome::KeyRejected,
            Outcome::ProviderOutOfCredits,
            Outcome::RateLimited(Throttle::TriesSpent),
            Outcome::Timeout,
            Outcome::BadRequest,
            Outcome::Unavailable(Outage::Answered),
            Outcome::ProtocolError,
        ];
        for outcome in judged.chain(others) {
            assert!(OUTCOMES.contains(&outcome.as_str()), "{outcome:?}");
        }
    }
}
