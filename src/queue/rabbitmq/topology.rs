//! The topology of CONTRACTS §4, declared by every worker. Its arguments never change within a major
//! version: a queue that is there with others is told, never put right.

use crate::queue::RetryAfter;
use crate::queue::rabbitmq::error::BrokerError;
use crate::queue::rabbitmq::error::PRECONDITION_FAILED;
use crate::queue::rabbitmq::error::refusal;
use crate::queue::rabbitmq::link::close_channel;
use lapin::Channel;
use lapin::Connection;
use lapin::ExchangeKind;
use lapin::options::ExchangeDeclareOptions;
use lapin::options::QueueBindOptions;
use lapin::options::QueueDeclareOptions;
use lapin::types::AMQPValue;
use lapin::types::FieldTable;
use std::time::Duration;
use tokio::time::timeout;

pub(super) const JOBS: &str = "weir.jobs";
pub(super) const EVENTS: &str = "weir.events";
pub(super) const CONTROL: &str = "weir.control";
pub(super) const SLICES: &str = "weir.slices";
pub(super) const DEAD: &str = "weir.dead";
const RESULTS: &str = "weir.results";

const EXCHANGES: [(&str, ExchangeKind); 3] =
    [(JOBS, ExchangeKind::Direct), (EVENTS, ExchangeKind::Topic), (CONTROL, ExchangeKind::Fanout)];

/// `weir.dead` goes first: the others' dead letters fall into it.
const PLAIN_QUEUES: [&str; 2] = [DEAD, RESULTS];
const WORK_QUEUES: [&str; 4] = [JobQueue::Enrich.name(), JobQueue::Copy.name(), JobQueue::JobControl.name(), SLICES];
const LADDER: [RetryAfter; 3] = [RetryAfter::OneSecond, RetryAfter::TenSeconds, RetryAfter::OneMinute];

/// Exchange, routing key, queue.
const BINDINGS: [(&str, &str, &str); 6] = [
    (JOBS, "enrich", JobQueue::Enrich.name()),
    (JOBS, "copy", JobQueue::Copy.name()),
    (JOBS, "control", JobQueue::JobControl.name()),
    (EVENTS, "lead_result", RESULTS),
    (EVENTS, "copy_result", RESULTS),
    (EVENTS, "job_completed", RESULTS),
];

/// A delivery that broke its worker so often is dead-lettered by the broker.
const DELIVERY_LIMIT: i32 = 100;
/// For all of it; about 30 round trips.
const DECLARE_WITHIN: Duration = Duration::from_secs(15);

/// A queue of jobs or of what is to be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobQueue {
    /// `weir.enrich`.
    Enrich,
    /// `weir.copy`.
    Copy,
    /// `weir.jobcontrol`.
    JobControl,
}

impl JobQueue {
    /// The contract's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrich => "weir.enrich",
            Self::Copy => "weir.copy",
            Self::JobControl => "weir.jobcontrol",
        }
    }
}

/// A rung of the retry ladder: exchange and queue of one name, and how long messages lie there, in
/// milliseconds.
pub(super) const fn rung(after: RetryAfter) -> (&'static str, i32) {
    match after {
        RetryAfter::OneSecond => ("weir.retry.1s", 1_000),
        RetryAfter::TenSeconds => ("weir.retry.10s", 10_000),
        RetryAfter::OneMinute => ("weir.retry.60s", 60_000),
    }
}

/// Declares everything; what is there already stays as it is.
pub(super) async fn declare(connection: &Connection) -> Result<(), BrokerError> {
    let late = BrokerError::Unreachable("it took too long to declare the queues".to_owned());
    timeout(DECLARE_WITHIN, declare_all(connection)).await.unwrap_or(Err(late))
}

async fn declare_all(connection: &Connection) -> Result<(), BrokerError> {
    let channel = connection.create_channel().await.map_err(|error| BrokerError::of(&error))?;
    for (name, kind) in EXCHANGES {
        declare_exchange(&channel, name, kind).await?;
    }
    for queue in PLAIN_QUEUES {
        declare_queue(&channel, queue, quorum()).await?;
    }
    for queue in WORK_QUEUES {
        declare_queue(&channel, queue, work_arguments()).await?;
    }
    for after in LADDER {
        let (name, wait_ms) = rung(after);
        declare_exchange(&channel, name, ExchangeKind::Fanout).await?;
        declare_queue(&channel, name, rung_arguments(wait_ms)).await?;
        bind(&channel, name, "", name).await?;
    }
    for (exchange, routing_key, queue) in BINDINGS {
        bind(&channel, exchange, routing_key, queue).await?;
    }
    close_channel(&channel).await;
    Ok(())
}

async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await;
    declared.map_err(|error| mismatch(&format!("exchange {name}"), &error))
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
    let declared = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await;
    declared.map(drop).map_err(|error| mismatch(&format!("queue {name}"), &error))
}

async fn bind(channel: &Channel, exchange: &str, routing_key: &str, queue: &str) -> Result<(), BrokerError> {
    let options = QueueBindOptions::default();
    let bound =
        channel.queue_bind(queue.into(), exchange.into(), routing_key.into(), options, FieldTable::default()).await;
    bound.map_err(|error| BrokerError::of(&error))
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// Dead letters leave their queue once they lie in the next one, not before.
fn at_least_once() -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

fn work_arguments() -> FieldTable {
    let mut arguments = at_least_once();
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    arguments.insert("x-dead-letter-routing-key".into(), text(DEAD));
    arguments
}

/// No routing key of its own: what expires goes to the queue that its routing key names.
fn rung_arguments(wait_ms: i32) -> FieldTable {
    let mut arguments = at_least_once();
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(wait_ms));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn mismatch(what: &str, error: &lapin::Error) -> BrokerError {
    match refusal(error) {
        Some((PRECONDITION_FAILED, told)) => {
            BrokerError::Topology { queue: what.to_owned(), detail: explain_mismatch(told) }
        }
        Some(_) | None => BrokerError::of(error),
    }
}

/// The broker's complaint in weir's words; as it is when it has another form.
fn explain_mismatch(told: &str) -> String {
    let parts = || {
        let (_, from_argument) = told.split_once("inequivalent arg '")?;
        let (argument, rest) = from_argument.split_once('\'')?;
        let (_, values) = rest.split_once(": received ")?;
        let (wanted, found) = values.split_once(" but current is ")?;
        Some(format!(
            "its argument {argument} must be {wanted} and is {found}; \
             delete it once nothing lies in it, and start again"
        ))
    };
    parts().unwrap_or_else(|| told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use lapin::ErrorKind;
    use lapin::protocol::AMQPError;
    use lapin::protocol::AMQPSoftError;

    /// As a table, a queue a line.
    fn show(arguments: &FieldTable) -> String {
        let shown = arguments.inner().iter().map(|(name, value)| {
            let value = value.as_long_int().map_or_else(
                || value.as_long_string().map_or_else(String::new, |text| format!("{:?}", text.to_string())),
                |number| number.to_string(),
            );
            format!("{name}={value}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_arguments_are_the_contracts() {
        expect![[
            r#"x-dead-letter-exchange="" x-dead-letter-routing-key="weir.dead" x-dead-letter-strategy="at-least-once" x-delivery-limit=100 x-overflow="reject-publish" x-queue-type="quorum""#
        ]]
        .assert_eq(&show(&work_arguments()));
        expect![[
            r#"x-dead-letter-exchange="" x-dead-letter-strategy="at-least-once" x-message-ttl=10000 x-overflow="reject-publish" x-queue-type="quorum""#
        ]]
        .assert_eq(&show(&rung_arguments(rung(RetryAfter::TenSeconds).1)));
        assert_eq!(show(&quorum()), r#"x-queue-type="quorum""#);
    }

    #[test]
    fn the_ladder_has_a_rung_for_each_wait() {
        let rungs = LADDER.map(rung);
        assert_eq!(rungs, [("weir.retry.1s", 1_000), ("weir.retry.10s", 10_000), ("weir.retry.60s", 60_000)]);
    }

    #[test]
    fn a_mismatch_names_queue_and_argument() {
        let told = "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'weir.enrich' in vhost '/': \
                    received the value '100' of type 'signedint' but current is the value '5' of type 'signedint'";
        let error = AMQPError::new(AMQPSoftError::PRECONDITIONFAILED.into(), told.into());
        let error = mismatch("queue weir.enrich", &lapin::Error::from(ErrorKind::ProtocolError(error)));
        assert!(!error.is_transient());
        expect![
            "the broker has queue weir.enrich, but its argument x-delivery-limit must be the value '100' of type 'signedint' and is the value '5' of type 'signedint'; delete it once nothing lies in it, and start again"
        ]
        .assert_eq(&error.to_string());
    }

    #[test]
    fn an_absent_argument_and_an_unknown_complaint_are_told_too() {
        let absent = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'weir.dead' in vhost '/': \
                      received the value 'quorum' of type 'longstr' but current is none";
        expect![
            "its argument x-queue-type must be the value 'quorum' of type 'longstr' and is none; delete it once nothing lies in it, and start again"
        ]
        .assert_eq(&explain_mismatch(absent));
        assert_eq!(explain_mismatch("PRECONDITION_FAILED - other"), "PRECONDITION_FAILED - other");
    }
}
