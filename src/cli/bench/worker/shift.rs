//! A shift: workers, beside a sandbox of their own, and the jobs that they are given. What a shift has
//! done counts only if all of it is exact.

use crate::cli::bench::books::check_books;
use crate::cli::bench::sandbox_process::SandboxProcess;
use crate::cli::bench::worker::case::Case;
use crate::cli::bench::worker::configuration;
use crate::cli::bench::worker::configuration::PRICE_OF_LEAD;
use crate::cli::bench::worker::made_up::MadeUpJob;
use crate::cli::bench::worker::processes::Workers;
use crate::cli::bench::worker::results::Told;
use crate::cli::bench::worker::site::Site;
use crate::domain::WorkspaceId;
use crate::queue::Outgoing;
use anyhow::Result;
use anyhow::ensure;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio::time::sleep;

/// Between two looks at `weir.results`: rates are taken from the results' own times.
const PAUSE: Duration = Duration::from_millis(50);
/// Without a new result for so long, something has gone wrong.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Workers at work.
pub(super) struct Shift<'s> {
    site: &'s Site,
    folder: TempDir,
    sandbox: SandboxProcess,
    workers: Workers,
    jobs: Vec<MadeUpJob>,
}

/// CPU time so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    /// Of all workers.
    pub(super) workers: Duration,
    pub(super) sandbox: Duration,
}

/// What a shift has done.
pub(super) struct Done {
    /// Of every lead, in no order.
    pub(super) results: Vec<Told>,
    /// The most memory that any worker has had, in KiB.
    pub(super) peak_kib: u64,
}

impl<'s> Shift<'s> {
    /// Starts sandbox and workers; they wait for jobs when this returns.
    pub(super) async fn begin(site: &'s Site, case: &Case) -> Result<Self> {
        let folder = site.folder()?;
        let sandbox = SandboxProcess::start(case.latency_ms)?;
        configuration::write(folder.path(), &sandbox, case)?;
        site.calm().await?;
        let mut workers = Workers::start(case.workers, folder.path(), &site.store_url, &site.broker_url)?;
        workers.wait_ready(&*site.store).await?;
        Ok(Self { site, folder, sandbox, workers, jobs: Vec::new() })
    }

    /// Makes up a job with a full wallet, which is then to be published.
    pub(super) async fn add_job(&mut self, leads: u32) -> Result<(MadeUpJob, Outgoing)> {
        let job = MadeUpJob::new(leads);
        self.site.fund(&job).await?;
        let message = job.message(self.folder.path())?;
        self.jobs.push(job.clone());
        Ok((job, message))
    }

    /// How many messages will lie in `weir.results`: one for each lead and one for each job.
    pub(super) fn expected(&self) -> u64 {
        self.jobs.iter().map(|job| u64::from(job.leads) + 1).sum()
    }

    /// Waits until so many lie there; how many there are then.
    pub(super) async fn wait_for(&mut self, messages: u64) -> Result<u64> {
        let mut seen = 0;
        let mut moved = Instant::now();
        loop {
            let count = self.site.results.count().await?;
            if count >= messages {
                return Ok(count);
            }
            if count > seen {
                seen = count;
                moved = Instant::now();
            }
            ensure!(moved.elapsed() < STALLED_AFTER, "{count} of {messages} results have come, and no more do");
            self.workers.require_alive()?;
            sleep(PAUSE).await;
        }
    }

    pub(super) fn cpu(&self) -> Result<Cpu> {
        Ok(Cpu { workers: self.workers.cpu()?, sandbox: self.sandbox.process().cpu()? })
    }

    /// Waits for all that was given, stops the workers, and checks what they did.
    pub(super) async fn end(mut self) -> Result<Done> {
        let expected = self.expected();
        self.wait_for(expected).await?;
        let peak_kib = self.workers.peak_kib()?;
        let Self { site, folder: _folder, sandbox, workers, jobs } = self;
        workers.stop().await?;

        let drained = site.results.drain(expected).await?;
        let leads: u64 = jobs.iter().map(|job| u64::from(job.leads)).sum();
        let told = u64::try_from(drained.results.len())?;
        ensure!(told == leads, "{told} leads were told of, {leads} were given");
        let completed = drained.completed;
        ensure!(completed == u64::try_from(jobs.len())?, "{completed} of {} jobs are completed", jobs.len());
        let calls = sandbox.calls().await?;
        ensure!(calls == 2 * leads, "{calls} calls were made for {leads} leads");
        let workspaces: Vec<WorkspaceId> = jobs.into_iter().map(|job| job.workspace).collect();
        check_books(&*site.store, &workspaces, PRICE_OF_LEAD * i64::try_from(leads)?).await?;
        Ok(Done { results: drained.results, peak_kib })
    }
}

impl Cpu {
    /// What has been used since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            workers: self.workers.saturating_sub(earlier.workers),
            sandbox: self.sandbox.saturating_sub(earlier.sandbox),
        }
    }
}
