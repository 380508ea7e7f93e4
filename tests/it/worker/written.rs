//! Copy jobs as a test submits them, and what it reads in their results.

use crate::services::Received;
use crate::services::Tokens;
use crate::worker::told::job;
use crate::worker::told::told;
use crate::worker::told::with;
use serde_json::Value;
use serde_json::json;

pub(super) const COPY_JOB: &str = "weir.copy_job.v1";
pub(super) const COPY_RESULT: &str = "weir.copy_result.v1";

/// Tokens that a model may write for a lead where its job does not say.
pub(super) const MOST_OUTPUT: u64 = 400;

/// What the sandbox's models write when they were given a page.
pub(super) const HAS_READ: &str = "I have read what";

/// A job of workspace `acme` with so many leads in each scene of the sandbox (`hit`, `refuse`, `nodns`, ...), all
/// different people at different companies: e-mails that warm a mailbox up.
pub(super) fn warm_up(id: &str, model: &str, scenes: &[(usize, &str)]) -> Value {
    json!({
        "job_id": id,
        "workspace_id": "acme",
        "purpose": "warmup",
        "model": model,
        "instructions": "Write a short e-mail about mops to {first_name}.",
        "leads": job(id, scenes)["leads"],
    })
}

/// The same for the people themselves, each with what their company's page says.
pub(super) fn live(id: &str, model: &str, scenes: &[(usize, &str)]) -> Value {
    let pages = json!({"urls": ["https://{domain}"]});
    with(with(warm_up(id, model, scenes), "purpose", "live"), "personalize", pages)
}

/// The same job for people who all work there.
pub(super) fn at(mut job: Value, domain: &str) -> Value {
    for lead in job["leads"].as_array_mut().unwrap() {
        lead["domain"] = domain.into();
    }
    job
}

/// The same job of another workspace.
pub(super) fn of(job: Value, workspace: &str) -> Value {
    with(job, "workspace_id", workspace)
}

/// The result of every lead, each once.
pub(super) fn copies(messages: &[Received]) -> Vec<Value> {
    told(messages, COPY_RESULT)
}

/// The results of one job.
pub(super) fn of_job<'r>(results: &'r [Value], job: &str) -> Vec<&'r Value> {
    results.iter().filter(|result| result["job_id"] == job).collect()
}

/// What a result says that the model has counted.
pub(super) fn usage(result: &Value) -> Tokens {
    let count = |kind: &str| result["usage"][format!("{kind}_tokens")].as_u64().unwrap();
    Tokens {
        input: count("input"),
        cached_input: count("cached_input"),
        cache_write: count("cache_write"),
        output: count("output"),
        reasoning: count("reasoning"),
    }
}

/// The first attempt of this operation on a result's trail.
pub(super) fn attempt<'r>(result: &'r Value, operation: &str) -> &'r Value {
    let of_operation = |step: &&Value| step["step"].as_str().unwrap().ends_with(&format!(".{operation}"));
    result["trail"].as_array().unwrap().iter().find(of_operation).unwrap()
}
