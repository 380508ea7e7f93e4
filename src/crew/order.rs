//! A job as it is ordered, whatever is to be done for its leads: what its message says of it.

use crate::config::Live;
use crate::crew::fate::Trouble;
use crate::domain::Brief;
use crate::domain::CampaignId;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::domain::WorkspaceId;
use crate::jobs::Reply;
use crate::jobs::Work;
use crate::messages;
use crate::messages::CopyJob;
use crate::messages::EnrichmentJob;
use crate::messages::Incoming;
use crate::messages::Leads;
use crate::messages::is_id;
use crate::queue::DeadReason;
use crate::queue::rabbitmq::Delivery;
use crate::queue::rabbitmq::JobQueue;
use sha2::Digest;
use sha2::Sha256;
use std::sync::Arc;

/// A job to take in.
pub(super) struct Order {
    /// Its id.
    pub(super) id: JobId,
    /// Who orders it.
    pub(super) workspace: WorkspaceId,
    /// The campaign it belongs to.
    pub(super) campaign: Option<CampaignId>,
    /// What is to be done.
    pub(super) wanted: Wanted,
    /// What makes it the same job when it comes again.
    pub(super) content: Fingerprint,
    /// Its cap.
    pub(super) max_spend: Option<Usd>,
    /// Is it resumed by itself after every top-up?
    pub(super) auto_resume: bool,
    /// Where its leads are.
    pub(super) leads: Leads,
    /// Where its results go besides.
    pub(super) reply: Option<Reply>,
}

/// What is to be done, in the sender's words.
pub(super) enum Wanted {
    /// Addresses, by the waterfall of this name, or by the default one.
    Enrich(Option<String>),
    /// Copy.
    Copy(Arc<Brief>),
}

impl Order {
    /// Reads what a queue of jobs has delivered.
    ///
    /// # Errors
    /// When it is no order, or not one for this queue.
    pub(super) fn open(delivery: &Delivery) -> Result<Self, Trouble> {
        let reply_to = delivery.reply_to.clone().filter(|queue| !queue.is_empty());
        let reply = reply_to.map(|to| Reply { to, correlation_id: delivery.correlation_id.clone() });
        let message = messages::read(delivery.kind.as_deref(), &delivery.routing_key, &delivery.body)?;
        Self::of(message, &delivery.source, reply)
    }

    /// The order in a message that came over `queue`: each queue has its own kind of job.
    ///
    /// # Errors
    /// When it is another kind of message.
    pub(super) fn of(message: Incoming, queue: &str, reply: Option<Reply>) -> Result<Self, Trouble> {
        match message {
            Incoming::Enrich(job) if queue == JobQueue::Enrich.name() => Ok(Self::of_enrichment(job, reply)),
            Incoming::Copy(job) if queue == JobQueue::Copy.name() => Ok(Self::of_copy(job, reply)),
            Incoming::Enrich(_)
            | Incoming::Copy(_)
            | Incoming::JobControl(_)
            | Incoming::TopUp(_)
            | Incoming::CampaignActivate(_)
            | Incoming::ConfigReload(_)
            | Incoming::Presence(_)
            | Incoming::KeysChanged(_)
            | Incoming::WorkerStopped(_) => Err(Trouble::misplaced(queue)),
        }
    }

    fn of_enrichment(job: EnrichmentJob, reply: Option<Reply>) -> Self {
        let content = content_of(&job.canonical());
        Self {
            id: job.job_id,
            workspace: job.workspace_id,
            campaign: job.campaign_id,
            wanted: Wanted::Enrich(job.waterfall),
            content,
            max_spend: job.max_spend,
            auto_resume: job.auto_resume,
            leads: job.leads,
            reply,
        }
    }

    fn of_copy(job: CopyJob, reply: Option<Reply>) -> Self {
        let content = content_of(&job.canonical());
        let brief = Brief {
            purpose: job.purpose,
            model: job.model,
            max_output_tokens: job.max_output_tokens,
            instructions: job.instructions,
            pages: job.personalize.urls,
        };
        Self {
            id: job.job_id,
            workspace: job.workspace_id,
            campaign: job.campaign_id,
            wanted: Wanted::Copy(Arc::new(brief)),
            content,
            max_spend: job.max_spend,
            auto_resume: job.auto_resume,
            leads: job.leads,
            reply,
        }
    }
}

impl Wanted {
    /// The work, if the configuration knows what it is to be done by.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn resolve(self, live: &Live) -> Result<Work, Trouble> {
        match self {
            Self::Enrich(named) => waterfall(live, named.as_deref()).map(Work::Enrich),
            Self::Copy(brief) => check_model(live, &brief.model).map(|()| Work::Copy(brief)),
        }
    }
}

fn waterfall(live: &Live, named: Option<&str>) -> Result<WaterfallName, Trouble> {
    let unknown = |problem| Trouble::Refused(DeadReason::UnknownWaterfall, problem);
    match live.default_waterfall(named) {
        Ok(waterfall) => Ok(waterfall.name.clone()),
        // Anything may stand in the field; what could be a name is repeated.
        Err(problem) if named.is_none_or(is_id) => Err(unknown(format!("waterfall: {problem}"))),
        Err(_) => Err(unknown("waterfall names none that is in the configuration".to_owned())),
    }
}

fn check_model(live: &Live, model: &str) -> Result<(), Trouble> {
    if live.models.contains_key(model) {
        return Ok(());
    }
    let names: Vec<&str> = live.models.keys().map(String::as_str).collect();
    let problem = if names.is_empty() {
        "model: the configuration has no model".to_owned()
    } else if is_id(model) {
        format!("model: there is no model `{model}`; there are: {}", names.join(", "))
    } else {
        "model names none that is in the configuration".to_owned()
    };
    Err(Trouble::Refused(DeadReason::UnknownModel, problem))
}

/// Of what makes a message the same job. Case counts: another spelling is other content.
fn content_of(canonical: &str) -> Fingerprint {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(Sha256::digest(canonical)) {
        *to = from;
    }
    Fingerprint::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::fate::fate;
    use crate::domain::Purpose;
    use crate::queue::Fate;
    use serde_json::Value;
    use serde_json::json;

    fn copy() -> Value {
        json!({
            "job_id": "copy_1",
            "workspace_id": "acme",
            "campaign_id": "cmp_1",
            "purpose": "warmup",
            "model": "gpt-5.4-mini",
            "max_output_tokens": 300,
            "instructions": "Write to {first_name}.",
            "personalize": {"urls": ["https://{domain}"]},
            "max_spend": "2.5",
            "auto_resume": true,
            "leads": [{"lead_id": "1", "first_name": "Ada"}],
        })
    }

    fn order(message: &Value, routing_key: &str, queue: &str) -> Result<Order, Trouble> {
        Order::of(messages::read(None, routing_key, message.to_string().as_bytes()).unwrap(), queue, None)
    }

    #[test]
    fn a_copy_job_is_ordered_with_all_that_its_message_says() {
        let order = order(&copy(), "copy", "weir.copy").unwrap();
        assert_eq!((order.id.as_str(), order.workspace.as_str()), ("copy_1", "acme"));
        assert_eq!(order.campaign, Some(CampaignId::new("cmp_1")));
        assert_eq!((order.max_spend, order.auto_resume), (Some("2.5".parse().unwrap()), true));
        let Wanted::Copy(brief) = order.wanted else { panic!("no copy is wanted") };
        let expected = Brief {
            purpose: Purpose::Warmup,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 300,
            instructions: "Write to {first_name}.".to_owned(),
            pages: vec!["https://{domain}".to_owned()],
        };
        assert!(*brief == expected, "{brief:?}");
    }

    #[test]
    fn another_brief_is_other_content_and_the_id_is_none() {
        let content = |field: &str, value: Value| {
            let mut message = copy();
            message[field] = value;
            order(&message, "copy", "weir.copy").unwrap().content
        };
        let same = content("job_id", json!("copy_2"));
        assert_eq!(same, content("job_id", json!("copy_1")));
        for (field, value) in [
            ("purpose", json!("live")),
            ("model", json!("gpt-6-luna")),
            ("max_output_tokens", json!(301)),
            ("instructions", json!("Write to {last_name}.")),
            ("personalize", json!({})),
            ("max_spend", json!("2.6")),
            ("leads", json!([{"lead_id": "1", "first_name": "Bea"}])),
        ] {
            assert_ne!(same, content(field, value), "{field}");
        }
    }

    #[test]
    fn each_queue_takes_its_own_kind_of_job() {
        let enrich = json!({"job_id": "job_1", "workspace_id": "acme", "leads": [{"lead_id": "1"}]});
        for (message, key, queue, taken) in [
            (&enrich, "enrich", "weir.enrich", true),
            (&enrich, "enrich", "weir.copy", false),
            (&copy(), "copy", "weir.copy", true),
            (&copy(), "copy", "weir.enrich", false),
            (&json!({"job_id": "job_1", "action": "cancel"}), "control", "weir.copy", false),
        ] {
            match order(message, key, queue) {
                Ok(_) => assert!(taken, "{key} on {queue}"),
                Err(trouble) => {
                    let told = format!("a message of this type does not belong on {queue}");
                    let dead = Fate::Dead(DeadReason::UnknownType, told);
                    assert!(!taken && fate(Err(trouble), 0) == dead, "{key} on {queue}");
                }
            }
        }
    }
}
