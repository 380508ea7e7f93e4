//! A worker process from its start to its end.

use crate::clock;
use crate::config::Config;
use crate::config::Environment;
use crate::crew::control::Control;
use crate::crew::gauges::show_configuration;
use crate::crew::intake::Intake;
use crate::crew::leases::LEASE;
use crate::crew::leases::Leases;
use crate::crew::presence::Presence;
use crate::crew::pulse::Pulses;
use crate::crew::readiness::Ready;
use crate::crew::recharges::Recharges;
use crate::crew::relay::Relay;
use crate::crew::reload::Reloads;
use crate::crew::resumes::Resumes;
use crate::crew::sources::Sources;
use crate::crew::sweep::Sweep;
use crate::crew::teller::Teller;
use crate::domain::WorkerId;
use crate::http::Client;
use crate::http::Gates;
use crate::http::StartError;
use crate::jobs::Claimant;
use crate::jobs::Tenure;
use crate::metrics;
use crate::queue::Queue;
use crate::queue::rabbitmq::Broker;
use crate::queue::rabbitmq::BrokerError;
use crate::queue::rabbitmq::JobQueue;
use crate::store::Store;
use crate::worker;
use crate::worker::Engine;
use crate::worker::Keyring;
use crate::worker::Overrides;
use crate::worker::Parts;
use crate::worker::Settings;
use crate::worker::Tasks;
use crate::worker::WorkError;
use crate::worker::Works;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio::time::timeout;
use uuid::Uuid;

/// Between two tries of a broker that does not answer at the start.
const BROKER_PAUSE: Duration = Duration::from_secs(2);
/// For giving up what is in hand, and for telling the others that this worker leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// For settling what is to be settled, and for hanging up.
const HANG_UP_WITHIN: Duration = Duration::from_secs(4);

/// What a worker starts with.
pub struct Crew {
    /// As it was read from the files.
    pub config: Config,
    /// The folder that was named, if one was.
    pub folder: Option<PathBuf>,
    /// For secrets and overrides, also at reloads.
    pub environment: Environment,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Opens own keys.
    pub keyring: Keyring,
}

/// Why a worker does not start, or ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum CrewError {
    /// The broker cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The port of the metrics is taken.
    #[error("worker.metrics_listen: {address} cannot be listened on: {why}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] StartError),
    /// The system tells of no signals.
    #[error("signals cannot be heard: {0}")]
    Signals(std::io::Error),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] crate::ledger::LedgerError),
    /// The work broke.
    #[error(transparent)]
    Work(#[from] WorkError),
}

impl CrewError {
    /// Can the same start succeed later, with everything as it is?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Broker(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Listen { .. } | Self::Http(_) | Self::Signals(_) | Self::Work(_) => false,
        }
    }
}

/// Works until it is told to stop, then drains.
///
/// # Errors
/// What the worker cannot start with. Later troubles of store and broker are waited out.
pub async fn run(crew: Crew) -> Result<(), CrewError> {
    let mut signals = Signals::hear()?;
    let door = open_door(crew.config.boot.metrics_listen).await?;
    let tasks = Tasks::default();
    let worker = WorkerId::new(format!("worker-{}", Uuid::now_v7().simple()));
    let drain = crew.config.boot.drain;
    let wires = Tasks::default();
    let Some(broker) = reach_broker(&crew, &worker, &tasks, &wires, &mut signals).await? else { return Ok(()) };
    let started = Station::build(crew, worker, broker, &tasks, &wires).await?;
    if let Some((listener, exposition)) = door {
        let ready = Arc::new(Ready::new(started.broker.clone(), tasks.clone()));
        // Health and metrics can be asked for while the worker drains.
        let stop = wires.token().cancelled_owned();
        tasks.spawn(Arc::clone(&ready).watch());
        wires.spawn(async move { drop(metrics::serve(listener, exposition, ready, stop).await) });
    }
    started.work(&tasks, &wires, signals, drain).await
}

type Door = Option<(TcpListener, metrics::Exposition)>;

async fn open_door(listen: Option<SocketAddr>) -> Result<Door, CrewError> {
    let Some(address) = listen else { return Ok(None) };
    let listener = metrics::bind(address).await.map_err(|why| CrewError::Listen { address, why })?;
    match metrics::install() {
        Ok(exposition) => Ok(Some((listener, exposition))),
        Err(error) => {
            tracing::warn!("{error}: metrics are not served");
            Ok(None)
        }
    }
}

/// Connects; a broker that does not answer yet is waited for, until a stop.
async fn reach_broker(
    crew: &Crew,
    worker: &WorkerId,
    tasks: &Tasks,
    wires: &Tasks,
    signals: &mut Signals,
) -> Result<Option<Broker>, CrewError> {
    let mut told = false;
    loop {
        match Broker::connect(&crew.config.boot.broker_url, worker.as_str(), tasks.token()).await {
            Ok((broker, driver)) => {
                wires.spawn(driver);
                return Ok(Some(broker));
            }
            Err(error) if error.is_transient() => {
                if !told {
                    tracing::warn!("{error}; waiting for it");
                    told = true;
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            heard = signals.next() => match heard {
                Heard::Stop => return Ok(None),
                // The files were read a moment ago.
                Heard::Reload => {}
            },
            () = sleep(BROKER_PAUSE) => {}
        }
    }
}

/// Everything a worker process consists of, wired.
struct Station {
    broker: Broker,
    engine: Arc<Engine>,
    slices: Arc<dyn Queue>,
    presence: Arc<Presence>,
    reloads: Arc<Reloads>,
}

impl Station {
    async fn build(
        crew: Crew,
        worker: WorkerId,
        broker: Broker,
        tasks: &Tasks,
        wires: &Tasks,
    ) -> Result<Self, CrewError> {
        let Crew { config, folder, environment, store, keyring } = crew;
        let config = Reloads::starting(&*store, config, &environment).await?;
        let publisher = broker.publisher();
        let teller = Teller::new(Arc::clone(&store), Arc::clone(&publisher), tasks.clone());
        let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let settings = Settings {
            leads_in_flight: size(config.live.leads_in_flight),
            prefetch: size(config.boot.broker_prefetch),
            slices_per_job: config.boot.slices_per_job,
            lead_deadline: config.boot.lead_deadline,
        };
        let engine = Arc::new(Engine::new(Parts {
            store: Arc::clone(&store),
            settings,
            tasks: tasks.clone(),
            gates: Gates::default(),
            client: Client::new()?,
            works: Works::new(Arc::clone(&config.live), keyring.watched(), Overrides::default()),
            claimant: Claimant { worker: worker.clone(), tenure: Tenure::Lease(LEASE) },
            announce: Some(Arc::new(teller)),
        }));
        show_configuration(&config.live);
        tracing::info!(worker.id = %worker, config.version = %config.live.version, "the worker starts, by {}", config.origin);

        let prefetch = u16::try_from(config.boot.broker_prefetch).unwrap_or(u16::MAX);
        let (slices, driver) = broker.slices(prefetch);
        wires.spawn(driver);
        let presence = Arc::new(Presence::new(Arc::clone(&engine), Arc::clone(&publisher)));
        let (wake, paid) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slice_size = config.boot.slice_size;
        let sources = Sources::new(config.boot.sources.clone())?;
        let reloads = Arc::new(Reloads::new(Arc::clone(&engine), Arc::clone(&publisher), config, folder, environment));

        let (events, driver) = broker.control();
        wires.spawn(driver);
        let hearing = Arc::clone(&reloads).hear(events, Arc::clone(&presence), Arc::clone(&wake));
        tasks.spawn(hearing);
        presence.settle_in().await;

        let intake = Arc::new(Intake::new(Arc::clone(&engine), Arc::clone(&slices), sources, slice_size));
        for queue in [JobQueue::Enrich, JobQueue::Copy] {
            let (jobs, driver) = broker.consume(queue, 1);
            wires.spawn(driver);
            tasks.spawn(Arc::clone(&intake).run(jobs));
        }
        let (controls, driver) = broker.consume(JobQueue::JobControl, 1);
        wires.spawn(driver);
        tasks.spawn(Control::new(Arc::clone(&engine), Arc::clone(&slices), Arc::clone(&paid)).run(controls));

        tasks.spawn(Arc::clone(&presence).run());
        tasks.spawn(Leases::new(Arc::clone(&engine)).run());
        tasks.spawn(Relay::new(store, publisher, tasks.clone()).run());
        tasks.spawn(Sweep::new(Arc::clone(&engine), Arc::clone(&slices)).run());
        tasks.spawn(Pulses::new(Arc::clone(&engine), Arc::clone(&reloads), wake).run());
        tasks.spawn(Resumes::new(Arc::clone(&engine), Arc::clone(&slices), paid).run());
        tasks.spawn(Recharges::new(Arc::clone(&engine)).run());
        Ok(Self { broker, engine, slices, presence, reloads })
    }

    /// Works until a stop, then gives the calls in flight `drain` to end.
    async fn work(self, tasks: &Tasks, wires: &Tasks, mut signals: Signals, drain: Duration) -> Result<(), CrewError> {
        let Self { broker, engine, slices, presence: _presence, reloads } = self;
        let worker = engine.claimant.worker.clone();
        let mut working = Box::pin(worker::work(Arc::clone(&engine), slices));
        let worked = loop {
            tokio::select! {
                worked = &mut working => break Some(worked),
                heard = signals.next() => match heard {
                    // Beside the work: the store may take its time, and a stop must be heard.
                    Heard::Reload => {
                        let (reloads, request) = (Arc::clone(&reloads), format!("sighup-{worker}-{}", clock::wall_ms()));
                        tasks.spawn(async move { reloads.reload_files(&request).await });
                    }
                    Heard::Stop => {
                        tracing::info!("stopping: calls in flight are settled, no new one is made");
                        tasks.stop();
                        break tokio::select! {
                            worked = timeout(drain, &mut working) => worked.ok(),
                            // Asked twice: at once.
                            () = signals.stop() => None,
                        };
                    }
                },
            }
        };
        // Whatever is left of it is cut off, so that nobody calls for a slice that is given up.
        drop(working);
        if worked.is_none() {
            tracing::warn!("calls are left open: the next owner of their leads goes on with them");
        }
        leave(&engine, tasks).await;
        hang_up(&broker, wires).await;
        worked.unwrap_or(Ok(())).map_err(CrewError::from)
    }
}

/// Gives up what is still in hand, and lets everything but the wires end.
async fn leave(engine: &Engine, tasks: &Tasks) {
    // With nothing in hand nobody renews leases any more.
    let leaving = async { tokio::join!(engine.release_held(), tasks.drain()) };
    if timeout(LEAVE_WITHIN, leaving).await.is_err() {
        tracing::debug!("not everything ended in time");
    }
}

/// Ends the connections, whatever has not ended before.
async fn hang_up(broker: &Broker, wires: &Tasks) {
    let hanging_up = async {
        broker.close().await;
        wires.drain().await;
    };
    if timeout(HANG_UP_WITHIN, hanging_up).await.is_err() {
        tracing::debug!("the broker did not hear everything in time");
    }
}

/// The signals that a worker obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

/// What a signal asks for.
enum Heard {
    Stop,
    Reload,
}

impl Signals {
    fn hear() -> Result<Self, CrewError> {
        let listen = |kind| signal(kind).map_err(CrewError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            reload: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::Stop,
            _ = self.interrupt.recv() => Heard::Stop,
            _ = self.reload.recv() => Heard::Reload,
        }
    }

    async fn stop(&mut self) {
        while let Heard::Reload = self.next().await {}
    }
}
