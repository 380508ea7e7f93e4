//! The broker as the worker knows it: one connection to publish, one to consume, and their drivers.

use crate::queue::Publish;
use crate::queue::Queue;
use crate::queue::rabbitmq::address::Address;
use crate::queue::rabbitmq::consumer::Consumer;
use crate::queue::rabbitmq::consumer::Source;
use crate::queue::rabbitmq::consumer::Subscription;
use crate::queue::rabbitmq::control;
use crate::queue::rabbitmq::control::ControlConsumer;
use crate::queue::rabbitmq::delivery::Copier;
use crate::queue::rabbitmq::error::BrokerError;
use crate::queue::rabbitmq::link::Connectivity;
use crate::queue::rabbitmq::link::Link;
use crate::queue::rabbitmq::publisher;
use crate::queue::rabbitmq::publisher::Publisher;
use crate::queue::rabbitmq::slices;
use crate::queue::rabbitmq::topology::JobQueue;
use crate::queue::rabbitmq::topology::SLICES;
use secrecy::SecretString;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// For what is under way at the end; what is not done then comes again, or is published again.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// It becomes part of a queue's name, which has 255 bytes at most.
const LONGEST_WORKER: usize = 200;

/// What must run beside the rest for a part of the broker to work. It ends after [`Broker::close`],
/// not at the stop: what was received can still be settled, and results published.
pub type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the connections stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The publishing one.
    pub publishing: Connectivity,
    /// The consuming one: `Reconnecting` while any consumer does not consume; never `Blocked`.
    pub consuming: Connectivity,
}

/// A worker's access to RabbitMQ.
#[derive(Clone)]
pub struct Broker(Arc<Parts>);

struct Parts {
    worker: String,
    publisher: Arc<Publisher>,
    publishing: Drivers,
    link: Arc<Link>,
    consuming: Drivers,
    away: Arc<AtomicUsize>,
    stop: CancellationToken,
}

/// The drivers of one connection: asked to close, waited for, and left in the end.
#[derive(Default)]
struct Drivers {
    closing: CancellationToken,
    abandoned: CancellationToken,
    running: TaskTracker,
}

impl Broker {
    /// Connects once and declares the topology. `worker` names the connections and the worker's own
    /// queue. Nothing is consumed any more after `stop`.
    ///
    /// # Errors
    /// All but `Unreachable` mean that the configuration, or the broker's, must be put right.
    pub async fn connect(
        url: &SecretString,
        worker: &str,
        stop: CancellationToken,
    ) -> Result<(Self, Driver), BrokerError> {
        if worker.len() > LONGEST_WORKER {
            return Err(BrokerError::BadAddress(format!("the worker's id has more than {LONGEST_WORKER} bytes")));
        }
        let address = Address::parse(url)?;
        let name = format!("weir/publish/{worker}");
        let connection = publisher::connect_and_declare(&address, &name).await?;
        let publishing = Drivers::default();
        let link = Arc::new(Link::new(address.clone(), format!("weir/consume/{worker}")));
        let (publisher, supervisor) = publisher::open(address, name, publishing.closing.clone());
        let driver = publishing.track(supervisor.run(connection));
        let parts = Parts {
            worker: worker.to_owned(),
            publisher: Arc::new(publisher),
            publishing,
            link,
            consuming: Drivers::default(),
            away: Arc::default(),
            stop: stop.child_token(),
        };
        Ok((Self(Arc::new(parts)), driver))
    }

    /// Where messages go out. Works also after the stop, until the broker is closed.
    pub fn publisher(&self) -> Arc<dyn Publish> {
        Arc::<Publisher>::clone(&self.0.publisher)
    }

    /// For `/readyz` and a gauge.
    pub fn health(&self) -> Health {
        let is_away = self.0.away.load(Ordering::Relaxed) > 0;
        Health {
            publishing: self.0.publisher.connectivity(),
            consuming: if is_away { Connectivity::Reconnecting } else { Connectivity::Connected },
        }
    }

    /// Consumes a queue of jobs, `prefetch` unsettled deliveries at most.
    pub fn consume(&self, queue: JobQueue, prefetch: u16) -> (Consumer, Driver) {
        let subscription = self.subscribe(Source::Shared(queue.name()), prefetch, self.0.consuming.closing.clone());
        let consumer = Consumer::new(Arc::clone(&subscription.inbox));
        (consumer, self.0.consuming.track(subscription.run()))
    }

    /// Consumes what every worker hears, from a queue of this worker's own.
    pub fn control(&self) -> (ControlConsumer, Driver) {
        let source = Source::Own(self.0.worker.clone());
        let subscription = self.subscribe(source, control::PREFETCH, self.0.consuming.closing.clone());
        let consumer = ControlConsumer::new(Arc::clone(&subscription.inbox));
        (consumer, self.0.consuming.track(subscription.run()))
    }

    /// The queue of slices, `prefetch` of them unsettled at most.
    pub fn slices(&self, prefetch: u16) -> (Arc<dyn Queue>, Driver) {
        // Its channel stays open until the clerk has settled everything.
        let subscription = self.subscribe(Source::Shared(SLICES), prefetch, CancellationToken::new());
        let (slices, clerk) = slices::open(Arc::clone(&subscription.inbox), self.copier());
        let closing = self.0.consuming.closing.clone();
        (Arc::new(slices), self.0.consuming.track(slices::drive(subscription, clerk, closing)))
    }

    /// Finishes what is under way (settling first, then publishing), hangs up, and lets the drivers
    /// end. Takes 5 s at most. To be called once nothing is settled or published any more.
    pub async fn close(&self) {
        let Parts { publishing, link, consuming, stop, .. } = &*self.0;
        stop.cancel();
        let finish = async {
            consuming.close().await;
            link.close().await;
            publishing.close().await;
        };
        if timeout(CLOSE_WITHIN, finish).await.is_err() {
            tracing::warn!("the broker did not take everything in time; it comes again");
        }
        consuming.abandoned.cancel();
        publishing.abandoned.cancel();
    }

    fn subscribe(&self, source: Source, prefetch: u16, closing: CancellationToken) -> Subscription {
        Subscription {
            link: Arc::clone(&self.0.link),
            source,
            prefetch,
            inbox: Arc::default(),
            copier: self.copier(),
            away: Arc::clone(&self.0.away),
            stop: self.0.stop.clone(),
            closing,
        }
    }

    fn copier(&self) -> Copier {
        Copier { publisher: self.publisher(), stop: self.0.stop.clone() }
    }
}

impl Drivers {
    fn track(&self, driver: impl Future<Output = ()> + Send + 'static) -> Driver {
        let abandoned = self.abandoned.clone();
        Box::pin(self.running.track_future(async move {
            tokio::select! {
                () = driver => {}
                () = abandoned.cancelled() => {}
            }
        }))
    }

    async fn close(&self) {
        self.closing.cancel();
        self.running.close();
        self.running.wait().await;
    }
}
