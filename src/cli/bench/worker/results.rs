//! `weir.results` and its neighbours, as whoever takes the results sees them.

use crate::cli::BadInput;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use futures_util::StreamExt;
use jiff::Timestamp;
use lapin::Channel;
use lapin::Connection;
use lapin::ConnectionProperties;
use lapin::options::BasicAckOptions;
use lapin::options::BasicConsumeOptions;
use lapin::options::BasicQosOptions;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde::Deserialize;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::timeout;

const RESULTS: &str = "weir.results";
const DEAD: &str = "weir.dead";
/// Where something may lie.
const QUEUES: [&str; 6] = [RESULTS, DEAD, "weir.enrich", "weir.copy", "weir.jobcontrol", "weir.slices"];

/// Deliveries on their way, and those acknowledged together.
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 250;
/// For one delivery of those that lie there.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection for looking and draining.
pub(super) struct Results {
    connection: Connection,
    channel: Channel,
}

/// A lead's result, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) job: String,
    /// The lead's number in its job.
    pub(super) lead: u32,
    /// When it was told, wall-clock milliseconds.
    pub(super) at_ms: i64,
}

/// All that lay there.
#[derive(Debug, Default)]
pub(super) struct Drained {
    /// One for each lead, all of them verified.
    pub(super) results: Vec<Told>,
    /// Jobs that are completed.
    pub(super) completed: u64,
    seen: HashSet<String>,
}

/// A result of a lead, or the completion of a job, which has no lead.
#[derive(Deserialize)]
struct Message {
    event_id: String,
    job_id: String,
    at: Option<String>,
    lead_id: Option<String>,
    status: Option<String>,
}

impl Results {
    pub(super) async fn open(broker: &SecretString) -> Result<Self> {
        let properties = ConnectionProperties::default().with_connection_name("weir/bench".into());
        let connection = Box::pin(Connection::connect(broker.expose_secret(), properties)).await;
        let connection = connection.context("the broker cannot be reached")?;
        let channel = connection.create_channel().await?;
        Ok(Self { connection, channel })
    }

    /// What lies there before the first run is somebody's.
    pub(super) async fn require_empty(&self) -> Result<()> {
        for queue in QUEUES {
            let depth = self.depth(queue).await?;
            if depth > 0 {
                let name = "name a virtual host of the benchmark's own";
                return Err(
                    BadInput(format!("{queue} holds {depth} messages: empty it, or {name} with --broker")).into()
                );
            }
        }
        Ok(())
    }

    /// How many results and completions lie there.
    pub(super) async fn count(&self) -> Result<u64> {
        self.depth(RESULTS).await
    }

    async fn depth(&self, queue: &str) -> Result<u64> {
        let options = QueueDeclareOptions::durable().passive();
        let declared = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        Ok(u64::from(declared.with_context(|| format!("{queue} cannot be asked"))?.message_count()))
    }

    /// Takes `count` results and completions out; none may be left then, and nothing may lie in `weir.dead`.
    pub(super) async fn drain(&self, count: u64) -> Result<Drained> {
        let channel = self.connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let mut consumer = channel.basic_consume(RESULTS.into(), "".into(), options, FieldTable::default()).await?;
        let mut drained = Drained::default();
        for n in 1..=count {
            let delivery = timeout(PATIENCE, consumer.next()).await.context("weir.results does not hand out")?;
            let delivery = delivery.context("the consumer of weir.results has ended")??;
            drained.take(&delivery.data)?;
            if n.is_multiple_of(ACK_EVERY) || n == count {
                delivery.ack(BasicAckOptions { multiple: true }).await?;
            }
        }
        channel.close(200, "OK".into()).await?;
        for queue in [RESULTS, DEAD] {
            let left = self.depth(queue).await?;
            ensure!(left == 0, "{left} messages too many lie in {queue}");
        }
        Ok(drained)
    }

    pub(super) async fn close(self) {
        if let Err(error) = self.connection.close(200, "OK".into()).await {
            tracing::debug!("hanging up: {error}");
        }
    }
}

impl Drained {
    fn take(&mut self, body: &[u8]) -> Result<()> {
        let Message { event_id, job_id, at, lead_id, status } = serde_json::from_slice(body)?;
        ensure!(self.seen.insert(event_id), "something of job {job_id} was told twice");
        let Some(lead) = lead_id else {
            self.completed += 1;
            return Ok(());
        };
        match (status.as_deref(), at) {
            (Some("verified"), Some(at)) => {
                let at_ms = at.parse::<Timestamp>()?.as_millisecond();
                self.results.push(Told { job: job_id, lead: lead.parse()?, at_ms });
                Ok(())
            }
            (status, _) => bail!("lead {lead} of job {job_id} is {}", status.unwrap_or("nothing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_completions_are_told_apart_and_only_a_verified_lead_told_once_counts() {
        let mut drained = Drained::default();
        let verified =
            br#"{"event_id":"e1","at":"2026-11-21T10:00:00.123Z","job_id":"j","lead_id":"7","status":"verified"}"#;
        let completed = br#"{"event_id":"e2","at":"2026-11-21T10:00:01.000Z","job_id":"j","by_status":{"verified":1}}"#;
        let skipped = br#"{"event_id":"e3","at":null,"job_id":"j","lead_id":"8","status":"skipped"}"#;
        drained.take(verified).unwrap();
        drained.take(completed).unwrap();
        assert_eq!(drained.results, [Told { job: "j".to_owned(), lead: 7, at_ms: 1_795_255_200_123 }]);
        assert_eq!(drained.completed, 1);
        drained.take(verified).unwrap_err();
        drained.take(skipped).unwrap_err();
    }
}
