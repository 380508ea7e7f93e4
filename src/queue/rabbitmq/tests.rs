//! Doubles that this room's tests share: a publisher that remembers, and a delivery without a broker.

use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::Publish;
use crate::queue::Publishing;
use crate::queue::rabbitmq::delivery::Copier;
use crate::queue::rabbitmq::delivery::Delivery;
use crate::queue::rabbitmq::delivery::Origin;
use crate::queue::rabbitmq::message::TRIES;
use lapin::BasicProperties;
use lapin::types::AMQPValue;
use lapin::types::FieldTable;
use std::sync::Arc;
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Remembers what is published, and confirms all but the first few.
pub(super) struct Recorder {
    pub(super) published: Mutex<Vec<Outgoing>>,
    unconfirmed: usize,
}

impl Publish for Recorder {
    fn publish(&self, message: Outgoing) -> Publishing<'_> {
        let mut published = self.published.lock().unwrap();
        published.push(message);
        let is_confirmed = published.len() > self.unconfirmed;
        Box::pin(
            async move { if is_confirmed { Ok(()) } else { Err(NotPublished::Unconfirmed("not yet".to_owned())) } },
        )
    }
}

pub(super) fn recorder(unconfirmed: usize) -> (Arc<Recorder>, Copier) {
    let recorder = Arc::new(Recorder { published: Mutex::default(), unconfirmed });
    let publisher: Arc<dyn Publish> = Arc::<Recorder>::clone(&recorder);
    (recorder, Copier { publisher, stop: CancellationToken::new() })
}

/// From the queue `weir.enrich`, tried twice before; its acknowledgement always succeeds.
pub(super) fn delivery(body: &str, origin: Origin, copier: &Copier) -> Delivery {
    let body = body.as_bytes().to_vec();
    let mut received = lapin::message::Delivery::mock(1, "weir.jobs".into(), "enrich".into(), false, body);
    let mut headers = FieldTable::default();
    headers.insert(TRIES.into(), AMQPValue::LongString("2".into()));
    headers.insert("x-death".into(), AMQPValue::LongString("dropped".into()));
    received.properties = BasicProperties::default().with_type("weir.enrichment_job.v1".into()).with_headers(headers);
    Delivery::new("weir.enrich", received, origin, copier.clone())
}
