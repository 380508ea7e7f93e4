//! Publishing: a connection of its own, a few lanes over it, and the supervisor that keeps both alive.

use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::Publish;
use crate::queue::Publishing;
use crate::queue::To;
use crate::queue::rabbitmq::address::Address;
use crate::queue::rabbitmq::error::BrokerError;
use crate::queue::rabbitmq::lane::Answer;
use crate::queue::rabbitmq::lane::Lane;
use crate::queue::rabbitmq::lane::Request;
use crate::queue::rabbitmq::lane::WINDOW;
use crate::queue::rabbitmq::lane::blocked;
use crate::queue::rabbitmq::link::Connectivity;
use crate::queue::rabbitmq::link::Pauses;
use crate::queue::rabbitmq::link::WATCH;
use crate::queue::rabbitmq::link::connect;
use crate::queue::rabbitmq::link::hang_up;
use crate::queue::rabbitmq::message::Parcel;
use crate::queue::rabbitmq::topology;
use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::Connection;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Channels that publish side by side.
const LANES: usize = 4;
/// A publish waits so long for a connection that was lost.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// And so long for its confirmation.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// The asking side: hands messages to the lanes in turn.
pub(super) struct Publisher {
    lanes: Vec<mpsc::Sender<Request>>,
    turn: AtomicUsize,
    stand: watch::Receiver<Connectivity>,
    missing: Arc<Notify>,
}

/// The working side: publishes over one connection after the other.
pub(super) struct Supervisor {
    address: Address,
    name: String,
    lanes: Vec<mpsc::Receiver<Request>>,
    stand: watch::Sender<Connectivity>,
    missing: Arc<Notify>,
    closing: CancellationToken,
}

/// Why a connection is not published over any more.
enum Ended {
    Closed,
    Lost,
}

/// Both sides. The working one ends on `closing`, once everything asked for is answered.
pub(super) fn open(address: Address, name: String, closing: CancellationToken) -> (Publisher, Supervisor) {
    let (senders, receivers) = (0..LANES).map(|_| mpsc::channel(WINDOW)).unzip();
    let (stand, seen) = watch::channel(Connectivity::Connected);
    let missing = Arc::new(Notify::new());
    let publisher = Publisher { lanes: senders, turn: AtomicUsize::new(0), stand: seen, missing: Arc::clone(&missing) };
    (publisher, Supervisor { address, name, lanes: receivers, stand, missing, closing })
}

/// Connects to publish, and declares the topology.
pub(super) async fn connect_and_declare(address: &Address, name: &str) -> Result<Connection, BrokerError> {
    let connection = connect(address, name).await?;
    topology::declare(&connection).await?;
    Ok(connection)
}

impl Publisher {
    /// How the publishing connection stands.
    pub(super) fn connectivity(&self) -> Connectivity {
        *self.stand.borrow()
    }

    async fn publish_soon(&self, message: Outgoing) -> Answer {
        let is_ours = is_declared_here(&message.to);
        let parcel = Parcel::pack(message).ok_or(NotPublished::Unroutable)?;
        match self.connectivity() {
            Connectivity::Connected => {}
            Connectivity::Reconnecting | Connectivity::Blocked => self.connected().await?,
        }
        let late = || Err(unconfirmed("it did not confirm in time"));
        let answer = timeout(CONFIRMED_WITHIN, self.hand_over(parcel)).await.unwrap_or_else(|_| late());
        if is_ours && answer == Err(NotPublished::Unroutable) {
            self.missing.notify_one();
        }
        answer
    }

    /// Waits for a connection that was lost; a blocked one is not waited for.
    async fn connected(&self) -> Answer {
        let mut stand = self.stand.clone();
        let settled = stand.wait_for(|stand| *stand != Connectivity::Reconnecting);
        match timeout(CONNECTED_WITHIN, settled).await {
            Ok(Ok(stand)) if *stand == Connectivity::Blocked => Err(blocked()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(unconfirmed("the connection was closed")),
            Err(_) => Err(unconfirmed("there is no connection")),
        }
    }

    async fn hand_over(&self, parcel: Parcel) -> Answer {
        let closed = || unconfirmed("the connection was closed");
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let lane = self.lanes.get(turn % LANES).ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        lane.send(Request { parcel, answer }).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(unconfirmed("the connection was lost")))
    }
}

impl Publish for Publisher {
    fn publish(&self, message: Outgoing) -> Publishing<'_> {
        Box::pin(self.publish_soon(message))
    }
}

impl Supervisor {
    /// Publishes over `connection`, and over a new one whenever it is lost.
    pub(super) async fn run(mut self, mut connection: Connection) {
        let mut pauses = Pauses::default();
        loop {
            self.stand.send_replace(Connectivity::Connected);
            match self.publish_over(&connection).await {
                Ended::Closed => return hang_up(&connection).await,
                Ended::Lost => {}
            }
            self.stand.send_replace(Connectivity::Reconnecting);
            tracing::warn!("the publishing connection was lost; connecting again");
            match self.connect_again(&mut pauses).await {
                Some(new) => connection = new,
                None => return,
            }
        }
    }

    async fn publish_over(&mut self, connection: &Connection) -> Ended {
        let (stand, closing) = (&self.stand, &self.closing);
        let lanes = self.lanes.iter_mut().map(|requests| {
            let lane = Lane { connection, requests, stand: stand.subscribe(), closing };
            lane.run()
        });
        tokio::select! {
            _ = join_all(lanes) => Ended::Closed,
            () = watch_over(connection, stand, &self.missing) => Ended::Lost,
        }
    }

    /// `None` when it is not needed any more.
    async fn connect_again(&self, pauses: &mut Pauses) -> Option<Connection> {
        let connecting = async {
            loop {
                pauses.pause().await;
                match connect_and_declare(&self.address, &self.name).await {
                    Ok(connection) => return connection,
                    Err(error) => tracing::warn!("{error}; trying again"),
                }
            }
        };
        tokio::select! {
            () = self.closing.cancelled() => None,
            connection = connecting => Some(connection),
        }
    }
}

/// Tells how the connection stands until it is lost, and declares again what was found missing.
async fn watch_over(connection: &Connection, stand: &watch::Sender<Connectivity>, missing: &Notify) {
    let mut events = pin!(connection.events_listener());
    while connection.status().connected() {
        tokio::select! {
            Some(_) = events.next() => {}
            () = missing.notified(), if !connection.status().blocked() => declare_again(connection).await,
            () = sleep(WATCH) => {}
        }
        let is_blocked = connection.status().blocked();
        let now = if is_blocked { Connectivity::Blocked } else { Connectivity::Connected };
        let has_changed = stand.send_if_modified(|stand| std::mem::replace(stand, now) != now);
        if has_changed && is_blocked {
            tracing::warn!("the broker is short of memory or disk: nothing can be published");
        } else if has_changed {
            tracing::info!("the broker takes messages in again");
        }
    }
}

async fn declare_again(connection: &Connection) {
    tracing::warn!("a queue of weir's is missing; declaring all again");
    if let Err(error) = topology::declare(connection).await {
        tracing::warn!("{error}");
    }
}

/// Unroutable here means that somebody deleted what weir declares and nobody else may do without.
fn is_declared_here(to: &To) -> bool {
    match to {
        To::Retry(..) => true,
        To::Queue(queue) => queue == topology::DEAD || queue == topology::SLICES,
        To::Jobs(_) | To::Events(_) | To::Control => false,
    }
}

fn unconfirmed(why: &str) -> NotPublished {
    NotPublished::Unconfirmed(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RetryAfter;
    use secrecy::SecretString;
    use tokio::time::Instant;

    fn message() -> Outgoing {
        Outgoing {
            to: To::Events("lead_result".to_owned()),
            kind: "weir.lead_result.v1".to_owned(),
            message_id: "e1".to_owned(),
            correlation_id: None,
            reply_to: None,
            headers: Vec::new(),
            body: b"{}".to_vec(),
        }
    }

    fn open_unconnected() -> (Publisher, Supervisor) {
        let address = Address::parse(&SecretString::from("amqp://127.0.0.1:1")).unwrap();
        open(address, "weir/publish/test".to_owned(), CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_broker_is_blocked_a_publish_fails_at_once() {
        let (publisher, supervisor) = open_unconnected();
        supervisor.stand.send_replace(Connectivity::Blocked);
        let start = Instant::now();
        assert_eq!(publisher.publish(message()).await, Err(blocked()));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_waited_for_and_a_confirmation_too_but_not_for_ever() {
        let (publisher, supervisor) = open_unconnected();
        supervisor.stand.send_replace(Connectivity::Reconnecting);
        let start = Instant::now();
        assert_eq!(publisher.publish(message()).await, Err(unconfirmed("there is no connection")));
        assert_eq!(start.elapsed().as_secs(), CONNECTED_WITHIN.as_secs());
        supervisor.stand.send_replace(Connectivity::Connected);
        assert_eq!(publisher.publish(message()).await, Err(unconfirmed("it did not confirm in time")));
        drop(supervisor);
        assert_eq!(publisher.publish(message()).await, Err(unconfirmed("the connection was closed")));
    }

    #[test]
    fn what_is_found_missing_is_weirs_own_queues_only() {
        assert!(is_declared_here(&To::Retry(RetryAfter::OneSecond, "weir.enrich".to_owned())));
        assert!(is_declared_here(&To::Queue("weir.dead".to_owned())));
        assert!(!is_declared_here(&To::Queue("replies".to_owned())));
        assert!(!is_declared_here(&To::Events("lead_result".to_owned())));
    }
}
