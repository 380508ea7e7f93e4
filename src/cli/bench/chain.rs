//! The whole chain: a made-up list is stored and worked as `weir enrich` does it.

use crate::cli::bench::books::check_books;
use crate::cli::bench::load::FUNDED;
use crate::cli::bench::process::Process;
use crate::cli::bench::process::Spent;
use crate::cli::bench::process::Stopwatch;
use crate::cli::bench::sandbox_process::SandboxProcess;
use crate::config::Config;
use crate::config::Live;
use crate::config::Waterfall;
use crate::domain::Consumed;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::ProviderName;
use crate::domain::Status;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::domain::WorkspaceId;
use crate::http::Gates;
use crate::jobs::NewJob;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::lists;
use crate::lists::Input;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::Scan;
use crate::queue::MemoryQueue;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use crate::store::Nature;
use crate::store::SqliteStore;
use crate::store::Store;
use crate::waterfall::Risky;
use crate::worker;
use crate::worker::Engine;
use crate::worker::Keyring;
use crate::worker::Overrides;
use crate::worker::Parts;
use crate::worker::Routes;
use crate::worker::Settings;
use crate::worker::Tasks;
use crate::worker::Works;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use rust_decimal::Decimal;
use secrecy::SecretString;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// The finder and the verifier that every lead calls, once each.
pub(super) const FINDER: &str = "leadmagic";
pub(super) const VERIFIER: &str = "zerobounce";

/// The shipped waterfall's cap of a lead: it costs a look-up for every second call.
pub(super) const LEAD_CAP: Usd = Usd::from_nanos(500_000_000);

/// Everything that is the same for all runs.
pub(super) struct Chain {
    leads: u32,
    input: Input,
    scan: Scan,
    config: Config,
    /// With the sandbox in the providers' place.
    live: Live,
    settings: Settings,
}

/// What one run took.
pub(super) struct Worked {
    /// From the first claim of a slice to the last lead's end.
    pub(super) spent: Spent,
    /// The most memory of this process so far, in KiB.
    pub(super) peak_kib: u64,
}

impl Chain {
    /// Writes a list of `leads` to `directory`, and looks it through.
    pub(super) fn prepare(
        directory: &Path,
        leads: u32,
        in_flight: u32,
        config: Config,
        sandbox: &SandboxProcess,
    ) -> Result<Self> {
        let list = directory.join("leads.csv");
        write_list(&list, leads).context("the list cannot be written")?;
        let input = Input::file(&list)?;
        let scan = lists::scan(&input, None, &Mapping::default(), Need::Lookup)?;
        let live = into_sandbox(&config.live, in_flight, sandbox)?;
        let settings = Settings {
            leads_in_flight: usize::try_from(in_flight)?,
            prefetch: usize::try_from(config.boot.broker_prefetch)?,
            slices_per_job: config.boot.slices_per_job,
            lead_deadline: config.boot.lead_deadline,
        };
        Ok(Self { leads, input, scan, config, live, settings })
    }

    /// Stores the list in `directory`, works it, and checks that the money adds up.
    pub(super) async fn run(&self, directory: &Path, sandbox: Process) -> Result<Worked> {
        let tasks = Tasks::default();
        let worked = self.work(directory, sandbox, &tasks).await;
        tasks.drain().await;
        worked
    }

    async fn work(&self, directory: &Path, sandbox: Process, tasks: &Tasks) -> Result<Worked> {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&directory.join("weir.db"), Nature::Sandbox)?);
        let job = worker::take_in(&*store, self.new_job(), &self.input, &self.scan).await?.job;
        store.set_budget(job.key, Usd::from_nanos(FUNDED)).await?;

        let price = price_of_lead(&Routes::with_house_keys(&self.live, &waterfall(), &Gates::default()))?;
        let works = Works::new(Arc::new(self.live.clone()), Keyring::new(None), Overrides::default());
        let engine = Arc::new(Engine::new(Parts::embedded(store, self.settings, tasks.clone(), works)?));
        let queue = MemoryQueue::default();
        for slice in engine.store.open_slices(job.key).await? {
            queue.publish(SliceMessage { job: job.key, slice });
        }

        let stopwatch = Stopwatch::start(Some(sandbox))?;
        worker::work(Arc::clone(&engine), Arc::new(queue)).await?;
        let worked = Worked { spent: stopwatch.stop()?, peak_kib: Process::own().peak_kib()? };
        self.check(&engine, &job, price).await?;
        Ok(worked)
    }

    /// Every lead is verified after two calls, each paid once.
    async fn check(&self, engine: &Engine, job: &StoredJob, price: i64) -> Result<()> {
        let leads = u64::from(self.leads);
        let progress = engine.store.progress(job.key).await?;
        ensure!(progress.by_status == [(Status::Verified, leads)], "not all are verified: {:?}", progress.by_status);
        let calls: u64 = engine.meter.totals().by_step.values().map(|step| step.called).sum();
        ensure!(calls == 2 * leads, "{calls} calls were made for {leads} leads");
        let workspaces = std::slice::from_ref(&job.workspace);
        check_books(&*engine.store, workspaces, price * i64::from(self.leads)).await
    }

    fn new_job(&self) -> NewJob {
        NewJob {
            id: JobId::new("bench"),
            workspace: WorkspaceId::new("bench"),
            work: Work::Enrich(waterfall().name),
            content: Fingerprint::of("bench", [None]),
            slice_size: self.config.boot.slice_size,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        }
    }
}

fn waterfall() -> Waterfall {
    Waterfall {
        name: WaterfallName::new("bench"),
        find: vec![ProviderName::new(FINDER)],
        verify: vec![ProviderName::new(VERIFIER)],
        risky: Risky::KeepLooking,
        trust_finders: false,
        max_spend_per_lead: Some(LEAD_CAP),
    }
}

/// The sandbox knows everybody at `*.hit.test`, and says that the address is valid.
pub(super) fn write_list(path: &Path, leads: u32) -> io::Result<()> {
    let mut list = BufWriter::new(File::create(path)?);
    writeln!(list, "first_name,last_name,domain")?;
    for n in 1..=leads {
        writeln!(list, "Ada,Sample,c{n}.hit.test")?;
    }
    list.flush()
}

/// The two providers in the sandbox, each open to as many calls as there are leads in flight.
fn into_sandbox(live: &Live, in_flight: u32, sandbox: &SandboxProcess) -> Result<Live> {
    let mut live = live.clone();
    for name in [FINDER, VERIFIER] {
        let settings = live.providers.get_mut(&ProviderName::new(name));
        let settings = settings.with_context(|| format!("the configuration has no [providers.{name}]"))?;
        settings.base_url = sandbox.base_url(&settings.kind)?.to_owned();
        settings.house_key = Some(SecretString::from(format!("bench-{name}")));
        settings.requests_per_second = None;
        settings.max_in_flight = in_flight;
    }
    live.waterfalls.insert(waterfall().name, waterfall());
    Ok(live)
}

/// Both calls of a lead, at one credit each, in nano-dollars.
fn price_of_lead(routes: &Routes) -> Result<i64> {
    if let Some((provider, why)) = routes.left_out.first() {
        bail!("{provider} cannot be used: {why}");
    }
    let mut price = 0;
    for route in routes.finders().chain(routes.verifiers()) {
        price += route.price.of(Consumed::Credits(Decimal::ONE))?.nanos();
    }
    Ok(price)
}
