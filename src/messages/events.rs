//! What every message has: a type, a routing key, and an id that a repeat is told by.

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Run;
use crate::messages::results::CopyResult;
use crate::messages::results::JobCompleted;
use crate::messages::results::LeadResult;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use sha2::Digest;
use sha2::Sha256;

/// Bytes of the digest that make an `event_id`: 32 hex digits.
const EVENT_ID_BYTES: usize = 16;

/// A JSON message of CONTRACTS §4, or between workers.
pub trait Message {
    /// Its AMQP `type`, `weir.lead_result.v1`.
    const KIND: &'static str;

    /// Its body, the fields in the contract's order.
    fn to_json(&self) -> Value
    where
        Self: Serialize,
    {
        json!(self)
    }

    /// Its body as it is sent.
    fn to_body(&self) -> Vec<u8>
    where
        Self: Serialize,
    {
        // No type of ours can fail to be written; the longer way would say so.
        serde_json::to_vec(self).unwrap_or_else(|_| self.to_json().to_string().into_bytes())
    }
}

/// Where `weir.events` takes an event: its type without `weir.` and `.v1`.
pub fn routing_key(kind: &str) -> &str {
    let name = kind.strip_prefix("weir.").unwrap_or(kind);
    name.strip_suffix(".v1").unwrap_or(name)
}

/// Is it kept and tried again until a queue takes it? The others are published once.
pub fn must_be_routed(kind: &str) -> bool {
    [LeadResult::KIND, CopyResult::KIND, JobCompleted::KIND].contains(&kind)
}

/// The id of an event that these parts tell from every other, its type the first of them.
pub fn event_id(parts: &[&str]) -> String {
    digest(&json!(parts))
}

/// The id of an event that comes once in a run of a job, or of one of its leads: the same whenever
/// it is published again, new after a resume.
pub fn run_event_id(kind: &str, job: &JobId, lead: Option<&LeadId>, run: Run) -> String {
    digest(&json!([kind, job, lead, run.get()]))
}

fn digest(parts: &Value) -> String {
    let digest = Sha256::digest(parts.to_string()).into_iter();
    digest.take(EVENT_ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_tells_runs_leads_and_jobs_apart() {
        let id = |job: &str, lead: &str, run: u32| {
            run_event_id(LeadResult::KIND, &JobId::new(job), Some(&LeadId::new(lead)), Run::new(run))
        };
        let one = id("job", "Lead", 1);
        assert_eq!(one, id("job", "Lead", 1));
        for other in [id("job", "lead", 1), id("job", "Lead", 2), id("jobLead", "", 1)] {
            assert_ne!(one, other);
        }
        assert_eq!(one.len(), 32);
    }

    #[test]
    fn an_event_id_is_of_its_parts_and_their_borders() {
        assert_eq!(event_id(&["weir.wallet_low.v1", "acme", "7"]), "c05d86c7430bff5920cd8bb890636458");
        assert_ne!(event_id(&["ab", "c"]), event_id(&["a", "bc"]));
    }

    #[test]
    fn a_routing_key_is_the_type_without_its_frame() {
        assert_eq!(routing_key("weir.lead_result.v1"), "lead_result");
        assert_eq!(routing_key("weir.provider_out_of_credits.v1"), "provider_out_of_credits");
    }
}
