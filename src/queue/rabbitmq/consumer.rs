//! Consuming: whatever ends a consumer (an error, a deleted queue, silence on a dead channel) makes
//! channel, topology and consumer anew.

use crate::queue::rabbitmq::control;
use crate::queue::rabbitmq::control::Event;
use crate::queue::rabbitmq::delivery::Copier;
use crate::queue::rabbitmq::delivery::Delivery;
use crate::queue::rabbitmq::delivery::Origin;
use crate::queue::rabbitmq::error::BrokerError;
use crate::queue::rabbitmq::inbox::Inbox;
use crate::queue::rabbitmq::link::Link;
use crate::queue::rabbitmq::link::Pauses;
use crate::queue::rabbitmq::link::WATCH;
use crate::queue::rabbitmq::link::close_channel;
use crate::queue::rabbitmq::topology;
use futures_util::StreamExt;
use lapin::Channel;
use lapin::Connection;
use lapin::options::BasicCancelOptions;
use lapin::options::BasicConsumeOptions;
use lapin::options::BasicNackOptions;
use lapin::options::BasicQosOptions;
use lapin::types::FieldTable;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// For a connection, its topology, a channel and a consumer.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// For giving back at the stop what nobody has started.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(2);

/// Takes deliveries from one queue.
pub struct Consumer {
    inbox: Arc<Inbox>,
}

/// What is consumed.
pub(super) enum Source {
    /// A queue that all workers share.
    Shared(&'static str),
    /// This worker's own queue on `weir.control`.
    Own(String),
}

/// The working side of a consumer.
pub(super) struct Subscription {
    pub(super) link: Arc<Link>,
    pub(super) source: Source,
    /// Deliveries that may be unsettled at once.
    pub(super) prefetch: u16,
    pub(super) inbox: Arc<Inbox>,
    pub(super) copier: Copier,
    /// Counts the subscriptions that do not consume just now.
    pub(super) away: Arc<AtomicUsize>,
    /// Nothing more is taken.
    pub(super) stop: CancellationToken,
    /// Nothing more is settled.
    pub(super) closing: CancellationToken,
}

/// A consumer at work.
struct Opened {
    connection: Arc<Connection>,
    channel: Channel,
    stream: lapin::Consumer,
    queue: String,
}

/// Counts a subscription as away while it lives.
struct Away<'a>(&'a AtomicUsize);

impl Consumer {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// The next delivery; `None` after the stop. Loses nothing when it is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.inbox.next().await? {
                Event::Message(delivery) => return Some(*delivery),
                Event::Connected => {}
            }
        }
    }
}

impl Subscription {
    /// Consumes until the stop; then keeps the channel for what is still to be settled, until closing.
    pub(super) async fn run(self) {
        let mut pauses = Pauses::default();
        let mut round = 0;
        while let Some(mut opened) = self.open_patiently(&mut pauses, &mut round).await {
            match self.pass_on(&mut opened).await {
                Ok(()) => return self.wind_down(opened).await,
                Err(error) => tracing::warn!(queue = opened.queue, "consuming again: {error}"),
            }
            // Not handed out, and not ours any more: they come again.
            drop(self.inbox.take_all());
        }
        self.inbox.end();
    }

    /// Tries until it consumes; `None` at the stop.
    async fn open_patiently(&self, pauses: &mut Pauses, round: &mut u32) -> Option<Opened> {
        let _away = Away::new(&self.away);
        loop {
            let opening = async {
                if *round > 0 {
                    pauses.pause().await;
                }
                let late = BrokerError::Unreachable("it took too long to open a consumer".to_owned());
                timeout(OPEN_WITHIN, self.open(*round)).await.unwrap_or(Err(late))
            };
            let opened = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                opened = opening => opened,
            };
            *round = round.saturating_add(1);
            match opened {
                Ok(opened) => return Some(opened),
                Err(error) => tracing::warn!(queue = self.source.name(), "{error}; trying again"),
            }
        }
    }

    async fn open(&self, round: u32) -> Result<Opened, BrokerError> {
        let refused = |error: lapin::Error| BrokerError::of(&error);
        let connection = self.link.connection().await?;
        if round > 0 {
            topology::declare(&connection).await?;
        }
        let channel = connection.create_channel().await.map_err(refused)?;
        let queue = match &self.source {
            Source::Shared(queue) => (*queue).to_owned(),
            Source::Own(worker) => {
                let queue = control::queue_name(worker, round);
                control::declare_own(&channel, &queue).await?;
                queue
            }
        };
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await.map_err(refused)?;
        let options = BasicConsumeOptions::default();
        let stream = channel
            .basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default())
            .await
            .map_err(refused)?;
        if self.source.origin() == Origin::Own {
            self.inbox.put(Event::Connected);
        }
        Ok(Opened { connection, channel, stream, queue })
    }

    /// Passes deliveries on until the stop, `Ok`, or until something is wrong.
    async fn pass_on(&self, opened: &mut Opened) -> Result<(), BrokerError> {
        let broken = |why: &str| Err(BrokerError::Unreachable(why.to_owned()));
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                next = opened.stream.next() => match next {
                    Some(Ok(received)) => {
                        let origin = self.source.origin();
                        let delivery = Delivery::new(&opened.queue, received, origin, self.copier.clone());
                        self.inbox.put(Event::Message(Box::new(delivery)));
                    }
                    Some(Err(error)) => return Err(BrokerError::of(&error)),
                    None => return broken("the consumer was cancelled; its queue may have been deleted"),
                },
                () = sleep(WATCH) => {
                    if !opened.channel.status().connected() || !opened.connection.status().connected() {
                        return broken("the channel is closed");
                    }
                }
            }
        }
    }

    /// Gives back what nobody has taken, and keeps the channel open until all is settled.
    async fn wind_down(&self, mut opened: Opened) {
        if timeout(GIVE_BACK_WITHIN, self.give_back(&mut opened)).await.is_err() {
            tracing::debug!(queue = opened.queue, "not all was given back; it comes again when the channel ends");
        }
        self.inbox.end();
        self.closing.cancelled().await;
        close_channel(&opened.channel).await;
    }

    async fn give_back(&self, opened: &mut Opened) {
        let waiting = self.inbox.take_all();
        let cancelled = opened.channel.basic_cancel(opened.stream.tag(), BasicCancelOptions::default()).await;
        if let Err(error) = cancelled {
            tracing::debug!(queue = opened.queue, "cancelling: {error}");
            return;
        }
        for event in waiting {
            if let Event::Message(delivery) = event {
                // A lost claim comes again by itself.
                let _ = delivery.leave().await;
            }
        }
        // The end of a cancelled consumer comes behind all that it had received.
        while let Some(Ok(received)) = opened.stream.next().await {
            let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            if let Err(error) = received.acker.nack(options).await {
                tracing::debug!(queue = opened.queue, "giving back: {error}");
            }
        }
    }
}

impl Source {
    const fn origin(&self) -> Origin {
        match self {
            Self::Shared(_) => Origin::Shared,
            Self::Own(_) => Origin::Own,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Shared(queue) => queue,
            Self::Own(_) => topology::CONTROL,
        }
    }
}

impl<'a> Away<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
