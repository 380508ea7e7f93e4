//! What is published, and what becomes of a delivery.

use std::pin::Pin;

/// A message to publish: persistent, JSON, `mandatory`, confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub to: To,
    /// The AMQP `type`, `weir.lead_result.v1`.
    pub kind: String,
    /// The same whenever the same message is published again.
    pub message_id: String,
    /// Copied from the message that this answers.
    pub correlation_id: Option<String>,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// Text headers, `x-weir-reason` and the like.
    pub headers: Vec<(String, String)>,
    /// UTF-8 JSON.
    pub body: Vec<u8>,
}

/// Where a message goes (CONTRACTS §4, topology).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Exchange `weir.jobs`: `enrich`, `copy` or `control`.
    Jobs(&'static str),
    /// Exchange `weir.events`, by this routing key.
    Events(String),
    /// Exchange `weir.control`: every worker.
    Control,
    /// This queue, by the default exchange.
    Queue(String),
    /// This queue, after a while.
    Retry(RetryAfter, String),
}

/// How long a redelivery waits: one queue each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// A second.
    OneSecond,
    /// Ten seconds.
    TenSeconds,
    /// A minute.
    OneMinute,
}

impl RetryAfter {
    /// For the try after `tries` failed ones: quickly at first, then every minute.
    pub const fn tries(tries: u32) -> Self {
        match tries {
            0..=2 => Self::OneSecond,
            3..=8 => Self::TenSeconds,
            9.. => Self::OneMinute,
        }
    }
}

/// What becomes of a delivery of a job, control or reload message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Done, or known: acknowledge.
    Ack,
    /// Something passing stood in the way: a copy comes again later.
    Retry(RetryAfter),
    /// It can never be done: a copy goes to `weir.dead`, with the reason.
    Dead(DeadReason, String),
}

/// Why a message lies in `weir.dead`: its header `x-weir-reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadReason {
    /// The body is not JSON.
    NotJson,
    /// No such message type here.
    UnknownType,
    /// A field is missing or wrong.
    Invalid,
    /// The body, or a field, is too large.
    TooLarge,
    /// The id was used for something else.
    Conflict,
    /// No such waterfall in the configuration.
    UnknownWaterfall,
    /// No such model in the configuration.
    UnknownModel,
    /// `leads_from` names something outside the allowed roots, or that cannot be read.
    SourceRefused,
    /// It failed too often.
    GaveUp,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NotJson,
        Self::UnknownType,
        Self::Invalid,
        Self::TooLarge,
        Self::Conflict,
        Self::UnknownWaterfall,
        Self::UnknownModel,
        Self::SourceRefused,
        Self::GaveUp,
    ];

    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::UnknownType => "unknown_type",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Conflict => "conflict",
            Self::UnknownWaterfall => "unknown_waterfall",
            Self::UnknownModel => "unknown_model",
            Self::SourceRefused => "source_refused",
            Self::GaveUp => "gave_up",
        }
    }
}

/// Why a message may not have been published. None of these says that it was *not*: the same
/// `message_id` is published again where that matters, and consumers drop repeats.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// The broker took it and had no queue to put it into: it is gone.
    #[error("no queue is bound to take it")]
    Unroutable,
    /// The broker refused it, or the connection was lost, blocked or closed: nobody knows.
    #[error("the broker has not confirmed it: {0}")]
    Unconfirmed(String),
}

/// The answer to a publish.
pub type Publishing<'a> = Pin<Box<dyn Future<Output = Result<(), NotPublished>> + Send + 'a>>;
