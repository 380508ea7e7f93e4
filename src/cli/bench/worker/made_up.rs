//! Jobs of made-up people, as a sender writes them.

use crate::cli::bench::chain::write_list;
use crate::cli::bench::worker::configuration::WATERFALL;
use crate::cli::bench::worker::configuration::address_of;
use crate::domain::JobId;
use crate::domain::WorkspaceId;
use crate::messages::EnrichmentJob;
use crate::messages::LEADS_LIMIT;
use crate::messages::Message;
use crate::queue::Outgoing;
use crate::queue::To;
use anyhow::Context;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;
use std::path::Path;
use uuid::Uuid;

/// A job, and the workspace that pays for it alone.
#[derive(Clone, Debug)]
pub(super) struct MadeUpJob {
    pub(super) id: JobId,
    pub(super) workspace: WorkspaceId,
    pub(super) leads: u32,
}

impl MadeUpJob {
    /// One that nobody has seen before, so that no answer of its workspace is known.
    pub(super) fn new(leads: u32) -> Self {
        let name = format!("bench-{}", Uuid::now_v7().simple());
        Self { id: JobId::new(name.as_str()), workspace: WorkspaceId::new(name), leads }
    }

    /// With its leads inside, or in a list in `folder` if they are too many.
    pub(super) fn message(&self, folder: &Path) -> Result<Outgoing> {
        let (field, leads) = match usize::try_from(self.leads)? {
            0..=LEADS_LIMIT => ("leads", (1..=self.leads).map(lead).collect::<Value>()),
            _ => ("leads_from", Value::from(list(folder, self.leads)?)),
        };
        let body = json!({
            "job_id": self.id.as_str(),
            "workspace_id": self.workspace.as_str(),
            "waterfall": WATERFALL,
            field: leads,
        });
        Ok(Outgoing {
            to: To::Jobs("enrich"),
            kind: EnrichmentJob::KIND.to_owned(),
            message_id: self.id.as_str().to_owned(),
            correlation_id: None,
            reply_to: None,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        })
    }
}

/// The people of the lists: the sandbox knows everybody at `*.hit.test`.
fn lead(n: u32) -> Value {
    json!({
        "lead_id": n.to_string(),
        "first_name": "Ada",
        "last_name": "Sample",
        "domain": format!("c{n}.hit.test"),
    })
}

/// The address of a list of so many leads, written when it is not there yet. Its lead ids are its row
/// numbers.
fn list(folder: &Path, leads: u32) -> Result<String> {
    let path = folder.join(format!("leads-{leads}.csv"));
    if !path.exists() {
        write_list(&path, leads).context("a list cannot be written")?;
    }
    Ok(address_of(&path)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Incoming;
    use crate::messages::Leads;
    use crate::messages::read;

    fn leads(count: u32, folder: &Path) -> Leads {
        let job = MadeUpJob::new(count);
        let message = job.message(folder).unwrap();
        let Ok(Incoming::Enrich(read)) = read(Some(&message.kind), "enrich", &message.body) else { panic!() };
        assert_eq!(
            (read.job_id, read.workspace_id, read.waterfall.as_deref()),
            (job.id, job.workspace, Some(WATERFALL))
        );
        read.leads
    }

    #[test]
    fn a_job_is_a_message_that_workers_take_however_many_leads_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let Leads::Inline(inline) = leads(20_000, folder.path()) else { panic!() };
        assert_eq!((inline.len(), inline[1].domain.as_deref()), (20_000, Some("c2.hit.test")));
        let Leads::From(address) = leads(20_001, folder.path()) else { panic!() };
        assert!(address.starts_with("file:///") && address.ends_with("/leads-20001.csv"), "{address}");
        assert!(folder.path().join("leads-20001.csv").exists());
    }
}
