//! The server: routes each call to its vendor, and adds what vendors have in common: faults by
//! rate or by order, latency, counts and the record.

use crate::sandbox::Counts;
use crate::sandbox::Options;
use crate::sandbox::Vendor;
use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Purpose;
use crate::sandbox::anthropic::Anthropic;
use crate::sandbox::call::Call;
use crate::sandbox::call::Trouble;
use crate::sandbox::control::Fault;
use crate::sandbox::control::Order;
use crate::sandbox::counts::Tallies;
use crate::sandbox::findymail::Findymail;
use crate::sandbox::firecrawl::Firecrawl;
use crate::sandbox::hash::Hash;
use crate::sandbox::icypeas::Icypeas;
use crate::sandbox::leadmagic::LeadMagic;
use crate::sandbox::millionverifier::MillionVerifier;
use crate::sandbox::openai::OpenAi;
use crate::sandbox::prospeo::Prospeo;
use crate::sandbox::record::Record;
use crate::sandbox::world::World;
use crate::sandbox::zerobounce::ZeroBounce;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::response::Response;
use axum::serve::ListenerExt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The longest request body that is read; a model's prompt with some pages is about 100 KB.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The simulated providers behind one port.
pub struct Sandbox {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Reads the counts of a sandbox that is being served.
#[derive(Clone)]
pub struct Meter(Arc<Shared>);

struct Shared {
    options: Options,
    world: World,
    desks: [Desk; 9],
    record: Option<Record>,
    calls: AtomicU64,
    closing: CancellationToken,
}

/// One vendor and its present state.
struct Desk {
    vendor: Box<dyn Vendor>,
    tallies: Tallies,
    fault: RwLock<Option<Fault>>,
}

impl Sandbox {
    /// Listens on `listen`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the port or the record's file cannot be had.
    pub async fn bind(listen: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let desks = [
            Desk::new(LeadMagic),
            Desk::new(Prospeo),
            Desk::new(Findymail),
            Desk::new(Icypeas::new(options.latency, options.keep_limits)),
            Desk::new(ZeroBounce),
            Desk::new(MillionVerifier),
            Desk::new(Firecrawl),
            Desk::new(OpenAi),
            Desk::new(Anthropic),
        ];
        let shared = Shared {
            world: World::new(options.seed, options.find_rate),
            desks,
            record: options.record.as_deref().map(Record::open).transpose()?,
            calls: AtomicU64::new(0),
            closing: CancellationToken::new(),
            options,
        };
        Ok(Self { listener, address, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to configure as a provider's `base_url`, or `None` for one that is not simulated.
    pub fn base_url(&self, kind: &str) -> Option<String> {
        let desk = self.shared.desks.iter().find(|desk| desk.vendor.kind() == kind)?;
        Some(format!("http://{}{}", self.address, desk.vendor.base_path()))
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// A way to read the counts while [`Sandbox::serve`] runs.
    pub fn meter(&self) -> Meter {
        Meter(Arc::clone(&self.shared))
    }

    /// Answers calls until `shutdown`, then finishes those under way.
    ///
    /// # Errors
    /// None that is known; a failed accept is tried again.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let closing = self.shared.closing.clone();
        let listener = self.listener.tap_io(|socket| {
            // Without it small answers may wait for the client's delayed acknowledgement.
            let _ = socket.set_nodelay(true);
        });
        axum::serve(listener, respond.with_state(self.shared).into_make_service())
            .with_graceful_shutdown(async move {
                shutdown.await;
                closing.cancel();
            })
            .await
    }
}

impl Meter {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}

async fn respond(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return Answer::page(Purpose::Nothing, 413).into_response();
    };
    let path = parts.uri.path();
    if let Some(control) = path.strip_prefix("/_sandbox/") {
        return shared.control(control, &body).into_response();
    }
    let Some((desk, path)) = shared.desk_of(path) else {
        return Answer::page(Purpose::Nothing, 404).into_response();
    };
    let fault = desk.fault();
    let answer = shared.answer(desk, fault, &parts, path, &body);
    if matches!(fault, Some(Fault::Hang)) {
        shared.closing.cancelled().await;
    }
    if answer.purpose.takes_time() && !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    match fault {
        Some(Fault::Cut) => answer.into_cut_response(),
        Some(Fault::Page(_) | Fault::Hang | Fault::Throttle(_)) | None => answer.into_response(),
    }
}

impl Shared {
    /// The vendor under whose base path `path` lies, and the rest of it.
    fn desk_of<'p>(&self, path: &'p str) -> Option<(&Desk, &'p str)> {
        let below = |start: &str| path.strip_prefix(start).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        self.desks.iter().find_map(|desk| {
            let rest = below(desk.vendor.base_path()).or_else(|| below(desk.vendor.clients_path()?))?;
            Some((desk, rest))
        })
    }

    fn answer(&self, desk: &Desk, fault: Option<Fault>, parts: &Parts, path: &str, body: &[u8]) -> Answer {
        let seq = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut call = Call::new(parts, path, body);
        call.key = desk.vendor.key(&call);
        call.trouble = fault
            .and_then(|fault| fault.trouble(Instant::now()))
            .or_else(|| Trouble::of_key(&call.key))
            .or_else(|| self.trouble_by_chance(seq));
        let mut answer = desk.vendor.answer(&call, &self.world);
        if let Some(Trouble::Throttled(Some(seconds))) = call.trouble {
            answer = answer.with_header("retry-after", seconds);
        }
        if matches!(fault, Some(Fault::Cut)) {
            answer.is_answer = false;
        }
        desk.tallies.add(&answer);
        if let Some(record) = &self.record
            && let Err(error) = record.write(seq, desk.vendor.kind(), &call.key, &answer)
        {
            tracing::error!(%error, "sandbox: a call could not be recorded");
        }
        answer
    }

    /// By the configured rates; which calls they hit depends on the seed and the call's number only.
    fn trouble_by_chance(&self, seq: u64) -> Option<Trouble> {
        let Options { seed, fail, throttle, .. } = self.options;
        if fail + throttle <= 0.0 {
            return None;
        }
        let chance = Hash::new(seed).number(seq).fraction();
        if chance < fail {
            Some(Trouble::Failed)
        } else {
            (chance < fail + throttle).then_some(Trouble::Throttled(None))
        }
    }

    fn control(&self, path: &str, body: &[u8]) -> Answer {
        match path {
            "health" => Answer::json(Purpose::Nothing, r#"{"ok":true}"#),
            "counts" => Answer::json(Purpose::Nothing, serde_json::to_string(&self.counts()).unwrap_or_default()),
            "faults" => {
                let order = serde_json::from_slice::<Order>(body).unwrap_or_default();
                match self.desks.iter().find(|desk| desk.vendor.kind() == order.provider) {
                    Some(desk) => {
                        desk.set_fault(order.fault(Instant::now()));
                        Answer::json(Purpose::Nothing, r#"{"ok":true}"#)
                    }
                    None => Answer::json(Purpose::Nothing, r#"{"error":"no such provider, or no such fault"}"#)
                        .with_status(400),
                }
            }
            _ => Answer::page(Purpose::Nothing, 404),
        }
    }

    fn counts(&self) -> Counts {
        let snapshots = self.desks.iter().map(|desk| (desk.vendor.kind(), desk.tallies.snapshot()));
        Counts(snapshots.filter(|(_, operations)| !operations.is_empty()).collect())
    }
}

impl Desk {
    fn new(vendor: impl Vendor + 'static) -> Self {
        Self { vendor: Box::new(vendor), tallies: Tallies::default(), fault: RwLock::new(None) }
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
